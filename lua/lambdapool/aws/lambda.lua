--- The API of AWS Lambda: its operations, how their input becomes a request, and an answer output.
--- Members have the names of the API; blobs like ZipFile are bytes here and base64 on the wire.

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"
local wire = require "lambdapool.aws.wire"

-- Name, method, path with members in braces, and the members that go into the query, as MEMBER=NAME
-- where the query has another name; all the rest is the body. Indented lines go on.
local OPERATIONS = wire.rest [[
CreateFunction              POST   /2015-03-31/functions
ListFunctions               GET    /2015-03-31/functions
  Marker MaxItems FunctionVersion MasterRegion
GetFunction                 GET    /2015-03-31/functions/{FunctionName} Qualifier
DeleteFunction              DELETE /2015-03-31/functions/{FunctionName} Qualifier
GetFunctionConfiguration    GET    /2015-03-31/functions/{FunctionName}/configuration Qualifier
UpdateFunctionConfiguration PUT    /2015-03-31/functions/{FunctionName}/configuration
UpdateFunctionCode          PUT    /2015-03-31/functions/{FunctionName}/code
PublishVersion              POST   /2015-03-31/functions/{FunctionName}/versions
ListVersionsByFunction      GET    /2015-03-31/functions/{FunctionName}/versions Marker MaxItems
CreateAlias                 POST   /2015-03-31/functions/{FunctionName}/aliases
ListAliases                 GET    /2015-03-31/functions/{FunctionName}/aliases
  Marker MaxItems FunctionVersion
GetAlias                    GET    /2015-03-31/functions/{FunctionName}/aliases/{Name}
UpdateAlias                 PUT    /2015-03-31/functions/{FunctionName}/aliases/{Name}
DeleteAlias                 DELETE /2015-03-31/functions/{FunctionName}/aliases/{Name}
AddPermission               POST   /2015-03-31/functions/{FunctionName}/policy Qualifier
GetPolicy                   GET    /2015-03-31/functions/{FunctionName}/policy Qualifier
RemovePermission            DELETE /2015-03-31/functions/{FunctionName}/policy/{StatementId}
  Qualifier RevisionId
Invoke                      POST   /2015-03-31/functions/{FunctionName}/invocations Qualifier
ListTags                    GET    /2017-03-31/tags/{Resource}
TagResource                 POST   /2017-03-31/tags/{Resource}
UntagResource               DELETE /2017-03-31/tags/{Resource} TagKeys=tagKeys
PutFunctionConcurrency      PUT    /2017-10-31/functions/{FunctionName}/concurrency
DeleteFunctionConcurrency   DELETE /2017-10-31/functions/{FunctionName}/concurrency
GetFunctionConcurrency      GET    /2019-09-30/functions/{FunctionName}/concurrency
ListLayers                  GET    /2018-10-31/layers
  Marker MaxItems CompatibleRuntime CompatibleArchitecture
PublishLayerVersion         POST   /2018-10-31/layers/{LayerName}/versions
ListLayerVersions           GET    /2018-10-31/layers/{LayerName}/versions
  Marker MaxItems CompatibleRuntime CompatibleArchitecture
GetLayerVersion             GET    /2018-10-31/layers/{LayerName}/versions/{VersionNumber}
GetLayerVersionByArn        GET    /2018-10-31/layers?find=LayerVersion Arn
DeleteLayerVersion          DELETE /2018-10-31/layers/{LayerName}/versions/{VersionNumber}
GetAccountSettings          GET    /2016-08-19/account-settings
]]

-- Where bytes travel as base64, and which lists stay lists when they are empty.
local BLOBS = { ZipFile = true }
local LISTS = { Layers = true, Architectures = true, CompatibleRuntimes = true,
  CompatibleArchitectures = true, SubnetIds = true, SecurityGroupIds = true }

-- Seconds that an invocation may take, and its answer.
local INVOKE_SECONDS = 930

local lambda = { name = "lambda", operations = OPERATIONS }

local function to_wire(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for name, member in pairs(value) do
    if BLOBS[name] then
      copy[name] = crypto.base64(member)
    elseif LISTS[name] and next(member) == nil then
      copy[name] = json.array {}
    else
      copy[name] = to_wire(member)
    end
  end
  return copy
end

-- Invocations: what is asked is in headers, and the payload is the body as it is.
local function invocation(request, members)
  request.headers["x-amz-invocation-type"] = members.InvocationType
  request.headers["x-amz-log-type"] = members.LogType
  request.headers["x-amz-client-context"] = members.ClientContext
    and crypto.base64(members.ClientContext)
  request.body = members.Payload or ""
  request.seconds = INVOKE_SECONDS
  request.once = true
  return request
end

--- The request of an operation.
---@param operation string
---@param input table
---@return lambdapool.aws.Request
function lambda.encode(operation, input)
  local request, members = wire.place(lambda, operation, input)
  if operation == "Invoke" then
    return invocation(request, members)
  elseif next(members) or request.method == "POST" or request.method == "PUT" then
    request.headers["content-type"] = "application/json"
    request.body = json.encode(to_wire(members))
  end
  return request
end

local function invoked(response)
  local headers = response.headers
  local log = headers["x-amz-log-result"]
  return {
    StatusCode = response.status,
    FunctionError = headers["x-amz-function-error"],
    LogResult = log and (crypto.unbase64(log) or log),
    ExecutedVersion = headers["x-amz-executed-version"],
    RequestId = headers["x-amzn-requestid"],
    Payload = response.body,
  }
end

--- The output of an operation, or nil and what is wrong with the answer.
---@param operation string
---@param response table of lambdapool.http
---@return table? output
---@return string? message
function lambda.decode(operation, response)
  if operation == "Invoke" then
    return invoked(response)
  end
  return wire.decode_json(response.body)
end

--- Names of the member that asks for a page and of the one that says there is another.
---@return string input
---@return string output
function lambda.page_members()
  return "Marker", "NextMarker"
end

return lambda
