--- How many invocations may be under way at a time. Lambda starts up to 1,000 environments of a
--- function at once and 100 more each second; and an account, a function or its callers have limits
--- that nobody tells us, but for refusing what is beyond (429). So there are two bounds:
---
---   grown   1,000 at first, more as time goes by while it is used up
---   window  all workers at first. What is refused makes it smaller, down to what runs; as long as
---           nothing is refused it grows again, by one and a tenth of itself each second
---
--- A refused invocation did not run. When nothing else runs either, there is nothing to wait for:
--- then the next attempt comes after a while that the service names, or that grows.

---@class lambdapool.backend.aws.Pacing
---@field workers integer
---@field window number
---@field grown number
---@field looked number when `grown` was last looked at
---@field refused number? when something was refused last
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Pacing", __index = methods }

-- What Lambda starts at once, and each second.
local BURST, BURST_RATE = 1000, 100

-- The window grows again so long after a refusal, so much each second.
local PATIENCE = 0.5
local GROWTH, SHARE = 1, 0.1

local function grow(self, now)
  local passed = now - self.looked
  if passed > 0 then
    self.looked = now
    if self.grown < self.workers then
      self.grown = math.min(self.workers, self.grown + BURST_RATE * passed)
    end
    if self.refused and now - self.refused > PATIENCE then
      self.window = math.min(self.workers, self.window + (GROWTH + SHARE * self.window) * passed)
    end
  end
end

-- Nothing accrues while it is not needed.
local function is_needed(self, running)
  return running >= math.floor(math.min(self.window, self.grown)) - 1
end

--- Whether one more may be sent while so many are under way.
---@param running integer
---@param now number
---@return boolean
function methods:allows(running, now)
  if self.window >= self.workers and self.grown >= self.workers then
    return true
  elseif is_needed(self, running) then
    grow(self, now)
  else
    self.looked = now
  end
  return running < math.floor(self.window) and running < math.floor(self.grown)
end

--- Seconds until one more may be sent, when that takes nothing but time.
---@param running integer
---@return number
function methods:delay(running)
  if running >= math.floor(self.grown) then
    return 1 / BURST_RATE
  end
  return 1 / (GROWTH + SHARE * self.window)
end

--- One was refused, and so many others are under way.
---@param running integer
---@param now number
function methods:refuse(running, now)
  self.window = math.max(1, math.min(self.window, running))
  self.looked, self.refused = now, now
end

---@param workers integer
---@param now number
---@return lambdapool.backend.aws.Pacing
local function new(workers, now)
  return setmetatable({
    workers = workers,
    window = workers,
    grown = math.min(workers, BURST),
    looked = now,
  }, mt)
end

return { new = new }
