--- The smallest program with a pool, from its start to its first result.
local pool = require "lambdapool".pool { workers = 2 }
print(pool:apply(function(a, b) return a + b end, { 1, 2 }))
io.stdout:flush()
pool:terminate()
