--- Versions: copies of $LATEST that never change.

local configuration = require "lambdapool.serve.lambda.configuration"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"

local versions = {}

local MOST_ON_PAGE = 50

--- What makes a version: equal for a function whose code and configuration are equal.
---@param row table of `versions`
---@return string
function versions.fingerprint(row)
  return crypto.sha256(table.concat({ row.configuration, row.layers, row.code_hash }, "\0"))
end

--- Raises while the function is being created or updated.
---@param row table $LATEST, of `versions`
function versions.check_settled(context, row)
  local service = context.service
  if configuration.is_ahead(service, row.pending_until)
    or configuration.is_ahead(service, row.updating_until) then
    fault(409, "ResourceConflictException", "The operation cannot be performed at this time. An " ..
      "update is in progress for resource: " ..
      names.function_arn(row.region, context.account, row.name))
  end
end

local INSERT = [[
INSERT INTO versions (region, name, version, configuration, layers, code_hash, code_digest,
  code_size, unzipped, revision, fingerprint, modified, pending_until)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]

--- Adds a row to `versions`.
function versions.insert(db, row)
  db:run(INSERT, row.region, row.name, row.version, row.configuration, row.layers, row.code_hash,
    row.code_digest, row.code_size, row.unzipped, row.revision, row.fingerprint, row.modified,
    row.pending_until)
end

-- The newest version when it is what $LATEST is now.
local function unchanged(db, latest, fingerprint)
  local row = db:row([[
    SELECT * FROM versions WHERE region = ? AND name = ? AND version > 0
    ORDER BY version DESC LIMIT 1]], latest.region, latest.name)
  return row and row.fingerprint == fingerprint and row or nil
end

local function describe(text, description)
  local config = json.decode(text)
  config.Description = description
  return json.encode(config)
end

--- Publishes what $LATEST is; when that is published already, nothing changes.
---@param latest table of `versions`
---@param description string? in place of that of $LATEST
---@return table row of `versions`
function versions.publish(context, latest, description)
  local db = context.service.store.db
  local fingerprint = versions.fingerprint(latest)
  local row = unchanged(db, latest, fingerprint)
  if row then
    return row
  end
  local number = lookup.find(context.service.store, latest.region, latest.name).next_version
  row = setmetatable({
    version = number, revision = crypto.uuid(), fingerprint = fingerprint,
    modified = context.service.now(),
    configuration = description and describe(latest.configuration, description) or nil,
  }, { __index = latest })
  versions.insert(db, row)
  db:run("UPDATE functions SET next_version = ? WHERE region = ? AND name = ?", number + 1,
    latest.region, latest.name)
  return lookup.version(context.service.store, latest.region, latest.name, number)
end

local operations = {}

function operations.PublishVersion(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local latest = lookup.version(context.service.store, context.region, name, 0)
  versions.check_settled(context, latest)
  lookup.check_revision(input.RevisionId, latest.revision)
  if input.CodeSha256 and input.CodeSha256 ~= latest.code_digest then
    fault.invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please " ..
      "try again with the CodeSHA256 in $LATEST.", input.CodeSha256, latest.code_digest)
  end
  local row = versions.publish(context, latest, input.Description)
  return 201, configuration.show(context, row, tostring(row.version))
end

function operations.ListVersionsByFunction(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local start = paging.start(input, { -1 })
  local size = paging.size(input, MOST_ON_PAGE)
  local rows = context.service.store.db:rows([[
    SELECT * FROM versions WHERE region = ? AND name = ? AND version > ?
    ORDER BY version LIMIT ?]], context.region, name, start[1], size + 1)
  local page, marker = paging.cut(rows, size,
    function(row) return { row.version } end,
    function(row)
      return configuration.show_item(context, row, lookup.version_name(row.version))
    end)
  return 200, { Versions = page, NextMarker = marker }
end

versions.operations = operations
return versions
