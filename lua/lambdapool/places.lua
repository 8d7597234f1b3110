--- Where files of ours are that belong to the program, to the library or to the Lua module: the
--- agent, and the libraries that are loaded late. The first of these folders that has the file:
--- that of the program; ../libexec/lambdapool, seen from it; the same, seen from the library; and
--- where lambdapool was installed.
local parts = require "lambdapool.parts"
local system = require "lambdapool.system"

-- The folder that a file or a folder is in.
local function up(path)
  return path and path:match "^(.+)/"
end

local function add(list, folder, below)
  list[#list + 1] = folder and folder .. below
end

---@return string[] folders, string|nil program
local function around_program()
  local list, folder = {}, up(system.executable())
  add(list, folder, "")
  add(list, up(folder), "/libexec/lambdapool")
  return list, folder
end

-- There may be folders between `lib`, which is beside `libexec`, and the library: they are called
-- lib/x86_64-linux-gnu, say, or lib/lua/5.4. A rock has its files in a folder beside its module.
local function around_library(program)
  local list, folder = {}, up(parts.own())
  if folder ~= program then
    add(list, folder, "")
    add(list, folder, "/lambdapool")
    for _ = 1, 3 do
      folder = up(folder)
      add(list, folder, "/libexec/lambdapool")
    end
  end
  add(list, parts.installed, "")
  return list
end

local function try(list, name, usable)
  for _, folder in ipairs(list) do
    local path = folder .. "/" .. name
    if usable(path) then
      return path
    end
  end
end

--- Where the file `name` is, or nil and where it is not, in words.
---@param name string
---@param usable? fun(path: string): boolean # by default, whether it can be read
---@return string|nil path, string|nil folders
local function find(name, usable)
  usable = usable or parts.readable
  local first, program = around_program()
  local path = try(first, name, usable)
  if path then
    return path
  end
  local second = around_library(program)
  path = try(second, name, usable)
  if path then
    return path
  end
  return nil, table.concat(first, ", ") .. (first[1] and ", " or "") .. table.concat(second, ", ")
end

return { find = find }
