--- From a request to an invocation: what is checked before anything runs, in the order of AWS.
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local functions = require "lambdapool.serve.lambda.functions"
local json = require "lambdapool.json"
local limits = require "lambdapool.serve.run.limits"
local names = require "lambdapool.serve.lambda.names"
local system = require "lambdapool.system"

local intake = {}

local TYPES = { RequestResponse = true, Event = true, DryRun = true }
local LOG_TYPES = { None = true, Tail = true }

local function check_choice(value, member, choices, list)
  if value and not choices[value] then
    fault.validation {
      names.violation(value, member, "Member must satisfy enum value set: " .. list),
    }
  end
end

--- The type of the invocation that a request asks for.
---@return "RequestResponse"|"Event"|"DryRun"
function intake.type(request)
  local kind = request:header "x-amz-invocation-type"
  check_choice(kind, "invocationType", TYPES, "[Event, RequestResponse, DryRun]")
  return kind or "RequestResponse"
end

---@param operation string as it is named in the text of the error
function intake.check_size(request, operation)
  if request:problem() or request:size() > limits.REQUEST then
    fault(413, "RequestEntityTooLargeException",
      ("Request must be smaller than %d bytes for the %s operation"):format(limits.REQUEST,
        operation))
  end
end

--- The function that is meant, which can run.
function intake.find(context, name, qualifier)
  local record = functions.resolve(context.service, context.region, name, qualifier)
  if record.state == "Pending" or record.state == "Failed" then
    fault(409, "ResourceConflictException", "The operation cannot be performed at this time. " ..
      "The function is currently in the following state: " .. record.state)
  end
  return record
end

--- The event that a request carries: JSON, and `{}` when it carries nothing.
---@return string
function intake.event(request)
  local event = request:body()
  if event == "" then
    return "{}"
  end
  local ok, message = json.check(event)
  if not ok then
    fault(400, "InvalidRequestContentException", "Could not parse request body into json: " ..
      "Could not parse payload into json: " .. message)
  end
  return event
end

-- As it goes to the runtime, in a header.
local function client_context(text)
  local context = crypto.unbase64(text)
  if #text > limits.CLIENT_CONTEXT then
    fault(400, "InvalidRequestContentException",
      ("Client context must be no more than %d bytes in length."):format(limits.CLIENT_CONTEXT))
  elseif not context or not json.check(context) then
    fault(400, "InvalidRequestContentException",
      "Client context must be a valid Base64-encoded JSON object.")
  end
  return (context:gsub("[\r\n]", " "))
end

--- What X-Ray calls the request; made from its id unless the client has named it.
---@return string
function intake.trace(request_id, given)
  if given then
    return given
  end
  local head, tail = request_id:sub(1, 8), request_id:sub(25)
  return ("Root=1-%08x-%s%s%s;Parent=%s%s;Sampled=0"):format(system.now() // 1000, head,
    request_id:sub(10, 13), tail, head, tail:sub(1, 8))
end

--- The invocation of `record` with `event` that a request asks for.
---@param sink table see invocation.lua
---@return lambdapool.serve.Invocation
function intake.invocation(context, request, record, event, sink)
  local log_type = request:header "x-amz-log-type"
  local given = request:header "x-amz-client-context"
  check_choice(log_type, "logType", LOG_TYPES, "[None, Tail]")
  return {
    record = record,
    event = event,
    sink = sink,
    context = context,
    request = request,
    request_id = context.request_id,
    trace_id = intake.trace(context.request_id, request:header "x-amzn-trace-id"),
    tail = log_type == "Tail",
    client_context = given and client_context(given),
  }
end

--- Too many run already.
---@param reason string
---@return lambdapool.serve.Fault
function intake.throttled(reason)
  return fault.new(429, "TooManyRequestsException", "Rate Exceeded.", { Reason = reason },
    { ["retry-after"] = "1" })
end

return intake
