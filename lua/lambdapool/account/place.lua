--- The place of the local account: the folder that `lambdapool serve` uses, and the service that
--- has it. A folder belongs to one process at a time. When another one has it, this one talks to
--- that; when that ends, this one opens the folder in its place, at the same address.

local files = require "lambdapool.files"
local loop = require "lambdapool.loop"
local progress = require "lambdapool.progress"
local serve = require "lambdapool.serve"
local system = require "lambdapool.system"

-- How long somebody may take between having the folder and answering, or the other way round, and
-- how long nobody at all may be there before somebody takes over.
local PATIENCE_SECONDS = 10
local STEP_SECONDS = 0.05

-- How often is looked whether the other process is still there.
local WATCH_SECONDS = 0.25

-- How long other processes may finish what runs in this one when it ends, and when it says so.
local RETIREMENT_SECONDS, NOTICE_SECONDS = 45, 2

---@class lambdapool.account.Place
---@field dir string
---@field url string
---@field access_key string
---@field secret_key string
---@field private service lambdapool.serve.Service? when it is in this process
---@field private notice string? what the other process has written about it, when it is in another
---@field private timer lambdapool.Timer?
---@field private users integer
---@field private sessions table<lambdapool.aws.Session, true> who talks to it
local methods = {}
local mt = { __index = methods }

-- The place in this process, while somebody uses it.
local place

local function read(path)
  local file <close> = io.open(path)
  return file and file:read "a"
end

local function is_alive(process)
  return read(("/proc/%s/stat"):format(process)) ~= nil
end

-- What the file in the folder says of the service that another process has there: nothing while
-- that is not yet, or no longer, the case.
local function read_notice(dir)
  local notice = read(dir .. "/url")
  local url, process, access_key = (notice or ""):match "^(http://%S+) (%d+) (%S+)\n$"
  if url and is_alive(process) then
    return notice, url, access_key
  end
end

-- Guests ---------------------------------------------------------------------------------------

-- Who uses the service of another process leaves its number in this folder of the other's, so that
-- the other can tell whether somebody depends on it when it ends.
local function guest(dir)
  return ("%s/guests/%d"):format(dir, serve.process_id())
end

local function enter(dir)
  local before = system.umask(63)
  files.make(dir .. "/guests")
  local file = io.open(guest(dir), "w")
  system.umask(before)
  if file then
    file:close()
  end
end

local function depart(dir)
  os.remove(guest(dir))
end

-- Whether there are any; what dead ones have left is removed.
local function has_guests(dir)
  local found = false
  for _, process in ipairs(files.list(dir .. "/guests") or {}) do
    if is_alive(process) then
      found = true
    elseif process:find "^%d+$" then
      os.remove(("%s/guests/%s"):format(dir, process))
    end
  end
  return found
end

-- Opening --------------------------------------------------------------------------------------

local function complain(problem)
  progress.world.write(("lambdapool: the local service: %s\n"):format(tostring(problem)))
end

local function open_service(dir, port)
  return serve.open { dir = dir, port = port, complain = complain }
end

local function use_service(self, service)
  system.raise_descriptors() -- a connection and its environment take five
  depart(self.dir)
  self.service, self.notice, self.url = service, nil, service.url
  self.access_key = service.credentials.access_key
  self.secret_key = service.credentials.secret_key
end

-- The service of another process was found. Its key is in the folder, unless it was given another.
local function use_other(self, notice, url, access_key)
  local text = read(self.dir .. "/credentials") or ""
  local secret_key = text:match "aws_secret_access_key%s*=%s*(%S+)"
  if text:match "aws_access_key_id%s*=%s*(%S+)" ~= access_key or not secret_key then
    error(("the service at %s, which has the folder %s, was given a key of its own\n" ..
      "  stop it, or start it without `--access-key`"):format(url, self.dir), 0)
  end
  enter(self.dir)
  self.notice, self.url = notice, url
  self.access_key, self.secret_key = access_key, secret_key
end

-- Opens the folder, or finds who has it. Nil and a message when there is neither, for the moment.
local function try_open(self, port)
  local service, message, code = open_service(self.dir, port)
  if service then
    use_service(self, service)
    return true
  elseif code ~= "busy" then
    error("cannot open the local service: " .. message, 0)
  end
  local notice, url, access_key = read_notice(self.dir)
  if notice then
    use_other(self, notice, url, access_key)
    return true
  end
  return nil, message
end

-- Lets everybody know where the service is now.
local function tell(self)
  for session in pairs(self.sessions) do
    session.endpoint_url = self.url
  end
end

-- The other process is gone. Everybody who talked to it tries to follow; whoever comes first takes
-- its address, so that for the others nothing has changed.
local function follow(self)
  local port = math.tointeger(self.url:match ":(%d+)$")
  local ok, done = pcall(try_open, self, port)
  if not ok then
    ok, done = pcall(try_open, self, 0)
  end
  if not ok then
    self.notice = nil
    complain(done)
  elseif done then
    tell(self)
  end
end

-- Looks, now and then, whether the other process is still there.
local function watch(self)
  self.timer = loop.after(WATCH_SECONDS, function()
    if self.notice ~= (read_notice(self.dir)) then
      follow(self)
    end
    if self.notice then
      watch(self)
    end
  end)
end

local function open_place(dir)
  local self = setmetatable({ dir = dir, users = 0, sessions = setmetatable({}, { __mode = "k" }) },
    mt)
  local limit = system.monotonic() + PATIENCE_SECONDS
  while true do
    local done, message = try_open(self, 0)
    if done then
      break
    elseif system.monotonic() > limit then
      error(message, 0)
    end
    loop.wait(function() return false end, nil, STEP_SECONDS)
  end
  if self.notice then
    watch(self)
  end
  return self
end

--- The local service, opened unless this process has it open already. Whoever takes it leaves it.
---@return lambdapool.account.Place
local function take()
  local dir = serve.folder()
  if not dir then
    error("there is no home to keep functions in\n  set HOME or XDG_STATE_HOME", 0)
  end
  place = place or open_place(dir)
  place.users = place.users + 1
  return place
end

-- Others may be in the middle of something. What they send from now on comes back to them, and
-- they will send it to who takes over. Ctrl-C ends the wait.
local function retire(service)
  if not service:retire(NOTICE_SECONDS) then
    progress.world.write("lambdapool: waiting for what other programs run here\n")
    service:retire(RETIREMENT_SECONDS)
  end
end

--- A session that talks to the service: it is told when that is somewhere else.
---@param session lambdapool.aws.Session
function methods:serves(session)
  self.sessions[session] = true
end

--- Waits until what was accepted has run, if it is this process that runs it: it would have to wait
--- for the next one otherwise.
function methods:settle()
  local service = self.service
  if service then
    loop.wait(function() return service.queue:is_idle() end)
  end
end

--- Gives it back. When everybody has, this process lets go of the folder.
function methods:leave()
  self.users = self.users - 1
  if self.users > 0 then
    return
  end
  place = nil
  if self.timer then
    self.timer:cancel()
  end
  if not self.service then
    depart(self.dir)
  else
    local ok, problem = true, nil
    if has_guests(self.dir) then
      ok, problem = pcall(retire, self.service)
    end
    self.service:close()
    if not ok then
      error(problem, 0)
    end
  end
end

return { take = take, PATIENCE_SECONDS = PATIENCE_SECONDS }
