--- Functions on an account: created, updated, deleted, listed. For programs, too:
---
---     local account = require("lambdapool.account").open { backend = "aws" }
---     require("lambdapool.deploy.function").deploy(account, "algorithms", {
---       paths = { "algorithms/" }, memory = 512, environment = { LEVEL = "3" },
---     })
---
--- Each of create, update, deploy and delete is a plan that is carried out; plan.* only make it.
--- They wait as everything here does: in a flow others go on meanwhile. What is wrong is raised, as
--- a lambdapool.deploy.Problem or as the lambdapool.Refusal of AWS.

local changes = require "lambdapool.deploy.changes"
local creation = require "lambdapool.deploy.creation"
local describe = require "lambdapool.deploy.describe"
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local plan = require "lambdapool.deploy.plan"
local removal = require "lambdapool.deploy.removal"

---@class lambdapool.deploy.Options
---@field paths string[]? files and folders to package; without any the function is the agent alone
---@field requirements string? a file with names of rocks, or a rockspec
---@field agent string? the program `bootstrap`; default: the one beside this program
---@field handler string? "module.function" for events that are no calls; "lambdapool": calls only
---@field memory integer? megabytes; a new function has 1769
---@field timeout integer? seconds; a new function has 900
---@field description string?
---@field role string? ARN; without it a new function gets a role of its own
---@field layers string[]? ARNs, in place of those that it has
---@field environment table<string, string>? beside what it has
---@field remove_environment string[]? names that it is to have no longer
---@field tags table<string, string>?
---@field remove_tags string[]?
---@field architecture string? "x86_64" or "arm64"
---@field defaults lambdapool.deploy.Options? what a new function has where the rest says nothing
---@field adopt boolean? update: take over a function that others made
---@field log fun(line: string)? hears what is being done
---@field stop (fun(): boolean)? asked now and then; true: give up, and take back what was made

local functions = { plan = {} }

---@param account lambdapool.Account
---@param name string
---@param options lambdapool.deploy.Options?
---@return lambdapool.deploy.Plan
function functions.plan.create(account, name, options)
  return creation.plan(account, name, options or {})
end

---@param account lambdapool.Account
---@param name string
---@param options lambdapool.deploy.Options?
---@return lambdapool.deploy.Plan
function functions.plan.update(account, name, options)
  return changes.plan(account, name, options or {})
end

--- Creates the function, or updates it when it is there.
---@param account lambdapool.Account
---@param name string
---@param options lambdapool.deploy.Options?
---@return lambdapool.deploy.Plan
function functions.plan.deploy(account, name, options)
  local exists = lookup.find(account, names.check_function(name))
  return (exists and changes or creation).plan(account, name, options or {})
end

---@param account lambdapool.Account
---@param name string
---@param options { logs: boolean?, log: function?, stop: function? }?
---@return lambdapool.deploy.Plan
function functions.plan.delete(account, name, options)
  return removal.plan(account, name, options or {})
end

-- A plan that is carried out at once.
local function carried_out(make)
  return function(account, name, options)
    return plan.execute(make(account, name, options), plan.journal(options))
  end
end

--- Creates a function. Returns it as in lists, with `action`: "created".
---@type fun(account: lambdapool.Account, name: string, options: lambdapool.deploy.Options?): table
functions.create = carried_out(functions.plan.create)

--- Sends what differs. Returns the function as in lists, with `action`: "updated" or "unchanged".
---@type fun(account: lambdapool.Account, name: string, options: lambdapool.deploy.Options?): table
functions.update = carried_out(functions.plan.update)

--- Creates the function, or updates it when it is there.
---@type fun(account: lambdapool.Account, name: string, options: lambdapool.deploy.Options?): table
functions.deploy = carried_out(functions.plan.deploy)

--- Deletes a function and its role. Returns what became of them.
---@type fun(account: lambdapool.Account, name: string, options: table?): table
functions.delete = carried_out(functions.plan.delete)

--- The functions that lambdapool made, by name.
---@param account lambdapool.Account
---@return table[]
function functions.list(account)
  local list = {}
  for i, found in ipairs(lookup.ours(account)) do
    list[i] = describe.item(found.configuration, found.tags)
  end
  return list
end

--- Everything about one function; also one that others made.
---@param account lambdapool.Account
---@param name string
---@return table
function functions.show(account, name)
  local found = lookup.get(account, name)
  local item = describe.whole(found)
  item.ours = lookup.is_ours(found.tags)
  return item
end

return functions
