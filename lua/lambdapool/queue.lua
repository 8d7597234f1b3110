--- The queue of a scheduler. Its entries are ranges { batch, first, last, attempt }: items first to
--- last of a batch, to be started for the attempt-th time. Both ends are cheap.

local sizer = require "lambdapool.sizer"

---@class lambdapool.Range
---@field batch lambdapool.Batch
---@field first integer
---@field last integer
---@field attempt integer
---@field handovers integer? to how many workers it was handed before that did not begin it
---@field request string? its request, when that was made ahead
---@field popped boolean? it has left the queue, whole: nothing can be added to it

---@class lambdapool.Queue
---@field head integer entries[head] to entries[tail] are the ranges
---@field tail integer
local methods = {}
local mt = { __name = "lambdapool.Queue", __index = methods }

local queue = {}

--- A part of a range as one of its own. It has room for what becomes of every range, as tables grow
--- slowly.
---@param range lambdapool.Range
---@param first integer
---@param last integer
---@return lambdapool.Range
function queue.part(range, first, last)
  return { batch = range.batch, first = first, last = last, attempt = range.attempt,
    request = nil, origins = nil, ticket = nil, place = nil }
end

function methods:push_back(range)
  self.tail = self.tail + 1
  self.entries[self.tail] = range
end

function methods:push_front(range)
  self.head = self.head - 1
  self.entries[self.head] = range
end

local function pop_front(self)
  local range = self.entries[self.head]
  self.entries[self.head] = nil
  self.head = self.head + 1
  range.popped = true
  return range
end

--- The next range, which stays; nil when there is none.
---@return lambdapool.Range?
function methods:first()
  return self.entries[self.head]
end

function methods:is_empty()
  return self.head > self.tail
end

-- Leaves out items at the beginning of a range that were cancelled. False when none is left.
local function skip_dropped(range)
  local dropped = range.batch.dropped
  while dropped and range.first <= range.last and dropped[range.first] do
    range.first = range.first + 1
  end
  return range.first <= range.last
end

-- The last item of `range` that goes with its first.
local function end_of_chunk(range, workers)
  local last = math.min(range.last, range.first + sizer.size(range.batch, range, workers) - 1)
  local dropped = range.batch.dropped
  for i = range.first + 1, dropped and last or 0 do
    if dropped[i] then
      return i - 1
    end
  end
  return last
end

--- Takes the next piece of work: a range that fits one invocation. Items that need not be run any
--- more end on the way.
---@param workers integer
---@return lambdapool.Range?
function methods:take(workers)
  while self.head <= self.tail do
    local range = self.entries[self.head]
    local batch, first = range.batch, range.first
    if batch:is_moot(first) then
      pop_front(self)
      batch:skip(first, range.last)
    elseif not skip_dropped(range) then
      pop_front(self)
    elseif range.request and not batch.dropped then
      return pop_front(self)
    else
      range.request = nil -- one of its items may have been cancelled since
      local last = end_of_chunk(range, workers)
      if last == range.last then
        return pop_front(self)
      end
      first = range.first
      range.first = last + 1
      return queue.part(range, first, last)
    end
  end
end

--- Takes out all ranges of a call, or all there are.
---@param call lambdapool.Call?
---@return lambdapool.Range[]
function methods:remove(call)
  local removed, entries, head, tail = {}, self.entries, self.head, self.tail
  self.entries, self.head, self.tail = {}, 1, 0
  for i = head, tail do
    local range = entries[i]
    if call and range.batch.call ~= call then
      self:push_back(range)
    else
      range.popped = true
      removed[#removed + 1] = range
    end
  end
  return removed
end

---@return lambdapool.Queue
function queue.new()
  return setmetatable({ entries = {}, head = 1, tail = 0 }, mt)
end

return queue
