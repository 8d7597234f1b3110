--- Rocks for a package: installed by the real `luarocks`, for Lua 5.4, from the servers that the
--- user's configuration names, into a folder of the user's cache. The same requirements are found
--- there the next time: the same package comes out, and nothing is downloaded. Who wants newer
--- rocks names them, or removes the folder.

local command = require "lambdapool.command"
local crypto = require "lambdapool.crypto"
local files = require "lambdapool.files"
local problem = require "lambdapool.deploy.problem"

-- Goes into the names of the folders; to be changed when what is put there changes.
local FORMAT = "1"

local LIMIT_SECONDS = 1800

-- What was left by a process that was killed, and cannot be in use any more.
local STALE_SECONDS = 86400

-- How much of what luarocks says goes into an error.
local TOLD_LINES = 12

-- A rockspec that wants nothing but rocks.
local ROCKSPEC = [[
package = "requirements"
version = "1-1"
source = { url = "" }
dependencies = { %s }
build = { type = "none" }
]]

local function fail(text, ...)
  problem.raise(problem.FAILED, text, ...)
end

local function environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function read_if_there(path)
  local file <close> = path and io.open(path, "rb")
  return file and file:read "a"
end

-- The user's configuration of luarocks: it says where rocks come from.
local function configuration()
  local home = environment "HOME"
  local texts = {}
  for i, path in ipairs {
    environment "LUAROCKS_CONFIG_5_4" or "", environment "LUAROCKS_CONFIG" or "",
    home and home .. "/.luarocks/config-5.4.lua" or "",
  } do
    texts[i] = read_if_there(path) or ""
  end
  return table.concat(texts, "\0")
end

local function wanted(requirements)
  return requirements.rockspec and requirements.text or table.concat(requirements.rocks, "\n")
end

local function key_of(requirements, architecture)
  return crypto.sha256(table.concat({ FORMAT, architecture, tostring(requirements.rockspec),
    wanted(requirements), configuration() }, "\0"))
end

local function cache_folder()
  local home = environment "HOME"
  local cache = environment "XDG_CACHE_HOME"
  if not cache or cache:sub(1, 1) ~= "/" then
    cache = home and home .. "/.cache"
  end
  return cache and cache .. "/lambdapool/rocks"
end

local function remove_stale(cache)
  for _, name in ipairs(files.list(cache) or {}) do
    local path = cache .. "/" .. name
    local status = name:find "^new%-" and files.status(path, true)
    if status and os.time() - status.changed > STALE_SECONDS then
      files.remove(path)
    end
  end
end

-- A folder to install into: in the cache, or where that cannot be written, anywhere.
local function make_folder(cache)
  if cache and files.make(cache) then
    remove_stale(cache)
    local folder = files.temporary(cache .. "/new-")
    if folder then
      return folder
    end
  end
  local place = environment "TMPDIR" or "/tmp"
  local folder, message = files.temporary(place .. "/lambdapool-rocks-")
  return folder or fail("cannot make a folder to install rocks in: %s", message)
end

local function write_rockspec(folder, requirements)
  local path = folder .. "/requirements-1-1.rockspec"
  local list = {}
  for i, rock in ipairs(requirements.rocks) do
    list[i] = ("%q"):format(rock)
  end
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(ROCKSPEC:format(table.concat(list, ", "))))
  return path
end

-- What went wrong: what luarocks calls the error, and below it what compilers and others said.
local function complaint(errors)
  local lines, said = {}, nil
  for line in errors:gmatch "[^\r\n]+" do
    said = line:match "^Error: (.*)" or said
    if not line:find "^Error: " then
      lines[#lines + 1] = line
    end
  end
  local told = table.move(lines, math.max(1, #lines - TOLD_LINES + 1), #lines, 2,
    { said or "luarocks failed" })
  return table.concat(told, "\n    ")
end

local function run_luarocks(folder, rockspec, requirements, log)
  local result, message, code = command.run({
    "luarocks", "--lua-version", "5.4", "--tree", folder .. "/tree",
    "install", "--only-deps", "--deps-mode", "one", "--no-doc", rockspec,
  }, {
    env = { GIT_TERMINAL_PROMPT = "0", SOURCE_DATE_EPOCH = "315532800", LUA_INIT = false,
      LUA_INIT_5_4 = false },
    seconds = LIMIT_SECONDS,
    output = log,
  })
  if code == "ENOENT" then
    fail("cannot install the rocks that %s names: there is no `luarocks`\n" ..
      "  install it: apt-get install luarocks", requirements.path)
  elseif not result then
    fail("cannot install the rocks that %s names: %s", requirements.path, message)
  elseif result.code ~= 0 then
    fail("cannot install the rocks that %s names: %s", requirements.path, complaint(result.errors))
  end
end

-- Moves the new tree to its place. Another process may have been faster.
local function keep(folder, place)
  local moved = os.rename(folder .. "/tree", place)
  return (moved or files.is_folder(place)) and place
end

-- Installs into `folder` and calls use with where the tree is then.
local function install(folder, requirements, place, use, log)
  local rockspec = requirements.rockspec and requirements.path
    or write_rockspec(folder, requirements)
  assert(files.make(folder .. "/tree"))
  run_luarocks(folder, rockspec, requirements, log)
  return use(place and keep(folder, place) or folder .. "/tree")
end

--- Calls use(folder) with the tree in which the rocks are installed and returns what it returns.
--- The folder may be gone afterwards.
---@param requirements lambdapool.deploy.Requirements
---@param architecture string
---@param use fun(folder: string): any
---@param log fun(line: string)
local function with_tree(requirements, architecture, use, log)
  local cache = cache_folder()
  local place = cache and cache .. "/" .. key_of(requirements, architecture)
  if place and files.is_folder(place) then
    return use(place)
  end
  local folder = make_folder(cache)
  local result = table.pack(pcall(install, folder, requirements, place, use, log))
  files.remove(folder)
  if not result[1] then
    error(result[2], 0)
  end
  return table.unpack(result, 2, result.n)
end

return { with_tree = with_tree }
