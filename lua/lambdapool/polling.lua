--- For programs with a loop of their own: `lambdapool.poll` does what there is to do, some of it at
--- a time, and `lambdapool.descriptor` tells when that is.

local frames = require "lambdapool.frames"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

-- Seconds of work when nobody says how many.
local BUDGET = 0.001

local function check_seconds(name, value, default)
  if value == nil then
    return default
  elseif math.type(value) == nil or value ~= value or value < 0 then
    error(("lambdapool.poll: %s must be a number of seconds, got %s"):format(name,
      math.type(value) and tostring(value) or "a " .. type(value)), 3)
  end
  return value
end

-- Steps until there is nothing more to do or the time is over; at least one. True when there was
-- something.
local function work(limit)
  if not loop.step() then
    return false
  end
  while system.monotonic() < limit and loop.step() do end
  return true
end

-- Nothing is read beyond the limit, while it is there.
local function work_until(limit)
  loop.set_deadline(limit)
  local ok, result = pcall(work, limit)
  loop.set_deadline()
  if not ok then
    error(result, 0)
  end
  return result
end

local polling = {}

--- Takes in what workers have done, gives them more to do and runs callbacks, for about `budget`
--- seconds, by default a millisecond: when that is over it stops before the next piece of work.
--- When there is nothing to do, waits for it, `seconds` at most; by default it does not wait. Says
--- whether there was something to do. Raises what a callback has raised.
---@param seconds number?
---@param budget number?
---@return boolean
function polling.poll(seconds, budget)
  seconds = check_seconds("seconds", seconds, 0)
  budget = check_seconds("budget", budget, BUDGET)
  frames.keep()
  local busy = work_until(system.monotonic() + budget)
  if busy or seconds == 0 then
    return busy
  end
  local came = loop.rest(seconds)
  return work_until(system.monotonic() + budget) or came
end

--- A descriptor for poll(2) and its kin: readable while `poll` has something to do. Always the same
--- one; open, and nobody else's to read or close, until the Lua state is closed.
---@return integer?
---@return string? message
function polling.descriptor()
  frames.keep()
  return loop.descriptor()
end

return polling
