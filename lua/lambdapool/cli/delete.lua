--- `lambdapool delete`: removes a function.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local functions = require "lambdapool.deploy.function"
local output = require "lambdapool.cli.output"

return command.new {
  name = "delete",
  usage = "delete NAME",
  example = "lambdapool delete algorithms --logs",
  about = [[
Deletes a function that lambdapool made, and the role that was made for it, unless other functions
use it. Functions that others made are left alone.]],
  arguments = { { "name", "the function" } },
  options = { { "--logs", nil, "its log, too" } },
  common = { account = true, json = true, dry_run = true, yes = true },
  run = function(given, context)
    local plan = functions.plan.delete(context:account(), given.name, { logs = given.logs })
    local question = ("delete the function %s%s?"):format(given.name,
      given.logs and " and its log" or "")
    if not given.dry_run and not context:confirm(question) then
      output.say "nothing was deleted"
      return 1
    end
    change.carry_out(plan, given, function(result)
      return ("%s is deleted%s%s%s"):format(result.name,
        result.role_deleted and ", and its role" or "",
        result.logs_deleted and ", and its log" or "",
        result.kept and "\n  " .. result.kept or "")
    end)
  end,
}
