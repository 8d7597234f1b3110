--- `lambdapool update`: sends what has changed of a function.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local functions = require "lambdapool.deploy.function"

local update = {}

--- What is printed of an update.
---@param result table
---@return string
function update.describe(result)
  if not result.changes then
    return result.name .. " is unchanged"
  end
  return ("%s is updated\n  %s"):format(result.name,
    table.concat(change.lines(result.changes), "\n  "))
end

local ADOPT = { { "--adopt", nil, "take over a function that was made by others" } }

local module = command.new {
  name = "update",
  usage = "update NAME [PATHS]",
  example = "lambdapool update algorithms algorithms/ --memory 512",
  about = [[
Compares the files and the settings that are named with what the function has, and sends what
differs; everything else stays. Environment variables and tags are added to those that it has;
layers are replaced. Without paths its files stay; when the program in it that runs tasks is older
than this one, it is replaced.]],
  arguments = {
    { "name", "the function" },
    { "paths", "files and folders that modules come from", args = "*" },
  },
  options = change.options(change.SETTINGS, change.REMOVALS, ADOPT),
  common = { account = true, json = true, dry_run = true },
  run = function(given, context)
    local options = change.settings(given)
    local plan = functions.plan.update(context:account(), given.name, options)
    change.carry_out(plan, given, update.describe)
  end,
}

module.describe = update.describe

return module
