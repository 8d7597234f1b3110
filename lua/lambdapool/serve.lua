--- A Lambda service on this machine: the REST API of AWS Lambda with what its clients also ask of
--- IAM, STS and CloudWatch Logs, on one port of the loopback interface. It lives on the loop of
--- this Lua state: requests are answered in calls that wait.
---
---     local service <close> = require("lambdapool.serve").open { dir = "state", port = 0 }
---     print(service.url)
---
--- Everything that it has to keep is in `dir`, which belongs to one service at a time.

local asynchronous = require "lambdapool.serve.run.asynchronous"
local credentials = require "lambdapool.serve.credentials"
local environments = require "lambdapool.serve.run.environments"
local files = require "lambdapool.files"
local front = require "lambdapool.serve.front"
local iam = require "lambdapool.serve.iam.operations"
local iam_store = require "lambdapool.serve.iam.store"
local log_store = require "lambdapool.serve.logs.store"
local loop = require "lambdapool.loop"
local store = require "lambdapool.serve.store"
local system = require "lambdapool.system"

local ACCOUNT = "123456789012"

-- Credentials of functions hold for hours and are made anew long before their end.
local ROLE_SECONDS = 12 * 3600
local ROLE_RENEWAL = 6 * 3600

-- How often is looked whether the last clients are done.
local STEP_SECONDS = 0.02

-- What one client, or many, may take of this machine.
local LIMITS = {
  header_bytes = 65536,
  body_bytes = 70167211,
  buffered_bytes = 512 << 20,
  connections = 4096,
  header_seconds = 10,
  body_seconds = 60,
  idle_seconds = 120,
}

---@class lambdapool.serve.Service
---@field url string
---@field account string
---@field region string of requests that do not say
---@field credentials lambdapool.serve.Credentials
---@field store lambdapool.serve.Store
---@field logs lambdapool.serve.LogStore
---@field environments table
---@field queue table
---@field complain fun(problem: any) hears of what should not have happened
---@field private notice string? the file in the folder that says where the service is
---@field done fun(context: table, status: integer)? hears of each answer
local methods = {}
local mt = { __name = "lambdapool.serve.Service", __index = methods }

---@return integer
function methods:port()
  return self.server:port()
end

--- Before the end: new invocations are sent away, and those that somebody waits for may finish, for
--- a while. True when they have.
---@param seconds number
---@return boolean
function methods:retire(seconds)
  local limit = system.monotonic() + seconds
  self.environments:retire()
  while not self.environments:is_quiet() and system.monotonic() < limit do
    loop.wait(function() return false end, nil, STEP_SECONDS)
  end
  return self.environments:is_quiet()
end

--- Stops: nothing more is accepted, what runs is ended, what was appended to logs is written.
function methods:close()
  if self.closed then
    return
  end
  self.closed = true
  if self.notice then
    os.remove(self.notice)
  end
  for _, name in ipairs { "server", "queue", "environments", "logs", "store" } do
    if self[name] then
      self[name]:close()
    end
  end
end

mt.__close = methods.close

-- Temporary credentials of a role, the same for all its functions for some hours.
local function role_credentials(self, arn)
  local kept = self.roles[arn]
  if not kept or kept.expires < self.now() + ROLE_RENEWAL then
    local name = arn:match "[^/]*$"
    local session = ("arn:aws:sts::%s:assumed-role/%s/lambda"):format(self.account, name)
    kept = self.credentials:issue(session, "AROALAMBDAPOOL:lambda", ROLE_SECONDS)
    self.roles[arn] = kept
  end
  return kept
end

-- What is logged of an answer.
local function entry_of(service, context, status)
  local request = context.request
  return {
    time = service.now(), method = request:method(), path = request:path(), status = status,
    milliseconds = (system.monotonic() - context.started) * 1000, request_id = context.request_id,
    operation = context.operation, region = context.region, subject = context.subject,
    error = context.error,
  }
end

local function new(options)
  local self = setmetatable({
    account = ACCOUNT,
    region = options.region or "us-east-1",
    latency = options.latency or 0,
    concurrency = options.concurrency or 1000,
    idle_seconds = options.idle_seconds or 300,
    retry_seconds = options.retry_seconds or 60,
    settle_seconds = options.settle_seconds or 0.05,
    strict_roles = options.strict_roles,
    isolated = system.can_isolate(),
    now = options.now or function() return system.now() / 1000 end,
    complain = options.complain or function() end,
    answer_fault = front.answer_fault,
    roles = setmetatable({}, { __mode = "v" }),
  }, mt)
  self.credentials_for = function(arn) return role_credentials(self, arn) end
  self.role_exists = function(arn) return iam.role_of_arn(self.store.db, arn) ~= nil end
  local log = options.log
  self.done = log and function(context, status)
    log(entry_of(self, context, status))
  end
  return self
