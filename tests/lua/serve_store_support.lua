--- A store in a temporary folder, a clock that stands still, and the operations on it: what specs
--- of the control plane need.

local archive = require "lambdapool.archive"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local lambda = require "lambdapool.serve.lambda.operations"
local stores = require "lambdapool.serve.store"

local support = {}

support.ROLE = "arn:aws:iam::123456789012:role/lp"
support.ARN = "arn:aws:lambda:eu-west-1:123456789012:function:"

--- The base64 of a zip with one file, `bootstrap`, that holds `text`.
function support.zip(text)
  return crypto.base64(archive.create {
    { name = "bootstrap", data = text or "#!/bin/sh\n", mode = 493 },
  })
end

---@return string folder that does not exist
function support.folder()
  local name = os.tmpname()
  os.remove(name)
  return name
end

local methods = {}
local mt = { __index = methods }

--- Runs an operation. Returns its status and output, or false and the fault.
function methods:call(name, input)
  local ok, status, output = pcall(lambda[name], self.context, input or {})
  if not ok and not fault.is(status) then
    error(status, 0)
  end
  if ok then
    return status, output
  end
  return false, status
end

--- Runs an operation that must succeed; returns its output.
function methods:ok(name, input)
  local status, output = self:call(name, input)
  if not status then
    error(tostring(output), 2)
  end
  return output, status
end

--- Runs an operation that must fail; returns "status type: message".
function methods:fails(name, input)
  local status, problem = self:call(name, input)
  if status then
    error(name .. " succeeded", 2)
  end
  return ("%d %s"):format(problem.status, tostring(problem))
end

--- Makes a function and waits until it is active.
function methods:create(name, more)
  local input = { FunctionName = name, Runtime = "provided.al2023", Role = support.ROLE,
    Handler = "h", Code = { ZipFile = support.zip() } }
  for key, value in pairs(more or {}) do
    input[key] = value
  end
  local output = self:ok("CreateFunction", input)
  self:pass(1)
  return output
end

--- Lets time pass.
function methods:pass(seconds)
  self.time = self.time + seconds
end

--- Closes the store and opens the same folder again.
function methods:restart()
  self.service.store:close()
  self.service.store = assert(stores.open(self.dir))
end

--- Closes the store and removes its folder.
function methods:close()
  self.service.store:close()
  os.execute(("rm -rf '%s'"):format(self.dir))
end

--- Opens a store in a folder, by default a new one.
---@param dir string?
function support.open(dir)
  local world = setmetatable({ time = 1767225600.25, dir = dir or support.folder() }, mt)
  world.service = {
    store = assert(stores.open(world.dir)), url = "http://127.0.0.1:9077", settle_seconds = 0.05,
    now = function() return world.time end,
  }
  world.context = { service = world.service, region = "eu-west-1", account = "123456789012" }
  return world
end

return support
