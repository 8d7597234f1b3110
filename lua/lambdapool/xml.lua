--- XML as IAM and STS answer with it. Parsing is done in C (host/cloud/lib_xml.c), which refuses
--- document types and takes no attributes.
local cloud = require "lambdapool.cloud"

---@class lambdapool.XmlNode
---@field name string without a prefix
---@field text string? of elements without others in them

local xml = {}

--- Parses a document.
---@type fun(text: string): lambdapool.XmlNode?, string?
xml.parse = cloud.load "xml"

local function is_list(node)
  for _, child in ipairs(node) do
    if child.name ~= "member" then
      return false
    end
  end
  return true
end

--- What is in an element, as AWS means it: its text, a list when it has elements `member` only, or
--- a table by the names of its elements; of those that come again, the first one counts.
---@param node lambdapool.XmlNode
---@return string|table
function xml.value(node)
  if node.text then
    return node.text
  end
  local value, list = {}, is_list(node)
  for i, child in ipairs(node) do
    local key = list and i or child.name
    if value[key] == nil then
      value[key] = xml.value(child)
    end
  end
  return value
end

return xml
