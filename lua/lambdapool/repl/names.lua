--- What functions are called: the standard functions, the globals and the fields of modules.

local format, loaded, sort = string.format, package.loaded, table.sort

-- So many fields of one table are looked at.
local STEPS = 10000

local names = {}

---@class lambdapool.repl.Names
---@field index table<function, string>
local methods = {}
local mt = { __name = "lambdapool.repl.Names", __index = methods }

-- Adds the functions in the fields of a module that have no name yet; of several names of one, the
-- first in the alphabet. `_` is the last value at the prompt, and no name.
local function add(index, module, prefix)
  local found, steps = {}, 0
  for key, value in next, module do
    if type(value) == "function" and type(key) == "string" and key ~= "_" and
      not index[value] and not (found[value] and found[value] < key) then
      found[value] = key
    end
    steps = steps + 1
    if steps == STEPS then
      break
    end
  end
  for fn, name in next, found do
    index[fn] = prefix .. name
  end
end

local standard = {}
for _, name in ipairs { "string", "table", "math", "io", "os", "coroutine", "utf8", "debug",
  "package" } do
  add(standard, loaded[name], name .. ".")
end
add(standard, loaded._G, "")

-- The names of the modules that are loaded, short ones first.
local function modules()
  local list = {}
  for name, module in next, loaded do
    if type(name) == "string" and type(module) == "table" then
      list[#list + 1] = name
    end
  end
  sort(list, function(a, b)
    if #a ~= #b then
      return #a < #b
    end
    return a < b
  end)
  return list
end

--- The name of a function, or nil.
---@param fn function
---@return string?
function methods:find(fn)
  if standard[fn] then
    return standard[fn]
  elseif not self.index then
    self.index = {}
    add(self.index, _G, "")
    for _, name in ipairs(modules()) do
      add(self.index, loaded[name], format("%s.", name))
    end
  end
  return self.index[fn]
end

--- Names as they are when they are first asked for.
---@return lambdapool.repl.Names
function names.new()
  return setmetatable({}, mt)
end

return names
