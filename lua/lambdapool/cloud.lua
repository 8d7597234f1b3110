--- Where the modules come from that need OpenSSL, libcurl, expat, SQLite, libzip or libedit:
--- libraries of ours beside the program, loaded when the first of their modules is asked for. With
--- these linked into it, each start of the program would take milliseconds longer.
local system = require "lambdapool.system"

-- Modules that are elsewhere than in cloud.so.
local FILES = { terminal = "terminal.so" }

local PACKAGES = {
  ["cloud.so"] = "libssl3, libcurl4, libexpat1, libsqlite3-0 and libzip4",
  ["terminal.so"] = "libedit2",
}

-- As for the agent: first where it is built, then where it is installed.
local function find(name)
  local folder = assert(system.executable()):match "^(.*)/"
  for _, path in ipairs { folder .. "/" .. name, folder .. "/../libexec/lambdapool/" .. name } do
    local file <close> = io.open(path)
    if file then
      return path
    end
  end
  error(("cannot find a part of the program: there is no `%s` in %s\n" ..
    "  build it with `make build`"):format(name, folder), 0)
end

--- Loads the C module "lambdapool.NAME".
---@param name "crypto"|"sqlite"|"archive"|"terminal"
---@return table
local function load_module(name)
  local file = FILES[name] or "cloud.so"
  local path = find(file)
  local open, message = package.loadlib(path, "luaopen_lambdapool_" .. name)
  if not open then
    error(("cannot load %s: %s\n  it needs the Debian packages %s")
      :format(path, message, PACKAGES[file]), 0)
  end
  return open()
end

return { load = load_module }
