--- Destinations of asynchronous invocations: functions of ours that hear what became of them.
local crypto = require "lambdapool.crypto"
local functions = require "lambdapool.serve.lambda.functions"
local json = require "lambdapool.json"
local limits = require "lambdapool.serve.run.limits"
local names = require "lambdapool.serve.lambda.names"
local system = require "lambdapool.system"

local destinations = {}

local function timestamp()
  local now = system.now()
  return os.date("!%Y-%m-%dT%H:%M:%S", now // 1000) .. (".%03dZ"):format(now % 1000)
end

-- A response need not be JSON; then it is told as a text.
local function payload(body)
  if json.check(body) then
    return body
  end
  return json.encode(utf8.len(body) and body or crypto.base64(body))
end

-- The event that the destination gets. The payloads are JSON already.
local function event(row, condition, invocation)
  local record = invocation.record
  local context = json.encode {
    requestId = row.request_id,
    functionArn = record.arn:match "^[^:]+:[^:]+:lambda:[^:]+:%d+:function:[^:]+" .. ":"
      .. (row.qualifier or "$LATEST"),
    condition = condition,
    approximateInvokeCount = row.attempts,
  }
  local text = ('{"version":"1.0","timestamp":"%s","requestContext":%s,"requestPayload":%s'):format(
    timestamp(), context, row.event)
  if invocation.body then
    text = ('%s,"responseContext":%s,"responsePayload":%s'):format(text, json.encode {
      statusCode = 200,
      executedVersion = record.version,
      functionError = invocation.failed and "Unhandled" or nil,
    }, payload(invocation.body))
  end
  return text .. "}"
end

--- Queues the event for a destination. Nothing comes of it when that is no function of ours, or if
--- the event gets too large for one.
---@param queue lambdapool.serve.Asynchronous
---@param target string an ARN
---@param row table the event that has come to its end
---@param condition "Success"|"RetriesExhausted"|"EventAgeExceeded"
---@param invocation lambdapool.serve.Invocation its last attempt
function destinations.send(queue, target, row, condition, invocation)
  local name = target:find "^arn:[^:]+:lambda:" and names.split(target)
  local found, record = pcall(functions.resolve, queue.service, name and name.region or "",
    name and name.name or "", name and name.qualifier)
  local text = found and event(row, condition, invocation)
  if text and #text <= limits.EVENT then
    queue:push(record, text, crypto.uuid(), row.depth + 1)
  end
end

return destinations
