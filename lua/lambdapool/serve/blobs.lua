--- The zips of functions and layers, each under the SHA-256 of its bytes, and what is in them.
---
--- A zip is on the disk before its name is: it is written under another one, synced and renamed.
--- What is unpacked is only a copy that can be made again. It is made under another name, too, but
--- not synced; but its folder bears the name of the kernel's run in which it was made, and after
--- a power cut, which is another run, nobody looks at it again. So the process may end between any
--- two steps. One process at a time uses the folder.
---
---     DIR/zips/HASH.zip
---     DIR/RUN/code/HASH/...        unpacked
---     DIR/RUN/layers/HASHES/...    several over each other; files are links to those in code/
---     DIR/temporary/...            what is being made or removed
local archive = require "lambdapool.archive"
local crypto = require "lambdapool.crypto"
local files = require "lambdapool.files"

-- Of each hash, in the names of layered folders: five of them are to fit into one name.
local PREFIX = 40

---@class lambdapool.serve.Blobs
---@field dir string
---@field run string the folder of this run of the kernel
local methods = {}
local mt = { __name = "lambdapool.serve.Blobs", __index = methods }

-- What put raises is a failure of the world, like that of a database: a table, to which nobody adds
-- the place in the program where it was met.
local refusal = { __tostring = function(self) return self.message end }

-- Names -----------------------------------------------------------------------------------------

-- A name that nobody uses.
local function temporary(self)
  return self.dir .. "/temporary/" .. crypto.uuid()
end

-- A run of the kernel has a name; where it cannot be read, nothing is taken over from before.
local function name_of_run()
  local file <close> = io.open "/proc/sys/kernel/random/boot_id"
  return "run-" .. (file and file:read "l" or crypto.uuid())
end

local function base64_of(hash)
  return crypto.base64((hash:gsub("%x%x", function(digits)
    return string.char(tonumber(digits, 16))
  end)))
end

-- Hashes become names of files: nothing else may.
local function is_hash(text)
  return #text == 64 and not text:find "%X"
end

--- The file with the zip.
---@param hash string
---@return string
function methods:path(hash)
  assert(is_hash(hash), "not a hash")
  return ("%s/zips/%s.zip"):format(self.dir, hash)
end

-- Zips ------------------------------------------------------------------------------------------

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

--- Stores a zip; equal bytes are stored once. Raises what the system says when it refuses,
--- a table with `message`.
---@param bytes string
---@return string hash 64 hexadecimal digits
---@return string digest the same hash in base64
---@return integer size
function methods:put(bytes)
  local hash = crypto.sha256(bytes)
  local path = self:path(hash)
  if not exists(path) then
    local stored, message = files.store(path, temporary(self), bytes)
    if not stored then
      error(setmetatable({ message = "cannot store code: " .. message }, refusal))
    end
  end
  return hash, base64_of(hash), #bytes
end

---@param hash string any text: one that is no hash is not there
---@return string? bytes
---@return string? message
function methods:get(hash)
  if not is_hash(hash) then
    return nil, "not a hash"
  end
  local file <close>, message = io.open(self:path(hash), "rb")
  if not file then
    return nil, message
  end
  return file:read "a"
end

-- Folders ---------------------------------------------------------------------------------------

local function discard(self, path)
  local name = temporary(self)
  if os.rename(path, name) then
    files.remove(name)
  end
end

-- Makes a folder in one step: `make` fills one of another name.
local function make_once(self, path, make)
  if files.is_folder(path) then
    return path
  end
  local name = temporary(self)
  local ok, problem, message = make(name)
  if ok then
    ok, message = os.rename(name, path)
    problem = "failed"
  end
  if not ok then
    files.remove(name)
    return nil, problem, message
  end
  return path
end

--- The folder with what is in a zip, for reading only. It stays until it is swept.
---@param hash string
---@return string? folder
---@return "missing"|"invalid"|"too_large"|"unsafe"|"failed"|nil problem
---@return string? message
function methods:unpacked(hash)
  assert(is_hash(hash), "not a hash")
  return make_once(self, self.run .. "/code/" .. hash, function(name)
    local bytes, message = self:get(hash)
    if not bytes then
      return nil, "missing", message
    end
    return archive.extract(bytes, name)
  end)
end

--- The folder with what is in several zips; the later ones win. For reading only.
---@param hashes string[]
---@return string? folder
---@return string? problem
---@return string? message
function methods:layered(hashes)
  if #hashes == 1 then
    return self:unpacked(hashes[1])
  end
  local parts = {}
  for i, hash in ipairs(hashes) do
    assert(is_hash(hash), "not a hash")
    parts[i] = hash:sub(1, PREFIX)
  end
  return make_once(self, self.run .. "/layers/" .. table.concat(parts, "+"), function(name)
    for _, hash in ipairs(hashes) do
      local folder, problem, message = self:unpacked(hash)
      if not folder then
        return nil, problem, message
      end
      local ok, failure = files.overlay(folder, name)
      if not ok then
        return nil, "failed", failure
      end
    end
    return true
  end)
end

-- Sweeping --------------------------------------------------------------------------------------

-- Whether everything that a layered folder was made from is kept.
local function is_kept(prefixes, name)
  for prefix in name:gmatch "[^+]+" do
    if not prefixes[prefix] then
      return false
    end
  end
  return true
end

-- Discards what is in a folder and is not needed.
local function sweep_folder(self, folder, needed)
  for _, name in ipairs(files.list(folder) or {}) do
    if not needed(name) then
      discard(self, folder .. "/" .. name)
    end
  end
end

--- Removes the zips and folders that no hash in `keep` needs, and what unfinished work has left.
--- Nothing of it may be in use.
---@param keep table<string, true>
function methods:sweep(keep)
  local prefixes = {}
  for hash in pairs(keep) do
    prefixes[hash:sub(1, PREFIX)] = true
  end
  sweep_folder(self, self.dir .. "/zips", function(name)
    return keep[name:match "^(%x+)%.zip$"]
  end)
  sweep_folder(self, self.run .. "/code", function(name)
    return keep[name]
  end)
  sweep_folder(self, self.run .. "/layers", function(name)
    return is_kept(prefixes, name)
  end)
  sweep_folder(self, self.dir, function(name)
    return not name:find "^run%-" or self.run == self.dir .. "/" .. name
  end)
  for _, name in ipairs(files.list(self.dir .. "/temporary") or {}) do
    files.remove(self.dir .. "/temporary/" .. name)
  end
end

--- Opens the zips in a folder, which is made when there is none. Paths that come from here are
--- absolute: they are for processes that work elsewhere.
---@param dir string
---@return lambdapool.serve.Blobs?
---@return string? message
local function open(dir)
  local made, message = files.make(dir)
  if not made then
    return nil, message
  end
  dir = assert(files.real(dir))
  local self = setmetatable({ dir = dir, run = dir .. "/" .. name_of_run() }, mt)
  for _, folder in ipairs {
    dir .. "/zips", dir .. "/temporary", self.run .. "/code", self.run .. "/layers",
  } do
    made, message = files.make(folder)
    if not made then
      return nil, message
    end
  end
  return self
end

return { open = open }
