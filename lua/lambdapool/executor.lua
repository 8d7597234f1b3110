--- Executors: Python's concurrent.futures.Executor, in Lua. Submit tasks one by one, get a future
--- for each.

local batches = require "lambdapool.batch"
local codec = require "lambdapool.codec"
local engine = require "lambdapool.engine"
local futures = require "lambdapool.future"
local options = require "lambdapool.options"
local sources = require "lambdapool.source"
local streams = require "lambdapool.stream"

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

local function check_call(self, where, f)
  if self.closed then
    error(where .. ": the executor is shut down", 3)
  end
  engine.check_function(where, f)
end

--- Queues f(...) and returns its future. Arguments are copied now; one that cannot be sent is an
--- error here.
---@param f function
---@param ... any
---@return lambdapool.Future
function methods:submit(f, ...)
  check_call(self, "executor:submit", f)
  local batch = batches.new(codec.code(f), { table.pack(...) }, 1, self.request)
  self.scheduler:add_encoded(batch)
  if batch.refusal then
    error(batch.refusal, 0)
  end
  return futures.new(self.scheduler, batch)
end

--- `for i, result in executor:map(f, list1, list2, ...) do`: runs f(list1[i], list2[i], ...) up to
--- the end of the shortest list and yields, in order, i and all values of the task. Iterator
--- functions may stand for lists; each gives its first value. Raises the error of a task when its
--- turn comes.
---@param f function
---@param ... table | function
---@return fun(): integer?, ...
function methods:map(f, ...)
  check_call(self, "executor:map", f)
  local reads = table.pack(...)
  for i = 1, reads.n do
    local source = reads[i]
    if type(source) == "table" then
      reads[i] = sources.of_list(source)
    elseif type(source) == "function" then
      reads[i] = sources.first_values(source)
    else
      error(("executor:map: list %d must be a table or a function, got a %s"):format(i,
        type(source)), 2)
    end
  end
  return streams.start(self.scheduler, codec.code(f), sources.zip(reads), {
    request = self.request,
    size = self.options.chunksize or 1,
    ordered = true,
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
  if how.wait then
    self.scheduler:drain()
  end
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
  return setmetatable({
    scheduler = scheduler,
    options = checked,
    request = { star = true, timeout_ms = checked.timeout_ms },
    closed = false,
  }, mt)
end

return { new = new }
