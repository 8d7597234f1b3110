--- What happens to events: how often a function is tried, how long, and who hears of the outcome.

local fault = require "lambdapool.serve.fault"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"

local event_config = {}

local MOST_ON_PAGE = 50

local function destination(arn)
  return arn and { Destination = arn } or {}
end

local function show(context, row)
  return {
    FunctionArn = names.function_arn(row.region, context.account, row.name, row.qualifier),
    LastModified = row.modified,
    MaximumRetryAttempts = row.retries,
    MaximumEventAgeInSeconds = row.age,
    DestinationConfig = { OnSuccess = destination(row.on_success),
      OnFailure = destination(row.on_failure) },
  }
end

local function locate(context, input)
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier, true)
  local store, region = context.service.store, context.region
  if not lookup.qualified(store, region, name, qualifier) then
    fault(404, "ResourceNotFoundException", "The function doesn't exist.")
  end
  return name, qualifier or "$LATEST"
end

local function row_of(store, region, name, qualifier)
  return store.db:row(
    "SELECT * FROM event_configs WHERE region = ? AND name = ? AND qualifier = ?",
    region, name, qualifier)
end

local function find(context, input)
  local name, qualifier = locate(context, input)
  local row = row_of(context.service.store, context.region, name, qualifier)
  if not row then
    fault(404, "ResourceNotFoundException", ("The function %s doesn't have an EventInvokeConfig")
      :format(names.function_arn(context.region, context.account, name, qualifier)))
  end
  return row
end

local function check_given(input)
  if not (input.MaximumRetryAttempts or input.MaximumEventAgeInSeconds
    or input.DestinationConfig) then
    fault.invalid("You must specify at least one of error handling or destination setting.")
  end
end

-- Destinations of ours are functions, which have to exist and be others.
local function check_destination(context, name, arn)
  local found = arn and arn:find ":lambda:" and names.split(arn)
  if not found then
    return
  elseif found.region ~= context.region or found.account ~= context.account
    or not lookup.find(context.service.store, context.region, found.name) then
    fault.invalid("The destination ARN %s is invalid.", arn)
  elseif found.name == name then
    fault.invalid("You can't specify the function as a destination for itself.")
  end
end

-- The destination after the input: "" takes it away.
local function choose(config, key, old)
  local given = config and config[key] and config[key].Destination
  if given == "" then
    return nil
  end
  return given or old
end

local function write(context, row, input)
  local config = input.DestinationConfig
  row.on_success = choose(config, "OnSuccess", row.on_success)
  row.on_failure = choose(config, "OnFailure", row.on_failure)
  row.retries = input.MaximumRetryAttempts or row.retries
  row.age = input.MaximumEventAgeInSeconds or row.age
  check_destination(context, row.name, row.on_success)
  check_destination(context, row.name, row.on_failure)
  row.modified = context.service.now()
  local store = context.service.store
  store.db:run("INSERT OR REPLACE INTO event_configs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row.region,
    row.name, row.qualifier, row.retries, row.age, row.on_success, row.on_failure, row.modified)
  return show(context, row)
end

local operations = {}

function operations.PutFunctionEventInvokeConfig(context, input)
  check_given(input)
  local name, qualifier = locate(context, input)
  return 200, write(context, { region = context.region, name = name, qualifier = qualifier },
    input)
end

function operations.UpdateFunctionEventInvokeConfig(context, input)
  check_given(input)
  return 200, write(context, find(context, input), input)
end

function operations.GetFunctionEventInvokeConfig(context, input)
  return 200, show(context, find(context, input))
end

function operations.DeleteFunctionEventInvokeConfig(context, input)
  local row = find(context, input)
  context.service.store.db:run(
    "DELETE FROM event_configs WHERE region = ? AND name = ? AND qualifier = ?",
    row.region, row.name, row.qualifier)
  return 204
end

function operations.ListFunctionEventInvokeConfigs(context, input)
  local name = locate(context, input)
  local start = paging.start(input, { "" })
  local size = paging.size(input, MOST_ON_PAGE)
  local rows = context.service.store.db:rows([[
    SELECT * FROM event_configs WHERE region = ? AND name = ? AND qualifier > ?
    ORDER BY qualifier LIMIT ?]], context.region, name, start[1], size + 1)
  local page, marker = paging.cut(rows, size,
    function(row) return { row.qualifier } end,
    function(row) return show(context, row) end)
  return 200, { FunctionEventInvokeConfigs = page, NextMarker = marker }
end

event_config.operations = operations

---@class lambdapool.serve.EventConfig
---@field retries integer?
---@field age_seconds integer?
---@field on_success string? ARN
---@field on_failure string? ARN

--- What is configured for events to a function, nil when nothing is.
---@param service table
---@param region string
---@param name string
---@param qualifier string?
---@return lambdapool.serve.EventConfig?
function event_config.find(service, region, name, qualifier)
  local row = row_of(service.store, region, name, qualifier or "$LATEST")
  return row and { retries = row.retries, age_seconds = row.age, on_success = row.on_success,
    on_failure = row.on_failure }
end

return event_config
