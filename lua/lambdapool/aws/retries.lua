--- When a client sends a request again, and how long it waits before: the standard mode of the AWS
--- SDKs, as revised in 2026. Every retry costs tokens of a bucket that successes fill, so that a
--- service in trouble is not asked three times for everything.

local CAPACITY = 500
local COST = { throttled = 5, transient = 14 }

-- Seconds before the first retry, at most; they double.
local BASE = { throttled = 1, transient = 0.05 }
local LONGEST = 20

-- How much longer than that the service may ask us to wait.
local PATIENCE = 5

local THROTTLED, TRANSIENT = {}, {}

for code in ([[Throttling ThrottlingException ThrottledException RequestThrottledException
  RequestThrottled TooManyRequestsException ProvisionedThroughputExceededException
  TransactionInProgressException RequestLimitExceeded BandwidthLimitExceeded LimitExceededException
  SlowDown EC2ThrottledException]]):gmatch "%S+" do
  THROTTLED[code] = true
end

for code in ([[RequestTimeout RequestTimeoutException PriorRequestNotComplete InternalError
  IDPCommunicationError]]):gmatch "%S+" do
  TRANSIENT[code] = true
end

local STATUSES = { [500] = true, [502] = true, [503] = true, [504] = true }

-- What no second attempt changes.
local FINAL = { tls = true, refused_url = true, too_large = true }

local retries = {
  random = require("lambdapool.retry").random, -- math.random belongs to the user's script
}

--- What kind of trouble a refusal is that may pass by itself: "throttled", "transient", or nil.
---@param refusal lambdapool.Refusal
---@return string?
function retries.kind(refusal)
  if refusal.failure then
    return not FINAL[refusal.failure] and "transient" or nil
  elseif THROTTLED[refusal.code] or refusal.status == 429 then
    return "throttled"
  end
  return (TRANSIENT[refusal.code] or STATUSES[refusal.status]) and "transient" or nil
end

---@class lambdapool.aws.Retries
---@field private tokens number
---@field private most integer attempts in all
local methods = {}
local mt = { __index = methods }

---@param most integer? attempts, the first one included: 3
---@return lambdapool.aws.Retries
function retries.new(most)
  return setmetatable({ tokens = CAPACITY, most = most or 3 }, mt)
end

--- Whether it may be sent again after `attempt` attempts: the seconds to wait before, or nil.
--- `paid` has what the retries of this call have cost so far.
---@param refusal lambdapool.Refusal
---@param attempt integer
---@param paid { last: integer? }
---@return number?
function methods:pause(refusal, attempt, paid)
  local kind = retries.kind(refusal)
  local cost = COST[kind]
  if not kind or attempt >= self.most or self.tokens < cost then
    return nil
  end
  self.tokens = self.tokens - cost
  paid.last = cost
  local seconds = retries.random() * math.min(BASE[kind] * 2 ^ (attempt - 1), LONGEST)
  return math.max(seconds, math.min(refusal.retry_after or 0, seconds + PATIENCE))
end

--- A call has succeeded.
---@param paid { last: integer? }
function methods:succeeded(paid)
  self.tokens = math.min(CAPACITY, self.tokens + (paid.last or 1))
end

return retries
