--- The operations Invoke, InvokeAsync and InvokeWithResponseStream. They answer the request by
--- themselves, some of them later; what they raise at once the front answers.
local crypto = require "lambdapool.crypto"
local delay = require "lambdapool.serve.run.delay"
local fault = require "lambdapool.serve.fault"
local intake = require "lambdapool.serve.run.intake"
local limits = require "lambdapool.serve.run.limits"
local streaming = require "lambdapool.serve.run.streaming"

local invoke = {}

-- Answers without a function's response -------------------------------------------------------

local function answer(context, request, status, headers, body)
  headers["x-amzn-requestid"] = context.request_id
  request:respond(status, headers, body)
  if context.done then
    context.done(context, status)
  end
end

local function enqueue(context, request, name, qualifier)
  local size = request:size()
  if size > limits.EVENT then
    fault(413, "RequestTooLargeException",
      ("%d byte payload is too large for the Event invocation type (limit %d bytes)"):format(size,
        limits.EVENT))
  end
  local record = intake.find(context, name, qualifier)
  context.service.queue:push(record, intake.event(request), context.request_id)
end

-- Synchronous ----------------------------------------------------------------------------------

local sink = {}

function sink.finish(invocation)
  local context, request = invocation.context, invocation.request
  if invocation.fault then
    return context.service.answer_fault(context, request, invocation.fault)
  end
  request:respond(200, {
    ["content-type"] = "application/json",
    ["x-amzn-requestid"] = invocation.request_id,
    ["x-amzn-remapped-content-length"] = "0",
    ["x-amz-executed-version"] = invocation.record.version,
    ["x-amzn-trace-id"] = invocation.trace_id,
    ["x-amz-function-error"] = invocation.failed and "Unhandled" or nil,
    ["x-amz-log-result"] = invocation.log and crypto.base64(invocation.log) or nil,
  }, invocation.body)
  if context.done then
    context.done(context, 200, invocation)
  end
end

local function run(context, request, name, qualifier, to)
  local record = intake.find(context, name, qualifier)
  local invocation = intake.invocation(context, request, record, intake.event(request), to)
  local ok, reason = context.service.environments:run(invocation)
  if not ok then
    error(intake.throttled(reason), 0)
  end
end

-- The operations -------------------------------------------------------------------------------

local function dry_run(context, request, name, qualifier)
  intake.find(context, name, qualifier)
  answer(context, request, 204, {})
end

local function invoke_now(context, request, name, qualifier)
  local kind = intake.type(request)
  intake.check_size(request, "InvokeFunction")
  if kind == "RequestResponse" then
    run(context, request, name, qualifier, sink)
  elseif kind == "DryRun" then
    dry_run(context, request, name, qualifier)
  else
    enqueue(context, request, name, qualifier)
    answer(context, request, 202, {})
  end
end

local function stream_now(context, request, name, qualifier)
  local kind = intake.type(request)
  intake.check_size(request, "InvokeWithResponseStream")
  if kind == "DryRun" then
    dry_run(context, request, name, qualifier)
  else
    run(context, request, name, qualifier, streaming.sink)
  end
end

local function async_now(context, request, name)
  intake.check_size(request, "InvokeAsync")
  enqueue(context, request, name)
  answer(context, request, 202, { ["content-type"] = "application/json" }, '{"Status":202}')
end

-- With --latency requests wait in a line before they are looked at ----------------------------

local function attend(item)
  local ok, failure = pcall(item.operation, item.context, item.request, item.name, item.qualifier)
  if not ok then
    item.context.service.answer_fault(item.context, item.request, failure)
  end
end

local function later(operation)
  return function(context, request, name, qualifier)
    local service = context.service
    if (service.latency or 0) == 0 then
      return operation(context, request, name, qualifier)
    end
    service.latency_line = service.latency_line or delay.new(service.latency / 1000, attend)
    service.latency_line:push {
      operation = operation, context = context, request = request, name = name,
      qualifier = qualifier,
    }
  end
end

--- Invoke(context, request, name or ARN, qualifier).
invoke.handle = later(invoke_now)

--- InvokeWithResponseStream, likewise.
invoke.stream = later(stream_now)

--- InvokeAsync(context, request, name).
invoke.async = later(async_now)

return invoke
