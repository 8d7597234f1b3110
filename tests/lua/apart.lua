--- Runs code with modules of lambdapool that share nothing with those outside: copies that see what
--- a test puts in the place of the machine.

local apart = {}

--- Calls f(...) while package.loaded has the modules of the world in place of ours; what it loads
--- is the world's from then on. Raises what f raises.
---@param world { modules: table<string, any> } modules by name
---@param is_apart fun(name: string): boolean whether a module is the world's own
---@param f function
---@return any ...
function apart.inside(world, is_apart, f, ...)
  local kept = {}
  for name, module in pairs(package.loaded) do
    if is_apart(name) then
      kept[name] = module
    end
  end
  for name in pairs(kept) do
    package.loaded[name] = nil
  end
  for name, module in pairs(world.modules) do
    package.loaded[name] = module
  end
  local result = table.pack(pcall(f, ...))
  for name, module in pairs(package.loaded) do
    if is_apart(name) then
      world.modules[name] = module
      package.loaded[name] = nil
    end
  end
  for name, module in pairs(kept) do
    package.loaded[name] = module
  end
  if not result[1] then
    error(result[2], 0)
  end
  return table.unpack(result, 2, result.n)
end

return apart
