--- `lambdapool.async`: many flows of control in one thread. Each is a coroutine in which waiting
--- (for a future, a pool, a stream) yields; another one goes on meanwhile. They go on whenever
--- something waits or polls outside of them, for example for the future that `async` returns.

local flow = require "lambdapool.flow"
local futures = require "lambdapool.future"
local interrupt = require "lambdapool.interrupt"

local origin = {}

function origin.cancel(_, future)
  if not flow.cancel(future.flow) then
    return false
  end
  futures.fail(future, setmetatable({ kind = "cancelled", message = "the flow was cancelled" }, {
    __name = "LambdaFunctionError",
    __tostring = function(e) return e.message end,
  }))
  return true
end

function origin.running()
  return true
end

--- Runs fn(...) until it waits for the first time. Returns a future of what it returns; `result`
--- raises what it raises. An error that nobody asks for is reported by `lambdapool run` and at the
--- prompt; elsewhere it is a warning (see `warn`) once the future is garbage.
---@param fn function
---@param ... any
---@return lambdapool.Future
local function async(fn, ...)
  if type(fn) ~= "function" then
    error(("lambdapool.async: needs a function, got %s"):format(fn == nil and "nil"
      or "a " .. type(fn)), 2)
  end
  local future = futures.new(origin)
  future.flow = flow.start(fn, function(ok, ...)
    if ok then
      futures.succeed(future, ...)
    else
      if not interrupt.is(...) then -- the flow's resumer raises that one
        flow.note_failure(future, (...))
      end
      futures.fail(future, (...))
    end
  end, ...)
  return future
end

return { async = async }
