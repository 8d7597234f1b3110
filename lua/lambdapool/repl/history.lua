--- What was typed in earlier sessions: a file with an entry on each line, in which "\n" stands for
--- the newlines of an entry and "\\" for a backslash. Sessions that run at the same time add to the
--- same file, each entry at once and in one piece, so whatever ends one of them loses nothing.

local cloud = require "lambdapool.cloud"

-- So many entries, and bytes of them, are read.
local ENTRIES, BYTES = 1000, 1 << 20

-- Larger entries are not kept: searching them would take seconds.
local MOST = 16384

---@class lambdapool.repl.History
---@field private path string? nil: kept in memory only
---@field private last string?
local methods = {}
local mt = { __name = "lambdapool.repl.History", __index = methods }

local ESCAPES = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\n" }
local MEANINGS = { ["\\\\"] = "\\", ["\\n"] = "\n" }

local function encode(entry)
  return (entry:gsub("\r\n", "\n"):gsub("[\\\r\n]", ESCAPES)) .. "\n"
end

local function decode(line)
  return (line:gsub("\\[\\n]", MEANINGS))
end

-- The entries in the end of a file, the last ENTRIES of them.
local function entries_of(bytes, is_all)
  local entries = {}
  for line in (is_all and bytes or bytes:match "\n(.*)" or ""):gmatch "[^\n]+" do
    entries[#entries + 1] = #line <= MOST and decode(line) or nil
  end
  return table.move(entries, math.max(1, #entries - ENTRIES + 1), #entries, 1, {})
end

-- Writes a file that has become too large anew, with what is still read of it.
local function shorten(path, entries)
  local lines = {}
  for i, entry in ipairs(entries) do
    lines[i] = encode(entry)
  end
  local shorter = path .. ".new"
  os.remove(shorter)
  if cloud.load "terminal".append(shorter, table.concat(lines)) then
    os.rename(shorter, path)
  end
end

--- The entries of earlier sessions, the oldest first.
---@return string[]
---@return string? message why there are none
function methods:load()
  if not self.path then
    return {}
  end
  local bytes, total, code = cloud.load "terminal".tail(self.path, BYTES)
  if not bytes then
    return {}, code ~= 2 and total or nil -- before the first session there is none
  end
  local entries = entries_of(bytes, #bytes == total)
  if total > 2 * BYTES then
    shorten(self.path, entries)
  end
  self.last = entries[#entries]
  return entries
end

--- Adds an entry, unless it is the last one already, has nothing in it or is too large.
---@param entry string
---@return boolean added
---@return string? message why it is not in the file
function methods:add(entry)
  if entry == self.last or #entry > MOST or not entry:find "%S" then
    return false
  end
  self.last = entry
  if not self.path then
    return true
  end
  local ok, message = cloud.load "terminal".append(self.path, encode(entry))
  return true, not ok and message or nil
end

---@param path string?
---@return lambdapool.repl.History
local function new(path)
  return setmetatable({ path = path }, mt)
end

return { new = new }
