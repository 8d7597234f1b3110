--- Runs busted specs in our own host: `lambdapool run tests/run_busted.lua -o TAP FILE_spec.lua`.
--- Two things differ from plain busted. Specs run in the real global environment, not in one that
--- busted makes up for each block, so a closure in a spec is the closure that a user would write.
--- And a spec that leaves a descriptor or a child process behind fails.
local lfs = require "lfs"

local make_environment = require "busted.environment"

-- The functions that busted means for a block (`describe`, `it`, `finally`) stay reachable through
-- the metatable of _G; a name that Lua has already (`assert`) is replaced.
package.loaded["busted.environment"] = function(context)
  local environment = make_environment(context)
  local set = environment.set
  function environment.set(key, value)
    set(key, value)
    if rawget(_G, key) ~= nil then
      rawset(_G, key, value)
    end
  end
  function environment.wrap(f)
    return f
  end
  setmetatable(_G, { __index = function(_, key)
    local element = context.get()
    while element do
      local value = element.env and element.env[key]
      if value ~= nil then
        return value
      end
      element = context.parent(element)
    end
  end })
  return environment
end

local function descriptors()
  local open = {}
  for name in lfs.dir "/proc/self/fd" do
    local target = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
    if tonumber(name) and target and not target:find("/proc/", 1, true) then
      open[name] = target
    end
  end
  return open
end

local function children()
  local file <close> = assert(io.open "/proc/thread-self/children")
  return file:read "a"
end

-- What libuv keeps for the life of the process is no leak.
local has_workers, workers = pcall(require, "lambdapool.workers")
if has_workers then
  workers.open():close()
end

local before = descriptors()
require "busted.runner" { standalone = false }
collectgarbage()
collectgarbage()

local left = {}
for name, target in pairs(descriptors()) do
  if before[name] ~= target then
    left[#left + 1] = "descriptor " .. name .. " -> " .. target
  end
end
for pid in children():gmatch "%d+" do
  left[#left + 1] = "child process " .. pid
end
if #left > 0 then
  io.stderr:write("this spec left behind: ", table.concat(left, ", "), "\n")
  os.exit(1)
end
