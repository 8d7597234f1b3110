--- Updating a function: what is asked for is compared with what is there, and only the difference
--- is sent.

local creation = require "lambdapool.deploy.creation"
local describe = require "lambdapool.deploy.describe"
local differences = require "lambdapool.deploy.differences"
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local plan = require "lambdapool.deploy.plan"
local problem = require "lambdapool.deploy.problem"
local refresh = require "lambdapool.deploy.refresh"
local settings = require "lambdapool.deploy.settings"
local settle = require "lambdapool.deploy.settle"

local changes = {}

-- Code ------------------------------------------------------------------------------------------

local function check_architecture(configuration, given, has_code)
  local there = (configuration.Architectures or { "x86_64" })[1]
  if given.architecture and given.architecture ~= there and not has_code then
    problem.raise(problem.USAGE, "the architecture can only be changed with the code: give its " ..
      "files and folders, too")
  end
  return given.architecture or there
end

-- Functions that hold nothing but the agent can be brought up to date without being given paths.
local function has_code(options, found)
  return creation.has_files(options) or found.tags["lambdapool:code"] == "agent"
end

-- The package that the function is to have; nil when its code stays.
local function package_for(steps, account, found, options, architecture)
  local version = found.tags["lambdapool:version"]
  local layers = options.layers or describe.layers(found.configuration)
  if has_code(options, found) then
    return creation.build(options, architecture, layers)
  elseif not describe.is_outdated(version) then
    return nil
  end
  local package, message = refresh.build(account, found, { agent = options.agent,
    architecture = architecture, layers = layers[1] ~= nil })
  if not package then
    steps.remark = ("the program in %s stays that of lambdapool %s: its code cannot be fetched " ..
      "(%s)\n  give its files and folders, too"):format(steps.name, version, message)
  end
  return package
end

-- The package, if it differs from what is there, and its architecture.
local function compare_code(steps, account, found, options, given)
  local configuration = found.configuration
  local there = (configuration.Architectures or { "x86_64" })[1]
  local wanted = check_architecture(configuration, options, has_code(options, found))
  local package = package_for(steps, account, found, options, wanted)
  if not package then
    return nil
  end
  creation.check_handler(package, given.handler or configuration.Handler, given.layers
    or describe.layers(configuration))
  if wanted ~= there then
    differences.note(steps, "architecture", there, wanted)
  elseif package.sha256 == configuration.CodeSha256 then
    return nil
  end
  differences.note(steps, "code", configuration.CodeSha256, package.sha256)
  steps.package = package
  return package, wanted
end

-- The tags that belong to new code.
local function code_tags(options, found)
  local tags = creation.code_tags(options)
  if not has_code(options, found) then
    tags["lambdapool:code"] = nil -- it has the files that it had
  end
  return tags
end

-- The plan ----------------------------------------------------------------------------------------

local function labels(list)
  local words = {}
  for i, change in ipairs(list) do
    words[i] = change.setting
  end
  return table.concat(words, ", ")
end

-- The revision that was compared is sent along, so that nobody else's change is overwritten.
local function send(account, operation, input, journal, what)
  local lambda = account.session:lambda()
  local ok, failure = pcall(settle.call, lambda, operation, input, journal)
  if type(failure) == "table" and failure.code == "PreconditionFailedException" then
    problem.raise(problem.FAILED, "somebody else has changed %s meanwhile\n  run it again",
      input.FunctionName)
  elseif not ok then
    error(failure, 0)
  end
  journal.note(what .. " changed already")
  journal.configuration = settle.confirm(lambda, input.FunctionName, journal.stop)
end

local function plan_configuration(steps, account, name, input, revision)
  if next(input) == nil then
    return
  end
  input.FunctionName, input.RevisionId = name, revision
  local words = labels(steps.changes)
  plan.add(steps, {
    operation = "lambda:UpdateFunctionConfiguration",
    about = ("change %s of %s"):format(words, name),
    run = function(journal)
      send(account, "UpdateFunctionConfiguration", input, journal, words)
    end,
  })
