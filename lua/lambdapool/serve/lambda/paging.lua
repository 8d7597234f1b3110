--- Lists in pages: the marker of a page is the key of the last row before it, so that rows that
--- come and go meanwhile neither repeat nor hide others.

local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"

local paging = {}

-- The key in a marker; nil when it is not one of ours.
local function read(marker, first)
  local text = crypto.unbase64(marker)
  local key = text and json.decode(text)
  if type(key) ~= "table" then
    return nil
  end
  for i, value in ipairs(first) do
    if type(key[i]) ~= type(value) or math.type(key[i]) ~= math.type(value) then
      return nil
    end
  end
  return key
end

--- The key after which the page begins.
---@param input { Marker: string? }
---@param first any[] the key before all others, for the first page
---@return any[]
function paging.start(input, first)
  if not input.Marker or input.Marker == "" then
    return first
  end
  return read(input.Marker, first)
    or fault.invalid("Invalid pagination token provided: %s", input.Marker)
end

--- How many rows a page has.
---@param input { MaxItems: integer? }
---@param most integer
---@return integer
function paging.size(input, most)
  return math.min(input.MaxItems or most, most)
end

--- Cuts rows down to a page; one row more than `size` says that there is a next one. Returns what
--- each row becomes, as a list, and the marker of the next page.
---@param rows table[]
---@param size integer
---@param key fun(row: table): any[]
---@param show fun(row: table): table
---@return table[]
---@return string? marker
function paging.cut(rows, size, key, show)
  local page = json.array {}
  for i = 1, math.min(#rows, size) do
    page[i] = show(rows[i])
  end
  local marker = rows[size + 1] and crypto.base64(json.encode(json.array(key(rows[size]))))
  return page, marker
end

return paging
