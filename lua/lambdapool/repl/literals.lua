--- Strings and numbers as Lua code that reads back, harmless on a terminal.

local locals = require "lambdapool.repl.locals"

local math_type, min, concat = math.type, math.min, table.concat
local find, format, gsub, sub = string.find, string.format, string.gsub, string.sub
local byte_of, reverse = string.byte, string.reverse
local codepoint, codes, utf8_length = utf8.codepoint, utf8.codes, utf8.len

local literals = {}

local named = {
  ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t",
  ["\v"] = "\\v", ['"'] = '\\"', ["\\"] = "\\\\",
}

local function escape_byte(byte)
  return named[byte] or format("\\x%02x", byte_of(byte))
end

local function escape_character(character)
  return format("\\u{%x}", codepoint(character))
end

-- Characters beyond ASCII that control a terminal, are not seen, or turn the order of others.
local hidden = { "\xC2[\x80-\x9F\xAD]", "\xE2\x80[\x8B-\x8F\xA8-\xAE]", "\xE2\x81[\xA0-\xAF]",
  "\xEF\xBB\xBF" }

-- The text with every byte that is not part of a character as an escape.
local function escape_broken(text)
  local pieces, at = {}, 1
  while true do
    local length, position = utf8_length(text, at)
    if length then
      pieces[#pieces + 1] = sub(text, at)
      return concat(pieces)
    end
    pieces[#pieces + 1] = sub(text, at, position - 1)
    pieces[#pieces + 1] = format("\\x%02x", byte_of(text, position))
    at = position + 1
  end
end

-- The text with escapes for the bytes that are in a pattern, and for what is not to be seen.
local function escape(text, pattern)
  if find(text, pattern) then
    text = gsub(text, pattern, escape_byte)
  end
  if find(text, "[\x80-\xFF]") then
    text = escape_broken(text)
    for _, characters in ipairs(hidden) do
      text = gsub(text, characters, escape_character)
    end
  end
  return text
end

-- Characters that take two columns, and others that take none: first and last of ranges.
local wide = { 0x1100, 0x115F, 0x2E80, 0xA4CF, 0xAC00, 0xD7A3, 0xF900, 0xFAFF, 0xFE30, 0xFE6F,
  0xFF00, 0xFF60, 0xFFE0, 0xFFE6, 0x1F300, 0x1F6FF, 0x1F900, 0x1F9FF, 0x20000, 0x3FFFD }
local combining = { 0x300, 0x36F, 0x20D0, 0x20FF, 0xFE00, 0xFE0F }

local function is_in(ranges, code)
  for i = 1, #ranges, 2 do
    if code >= ranges[i] and code <= ranges[i + 1] then
      return true
    end
  end
  return false
end

--- How many columns of a terminal a text takes, if it is UTF-8.
---@param text string
---@return integer
function literals.width(text)
  local length = utf8_length(text)
  if not length or not find(text, "[\xCC\xCD\xE1-\xF4]") then
    return length or #text
  end
  local columns = 0
  for _, code in codes(text) do
    if code >= 0x300 then
      columns = columns + (is_in(wide, code) and 2 or is_in(combining, code) and 0 or 1)
    else
      columns = columns + 1
    end
  end
  return columns
end

--- A count for people: "9,990".
---@param count integer
---@return string
function literals.count(count)
  local digits = format("%d", count)
  return (gsub(reverse((gsub(reverse(digits), "(%d%d%d)", "%1,"))), "^,", ""))
end

--- Text of somebody else's for a terminal: its lines stay, what controls does not.
---@param text string
---@return string
function literals.plain(text)
  return escape(text, "[^\n\t\32-\126\128-\255]")
end

--- The first bytes of a text, no more than `limit`; no character is cut in two.
---@param text string
---@param limit integer
---@return string
function literals.beginning(text, limit)
  local cut = sub(text, 1, limit)
  return #cut == #text and text or (gsub(cut, "[\xC2-\xF4][\x80-\xBF]*$", function(last)
    return not utf8_length(last) and "" or nil
  end))
end

--- A string in quotes. One that takes more than `limit` columns is cut, and its length told.
---@param text string
---@param limit integer
---@return string
function literals.string(text, limit)
  local size = min(#text, 4 * limit) -- a character has at most four bytes
  local bytes = literals.beginning(text, size)
  local quoted = escape(bytes, '[%c"\\\127]')
  local width = literals.width(quoted)
  while width > limit do
    size = size * limit // width
    bytes = literals.beginning(text, size)
    quoted = escape(bytes, '[%c"\\\127]')
    width = literals.width(quoted)
  end
  if #bytes == #text then
    return '"' .. quoted .. '"'
  end
  return format('"%s"… (%s bytes)', quoted, literals.count(#text))
end

--- A number: floats have a point, an exponent or no digits.
---@param number number
---@return string
function literals.number(number)
  if math_type(number) == "integer" then
    return format("%d", number)
  end
  local text = format("%.14g", number)
  return find(text, "^-?%d+$") and text .. ".0" or text
end

--- A string or a number as it stands in a table constructor: `name`, `["two words"]`, `[3.5]`.
---@param key string | number
---@return string
function literals.key(key)
  if math_type(key) then
    return "[" .. literals.number(key) .. "]"
  elseif #key <= 40 and locals.is_name(key) then
    return key
  end
  return "[" .. literals.string(key, 40) .. "]"
end

return literals
