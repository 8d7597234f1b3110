--- Small files that have to do with credentials.

local system = require "lambdapool.system"

local files = {}

local LARGEST = 1 << 20

--- The content of a file, or nil when it cannot be read.
---@param path string
---@return string?
function files.read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read(LARGEST)
end

-- For its owner only.
local function create(path, text)
  local before = system.umask(63)
  local file <close> = io.open(path, "wb")
  system.umask(before)
  return file and file:write(text) and file:flush()
end

--- Replaces a file in one step, for its owner only. Failing is no matter: it is a cache.
---@param path string
---@param text string
function files.replace(path, text)
  local part = path .. ".part"
  if not create(part, text) or not os.rename(part, path) then
    os.remove(part)
  end
end

return files
