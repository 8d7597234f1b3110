--- Lists in pages: the marker of a page is the key of the last row before it, so that rows that
--- come and go meanwhile neither repeat nor hide others.

local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"

local paging = {}

--- The key after which the page begins; nil for the first page.
---@param input { Marker: string? }
---@return any[]?
function paging.start(input)
  if not input.Marker or input.Marker == "" then
    return nil
  end
  local text = crypto.unbase64(input.Marker)
  local key = text and json.decode(text)
  if type(key) ~= "table" then
    fault.invalid("Invalid pagination token provided: %s", input.Marker)
  end
  return key
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
