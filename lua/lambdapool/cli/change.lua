--- What the commands share that change something: their options, and how a plan is shown, carried
--- out, and taken back on Ctrl-C.

local command = require "lambdapool.cli.command"
local completion = require "lambdapool.completion"
local config = require "lambdapool.config"
local flow = require "lambdapool.flow"
local interrupt = require "lambdapool.interrupt"
local json = require "lambdapool.json"
local output = require "lambdapool.cli.output"
local plans = require "lambdapool.deploy.plan"
local settings = require "lambdapool.deploy.settings"
local system = require "lambdapool.system"

local change = {}

-- Options ---------------------------------------------------------------------------------------

--- Options of create, update and deploy: what can be set of a function.
change.SETTINGS = {
  { "-r --requirements", "FILE", "rocks to take along: a file of names, or a rockspec" },
  { "--memory", "MB", "memory, and processor in proportion; a new function has 1769",
    convert = command.integer(128, 10240) },
  { "--timeout", "SECONDS", "how long an invocation may take; with a new function 900",
    convert = command.integer(1, 900) },
  { "--handler", "NAME", "module.function for events that are no tasks of a pool" },
  { "--env", "K=V", "an environment variable; K: as it is here", repeated = true },
  { "--layers", "ARN,...", "the layers, at most five; '' for none", repeated = true },
  { "--role", "ARN", "the role of the function, in place of one made for it" },
  { "--tag", "K=V", "a tag", repeated = true },
  { "--description", "TEXT", "what the function is for" },
  { "--arch", "NAME", "x86_64 or arm64; a new function is for x86_64",
    convert = command.choice("x86_64", "arm64") },
}

--- Options of update and deploy: what can be taken away.
change.REMOVALS = {
  { "--remove-env", "K", "an environment variable to remove", repeated = true },
  { "--remove-tag", "K", "a tag to remove", repeated = true },
}

