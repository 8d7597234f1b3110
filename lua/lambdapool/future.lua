--- Futures: the result of one task that was submitted, once there is one. Waiting for it drives
--- the workers; nothing happens behind the script's back.

local errors = require "lambdapool.errors"

---@class lambdapool.Future
---@field batch lambdapool.Batch of one item
---@field scheduler lambdapool.Scheduler
local methods = {}
local mt = { __name = "lambdapool.Future", __index = methods }

-- Waits until the task has ended; raises when it has not after `seconds`.
local function await(self, seconds)
  local batch = self.batch
  if not self.scheduler:wait(function() return batch.done end, seconds) then
    error(errors.waited(seconds), 0)
  end
  return batch
end

--- All values that the task returns. Raises the task's error, or, when it has not ended after
--- `timeout` seconds, a LambdaTimeoutError; the task goes on then. May be called again.
---@param timeout number? seconds; default: until the task ends
---@return any ...
function methods:result(timeout)
  return await(self, timeout):values(1)
end

--- The error that the task ended with, or nil when it returned. Waits, and raises when it has
--- waited `timeout` seconds for nothing.
---@param timeout number?
---@return lambdapool.Error?
function methods:exception(timeout)
  local batch = await(self, timeout)
  return batch.refusal or batch.errors and batch.errors[1]
end

--- True when the task has ended, in whatever way. Never waits.
---@return boolean
function methods:done()
  self.scheduler:pump()
  return self.batch.done
end

function mt:__tostring()
  local state = not self.batch.done and "pending" or self.batch.errors and "failed" or "done"
  return ("lambdapool.Future (%s)"):format(state)
end

function mt.__lambdapool()
  error("a future cannot be sent to a worker: wait for its result and send that", 0)
end

---@param scheduler lambdapool.Scheduler
---@param batch lambdapool.Batch
---@return lambdapool.Future
local function new(scheduler, batch)
  return setmetatable({ scheduler = scheduler, batch = batch }, mt)
end

return { new = new }
