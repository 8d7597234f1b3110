--- Retries: which tasks that failed are started again, how often, and after how long. The wait is
--- exponential backoff with full jitter: a random time up to base * 2^(n-1), at most `cap`
--- (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

local options = require "lambdapool.options"
local system = require "lambdapool.system"

-- What a further try may cure. Not an error of the task itself, nor what was asked for.
local curable = {
  timeout = true,
  out_of_memory = true,
  crashed = true,
  throttled = true,
  lost = true,
}

local rules = {
  times = { "integer", min = 0 },
  base = { "seconds", default = 0.02 },
  cap = { "seconds", default = 20 },
  on = { "function" },
}

---@class lambdapool.Retry
---@field times integer how often a task is started again
---@field base number seconds
---@field cap number seconds
---@field on (fun(err: lambdapool.Error): boolean)? decides in place of the kind
local methods = {}
local mt = { __name = "lambdapool.Retry", __index = methods }

-- Jitter must not touch the generator of the user's script.
local state = system.now() * 0x9E3779B97F4A7C15 | 1

--- A number from 0 to 1. xorshift64*: Marsaglia 2003, Vigna 2016.
---@return number
local function random()
  state = state ~ (state >> 12)
  state = state ~ (state << 25)
  state = state ~ (state >> 27)
  return ((state * 0x2545F4914F6CDD1D) >> 11) * 2.0 ^ -53
end

--- Whether a task is started again that ended with `err` after `attempts` starts.
---@param err lambdapool.Error
---@param attempts integer
---@return boolean
function methods:wants(err, attempts)
  if attempts > self.times then
    return false
  elseif self.on then
    return self.on(err) and true or false
  end
  return curable[err.kind] or false
end

--- Seconds to wait before the start that follows `attempts` others.
---@param attempts integer
---@return number
function methods:delay(attempts)
  return random() * math.min(self.cap, self.base * 2.0 ^ math.min(attempts - 1, 60))
end

--- Reads the options `retries` and `retry`; nil when neither is there.
---@param where string
---@param given { retries: integer?, retry: table? }
---@param level integer
---@return lambdapool.Retry?
local function new(where, given, level)
  if given.retries == nil and given.retry == nil then
    return nil
  end
  local policy = options.check(where .. ": retry", given.retry, rules, level + 1)
  policy.times = policy.times or given.retries or 3
  return setmetatable(policy, mt)
end

return { new = new, rules = rules, random = random }
