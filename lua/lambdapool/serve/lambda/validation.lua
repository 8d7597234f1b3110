--- Checks the input of an operation against a description of its members, and words what is wrong
--- as AWS does: all violations in one ValidationException. The descriptions are in shapes.lua.

local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local names = require "lambdapool.serve.lambda.names"

local validation = {}

-- How Java prints a value, which is how AWS quotes it.
local function show(value)
  if type(value) ~= "table" then
    return tostring(value)
  end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = math.type(key) and show(item) or key .. "=" .. show(item)
  end
  if value[1] == nil and next(value) ~= nil then
    table.sort(parts)
    return "{" .. table.concat(parts, ", ") .. "}"
  end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function violate(violations, value, path, rule)
  violations[#violations + 1] = names.violation(show(value), path, rule)
end

local TYPES = {
  boolean = "a Boolean", integer = "an Integer", list = "an ArrayList", map = "a Map",
  number = "a Double", struct = "an object", text = "a String",
}

local TOKENS = { string = "STRING_VALUE", boolean = "TRUE_VALUE", table = "START_OBJECT" }

-- A value whose JSON type is not the member's is not a violation but a text that cannot be read.
local function mismatch(value, kind)
  local token = math.type(value) and "NUMBER_VALUE" or value == false and "FALSE_VALUE"
    or TOKENS[type(value)]
  fault(400, "SerializationException", ("%s can not be converted to %s"):format(token, TYPES[kind]))
end

-- A Lua pattern, or a list of them of which one has to match, or a function.
local function matches(value, like)
  if type(like) == "function" then
    return like(value)
  elseif type(like) == "string" then
    return value:find(like) ~= nil
  end
  for _, pattern in ipairs(like) do
    if value:find(pattern) then
      return true
    end
  end
  return false
end

-- What is wrong with the value itself, as a list of "Member must ...".
local function offences(value, rule, size)
  local found = {}
  local function add(text, ...)
    found[#found + 1] = "Member must " .. text:format(...)
  end
  if rule.enum and not rule.enum[value] then
    add("satisfy enum value set: [%s]", table.concat(rule.enum, ", "))
  end
  if rule.min and size < rule.min then
    add(math.type(value) and "have value greater than or equal to %s"
      or "have length greater than or equal to %s", rule.min)
  end
  if rule.max and size > rule.max then
    add(math.type(value) and "have value less than or equal to %s"
      or "have length less than or equal to %s", rule.max)
  end
  if rule.like and not matches(value, rule.like) then
    add("satisfy regular expression pattern: %s", rule.pattern)
  end
  return found
end

local function check_size(violations, value, rule, size, path)
  for _, text in ipairs(offences(value, rule, size)) do
    violate(violations, value, path, text)
  end
end

local check

local checks = {}

-- Texts are measured in characters.
function checks.text(violations, value, rule, path)
  if type(value) ~= "string" then
    mismatch(value, "text")
  end
  local length = utf8.len(value)
  if not length then
    fault(400, "SerializationException", ("The text at '%s' is not UTF-8"):format(path))
  end
  check_size(violations, value, rule, length, path)
  return value
end

-- Base64, which is looked at only when it is needed: there may be 70 MB of it.
function checks.blob(_, value)
  if type(value) ~= "string" then
    mismatch(value, "text")
  end
  return value
end

checks["function"] = function(violations, value, rule)
  if type(value) ~= "string" then
    mismatch(value, "text")
  end
  names.check(violations, value, nil, rule.namespaced)
  return value
end

function checks.integer(violations, value, rule, path)
  local whole = math.type(value) and math.tointeger(value)
  if not whole then
    mismatch(value, "integer")
  end
  check_size(violations, whole, rule, whole, path)
  return whole
end

function checks.number(violations, value, rule, path)
  if not math.type(value) then
    mismatch(value, "number")
  end
  check_size(violations, value, rule, value, path)
  return value
end

function checks.boolean(_, value)
  if type(value) ~= "boolean" then
    mismatch(value, "boolean")
  end
  return value
end

-- Items that break a rule are reported as the whole list with all rules of an item.
function checks.list(violations, value, rule, path)
  if type(value) ~= "table" or next(value) ~= nil and value[1] == nil then
    mismatch(value, "list")
  end
  check_size(violations, value, rule, #value, path)
  local checked, broken = json.array {}, {}
  for i, item in ipairs(value) do
    checked[i] = check(broken, item, rule.of, path)
  end
  if broken[1] then
    local text = broken[1]:match "constraint: (.*)$"
    violate(violations, value, path,
      ("Member must satisfy constraint: [%s, Member must not be null]"):format(text))
  end
  return checked
end

function checks.map(violations, value, rule, path)
  if type(value) ~= "table" or value[1] ~= nil then
    mismatch(value, "map")
  end
  local checked, broken = {}, {}
  for key, item in pairs(value) do
    if rule.key then
      check(broken, key, rule.key, path)
      if broken[1] then
        return violate(violations, value, path, ("Map keys must satisfy constraint: [%s]")
          :format(broken[1]:match "constraint: (.*)$"))
      end
    end
    if item ~= json.null then
      checked[key] = check(violations, item, rule.of, path .. "." .. key .. ".member")
    end
  end
  return checked
end

function checks.struct(violations, value, rule, path)
  if type(value) ~= "table" or value[1] ~= nil then
    mismatch(value, "struct")
  end
  return validation.members(violations, value, rule.members, path .. ".")
end

function check(violations, value, rule, path)
  return checks[rule[1]](violations, value, rule, path)
end

local function lower_first(name)
  return name:sub(1, 1):lower() .. name:sub(2)
end

local function sorted(rules)
  local list = {}
  for name in pairs(rules) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

--- Checks the members of an object; returns those that are known and not null.
---@param violations string[] what is wrong is added here
---@param value table
---@param rules table<string, table>
---@param prefix string
---@return table
function validation.members(violations, value, rules, prefix)
  local checked = {}
  for _, name in ipairs(sorted(rules)) do
    local rule, item = rules[name], value[name]
    local path = prefix .. lower_first(name)
    if item == nil or item == json.null then
      if rule.required then
        violations[#violations + 1] =
          ("Value null at '%s' failed to satisfy constraint: Member must not be null"):format(path)
      end
    else
      checked[name] = check(violations, item, rule, path)
    end
  end
  return checked
end

--- Checks the input of an operation. Returns its known members; raises one fault for all that is
--- wrong with them.
---@param rules table<string, table>
---@param input table
---@return table
function validation.check(rules, input)
  local violations = {}
  local checked = validation.members(violations, input, rules, "")
  if violations[1] then
    fault.validation(violations)
  end
  return checked
end

return validation
