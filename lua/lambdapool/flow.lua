--- Flows: the coroutines of `lambdapool.async`, and callbacks. In a flow, waiting yields, and the
--- loop goes on with it when what it waits for is there; so many flows share one thread. Outside of
--- flows, and in coroutines that a flow runs by itself, waiting blocks.

local errors = require "lambdapool.errors"
local interrupt = require "lambdapool.interrupt"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

---@class lambdapool.Flow
---@field thread thread
---@field on_end fun(ok: boolean, ...) called with what the function returned or raised
local flow = {}

-- The flow that runs now.
local current

-- Flows that have not ended, and how many.
local alive, count = {}, 0

local PARKED = {}

--- The flow that runs, when it is itself that asks and can yield: a function that `table.sort` or
--- `string.gsub` calls in it cannot.
---@return lambdapool.Flow?
function flow.running()
  if current and coroutine.running() == current.thread and coroutine.isyieldable() then
    return current
  end
end

local function forget(self)
  if alive[self] then
    alive[self] = nil
    count = count - 1
  end
end

local resume

-- Takes what a resume gave: the flow has ended, is parked, or only lets the others have a turn.
-- Ctrl-C ends more than the flow that it came to: it is raised here, too.
local function sort_out(self, ok, ...)
  if coroutine.status(self.thread) == "dead" then
    forget(self)
    self.on_end(ok, ...)
    if not ok and interrupt.is(...) then
      error((...), 0)
    end
  elseif ... ~= PARKED then
    loop.next_round(resume, self)
  end
end

--- Lets a parked flow go on, until it parks again or ends.
---@param self lambdapool.Flow
function resume(self, ...)
  if coroutine.status(self.thread) ~= "suspended" then
    return -- it was cancelled
  end
  local before <const> = current
  current = self
  local result = table.pack(coroutine.resume(self.thread, ...))
  current = before
  sort_out(self, table.unpack(result, 1, result.n))
end

--- Parks the running flow until somebody calls the function that `arrange` was given, for the
--- first time. Returns what that one passes.
---@param arrange fun(wake: fun(result: any))
---@return any result
function flow.park(arrange)
  local self = current
  local result, woken
  arrange(function(value)
    if not woken then
      woken, result = true, value
      loop.later(resume, self)
    end
  end)
  coroutine.yield(PARKED)
  return result
end

--- Runs fn(...) as a flow until it waits for the first time.
---@param fn function
---@param on_end fun(ok: boolean, ...)
---@return lambdapool.Flow
function flow.start(fn, on_end, ...)
  local self = { thread = coroutine.create(fn), on_end = on_end }
  alive[self] = true
  count = count + 1
  resume(self, ...)
  return self
end

--- Ends a flow that is parked: its to-be-closed variables are closed. False when it runs or has
--- ended. Raises the interrupt that comes meanwhile.
---@param self lambdapool.Flow
---@return boolean
function flow.cancel(self)
  if coroutine.status(self.thread) ~= "suspended" then
    return false
  end
  forget(self)
  local ok, failure = coroutine.close(self.thread)
  if interrupt.is(failure) then
    error(failure, 0)
  elseif not ok then
    loop.raise_later(failure)
  end
  return true
end

--- Waits until every flow has ended.
function flow.drain()
  loop.wait(function() return count == 0 end)
end

-- Errors that nobody was told ------------------------------------------------------------------

-- Whether somebody will look at what is unreported: programs do. In a Lua of somebody else's they
-- would only pile up.
local is_reported = system.guest and function() return false end or function() return true end

-- Futures of flows that raised, as keys, until somebody asks for the error, where it is reported.
local unasked = {}

-- Elsewhere the error is lost with its future, which has one of these. A finalizer is no place to
-- raise it, nor to call anybody: Lua has warnings for that.
local witness = {}

function witness:__gc()
  if not self.was_asked then
    warn("nobody has asked for the error of a flow: " .. errors.message(self.failure))
  end
end

--- Has errors of flows kept for `unreported` while this says true. While it says false, Lua warns
--- of each that nobody can ask for any more.
---@param says fun(): boolean
function flow.report_while(says)
  is_reported = says
end

--- The flow of `future` has raised `failure`, and nobody was told yet.
---@param future lambdapool.Future
---@param failure any
function flow.note_failure(future, failure)
  if is_reported() then
    unasked[future] = true
  else
    future.witness = setmetatable({ failure = failure }, witness)
  end
end

--- Somebody is told the error of `future` now.
---@param future lambdapool.Future
function flow.note_asked(future)
  unasked[future] = nil
  if future.witness then
    future.witness.was_asked = true
    future.witness = nil
  end
end

--- Errors that nobody was told: of flows, and of callbacks. They count as told now.
---@return any[]
function flow.unreported()
  local values = loop.unraised()
  for future in pairs(unasked) do
    values[#values + 1] = future.error
    unasked[future] = nil
  end
  return values
end

return flow
