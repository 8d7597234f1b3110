--- What a function is set to, as far as a pool has to know: asked for once, beside the first
--- invocations; where the pool wants certain settings, those wait for the answer. Who may only
--- invoke the function is not told, and then there is nothing to check. That there is no such
--- function is found by invoking it, too.

local flow = require "lambdapool.flow"
local loop = require "lambdapool.loop"

-- How long invocations wait for it.
local SECONDS = 5

---@class lambdapool.backend.aws.Settings
---@field memory integer? MB of the function, once it is known
---@field timeout integer? seconds
---@field architecture "x86_64"|"arm64"|nil
---@field reserved integer? invocations at a time that are kept for it; 0: it must not run
---@field asked boolean?
---@field private wait lambdapool.Timer? while invocations wait
---@field private ready fun(complaint: string?)
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Settings", __index = methods }

local limits = {
  { option = "memory", unit = "MB" },
  { option = "timeout", unit = "s" },
}

-- What is wrong with a function that has less than the pool's options ask for; nil: nothing.
local function complaint(self)
  for _, limit in ipairs(limits) do
    local name, unit = limit.option, limit.unit
    local want, have = self.wanted[name], self[name]
    if want and have and want > have then
      return ("the pool wants a %s of %g %s, and %s has %g %s\n" ..
        "  run `lambdapool update %s --%s %d`"):format(name, want, unit, self.name, have, unit,
        self.name, name, math.ceil(want))
    end
  end
end

local function take(self, output)
  local configuration, concurrency = output.Configuration or {}, output.Concurrency
  local architectures = configuration.Architectures
  self.memory, self.timeout = configuration.MemorySize, configuration.Timeout
  self.architecture = architectures and architectures[1]
  self.reserved = concurrency and concurrency.ReservedConcurrentExecutions
end

-- Nobody waits any more.
local function stop_waiting(self)
  if self.wait then
    self.wait:cancel()
    self.wait = nil
  end
end

--- Asks for the settings. ready(complaint) is called when they are there, or not to be had, or have
--- taken too long, and perhaps once more; maybe at once.
---@param session lambdapool.aws.Session
---@param qualifier string?
---@param ready fun(complaint: string?)
function methods:ask(session, qualifier, ready)
  self.asked = true
  if next(self.wanted) then
    self.wait = loop.after(SECONDS, function()
      self.wait = nil
      ready()
    end)
  end
  self.flow = flow.start(function()
    return session:lambda():call("GetFunction",
      { FunctionName = self.name, Qualifier = qualifier })
  end, function(ok, output)
    stop_waiting(self)
    if ok then
      take(self, output)
    end
    ready(complaint(self))
  end)
end

--- Whether invocations have to wait.
---@return boolean
function methods:is_awaited()
  return self.wait ~= nil
end

--- Asks no longer.
function methods:close()
  stop_waiting(self)
  if self.flow then
    flow.cancel(self.flow)
  end
end

---@param name string of the function
---@param wanted { memory: number?, timeout: number? } what it must have at least
---@return lambdapool.backend.aws.Settings
local function new(name, wanted)
  return setmetatable({ name = name, wanted = wanted }, mt)
end

return { new = new }
