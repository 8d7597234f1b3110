--- Ctrl-C. A program that called `interrupt.catch` gets the first one as an error: the code
--- that runs raises it, in whatever coroutine, or the call that waits, after everything that is
--- under way was cancelled. Code that catches errors may swallow it, in a pcall or a
--- coroutine.resume, and goes on, but every later wait raises it again, and the program counts
--- as interrupted when it ends. The second Ctrl-C kills the process. Without `catch`, in a
--- library, nothing here ever happens.
---
--- A program that lives on calls `interrupt.survive`, too: then it is every Ctrl-C that is
--- caught. One that comes after the error was swallowed is raised in every step of all
--- coroutines; only one that comes while nobody has taken the last one kills.

local system = require "lambdapool.system"

---@class lambdapool.Interrupt
---@field message string "interrupted"
---@field terminated boolean it was SIGTERM
local mt = { __name = "LambdaInterrupt" }

function mt:__tostring()
  return self.message
end

local interrupt = {}

-- What is raised, since the first Ctrl-C; nil before.
local raised

-- Whether the next one is caught, too.
local lasting = false

local cleanup = function() end

-- Ends what is under way.
local function strike(terminated)
  pcall(cleanup)
  raised = setmetatable({ message = "interrupted", terminated = terminated }, mt)
end

--- Takes a Ctrl-C that has come and ends what is under way. True when there was one.
---@return boolean
function interrupt.take()
  local came, terminated = system.interrupted()
  if not came then
    return false
  end
  if lasting and not terminated then
    interrupt.catch()
    if raised then
      -- Somebody has swallowed the error: it is raised in every step of the user's code, until the
      -- program says that it is over.
      system.insist(interrupt.check)
    end
  end
  strike(terminated)
  return true
end

--- Takes a Ctrl-C that is for the caller alone, a line that is being typed: everything else goes
--- on, and the next one is caught. True when there was one. SIGTERM is raised as ever.
---@return boolean
function interrupt.dismiss()
  local came, terminated = system.interrupted()
  if came and terminated then
    strike(true)
    error(raised, 0)
  elseif came then
    interrupt.catch()
  end
  return came
end

--- Raises the interrupt when there was one, now or earlier. Whoever waits calls it in every turn.
function interrupt.check()
  if interrupt.take() or raised then
    error(raised, 0)
  end
end

--- Sets what is to be done once, before the interrupt is raised: end what is under way. In it,
--- waiting works.
---@param fn fun()
function interrupt.on(fn)
  cleanup = fn
end

--- Whether `value` is the error that an interrupt raises.
---@param value any
---@return boolean
function interrupt.is(value)
  return rawequal(debug.getmetatable(value), mt)
end

--- Whether an error came about by an interrupt; one line stands for all of them. A system call that
--- it broke off fails before anybody has looked for the interrupt.
---@param value any
---@return boolean
function interrupt.caused(value)
  return interrupt.is(value) or interrupt.take()
    or raised ~= nil and type(value) == "table" and value.kind == "cancelled"
end

--- Whether there was one.
---@return boolean
function interrupt.came()
  return raised ~= nil
end

--- Whether it was SIGTERM, and no Ctrl-C.
---@return boolean
function interrupt.terminated()
  return raised ~= nil and raised.terminated
end

--- Catches Ctrl-C from now on: for programs. For servers, SIGTERM is the same.
---@param terminations boolean? SIGTERM, too
---@return boolean?
---@return string? message
function interrupt.catch(terminations)
  return system.catch_interrupts(interrupt.check, terminations)
end

--- The program goes on: the last Ctrl-C is over and done with, and the next one is caught.
function interrupt.survive()
  system.insist(nil)
  lasting, raised = true, nil
end

--- From now on the next Ctrl-C kills the process.
function interrupt.release()
  system.catch_interrupts(nil)
end

return interrupt
