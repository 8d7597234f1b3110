--- Requests: invocations as they go over the wire, signed and sent. What does not change from one
--- to the next is made once.

local http = require "lambdapool.http"
local sigv4 = require "lambdapool.aws.sigv4"

---@class lambdapool.backend.aws.Sender
---@field session table see lambdapool.aws.session
---@field path string of the function, and the query
---@field query string?
---@field base string? the endpoint that the others are for: the local service may move
---@field url string
---@field request table what is signed, with a body and new headers each time
---@field transfer table what is sent, likewise
---@field options table how it is signed, with the time each time
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Sender", __index = methods }

local CONNECT_SECONDS = 5

-- As a part of a path, or of a query: a function's name may be an ARN.
local function encode(text)
  return (text:gsub("[^%w%-._~]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local function set_endpoint(self, base, host)
  local query = self.query
  self.base = base
  self.url = base .. self.path .. (query and "?" .. query or "")
  self.request = {
    method = "POST",
    path = (base:match "^%a+://[^/]+(/.*)$" or "") .. self.path,
    query = query,
    headers = { host = host, ["x-amz-log-type"] = "Tail" },
  }
  self.transfer = { seconds = nil }
end

-- What the HTTP client is told, but the body: mostly the same as the last time. It keeps the table.
local function transfer_for(self, seconds)
  local session, last = self.session, self.transfer
  if last.seconds == seconds and last.ca == session.ca and last.proxy == session.proxy then
    return last
  end
  self.transfer = {
    method = "POST",
    url = self.url,
    headers = self.request.headers,
    seconds = seconds,
    connect_seconds = CONNECT_SECONDS,
    ca = session.ca,
    proxy = session.proxy,
  }
  return self.transfer
end

-- What the last signing has added is not to be signed.
local function forget_signature(headers)
  headers["authorization"], headers["x-amz-date"] = nil, nil
  headers["x-amz-content-sha256"], headers["x-amz-security-token"] = nil, nil
end

--- Sends a job to the function. Later, while the loop runs, done(response, job) is called.
---@param job lambdapool.backend.aws.Job
---@param credentials lambdapool.aws.Credentials
---@param done fun(response: table, job: lambdapool.backend.aws.Job)
---@return table transfer
function methods:send(job, credentials, done)
  local session, options = self.session, self.options
  local base, host = session:endpoint "lambda"
  if base ~= self.base then
    set_endpoint(self, base, host)
  end
  local request = self.request
  request.body, options.time = job.request, session:time()
  forget_signature(request.headers)
  sigv4.sign(request, credentials, options, request.headers)
  request.body = nil
  local transfer = transfer_for(self, job.seconds)
  transfer.body = job.request
  local sent = http.send(transfer, done, job) -- which has copied what changes
  transfer.body = nil
  return sent
end

--- For a function of a session, by its name or ARN.
---@param session table
---@param name string
---@param qualifier string? a version or an alias
---@return lambdapool.backend.aws.Sender
local function new(session, name, qualifier)
  return setmetatable({
    session = session,
    path = ("/2015-03-31/functions/%s/invocations"):format(encode(name)),
    query = qualifier and "Qualifier=" .. encode(qualifier) or nil,
    options = { service = "lambda", region = session:signing_region "lambda", sign_body = true },
  }, mt)
end

return { new = new }
