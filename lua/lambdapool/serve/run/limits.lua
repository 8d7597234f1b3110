--- How large things may be, and how many invocations may run at once: for functions with reserved
--- concurrency so many, for all others of a region together what the account has left.

local limits = {
  REQUEST = 6291456, -- bytes of a synchronous event
  EVENT = 1048576, -- of an asynchronous one
  RESPONSE = 6291556, -- of a response
  CLIENT_CONTEXT = 3583,
  LOG_TAIL = 4096,
}

---@class lambdapool.serve.Limits
local methods = {}
local mt = { __name = "lambdapool.serve.Limits", __index = methods }

-- The invocations of all functions in a region that have nothing reserved.
local function region_of(self, name)
  local region = self.regions[name]
  if not region then
    region = { busy = 0 }
    self.regions[name] = region
  end
  return region
end

--- Counts an invocation that begins. `fn` counts the invocations of its function in `busy`.
---@return boolean? counted nil when there are too many already
---@return string? reason of the TooManyRequestsException
function methods:take(fn, record, invocation)
  if record.reserved then
    if fn.busy >= record.reserved then
      return nil, "ReservedFunctionConcurrentInvocationLimitExceeded"
    end
  else
    local region = region_of(self, record.region)
    if region.busy >= self.concurrency - self.reserved(record.region) then
      return nil, "ConcurrentInvocationLimitExceeded"
    end
    region.busy = region.busy + 1
    invocation.region = region
  end
  fn.busy = fn.busy + 1
  return true
end

--- It has ended.
function methods.give(_, fn, invocation)
  fn.busy = fn.busy - 1
  local region = invocation.region
  if region then
    region.busy = region.busy - 1
    invocation.region = nil
  end
end

---@param concurrency integer of an account in a region
---@param reserved fun(region: string): integer what functions have reserved of it
---@return lambdapool.serve.Limits
function limits.new(concurrency, reserved)
  return setmetatable({ concurrency = concurrency, reserved = reserved, regions = {} }, mt)
end

return limits
