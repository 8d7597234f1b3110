--- The paths of the Lambda API: which operation is meant, and what the path and the query say of
--- its input. Segments may be %-encoded, and a slash at the end means nothing.

local fault = require "lambdapool.serve.fault"
local uri = require "lambdapool.serve.uri"

-- What a letter in braces stands for: a member of the input.
local MEMBERS = { f = "FunctionName", l = "LayerName", n = "VersionNumber", s = "StatementId",
  a = "Name", r = "Resource" }

-- Method, path, operation.
local ROUTES = [[
POST   /2015-03-31/functions                                    CreateFunction
GET    /2015-03-31/functions                                    ListFunctions
GET    /2015-03-31/functions/{f}                                GetFunction
DELETE /2015-03-31/functions/{f}                                DeleteFunction
GET    /2015-03-31/functions/{f}/configuration                  GetFunctionConfiguration
PUT    /2015-03-31/functions/{f}/configuration                  UpdateFunctionConfiguration
PUT    /2015-03-31/functions/{f}/code                           UpdateFunctionCode
POST   /2015-03-31/functions/{f}/versions                       PublishVersion
GET    /2015-03-31/functions/{f}/versions                       ListVersionsByFunction
POST   /2015-03-31/functions/{f}/aliases                        CreateAlias
GET    /2015-03-31/functions/{f}/aliases                        ListAliases
GET    /2015-03-31/functions/{f}/aliases/{a}                    GetAlias
PUT    /2015-03-31/functions/{f}/aliases/{a}                    UpdateAlias
DELETE /2015-03-31/functions/{f}/aliases/{a}                    DeleteAlias
POST   /2015-03-31/functions/{f}/policy                         AddPermission
GET    /2015-03-31/functions/{f}/policy                         GetPolicy
DELETE /2015-03-31/functions/{f}/policy/{s}                     RemovePermission
POST   /2015-03-31/functions/{f}/invocations                    Invoke
POST   /2014-11-13/functions/{f}/invoke-async                   InvokeAsync
POST   /2021-11-15/functions/{f}/response-streaming-invocations InvokeWithResponseStream
GET    /2017-03-31/tags/{r}                                     ListTags
POST   /2017-03-31/tags/{r}                                     TagResource
DELETE /2017-03-31/tags/{r}                                     UntagResource
PUT    /2017-10-31/functions/{f}/concurrency                    PutFunctionConcurrency
DELETE /2017-10-31/functions/{f}/concurrency                    DeleteFunctionConcurrency
GET    /2019-09-30/functions/{f}/concurrency                    GetFunctionConcurrency
PUT    /2019-09-30/functions/{f}/provisioned-concurrency        PutProvisionedConcurrencyConfig
GET    /2019-09-30/functions/{f}/provisioned-concurrency        GetProvisionedConcurrencyConfig
DELETE /2019-09-30/functions/{f}/provisioned-concurrency        DeleteProvisionedConcurrencyConfig
GET    /2018-10-31/layers                                       ListLayers
POST   /2018-10-31/layers/{l}/versions                          PublishLayerVersion
GET    /2018-10-31/layers/{l}/versions                          ListLayerVersions
GET    /2018-10-31/layers/{l}/versions/{n}                      GetLayerVersion
DELETE /2018-10-31/layers/{l}/versions/{n}                      DeleteLayerVersion
POST   /2018-10-31/layers/{l}/versions/{n}/policy               AddLayerVersionPermission
GET    /2018-10-31/layers/{l}/versions/{n}/policy               GetLayerVersionPolicy
DELETE /2018-10-31/layers/{l}/versions/{n}/policy/{s}           RemoveLayerVersionPermission
POST   /2021-10-31/functions/{f}/url                            CreateFunctionUrlConfig
GET    /2021-10-31/functions/{f}/url                            GetFunctionUrlConfig
PUT    /2021-10-31/functions/{f}/url                            UpdateFunctionUrlConfig
DELETE /2021-10-31/functions/{f}/url                            DeleteFunctionUrlConfig
GET    /2021-10-31/functions/{f}/urls                           ListFunctionUrlConfigs
PUT    /2019-09-25/functions/{f}/event-invoke-config            PutFunctionEventInvokeConfig
POST   /2019-09-25/functions/{f}/event-invoke-config            UpdateFunctionEventInvokeConfig
GET    /2019-09-25/functions/{f}/event-invoke-config            GetFunctionEventInvokeConfig
DELETE /2019-09-25/functions/{f}/event-invoke-config            DeleteFunctionEventInvokeConfig
GET    /2019-09-25/functions/{f}/event-invoke-config/list       ListFunctionEventInvokeConfigs
GET    /2016-08-19/account-settings                             GetAccountSettings
GET    /2020-06-30/functions/{f}/code-signing-config            GetFunctionCodeSigningConfig
GET    /2015-03-31/event-source-mappings                        ListEventSourceMappings
]]

-- The same path, but for a parameter of the query.
local BY_QUERY = {
  ListLayers = { "find", "LayerVersion", "GetLayerVersionByArn" },
  GetProvisionedConcurrencyConfig = { "List", "ALL", "ListProvisionedConcurrencyConfigs" },
}

local NUMBERS = { MaxItems = true, VersionNumber = true }

-- A tree: segment -> node; "{}" stands for any, and its name is in node.name. At a leaf, methods
-- lead to operations.
local tree = { children = {}, methods = {} }

local function step(node, segment)
  local name = MEMBERS[segment:match "^{(.)}$"]
  local key = name and "{}" or segment
  local child = node.children[key] or { children = {}, methods = {}, name = name }
  node.children[key] = child
  return child
end

for method, path, operation in ROUTES:gmatch "(%u+)%s+(%S+)%s+(%S+)" do
  local node = tree
  for segment in path:gmatch "[^/]+" do
    node = step(node, segment)
  end
  node.methods[method] = operation
end

local function to_number(name, text)
  local number = math.tointeger(tonumber(text))
  if not number or not text:find "^%-?%d+$" then
    fault(400, "SerializationException",
      ("Value '%s' at '%s' can not be converted to an Integer"):format(text, name))
  end
  return number
end

local function find_node(path, input)
  local node = tree
  for segment in path:gmatch "[^/]+" do
    local child = node.children[segment]
    if not child then
      child = node.children["{}"]
      if not child then
        return nil
      end
      input[child.name] = uri.decode(segment)
    end
    node = child
  end
  return node
end

local function add_query(input, parameters, lists)
  for name, value in pairs(parameters) do
    if name == "tagKeys" then
      input.TagKeys = lists[name]
    elseif input[name] == nil then
      input[name] = value
    end
  end
end

local routes = {}

--- Finds the operation. The input has the members that stand in the path and in the query.
---@param method string
---@param path string
---@param query string?
---@return string? operation nil when there is none
---@return table? input
function routes.match(method, path, query)
  local input = {}
  local node = find_node(path, input)
  local operation = node and node.methods[method]
  if not operation then
    return nil
  end
  if query then
    local parameters, lists = uri.parse(query)
    local other = BY_QUERY[operation]
    if other and parameters[other[1]] == other[2] then
      operation, parameters[other[1]] = other[3], nil
    end
    add_query(input, parameters, lists)
  end
  for name in pairs(NUMBERS) do
    input[name] = input[name] and to_number(name, input[name])
  end
  return operation, input
end

return routes