end

-- What is in the folder is for its owner only, as are the databases, also in a folder that others
-- may read.
local function private()
  local before = system.umask(63)
  return setmetatable({}, { __close = function() system.umask(before) end })
end

--- The number of this process.
---@return integer
local function process_id()
  local file <close> = assert(io.open "/proc/self/stat")
  return file:read "n"
end

-- Everything that is kept in the folder.
local function open_folder(self, options)
  local _ <close> = private()
  local made, message = files.make(options.dir)
  if not made then
    return nil, message
  end
  local code
  self.store, message, code = store.open(options.dir)
  if not self.store then
    return nil, message, code
  end
  self.store:migrate("iam", iam_store.schema)
  self.credentials, message = credentials.open { dir = options.dir, now = self.now,
    access_key = options.access_key, secret_key = options.secret_key }
  if not self.credentials then
    return nil, message
  end
  self.logs, message = log_store.open { path = options.dir .. "/logs.db", now = self.now,
    failed = self.complain }
  return self.logs, message
end

local function listen(self, options)
  local host, port = options.host or "127.0.0.1", options.port or 9077
  local settings = { host = host, port = port }
  for name, limit in pairs(LIMITS) do
    settings[name] = limit
  end
  local server, message = loop.listen(settings, front.handler(self))
  if not server then
    local hint = message:find "in use" and
      "\n  choose another one with `--port`, or 0 for any that is free" or ""
    return nil, message .. hint
  end
  self.server = server
  self.url = ("http://%s:%d"):format(host:find ":" and ("[%s]"):format(host) or host, server:port())
  return true
end

-- Others who want the same folder find the service by a file in it. It names the process, too, so
-- that a file that was left behind is known for one, and the access key that is needed.
local function announce(self, dir)
  local _ <close> = private()
  local path = dir .. "/url"
  local file <close>, message = io.open(path .. ".new", "w")
  local ok = file
  if file then
    ok, message = file:write(("%s %d %s\n"):format(self.url, process_id(),
      self.credentials.access_key))
  end
  if ok then
    ok, message = file:close()
  end
  if ok then
    ok, message = os.rename(path .. ".new", path)
    message = message and ("%s: %s"):format(path, message)
  end
  self.notice = ok and path or nil
  return ok, message
end

local function start(self, options)
  local ok, message, code = open_folder(self, options)
  if not ok then
    return nil, message, code
  end
  self.environments = environments.open(self)
  ok, message = listen(self, options)
  if not ok then
    return nil, message
  end
  self.queue = asynchronous.open(self)
  return announce(self, options.dir)
end

---@class lambdapool.serve.Options
---@field dir string where everything is kept; made if it is not there
---@field host string? "127.0.0.1"
---@field port integer? 9077; 0: any that is free
---@field access_key string? with its secret_key; default: those of the folder, made at random
---@field secret_key string?
---@field latency number? milliseconds that every invocation waits before it is looked at: 0
---@field concurrency integer? invocations that run at a time: 1000
---@field region string? "us-east-1"
---@field idle_seconds number? how long an environment waits for another invocation: 300
---@field retry_seconds number? before a failed asynchronous invocation is tried again: 60
---@field settle_seconds number? how long functions are Pending and updates InProgress: 0.05
---@field strict_roles boolean? roles of functions must exist
---@field now (fun(): number)? the clock, seconds since 1970
---@field log fun(entry: lambdapool.serve.Entry)? hears of each request
---@field complain fun(problem: any)? hears of what should not have happened

--- Opens the service. What keeps it from that, like a folder or a port in use, is the message.
---@param options lambdapool.serve.Options
---@return lambdapool.serve.Service?
---@return string? message
---@return "busy"? code another service has the folder
local function open(options)
  local self = new(options)
  local returned, ok, message, code = pcall(start, self, options)
  if returned and ok then
    return self
  end
  self:close()
  return nil, tostring(returned and message or ok), code
end

--- The folder that is used when nobody names another one; nil without a home to keep it in.
---@return string?
local function folder()
  local home, state = os.getenv "HOME", os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    state = home and home ~= "" and home .. "/.local/state" or nil
  end
  return state and state .. "/lambdapool/serve"
end

return { open = open, folder = folder, process_id = process_id }
