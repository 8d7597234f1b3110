--- How a command ends early: with a message for people and an exit code. What libraries raise and
--- has `exit`, as refusals of AWS do, ends it in the same way.

---@class lambdapool.cli.Failure
---@field message string
---@field exit integer
---@field usage boolean? the command line was wrong
local mt = { __name = "lambdapool.cli.Failure" }

function mt:__tostring()
  return self.message
end

local failure = { FAILED = 1, USAGE = 2, INTERRUPTED = 130, TERMINATED = 143 }

---@param text string
---@param exit integer
---@param usage boolean?
---@return lambdapool.cli.Failure
function failure.new(text, exit, usage)
  return setmetatable({ message = text, exit = exit, usage = usage }, mt)
end

--- Whether it says that the command line was wrong.
---@param value any
---@return boolean
function failure.is_usage(value)
  return rawequal(debug.getmetatable(value), mt) and value.usage == true
end

--- Ends the command with a message on stderr.
---@param text string
---@param exit integer? 1
function failure.fail(text, exit)
  error(failure.new(text, exit or failure.FAILED), 0)
end

--- Ends the command because of what it was given; points to its help.
---@param text string
function failure.usage(text)
  error(failure.new(text, failure.USAGE, true), 0)
end

return failure
