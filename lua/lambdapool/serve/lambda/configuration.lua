--- The configuration of a function: what clients may set, its defaults, its limits, and how a
--- version looks to them.

local clock = require "lambdapool.serve.lambda.clock"
local code = require "lambdapool.serve.lambda.code"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local runtimes = require "lambdapool.serve.lambda.runtimes"

local configuration = {}

-- The members that are kept as they were given, with layers apart.
local KEPT = { "Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "VpcConfig",
  "DeadLetterConfig", "Environment", "KMSKeyArn", "TracingConfig", "EphemeralStorage", "SnapStart",
  "LoggingConfig", "Architectures" }

local LARGEST_ENVIRONMENT = 4096
local MOST_LAYERS = 5

local RESERVED = {}
for name in ([[
  _HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_ACCESS_KEY
  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_FUNCTION_NAME
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE
  AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_LAMBDA_RUNTIME_API
  LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR]]):gmatch "%S+" do
  RESERVED[name] = true
end

-- Checks ------------------------------------------------------------------------------------------

local function check_runtime(name)
  if name and not runtimes.list[name] then
    fault.invalid("%s", ("Value %s at 'runtime' failed to satisfy constraint: Member must " ..
      "satisfy enum value set: [%s] or be a valid ARN"):format(name,
      table.concat(runtimes.list, ", ")))
  end
end

