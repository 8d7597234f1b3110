--- Layers: zips that are put under functions. Versions are numbered and never change; a number is
--- not given twice, and functions keep a version that is deleted.

local clock = require "lambdapool.serve.lambda.clock"
local code = require "lambdapool.serve.lambda.code"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"
local policies = require "lambdapool.serve.lambda.policies"

local operations = {}

local MOST_ON_PAGE = 50

-- Finding ----------------------------------------------------------------------------------------

local function no_such_resource()
  fault(404, "ResourceNotFoundException", "The resource you requested does not exist.")
end

-- The name of a layer of this account and region, from a name or an ARN; nil for those of others.
local function own(context, text)
  local found = names.split_layer(text)
  local elsewhere = found.region and found.region ~= context.region
    or found.account and found.account ~= context.account
  return not elsewhere and found.name or nil, found.version
end

local function row_of(context, name, version)
  return name and context.service.store.db:row(
    "SELECT * FROM layers WHERE region = ? AND name = ? AND version = ?",
    context.region, name, version)
end

local function find(context, input)
  if input.VersionNumber < 1 then
    fault.invalid("Layer Version Cannot be less than 1")
  end
  return row_of(context, own(context, input.LayerName), input.VersionNumber) or no_such_resource()
end

-- Showing ----------------------------------------------------------------------------------------

local function show_item(context, row)
  local shown = json.decode(row.information)
  shown.LayerVersionArn = names.layer_arn(row.region, context.account, row.name, row.version)
  shown.Version = row.version
  shown.CreatedDate = clock.offset(row.created)
  for _, member in ipairs { "CompatibleRuntimes", "CompatibleArchitectures" } do
    shown[member] = shown[member] and json.array(shown[member])
  end
  return shown
end

local function show(context, row)
  local shown = show_item(context, row)
  shown.LayerArn = names.layer_arn(row.region, context.account, row.name)
  shown.Content = {
    Location = code.location(context, row.code_hash),
    CodeSha256 = row.code_digest,
    CodeSize = row.code_size,
  }
  return shown
end

local function includes(list, item)
  for _, other in ipairs(list or {}) do
    if other == item then
      return true
    end
  end
  return false
end

-- Whether a version is for the runtime and the architecture that were asked for.
local function suits(row, input)
  local about = json.decode(row.information)
  local runtime, architecture = input.CompatibleRuntime, input.CompatibleArchitecture
  return (not runtime or includes(about.CompatibleRuntimes, runtime))
    and (not architecture or includes(about.CompatibleArchitectures, architecture))
end

-- Versions ---------------------------------------------------------------------------------------

-- Gives out the next number of a layer, which may be new.
local function next_version(db, region, name)
  db:run("INSERT OR IGNORE INTO layer_names (region, name) VALUES (?, ?)", region, name)
  local number = db:row("SELECT next_version FROM layer_names WHERE region = ? AND name = ?",
    region, name).next_version
  db:run("UPDATE layer_names SET next_version = ? WHERE region = ? AND name = ?", number + 1,
    region, name)
  return number
end

