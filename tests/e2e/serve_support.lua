--- A server of its own for specs of `lambdapool serve`, in a folder that is removed afterwards.

local json = require "lambdapool.json"
local system = require "lambdapool.system"

local support = {
  build = os.getenv "LAMBDAPOOL_BUILD",
  access_key = "AKIDEXAMPLE",
  secret_key = "secret",
  role = "arn:aws:iam::123456789012:role/lp",
}

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

--- Runs a shell command; what it printed and its exit code.
---@return string
---@return integer
function support.run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  local _, _, code = pipe:close()
  return text, code
end

--- Waits until check() returns something true, and returns that.
function support.eventually(check)
  local deadline = system.monotonic() + 60
  while true do
    local result = check()
    if result then
      return result
    elseif system.monotonic() > deadline then
      error("it did not happen", 2)
    end
    os.execute "sleep 0.02"
  end
end

---@class tests.Server
local methods = {}
local mt = { __index = methods }

--- Everything the server has written to stderr.
function methods:log()
  return read(self.folder .. "/log") or ""
end

function methods:is_alive()
  return os.execute(("kill -0 %d 2>/dev/null"):format(self.pid)) == true
end

--- Starts the server on the folder, again if there was one before.
---@param options string?
function methods:start(options)
  local _, code = support.run(([[cd '%s' && rm -f log && { setsid '%s/lambdapool' serve \
    --port 0 --dir data --access-key %s --secret-key %s %s >out 2>log & echo $! >pid; }]]):format(
    self.folder, support.build, support.access_key, support.secret_key, options or ""))
  assert(code == 0)
  self.pid = tonumber(read(self.folder .. "/pid"))
  self.url = support.eventually(function()
    return self:log():match "http://[%d.]+:%d+" or not self:is_alive() and "dead"
  end)
  if self.url == "dead" then
    error("the server has ended: " .. self:log(), 2)
  end
  self.port = tonumber(self.url:match "%d+$")
end

--- Sends a signal and waits until the process is gone.
---@param signal string?
function methods:stop(signal)
  os.execute(("kill -%s %d 2>/dev/null"):format(signal or "TERM", self.pid))
  support.eventually(function() return not self:is_alive() end)
end

--- Runs the AWS CLI. Returns the decoded JSON (or the text) that it printed, its complaint and its
--- exit code.
---@param arguments string
function methods:aws(arguments)
  local out, code = support.run(([[cd '%s' && AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s \
    AWS_PAGER= AWS_MAX_ATTEMPTS=1 HOME='%s' /usr/bin/aws --region us-east-1 --output json \
    --cli-binary-format raw-in-base64-out --endpoint-url %s %s 2>err]]):format(self.folder,
    support.access_key, support.secret_key, self.folder, self.url, arguments))
  return json.decode(out) or out, self:read "err", code
end

--- A file of the folder.
function methods:read(name)
  return read(self.folder .. "/" .. name)
end

function methods:write(name, text)
  write(self.folder .. "/" .. name, text)
end

--- Makes NAME.zip: the bootstrap of this project and app.lua, or the files { name = text }, which
--- can all be executed.
function methods:zip(name, files)
  local place = self.folder .. "/" .. name
  os.execute(("mkdir '%s'"):format(place))
  if type(files) == "string" then
    write(place .. "/app.lua", files)
    os.execute(("cp '%s/bootstrap' '%s/'"):format(support.build, place))
  else
    for file, text in pairs(files) do
      write(place .. "/" .. file, text)
    end
  end
  os.execute(("cd '%s' && chmod 755 * && zip -qr ../%s.zip ."):format(place, name))
  return name .. ".zip"
end

--- Creates a function and waits until it is active.
function methods:create(name, zip, handler, more)
  local answer, complaint, code = self:aws(([[lambda create-function --function-name %s \
    --runtime provided.al2023 --role %s --handler %s --zip-file fileb://%s %s]]):format(name,
    support.role, handler, zip, more or ""))
  assert(code == 0, complaint)
  support.eventually(function()
    return self:aws("lambda get-function --function-name " .. name).Configuration.State == "Active"
  end)
  return answer
end

function methods:remove()
  if self.pid and self:is_alive() then
    self:stop()
  end
  os.execute(("rm -rf '%s'"):format(self.folder))
end

--- A server that has not been started.
---@return tests.Server
function support.new()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  return setmetatable({ folder = folder }, mt)
end

return support
