--- Times as AWS writes them, as seconds since 1970.

local dates = {}

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9,
  Oct = 10, Nov = 11, Dec = 12 }

-- Days from 1970-01-01 to a day of the Gregorian calendar, whose years begin in March here.
local function days(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5
    + day - 719469
end

local function seconds(year, month, day, hour, minute, second)
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
  if month < 1 or month > 12 or day < 1 or day > 31 or hour > 24 or minute > 59 or second > 61 then
    return nil
  end
  return ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
end

--- The date of an HTTP header: "Sat, 21 Nov 2026 17:53:09 GMT".
---@param text string?
---@return integer? seconds nil when it is none
function dates.http(text)
  local day, name, year, hour, minute, second =
    (text or ""):match "^%a+, (%d%d?) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT"
  local month = MONTHS[name]
  return month and seconds(year, month, day, hour, minute, second)
end

-- "+02:00" in seconds.
local function zone(text)
  local sign, hour, minute = text:match "^([+-])(%d%d):?(%d%d)$"
  if sign then
    local offset = tonumber(hour) * 3600 + tonumber(minute) * 60
    return sign == "+" and offset or -offset
  end
  return (text == "Z" or text == "" or text == "UTC") and 0 or nil
end

--- A time of ISO 8601: "2026-11-21T17:53:09Z", also with parts of seconds and "+00:00".
---@param text string?
---@return integer? seconds nil when it is none
function dates.iso(text)
  local year, month, day, hour, minute, second, rest = (text or ""):match
    "^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):(%d%d)%.?%d*(.*)$"
  local offset = year and zone(rest)
  local time = offset and seconds(year, month, day, hour, minute, second)
  return time and time - offset
end

--- How people say a length of time: "14 minutes".
---@param length number seconds
---@return string
function dates.span(length)
  length = math.abs(length)
  for _, unit in ipairs { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } } do
    if length >= 2 * unit[1] or unit[1] == 1 then
      return ("%d %s%s"):format(length // unit[1], unit[2], length // unit[1] == 1 and "" or "s")
    end
  end
end

return dates
