--- Concurrency that is reserved for a function, and concurrency that is provisioned for a version.
--- The first is a limit that invocations meet; the second is only remembered.

local clock = require "lambdapool.serve.lambda.clock"
local fault = require "lambdapool.serve.fault"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"
local paging = require "lambdapool.serve.lambda.paging"

local concurrency = {}

local MOST_ON_PAGE = 50

local ACCOUNT_LIMIT = 1000

-- What has to stay for all functions without a reservation; an account with less has all of it.
local LEAST_UNRESERVED = 100

--- How many invocations the account may have at a time.
---@param service table
---@return integer
function concurrency.limit(service)
  return service.concurrency or ACCOUNT_LIMIT
end

--- What all functions of a region have reserved together.
---@param service table
---@param region string
---@return integer
function concurrency.reserved_total(service, region)
  local known = service.store.reserved
  if known[region] then
    return known[region]
  end
  local row = service.store.db:row(
    "SELECT SUM(reserved) AS total, COUNT(*) AS functions FROM functions WHERE region = ?", region)
  local total = row.total or 0
  if row.functions > 0 then -- so that regions nobody uses are not remembered
    known[region] = total
  end
  return total
end

-- Reserved ---------------------------------------------------------------------------------------

local function find(context, input)
  local name = lookup.unqualified(context, input.FunctionName)
  local row = lookup.find(context.service.store, context.region, name)
  if not row then
    names.not_found(context.region, context.account, name, "$LATEST")
  end
  return row
end

local function write(context, row, executions)
  local store = context.service.store
  store.db:run("UPDATE functions SET reserved = ? WHERE region = ? AND name = ?", executions,
    row.region, row.name)
  store:touch(row.region, row.name)
end

local operations = {}

function operations.PutFunctionConcurrency(context, input)
  local row = find(context, input)
  local wanted = input.ReservedConcurrentExecutions
  local limit = concurrency.limit(context.service)
  local least = math.min(LEAST_UNRESERVED, limit)
  local others = concurrency.reserved_total(context.service, context.region) - (row.reserved or 0)
  if wanted > 0 and limit - others - wanted < least then
    fault.invalid("Specified ReservedConcurrentExecutions for function decreases account's " ..
      "UnreservedConcurrentExecution below its minimum value of [%d].", least)
  end
  write(context, row, wanted)
  return 200, { ReservedConcurrentExecutions = wanted }
end

function operations.GetFunctionConcurrency(context, input)
  return 200, { ReservedConcurrentExecutions = find(context, input).reserved }
end

function operations.DeleteFunctionConcurrency(context, input)
  write(context, find(context, input), nil)
  return 204
end

-- Provisioned ------------------------------------------------------------------------------------

local function show(row)
  return {
    RequestedProvisionedConcurrentExecutions = row.executions,
    AvailableProvisionedConcurrentExecutions = row.executions,
    AllocatedProvisionedConcurrentExecutions = row.executions,
    Status = "READY",
    LastModified = clock.offset(row.modified),
  }
end

local function locate(context, input)
  local store, region = context.service.store, context.region
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier)
  if qualifier == "$LATEST" then
    fault.invalid("Provisioned Concurrency Configs cannot be applied to unpublished function " ..
      "versions.")
  end
  local row = lookup.qualified(store, region, name, qualifier)
  if not row then
    names.not_found(region, context.account, name, qualifier)
  elseif row.version == 0 then
    fault.invalid("Provisioned Concurrency Configs cannot be applied to unpublished function " ..
      "versions.")
  end
  return name, qualifier
end

local function find_provisioned(context, input)
  local name, qualifier = locate(context, input)
  return context.service.store.db:row(
    "SELECT * FROM provisioned WHERE region = ? AND name = ? AND qualifier = ?",
    context.region, name, qualifier), name, qualifier
end

local function check_provisioned(context, name, wanted)
  local service = context.service
  local reserved = lookup.find(service.store, context.region, name).reserved
  local free = concurrency.limit(service) - concurrency.reserved_total(service, context.region)
  if reserved and wanted > reserved then
    fault.invalid("Requested Provisioned Concurrency should not be greater than the " ..
      "reservedConcurrentExecution for function")
  elseif not reserved and wanted > free then
    fault.invalid("Specified ConcurrentExecutions for function is greater than account's " ..
      "unreserved concurrency [%d].", free)
  end
end

function operations.PutProvisionedConcurrencyConfig(context, input)
  local name, qualifier = locate(context, input)
  local wanted = input.ProvisionedConcurrentExecutions
  check_provisioned(context, name, wanted)
  local modified = context.service.now()
  context.service.store.db:run("INSERT OR REPLACE INTO provisioned VALUES (?, ?, ?, ?, ?)",
    context.region, name, qualifier, wanted, modified)
  return 202, show { executions = wanted, modified = modified }
end

function operations.GetProvisionedConcurrencyConfig(context, input)
  local row = find_provisioned(context, input)
  if not row then
    fault(404, "ProvisionedConcurrencyConfigNotFoundException",
      "No Provisioned Concurrency Config found for this function")
  end
  return 200, show(row)
end

function operations.DeleteProvisionedConcurrencyConfig(context, input)
  local name, qualifier = locate(context, input)
  context.service.store.db:run(
    "DELETE FROM provisioned WHERE region = ? AND name = ? AND qualifier = ?",
    context.region, name, qualifier)
  return 204
end

function operations.ListProvisionedConcurrencyConfigs(context, input)
  local name = lookup.existing(context, input.FunctionName)
  local start = paging.start(input, { "" })
  local size = paging.size(input, MOST_ON_PAGE)
  local rows = context.service.store.db:rows([[
    SELECT * FROM provisioned WHERE region = ? AND name = ? AND qualifier > ?
    ORDER BY qualifier LIMIT ?]], context.region, name, start[1], size + 1)
  local page, marker = paging.cut(rows, size,
    function(row) return { row.qualifier } end,
    function(row)
      local shown = show(row)
      shown.FunctionArn = names.function_arn(row.region, context.account, name, row.qualifier)
      return shown
    end)
  return 200, { ProvisionedConcurrencyConfigs = page, NextMarker = marker }
end

concurrency.operations = operations
return concurrency
