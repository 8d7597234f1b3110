--- Checks the options tables of constructors and methods against a description, so that a
--- misspelt name is an error at the caller's line and never silently ignored.

local suggest = require "lambdapool.suggest"

-- What an option may be, by the name of its kind: (value, rule) -> the value, or nil and what it
-- must be.
local checks = {}

function checks.integer(value, rule)
  if math.type(value) ~= "integer" then
    local whole = math.type(value) == "float" and math.tointeger(value)
    if not whole then
      return nil, "an integer"
    end
    value = whole
  end
  if value < rule.min or value > (rule.max or math.maxinteger) then
    return nil, rule.max and ("from %d to %d"):format(rule.min, rule.max)
      or ("at least %d"):format(rule.min)
  end
  return value
end

function checks.seconds(value)
  if type(value) ~= "number" or value ~= value
    or value <= 0 or value == math.huge then
    return nil, "a number of seconds above 0"
  end
  return value
end

function checks.amount(value)
  if type(value) ~= "number" or value ~= value or value <= 0 then
    return nil, "a number above 0"
  end
  return value
end

function checks.text(value)
  if type(value) ~= "string" or value == "" or value:find "%c" then
    return nil, "a text on one line"
  end
  return value
end

function checks.timeout(value)
  if type(value) ~= "number" or value ~= value or value < 0 then
    return nil, "a number of seconds, 0 or more"
  end
  return value
end

function checks.any(value)
  return value
end

function checks.share(value)
  if type(value) ~= "number" or not (value >= 0 and value <= 1) then
    return nil, "a number from 0 to 1"
  end
  return value
end

checks["function"] = function(value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  if type(value) ~= "function" and not (meta and meta.__call) then
    return nil, "a function"
  end
  return value
end

function checks.table(value)
  if type(value) ~= "table" then
    return nil, "a table"
  end
  return value
end

function checks.boolean(value)
  if type(value) ~= "boolean" then
    return nil, "true or false"
  end
  return value
end

function checks.choice(value, rule)
  for _, choice in ipairs(rule.choices) do
    if value == choice then
      return value
    end
  end
  return nil, "'" .. table.concat(rule.choices, "' or '") .. "'"
end

local function sorted_names(rules)
  local names = {}
  for name in pairs(rules) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function show(value)
  return type(value) == "string" and ("'%s'"):format(value) or tostring(value)
end

--- Checks `given` and returns a new table with the defaults filled in.
--- `rules` maps each name to { kind, min =, max =, default =, secret = }, where kind is a name in
--- `checks`, and what is secret does not appear in complaints.
---@param where string what complaints begin with: "lambdapool.pool"
---@param given table?
---@param rules table<string, table>
---@param level integer? stack level to blame, as for `error`; default: the caller's caller
---@return table
local function check(where, given, rules, level)
  level = (level or 2) + 1
  if given ~= nil and type(given) ~= "table" then
    error(("%s: the options must be a table, got a %s"):format(where, type(given)), level)
  end
  local result = {}
  for name, rule in pairs(rules) do
    result[name] = rule.default
  end
  for name, value in pairs(given or {}) do
    local rule = rules[name]
    if not rule then
      local hint = type(name) == "string" and suggest.hint(name, sorted_names(rules)) or ""
      error(("%s: unknown option %s%s"):format(where, show(name), hint), level)
    end
    local checked, wanted = checks[rule[1]](value, rule)
    if checked == nil then
      local got = rule.secret and "a " .. type(value) or show(value)
      error(("%s: option '%s' must be %s, got %s"):format(where, name, wanted, got), level)
    end
    result[name] = checked
  end
  return result
end

--- True for a table that holds nothing but options that `rules` know: tells an options table from
--- the state of an iterator.
---@param value any
---@param rules table<string, table>
---@return boolean
local function is_options(value, rules)
  if type(value) ~= "table" or next(value) == nil then
    return false
  end
  for name in next, value do
    if rules[name] == nil then
      return false
    end
  end
  return true
end

return { check = check, is_options = is_options, kinds = checks }
