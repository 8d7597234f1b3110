--- Sources: where the items of a stream come from. A source is a function read() that gives
--- true and the next item, or false when there is none; `star` tells whether its items are tables
--- of arguments. It is read only when there is room for another item.

local function count(list)
  return math.type(list.n) == "integer" and list.n or #list
end

--- The items of a list; a field `n` counts its nils in.
---@param list table
---@return fun(): boolean, any
local function of_list(list)
  local i, n = 0, count(list)
  return function()
    i = i + 1
    if i > n then
      return false
    end
    return true, list[i]
  end
end

--- The steps of a generic `for`: iterator function, state, first control value. The values of each
--- step are the arguments of one task; a step that gives nil first is the end.
---@param iterator function
---@return fun(): boolean, table?
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
local function first_values(iterator)
  return function()
    local item = iterator()
    return item ~= nil, item
  end
end

--- Several sources side by side: the n-th item holds the n-th of each, as a table of arguments.
--- Ends with the shortest.
---@param sources table<integer, fun(): boolean, any>
---@return fun(): boolean, table?
local function zip(sources)
  return function()
    local step = { n = #sources }
    for i, read in ipairs(sources) do
      local more, item = read()
      if not more then
        return false
      end
      step[i] = item
    end
    return true, step
  end
end

return {
  count = count,
  of_list = of_list,
  of_iterator = of_iterator,
  first_values = first_values,
  zip = zip,
}
