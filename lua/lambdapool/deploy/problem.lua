--- What is wrong with what a person asked for: a text to read and the exit code that belongs to it.
--- AWS's own refusals are lambdapool.Refusal; both have `exit`.

---@class lambdapool.deploy.Problem
---@field message string
---@field exit integer
local mt = { __name = "lambdapool.deploy.Problem" }

function mt:__tostring()
  return self.message
end

local problem = {
  FAILED = 1, -- it cannot be done
  USAGE = 2, -- it was asked for in the wrong way
  ABSENT = 3, -- what it is about does not exist
}

--- Raises a problem. With arguments the text is a format.
---@param exit integer
---@param text string
function problem.raise(exit, text, ...)
  local message = select("#", ...) > 0 and text:format(...) or text
  error(setmetatable({ message = message, exit = exit }, mt), 0)
end

---@param value any
---@return boolean
function problem.is(value)
  return rawequal(debug.getmetatable(value), mt)
end

return problem
