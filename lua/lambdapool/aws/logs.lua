--- The API of CloudWatch Logs.

local json = require "lambdapool.json"
local wire = require "lambdapool.aws.wire"

local logs = { name = "logs", operations = {} }

for name in ([[FilterLogEvents GetLogEvents DescribeLogGroups DescribeLogStreams CreateLogGroup
  DeleteLogGroup CreateLogStream PutLogEvents PutRetentionPolicy]]):gmatch "%S+" do
  logs.operations[name] = true
end

-- Lists that stay lists when they are empty.
local LISTS = { logStreamNames = true, logEvents = true }

--- The request of an operation.
---@param operation string
---@param input table
---@return lambdapool.aws.Request
function logs.encode(operation, input)
  wire.check(logs, operation)
  local members = {}
  for name, value in pairs(input) do
    members[name] = LISTS[name] and json.array(value) or value
  end
  return {
    method = "POST", path = "/",
    headers = {
      ["content-type"] = "application/x-amz-json-1.1",
      ["x-amz-target"] = "Logs_20140328." .. operation,
    },
    body = json.encode(members),
  }
end

function logs.decode(_, response)
  return wire.decode_json(response.body)
end

--- GetLogEvents goes forward until it repeats itself, all others until there is no token.
---@param operation string
function logs.page_members(operation)
  return "nextToken", operation == "GetLogEvents" and "nextForwardToken" or "nextToken"
end

return logs
