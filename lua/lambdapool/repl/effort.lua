--- What a line at the prompt took: how many tasks have ended in it, and how long it ran.

local meters = require "lambdapool.meter"
local progress = require "lambdapool.progress"
local schedulers = require "lambdapool.scheduler"
local system = require "lambdapool.system"

local format, concat, min = string.format, table.concat, math.min

---@class lambdapool.repl.Effort
---@field began number
---@field before lambdapool.Tally
---@field seconds number once it was stopped
---@field done integer tasks that returned meanwhile
---@field failed integer
---@field cancelled integer
---@field begun integer tasks that came meanwhile
local methods = {}
local mt = { __name = "lambdapool.repl.Effort", __index = methods }

--- Looks at the clock and counts.
function methods:stop()
  local before, now = self.before, schedulers.totals()
  self.seconds = system.monotonic() - self.began
  self.done, self.failed = now.done - before.done, now.failed - before.failed
  self.cancelled, self.begun = now.cancelled - before.cancelled, now.tasks - before.tasks
end

local function duration(seconds)
  if seconds < 0.0995 then
    return format("%.2g ms", seconds * 1000)
  elseif seconds < 0.9995 then
    return format("%.0f ms", seconds * 1000)
  elseif seconds < 60 then
    return format("%.1f s", seconds)
  end
  return format("%d min %d s", seconds // 60, seconds % 60 // 1)
end

--- How many tasks that the line itself has begun have ended in it.
---@return integer
function methods:tasks()
  return min(self.begun, self.done + self.failed)
end

--- "3 tasks · 12 ms"; without tasks only the time.
---@return string
function methods:phrase()
  local parts, tasks = {}, self:tasks()
  if tasks > 0 then
    parts[1] = format("%s task%s", meters.group(tasks), tasks == 1 and "" or "s")
    parts[2] = self.failed > 0 and format("%s failed", meters.group(self.failed)) or nil
  end
  parts[#parts + 1] = duration(self.seconds)
  return concat(parts, progress.uses_utf8() and " · " or ", ")
end

--- Begins to measure.
---@return lambdapool.repl.Effort
local function start()
  return setmetatable({ began = system.monotonic(), before = schedulers.totals() }, mt)
end

return { start = start }
