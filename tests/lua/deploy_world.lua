--- An account for specs of deploy.*: a real service in this process, and what was asked of it.

local functions = require "lambdapool.deploy.function"
local serve = require "lambdapool.serve"
local sessions = require "lambdapool.aws.session"

local deploy_world = {}

---@class tests.Deployment
---@field account table as lambdapool.account opens it
---@field folder string for files, removed at the end
---@field asked string[] the operations that were asked for, in order
local methods = {}
local mt = { __index = methods }

local function session(url, region)
  return sessions.new {
    region = region, endpoint_url = url, proxy = "", environment = function() end,
    credentials = { access_key = "AKIDEXAMPLE", secret_key = "secret" },
  }
end

--- The account as it is in another region.
function methods:elsewhere(region)
  return { session = session(self.service.url, region), backend = "aws", name = "elsewhere" }
end

--- Writes a file of the folder; makes the folders on the way. Returns its path.
function methods:write(name, text)
  local path = self.folder .. "/" .. name
  os.execute(("mkdir -p '%s'"):format(path:match "^(.*)/"))
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  return path
end

--- Options with an agent that is small.
function methods:options(more)
  local options = { agent = self.agent }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return options
end

function methods:create(name, more)
  return functions.create(self.account, name, self:options(more))
end

function methods:update(name, more)
  return functions.update(self.account, name, self:options(more))
end

--- Forgets what was asked for until now.
function methods:forget()
  self.asked = {}
end

--- The operations that change something, among those that were asked for. "code" is a download.
function methods:changes()
  local list = {}
  for _, operation in ipairs(self.asked) do
    if not operation:find "^Get" and not operation:find "^List" and operation ~= "code" then
      list[#list + 1] = operation
    end
  end
  return list
end

--- The configuration of a function, straight from the service.
function methods:configuration(name)
  local answer = self.account.session:lambda():call("GetFunction", { FunctionName = name })
  return answer.Configuration, answer.Tags or {}
end

--- A role, or nil.
function methods:role(name)
  local iam = self.account.session:iam()
  local ok, answer = pcall(iam.call, iam, "GetRole", { RoleName = name })
  return ok and answer.Role or nil
end

--- Has f(real, operation, input) called in place of the calls of a client.
function methods:intercept(service, f)
  local client = self.account.session[service](self.account.session)
  local real = function(operation, input)
    return getmetatable(client).__index.call(client, operation, input)
  end
  client.call = function(_, operation, input)
    return f(real, operation, input)
  end
end

--- What f(...) raises, as text, and its exit code.
function deploy_world.failure(f, ...)
  local result = table.pack(pcall(f, ...))
  assert(not result[1], "it raised nothing")
  local failure = result[2]
  return tostring(failure), type(failure) == "table" and failure.exit
end

function methods:close()
  self.service:close()
  require("lambdapool.http").close()
  os.execute(("rm -rf '%s'"):format(self.folder))
end

---@param options table? for lambdapool.serve
---@return tests.Deployment
function deploy_world.open(options)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local self = setmetatable({ folder = folder, asked = {} }, mt)
  local settings = {
    dir = folder .. "/service", port = 0, access_key = "AKIDEXAMPLE", secret_key = "secret",
    settle_seconds = 0.01, strict_roles = true,
    log = function(entry) table.insert(self.asked, entry.operation or "?") end,
    complain = function(problem) error(problem) end,
  }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  self.service = assert(serve.open(settings))
  self.account = { session = session(self.service.url, "us-east-1"), backend = "local",
    name = "the local service" }
  self.agent = self:write("agent/bootstrap", "#!/bin/sh\n")
  return self
end

return deploy_world
