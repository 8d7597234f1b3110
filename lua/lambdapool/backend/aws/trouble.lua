--- How long to go on when nothing gets through. What certainly did not run may be sent again,
--- after a pause; but when that has gone on for a while without any invocation that ran, all are
--- given up.

local retries = require "lambdapool.retry"

-- How long nothing may get through until those that wait end, in seconds; and how long a single one
-- may be put off while others get through.
local PATIENCE = { throttled = 60, pending = 60, unreachable = 10 }
local LONGEST = 900

-- Between attempts, unless the service says how long.
local backoff = retries.new("", { retry = { times = 100, base = 0.2, cap = 5 } }, 1)
local LONGEST_PAUSE = 30

-- Trouble that was that long ago is another one.
local MEMORY = 2 * LONGEST_PAUSE

---@class lambdapool.backend.aws.Trouble
---@field private verdict string? what keeps invocations from getting through
---@field private since number? for how long
---@field private last number?
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Trouble", __index = methods }

--- An invocation ran.
function methods:over()
  self.verdict = nil
end

-- Since when nothing gets through; nil when that is not known. Throttling says nothing while
-- something runs, which is what takes the room.
local function stuck_since(self, verdict, running, now)
  if verdict ~= "unreachable" and running > 0 then
    return nil
  end
  if self.verdict ~= verdict or now - self.last > MEMORY then
    self.verdict, self.since = verdict, now
  end
  self.last = now
  return self.since
end

--- One did not get through. Returns the seconds to wait before it is sent again, or nil when it is
--- to end, and whether those that wait are to end with it.
---@param job lambdapool.backend.aws.Job
---@param verdict "throttled"|"pending"|"unreachable"
---@param refusal lambdapool.Refusal
---@param running integer how many others are under way
---@param now number
---@return number? pause
---@return boolean? all
function methods:pause(job, verdict, refusal, running, now)
  local since = stuck_since(self, verdict, running, now)
  job.since = job.since or now
  job.tries = (job.tries or 0) + 1
  if since and now - since >= PATIENCE[verdict] then
    return nil, true
  elseif now - job.since >= LONGEST then
    return nil, false
  elseif refusal.retry_after then
    return math.min(refusal.retry_after, LONGEST_PAUSE)
  end
  return backoff:delay(job.tries)
end

---@return lambdapool.backend.aws.Trouble
local function new()
  return setmetatable({}, mt)
end

return { new = new }
