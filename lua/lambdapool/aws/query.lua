--- The Query protocol of IAM and STS: a form goes out, XML comes back.

local uri = require "lambdapool.serve.uri"
local wire = require "lambdapool.aws.wire"
local xml = require "lambdapool.xml"

-- Appends NAME=VALUE pairs: members of structures are NAME.MEMBER, items of lists NAME.member.1.
local function append(out, name, value)
  if type(value) ~= "table" then
    out[#out + 1] = { name, tostring(value) }
  elseif value[1] ~= nil then
    for i, item in ipairs(value) do
      append(out, ("%s.member.%d"):format(name, i), item)
    end
  else
    for member, inner in pairs(value) do
      append(out, name .. "." .. member, inner)
    end
  end
end

local function form(operation, version, input)
  local fields = {}
  for name, value in pairs(input) do
    append(fields, name, value)
  end
  table.sort(fields, function(a, b) return a[1] < b[1] end)
  local parts = { "Action=" .. operation, "Version=" .. version }
  for _, field in ipairs(fields) do
    parts[#parts + 1] = uri.encode(field[1]) .. "=" .. uri.encode(field[2])
  end
  return table.concat(parts, "&")
end

-- XML knows only text, and an empty list is an empty element.
local function convert(value, types)
  for name, member in pairs(value) do
    local convert_member = types[name]
    if type(member) == "table" then
      convert(member, types)
    elseif convert_member then
      value[name] = convert_member(member)
    end
  end
  return value
end

local query = {}

query.types = {
  integer = function(text) return math.tointeger(tonumber(text)) or text end,
  boolean = function(text) return text == "true" end,
  list = function() return {} end,
  document = uri.decode,
}

---@class lambdapool.aws.QueryRules
---@field name string
---@field version string
---@field operations string names, separated by spaces
---@field types table<string, fun(text: string): any> what members of outputs are, besides text

--- A service that speaks it.
---@param rules lambdapool.aws.QueryRules
---@return lambdapool.aws.Service
function query.service(rules)
  local service = { name = rules.name, operations = {} }
  for name in rules.operations:gmatch "%S+" do
    service.operations[name] = true
  end

  function service.encode(operation, input)
    wire.check(service, operation)
    return {
      method = "POST", path = "/",
      headers = { ["content-type"] = "application/x-www-form-urlencoded; charset=utf-8" },
      body = form(operation, rules.version, input),
    }
  end

  function service.decode(operation, response)
    local root, message = xml.parse(response.body)
    if not root then
      return nil, message
    elseif root.name ~= operation .. "Response" then
      return nil, "it is a " .. root.name
    end
    local value = xml.value(root)
    local result = type(value) == "table" and value[operation .. "Result"]
    return convert(type(result) == "table" and result or {}, rules.types)
  end

  function service.page_members()
    return "Marker", "Marker"
  end

  return service
end

return query
