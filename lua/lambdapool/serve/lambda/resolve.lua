--- From the name in an Invoke to what has to run. This is on the path of every invocation, so what
--- was found once is remembered, and forgotten with the next change of any function of the region.

local configuration = require "lambdapool.serve.lambda.configuration"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local random = require("lambdapool.retry").random -- math.random belongs to the user's script

local resolve = {}

-- More names than this for the functions of one region, and all are looked up again.
local MOST_REMEMBERED = 10000

local ACCOUNT = "123456789012"

---@class lambdapool.serve.Record
---@field name string
---@field version string "$LATEST" or a number
---@field qualifier string? as it was asked for
---@field arn string with the qualifier
---@field region string
---@field pool string equal for what runs the same code in the same configuration
---@field code_hash string
---@field layer_hashes string[] the lowest first
---@field handler string
---@field runtime string
---@field role string
---@field timeout integer seconds
---@field memory integer MB
---@field tmp_mb integer
---@field environment table<string, string>
---@field log_group string
---@field log_format string
---@field state string "Active" or "Pending"
---@field reserved integer? of the function
---@field revision_id string

local function layer_hashes(text)
  local hashes = {}
  for i, layer in ipairs(json.decode(text)) do
    hashes[i] = layer.hash
  end
  return hashes
end

local function record_of(service, row, reserved, qualifier)
  local config = json.decode(row.configuration)
  local version = lookup.version_name(row.version)
  return {
    name = row.name, version = version, qualifier = qualifier, region = row.region,
    arn = names.function_arn(row.region, service.account or ACCOUNT, row.name, qualifier),
    pool = table.concat({ row.region, row.name, version, row.revision }, ":"),
    code_hash = row.code_hash, layer_hashes = layer_hashes(row.layers),
    handler = config.Handler, runtime = config.Runtime, role = config.Role,
    timeout = config.Timeout, memory = config.MemorySize, tmp_mb = config.EphemeralStorage.Size,
    environment = config.Environment and config.Environment.Variables or {},
    log_group = config.LoggingConfig.LogGroup, log_format = config.LoggingConfig.LogFormat,
    state = configuration.is_ahead(service, row.pending_until) and "Pending" or "Active",
    reserved = reserved, revision_id = row.revision,
  }
end

-- The row that serves: the one before while an update of $LATEST is in progress.
local function serving(service, row)
  if row.version ~= 0 then
    return row, false
  end
  local replaced, key = service.store.replaced, row.region .. "\0" .. row.name
  if configuration.is_ahead(service, row.updating_until) then
    return replaced[key] or row, true
  end
  replaced[key] = nil
  return row, false
end

--- Remembers what $LATEST was, for as long as its update takes.
---@param store lambdapool.serve.Store
---@param region string
---@param name string
---@param row table? of `versions`; nil forgets it
function resolve.replace(store, region, name, row)
  store.replaced[region .. "\0" .. name] = row
end

-- Records of an alias that spreads its calls, with the shares of all but the first.
local function spread(service, region, name, reserved, alias)
  local entry = { shares = {} }
  for version, share in pairs(json.decode(alias.weights)) do
    local row = lookup.version(service.store, region, name, math.tointeger(tonumber(version)))
    if row then
      entry.shares[#entry.shares + 1] =
        { share = share, record = record_of(service, row, reserved, alias.alias) }
    end
  end
  return entry
end

local function choose(entry)
  if not entry.shares then
    return entry.record
  end
  local point = random()
  for _, item in ipairs(entry.shares) do
    if point < item.share then
      return item.record
    end
    point = point - item.share
  end
  return entry.record
end

-- What a name leads to, and whether that will stay so.
local function look_up(service, region, text, qualifier)
  local store = service.store
  local account = service.account or ACCOUNT
  local name, wanted = names.locate({ region = region, account = account }, text, qualifier, true)
  local row, alias = lookup.qualified(store, region, name, wanted)
  if not row then
    names.not_found(region, account, name, wanted or "$LATEST")
  end
  local reserved = lookup.find(store, region, name).reserved
  local served, updating = serving(service, row)
  local entry = alias and alias.weights and spread(service, region, name, reserved, alias) or {}
  entry.record = record_of(service, served, reserved, wanted)
  return entry, not updating and entry.record.state == "Active"
end

local function remember(store, region, text, qualifier, entry)
  local known = store.records[region]
  if not known or known.count >= MOST_REMEMBERED then
    known = { count = 0, names = {} }
    store.records[region] = known
  end
  local entries = known.names[text]
  if not entries then
    entries = {}
    known.names[text] = entries
  end
  entries[qualifier or ""] = entry
  known.count = known.count + 1
end

--- What a name leads to. Raises a fault when it leads nowhere.
---@param service table
---@param region string
---@param text string name, partial or whole ARN, with or without a qualifier
---@param qualifier string?
---@return lambdapool.serve.Record
function resolve.find(service, region, text, qualifier)
  local known = service.store.records[region]
  local entries = known and known.names[text]
  local entry = entries and entries[qualifier or ""]
  if not entry then
    local stays
    entry, stays = look_up(service, region, text, qualifier)
    if stays then
      remember(service.store, region, text, qualifier, entry)
    end
  end
  return choose(entry)
end

return resolve
