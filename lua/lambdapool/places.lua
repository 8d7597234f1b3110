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

-- There may be folders between `lib`, which is beside `libexec`, and the library: they are called
-- lib/x86_64-linux-gnu, say, or lib/lua/5.4. A rock has its files in a folder beside its module.
local function add_own(list, folder)
  add(list, folder, "")
  add(list, folder, "/lambdapool")
  for _ = 1, 3 do
    folder = up(folder)
    add(list, folder, "/libexec/lambdapool")
  end
end

---@return string[] # absolute
local function folders()
  local list = {}
  local program, own = up(system.executable()), up(parts.own())
  add(list, program, "")
  add(list, up(program), "/libexec/lambdapool")
  if own ~= program then
    add_own(list, own)
  end
  add(list, parts.installed, "")
  return list
end

local function is_file(path)
  local file <close> = io.open(path)
  return file ~= nil
end

--- Where the file `name` is, or nil and where it is not, in words.
---@param name string
---@param usable? fun(path: string): boolean # by default, whether it can be read
---@return string|nil path, string|nil folders
local function find(name, usable)
  local list = folders()
  for _, folder in ipairs(list) do
    local path = folder .. "/" .. name
    if (usable or is_file)(path) then
      return path
    end
  end
  return nil, table.concat(list, ", ")
end

return { find = find }
