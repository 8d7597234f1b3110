--- JSON as the protocols around us use it. lua-cjson does the work; Debian's version decodes every
--- number to a float, so whole numbers are made integers again.

local function restore_integers(value)
  if math.type(value) == "float" then
    return math.tointeger(value) or value
  elseif type(value) == "table" then
    for key, item in pairs(value) do
      value[key] = restore_integers(item)
    end
  end
  return value
end

--- Decodes a JSON text. `null` is cjson.null.
---@param text string
---@return any value nil when the text is not JSON
---@return string? message
local function decode(text)
  local ok, value = pcall(require "cjson".decode, text)
  if not ok then
    return nil, value
  end
  return restore_integers(value)
end

return { decode = decode }
