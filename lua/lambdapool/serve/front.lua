--- The front of the service: whose request it is, which service and which operation it is for, and
--- who answers it. Which of the services on the one port is meant, the scope of the signature says,
--- as it does on AWS.
---
--- Invocations come first and do as little as possible on their way; everything else has time.

local answers = require "lambdapool.serve.answers"
local authentication = require "lambdapool.serve.authentication"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local function_urls = require "lambdapool.serve.run.function_urls"
local iam = require "lambdapool.serve.iam.operations"
local invoke = require "lambdapool.serve.run.invoke"
local json = require "lambdapool.json"
local lambda = require "lambdapool.serve.lambda.operations"
local logs = require "lambdapool.serve.logs.operations"
local query = require "lambdapool.serve.query"
local routes = require "lambdapool.serve.routes"
local sigv4 = require "lambdapool.aws.sigv4"
local streaming = require "lambdapool.serve.run.streaming"
local sts = require "lambdapool.serve.iam.sts"
local system = require "lambdapool.system"
local uri = require "lambdapool.serve.uri"

local INVOCATIONS = "^/2015%-03%-31/functions/([^/]+)/invocations/?$"
local CODE = "^/_lambdapool/code/(%x+)$"
local FUNCTION_URL = "^/lambda%-url/(%w+)(.*)$"
local FUNCTION_HOST = "^(%w+)%.lambda%-url%."

-- How long the URL of a function's code holds.
local CODE_SECONDS = 600

local PROTOCOLS = { lambda = answers.rest, logs = answers.target, iam = answers.query,
  sts = answers.query }

-- Operations that answer by themselves.
local RUNS = { Invoke = invoke.handle, InvokeWithResponseStream = invoke.stream,
  InvokeAsync = invoke.async }

---@class lambdapool.serve.Context
---@field service lambdapool.serve.Service
---@field request userdata
---@field request_id string
---@field account string
---@field protocol lambdapool.serve.Protocol
---@field started number of the clock system.monotonic
---@field access_key string?
---@field scope string? the service that the signature is for
---@field region string?
---@field operation string?
---@field subject string? the function it is about
---@field presign (fun(path: string): string)?
---@field done fun(context: lambdapool.serve.Context, status: integer, invocation: table?)?

local front = {}

-- Faults ------------------------------------------------------------------------------------------

-- What is no fault is a mistake of ours or a failure of the world. The client gets to know that
-- there was one, and who runs the server what it was.
local function as_fault(context, problem)
  if fault.is(problem) then
    return problem
  end
  context.service.complain(problem)
  return fault.new(500, "ServiceException", "An internal error occurred, see the server's output.")
end

--- Answers a request with what an operation has raised.
---@param context lambdapool.serve.Context
---@param request userdata
---@param problem any
function front.answer_fault(context, request, problem)
  local answer = as_fault(context, problem)
  context.error = answer.type
  context.protocol.fault(context, request, answer)
  if context.done then
    context.done(context, answer.status)
  end
end

-- For xpcall: faults are expected, of everything else one wants to know where it came from.
local function with_place(problem)
  return type(problem) == "string" and debug.traceback(problem, 2) or problem
end

-- Which protocol a request is in that nobody has signed.
local function guess_protocol(request)
  if request:header "x-amz-target" then
    return answers.target, "logs"
  elseif (request:header "content-type" or ""):find("x-www-form-urlencoded", 1, true) then
    local is_sts = request:body():find("Version=2011-06-15", 1, true)
    return answers.query, is_sts and "sts" or "iam"
  end
  return answers.rest, "lambda"
end

-- Who asks ----------------------------------------------------------------------------------------

local function authenticate(context, request)
  local access_key, scope, region = authentication.verify(context.service.credentials, request)
  if not access_key then
    context.protocol, context.scope = guess_protocol(request)
    local claimed, claimed_scope = crypto.peek(request)
    if claimed and PROTOCOLS[claimed_scope] then
      context.protocol, context.scope = PROTOCOLS[claimed_scope], claimed_scope
    end
    authentication.refuse(scope, region, context.protocol)
  end
  context.access_key, context.scope, context.region = access_key, scope, region
end

-- The fields that are nil make room for what comes.
local function new_context(service, request)
  return {
    service = service, request = request, request_id = crypto.uuid(), account = service.account,
    protocol = answers.rest, started = system.monotonic(), done = service.done,
    access_key = nil, scope = nil, region = nil, operation = nil, subject = nil,
  }
end

-- The services ------------------------------------------------------------------------------------

-- Bodies of requests that are not for Lambda.
local FORM_BYTES = 1 << 20
local LOGS_BYTES = 16 << 20

local function check_size(request, limit)
  if request:size() > limit then
    fault(413, "RequestEntityTooLargeException",
      ("Request must be smaller than %d bytes"):format(limit))
  end
end

local function finish(context, request, status, output)
  context.protocol.result(context, request, status, output)
  if context.done then
    context.done(context, status)
  end
end

-- A URL for a path of this server that holds for a while without further credentials.
local function presigner(context, request)
  return function(path)
    local credentials = context.service.credentials
    local host = request:header "host" or context.service.url:match "//(.*)$"
    local text = sigv4.presign({ path = path, headers = { host = host } },
      { access_key = credentials.access_key, secret_key = credentials.secret_key },
      { service = "lambda", region = context.region, time = context.service.now(),
        expires = CODE_SECONDS })
    return ("http://%s%s?%s"):format(host, path, text)
  end
end