--- Several lists of options in one.
---@param ... table[]
---@return table[]
function change.options(...)
  local all = {}
  for _, list in ipairs { ... } do
    table.move(list, 1, #list, #all + 1, all)
  end
  return all
end

-- "K=V" -> K, V.
local function split(option, text)
  local key, value = text:match "^([^=]+)=(.*)$"
  if not key then
    command.usage(("'%s' must be K=V, got '%s'"):format(option, text))
  end
  return key, value
end

-- Values may be left out, so that secrets need not stand on a command line.
local function environment(list)
  local map = {}
  for _, text in ipairs(list) do
    if text:find("=", 1, true) then
      local key, value = split("--env", text)
      map[key] = value
    else
      map[text] = os.getenv(text)
        or command.usage(("'--env %s': there is no such variable here"):format(text))
    end
  end
  return next(map) and map or nil
end

local function tags(list)
  local map = {}
  for _, text in ipairs(list) do
    local key, value = split("--tag", text)
    map[key] = value
  end
  return next(map) and map or nil
end

local function layers(list)
  local arns = {}
  for _, text in ipairs(list) do
    for arn in text:gmatch "[^,%s]+" do
      arns[#arns + 1] = arn
    end
  end
  return list[1] and arns or nil
end

-- Without anything in it, nothing was said.
local function filled(list)
  return list and list[1] and list or nil
end

--- Hears what goes on and tells people who watch.
---@return fun(line: string)
function change.watcher()
  return system.isatty(2) and output.say or function() end
end

--- What the command line says, as lambdapool.deploy.function takes it.
---@param given table
---@return lambdapool.deploy.Options
function change.settings(given)
  return {
    paths = given.paths, requirements = given.requirements, memory = given.memory,
    timeout = given.timeout, handler = given.handler, role = given.role,
    description = given.description, architecture = given.arch,
    environment = environment(given.env), tags = tags(given.tag), layers = layers(given.layers),
    remove_environment = filled(given.remove_env), remove_tags = filled(given.remove_tag),
    adopt = given.adopt, log = change.watcher(),
  }
end

-- A setting of the configuration. What is wrong with it is said with the place where it stands.
local function configured(name)
  local value, origin = config.get(name)
  local ok, problem = pcall(settings.check, { [name] = value })
  if not ok then
    command.fail(("%s: %s"):format(origin, tostring(problem)), problem.exit)
  end
  return value
end

--- What the configuration says of functions that are new.
---@return lambdapool.deploy.Options
function change.defaults()
  local timeout = config.get "timeout" -- of a task; it may be fractional, or longer than Lambda's
  return {
    memory = config.get "memory", role = configured "role", layers = configured "layers",
    timeout = timeout and math.tointeger(math.max(1, math.min(900, math.ceil(timeout)))),
  }
end

-- Showing ---------------------------------------------------------------------------------------

local function package_of(plan)
  local package = plan.package
  return package and { size = #package.bytes, unzipped = package.unzipped,
    sha256 = package.sha256, entries = json.array(package.entries) }
end

local function show_json(plan)
  local steps = json.array {}
  for i, step in ipairs(plan.steps) do
    steps[i] = { operation = step.operation, about = step.about }
  end
  output.json { name = plan.name, action = plan.action, dry_run = true, steps = steps,
    changes = json.array(plan.changes), package = package_of(plan), kept = plan.kept }
end

--- What changes, a line each: "memory: 128 -> 256".
---@param changes table[]
---@return string[]
function change.lines(changes)
  local lines = {}
  for i, entry in ipairs(changes) do
    local from, to = entry.from or "(none)", entry.to or "(none)"
    lines[i] = entry.setting == "code" and "code: other files" -- digests tell nobody anything
      or ("%s: %s -> %s"):format(entry.setting, from, to)
  end
  return lines
end

local function show_text(plan)
  if not plan.steps[1] then
    print(plan.name .. " is unchanged")
    return
  end
  local rows = {}
  for i, step in ipairs(plan.steps) do
    rows[i] = { step.operation, step.about }
  end
  output.table({ "CALL", "WHAT IT WOULD DO" }, rows)
  if plan.changes[1] then
    print("\n" .. table.concat(change.lines(plan.changes), "\n"))
  end
  if plan.package then
    print(("\nthe package: %s, unpacked %s"):format(output.size(#plan.package.bytes),
      output.size(plan.package.unzipped)))
    print("  " .. table.concat(output.files(plan.package.entries), "\n  "))
  end
  if plan.kept then
    print("\n" .. plan.kept)
  end
end

-- Carrying out ----------------------------------------------------------------------------------

-- On Ctrl-C the step that is under way ends first: what was sent may take effect, and only then
-- can it be taken back. In here, waiting works.
local function take_back(moment, journal)
  local made = {}
  for i, step in ipairs(journal.made) do
    made[i] = step.made
  end
  output.say(made[1] and ("interrupted: taking back %s; Ctrl-C again leaves it"):format(
    table.concat(made, ", ")) or "interrupted: what is under way ends first")
  journal.stopped = true
  completion.await(moment)
  for _, note in ipairs(journal.notes) do
    output.say(note)
  end
end

-- Carries a plan out in a flow, so that it can end in order on Ctrl-C while this waits for it.
local function guarded(plan)
  local moment, journal = {}, plans.journal { log = change.watcher() }
  interrupt.on(function()
    take_back(moment, journal)
  end)
  flow.start(function()
    return plans.execute(plan, journal)
  end, function(ok, result)
    moment.ok, moment.result = ok, result
    completion.finish(moment)
  end)
  completion.await(moment)
  interrupt.on(function() end)
  if not moment.ok then
    error(moment.result, 0)
  end
  return moment.result
end

--- Shows a plan (--dry-run) or carries it out and prints what came of it: JSON, or the text that
--- `describe` makes of it.
---@param plan lambdapool.deploy.Plan
---@param given table
---@param describe fun(result: table): string
function change.carry_out(plan, given, describe)
  if plan.remark then
    output.say(plan.remark)
  end
  if given.dry_run then
    return (given.json and show_json or show_text)(plan)
  end
  local result = guarded(plan)
  result.changes = plan.changes[1] and json.array(plan.changes)
  if given.json then
    output.json(result)
  else
    print(describe(result))
  end
end

--- What is said of a function that was made.
---@param plan table
---@param result table see lambdapool.deploy.function
---@return string
function change.creation(plan, result)
  return ("%s is created: %s of code, %s MB, %s s\n  %s"):format(result.name,
    output.size(#plan.package.bytes), result.memory, result.timeout, result.arn)
end

return change
