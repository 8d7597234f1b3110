--- Operations on functions: create, read, update, delete, list.

local code = require "lambdapool.serve.lambda.code"
local configuration = require "lambdapool.serve.lambda.configuration"
local crypto = require "lambdapool.crypto"
local event_config = require "lambdapool.serve.lambda.event_config"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"
local resolve = require "lambdapool.serve.lambda.resolve"
local tags = require "lambdapool.serve.lambda.tags"
local versions = require "lambdapool.serve.lambda.versions"

local operations = {}

local MOST_ON_PAGE = 50

local function settled_at(service)
  return service.now() + (service.settle_seconds or 0.05)
end

-- Creating ----------------------------------------------------------------------------------------

local function check_new(context, name, input)
  if input.PackageType == "Image" then
    code.take(context.service, { ImageUri = input.Code.ImageUri })
  elseif not input.Runtime or not input.Handler then
    fault.invalid("Runtime and Handler are mandatory parameters for functions created with " ..
      "deployment packages.")
  elseif lookup.find(context.service.store, context.region, name) then
    fault(409, "ResourceConflictException", "Function already exist: " .. name)
  end
  tags.check(input.Tags or {})
  configuration.check(context, input)
end

-- The row of $LATEST of a new function.
local function first_row(context, name, input)
  local service = context.service
  local layers = configuration.layers(context, input.Layers)
  local taken = code.take(service, input.Code)
  configuration.check_size(taken.unzipped, layers)
  return {
    region = context.region, name = name, version = 0,
    configuration = json.encode(configuration.merge({}, input, name)),
    layers = json.encode(layers),
    code_hash = taken.hash, code_digest = taken.digest, code_size = taken.size,
    unzipped = taken.unzipped, revision = crypto.uuid(), modified = service.now(),
    pending_until = settled_at(service),
  }
end

function operations.CreateFunction(context, input)
  local store = context.service.store
  local name = lookup.unqualified(context, input.FunctionName)
  check_new(context, name, input)
  local row = first_row(context, name, input)
  store.db:run("INSERT INTO functions (region, name, tags) VALUES (?, ?, ?)", context.region, name,
    json.encode(input.Tags or {}))
  versions.insert(store.db, row)
  store:touch(context.region, name)
  row = lookup.version(store, context.region, name, 0)
  if input.Publish then
    row = versions.publish(context, row)
    return 201, configuration.show(context, row, tostring(row.version))
  end
  return 201, configuration.show(context, row)
end

-- Reading -----------------------------------------------------------------------------------------

local function find_qualified(context, input)
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier, true)
  local row = lookup.qualified(context.service.store, context.region, name, qualifier)
  if not row then
    names.not_found(context.region, context.account, name, qualifier)
  end
  return row, qualifier
end

function operations.GetFunctionConfiguration(context, input)
  local row, qualifier = find_qualified(context, input)
  return 200, configuration.show(context, row, qualifier)
end

function operations.GetFunction(context, input)
  local row, qualifier = find_qualified(context, input)
  local shared = lookup.find(context.service.store, row.region, row.name)
  local labels = json.decode(shared.tags)
  return 200, {
    Configuration = configuration.show(context, row, qualifier),
    Code = { RepositoryType = "S3", Location = code.location(context, row.code_hash) },
    Tags = next(labels) and labels,
    Concurrency = shared.reserved and { ReservedConcurrentExecutions = shared.reserved },
  }
end

local LIST = [[
SELECT * FROM versions WHERE region = ? AND (name, version) > (?, ?) AND version <= ?
ORDER BY name, version LIMIT ?]]

function operations.ListFunctions(context, input)
  local all = input.FunctionVersion == "ALL"
  local start = paging.start(input, { "", -1 })
  local size = paging.size(input, MOST_ON_PAGE)
  local rows = context.service.store.db:rows(LIST, context.region, start[1], start[2],
    all and math.maxinteger or 0, size + 1)
  local page, marker = paging.cut(rows, size,
    function(row) return { row.name, row.version } end,
    function(row)
      return configuration.show_item(context, row, all and lookup.version_name(row.version) or nil)
    end)
  return 200, { Functions = page, NextMarker = marker }
end

-- Updating ----------------------------------------------------------------------------------------

