--- What a table holds, for showing its beginning: the list in it, and its other keys in order. Of a
--- huge table only a part is looked at. Nothing of the table's own is called.

local format, math_type = string.format, math.type
local remove, insert = table.remove, table.insert

---@class lambdapool.repl.Contents
---@field length integer of the list; nils may be in it
---@field keys any[] the first of the other keys
---@field count integer how many other keys there are
---@field exact boolean false: at least so many

local contents = {}

local ranks = { number = 1, string = 2, boolean = 3 }

-- The order of keys: numbers, strings, booleans, others.
local function precedes(a, b)
  local first, second = ranks[type(a)] or 4, ranks[type(b)] or 4
  if first ~= second then
    return first < second
  elseif first <= 2 then
    return a < b
  elseif first == 3 then
    return not a and b
  end
  return format("%p", a) < format("%p", b)
end

-- Adds a key to the sorted list of the first `limit`.
local function add(keys, key, limit)
  local size = #keys
  if size == limit and (limit == 0 or not precedes(key, keys[size])) then
    return
  end
  local low, high = 1, size + 1
  while low < high do
    local middle = (low + high) // 2
    if precedes(keys[middle], key) then
      low = middle + 1
    else
      high = middle
    end
  end
  if not rawequal(keys[low], key) then
    insert(keys, low, key)
    keys[limit + 1] = nil
  end
end

-- Goes through the keys from behind `key` on, for at most `steps`; those from 1 to `length` are the
-- list's. Returns the key it stopped at, nil at the end, and whether that was in the list.
local function walk(found, source, key, length, limit, steps)
  local listed = false
  for _ = 1, steps do
    key = next(source, key)
    if key == nil then
      return nil, listed
    end
    listed = math_type(key) == "integer" and key >= 1 and key <= length
    if listed then
      found.listed = found.listed + 1
    else
      found.count = found.count + 1
      add(found.keys, key, limit)
    end
  end
  return key, listed
end

-- The contents when the list has that length. A long list is most often in front of all other keys,
-- so these can be got at from its end.
local function read(source, length, limit, steps)
  local found = { length = length, keys = {}, count = 0, listed = 0 }
  local key, listed = walk(found, source, nil, length, limit, steps)
  local last = rawlen(source)
  if key ~= nil and listed and last > 0 then
    key = walk(found, source, last, length, limit, steps)
  end
  found.exact = key == nil
  return found
end

-- Whether `length`, the field n, says no more than the eye sees: there is a list, and nothing else.
local function is_list(found, length)
  return found.exact and found.count == 1 and found.listed > 0 and length >= found.listed
end

--- Reads a table. Up to `limit` keys are kept, and up to `steps` looked at twice.
---@param source table
---@param limit integer
---@param steps integer
---@return lambdapool.repl.Contents
function contents.of(source, limit, steps)
  local length, n = rawlen(source), rawget(source, "n")
  if math_type(n) == "integer" and n >= length and n > 0 then
    local found = read(source, n, limit, steps)
    if is_list(found, n) then
      remove(found.keys)
      found.count = 0
      return found
    end
  end
  return read(source, length, limit, steps)
end

return contents
