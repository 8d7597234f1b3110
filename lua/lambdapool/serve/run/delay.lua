--- A line in which everything waits equally long. It needs one timer, however many wait.
local fifo = require "lambdapool.serve.run.fifo"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

---@class lambdapool.serve.Delay
local methods = {}
local mt = { __name = "lambdapool.serve.Delay", __index = methods }

local function arm(self)
  local due = self.dues:first()
  self.timer = due and loop.after(math.max(0, due - system.monotonic()), self.fire)
end

local function run(self)
  local now = system.monotonic()
  while self.dues.size > 0 and self.dues:first() <= now do
    self.dues:pop()
    self.act(self.items:pop())
  end
  arm(self)
end

--- act(item) will be called.
function methods:push(item)
  self.items:push(item)
  self.dues:push(system.monotonic() + self.seconds)
  if not self.timer then
    arm(self)
  end
end

--- Forgets all that wait.
function methods:close()
  if self.timer then
    self.timer:cancel()
  end
  self.items, self.dues = fifo.new(), fifo.new()
end

---@param seconds number
---@param act fun(item: any) must not raise
---@return lambdapool.serve.Delay
local function new(seconds, act)
  local self = setmetatable({
    seconds = seconds, act = act, items = fifo.new(), dues = fifo.new(),
  }, mt)
  self.fire = function()
    run(self)
  end
  return self
end

return { new = new }
