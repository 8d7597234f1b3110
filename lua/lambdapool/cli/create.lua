--- `lambdapool create`: a new function.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local functions = require "lambdapool.deploy.function"

return command.new {
  name = "create",
  usage = "create NAME [PATHS]",
  example = "lambdapool create algorithms algorithms/ --memory 256",
  about = [[
Creates a function on which pools can run: pool { function_name = "algorithms" }. It holds the
program that runs tasks, and the files and folders that are named: a folder under its own name, and
with FOLDER/. what is in it. Without any, it can run whatever scripts send. It gets a role of its
own that may write the function's log, unless --role names another.]],
  arguments = {
    { "name", "the function" },
    { "paths", "files and folders that modules come from", args = "*" },
  },
  options = change.SETTINGS,
  common = { account = true, json = true, dry_run = true },
  run = function(given, context)
    local options = change.settings(given)
    options.defaults = change.defaults()
    local plan = functions.plan.create(context:account(), given.name, options)
    change.carry_out(plan, given, function(result)
      return change.creation(plan, result)
    end)
  end,
}
