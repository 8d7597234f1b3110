--- The answers of InvokeWithResponseStream: event stream messages as the response comes in. A
--- client that reads slowly slows down the function, not the service.
local crypto = require "lambdapool.crypto"
local eventstream = require "lambdapool.serve.run.eventstream"
local json = require "lambdapool.json"
local loop = require "lambdapool.loop"

-- So much may wait to be sent before the function has to wait, too.
local AHEAD = 1048576

local streaming = {}

-- The invocations whose clients are behind, by request.
local behind = setmetatable({}, { __mode = "k" })

--- Sends part of a streamed answer.
---@param invocation lambdapool.serve.Invocation
---@param bytes string
function streaming.write(invocation, bytes)
  local request = invocation.request
  if request:gone() then
    return
  end
  if request:write(bytes) > AHEAD and invocation.streaming and not behind[request] then
    behind[request] = invocation
    loop.pause(invocation.worker, true)
  end
end

--- The client has taken what was sent, or is gone.
function streaming.drained(request)
  local invocation = behind[request]
  if invocation then
    behind[request] = nil
    if invocation.streaming then
      loop.pause(invocation.worker, false)
    end
  end
end

-- The sink -------------------------------------------------------------------------------------

local sink = {}

local function begin(invocation)
  invocation.begun = true
  invocation.request:begin(200, {
    ["content-type"] = eventstream.CONTENT_TYPE,
    ["x-amzn-requestid"] = invocation.request_id,
    ["x-amz-executed-version"] = invocation.record.version,
    ["x-amzn-trace-id"] = invocation.trace_id,
  })
end

function sink.begin(invocation)
  begin(invocation)
end

function sink.chunk(invocation, bytes)
  if bytes ~= "" then
    streaming.write(invocation, eventstream.chunk(bytes))
  end
end

local function last_message(invocation)
  return eventstream.complete(json.encode {
    ErrorCode = invocation.failed and "Unhandled" or nil,
    ErrorDetails = invocation.failed and invocation.body or nil,
    LogResult = invocation.log and crypto.base64(invocation.log) or nil,
  })
end

function sink.finish(invocation)
  local context, request = invocation.context, invocation.request
  if invocation.fault and not invocation.begun then
    return context.service.answer_fault(context, request, invocation.fault)
  end
  behind[request] = nil
  if not invocation.begun then
    begin(invocation)
    if not invocation.failed and invocation.body ~= "" then
      streaming.write(invocation, eventstream.chunk(invocation.body))
    end
  end
  streaming.write(invocation, last_message(invocation))
  request:finish()
  if context.done then
    context.done(context, 200, invocation)
  end
end

streaming.sink = sink

return streaming