-- Members of the body that are not said in the path or the query.
local function add_body(input, request)
  if request:size() == 0 then
    return
  end
  local text = request:body()
  local ok, message = json.check(text)
  local body = ok and json.decode(text)
  if not ok then
    fault(400, "SerializationException", "Could not parse request body into json: " .. message)
  elseif type(body) ~= "table" then
    fault(400, "SerializationException", "The request body is not an object")
  end
  for name, value in pairs(body) do
    if input[name] == nil then
      input[name] = value
    end
  end
end

local function too_large(operation)
  local limit, place = 70167211, operation and (" for the %s operation"):format(operation) or ""
  if operation == "Invoke" then
    limit, place = 6291456, " for the InvokeFunction operation"
  end
  fault(413, "RequestEntityTooLargeException",
    ("Request must be smaller than %d bytes%s"):format(limit, place))
end

local function serve_lambda(context, request)
  local method, path = request:method(), request:path()
  local operation, input = routes.match(method, path, request:query())
  local perform = RUNS[operation] or lambda[operation]
  if not perform then
    fault(404, "UnknownOperationException", ("Unknown operation: %s %s"):format(method, path))
  end
  context.operation, context.subject = operation, input.FunctionName
  if RUNS[operation] then
    return perform(context, request, input.FunctionName, input.Qualifier)
  end
  add_body(input, request)
  context.subject = input.FunctionName or input.LayerName
  context.presign = presigner(context, request)
  finish(context, request, perform(context, input))
end

local function serve_query(context, request)
  check_size(request, FORM_BYTES)
  local parameters = query.parameters(request)
  local name = parameters.Action
  local operation = (context.scope == "sts" and sts or iam).operations[name]
  if not name then
    fault(400, "MissingAction", "The request must contain the parameter Action")
  elseif not operation then
    fault(400, "InvalidAction", ("Could not find operation %s for version %s"):format(name,
      parameters.Version or "NO_VERSION_SPECIFIED"))
  end
  context.operation, context.subject = name, parameters.RoleName
  finish(context, request, 200, operation(context, parameters))
end

local function serve_logs(context, request)
  check_size(request, LOGS_BYTES)
  local name = (request:header "x-amz-target" or ""):match "^Logs_20140328%.(%w+)$"
  local operation = name and logs.operations[name]
  if not operation then
    fault(400, "UnknownOperationException", "")
  end
  local text = request:body()
  local input = json.check(text) and json.decode(text)
  if type(input) ~= "table" then
    fault(400, "SerializationException", "Start of structure or map found where not expected.")
  end
  for member, value in pairs(input) do
    if value == json.null then
      input[member] = nil
    end
  end
  context.operation, context.subject = name, input.logGroupName
  finish(context, request, 200, operation(context, input))
end

local SERVICES = { lambda = serve_lambda, logs = serve_logs, iam = serve_query, sts = serve_query }

-- The code of functions, which GetFunction hands out a URL for.
local function serve_code(context, request, hash)
  local bytes = request:method() == "GET" and context.service.store.blobs:get(hash)
  if not bytes then
    fault(404, "ResourceNotFoundException", "There is no such code")
  end
  context.operation = "code"
  request:respond(200, { ["content-type"] = "application/zip",
    ["x-amzn-requestid"] = context.request_id }, bytes)
  if context.done then
    context.done(context, 200)
  end
end

-- Everything with a signature but plain invocations.
local function serve(context, request)
  if request:problem() == "body_too_large" then
    too_large((routes.match(request:method(), request:path())))
  end
  authenticate(context, request)
  local protocol = PROTOCOLS[context.scope]
  if not protocol then
    context.protocol = guess_protocol(request)
    authentication.refuse("scope", "Credential should be scoped to correct service: 'lambda'. ",
      context.protocol)
  end
  context.protocol = protocol
  local hash = request:path():match(CODE)
  if hash then
    return serve_code(context, request, hash)
  end
  return SERVICES[context.scope](context, request)
end

-- Invocations -------------------------------------------------------------------------------------

local function serve_invocation(context, request, name)
  local text = request:query()
  if request:problem() then
    return serve(context, request)
  end
  authenticate(context, request)
  if context.scope ~= "lambda" then
    return serve(context, request)
  end
  context.operation, context.subject = "Invoke", uri.decode(name)
  invoke.handle(context, request, context.subject, text and uri.parse(text).Qualifier)
end

-- Function URLs -----------------------------------------------------------------------------------

-- The id and the path, if the request is for the URL of a function.
local function find_url(request, path)
  local host = request:header "host"
  local id = host and host:match(FUNCTION_HOST)
  if id then
    return id, path
  end
  local rest
  id, rest = path:match(FUNCTION_URL)
  if id and (rest == "" or rest:sub(1, 1) == "/") then
    return id, rest
  end
end

local function serve_url(context, request, id, path)
  context.operation = "FunctionUrl"
  function_urls.handle(context.service, request, id, path, context.done and function(call, status)
    context.request_id, context.subject = call.request_id, call.url.name
    context.done(context, status)
  end)
end

-- Requests ----------------------------------------------------------------------------------------

local function dispatch(context, request)
  local path = request:path()
  local id, rest = find_url(request, path)
  if id then
    return serve_url(context, request, id, rest)
  end
  local name = path:match(INVOCATIONS)
  if name and request:method() == "POST" then
    return serve_invocation(context, request, name)
  end
  return serve(context, request)
end

--- The handler of a server's events; see loop.listen.
---@param service lambdapool.serve.Service
---@return fun(event: string, request: userdata)
function front.handler(service)
  return function(event, request)
    if event == "drained" then
      return streaming.drained(request)
    end
    local context = new_context(service, request)
    local ok, problem = xpcall(dispatch, with_place, context, request)
    if not ok then
      front.answer_fault(context, request, problem)
    end
  end
end

return front
