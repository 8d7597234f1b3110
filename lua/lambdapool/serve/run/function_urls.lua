--- Requests to function URLs. A URL is /lambda-url/ID/... on this server, or as the host
--- ID.lambda-url.REGION... .
local authentication = require "lambdapool.serve.authentication"
local cors = require "lambdapool.serve.run.cors"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local functions = require "lambdapool.serve.lambda.functions"
local intake = require "lambdapool.serve.run.intake"
local limits = require "lambdapool.serve.run.limits"
local policies = require "lambdapool.serve.lambda.policies"
local streaming = require "lambdapool.serve.run.streaming"
local url_event = require "lambdapool.serve.run.url_event"
local url_response = require "lambdapool.serve.run.url_response"
local urls_config = require "lambdapool.serve.lambda.urls_config"

-- A description in front of a streamed body is not longer.
local PRELUDE_BYTES = 1048576

local function_urls = {}

-- Answers --------------------------------------------------------------------------------------

local function decorate(call, headers)
  for name, value in pairs(cors.headers(call.url.cors, call.request:header "origin")) do
    headers[name] = value
  end
  headers["x-amzn-requestid"] = call.request_id
  headers["x-amzn-trace-id"] = call.trace_id
  return headers
end

local function done(call, status, invocation)
  if call.done then
    call.done(call, status, invocation)
  end
end

local function respond(call, status, headers, body)
  call.request:respond(status, decorate(call, headers), body)
  done(call, status, call.invocation)
end

-- What the service has to say itself is in the member Message.
local function refuse(call, status, message, headers)
  headers = headers or {}
  headers["content-type"] = "application/json"
  respond(call, status, headers, ('{"Message":"%s"}'):format(message))
end

local function broken(call)
  respond(call, 502, { ["content-type"] = "application/json" }, "Internal Server Error")
end

-- Buffered -------------------------------------------------------------------------------------

local function buffered_answer(invocation)
  if invocation.failed or invocation.fault then
    return nil
  elseif invocation.content_type == url_response.PRELUDE_TYPE then
    return url_response.from_prelude(invocation.body) or nil
  end
  return url_response.from(invocation.body)
end

-- What a function wants to answer need not be what HTTP allows.
local function finish(invocation)
  local call, answer = invocation.call, buffered_answer(invocation)
  if answer and pcall(call.request.respond, call.request, answer.status,
    decorate(call, answer.headers), answer.body) then
    done(call, answer.status, invocation)
  else
    broken(call)
  end
end

local buffered = { finish = finish }

-- Streamed -------------------------------------------------------------------------------------

local streamed = {}

local function start(invocation, answer)
  local call = invocation.call
  if not pcall(call.request.begin, call.request, answer.status, decorate(call, answer.headers)) then
    invocation.unfit = true
    return
  end
  call.status = answer.status
  if answer.body ~= "" then
    streaming.write(invocation, answer.body)
  end
end

function streamed.begin(invocation, content_type)
  if content_type == url_response.PRELUDE_TYPE then
    invocation.prelude = ""
  else
    start(invocation, { status = 200, body = "", headers = { ["content-type"] = content_type } })
  end
end

local function read_prelude(invocation, bytes)
  local prelude = invocation.prelude .. bytes
  local answer = #prelude <= PRELUDE_BYTES and url_response.from_prelude(prelude)
  if answer then
    invocation.prelude = nil
    start(invocation, answer)
  else
    invocation.prelude = prelude:sub(1, PRELUDE_BYTES + 1)
  end
end

function streamed.chunk(invocation, bytes)
  if invocation.prelude then
    read_prelude(invocation, bytes)
  elseif bytes ~= "" and not invocation.unfit then
    streaming.write(invocation, bytes)
  end
end

function streamed.finish(invocation)
  local call = invocation.call
  if invocation.prelude or invocation.unfit then
    return broken(call)
  elseif not call.status then
    return finish(invocation)
  elseif invocation.failed then
    call.request:abort()
  else
    call.request:finish()
  end
  done(call, call.status, invocation)
end

-- Requests -------------------------------------------------------------------------------------

-- Who signed the request; raises when the URL wants to know and nobody did, or not correctly. Who
-- may sign belongs to the account and may invoke what is in it; others need a permission.
local function caller_of(service, request, url)
  local caller, scope
  if url.auth == "AWS_IAM" then
    caller, scope = authentication.verify(service.credentials, request)
    if not caller or scope ~= "lambda" then
      fault(403, "AccessDeniedException", "Forbidden")
    end
  end
  if url.auth == "NONE"
    and not policies.allows_url(service, url.region, url.name, url.qualifier, url.auth) then
    fault(403, "AccessDeniedException", "Forbidden")
  end
  return caller
end

local function run(call, service, path)
  local request, url = call.request, call.url
  local caller = caller_of(service, request, url)
  if request:problem() or request:size() > limits.REQUEST then
    fault(413, "RequestEntityTooLargeException", "Request Entity Too Large")
  end
  local record = functions.resolve(service, url.region, url.name, url.qualifier)
  call.invocation = {
    record = record, request = request, request_id = call.request_id, trace_id = call.trace_id,
    sink = url.mode == "RESPONSE_STREAM" and streamed or buffered, call = call,
    event = url_event.make(request, path, {
      id = call.id, region = url.region,
      request_id = call.request_id, trace_id = call.trace_id, caller = caller,
      account = record.arn:match "^[^:]+:[^:]+:lambda:[^:]+:(%d+):",
    }),
  }
  local ok, reason = service.environments:run(call.invocation)
  if not ok then
    error(intake.throttled(reason), 0)
  end
end

--- Answers a request, later perhaps.
---@param service table
---@param request userdata
---@param id string of the URL
---@param path string what follows it, with its slash
---@param done_with fun(call: table, status: integer, invocation: table?)? hears of the answer
function function_urls.handle(service, request, id, path, done_with)
  local url = urls_config.find(service, id)
  local request_id = crypto.uuid()
  local call = {
    request = request, id = id, url = url or {}, request_id = request_id, done = done_with,
    trace_id = intake.trace(request_id, request:header "x-amzn-trace-id"),
  }
  if not url then
    return refuse(call, 403, "Forbidden")
  elseif cors.is_preflight(url.cors, request) then
    return respond(call, 200, cors.preflight(url.cors, request), "")
  end
  local ok, problem = pcall(run, call, service, path == "" and "/" or path)
  if not ok and fault.is(problem) then
    refuse(call, problem.status, problem.message, problem.headers)
  elseif not ok then
    error(problem, 0)
  end
end

return function_urls
