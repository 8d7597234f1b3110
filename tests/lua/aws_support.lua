--- What tests of AWS need: a home folder, an environment, and servers that answer as the test says.

local loop = require "lambdapool.loop"
local sessions = require "lambdapool.aws.session"

local support = {}

-- Home ----------------------------------------------------------------------------------------

---@class tests.Home
---@field path string
local home = {}
local home_mt = { __index = home }

function home:write(name, text)
  local path = self.path .. "/" .. name
  assert(os.execute(("mkdir -p '%s'"):format(path:match "^(.*)/")))
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
  return path
end

function home:read(name)
  local file <close> = io.open(self.path .. "/" .. name, "rb")
  return file and file:read "a"
end

function home:remove()
  os.execute(("rm -rf '%s'"):format(self.path))
end

function support.home()
  local pipe <close> = assert(io.popen "mktemp -d")
  return setmetatable({ path = pipe:read "l" }, home_mt)
end

--- A session in that home, where nothing of the real environment is seen. `options` are those of
--- the session, and `variables`.
function support.session(folder, options)
  options = options or {}
  local variables = options.variables or {}
  variables.HOME = folder and folder.path
  variables.AWS_EC2_METADATA_DISABLED = variables.AWS_EC2_METADATA_DISABLED or "true"
  options.variables = nil
  options.environment = function(name) return variables[name] end
  return sessions.new(options)
end

-- Servers -------------------------------------------------------------------------------------

local server_mt = {}
server_mt.__index = server_mt

function server_mt:close()
  self.listener:close()
end

server_mt.__close = server_mt.close

local function record(request)
  local headers = {}
  for _, pair in ipairs(request:headers()) do
    headers[pair[1]:lower()] = pair[2]
  end
  return { method = request:method(), path = request:path(), query = request:query(),
    headers = headers, body = request:body() }
end

--- A server that answers with what `answer(request, count)` returns: status, headers, body; nothing
--- for no answer at all. It notes what it was asked in `requests`.
function support.server(answer)
  local self = setmetatable({ requests = {} }, server_mt)
  self.listener = assert(loop.listen({ host = "127.0.0.1", port = 0 }, function(_, request)
    local noted = record(request)
    table.insert(self.requests, noted)
    local status, headers, body = answer(noted, #self.requests)
    if status then
      request:respond(status, headers, body)
    else
      request:abort()
    end
  end))
  self.url = ("http://127.0.0.1:%d"):format(self.listener:port())
  return self
end

--- What f(...) raises.
function support.failure(f, ...)
  local ok, problem = pcall(f, ...)
  assert(not ok, "it raised nothing")
  return problem
end

--- A refusal of a session, of a certain code.
function support.refused(code, f, ...)
  local problem = support.failure(f, ...)
  assert(type(problem) == "table" and problem.code == code, tostring(problem))
  return problem
end

return support
