--- Where the modules come from that need OpenSSL, libcurl, expat, SQLite, libzip or libedit:
--- libraries of ours beside the program, loaded when the first of their modules is asked for. With
--- these linked into it, each start of the program would take milliseconds longer.
local parts = require "lambdapool.parts"
local places = require "lambdapool.places"

-- Modules that are elsewhere than in cloud.so.
local FILES = { terminal = "terminal.so" }

local PACKAGES = {
  ["cloud.so"] = "libssl3, libcurl4, libexpat1, libsqlite3-0 and libzip4",
  ["terminal.so"] = "libedit2",
}

local function find(name)
  local path, folders = places.find(name)
  return path or error(("cannot find a part of the program: there is no `%s` in %s\n" ..
    "  put it there, as `make install` does"):format(name, folders), 0)
end

--- Loads the C module "lambdapool.NAME".
---@param name "crypto"|"sqlite"|"archive"|"terminal"
---@return table
local function load_module(name)
  local file = FILES[name] or "cloud.so"
  local path = find(file)
  local open, message = parts.load(path, name)
  if not open then
    error(("cannot load %s: %s\n  it needs the Debian packages %s")
      :format(path, message, PACKAGES[file]), 0)
  end
  return open()
end

return { load = load_module }