local function check_variables(variables)
  local reserved = {}
  for name in pairs(variables) do
    if RESERVED[name] then
      reserved[#reserved + 1] = name
    end
  end
  table.sort(reserved)
  if reserved[1] then
    fault.invalid("%s", "Lambda was unable to configure your environment variables because the " ..
      "environment variables you have provided contains reserved keys that are currently not " ..
      "supported for modification. Reserved keys used in this request: " ..
      table.concat(reserved, ", "))
  end
  local text = json.encode(variables)
  if #text > LARGEST_ENVIRONMENT then
    fault.invalid("%s", "Lambda was unable to configure your environment variables because the " ..
      "environment variables you have provided exceeded the 4KB limit. String measured: " .. text)
  end
end

local function check_role(context, role)
  local service = context.service
  if role and service.strict_roles and role:find("::" .. context.account .. ":", 1, true)
    and not service.role_exists(role) then
    fault.invalid("The role defined for the function cannot be assumed by Lambda.")
  end
end

--- Raises a fault for what the shapes cannot tell.
---@param input table
function configuration.check(context, input)
  check_runtime(input.Runtime)
  check_role(context, input.Role)
  if input.Environment then
    check_variables(input.Environment.Variables or {})
  end
end

-- Layers ------------------------------------------------------------------------------------------

local function find_layer(context, arn)
  local layer = names.split_layer(arn)
  if layer.region ~= context.region then
    fault.invalid("Layers are not in the same region as the function. Layers are expected to be " ..
      "in region %s.", context.region)
  end
  local row = layer.account == context.account and context.service.store.db:row([[
    SELECT * FROM layers WHERE region = ? AND name = ? AND version = ?]],
    layer.region, layer.name, layer.version)
  if not row then
    fault.invalid("Layer version %s does not exist.", arn)
  end
  return { arn = arn, size = row.code_size, hash = row.code_hash, unzipped = row.unzipped },
    layer.name
end

--- The layers that a function is to have, from their ARNs, the first lowest.
---@param arns string[]?
---@return table[]
function configuration.layers(context, arns)
  local list, seen = json.array {}, {}
  if arns and #arns > MOST_LAYERS then
    fault.invalid("Cannot reference more than %d layers.", MOST_LAYERS)
  end
  for i, arn in ipairs(arns or {}) do
    local layer, name = find_layer(context, arn)
    if seen[name] then
      fault.invalid("Two different versions of the same layer are not allowed to be referenced " ..
        "in the same function. %s and %s are versions of %s.", seen[name], arn,
        names.layer_arn(context.region, context.account, name))
    end
    list[i], seen[name] = layer, arn
  end
  return list
end

--- Raises when a function and its layers are too large together.
---@param unzipped integer
---@param layers table[]
function configuration.check_size(unzipped, layers)
  for _, layer in ipairs(layers) do
    unzipped = unzipped + layer.unzipped
  end
  if unzipped > code.LARGEST then
    fault.invalid("Function code combined with layers exceeds the maximum allowed size of %d " ..
      "bytes. The actual size is %d bytes.", code.LARGEST, unzipped)
  end
end

-- What is stored ----------------------------------------------------------------------------------

-- Empty lists and texts mean that the client wants to be rid of it.
local function drop_empty(config)
  local vpc, letters = config.VpcConfig, config.DeadLetterConfig
  if vpc and not (vpc.SubnetIds and vpc.SubnetIds[1]) then
    config.VpcConfig = nil
  end
  if letters and (letters.TargetArn or "") == "" then
    config.DeadLetterConfig = nil
  end
  if config.KMSKeyArn == "" then
    config.KMSKeyArn = nil
  end
end

local function complete_logging(config, name)
  local logging = config.LoggingConfig or {}
  logging.LogFormat = logging.LogFormat or "Text"
  logging.LogGroup = logging.LogGroup or "/aws/lambda/" .. name
  if logging.LogFormat == "JSON" then
    logging.ApplicationLogLevel = logging.ApplicationLogLevel or "INFO"
    logging.SystemLogLevel = logging.SystemLogLevel or "INFO"
  end
  config.LoggingConfig = logging
end

--- The configuration after `input`, with the defaults for what nobody has set.
---@param old table the configuration before; empty for a new function
---@param input table
---@param name string
---@return table
function configuration.merge(old, input, name)
  local config = {}
  for _, member in ipairs(KEPT) do
    local value = input[member]
    config[member] = value == nil and old[member] or value
  end
  config.Description = config.Description or ""
  config.Timeout = config.Timeout or 3
  config.MemorySize = config.MemorySize or 128
  config.Architectures = config.Architectures or { "x86_64" }
  config.EphemeralStorage = config.EphemeralStorage or { Size = 512 }
  config.TracingConfig = { Mode = config.TracingConfig and config.TracingConfig.Mode
    or "PassThrough" }
  config.SnapStart = { ApplyOn = config.SnapStart and config.SnapStart.ApplyOn or "None" }
  if config.Environment then
    config.Environment = { Variables = config.Environment.Variables or {} }
  end
  complete_logging(config, name)
  drop_empty(config)
  return config
end

-- What clients see --------------------------------------------------------------------------------

local function show_layers(text)
  local list = json.array {}
  for i, layer in ipairs(json.decode(text)) do
    list[i] = { Arn = layer.arn, CodeSize = layer.size }
  end
  return list[1] and list or nil
end

local function show_vpc(vpc)
  return {
    SubnetIds = json.array(vpc.SubnetIds),
    SecurityGroupIds = json.array(vpc.SecurityGroupIds or {}),
    VpcId = "",
    Ipv6AllowedForDualStack = vpc.Ipv6AllowedForDualStack or false,
  }
end

--- Whether a time until which something goes on lies ahead. A clock that was set back does not make
--- it last longer than it may.
---@param service table
---@param time number
---@return boolean
function configuration.is_ahead(service, time)
  local now = service.now()
  return time > now and time <= now + (service.settle_seconds or 0.05)
end

local function add_state(shown, service, row)
  if configuration.is_ahead(service, row.pending_until) then
    shown.State = "Pending"
    shown.StateReason = "The function is being created."
    shown.StateReasonCode = "Creating"
    return
  end
  shown.State = "Active"
  shown.LastUpdateStatus = "Successful"
  if configuration.is_ahead(service, row.updating_until) then
    shown.LastUpdateStatus = "InProgress"
    shown.LastUpdateStatusReason = "The function is being created."
    shown.LastUpdateStatusReasonCode = "Creating"
  end
end

--- A version as items of lists show it: without its state.
---@param row table of `versions`
---@param qualifier string? what the ARN ends with
---@return table
function configuration.show_item(context, row, qualifier)
  local shown = json.decode(row.configuration)
  shown.FunctionName = row.name
  shown.FunctionArn = names.function_arn(row.region, context.account, row.name, qualifier)
  shown.Version = lookup.version_name(row.version)
  shown.CodeSize = row.code_size
  shown.CodeSha256 = row.code_digest
  shown.LastModified = clock.offset(row.modified)
  shown.RevisionId = row.revision
  shown.PackageType = "Zip"
  shown.Layers = show_layers(row.layers)
  shown.VpcConfig = shown.VpcConfig and show_vpc(shown.VpcConfig)
  shown.SnapStart.OptimizationStatus = "Off"
  json.array(shown.Architectures)
  return shown
end

--- A version as the API shows it: FunctionConfiguration.
---@param row table of `versions`
---@param qualifier string? what the ARN ends with
---@return table
function configuration.show(context, row, qualifier)
  local shown = configuration.show_item(context, row, qualifier)
  shown.RuntimeVersionConfig = { RuntimeVersionArn = runtimes.arn(row.region, shown.Runtime) }
  add_state(shown, context.service, row)
  return shown
end

return configuration
