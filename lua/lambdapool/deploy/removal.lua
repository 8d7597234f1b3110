--- Deleting a function, with the role that was made for it and, if that is wanted, its log.

local check_options = require("lambdapool.options").check
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local plan = require "lambdapool.deploy.plan"
local problem = require "lambdapool.deploy.problem"
local roles = require "lambdapool.deploy.roles"
local settle = require "lambdapool.deploy.settle"

local RULES = { logs = { "boolean" }, log = { "function" }, stop = { "function" } }

local removal = {}

-- The role that was made for the function. Who may not look at roles has given functions theirs, so
-- that is no error unless this function has one of ours.
local function find_role(account, name, found)
  local ok, role = pcall(roles.find, account, name)
  if ok then
    return role
  end
  local arn = found and found.configuration.Role
  if arn and arn:find(names.PATH .. names.role(name), 1, true) or role.status ~= 403 then
    error(role, 0)
  end
end

local function other_users(account, name, role)
  local users = lookup.users(account, role.Arn)
  for i = #users, 1, -1 do
    if users[i] == name then
      table.remove(users, i)
    end
  end
  return users
end

-- Runs a call whose object may have gone in between.
local function tolerant(f, ...)
  local ok, failure = pcall(f, ...)
  if not ok and not lookup.is_absent(failure) then
    error(failure, 0)
  end
end

local function plan_function(steps, account, name)
  plan.add(steps, {
    operation = "lambda:DeleteFunction", about = "delete the function " .. name,
    run = function(journal)
      tolerant(settle.call, account.session:lambda(), "DeleteFunction", { FunctionName = name },
        journal)
      journal.note(("the function %s was deleted already"):format(name))
    end,
  })
end

local function plan_log(steps, account, name)
  local group = names.log_group(name)
  plan.add(steps, {
    operation = "logs:DeleteLogGroup", about = "delete the log " .. group,
    run = function()
      local logs = account.session:logs()
      tolerant(logs.call, logs, "DeleteLogGroup", { logGroupName = group })
    end,
  })
end

--- Plans the end of a function that lambdapool made. When only its role is left, of that.
---@param account table
---@param name string
---@param options { logs: boolean? }
---@return lambdapool.deploy.Plan
function removal.plan(account, name, options)
  check_options("lambdapool.deploy.function.delete", options, RULES)
  names.check_function(name)
  local found = lookup.find(account, name)
  if found then
    found = lookup.own(account, name, "delete it where it was made")
  end
  local steps, role = plan.new(name, "delete"), find_role(account, name, found)
  if not found and not role then
    problem.raise(problem.ABSENT, "there is no function %s in %s\n  see what there is with " ..
      "`lambdapool list`", name, lookup.place(account))
  end
  if found then
    plan_function(steps, account, name)
  end
  if role then
    roles.plan_removal(steps, account, name, other_users(account, name, role))
  end
  if options.logs then
    plan_log(steps, account, name)
  end
  steps.result = function()
    return { name = name, action = "deleted", role_deleted = role ~= nil and not steps.kept,
      kept = steps.kept, logs_deleted = options.logs or false }
  end
  return steps
end

return removal
