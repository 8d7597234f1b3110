--- Sources: where the items of a call come from. A source is a function read() that gives true and
--- the next item, or false when there is none; `star` tells whether its items are tables of
--- arguments. A stream reads it only when there is room for another item.

local options = require "lambdapool.options"

local sources = {}

--- How many items a list has; a field `n` counts nils in.
---@param list table
---@return integer
function sources.count(list)
  return math.type(list.n) == "integer" and list.n or #list
end

--- The items of a list.
---@param list table
---@return fun(): boolean, any
function sources.of_list(list)
  local i, n = 0, sources.count(list)
  return function()
    i = i + 1
    if i > n then
      return false
    end
    return true, list[i]
  end
end

-- The steps of a generic `for`: iterator function, state, first control value. The values of each
-- step are the arguments of one task; a step that gives nil first is the end.
local function of_iterator(iterator, state, control)
  return function()
    local step = table.pack(iterator(state, control))
    control = step[1]
    return control ~= nil, step
  end
end

--- The first value of each step of an iterator function.
---@param iterator function
---@return fun(): boolean, any
function sources.first_values(iterator)
  return function()
    local item = iterator()
    return item ~= nil, item
  end
end

--- Several sources side by side: the n-th item holds the n-th of each, as a table of arguments.
--- Ends with the shortest.
---@param list table<integer, fun(): boolean, any>
---@return fun(): boolean, table?
function sources.zip(list)
  return function()
    local step = { n = #list }
    for i, read in ipairs(list) do
      local more, item = read()
      if not more then
        return false
      end
      step[i] = item
    end
    return true, step
  end
end

local function is_callable(value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  return type(value) == "function" or meta and meta.__call ~= nil
end

---@class lambdapool.Source
---@field read fun(): boolean, any
---@field star boolean
---@field list table? the list that it is
---@field total integer? how many items there are, if that is known
---@field closing any what a generic `for` would close at its end

--- Takes a source as the user gives it, a list or what stands behind the `in` of a generic `for`,
--- and the options that may come last.
---@param where string for complaints
---@param rules table<string, table> of the options
---@param level integer stack level to blame
---@param source any
---@param ... any
---@return lambdapool.Source
---@return table options checked
function sources.open(where, rules, level, source, ...)
  local rest, given = table.pack(...), nil
  local opened
  if is_callable(source) then
    if rest.n > 0 and options.is_options(rest[rest.n], rules) then
      given, rest[rest.n] = rest[rest.n], nil
    end
    opened = { read = of_iterator(source, rest[1], rest[2]), star = true, closing = rest[3] }
  elseif type(source) == "table" then
    given = rest[1]
    opened = {
      read = sources.of_list(source),
      star = false,
      list = source,
      total = sources.count(source),
    }
  else
    error(("%s: the source must be a list or an iterator, got %s"):format(where,
      source == nil and "nil" or "a " .. type(source)), level + 1)
  end
  return opened, options.check(where, given, rules, level + 1)
end

--- Reads a source to its end. Returns the items and how many there are.
---@param source lambdapool.Source
---@return table items
---@return integer n
function sources.collect(source)
  if source.list then
    return source.list, source.total
  end
  local closing <close> = source.closing -- luacheck: ignore
  local items, n = {}, 0
  local more, item = source.read()
  while more do
    n = n + 1
    items[n] = item
    more, item = source.read()
  end
  return items, n
end

return sources