end

local function plan_code(steps, account, name, package, architecture)
  if package then
    plan.add(steps, {
      operation = "lambda:UpdateFunctionCode",
      about = ("upload the code of %s: %d bytes"):format(name, #package.bytes),
      run = function(journal)
        send(account, "UpdateFunctionCode", { FunctionName = name, ZipFile = package.bytes,
          Architectures = { architecture } }, journal, "the code")
      end,
    })
  end
end

local function plan_tags(steps, account, arn, sets, removed)
  local lambda = account.session:lambda()
  if next(sets) then
    plan.add(steps, {
      operation = "lambda:TagResource",
      about = "set the tags " .. table.concat(differences.keys(sets), ", "),
      run = function() lambda:call("TagResource", { Resource = arn, Tags = sets }) end,
    })
  end
  if removed[1] then
    plan.add(steps, {
      operation = "lambda:UntagResource", about = "remove the tags " .. table.concat(removed, ", "),
      run = function() lambda:call("UntagResource", { Resource = arn, TagKeys = removed }) end,
    })
  end
end

local function is_custom(runtime)
  return tostring(runtime):find "^provided" ~= nil
end

-- Prepares for taking a function over and returns the tags that this adds. The handler of another
-- runtime goes with its code: the agent would look for it when it starts.
local function adopt(found, options, given)
  local configuration = found.configuration
  local custom = is_custom(configuration.Runtime)
  if lookup.is_ours(found.tags) then
    return {}
  elseif configuration.PackageType == "Image" then
    problem.raise(problem.FAILED, "the function %s is a container image, which lambdapool " ..
      "cannot take over", configuration.FunctionName)
  elseif not creation.has_files(options) and not custom then
    problem.raise(problem.USAGE, "the function %s runs on %s: give the files and folders that " ..
      "take the place of its code", configuration.FunctionName, configuration.Runtime)
  end
  if not custom then
    given.handler = given.handler or settings.DEFAULTS.handler
  end
  return { creator = names.CREATOR }
end

-- The function as it is when nothing is under way with it.
local function settled(account, name, options)
  local hint = ("take it over with `lambdapool update %s --adopt`"):format(name)
  local find = options.adopt and lookup.get or lookup.own
  local found = find(account, name, hint)
  if not settle.is_settled(found.configuration) then
    settle.wait(account.session:lambda(), name, options.stop)
    found = find(account, name, hint)
  end
  if found.configuration.State == "Failed" then
    problem.raise(problem.FAILED, "the function %s never became ready: %s\n  delete it with " ..
      "`lambdapool delete %s` and create it again", name,
      found.configuration.StateReason or "Lambda does not say why", name)
  end
  return found
end

--- Plans the difference between a function and what `options` ask for. Without one, the plan has no
--- steps and its action is "unchanged".
---@param account table
---@param name string
---@param options lambdapool.deploy.Options
---@return lambdapool.deploy.Plan
function changes.plan(account, name, options)
  names.check_function(name)
  local given = settings.check(options)
  local found = settled(account, name, options)
  local configuration, steps = found.configuration, plan.new(name, "update")
  local more = adopt(found, options, given)
  local input = differences.configuration(steps, configuration, given)
  plan_configuration(steps, account, name, input, configuration.RevisionId)
  local package, architecture = compare_code(steps, account, found, options, given)
  plan_code(steps, account, name, package, architecture)
  for key, value in pairs(package and code_tags(options, found) or {}) do
    more[key] = value
  end
  local sets, removed, tags = differences.tags(steps, found, given, more)
  plan_tags(steps, account, configuration.FunctionArn, sets, removed)
  if not steps.steps[1] then
    steps.action = "unchanged"
  end
  steps.result = function(journal)
    local item = describe.item(journal.configuration or configuration, tags)
    item.action = steps.steps[1] and "updated" or "unchanged"
    return item
  end
  return steps
end

return changes
