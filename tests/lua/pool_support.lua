--- What the specs of pools and futures share: errors, lists, and gates, which let a test decide
--- when a task goes on.
local support = {}

--- Where the tests find the programs, see tests/run.
support.program = (os.getenv "LAMBDAPOOL_BUILD" or "build") .. "/lambdapool"

--- Seconds after which something hangs for sure.
support.LONG = 60

--- The error that f(...) raises.
function support.error_of(f, ...)
  local ok, e = pcall(f, ...)
  if ok then
    error("there was no error", 2)
  end
  return e
end

--- The name of the class of an error or of anything else.
function support.class(value)
  return getmetatable(value).__name
end

--- The integers from `first` to `last`.
function support.range(first, last)
  local list = {}
  for i = first, last do
    list[#list + 1] = i
  end
  return list
end

--- For tasks: waits until the gate at `path` is open, and says before that it is there.
function support.pass(path, ...)
  local visitors <close> = assert(io.open(path, "a"))
  visitors:write "x"
  visitors:flush()
  repeat
    local file = io.open(path .. ".open")
    if file then
      file:close()
    end
  until file
  return ...
end

---@class Gate
local Gate = {}
Gate.__index = Gate

--- Lets all tasks go on that wait at the gate or come there later.
function Gate:open()
  assert(io.open(self.path .. ".open", "w")):close()
end

--- How many tasks have come to it.
function Gate:visitors()
  local file <close> = assert(io.open(self.path))
  return #file:read "a"
end

--- Waits until so many tasks of a pool or an executor have come to it.
function Gate:await(count, pool)
  local limit = os.time() + support.LONG
  while self:visitors() < count do
    assert(os.time() < limit, "the tasks did not begin")
    pool:stats() -- nothing moves but in calls of the pool's
  end
end

function Gate:__close()
  os.remove(self.path)
  os.remove(self.path .. ".open")
end

--- A gate that is closed. Its `path` goes to the tasks.
---@return Gate
function support.gate()
  return setmetatable({ path = os.tmpname() }, Gate)
end

--- Runs a script in a process of its own. Returns its standard output with its standard error
--- behind, and its exit code.
---@param text string
---@return string output
---@return integer code
function support.run_script(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  local pipe = assert(io.popen(("timeout -k 1 %d %s run %s 2>&1"):format(support.LONG,
    support.program, name)))
  local output = pipe:read "a"
  local _, _, code = pipe:close()
  os.remove(name)
  return output, code
end

return support
