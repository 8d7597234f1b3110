--- For LuaJIT, with the header of lambdapool in a form that its FFI reads: has tasks done, like
--- squares.c. Arguments: the header, the library, options of the pool.
-- luacheck: std luajit
local ffi = require "ffi"
local header, library, options = ...

local file = assert(io.open(header))
ffi.cdef(file:read "*a")
file:close()
local lp = ffi.load(library, true) -- for all to see

local config, host = ffi.new "struct lp_config", ffi.new "lp_host *[1]"
lp.lp_config_init(config, ffi.sizeof(config))
config.workers = 2
config.options = options
assert(lp.lp_open(config, host) == 0, ffi.string(lp.lp_error(host[0])))

local task, value = ffi.new "struct lp_task", ffi.new "struct lp_value"
lp.lp_task_init(task, ffi.sizeof(task))
task.source = "local n = ... assert(math.type(n) == 'integer') return n * n"
task.args, task.count = value, 1
value.type = "LP_INTEGER"
for i = 1, 10 do
  value.integer = i
  assert(lp.lp_submit(host[0], task, nil) == 0)
end

local sum, result = 0, ffi.new "const struct lp_result *[1]"
while sum < 385 do
  assert(lp.lp_poll(host[0], 500) >= 0)
  while lp.lp_next(host[0], result) == 1 do
    assert(result[0].kind == 0, ffi.string(result[0].message))
    sum = sum + tonumber(result[0].values[0].integer)
  end
end
assert(lp.lp_close(host[0]) == 0)
print(jit.version:match "%w+", sum)
