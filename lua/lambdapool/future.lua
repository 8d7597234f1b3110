--- Futures: the result of something that was begun, once there is one. Waiting for it drives the
--- workers; nothing happens behind the script's back.
---
--- `Future` has the methods of Python's concurrent.futures, `AsyncResult` those of multiprocessing.
--- Both are completions (see lambdapool.completion) with these fields, set when they are done:
---
---   attempts  how many times the task was started
---   failed    true when it ended with an error, which is in `error`
---   value     what it returned, when that is one value
---   values    what it returned, packed, when that is none or several
---
--- and `origin`, what makes them: cancel(origin, self) and running(origin, self) are its methods.

local completion = require "lambdapool.completion"
local errors = require "lambdapool.errors"
local flow = require "lambdapool.flow"
local loop = require "lambdapool.loop"

local function check_timeout(where, timeout)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    error(("%s: the timeout must be a number of seconds, got %s"):format(where,
      type(timeout) == "number" and "nan" or "a " .. type(timeout)), 3)
  end
  return timeout and math.max(timeout, 0)
end

local function check_callback(where, callback)
  local meta = type(callback) == "table" and debug.getmetatable(callback)
  if type(callback) ~= "function" and not (meta and meta.__call) then
    error(("%s: the callback must be a function, got %s"):format(where,
      callback == nil and "nil" or "a " .. type(callback)), 3)
  end
end

-- Waits until it is done; raises when it is not after `timeout` seconds.
local function await(self, timeout)
  if not completion.await(self, timeout) then
    error(errors.waited(timeout), 0)
  end
end

-- Its values; raises its error.
local function unwrap(self)
  if self.failed then
    flow.note_asked(self)
    error(self.error, 0)
  end
  local values = self.values
  if values then
    return table.unpack(values, 1, values.n)
  end
  return self.value
end

-- Whether it is done, as far as the workers have said by now. In a flow nobody else's turn comes.
local function look(self)
  if flow.running() then
    loop.glance()
  elseif self.is_done then
    loop.flush()
  else
    loop.pump(0)
  end
  return self.is_done
end

local function was_cancelled(self)
  local failure = self.failed and self.error
  return type(failure) == "table" and failure.kind == "cancelled"
end

local function state(self)
  if not self.is_done then
    return self.origin:running(self) and "running" or "pending"
  end
  return was_cancelled(self) and "cancelled" or self.failed and "failed" or "done"
end

local function refuse_travel()
  error("a future cannot be sent to a worker: wait for its result and send that", 0)
end

-- Future -------------------------------------------------------------------------------------

---@class lambdapool.Future
---@field attempts integer?
local Future = {}

--- All values that the task returns. Raises the task's error, or, when it has not ended after
--- `timeout` seconds, a LambdaTimeoutError; the task goes on then. May be called again.
---@param timeout number? seconds; default: until the task ends
---@return any ...
function Future:result(timeout)
  await(self, check_timeout("future:result", timeout))
  return unwrap(self)
end

--- The error that the task ended with, or nil when it returned. Waits, and raises when it has
--- waited `timeout` seconds for nothing.
---@param timeout number?
---@return lambdapool.Error?
function Future:exception(timeout)
  await(self, check_timeout("future:exception", timeout))
  flow.note_asked(self)
  return self.error
end

--- True when the task has ended, in whatever way. Never waits.
---@return boolean
function Future:done()
  return look(self)
end

--- True while a worker runs the task.
---@return boolean
function Future:running()
  return not look(self) and self.origin:running(self)
end

--- Cancels the task: one that waits is not started, one that runs is stopped and its worker
--- replaced. False when it has ended already.
---@return boolean
function Future:cancel()
  if not look(self) then
    return self.origin:cancel(self)
  end
  return was_cancelled(self)
end

--- True when the task ended by being cancelled.
---@return boolean
function Future:cancelled()
  return look(self) and was_cancelled(self)
end

--- Has callback(future) called when the task has ended, in the order of adding: by the call that
--- waits or polls then, or at once when it has ended already. It may submit, wait and raise; what
--- it raises, that call raises.
---@param callback fun(future: lambdapool.Future)
function Future:add_done_callback(callback)
  check_callback("future:add_done_callback", callback)
  if self.is_done then
    callback(self)
  else
    completion.add_callback(self, callback)
  end
end

local future_mt = { __name = "lambdapool.Future", __index = Future, __lambdapool = refuse_travel }

function future_mt:__tostring()
  return ("lambdapool.Future (%s)"):format(state(self))
end

-- AsyncResult --------------------------------------------------------------------------------

---@class lambdapool.AsyncResult
---@field attempts integer?
local AsyncResult = {}

--- What the call returns; for `map_async` and `starmap_async` the lists that `map` gives. Raises
--- its error, or, when it has not ended after `timeout` seconds, a LambdaTimeoutError; the call
--- goes on then. May be called again.
---@param timeout number? seconds; default: until it ends
---@return any ...
function AsyncResult:get(timeout)
  await(self, check_timeout("result:get", timeout))
  return unwrap(self)
end

--- Waits until the call has ended, or for `timeout` seconds. True when it has ended.
---@param timeout number?
---@return boolean
function AsyncResult:wait(timeout)
  return completion.await(self, check_timeout("result:wait", timeout))
end

--- True when the call has ended. Never waits.
---@return boolean
function AsyncResult:ready()
  return look(self)
end

--- True when the call has returned, false when it raised; an error while it goes on.
---@return boolean
function AsyncResult:successful()
  if not look(self) then
    error("result:successful: the call has not ended", 2)
  end
  return not self.failed
end

AsyncResult.cancel = Future.cancel

local async_result_mt = {
  __name = "lambdapool.AsyncResult",
  __index = AsyncResult,
  __lambdapool = refuse_travel,
}

function async_result_mt:__tostring()
  return ("lambdapool.AsyncResult (%s)"):format(state(self))
end

-- For the library ----------------------------------------------------------------------------

local future = {}

---@param origin { cancel: function, running: function }
---@param fields table? becomes the future
---@return lambdapool.Future
function future.new(origin, fields)
  fields = fields or {}
  fields.origin, fields.is_done = origin, false
  return setmetatable(fields, future_mt)
end

---@return lambdapool.AsyncResult
function future.new_async_result(origin, fields)
  return setmetatable(future.new(origin, fields), async_result_mt)
end

--- True for what `lambdapool.wait` and `as_completed` can wait for.
---@param value any
---@return boolean
function future.is(value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  return meta == future_mt or meta == async_result_mt
end

--- It has returned these values.
function future.succeed(self, ...)
  if select("#", ...) == 1 then
    self.value = ...
  else
    self.values = table.pack(...)
  end
  completion.finish(self)
end

--- It has ended with this error value.
function future.fail(self, failure)
  self.failed, self.error = true, failure
  completion.finish(self)
end

--- Has these called when it has ended: callback(values...) or error_callback(error).
---@param where string for complaints
function future.add_callbacks(self, callback, error_callback)
  if callback or error_callback then
    completion.add_callback(self, function()
      if self.failed then
        if error_callback then
          error_callback(self.error)
        end
      elseif callback then
        callback(unwrap(self))
      end
    end)
  end
end

future.check_callback = check_callback

return future
