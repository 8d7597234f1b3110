--- The credentials that invocations are signed with: at once, or fetched while they wait.

local flow = require "lambdapool.flow"

-- How often the session is asked whether they are still good.
local SECONDS = 0.1

---@class lambdapool.backend.aws.Keys
---@field session lambdapool.aws.Session
---@field ready fun(ok: boolean, refusal: any) called when a fetch has ended
---@field private current lambdapool.aws.Credentials?
---@field private good_until number until when that is used without another look
---@field private fetched lambdapool.aws.Credentials? used once, however short it lives
---@field private fetching boolean?
---@field private closed boolean?
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Keys", __index = methods }

local function fetch(self)
  if self.fetching then
    return
  end
  self.fetching = true
  flow.start(function()
    return self.session:credentials()
  end, function(ok, result)
    self.fetching = nil
    if not self.closed then
      self.fetched = ok and result or nil
      self.ready(ok, result)
    end
  end)
end

--- The credentials to sign with now. Nil: they are fetched, and `ready` tells when.
---@param now number
---@return lambdapool.aws.Credentials?
function methods:get(now)
  if now < self.good_until then
    return self.current
  end
  local found = self.fetched or self.session:fresh_credentials()
  self.fetched = nil
  if not found then
    fetch(self)
    return nil
  end
  self.current, self.good_until = found, now + SECONDS
  return found
end

--- The service says that these are over. Whether there are others, or will be.
---@param stale lambdapool.aws.Credentials
---@return boolean
function methods:renew(stale)
  self.good_until = 0
  return self.session:fresh_credentials() ~= stale or self.session:forget_credentials(stale)
end

--- Nobody waits any more. A fetch goes on: others may want what it brings.
function methods:close()
  self.closed = true
end

---@param session lambdapool.aws.Session
---@param ready fun(ok: boolean, refusal: any)
---@return lambdapool.backend.aws.Keys
local function new(session, ready)
  return setmetatable({ session = session, ready = ready, good_until = 0 }, mt)
end

return { new = new }
