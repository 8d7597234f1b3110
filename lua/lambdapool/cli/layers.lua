--- `lambdapool layers`: code that functions share.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local functions = require "lambdapool.deploy.function"
local json = require "lambdapool.json"
local layers = require "lambdapool.deploy.layers"
local lookup = require "lambdapool.deploy.lookup"
local describe = require "lambdapool.deploy.describe"
local output = require "lambdapool.cli.output"
local update = require "lambdapool.cli.update"

-- Listing ---------------------------------------------------------------------------------------

local list = command.new {
  name = "layers list",
  usage = "layers list [NAME]",
  example = "lambdapool layers list",
  about = "Lists the layers of the region, or the versions of one.",
  arguments = { { "name", "a layer", args = "?" } },
  common = { account = true, json = true },
  run = function(given, context)
    local account = context:account()
    local found = given.name and layers.versions(account, given.name) or layers.list(account)
    if given.json then
      return output.json(json.array(found))
    end
    local rows = {}
    for i, item in ipairs(found) do
      local created = describe.time(item.created)
      rows[i] = { item.name, item.version, created and output.age(context.now - created),
        item.description, item.arn }
    end
    output.table({ "NAME", "VERSION", "CREATED", "DESCRIPTION", "ARN" }, rows)
  end,
}

-- Publishing and deleting -------------------------------------------------------------------------

local publish = command.new {
  name = "layers publish",
  usage = "layers publish NAME [PATHS]",
  example = "lambdapool layers publish tools tools/ -r rocks.txt",
  about = [[
Publishes files, folders and rocks as a new version of a layer. Functions that have it find its
modules with `require`. When the newest version is the same, nothing is sent.]],
  arguments = {
    { "name", "the layer" },
    { "paths", "files and folders that modules come from", args = "*" },
  },
  options = {
    { "-r --requirements", "FILE", "rocks to take along: a file of names, or a rockspec" },
    { "--description", "TEXT", "what it is for" },
    { "--arch", "NAME", "x86_64 or arm64 (x86_64)", convert = command.choice("x86_64", "arm64") },
  },
  common = { account = true, json = true, dry_run = true },
  run = function(given, context)
    local plan = layers.plan.publish(context:account(), given.name, {
      paths = given.paths, requirements = given.requirements, description = given.description,
      architecture = given.arch, log = change.watcher(),
    })
    change.carry_out(plan, given, function(result)
      return ("version %d of %s is %s\n  %s"):format(result.version, result.name, result.action,
        result.arn)
    end)
  end,
}

local delete = command.new {
  name = "layers delete",
  usage = "layers delete NAME VERSION",
  example = "lambdapool layers delete tools 3",
  about = "Deletes a version of a layer. Functions that have it keep it.",
  arguments = {
    { "name", "the layer" },
    { "version", "its version", convert = command.integer(1) },
  },
  common = { account = true, json = true, dry_run = true, yes = true },
  run = function(given, context)
    local plan = layers.plan.delete(context:account(), given.name, given.version)
    local question = ("delete version %d of the layer %s?%s"):format(given.version, given.name,
      plan.kept and " It is " .. plan.kept .. "." or "")
    if not given.dry_run and not context:confirm(question) then
      output.say "nothing was deleted"
      return 1
    end
    change.carry_out(plan, given, function(result)
      return ("version %d of %s is deleted"):format(result.version, result.name)
    end)
  end,
}

-- Layers of a function ----------------------------------------------------------------------------

-- A command that changes the layers of a function.
local function of_function(spec, edit)
  return command.new {
    name = "layers " .. spec.name,
    usage = ("layers %s FUNCTION LAYER..."):format(spec.name),
    example = spec.example, about = spec.about,
    arguments = { { "function", "the function" }, { "layer", spec.what, args = "+" } },
    common = { account = true, json = true, dry_run = true },
    run = function(given, context)
      local account = context:account()
      local found = lookup.own(account, given["function"])
      local wanted = edit(describe.layers(found.configuration), given.layer, account)
      local plan = functions.plan.update(account, given["function"], { layers = wanted })
      change.carry_out(plan, given, update.describe)
    end,
  }
end

local attach = of_function({
  name = "attach", what = "NAME (the newest version), NAME:VERSION, or ARNs of any account",
  example = "lambdapool layers attach algorithms tools:3",
  about = "Gives a function more layers, or other versions of them.",
}, function(there, texts, account)
  return layers.with(there, layers.resolve(account, texts))
end)

local detach = of_function({
  name = "detach", what = "NAME, NAME:VERSION, or ARNs",
  example = "lambdapool layers detach algorithms tools",
  about = "Takes layers from a function.",
}, layers.without)

return command.group {
  name = "layers",
  about = "Layers: code that functions share.",
  example = "lambdapool layers publish tools tools/",
  commands = { list = list, publish = publish, delete = delete, attach = attach, detach = detach },
}
