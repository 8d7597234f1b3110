--- Files for a package: finds them below the paths that somebody names, and decides the names that
--- they have in it. A folder goes in under its own name, what is in `FOLDER/.` at the top, and so
--- does a file. Links are followed where they stay inside of the folder that was named.

local files = require "lambdapool.files"
local interrupt = require "lambdapool.interrupt"
local problem = require "lambdapool.deploy.problem"

-- As many as a zip can hold without extensions, which not every tool reads.
local MOST_FILES = 65535

-- More than that is no code, whatever is in it. Folders count: links can make many of few.
local MOST_VISITED = 100000

-- What a function and its layers may have, unpacked.
local MOST_BYTES = 262144000

-- What other programs leave beside code, as Lua patterns of names.
local LEFT_OUT = {
  "^%.git$", "^%.hg$", "^%.svn$", "^%.DS_Store$", "~$", "^%.#", "^#.*#$", "^%..*%.sw[a-z]$", "%.o$",
}

---@class lambdapool.deploy.File
---@field name string in the package
---@field path string? where it is
---@field from string what a person named, for messages
---@field size integer
---@field mode integer
---@field own boolean? it is the agent, which is known to run
---@field data string? once it has been read

---@class lambdapool.deploy.Gatherer
---@field files lambdapool.deploy.File[] in no order
---@field private by_name table<string, lambdapool.deploy.File>
---@field private bytes integer
---@field private visited integer
---@field private except string? the id of a file that is not meant: the package itself
local methods = {}
local mt = { __name = "lambdapool.deploy.Gatherer", __index = methods }

local function fail(text, ...)
  problem.raise(problem.FAILED, text, ...)
end

local function is_left_out(name)
  for _, pattern in ipairs(LEFT_OUT) do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

local function check_name(name, path)
  if not utf8.len(name) or name:find "[%c\\]" then
    fail("cannot package %q: its name cannot be in a zip file\n" ..
      "  names are UTF-8 without control characters and backslashes", path)
  end
end

local function check(path, value, message)
  if not value then
    fail("cannot package %s: %s", path, (message:gsub("^.*: ", "")))
  end
  return value
end

-- Before anything is read: a file may be endless.
local function count(self, file)
  self.bytes = self.bytes + file.size
  if self.bytes > MOST_BYTES then
    fail("cannot package %s: with it there are more than %d bytes (250 MB), the most that " ..
      "Lambda takes\n  leave out what the function does not need", file.path or file.name,
      MOST_BYTES)
  elseif #self.files >= MOST_FILES then
    fail("cannot package %s: there are more than %d files\n" ..
      "  leave out what the function does not need", file.from, MOST_FILES)
  end
end

