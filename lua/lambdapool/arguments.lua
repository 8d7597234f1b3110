--- Arguments of a task: a list, and keyword arguments that are put where the function's parameter
--- of that name is, as Python does.

local suggest = require "lambdapool.suggest"

-- The names of a Lua function's parameters, in order.
local function parameters(f)
  local names, i = {}, 1
  local name = debug.getlocal(f, 1)
  while name do
    names[i] = name
    i = i + 1
    name = debug.getlocal(f, i)
  end
  return names
end

local function index_of(names, name)
  for i, other in ipairs(names) do
    if other == name then
      return i
    end
  end
end

local function refuse(where, f, name, names)
  local hint = type(name) == "string" and suggest.hint(name, names) or ""
  local info = debug.getinfo(f, "S")
  if info.what == "C" then
    return ("%s: the parameters of C functions have no names: give '%s' by its position"):format(
      where, tostring(name))
  end
  return ("%s: the function at %s:%d has no parameter '%s'%s"):format(where, info.short_src,
    info.linedefined, tostring(name), hint)
end

--- Puts `args` and `kwds` together. Raises, `level` levels up, when they do not fit the function.
---@param where string what complaints begin with: "pool:apply"
---@param f function
---@param args table? args.n counts nils in
---@param kwds table<string, any>?
---@param level integer as for `error`
---@return table list with `n`
local function merge(where, f, args, kwds, level)
  level = level + 1
  args = args == nil and {} or args
  if type(args) ~= "table" then
    error(("%s: the arguments must be a table, got a %s"):format(where, type(args)), level)
  elseif kwds == nil then
    return args
  elseif type(kwds) ~= "table" then
    error(("%s: the keyword arguments must be a table, got a %s"):format(where, type(kwds)), level)
  end
  local n = math.type(args.n) == "integer" and args.n or #args
  local merged = table.move(args, 1, n, 1, {})
  local names = parameters(f)
  for name, value in next, kwds do
    local i = index_of(names, name)
    if not i then
      error(refuse(where, f, name, names), level)
    elseif i <= n then
      error(("%s: parameter '%s' is given twice, by position and by name"):format(where, name),
        level)
    end
    merged[i] = value
    merged.n = math.max(merged.n or n, i)
  end
  merged.n = merged.n or n
  return merged
end

return { merge = merge }