function operations.PublishLayerVersion(context, input)
  local store = context.service.store
  local name = own(context, input.LayerName)
  if not name then
    fault(403, "AccessDeniedException", "User is not authorized to perform: " ..
      "lambda:PublishLayerVersion on resource: " .. input.LayerName)
  end
  local taken = code.take(context.service, input.Content)
  local version = next_version(store.db, context.region, name)
  store.db:run([[
    INSERT INTO layers (region, name, version, information, code_hash, code_digest, code_size,
      unzipped, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]],
    context.region, name, version, json.encode {
      Description = input.Description or "", LicenseInfo = input.LicenseInfo,
      CompatibleRuntimes = input.CompatibleRuntimes,
      CompatibleArchitectures = input.CompatibleArchitectures,
    }, taken.hash, taken.digest, taken.size, taken.unzipped, context.service.now())
  return 201, show(context, row_of(context, name, version))
end

function operations.GetLayerVersion(context, input)
  return 200, show(context, find(context, input))
end

function operations.GetLayerVersionByArn(context, input)
  return 200, show(context, row_of(context, own(context, input.Arn)) or no_such_resource())
end

function operations.DeleteLayerVersion(context, input)
  if input.VersionNumber < 1 then
    fault.invalid("Layer Version Cannot be less than 1")
  end
  local name = own(context, input.LayerName)
  context.service.store.db:run("DELETE FROM layers WHERE region = ? AND name = ? AND version = ?",
    context.region, name, input.VersionNumber)
  return 204
end

function operations.ListLayerVersions(context, input)
  local start = paging.start(input, { math.maxinteger })
  local rows = {}
  for _, row in ipairs(context.service.store.db:rows([[
    SELECT * FROM layers WHERE region = ? AND name = ? AND version < ? ORDER BY version DESC]],
    context.region, own(context, input.LayerName), start[1])) do
    if suits(row, input) then
      rows[#rows + 1] = row
    end
  end
  local page, marker = paging.cut(rows, paging.size(input, MOST_ON_PAGE),
    function(row) return { row.version } end,
    function(row) return show_item(context, row) end)
  return 200, { LayerVersions = page, NextMarker = marker }
end

-- The newest version that suits, of every layer that has one.
local function newest(context, input, after)
  local rows = {}
  for _, row in ipairs(context.service.store.db:rows([[
    SELECT * FROM layers WHERE region = ? AND name > ? ORDER BY name, version DESC]],
    context.region, after)) do
    local last = rows[#rows]
    if (not last or last.name ~= row.name) and suits(row, input) then
      rows[#rows + 1] = row
    end
  end
  return rows
end

function operations.ListLayers(context, input)
  local rows = newest(context, input, paging.start(input, { "" })[1])
  local page, marker = paging.cut(rows, paging.size(input, MOST_ON_PAGE),
    function(row) return { row.name } end,
    function(row)
      return {
        LayerName = row.name,
        LayerArn = names.layer_arn(row.region, context.account, row.name),
        LatestMatchingVersion = show_item(context, row),
      }
    end)
  return 200, { Layers = page, NextMarker = marker }
end

-- Permissions ------------------------------------------------------------------------------------

local function write_policy(context, row, statements)
  local revision = crypto.uuid()
  context.service.store.db:run([[
    UPDATE layers SET statements = ?, revision = ?
    WHERE region = ? AND name = ? AND version = ?]],
    statements[1] and json.encode(json.array(statements)), revision, row.region, row.name,
    row.version)
  return revision
end

function operations.AddLayerVersionPermission(context, input)
  local row = find(context, input)
  lookup.check_revision(input.RevisionId, row.revision, "GetLayerPolicy")
  local statements = row.statements and json.decode(row.statements) or {}
  local statement = {
    Sid = input.StatementId, Effect = "Allow", Principal = policies.principal(input.Principal),
    Action = input.Action,
    Resource = names.layer_arn(row.region, context.account, row.name, row.version),
    Condition = input.OrganizationId
      and { StringEquals = { ["aws:PrincipalOrgID"] = input.OrganizationId } },
  }
  policies.add(statements, statement)
  local revision = write_policy(context, row, statements)
  return 201, { Statement = json.encode(statement), RevisionId = revision }
end

function operations.RemoveLayerVersionPermission(context, input)
  local row = find(context, input)
  lookup.check_revision(input.RevisionId, row.revision, "GetLayerPolicy")
  local statements = row.statements and json.decode(row.statements) or {}
  policies.remove(statements, input.StatementId)
  write_policy(context, row, statements)
  return 204
end

function operations.GetLayerVersionPolicy(context, input)
  local row = find(context, input)
  if not row.statements then
    fault(404, "ResourceNotFoundException", "No policy is associated with the given resource.")
  end
  return 200, { Policy = policies.text(json.decode(row.statements)), RevisionId = row.revision }
end

return { operations = operations }