--- Adds a file. Another one of its name is an error.
---@param file lambdapool.deploy.File
function methods:add(file)
  local other = self.by_name[file.name]
  if other and other.path and other.path == file.path then
    fail("cannot package %s: it is named twice", file.path)
  elseif other then
    fail("two files would be %s in the package: %s and %s", file.name, other.path or other.from,
      file.path or file.from)
  end
  count(self, file)
  self.by_name[file.name] = file
  self.files[#self.files + 1] = file
end

local KINDS = { pipe = "a named pipe", socket = "a socket", device = "a device" }

local function add_file(self, root, path, name, status)
  if status.id == self.except then
    return
  elseif status.kind ~= "file" then
    fail("cannot package %s: it is %s", path, KINDS[status.kind])
  end
  self:add { name = name, path = path, from = root.from, size = status.size,
    mode = status.executable and 493 or 420 } -- 0755 or 0644
end

-- Where the link leads has to be inside, because the rest of the disk is not there on Lambda.
local function follow(root, path)
  local target = check(path, files.real(path))
  if target ~= root.real and target:sub(1, #root.real + 1) ~= root.real .. "/" then
    fail("cannot package %s: it is a link that leads out of %s, to %s\n" ..
      "  put what it leads to in its place", path, root.from, target)
  end
  return check(path, files.status(path))
end

local walk

local function visit(self, root, path, name, around)
  interrupt.check()
  self.visited = self.visited + 1
  if self.visited > MOST_VISITED then
    fail("cannot package %s: there are more than %d files and folders", root.from, MOST_VISITED)
  end
  check_name(name, path)
  local status = check(path, files.status(path, true))
  if status.kind == "link" then
    status = follow(root, path)
  end
  if status.kind ~= "folder" then
    return add_file(self, root, path, name, status)
  elseif around[status.id] then
    fail("cannot package %s: it leads back to a folder that it is in\n  remove the link", path)
  end
  around[status.id] = true
  walk(self, root, path, name .. "/", around)
  around[status.id] = nil
end

-- `around` are the ids of the folders that this one is in, and its own.
function walk(self, root, folder, prefix, around)
  local names = check(folder, files.list(folder))
  table.sort(names) -- so that the same problem is found first, everywhere
  for _, name in ipairs(names) do
    if not is_left_out(name) then
      visit(self, root, (folder == "/" and "" or folder) .. "/" .. name, prefix .. name, around)
    end
  end
end

--- Adds all files in a folder below the names that begin with `prefix`.
---@param folder string
---@param prefix string "" or with a slash at its end
---@param from string? what to call it in messages
function methods:add_folder(folder, prefix, from)
  local root = { real = check(folder, files.real(folder)), from = from or folder }
  local before = #self.files
  local status = check(folder, files.status(folder))
  walk(self, root, folder, prefix, { [status.id] = true })
  return #self.files - before
end

-- The name under which a path goes into the package: "" for what is in it.
local function own_name(path)
  local base = path:match "([^/]*)$"
  if base == "." then
    return ""
  elseif base == ".." then
    base = check(path, files.real(path)):match "([^/]*)$"
  end
  if base == "" then
    fail("cannot package %s: it has no name\n  `%s.` packages what is in it", path, path)
  end
  return base
end

--- Adds what a person named: a file, a folder, or `FOLDER/.`.
---@param path string
---@param prefix string? where it goes; "" or with a slash at its end
function methods:add_path(path, prefix)
  local stripped = path:gsub("(.)/+$", "%1")
  prefix = prefix or ""
  if path == "" then
    fail "cannot package a path that is empty"
  end
  local status, message = files.status(path)
  if not status then
    fail("cannot package %s: %s", path, (message:gsub("^.*: ", "")))
  end
  local name = own_name(stripped)
  check_name(name, path)
  local folder = stripped:gsub("(.)/%.$", "%1")
  if status.kind ~= "folder" then
    add_file(self, { from = path }, stripped, prefix .. name, status)
  elseif self:add_folder(folder, prefix .. (name == "" and "" or name .. "/"), path) == 0 then
    fail("cannot package %s: there is nothing in it", path)
  end
end

-- Bytes decide, whatever the locale says.
local function comes_before(a, b)
  a, b = a.name, b.name
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

local function check_parents(self, file)
  for last in file.name:gmatch "()/" do
    local parent = self.by_name[file.name:sub(1, last - 1)]
    if parent then
      fail("%s would be a file and a folder in the package: %s and %s", parent.name,
        parent.path or parent.from, file.path or file.from)
    end
  end
end

local function read(file)
  local handle <close> = check(file.path, io.open(file.path, "rb"))
  local data, message = handle:read(MOST_BYTES)
  file.data = check(file.path, data or not message and "", message)
  file.size = #file.data
end

--- Reads what was added so far and has not been read yet.
function methods:load()
  for _, file in ipairs(self.files) do
    if not file.data then
      interrupt.check()
      read(file)
    end
  end
end

--- Everything that was added, read, in the order of the names.
---@return lambdapool.deploy.File[]
function methods:list()
  table.sort(self.files, comes_before)
  for _, file in ipairs(self.files) do
    check_parents(self, file)
  end
  self:load()
  return self.files
end

---@param except string? the path of a file that is left out when it is come across
---@return lambdapool.deploy.Gatherer
local function new(except)
  local status = except and files.status(except)
  return setmetatable({ files = {}, by_name = {}, bytes = 0, visited = 0,
    except = status and status.id }, mt)
end

return { new = new, MOST_BYTES = MOST_BYTES }
