--- Ends of invocations that nothing has answered: they were refused, or cancelled. They come once
--- the loop runs, as those that are answered do, and some at a time.

local frames = require "lambdapool.frames"
local loop = require "lambdapool.loop"

---@class lambdapool.backend.aws.Endings
---@field private list table[] { job, outcome }; those before list.first have ended
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Endings", __index = methods }

local endings = {}

--- Ends a job. Its outcome may bring about new ones.
---@param job lambdapool.backend.aws.Job
---@param outcome table
function endings.finish(job, outcome)
  local done = job.done
  if done then
    job.done = nil
    done(outcome, job.tag)
  end
end

-- One outcome may be that of many.
local function copy(outcome)
  local copied = {}
  for name, value in pairs(outcome) do
    copied[name] = value
  end
  return copied
end

local function finish_some(self)
  local list = self.list
  local first, last = list.first, math.min(#list, list.first + frames.few() - 1)
  list.first = last + 1
  if last < #list then
    loop.after(0, function()
      finish_some(self)
    end)
  else
    self.list = { first = 1 }
  end
  for i = first, last do
    local job, outcome = list[i][1], list[i][2]
    list[i] = false
    endings.finish(job, copy(outcome))
  end
end

--- Ends a job once the loop runs.
---@param job lambdapool.backend.aws.Job
---@param outcome table is copied then
function methods:add(job, outcome)
  local list = self.list
  list[#list + 1] = { job, outcome }
  if #list == 1 then
    loop.after(0, function()
      finish_some(self)
    end)
  end
end

---@return lambdapool.backend.aws.Endings
function endings.new()
  return setmetatable({ list = { first = 1 } }, mt)
end

return endings
