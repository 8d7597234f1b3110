--- Executors: Python's concurrent.futures.Executor, in Lua. Submit tasks one by one, get a future
--- for each.

local codec = require "lambdapool.codec"
local engine = require "lambdapool.engine"
local futures = require "lambdapool.future"
local options = require "lambdapool.options"
local packs = require "lambdapool.packs"
local sources = require "lambdapool.source"
local streams = require "lambdapool.stream"

-- How long an invocation of `map` should take, in microseconds.
local MAP_US = 5000

local shutdown_rules = {
  wait = { "boolean", default = true },
  cancel_futures = { "boolean", default = false },
}

---@class lambdapool.Executor
---@field scheduler lambdapool.Scheduler
---@field options table
---@field closed boolean
local methods = {}
local mt = { __name = "lambdapool.Executor", __index = methods }

-- Complains, `level` levels up, when `f` cannot be run here.
local function check_call(self, where, f, level)
  if debug.getmetatable(self) ~= mt then
    error(("%s is called with a colon: %s(...)"):format(where:gsub(":", "."), where), level + 1)
  end
  if self.closed then
    error(where .. ": the executor is shut down", level + 1)
  end
  engine.check_function(where, f, level + 1)
end

--- Queues f(...) and returns its future. Arguments are copied now; one that cannot be sent is an
--- error here.
---@param f function
---@param ... any
---@return lambdapool.Future
function methods:submit(f, ...)
  check_call(self, "executor:submit", f, 2)
  local future = futures.new(self.packs)
  self.packs:submit(future, f, ...)
  return future
end

-- The sources of `map`: lists, or functions that give an item at each call.
local function open_sources(given)
  local reads = {}
  for i = 1, given.n do
    local source = given[i]
    if type(source) == "table" then
      reads[i] = sources.of_list(source)
    elseif type(source) == "function" then
      reads[i] = sources.first_values(source)
    else
      error(("executor:map: list %d must be a table or a function, got %s"):format(i,
        source == nil and "nil" or "a " .. type(source)), 3)
    end
  end
  return reads
end

--- `for i, result in executor:map(f, list1, list2, ...) do`: runs f(list1[i], list2[i], ...) up to
--- the end of the shortest list and yields, in order, i and all values of the task. Iterator
--- functions may stand for lists; each gives its first value. Raises the error of a task when its
--- turn comes. An options table may come last: `wait`, the seconds from now in which the
--- loop has to get its results, and those of engine.call_rules.
---@param f function
---@param ... table | function
---@return fun(): integer?, ...
function methods:map(f, ...)
  check_call(self, "executor:map", f, 2)
  local given, lists = nil, table.pack(...)
  if lists.n > 1 and options.is_options(lists[lists.n], engine.map_rules) then
    given, lists.n = lists[lists.n], lists.n - 1
  end
  if lists.n == 0 then
    error("executor:map: there is no list", 2)
  end
  local checked = options.check("executor:map", given, engine.map_rules)
  local call = self.scheduler:call(engine.call_options("executor:map", checked, {
    code = codec.code(f),
    star = true,
    target_us = MAP_US,
  }))
  local source = { read = sources.zip(open_sources(lists)), star = true }
  return streams.start(self.scheduler, call, source, {
    ordered = true,
    timeout = checked.wait,
    progress = checked.progress == nil and self.options.progress or checked.progress,
  })
end

--- Takes no more tasks. Options: `wait` (default true) waits until the futures are done and ends
--- the workers; `cancel_futures` (default false) cancels what has not been sent to a worker.
---@param given { wait: boolean?, cancel_futures: boolean? }?
function methods:shutdown(given)
  local how = options.check("executor:shutdown", given, shutdown_rules)
  self.closed = true
  if how.cancel_futures then
    self.scheduler:cancel_queued "the executor was shut down"
  end
  self.scheduler:close()
  if how.wait then
    self.scheduler:drain()
  end
end

--- Numbers of this executor so far: see Pool:stats.
---@return table
function methods:stats()
  return self.scheduler:stats()
end

--- Leaving the scope of an executor waits for its tasks, as `with` does in Python.
function mt:__close()
  self:shutdown()
end

function mt:__tostring()
  return ("lambdapool.Executor (%d workers%s)"):format(self.options.workers,
    self.closed and ", shut down" or "")
end

function mt.__lambdapool()
  error("an executor cannot be sent to a worker: a task cannot use executors", 0)
end

--- Opens an executor; the options are those of lambdapool.pool.
---@param given table?
---@return lambdapool.Executor
local function new(given)
  local scheduler, checked = engine.open("lambdapool.executor", given)
  scheduler.awaited = true
  return setmetatable({
    scheduler = scheduler,
    packs = packs.new(scheduler),
    options = checked,
    closed = false,
  }, mt)
end

return { new = new }