-- $LATEST of a function that may be updated now.
local function find_latest(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local row = lookup.version(context.service.store, context.region, name, 0)
  versions.check_settled(context, row)
  lookup.check_revision(input.RevisionId, row.revision)
  return row
end

local UPDATE = [[
UPDATE versions SET configuration = ?, layers = ?, code_hash = ?, code_digest = ?, code_size = ?,
  unzipped = ?, revision = ?, modified = ?, updating_until = ?
WHERE region = ? AND name = ? AND version = 0]]

-- What the function was serves on while the update is in progress.
local function write_latest(context, old, row)
  local service = context.service
  row.revision, row.modified = crypto.uuid(), service.now()
  row.updating_until = settled_at(service)
  service.store.db:run(UPDATE, row.configuration, row.layers, row.code_hash, row.code_digest,
    row.code_size, row.unzipped, row.revision, row.modified, row.updating_until, row.region,
    row.name)
  resolve.replace(service.store, row.region, row.name, old)
  service.store:touch(row.region, row.name)
end

local function copy(row)
  local new = {}
  for key, value in pairs(row) do
    new[key] = value
  end
  return new
end

function operations.UpdateFunctionCode(context, input)
  local old = find_latest(context, input)
  local row = copy(old)
  local taken = code.take(context.service, input, input.DryRun)
  configuration.check_size(taken.unzipped, json.decode(row.layers))
  row.code_hash, row.code_digest = taken.hash, taken.digest
  row.code_size, row.unzipped = taken.size, taken.unzipped
  if input.Architectures then
    local config = json.decode(row.configuration)
    config.Architectures = input.Architectures
    row.configuration = json.encode(config)
  end
  if input.DryRun then
    return 200, configuration.show(context, row)
  end
  write_latest(context, old, row)
  if input.Publish then
    row = versions.publish(context, row)
    return 200, configuration.show(context, row, tostring(row.version))
  end
  return 200, configuration.show(context, row)
end

function operations.UpdateFunctionConfiguration(context, input)
  local old = find_latest(context, input)
  local row = copy(old)
  configuration.check(context, input)
  if input.Layers then
    local layers = configuration.layers(context, input.Layers)
    configuration.check_size(row.unzipped, layers)
    row.layers = json.encode(layers)
  end
  row.configuration = json.encode(configuration.merge(json.decode(old.configuration), input,
    row.name))
  write_latest(context, old, row)
  return 200, configuration.show(context, row)
end

-- Deleting ----------------------------------------------------------------------------------------

local function check_unused(store, region, name, version)
  local used = {}
  for _, row in ipairs(store.db:rows("SELECT * FROM aliases WHERE region = ? AND name = ?", region,
    name)) do
    if row.version == version or row.weights and json.decode(row.weights)[tostring(version)] then
      used[#used + 1] = row.alias
    end
  end
  if used[1] then
    fault(409, "ResourceConflictException", ("Unable to delete version because the following " ..
      "aliases reference it: [%s]"):format(table.concat(used, ", ")))
  end
end

local function delete_version(context, name, qualifier)
  local store, region = context.service.store, context.region
  if qualifier == "$LATEST" then
    fault.invalid("$LATEST version cannot be deleted without deleting the function.")
  elseif not qualifier:find "^%d+$" then
    fault.invalid("Deletion of aliases is not currently supported.")
  end
  local row = lookup.qualified(store, region, name, qualifier)
  if not row then
    names.not_found(region, context.account, name, qualifier)
  end
  check_unused(store, region, name, row.version)
  for _, sql in ipairs {
    "DELETE FROM versions WHERE region = ? AND name = ? AND version = ?",
    "DELETE FROM policies WHERE region = ? AND name = ? AND qualifier = ?",
    "DELETE FROM event_configs WHERE region = ? AND name = ? AND qualifier = ?",
    "DELETE FROM provisioned WHERE region = ? AND name = ? AND qualifier = ?",
  } do
    store.db:run(sql, region, name, row.version)
  end
end

function operations.DeleteFunction(context, input)
  local store = context.service.store
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier, true)
  if not lookup.find(store, context.region, name) then
    names.not_found(context.region, context.account, name, qualifier)
  elseif qualifier then
    delete_version(context, name, qualifier)
  else
    store.db:run("DELETE FROM functions WHERE region = ? AND name = ?", context.region, name)
    resolve.replace(store, context.region, name, nil)
  end
  store:touch(context.region, name)
  return 204
end

return {
  operations = operations,
  resolve = resolve.find,
  event_config = event_config.find,
}
