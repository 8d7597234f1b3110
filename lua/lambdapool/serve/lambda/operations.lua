--- The operations of the Lambda API, except those that run functions (invoke.lua). Each of them is
--- a function of a context and the input, a table of members by their names in the API; it returns
--- the HTTP status and the output, nil for none, or raises a fault.
---
--- An operation is one transaction: it has happened as a whole when it returns, and not at all when
--- it raises.

local shapes = require "lambdapool.serve.lambda.shapes"
local validation = require "lambdapool.serve.lambda.validation"

---@class lambdapool.serve.Context
---@field service table store, now(), url, concurrency, settle_seconds, environments ...
---@field region string
---@field account string
---@field access_key string?
---@field request_id string?
---@field presign (fun(path: string): string)?

-- These change nothing, so they need no transaction.
local function only_reads(name)
  return name:find "^Get" or name:find "^List"
end

local function run(operation, context, input)
  local store = context.service.store
  store:tidy(context.service.now())
  local status, output = store.db:transaction(operation, context, input)
  store:settle(context.service.environments)
  return status, output
end

-- A transaction that failed has touched nothing.
local function guard(store, ok, ...)
  if not ok then
    store.touched = {}
    error((...), 0)
  end
  return ...
end

local function public(name, operation)
  local rules = assert(shapes[name], name)
  if only_reads(name) then
    return function(context, input)
      return operation(context, validation.check(rules, input))
    end
  end
  return function(context, input)
    local checked = validation.check(rules, input)
    return guard(context.service.store, pcall(run, operation, context, checked))
  end
end

---@type table<string, fun(context: lambdapool.serve.Context, input: table): integer, table?>
local lambda = {}

for _, subject in ipairs { "functions", "versions", "aliases", "tags", "policies", "layers",
  "urls_config", "concurrency", "event_config", "account" } do
  local module = require("lambdapool.serve.lambda." .. subject)
  for name, operation in pairs(module.operations) do
    lambda[name] = public(name, operation)
  end
end

return lambda
