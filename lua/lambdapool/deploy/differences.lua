--- What differs between a function and what is asked for: the input of the operations that change
--- it. Each difference is noted in the plan, for people; values of the environment are not.

local creation = require "lambdapool.deploy.creation"
local describe = require "lambdapool.deploy.describe"
local problem = require "lambdapool.deploy.problem"
local settings = require "lambdapool.deploy.settings"

local differences = {}

--- Notes a difference.
---@param steps lambdapool.deploy.Plan
---@param setting string
---@param from any
---@param to any
function differences.note(steps, setting, from, to)
  table.insert(steps.changes, { setting = setting, from = from, to = to })
end

-- Option -> the member of Lambda's configuration.
local PLAIN = {
  { "memory", "MemorySize" }, { "timeout", "Timeout" }, { "handler", "Handler" },
  { "description", "Description" }, { "role", "Role" },
}

local function compare_plain(steps, input, configuration, given)
  for _, pair in ipairs(PLAIN) do
    local wanted, there = given[pair[1]], configuration[pair[2]]
    if wanted ~= nil and wanted ~= there then
      input[pair[2]] = wanted
      differences.note(steps, pair[1], there, wanted)
    end
  end
end

local function compare_layers(steps, input, configuration, given)
  local there = describe.layers(configuration)
  local from, to = table.concat(there, ","), table.concat(given.layers or there, ",")
  if from ~= to then
    input.Layers = given.layers
    differences.note(steps, "layers", from ~= "" and from or nil, to ~= "" and to or nil)
  end
end

--- The keys of a table, sorted.
---@param map table<string, any>
---@return string[]
function differences.keys(map)
  local list = {}
  for key in pairs(map) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

-- Notes what sets and removes change in a map, and makes the changes. Returns whether there were
-- any. Values are only noted when they are no secrets.
local function edit(steps, map, sets, removed, options)
  local changed = false
  local function set(key, value)
    if map[key] ~= value then
      local from, to = map[key], value
      if not options.open then
        from, to = from and "(hidden)", to and "(hidden)"
      end
      differences.note(steps, options.label .. key, from, to)
      map[key], changed = value, true
    end
  end
  for _, key in ipairs(differences.keys(sets or {})) do
    set(key, sets[key])
  end
  for _, key in ipairs(removed or {}) do
    set(key, nil)
  end
  return changed
end

local function compare_environment(steps, input, configuration, given)
  if not given.environment and not given.remove_environment then
    return
  end
  local there, message = describe.environment(configuration)
  if not there then
    problem.raise(problem.FAILED, "the environment of %s cannot be read, so it cannot be " ..
      "changed\n  %s", configuration.FunctionName, message)
  end
  local merged = {}
  for key, value in pairs(there) do
    merged[key] = value
  end
  if edit(steps, merged, given.environment, given.remove_environment, { label = "env " }) then
    input.Environment = { Variables = settings.check_environment(merged) }
  end
end

--- Compares everything that UpdateFunctionConfiguration sets. Returns its input; an empty table
--- when nothing differs.
---@param steps lambdapool.deploy.Plan
---@param configuration table
---@param given table as settings.check returns it
---@return table input
function differences.configuration(steps, configuration, given)
  local input = {}
  compare_plain(steps, input, configuration, given)
  compare_layers(steps, input, configuration, given)
  compare_environment(steps, input, configuration, given)
  if configuration.Runtime ~= creation.RUNTIME then
    input.Runtime = creation.RUNTIME
    differences.note(steps, "runtime", configuration.Runtime, creation.RUNTIME)
  end
  return input
end

--- Compares tags: those that are not named stay.
---@param steps lambdapool.deploy.Plan
---@param found lambdapool.deploy.Found
---@param given table as settings.check returns it
---@param more table<string, string> tags of our own
---@return table<string, string> sets
---@return string[] removed
---@return table<string, string> tags as they will be
function differences.tags(steps, found, given, more)
  local tags, sets = {}, {}
  for key, value in pairs(found.tags) do
    tags[key] = value
  end
  for _, source in ipairs { more, given.tags or {} } do
    for key, value in pairs(source) do
      if tags[key] ~= value then
        sets[key] = value
      end
    end
  end
  edit(steps, tags, sets, nil, { label = "tag ", open = true })
  local removed = {}
  for _, key in ipairs(given.remove_tags or {}) do
    if tags[key] ~= nil then
      removed[#removed + 1] = key
    end
  end
  edit(steps, tags, nil, removed, { label = "tag ", open = true })
  return sets, removed, tags
end

return differences
