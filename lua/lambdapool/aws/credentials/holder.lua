--- Holds the credentials of a session and renews them before they end: one fetch at a time, however
--- many wait for it, and while it fails, those that are still good go on being used.

local completion = require "lambdapool.completion"
local flow = require "lambdapool.flow"
local refusals = require "lambdapool.aws.refusal"

-- New ones are fetched in the background this long before the end, and waited for this long before
-- it; both less for credentials that live shortly.
local EARLY, LATE = 15 * 60, 10 * 60

-- Seconds until the next try after a fetch that failed.
local PAUSE = 30

---@class lambdapool.aws.Credentials
---@field access_key string
---@field secret_key string
---@field token string?
---@field expires number? seconds since 1970
---@field source string where they are from, for people
local mt = { __name = "lambdapool.aws.Credentials" }

function mt:__tostring()
  return ("AWS credentials %s from %s"):format(self.access_key, self.source)
end

function mt.__lambdapool()
  error("AWS credentials stay on this machine\n  a function has those of its role", 0)
end

local holder = {}

local PARTS = { { "access_key", "access key" }, { "secret_key", "secret key" },
  { "token", "session token" } }

-- A line end that was copied along goes into no header.
local function check(fields, source)
  for _, part in ipairs(PARTS) do
    local value = fields[part[1]]
    if value ~= nil and (type(value) ~= "string" or not value:find "^[\x21-\x7e]+$") then
      error(refusals.new { code = "InvalidCredentials", exit = 4,
        message = ("the %s from %s is empty or has a space or another character that no key has")
          :format(part[2], source),
        hint = "look for spaces and line ends that were copied along" }, 0)
    end
  end
end

--- Makes credentials, which never travel and never show their secret. Raises what keeps them from
--- being used.
---@param fields { access_key: string, secret_key: string, token: string?, expires: number? }
---@param source string
---@return lambdapool.aws.Credentials
function holder.credentials(fields, source)
  check(fields, source)
  return setmetatable({ access_key = fields.access_key, secret_key = fields.secret_key,
    token = fields.token, expires = fields.expires, source = source }, mt)
end

---@class lambdapool.aws.Holder
---@field private session lambdapool.aws.Session
---@field private current lambdapool.aws.Credentials?
---@field private fetch (fun(): lambdapool.aws.Credentials)? nil for credentials that are given
---@field private pending table? the fetch that is under way
---@field private span number seconds that the current ones were good for when they came
---@field private retry_at number no fetch in the background before
local methods = {}
local holder_mt = { __index = methods }

-- Seconds until the end; infinite for credentials without one.
local function left(self)
  local expires = self.current and self.current.expires
  return not self.current and 0 or expires and expires - self.session:time() or math.huge
end

local function keep(self, found)
  self.current = found
  self.span = math.max(0, left(self))
end

-- Fetches in a flow of its own: whoever waits for it may be cancelled.
local function start(self)
  local pending = { is_done = false }
  self.pending = pending
  flow.start(self.fetch, function(ok, found)
    self.pending = nil
    if ok then
      keep(self, found)
    else
      pending.failure = found
      self.retry_at = self.session.now() + PAUSE
    end
    completion.finish(pending)
  end)
  return pending
end

-- A fetch that has just failed, or that nothing would come of, is not begun.
local function start_early(self)
  if self.fetch and not self.pending and self.session.now() >= self.retry_at then
    start(self)
  end
end

--- At once: credentials that are good for another while, or nil.
---@return lambdapool.aws.Credentials?
function methods:peek()
  if left(self) <= math.min(EARLY, self.span / 4) then
    start_early(self) -- which may be quick
  end
  local seconds = left(self)
  return seconds > 0 and (not self.fetch or seconds >= math.min(LATE, self.span / 6)
    or self.session.now() < self.retry_at) and self.current or nil
end

--- Waits for credentials. Raises what the fetch raises, unless those that are there hold still.
---@return lambdapool.aws.Credentials
function methods:get()
  local ready = self:peek()
  if ready then
    return ready
  end
  local pending = self.pending or self.fetch and start(self)
  if pending then
    completion.await(pending)
  end
  if left(self) <= 0 and pending then
    error(pending.failure, 0)
  end
  return self.current
end

--- The service says that these are over. False when there will be no others.
---@param stale lambdapool.aws.Credentials?
---@return boolean
function methods:forget(stale)
  if not self.fetch then
    return false
  elseif self.current and (stale == nil or stale == self.current) then
    self.current, self.span, self.retry_at = nil, 0, 0
  end
  return true
end

--- A holder of credentials that are given, or of those that a function fetches, which may wait.
---@param session lambdapool.aws.Session
---@param given lambdapool.aws.Credentials|fun(): lambdapool.aws.Credentials
---@return lambdapool.aws.Holder
function holder.new(session, given)
  local self = setmetatable({ session = session, span = 0, retry_at = 0 }, holder_mt)
  if type(given) == "function" then
    self.fetch = given
  else
    keep(self, given)
  end
  return self
end

return holder
