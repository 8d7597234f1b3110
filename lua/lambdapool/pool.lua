--- Pools: Python's multiprocessing.Pool, in Lua. Run one function over many items, `workers` at a
--- time, in other processes that have a copy of the function and of all that it uses.

local batches = require "lambdapool.batch"
local codec = require "lambdapool.codec"
local engine = require "lambdapool.engine"
local options = require "lambdapool.options"
local sources = require "lambdapool.source"
local streams = require "lambdapool.stream"

-- Options of single calls.
local call_rules = { chunksize = { "integer", min = 1 } }

---@class lambdapool.Pool
---@field scheduler lambdapool.Scheduler
---@field options table
---@field state "open" | "closed" | "terminated"
local methods = {}
local mt = { __name = "lambdapool.Pool", __index = methods }

local function check_call(self, where, f)
  if self.state ~= "open" then
    error(("%s: the pool is %s"):format(where, self.state), 3)
  end
  engine.check_function(where, f)
end

local function check_list(where, list)
  if type(list) ~= "table" then
    error(("%s: the items must be a list, got a %s"):format(where, type(list)), 3)
  end
end

-- Every item of a `star` call is a table of arguments.
local function check_arguments(where, list, n)
  for i = 1, n do
    if type(list[i]) ~= "table" then
      error(("%s: item %d must be a table of arguments, got a %s"):format(where, i,
        type(list[i])), 3)
    end
  end
end

-- Python's rule: four chunks for each worker, so that uneven tasks even out.
local function chunk_size(self, n, given)
  local share = 4 * self.options.workers
  return given or self.options.chunksize or math.max(1, (n + share - 1) // share)
end

-- Runs a whole list as one batch and waits for it.
local function run_list(self, f, list, n, star, size)
  local batch = batches.new(codec.code(f), list, n, {
    star = star,
    timeout_ms = self.options.timeout_ms,
  })
  batch.fail_fast = true
  self.scheduler:add(batch, size)
  self.scheduler:wait(function() return batch.done end)
  return batch
end

--- Runs f(args[1], args[2], ...) on a worker and returns all its values. `args.n` counts nils in.
---@param f function
---@param args table?
---@return any ...
function methods:apply(f, args, ...)
  check_call(self, "pool:apply", f)
  if select("#", ...) > 0 then
    error("pool:apply: the arguments must be in one table, and there are more", 2)
  end
  args = args == nil and {} or args
  if type(args) ~= "table" then
    error("pool:apply: the arguments must be a table, got a " .. type(args), 2)
  end
  local batch = run_list(self, f, { args }, 1, true, 1)
  return batch:values(1)
end

local function map(self, where, f, list, given, star)
  local call = options.check(where, given, call_rules)
  local n = sources.count(list)
  local batch = run_list(self, f, list, n, star, chunk_size(self, n, call.chunksize))
  batch:check()
  return batch:lists()
end

--- Runs f(item) for every item and returns the list of results, in order; when tasks return
--- several values, one list for each of them. Every list has `n`; a nil keeps its place.
--- The items go out in chunks (option `chunksize`). When a task fails, the items behind it that
--- were not sent are cancelled, those that run are waited for, and the error of the first item
--- that failed, by position, is raised.
---@param f function
---@param list table
---@param given { chunksize: integer? }?
---@return table results
---@return table ... further values
function methods:map(f, list, given)
  check_call(self, "pool:map", f)
  check_list("pool:map", list)
  return map(self, "pool:map", f, list, given, false)
end

--- Like `map`, but every item is a table of arguments: runs f(item[1], item[2], ...).
---@param f function
---@param list table[]
---@param given { chunksize: integer? }?
---@return table results
---@return table ... further values
function methods:starmap(f, list, given)
  check_call(self, "pool:starmap", f)
  check_list("pool:starmap", list)
  check_arguments("pool:starmap", list, sources.count(list))
  return map(self, "pool:starmap", f, list, given, true)
end

local function is_callable(value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  return type(value) == "function" or meta and meta.__call ~= nil
end

-- Starts a stream over a list, or over what a generic `for` takes.
local function stream(self, where, ordered, f, source, ...)
  local read, total, closing, given
  local star = is_callable(source)
  local rest = table.pack(...)
  if star then
    if options.is_options(rest[rest.n], call_rules) then
      given, rest[rest.n] = rest[rest.n], nil
    end
    read, closing = sources.of_iterator(source, rest[1], rest[2]), rest[3]
  elseif type(source) == "table" then
    read, total, given = sources.of_list(source), sources.count(source), rest[1]
  else
    error(("%s: the source must be a list or an iterator, got a %s"):format(where,
      type(source)), 2)
  end
  local call = options.check(where, given, call_rules)
  return streams.start(self.scheduler, codec.code(f), read, {
    request = { star = star, timeout_ms = self.options.timeout_ms },
    size = call.chunksize or self.options.chunksize or 1,
    ordered = ordered,
    total = total,
    closing = closing,
  })
end

--- `for i, result in pool:imap(f, source) do`: runs f over a source that may be long or endless,
--- and yields, in order, the position of each item and all values of its task. The source is a
--- list, or an iterator as in a generic `for` (function, state, first value, closing value), whose
--- values at each step are the arguments. It is read only as workers free up. An options table
--- { chunksize = } may come last. The error of a task is raised when its turn comes.
---@param f function
---@param source table | function
---@return fun(): integer?, ...
function methods:imap(f, source, ...)
  check_call(self, "pool:imap", f)
  return stream(self, "pool:imap", true, f, source, ...)
end

--- Like `imap`, but yields results as they come.
---@param f function
---@param source table | function
---@return fun(): integer?, ...
function methods:imap_unordered(f, source, ...)
  check_call(self, "pool:imap_unordered", f)
  return stream(self, "pool:imap_unordered", false, f, source, ...)
end

--- Takes no more calls. What was begun goes on; `join` waits for it.
function methods:close()
  if self.state == "open" then
    self.state = "closed"
  end
end

--- Kills the workers at once; tasks that have not ended are cancelled.
function methods:terminate()
  self.state = "terminated"
  self.scheduler:terminate()
end

--- Waits until every task has ended and every worker is gone. Close or terminate the pool before.
function methods:join()
  if self.state == "open" then
    error("pool:join: close or terminate the pool first", 2)
  end
  self.scheduler:drain()
end

--- Leaving the scope of a pool terminates it, as leaving `with Pool()` does in Python.
function mt:__close()
  self:terminate()
end

function mt:__tostring()
  return ("lambdapool.Pool (%d workers, %s)"):format(self.options.workers, self.state)
end

function mt.__lambdapool()
  error("a pool cannot be sent to a worker: a task cannot use pools", 0)
end

--- Opens a pool. Workers start when there is work for them, and stay. Options:
---   workers    how many tasks run at once; default: the processors of this machine
---   memory     MB for each worker, 128 to 10240; default 1769
---   timeout    seconds that a single task may run; default 900
---   chunksize  items that are sent together, for all calls of this pool; default: see each method
---   prefix     true puts "[worker 2] " before each line that tasks print; default false
---   backend    "local", the default: processes on this machine
---@param given table?
---@return lambdapool.Pool
local function new(given)
  local scheduler, checked = engine.open("lambdapool.pool", given)
  return setmetatable({ scheduler = scheduler, options = checked, state = "open" }, mt)
end

return { new = new }
