--- A million tasks from a generator: prints the most memory that the host had, in bytes.
local lambdapool = require "lambdapool"

local function million()
  for i = 1, 1000000 do
    coroutine.yield(i)
  end
end

local pool <close> = lambdapool.pool { workers = 2 }
local ended = 0
for _ in pool:imap_unordered(function(x) return x * x end, coroutine.wrap(million)) do
  ended = ended + 1
end
assert(ended == 1000000)

for line in io.lines "/proc/self/status" do
  local kilobytes = line:match "^VmHWM:%s*(%d+) kB"
  if kilobytes then
    print(kilobytes * 1024)
  end
end
