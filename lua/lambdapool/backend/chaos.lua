--- Faults on purpose: a backend in front of another one that makes some invocations fail, so that
--- users can try their retry policies and tests can prove the pool's contract. The option is
---
---   chaos = { crash = 0.05, delay = 0.05, throttle = 0.05, lose = 0.05, seed = 1 }
---
---   crash     share of invocations whose worker is killed, really, while or right after it runs
---   lose      share whose answer is lost; it arrives late, when nobody waits for it any more
---   throttle  share that is refused before it starts
---   delay     share whose answer is held back, by up to `seconds`
---   seconds   default 0.01
---   seed      the same faults for the same invocations; default: others each time
---
--- The shares are of invocations, which may carry many small tasks: chunksize = 1 makes them shares
--- of tasks. An invocation has one fault at most.

local loop = require "lambdapool.loop"
local options = require "lambdapool.options"
local system = require "lambdapool.system"

local rules = {
  crash = { "share", default = 0 },
  lose = { "share", default = 0 },
  throttle = { "share", default = 0 },
  delay = { "share", default = 0 },
  seconds = { "seconds", default = 0.01 },
  seed = { "integer", min = math.mininteger },
}

local kinds = { "crash", "lose", "throttle", "delay" }

-- A worker that is to crash is killed within so many seconds, if it runs so long.
local CRASH_WITHIN = 0.005

---@class lambdapool.Chaos
local methods = {}

-- The next random number, from 0 to 1. splitmix64: Steele, Lea, Flood 2014.
local function random(self)
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return ((z ~ (z >> 31)) >> 11) * 2.0 ^ -53
end

-- What befalls the next invocation, or nil.
local function draw(self)
  local dice = random(self)
  for _, kind in ipairs(kinds) do
    dice = dice - self.shares[kind]
    if dice < 0 then
      return kind
    end
  end
end

-- Calls f() after so many seconds, if there is still a pool then.
local function after(self, seconds, f)
  local timer
  timer = loop.after(seconds, function()
    self.timers[timer] = nil
    f()
  end)
  self.timers[timer] = true
  return timer
end

local faults = {}

-- Refused: nothing starts.
function faults.throttle(self, _, _, done, tag)
  local ticket = {}
  after(self, 0, function()
    self.pending[ticket] = nil
    done({ kind = "throttled", message = "throttled on purpose" }, tag)
  end)
  self.pending[ticket] = true
  return ticket
end

-- The answer comes late.
function faults.delay(self, request, call, done, tag)
  local seconds = random(self) * self.shares.seconds
  return self.backend:invoke(request, call, function(outcome)
    after(self, seconds, function() done(outcome, tag) end)
  end)
end

-- The answer is lost, and arrives after all.
function faults.lose(self, request, call, done, tag)
  local seconds = random(self) * self.shares.seconds
  return self.backend:invoke(request, call, function(outcome)
    after(self, seconds, function() done(outcome, tag) end)
    done({ kind = "lost", message = "lost on purpose", worker = outcome.worker,
      request_id = outcome.request_id }, tag)
  end)
end

-- An answer that came before the kill: as if the worker had died over its last task.
local function crash_after(outcome, ticket)
  if ticket.worker then -- it is a process of ours
    loop.kill(ticket.worker.id)
  end
  return {
    kind = "crashed",
    message = "killed on purpose",
    worker = outcome.worker,
    request_id = outcome.request_id,
  }
end

function faults.crash(self, request, call, done, tag)
  local ticket, message, timer
  ticket, message = self.backend:invoke(request, call, function(outcome)
    timer:cancel()
    self.timers[timer] = nil
    done(outcome.bytes and crash_after(outcome, ticket) or outcome, tag)
  end)
  if ticket then
    timer = after(self, random(self) * CRASH_WITHIN, function()
      self.backend:kill(ticket)
    end)
  end
  return ticket, message
end

function methods:invoke(request, call, done, tag)
  local fault = draw(self)
  if fault then
    return faults[fault](self, request, call, done, tag)
  end
  return self.backend:invoke(request, call, done, tag)
end

-- What is refused does not start: there is nothing to be stopped.
function methods:cancel(ticket)
  return self.pending[ticket] or self.backend:cancel(ticket)
end

function methods:progress(ticket)
  if not self.pending[ticket] then
    return self.backend:progress(ticket)
  end
end

function methods:cut(ticket, n)
  if not self.pending[ticket] then
    return self.backend:cut(ticket, n)
  end
end

function methods:retire(ticket)
  self.backend:retire(ticket)
end

-- Everything else is the other backend's.
local function forward(name)
  methods[name] = function(self)
    return self.backend[name](self.backend)
  end
end

forward "alive"
forward "started"

-- What not every backend has.
function methods:costs()
  return self.backend.costs and self.backend:costs()
end

function methods:complain_of_module(module)
  local complain = self.backend.complain_of_module
  return complain and complain(self.backend, module)
end

-- Nobody waits for answers any more.
local function forget_late(self)
  for timer in pairs(self.timers) do
    timer:cancel()
  end
  self.timers = {}
end

function methods:close()
  self.backend:close()
  forget_late(self)
end

function methods:abandon()
  self.backend:abandon()
  forget_late(self)
end

local mt = { __name = "lambdapool.Chaos", __index = methods }

---@param backend table
---@param where string for complaints
---@param given table the option
---@param level integer
---@return lambdapool.Chaos
local function new(backend, where, given, level)
  local shares = options.check(where .. ": chaos", given, rules, level + 1)
  if shares.crash + shares.lose + shares.throttle + shares.delay > 1 then
    error(where .. ": chaos: the shares are more than 1 together", level + 1)
  end
  return setmetatable({
    backend = backend,
    workers = backend.workers,
    opaque = backend.opaque,
    overhead_us = backend.overhead_us,
    shares = shares,
    state = shares.seed or system.now(),
    pending = {}, -- tickets of what is about to be refused
    timers = {},
  }, mt)
end

return { new = new }
