--- Clients of AWS services: an operation by its name, its input as a table, its output as a table.
--- What goes wrong is raised as a refusal. Requests are signed, sent again as the SDKs do, and
--- clocks that go wrong are corrected once. Waiting yields in a flow and blocks elsewhere.

local completion = require "lambdapool.completion"
local crypto = require "lambdapool.crypto"
local http = require "lambdapool.http"
local refusals = require "lambdapool.aws.refusal"
local retries = require "lambdapool.aws.retries"
local shapes = require "lambdapool.aws.shapes"
local sigv4 = require "lambdapool.aws.sigv4"
local system = require "lambdapool.system"

local AGENT = ("lambdapool/%s lua/5.4"):format(system.version)

-- How long a request may take, and what is added for every byte of its body: 50 KB/s is enough.
local SECONDS, SECONDS_PER_BYTE = 60, 1 / 50000

-- How often to look whether a service is back.
local STEP = 0.1

local EXPIRED = { ExpiredTokenException = true, ExpiredToken = true }

---@class lambdapool.aws.Client
---@field session lambdapool.aws.Session
---@field service lambdapool.aws.Service
---@field private retries lambdapool.aws.Retries
---@field private credentials lambdapool.aws.Credentials|false|nil false: requests are not signed
local methods = {}
local mt = { __name = "lambdapool.aws.Client", __index = methods }

-- Sending -------------------------------------------------------------------------------------

local function copy(headers)
  local all = {}
  for name, value in pairs(headers) do
    all[name] = value
  end
  return all
end

-- The headers of one attempt, the signature among them. Host is signed, and sent by the transfer.
local function headers_of(self, request, attempt, credentials)
  local session, service = self.session, self.service.name
  local headers = copy(request.headers)
  headers["user-agent"] = AGENT
  headers["amz-sdk-invocation-id"] = request.id
  headers["amz-sdk-request"] = ("attempt=%d"):format(attempt)
  if credentials then
    headers.host = select(2, session:endpoint(service))
    local added = sigv4.sign({ method = request.method, path = request.path, query = request.query,
      headers = headers, body = request.body }, credentials,
      { region = session:signing_region(service), service = service, time = session:time(),
        sign_body = true })
    for name, value in pairs(added) do
      headers[name] = value
    end
    headers.host = nil
  end
  return headers
end

local function send(self, request, attempt, credentials)
  local session = self.session
  local url, _, prefix = session:endpoint(self.service.name)
  local target = request.path .. (request.query and "?" .. request.query or "")
  return http.request {
    method = request.method,
    url = url:sub(1, #url - #prefix) .. target,
    headers = headers_of(self, request, attempt, credentials),
    body = request.body,
    seconds = request.seconds or SECONDS + #(request.body or "") * SECONDS_PER_BYTE,
    ca = session.ca,
    proxy = session.proxy,
  }
end

-- Judging -------------------------------------------------------------------------------------

local function malformed(self, operation, response, message)
  return refusals.new {
    service = self.service.name, operation = operation, status = response.status,
    code = "MalformedAnswer", message = "the answer makes no sense: " ..
      refusals.excerpt(message),
    request_id = response.headers["x-amzn-requestid"],
    hint = "something between this machine and AWS may have changed it",
  }
end

-- The output, or nil and the refusal.
local function judge(self, operation, input, response, credentials)
  local service = self.service
  if response.failure then
    return nil, refusals.of_failure(service.name, operation, response,
      self.session:context(service.name, credentials, input))
  elseif response.status < 200 or response.status > 299 then
    return nil, refusals.of_response(service.name, operation, response.status, response.headers,
      response.body, self.session:context(service.name, credentials, input))
  end
  local output, message = service.decode(operation, response)
  message = message or shapes.problem(service.name, operation, output)
  if message then
    return nil, malformed(self, operation, response, message)
  end
  return output
end

-- Once per call, a clock is set or credentials are renewed.
local function cure(self, refusal, cured, credentials)
  local session = self.session
  if not cured.clock and session:correct_clock(refusal) then
    cured.clock = true
    return true
  elseif EXPIRED[refusal.code] and not cured.token and self.credentials == nil then
    cured.token = true
    return session:forget_credentials(credentials)
  end
  return false
end

local function may_repeat(request, refusal)
  return not request.once or refusal.status == 429 or refusal.failure and not refusal.sent
end

local function sleep(seconds)
  completion.await({}, seconds)
end

-- Nobody listens there: some services come back, perhaps somewhere else.
local function is_gone(refusal)
  return refusal.failure == "connect" and not refusal.sent
end

local function credentials_of(self)
  if self.credentials == nil then
    return self.session:credentials()
  end
  return self.credentials or nil
end

---@param self lambdapool.aws.Client
---@param request lambdapool.aws.Request
local function perform(self, request, operation, input)
  local paid, cured, attempt = {}, {}, 1
  local limit
  while true do
    local credentials = credentials_of(self)
    local response = send(self, request, attempt, credentials)
    local output, refusal = judge(self, operation, input, response, credentials)
    if output then
      self.retries:succeeded(paid)
      return output
    end
    limit = limit or is_gone(refusal) and system.monotonic() + self.session.patience
    if is_gone(refusal) and system.monotonic() < limit then
      sleep(STEP)
    elseif not cure(self, refusal, cured, credentials) then
      refusal.attempts = attempt
      local pause = may_repeat(request, refusal) and self.retries:pause(refusal, attempt, paid)
      if not pause then
        error(refusal, 0)
      end
      sleep(pause)
      attempt = attempt + 1
    end
  end
end

-- Operations ----------------------------------------------------------------------------------

--- Performs an operation and waits for its output. Members have the names of the API. Raises a
--- refusal.
---@param operation string
---@param input table?
---@return table output
function methods:call(operation, input)
  local request = self.service.encode(operation, input or {})
  local _, _, prefix = self.session:endpoint(self.service.name)
  request.path = prefix .. request.path
  request.id = crypto.uuid()
  return perform(self, request, operation, input or {})
end

local function next_token(self, operation, output, asked)
  local _, tell = self.service.page_members(operation)
  local token = output[tell]
  if token == "" or output.IsTruncated == false then
    return nil
  elseif token and token == asked then
    if operation == "GetLogEvents" then
      return nil
    end
    error(malformed(self, operation, { headers = {} }, "the pages do not end"), 0)
  end
  return token
end

--- Goes through the items of all pages of a list: `for _, item in client:pages(...)`. Each page is
--- asked for when it is needed.
---@param operation string
---@param input table?
---@param list string the member of the output that is the list
---@return fun(): integer?, table?
function methods:pages(operation, input, list)
  local ask = self.service.page_members(operation)
  local asked = copy(input or {})
  local items, i, count, ended = {}, 0, 0, false
  return function()
    i = i + 1
    while items[i] == nil and not ended do
      local output = self:call(operation, asked)
      items, i = output[list] or {}, 1
      asked[ask] = next_token(self, operation, output, asked[ask])
      ended = asked[ask] == nil
    end
    if items[i] ~= nil then
      count = count + 1
      return count, items[i]
    end
  end
end

--- A client of a service, with the credentials of the session, with others, or with none (false).
---@param session lambdapool.aws.Session
---@param service lambdapool.aws.Service
---@param credentials lambdapool.aws.Credentials|false|nil
---@return lambdapool.aws.Client
local function new(session, service, credentials)
  return setmetatable({ session = session, service = service, credentials = credentials,
    retries = retries.new(session.max_attempts) }, mt)
end

return { new = new }
