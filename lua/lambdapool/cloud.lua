--- Where the modules come from that need OpenSSL, SQLite and libzip: a library of ours beside the
--- program, loaded when the first of them is asked for. Linked into the program, those three would
--- cost each of its starts a millisecond.
local system = require "lambdapool.system"

-- As for the agent: first where it is built, then where it is installed.
local function find()
  local folder = assert(system.executable()):match "^(.*)/"
  for _, path in ipairs { folder .. "/cloud.so", folder .. "/../libexec/lambdapool/cloud.so" } do
    local file <close> = io.open(path)
    if file then
      return path
    end
  end
  error(("cannot find a part of the program: there is no `cloud.so` in %s\n" ..
    "  build it with `make build`"):format(folder), 0)
end

--- Loads the C module "lambdapool.NAME".
---@param name "crypto"|"sqlite"|"archive"
---@return table
local function load_module(name)
  local path = find()
  local open, message = package.loadlib(path, "luaopen_lambdapool_" .. name)
  if not open then
    error(("cannot load %s: %s\n  it needs the Debian packages libssl3, libsqlite3-0 and libzip4")
      :format(path, message), 0)
  end
  return open()
end

return { load = load_module }
