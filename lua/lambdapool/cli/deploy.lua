--- `lambdapool deploy`: creates a function, or updates it when it is there.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local functions = require "lambdapool.deploy.function"
local update = require "lambdapool.cli.update"

return command.new {
  name = "deploy",
  usage = "deploy NAME [PATHS]",
  example = "lambdapool deploy algorithms algorithms/",
  about = [[
Creates the function, or sends what has changed of it: for scripts that bring it up to date,
whatever is there. See `lambdapool create --help` and `lambdapool update --help`.]],
  arguments = {
    { "name", "the function" },
    { "paths", "files and folders that modules come from", args = "*" },
  },
  options = change.options(change.SETTINGS, change.REMOVALS),
  common = { account = true, json = true, dry_run = true },
  run = function(given, context)
    local options = change.settings(given)
    options.defaults = change.defaults()
    local plan = functions.plan.deploy(context:account(), given.name, options)
    change.carry_out(plan, given, function(result)
      return result.action == "created" and change.creation(plan, result) or update.describe(result)
    end)
  end,
}
