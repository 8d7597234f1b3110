--- What the account may use and uses, and what it has none of.

local code = require "lambdapool.serve.lambda.code"
local concurrency = require "lambdapool.serve.lambda.concurrency"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"

local operations = {}

local STORAGE = 80530636800 -- 75 GB

function operations.GetAccountSettings(context)
  local service, region = context.service, context.region
  local limit = concurrency.limit(service)
  local used = service.store.db:row([[
    SELECT (SELECT COUNT(*) FROM functions WHERE region = ?1) AS functions,
      (SELECT COALESCE(SUM(code_size), 0) FROM versions WHERE region = ?1) +
      (SELECT COALESCE(SUM(code_size), 0) FROM layers WHERE region = ?1) AS size]], region)
  return 200, {
    AccountLimit = {
      TotalCodeSize = STORAGE,
      CodeSizeUnzipped = code.LARGEST,
      CodeSizeZipped = code.LARGEST_ZIP,
      ConcurrentExecutions = limit,
      UnreservedConcurrentExecutions = limit - concurrency.reserved_total(service, region),
    },
    AccountUsage = { TotalCodeSize = used.size, FunctionCount = used.functions },
  }
end

-- There is no code signing and there are no event sources; tools ask all the same.

function operations.GetFunctionCodeSigningConfig(context, input)
  return 200, { FunctionName = lookup.existing(context, input.FunctionName),
    CodeSigningConfigArn = "" }
end

function operations.ListEventSourceMappings()
  return 200, { EventSourceMappings = json.array {} }
end

return { operations = operations }
