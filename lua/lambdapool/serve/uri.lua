--- Paths, query strings and forms: what stands between their separators, decoded and encoded.

local uri = {}

local function char(hex)
  return string.char(tonumber(hex, 16))
end

local function percent(byte)
  return ("%%%02X"):format(byte:byte())
end

--- Replaces %XX; a percent sign that begins none stays.
---@param text string
---@return string
function uri.decode(text)
  return (text:gsub("%%(%x%x)", char))
end

--- As RFC 3986 and AWS have it: letters, digits and -._~ stay, everything else becomes %XX.
---@param text string
---@return string
function uri.encode(text)
  return (text:gsub("[^%w%-._~]", percent))
end

-- In forms and in the queries that browsers send, a plus sign is a space.
local function decode_plus(text)
  return uri.decode((text:gsub("%+", " ")))
end

--- Takes a query string or the body of a form apart. Of parameters that come again, the last one
--- counts; all of them are in the lists.
---@param text string?
---@return table<string, string> parameters
---@return table<string, string[]> lists
function uri.parse(text)
  local parameters, lists = {}, {}
  for item in (text or ""):gmatch "[^&]+" do
    local name, value = item:match "^([^=]*)=(.*)$"
    name, value = decode_plus(name or item), decode_plus(value or "")
    parameters[name] = value
    lists[name] = lists[name] or {}
    table.insert(lists[name], value)
  end
  return parameters, lists
end

return uri
