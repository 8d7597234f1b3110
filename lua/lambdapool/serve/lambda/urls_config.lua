--- The configurations of function URLs. What answers the URLs is function_urls.lua.

local clock = require "lambdapool.serve.lambda.clock"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"

local urls_config = {}

local MOST_ON_PAGE = 50

local LISTS = { "AllowHeaders", "AllowMethods", "AllowOrigins", "ExposeHeaders" }

-- Reads what is stored, with its lists as lists.
local function read(row)
  local config = json.decode(row.configuration)
  for _, member in ipairs(LISTS) do
    if config.Cors and config.Cors[member] then
      json.array(config.Cors[member])
    end
  end
  return config
end

local function show(context, row)
  local shown = read(row)
  shown.FunctionUrl = ("%s/lambda-url/%s/"):format(context.service.url, row.id)
  shown.FunctionArn = names.function_arn(row.region, context.account, row.name,
    row.qualifier ~= "" and row.qualifier or nil)
  shown.CreationTime = clock.zulu(row.created)
  shown.LastModifiedTime = clock.zulu(row.modified)
  return shown
end

local function no_such_resource()
  fault(404, "ResourceNotFoundException", "The resource you requested does not exist.")
end

-- The function or alias that has or is to have the URL.
local function locate(context, input)
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier)
  local store, region = context.service.store, context.region
  if not lookup.find(store, region, name)
    or qualifier and not lookup.alias(store, region, name, qualifier) then
    fault(404, "ResourceNotFoundException", "Function does not exist")
  end
  return name, qualifier or ""
end

local function find(context, input)
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier)
  return context.service.store.db:row(
    "SELECT * FROM urls WHERE region = ? AND name = ? AND qualifier = ?",
    context.region, name, qualifier or "") or no_such_resource()
end

local function write(context, row)
  local store = context.service.store
  store.db:run("INSERT OR REPLACE INTO urls VALUES (?, ?, ?, ?, ?, ?, ?)", row.region, row.name,
    row.qualifier, row.id, row.configuration, row.created, row.modified)
  store:touch(row.region, row.name)
end

local operations = {}

function operations.CreateFunctionUrlConfig(context, input)
  local name, qualifier = locate(context, input)
  local db = context.service.store.db
  if db:row("SELECT 1 FROM urls WHERE region = ? AND name = ? AND qualifier = ?", context.region,
    name, qualifier) then
    fault(409, "ResourceConflictException", ("Failed to create function url config for " ..
      "[functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function")
      :format(names.function_arn(context.region, context.account, name,
        qualifier ~= "" and qualifier or nil)))
  end
  local now = context.service.now()
  local row = {
    region = context.region, name = name, qualifier = qualifier,
    id = crypto.sha256(crypto.random(32)):sub(1, 32), created = now, modified = now,
    configuration = json.encode {
      AuthType = input.AuthType, Cors = input.Cors, InvokeMode = input.InvokeMode or "BUFFERED",
    },
  }
  write(context, row)
  local shown = show(context, row)
  shown.LastModifiedTime = nil
  return 201, shown
end

function operations.UpdateFunctionUrlConfig(context, input)
  local row = find(context, input)
  local config = read(row)
  for _, member in ipairs { "AuthType", "InvokeMode", "Cors" } do
    config[member] = input[member] or config[member]
  end
  if config.Cors and not next(config.Cors) then
    config.Cors = nil
  end
  row.configuration = json.encode(config)
  row.modified = context.service.now()
  write(context, row)
  return 200, show(context, row)
end

function operations.GetFunctionUrlConfig(context, input)
  return 200, show(context, find(context, input))
end

function operations.DeleteFunctionUrlConfig(context, input)
  local row = find(context, input)
  local store = context.service.store
  store.db:run("DELETE FROM urls WHERE id = ?", row.id)
  store:touch(row.region, row.name)
  return 204
end

function operations.ListFunctionUrlConfigs(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local start = paging.start(input, { "" })
  local size = paging.size(input, MOST_ON_PAGE)
  local rows = context.service.store.db:rows([[
    SELECT * FROM urls WHERE region = ? AND name = ? AND ':' || qualifier > ?
    ORDER BY qualifier LIMIT ?]], context.region, name, start[1], size + 1)
  local page, marker = paging.cut(rows, size,
    function(row) return { ":" .. row.qualifier } end,
    function(row) return show(context, row) end)
  return 200, { FunctionUrlConfigs = page, NextMarker = marker }
end

urls_config.operations = operations

-- For those that answer them ---------------------------------------------------------------------

---@class lambdapool.serve.UrlConfig
---@field region string
---@field name string
---@field qualifier string? an alias
---@field auth "NONE"|"AWS_IAM"
---@field mode "BUFFERED"|"RESPONSE_STREAM"
---@field cors table?

--- The function behind a URL; nil when there is none. It is remembered until something changes.
---@param service table
---@param id string
---@return lambdapool.serve.UrlConfig?
function urls_config.find(service, id)
  local store = service.store
  local known = store.urls[id]
  if known then
    return known
  end
  local row = store.db:row("SELECT * FROM urls WHERE id = ?", id)
  if not row then
    return nil
  end
  local config = read(row)
  known = {
    region = row.region, name = row.name,
    qualifier = row.qualifier ~= "" and row.qualifier or nil,
    auth = config.AuthType, mode = config.InvokeMode, cors = config.Cors,
  }
  store.urls[id] = known
  return known
end

return urls_config
