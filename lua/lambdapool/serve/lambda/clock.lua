--- Times as the API writes them; each of its parts does it differently.

local clock = {}

-- os.date rounds towards the past, as do the milliseconds.
local function split(time, scale)
  local whole = math.floor(time)
  return whole, math.floor((time - whole) * scale)
end

--- "2026-01-01T00:00:00.000+0000", of functions and layers.
---@param time number seconds since 1970
---@return string
function clock.offset(time)
  local whole, rest = split(time, 1000)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (".%03d+0000"):format(rest)
end

--- "2026-01-01T00:00:00.000000Z", of function URLs.
---@param time number
---@return string
function clock.zulu(time)
  local whole, rest = split(time, 1000000)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (".%06dZ"):format(rest)
end

return clock
