--- The entry `lambdapool.json` of a package: which modules are in it, each with the hash of its
--- text, and which agent runs them.

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"
local system = require "lambdapool.system"

local NAME = "lambdapool.json"

-- How the agent finds modules, in this order: the first one counts.
local PLACES = {
  { "", ".lua" }, { "", "/init.lua" }, { "lua/", ".lua" }, { "lua/", "/init.lua" },
}

-- The module that a file is when it is found through `place`.
local function module_of(name, place)
  local prefix, suffix = place[1], place[2]
  if name:sub(1, #prefix) ~= prefix or name:sub(-#suffix) ~= suffix then
    return nil
  end
  local path = name:sub(#prefix + 1, -#suffix - 1)
  if path == "" or path:find(".", 1, true) then
    return nil -- `require` makes a folder of each dot
  end
  return (path:gsub("/", "."))
end

-- Each file is listed under one name, although some can be required under two: `lua/x.lua` as "x",
-- not as "lua.x", and `x/init.lua` as "x".
local function shortest_name(name)
  local best, rank
  for i, place in ipairs(PLACES) do
    local module = module_of(name, place)
    if module and (not best or #module < #best) then
      best, rank = module, i
    end
  end
  return best, rank
end

---@param list lambdapool.deploy.File[] with their data
---@return string
local function make(list)
  local modules, ranks = {}, {}
  for _, file in ipairs(list) do
    local name, rank = shortest_name(file.name)
    if name and rank < (ranks[name] or math.huge) then
      ranks[name] = rank
      modules[name] = { file = file.name, hash = crypto.sha256(file.data) }
    end
  end
  return json.encode { agent = system.version, created_by = "lambdapool " .. system.version,
    modules = modules }
end

return { NAME = NAME, make = make }
