--- Creating a function: its role, the function itself, and the wait until it is ready.

local crypto = require "lambdapool.crypto"
local describe = require "lambdapool.deploy.describe"
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local package_builder = require "lambdapool.deploy.package"
local plan = require "lambdapool.deploy.plan"
local problem = require "lambdapool.deploy.problem"
local roles = require "lambdapool.deploy.roles"
local settings = require "lambdapool.deploy.settings"
local settle = require "lambdapool.deploy.settle"
local system = require "lambdapool.system"

local creation = { RUNTIME = "provided.al2023" }

--- Makes the package of what `options` name.
---@param options table
---@param architecture string
---@param layers string[]? of the function
---@return table package
function creation.build(options, architecture, layers)
  return package_builder.build {
    paths = options.paths or {}, requirements = options.requirements, agent = options.agent,
    architecture = architecture, layers = layers ~= nil and layers[1] ~= nil, log = options.log,
  }
end

-- Where the agent looks for modules in a package.
local PLACES = { "%s.lua", "%s/init.lua", "%s.so", "lua/%s.lua", "lua/%s/init.lua", "lib/%s.so" }

local function has_module(package, module)
  local path, there = module:gsub("%.", "/"), {}
  for _, entry in ipairs(package.entries) do
    there[entry.name] = true
  end
  for _, place in ipairs(PLACES) do
    if there[place:format(path)] then
      return true
    end
  end
  return false
end

--- Raises when the handler's module is not in the package: the agent loads it when it starts. About
--- what is in layers nothing is known here.
---@param package table
---@param handler string?
---@param layers string[]? of the function
function creation.check_handler(package, handler, layers)
  local module = (handler or ""):match "^(.+)%.[^.]+$"
  if module and not (layers and layers[1]) and not has_module(package, module) then
    problem.raise(problem.USAGE, "the handler %s needs the module %s, which is not in the " ..
      "package\n  name its file or folder, too, or another handler with `--handler`", handler,
      module)
  end
end

--- Whether there is something in the package beside the agent.
---@param options table
---@return boolean
function creation.has_files(options)
  return options.requirements ~= nil or options.paths ~= nil and options.paths[1] ~= nil
end

--- The tags that say by whom and from what a function's code is.
---@param options table
---@return table<string, string>
function creation.code_tags(options)
  return {
    ["lambdapool:version"] = system.version,
    ["lambdapool:code"] = creation.has_files(options) and "files" or "agent",
  }
end

-- With a mark, a function that somebody else creates at the same moment is not mistaken for ours.
local function all_tags(options, given)
  local tags = creation.code_tags(options)
  tags.creator = names.CREATOR
  tags[names.MARK] = crypto.uuid()
  for key, value in pairs(given or {}) do
    tags[key] = value
  end
  return tags
end

local function input_of(name, given, package, options)
  return {
    FunctionName = name,
    Runtime = creation.RUNTIME,
    Handler = given.handler,
    Role = given.role,
    Code = { ZipFile = package.bytes },
    Description = given.description,
    MemorySize = given.memory,
    Timeout = given.timeout,
    Architectures = { given.architecture },
    Environment = given.environment and { Variables = given.environment },
    Layers = given.layers,
    Tags = all_tags(options, given.tags),
  }
end

local function exists(account, name, tags)
  local hint = lookup.is_ours(tags) and ("change it with `lambdapool update %s`"):format(name)
    or ("lambdapool did not make it; take it over with `lambdapool update %s --adopt`, or " ..
      "choose another name"):format(name)
  problem.raise(problem.FAILED, "there is a function %s in %s already\n  %s", name,
    lookup.place(account), hint)
end

-- Whether the function that is there is this one: a request whose answer was lost has made it.
local function is_made(account, input)
  local found = lookup.find(account, input.FunctionName)
  return found ~= nil and found.tags[names.MARK] == input.Tags[names.MARK]
end

local function create(account, input, journal)
  input.Role = input.Role or journal.role
  local ok, failure = pcall(settle.call, account.session:lambda(), "CreateFunction", input, journal)
  if ok then
    return
  elseif type(failure) ~= "table" or failure.code ~= "ResourceConflictException" then
    error(failure, 0)
  elseif not is_made(account, input) then
    problem.raise(problem.FAILED, "somebody else has created %s meanwhile\n  change it with " ..
      "`lambdapool update %s`", input.FunctionName, input.FunctionName)
  end
end

-- Takes the function back. False when it was not made here.
local function take_back(account, input)
  if not is_made(account, input) then
    return false
  end
  settle.call(account.session:lambda(), "DeleteFunction", { FunctionName = input.FunctionName }, {})
  return true
end

local function add_steps(steps, account, input, package)
  local name = input.FunctionName
  plan.add(steps, {
    operation = "lambda:CreateFunction",
    about = ("create the function %s: %d bytes, %d MB, %d s"):format(name, #package.bytes,
      input.MemorySize, input.Timeout),
    made = "the function " .. name,
    run = function(journal) create(account, input, journal) end,
    undo = function() return take_back(account, input) end,
  })
  plan.add(steps, {
    operation = "lambda:GetFunctionConfiguration", about = "wait until it is ready",
    run = function(journal)
      journal.configuration = settle.confirm(account.session:lambda(), name, journal.stop)
    end,
  })
end

--- Plans a new function.
---@param account table
---@param name string
---@param options lambdapool.deploy.Options
---@return lambdapool.deploy.Plan
function creation.plan(account, name, options)
  names.check_function(name)
  local given = settings.complete(options)
  local there = lookup.find(account, name)
  if there then
    exists(account, name, there.tags)
  end
  local steps = plan.new(name, "create")
  local package = creation.build(options, given.architecture, given.layers)
  creation.check_handler(package, given.handler, given.layers)
  local input = input_of(name, given, package, options)
  steps.package = package
  if not input.Role then
    roles.plan(steps, account, name)
  end
  add_steps(steps, account, input, package)
  steps.result = function(journal)
    local item = describe.item(journal.configuration, input.Tags)
    item.action = "created"
    return item
  end
  return steps
end

return creation
