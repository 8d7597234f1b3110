--- How functions look in the results of deploy.*: plain tables with names in lower case.

local dates = require "lambdapool.aws.dates"
local json = require "lambdapool.json"
local names = require "lambdapool.deploy.names"
local system = require "lambdapool.system"

local describe = {}

--- The ARNs of a function's layers, the lowest first.
---@param configuration table
---@return string[]
function describe.layers(configuration)
  local list = json.array {}
  for i, layer in ipairs(configuration.Layers or {}) do
    list[i] = layer.Arn
  end
  return list
end

--- The environment of a function; nil and why when it cannot be read.
---@param configuration table
---@return table<string, string>?
---@return string? message
function describe.environment(configuration)
  local environment = configuration.Environment or {}
  local failure = environment.Error
  if type(failure) == "table" then
    return nil, failure.Message or failure.ErrorCode or "Lambda does not say why"
  end
  return environment.Variables or {}
end

-- "0.9.10" is newer than "0.9.2".
local function is_older(version, other)
  local theirs, ours = version:gmatch "%d+", other:gmatch "%d+"
  while true do
    local a, b = theirs(), ours()
    if not a or not b then
      return b ~= nil
    elseif tonumber(a) ~= tonumber(b) then
      return tonumber(a) < tonumber(b)
    end
  end
end

--- Whether what was deployed is older than this program.
---@param version string?
---@return boolean?
function describe.is_outdated(version)
  return version and is_older(version, system.version)
end

--- When a function was last changed, in seconds since 1970; nil when that cannot be read.
---@param text any "2026-01-01T00:00:00.000+0000"
---@return number?
function describe.time(text)
  return type(text) == "string" and dates.iso(text) or nil
end

--- What lists show of a function.
---@param configuration table
---@param tags table<string, string>
---@return table
function describe.item(configuration, tags)
  return {
    name = configuration.FunctionName,
    arn = configuration.FunctionArn,
    runtime = configuration.Runtime,
    memory = configuration.MemorySize,
    timeout = configuration.Timeout,
    handler = configuration.Handler,
    architecture = (configuration.Architectures or { "x86_64" })[1],
    code_size = configuration.CodeSize,
    code_sha256 = configuration.CodeSha256,
    modified = configuration.LastModified,
    layers = describe.layers(configuration),
    role = configuration.Role,
    description = configuration.Description,
    version = tags["lambdapool:version"],
    outdated = describe.is_outdated(tags["lambdapool:version"]),
  }
end

-- A copy that stays an object as JSON.
local function copy(map)
  local copied = {}
  for key, value in pairs(map) do
    copied[key] = value
  end
  return copied
end

--- Everything that is known of a function. The values of its environment are in it.
---@param found lambdapool.deploy.Found
---@return table
function describe.whole(found)
  local configuration = found.configuration
  local item = describe.item(configuration, found.tags)
  local environment, message = describe.environment(configuration)
  item.environment = environment and copy(environment)
  item.environment_error = message
  item.tags = copy(found.tags)
  item.state = configuration.State
  item.state_reason = configuration.StateReason
  item.update = configuration.LastUpdateStatus
  item.update_reason = configuration.LastUpdateStatusReason
  item.reserved_concurrency = found.concurrency
  item.log_group = (configuration.LoggingConfig or {}).LogGroup
    or names.log_group(configuration.FunctionName)
  return item
end

return describe
