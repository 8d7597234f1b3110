--- The Query protocol of IAM and STS: parameters in a form, with numbers in the names of lists.
--- Here is what their operations have in common: checking parameters and cutting lists into pages.

local fault = require "lambdapool.serve.fault"
local uri = require "lambdapool.serve.uri"

local query = {}

--- The parameters of a request: in the body of a POST, or behind the question mark.
---@param request userdata
---@return table<string, string>
function query.parameters(request)
  return (uri.parse(request:method() == "POST" and request:body() or request:query()))
end

--- A list of parameters NAME.member.1, NAME.member.2, … as a list. With `fields`, those are
--- NAME.member.1.FIELD, and the list is one of tables.
---@param parameters table<string, string>
---@param name string
---@param fields string[]?
---@return any[]
function query.list(parameters, name, fields)
  local list = {}
  for i = 1, math.huge do
    local prefix = ("%s.member.%d"):format(name, i)
    local item = parameters[prefix]
    for _, field in ipairs(fields or {}) do
      local value = parameters[prefix .. "." .. field]
      if value then
        item = item or {}
        item[field] = value
      end
    end
    if not item then
      return list
    end
    list[i] = item
  end
  return list
end

-- Members are named in messages with a small letter.
local function violation(name, value, rule)
  local member = name:sub(1, 1):lower() .. name:sub(2)
  fault(400, "ValidationError", ("1 validation error detected: Value %sat '%s' failed to " ..
    "satisfy constraint: Member must %s"):format(value and ("'%s' "):format(value) or "null ",
    member, rule))
end

--- A parameter that must be there, with what it must be: { max =, min =, class = letters of a
--- character set, pattern = how AWS prints that }.
---@param parameters table<string, string>
---@param name string
---@param rule { max: integer?, min: integer?, class: string?, pattern: string? }
---@return string
function query.required(parameters, name, rule)
  local value = parameters[name]
  if not value then
    violation(name, nil, "not be null")
  elseif #value < (rule.min or 1) then
    violation(name, value, "have length greater than or equal to " .. (rule.min or 1))
  elseif rule.max and #value > rule.max then
    violation(name, value, "have length less than or equal to " .. rule.max)
  elseif rule.class and value:find("[^" .. rule.class .. "]") then
    violation(name, value, "satisfy regular expression pattern: " .. rule.pattern)
  end
  return value
end

--- An optional whole number within limits.
---@param parameters table<string, string>
---@param name string
---@param default integer
---@param min integer
---@param max integer
---@return integer
function query.number(parameters, name, default, min, max)
  local text = parameters[name]
  if not text then
    return default
  end
  local number = text:find "^%-?%d+$" and math.tointeger(tonumber(text))
  if not number then
    fault(400, "MalformedInput", ("'%s' is not a number"):format(name))
  elseif number < min then
    violation(name, text, "have value greater than or equal to " .. min)
  elseif number > max then
    violation(name, text, "have value less than or equal to " .. max)
  end
  return number
end

--- One page of a list as the elements that IAM answers with. The marker is the place in the list.
---@param parameters table<string, string>
---@param name string of the element with the list
---@param list any[]
---@param convert fun(item: any): any what is written for an item
---@return table
function query.page(parameters, name, list, convert)
  local first = math.min(query.number(parameters, "Marker", 1, 1, math.maxinteger), #list + 1)
  local last = math.min(#list, first + query.number(parameters, "MaxItems", 100, 1, 1000) - 1)
  local members = {}
  for i = first, last do
    members[#members + 1] = { "member", convert(list[i]) }
  end
  local result = { { name, members }, { "IsTruncated", last < #list } }
  if last < #list then
    result[3] = { "Marker", last + 1 }
  end
  return result
end

--- A time as XML has it.
---@param seconds number
---@return string
function query.date(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds)) --[[@as string]]
end

return query
