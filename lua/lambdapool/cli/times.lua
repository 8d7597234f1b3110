--- Times on the command line and in what is printed.

local dates = require "lambdapool.aws.dates"

local times = {}

local UNITS = { s = 1, m = 60, h = 3600, d = 86400, w = 604800 }

-- Seconds since 1970 of a date with an optional time of day and an optional zone; without a zone it
-- is local time.
local function read_date(text)
  local day, clock, zone = text:match "^(%d+%-%d%d%-%d%d)[T ]?([%d:.]*)([Z%d:+-]*)$"
  if not day or text:find "[T ]$" then
    return nil
  end
  clock = clock == "" and "00:00:00" or #clock == 5 and clock .. ":00" or clock
  local utc = dates.iso(day .. "T" .. clock .. (zone == "" and "Z" or zone))
  if zone ~= "" or not utc then
    return utc
  end
  local fields = os.date("!*t", utc)
  fields.isdst = nil
  return fields.day == tonumber(day:match "%d+$") and os.time(fields) or nil
end

--- Seconds since 1970 of "10m", "2h", "3d" (so long ago), "2026-11-21" or "2026-11-21T18:00:05",
--- with a Z for UTC; nil and what it must be.
---@param text string
---@param now number
---@return number?
---@return string? wanted
function times.read(text, now)
  local count, unit = text:match "^(%d+)([smhdw])$"
  local time = count and now - tonumber(count) * UNITS[unit] or read_date(text)
  if not time then
    return nil, "a time like 10m, 2h, 3d, 2026-11-21 or 2026-11-21T18:00:05Z"
  end
  return math.max(0, time)
end

--- "2026-11-21 18:00:05.123", as the clock on the wall says.
---@param milliseconds integer since 1970
---@return string
function times.show(milliseconds)
  return ("%s.%03d"):format(os.date("%Y-%m-%d %H:%M:%S", milliseconds // 1000), milliseconds % 1000)
end

--- "2026-11-21T18:00:05.123Z", for programs.
---@param milliseconds integer since 1970
---@return string
function times.iso(milliseconds)
  return ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", milliseconds // 1000),
    milliseconds % 1000)
end

return times
