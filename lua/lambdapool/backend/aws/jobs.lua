--- Invocations that wait to be sent: in a row, or each for its next attempt. A job that is
--- withdrawn stays in the row until its turn comes, and is left out then.

local loop = require "lambdapool.loop"

---@class lambdapool.backend.aws.Job
---@field request string
---@field done fun(outcome: table, tag: any)? nil once it has ended
---@field tag any
---@field seconds number the longest that its transfer may take
---@field tries integer? how often it was put off
---@field since number? when it was put off first
---@field renewed boolean? it was sent again with new credentials or another time
---@field transfer table? while it is under way
---@field sent number? when, the last time
---@field credentials table? that it was sent with
---@field place integer? in the bag of those that are under way
---@field withdrawn boolean? it is not to be sent any more

---@class lambdapool.backend.aws.Jobs
---@field row lambdapool.backend.aws.Job[] from row[head] to row[tail]
---@field held table<lambdapool.backend.aws.Job, lambdapool.Timer>
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Jobs", __index = methods }

function methods:push_back(job)
  self.tail = self.tail + 1
  self.row[self.tail] = job
end

function methods:push_front(job)
  self.head = self.head - 1
  self.row[self.head] = job
end

local function drop_first(self)
  local job = self.row[self.head]
  self.row[self.head] = nil
  self.head = self.head + 1
  return job
end

--- Whether one waits in the row.
---@return boolean
function methods:any()
  local job = self.row[self.head]
  while job and job.withdrawn do
    drop_first(self)
    job = self.row[self.head]
  end
  return job ~= nil
end

--- The first of the row, which leaves it. Look with `any` before.
---@return lambdapool.backend.aws.Job
function methods:pop()
  return drop_first(self)
end

--- Puts a job in front of the row after `seconds`, and calls ready() then.
---@param job lambdapool.backend.aws.Job
---@param seconds number
---@param ready fun()
function methods:hold(job, seconds, ready)
  self.held[job] = loop.after(seconds, function()
    self.held[job] = nil
    self:push_front(job)
    ready()
  end)
end

--- A job that waits is not to be sent any more.
function methods:withdraw(job)
  job.withdrawn = true
  if self.held[job] then
    self.held[job]:cancel()
    self.held[job] = nil
  end
end

--- Takes out all there are.
---@return lambdapool.backend.aws.Job[]
function methods:take_all()
  local all = {}
  while self:any() do
    all[#all + 1] = drop_first(self)
  end
  for job, timer in pairs(self.held) do
    timer:cancel()
    all[#all + 1] = job
  end
  self.row, self.head, self.tail, self.held = {}, 1, 0, {}
  return all
end

--- Makes a job, with room for what is to come: tables that grow cost more than anything here.
---@param request string
---@param seconds number
---@param done fun(outcome: table, tag: any)
---@param tag any
---@return lambdapool.backend.aws.Job
local function job(request, seconds, done, tag)
  return { request = request, done = done, tag = tag, seconds = seconds, sent = nil, place = nil,
    transfer = nil, credentials = nil }
end

---@return lambdapool.backend.aws.Jobs
local function new()
  return setmetatable({ row = {}, head = 1, tail = 0, held = {} }, mt)
end

return { new = new, job = job }
