--- The numbers of a progress line as text: how fast tasks end, and how long it will take.

---@class lambdapool.Meter
local methods = {}
local mt = { __name = "lambdapool.Meter", __index = methods }

-- The rate is that of the last ten seconds, or of a longer time when fewer than ten tasks ended in
-- them: slow tasks have a rate, too.
local WINDOW = 10
local LEAST = 10

-- Seconds between two samples.
local STEP = 0.25

--- Notes how many tasks have ended by now.
---@param now number seconds
---@param done integer
function methods:add(now, done)
  local times, counts = self.times, self.counts
  self.now, self.done = now, done
  if done ~= counts[self.last] and now - times[self.last] >= STEP then
    self.last = self.last + 1
    times[self.last], counts[self.last] = now, done
  end
  while self.first < self.last do
    local first = self.first
    if now - times[first + 1] < WINDOW or done - counts[first + 1] < LEAST then
      break
    end
    times[first], counts[first] = nil, nil
    self.first = first + 1
  end
end

--- Tasks a second, lately; nil as long as none has ended.
---@return number?
function methods:rate()
  local seconds = self.now - self.times[self.first]
  local tasks = self.done - self.counts[self.first]
  return seconds > 0 and tasks > 0 and tasks / seconds or nil
end

--- Tasks a second since the beginning.
---@return number?
function methods:average()
  local seconds = self.now - self.began
  return seconds > 0 and self.done > 0 and self.done / seconds or nil
end

---@param now number seconds
---@return lambdapool.Meter
local function new(now)
  return setmetatable({
    began = now,
    now = now,
    done = 0,
    times = { now },
    counts = { 0 },
    first = 1,
    last = 1,
  }, mt)
end

--- 1234567 -> "1,234,567"
---@param n integer
---@return string
local function group(n)
  local text = ("%d"):format(n)
  local head = (#text - 1) % 3 + 1
  return text:sub(1, head) .. text:sub(head + 1):gsub("...", ",%0")
end

--- 412.3 -> "412/s", 0.5 -> "30/min"
---@param tasks number tasks a second
---@return string
local function rate(tasks)
  local unit = "s"
  if tasks < 1 then
    tasks, unit = tasks * 60, "min"
  end
  if tasks < 1 then
    tasks, unit = tasks * 60, "h"
  end
  local number = tasks < 9.95 and ("%.1f"):format(tasks) or group(math.floor(tasks + 0.5))
  return ("%s/%s"):format(number:gsub("%.0$", ""), unit)
end

--- 75 -> "1:15", 3675 -> "1:01:15", 180000 -> "2d 2h"
---@param seconds number
---@return string
local function duration(seconds)
  seconds = math.ceil(seconds)
  local minutes, hours = seconds // 60, seconds // 3600
  if hours >= 24 then
    return ("%dd %dh"):format(hours // 24, hours % 24)
  elseif hours > 0 then
    return ("%d:%02d:%02d"):format(hours, minutes % 60, seconds % 60)
  end
  return ("%d:%02d"):format(minutes, seconds % 60)
end

return { new = new, group = group, rate = rate, duration = duration }
