--- XML as the Query protocol of IAM and STS answers with it. What is in an element is a list of
--- pairs { name, content } in the order in which they are written, or one value.

local xml = {}

local ESCAPES = {
  ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;",
  ["\r"] = "&#xD;",
}

--- The text with everything escaped that means something in XML. Characters that XML cannot hold
--- are replaced.
---@param text string
---@return string
function xml.escape(text)
  if not utf8.len(text) then
    text = text:gsub("[\128-\255]", "\u{FFFD}")
  end
  text = text:gsub("[&<>\"'\r]", ESCAPES)
  return (text:gsub("[%z\1-\8\11\12\14-\31]", "\u{FFFD}"))
end

local function append(out, name, content, attributes)
  out[#out + 1] = "<" .. name .. (attributes or "") .. ">"
  if type(content) == "table" then
    for _, pair in ipairs(content) do
      append(out, pair[1], pair[2])
    end
  elseif content ~= nil then
    out[#out + 1] = xml.escape(tostring(content))
  end
  out[#out + 1] = "</" .. name .. ">"
end

--- One element with all that is in it.
---@param name string
---@param content table|string|number|boolean|nil
---@param namespace string? the URL of the namespace that it is in
---@return string
function xml.element(name, content, namespace)
  local out = {}
  append(out, name, content, namespace and (' xmlns="%s"'):format(xml.escape(namespace)))
  return table.concat(out)
end

--- A list as AWS writes it: each value in an element `member`.
---@param list any[]
---@param convert (fun(value: any): any)? what is written in place of a value
---@return table
function xml.members(list, convert)
  local pairs_of = {}
  for i, value in ipairs(list) do
    pairs_of[i] = { "member", convert and convert(value) or value }
  end
  return pairs_of
end

return xml
