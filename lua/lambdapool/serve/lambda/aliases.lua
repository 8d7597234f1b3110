--- Aliases: names for versions, which may lead a share of the calls to a second version.

local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"

local operations = {}

local MOST_ON_PAGE = 50

local function show(context, row)
  return {
    AliasArn = names.function_arn(row.region, context.account, row.name, row.alias),
    Name = row.alias,
    FunctionVersion = lookup.version_name(row.version),
    Description = row.description,
    RoutingConfig = row.weights and { AdditionalVersionWeights = json.decode(row.weights) },
    RevisionId = row.revision,
  }
end

-- The row of the version that is named, which must exist.
local function find_version(context, name, version)
  local row = lookup.qualified(context.service.store, context.region, name, version)
  if not row then
    names.not_found(context.region, context.account, name, version)
  end
  return row.version
end

-- The weights as they are stored: NULL for none.
local function check_weights(context, name, main, routing)
  local weights = routing and routing.AdditionalVersionWeights or {}
  local version, _ = next(weights)
  if not version then
    return nil
  elseif next(weights, version) then
    fault.invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
  elseif main == 0 then
    fault.invalid("$LATEST is not supported for an alias pointing to more than 1 version")
  elseif find_version(context, name, version) == main then
    fault.invalid("Invalid function version %s. Function version %s is already included in " ..
      "routing configuration.", version, version)
  end
  return json.encode(weights)
end

local function find(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local row = lookup.alias(context.service.store, context.region, name, input.Name)
  if not row then
    fault(404, "ResourceNotFoundException", "Cannot find alias arn: " ..
      names.function_arn(context.region, context.account, name, input.Name))
  end
  return row
end

local function write(context, row)
  local store = context.service.store
  row.revision = crypto.uuid()
  store.db:run([[
    INSERT OR REPLACE INTO aliases (region, name, alias, version, weights, description, revision)
    VALUES (?, ?, ?, ?, ?, ?, ?)]], row.region, row.name, row.alias, row.version, row.weights,
    row.description, row.revision)
  store:touch(row.region, row.name)
  return show(context, row)
end

function operations.CreateAlias(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local version = find_version(context, name, input.FunctionVersion)
  if lookup.alias(context.service.store, context.region, name, input.Name) then
    fault(409, "ResourceConflictException", "Alias already exists: " ..
      names.function_arn(context.region, context.account, name, input.Name))
  end
  return 201, write(context, {
    region = context.region, name = name, alias = input.Name, version = version,
    weights = check_weights(context, name, version, input.RoutingConfig),
    description = input.Description or "",
  })
end

function operations.UpdateAlias(context, input)
  local row = find(context, input)
  lookup.check_revision(input.RevisionId, row.revision)
  if input.FunctionVersion then
    row.version = find_version(context, row.name, input.FunctionVersion)
  end
  if input.RoutingConfig then
    row.weights = check_weights(context, row.name, row.version, input.RoutingConfig)
  elseif row.weights then
    check_weights(context, row.name, row.version,
      { AdditionalVersionWeights = json.decode(row.weights) })
  end
  row.description = input.Description or row.description
  return 200, write(context, row)
end

function operations.GetAlias(context, input)
  return 200, show(context, find(context, input))
end

-- What was said about the alias goes with it.
function operations.DeleteAlias(context, input)
  local store = context.service.store
  local name = lookup.existing(context, input.FunctionName)
  for _, sql in ipairs {
    "DELETE FROM aliases WHERE region = ? AND name = ? AND alias = ?",
    "DELETE FROM policies WHERE region = ? AND name = ? AND qualifier = ?",
    "DELETE FROM urls WHERE region = ? AND name = ? AND qualifier = ?",
    "DELETE FROM event_configs WHERE region = ? AND name = ? AND qualifier = ?",
    "DELETE FROM provisioned WHERE region = ? AND name = ? AND qualifier = ?",
  } do
    store.db:run(sql, context.region, name, input.Name)
  end
  store:touch(context.region, name)
  return 204
end

-- Whether an alias sends calls to a version.
local function leads_to(row, version)
  return not version or lookup.version_name(row.version) == version
    or row.weights and json.decode(row.weights)[version] ~= nil
end

function operations.ListAliases(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local start = paging.start(input, { "" })
  local rows = {}
  for _, row in ipairs(context.service.store.db:rows([[
    SELECT * FROM aliases WHERE region = ? AND name = ? AND alias > ? ORDER BY alias]],
    context.region, name, start[1])) do
    if leads_to(row, input.FunctionVersion) then
      rows[#rows + 1] = row
    end
  end
  local page, marker = paging.cut(rows, paging.size(input, MOST_ON_PAGE),
    function(row) return { row.alias } end,
    function(row) return show(context, row) end)
  return 200, { Aliases = page, NextMarker = marker }
end

return { operations = operations }
