--- What the protocols of AWS have in common: where the members of an input go in a request, and
--- JSON in answers.

local json = require "lambdapool.json"
local suggest = require "lambdapool.suggest"
local uri = require "lambdapool.serve.uri"

---@class lambdapool.aws.Request
---@field method string
---@field path string as on the wire
---@field query string? as on the wire
---@field headers table<string, string>
---@field body string?
---@field seconds number? that it may take
---@field once boolean? it must not be sent again when it may have arrived

---@class lambdapool.aws.Service
---@field name string
---@field operations table<string, any>
---@field encode fun(operation: string, input: table): lambdapool.aws.Request
---@field decode fun(operation: string, response: table): table?, string?
---@field page_members fun(operation: string): string, string

local wire = {}

--- Reads a table of operations: lines of name, method, path, members of the query. An indented line
--- goes on with the one before.
---@param text string
---@return table<string, table>
function wire.rest(text)
  local operations = {}
  for line in text:gsub("\n +", " "):gmatch "[^\n]+" do
    local name, method, path, rest = line:match "^(%S+)%s+(%S+)%s+(%S+)%s*(.*)$"
    local query = {}
    for member in rest:gmatch "%S+" do
      query[#query + 1] = { member:match "^[^=]+", member:match "[^=]+$" }
    end
    local fixed
    path, fixed = path:match "^([^?]*)%??(.*)$"
    operations[name] = { method = method, path = path, query = query,
      fixed = fixed ~= "" and fixed or nil }
  end
  return operations
end

--- Complains about an operation that is not in the table of its service.
---@param service lambdapool.aws.Service
---@param operation string
function wire.check(service, operation)
  if not service.operations[operation] then
    local names = {}
    for name in pairs(service.operations) do
      names[#names + 1] = name
    end
    table.sort(names)
    error(("%s: unknown operation %s%s"):format(service.name, operation,
      suggest.hint(operation, names)), 0)
  end
end

local function copy(input)
  local members = {}
  for name, value in pairs(input) do
    members[name] = value
  end
  return members
end

-- Puts members into the path; they are taken out of `members`.
local function fill_path(service, operation, path, members)
  return (path:gsub("{(%w+)}", function(name)
    local value = members[name]
    if value == nil or value == "" then
      error(("%s %s: %s is missing"):format(service.name, operation, name), 0)
    end
    members[name] = nil
    return uri.encode(tostring(value))
  end))
end

local function fill_query(rules, members)
  local parts = { rules.fixed }
  for _, pair in ipairs(rules.query) do
    local value = members[pair[1]]
    members[pair[1]] = nil
    for _, item in ipairs(type(value) == "table" and value or { value }) do
      parts[#parts + 1] = pair[2] .. "=" .. uri.encode(tostring(item))
    end
  end
  return parts[1] and table.concat(parts, "&") or nil
end

--- The request of an operation with what its path and query take, and the members that are left.
---@param service lambdapool.aws.Service
---@param operation string
---@param input table
---@return lambdapool.aws.Request
---@return table members
function wire.place(service, operation, input)
  wire.check(service, operation)
  local rules = service.operations[operation]
  local members = copy(input)
  return {
    method = rules.method,
    path = fill_path(service, operation, rules.path, members),
    query = fill_query(rules, members),
    headers = {},
  }, members
end

-- Absent members are absent here, and no null.
local function without_nulls(value)
  if type(value) == "table" then
    for key, member in pairs(value) do
      if member == json.null then
        value[key] = nil
      else
        without_nulls(member)
      end
    end
  end
  return value
end

--- The object that a body is; an empty body is an empty one.
---@param body string
---@return table? output
---@return string? message
function wire.decode_json(body)
  if body == "" then
    return {}
  end
  local value, message = json.decode(body)
  if type(value) ~= "table" then
    return nil, message or "it is no object"
  elseif value[1] ~= nil then
    return nil, "it is a list"
  end
  return without_nulls(value)
end

return wire
