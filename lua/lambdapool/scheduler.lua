--- The scheduler: one per pool or executor. It owns the queue, cuts batches into invocations,
--- keeps the backend's workers busy and sees to it that every item ends exactly once. Items that
--- certainly never started go back to the head of the queue; nothing else runs twice.

local codec = require "lambdapool.codec"
local system = require "lambdapool.system"

-- An invocation that its worker never took goes to another one, so often and no more.
local HANDOVERS = 3

-- Answers of so many bytes are decoded when the worker has its next task already. Smaller ones are
-- decoded first: they may hold an error that makes the next task needless.
local LARGE_ANSWER = 4096

-- Workers that print without end must not keep the host from going on.
local EVENTS_AT_ONCE = 1000

---@class lambdapool.Scheduler
local methods = {}
local mt = { __name = "lambdapool.Scheduler", __index = methods }

-- The queue ----------------------------------------------------------------------------------
-- Its entries are ranges { batch, first, last, size }: items first to last of a batch, to be
-- invoked `size` at a time. It lies between head and tail, so both ends are cheap.

local function push_back(self, range)
  self.tail = self.tail + 1
  self.queue[self.tail] = range
end

local function push_front(self, range)
  self.head = self.head - 1
  self.queue[self.head] = range
end

local function pop_front(self)
  local range = self.queue[self.head]
  self.queue[self.head] = nil
  self.head = self.head + 1
  return range
end

-- Takes the next piece of work off the queue: a range that fits one invocation.
local function take(self)
  while self.head <= self.tail do
    local range = self.queue[self.head]
    local batch, first = range.batch, range.first
    if batch:is_moot(first) then
      pop_front(self)
      batch:skip(first, range.last)
    elseif range.last - first < range.size then
      return pop_front(self)
    else
      range.first = first + range.size
      return { batch = batch, first = first, last = range.first - 1, size = range.size }
    end
  end
end

-- Invocations --------------------------------------------------------------------------------

-- Makes the request of a range. Returns false when there is nothing to send any more: the range
-- was refused, or was too large and is in the queue again in halves.
local function encode(self, range)
  local batch, first, last = range.batch, range.first, range.last
  local ok, request, origins = pcall(codec.request, batch.code, batch.items, first, last,
    batch.request)
  if not ok then
    batch:refuse(first, last, request)
  elseif request then
    range.request, range.origins = request, origins
    return true
  elseif first == last then
    batch:fail(first, last, "too_large", ("its request has %d bytes, and the limit is %d")
      :format(origins, codec.limits.request))
  else
    push_front(self, { batch = batch, first = first, last = last, size = (last - first + 2) // 2 })
  end
  return false
end

local function settle_response(self, range, outcome)
  local batch, first, last = range.batch, range.first, range.last
  local ok, report, failures = pcall(codec.response, outcome.bytes, batch.code, range.origins,
    batch.columns, first - 1)
  if not ok then
    return batch:fail(first, last, "lost", "the answer of the worker is damaged: " ..
      tostring(report), outcome)
  elseif report.done == 0 then
    return batch:fail(first, last, "lost", "the worker answered without running the task", outcome)
  end
  local ran = first + report.done - 1
  if ran < last then
    push_front(self, { batch = batch, first = ran + 1, last = last, size = last - ran })
  end
  batch:complete(first, ran, report, failures, outcome)
end

local function settle(self, range, outcome)
  self.running[range] = nil
  self.busy = self.busy - 1
  if outcome.bytes then
    if #outcome.bytes >= LARGE_ANSWER then
      self:dispatch()
    end
    settle_response(self, range, outcome)
  elseif outcome.not_started and range.handovers < HANDOVERS then
    push_front(self, range)
  else
    range.batch:fail(range.first, range.last, outcome.kind, outcome.message, outcome)
  end
  self:dispatch()
end

local function send(self, range)
  self.running[range] = true
  self.busy = self.busy + 1
  range.handovers = (range.handovers or 0) + 1
  local ok, message = self.backend:invoke(range.request, range.batch.request, function(outcome)
    settle(self, range, outcome)
  end)
  if not ok then
    self.running[range] = nil
    self.busy = self.busy - 1
    range.batch:fail(range.first, range.last, "lost", message)
  end
end

--- Hands work to free workers, as long as there is any. When all are busy, encodes the next request
--- already: the worker that ends first need not wait for it.
function methods:dispatch()
  local range = take(self)
  while range do
    if not range.request and not encode(self, range) then
      range = take(self)
    elseif self.busy < self.backend.workers then
      send(self, range)
      range = take(self)
    else
      return push_front(self, range)
    end
  end
end

--- Dispatches from a method that the user called. First takes in what has happened since the last
--- one: an idle worker that has died meanwhile must not get the work.
function methods:start()
  self:pump()
  self:dispatch()
end

--- Queues a batch, `size` items to an invocation.
---@param batch lambdapool.Batch
---@param size integer
function methods:add(batch, size)
  if self.ended then
    batch:fail(1, batch.n, "cancelled", "the pool was terminated")
  elseif batch.n > 0 then
    push_back(self, { batch = batch, first = 1, last = batch.n, size = size })
    self:start()
  end
end

--- Queues a batch that is one invocation and encodes it now, so that what the caller does to the
--- arguments later makes no difference. What cannot be sent is in batch.refusal at once.
---@param batch lambdapool.Batch
function methods:add_encoded(batch)
  local range = { batch = batch, first = 1, last = batch.n, size = batch.n }
  if self.ended then
    batch:fail(1, batch.n, "cancelled", "the pool was terminated")
  elseif encode(self, range) then
    push_back(self, range)
  end
  self:start()
end

-- Waiting and ending -------------------------------------------------------------------------

--- Drives the workers until `ready` says true or `seconds` have passed; returns what it says.
---@param ready fun(): boolean
---@param seconds number?
---@return boolean
function methods:wait(ready, seconds)
  local limit = seconds and system.monotonic() + seconds
  while not ready() do
    local left = limit and limit - system.monotonic()
    if left and left <= 0 then
      self:pump()
      return ready()
    elseif not self.backend:poll(left) and not left then
      error("lambdapool: waiting for a task while no worker is alive", 0)
    end
  end
  return true
end

--- Takes in what has happened meanwhile, without waiting.
function methods:pump()
  local events = 0
  while self.backend:poll(0) and events < EVENTS_AT_ONCE do
    events = events + 1
  end
end

--- Waits until everything that was queued has ended, then ends the workers.
function methods:drain()
  self:wait(function() return self.busy == 0 and self.head > self.tail end)
  self.backend:close()
end

--- Drops what is queued and not yet sent: it ends as cancelled.
---@param message string
function methods:cancel_queued(message)
  while self.head <= self.tail do
    local range = pop_front(self)
    range.batch:fail(range.first, range.last, "cancelled", message)
  end
end

--- Kills the workers at once. Everything that has not ended is cancelled.
function methods:terminate()
  self.ended = true
  local running = self.running
  self.running, self.busy = {}, 0
  self.backend:close()
  for range in pairs(running) do
    range.batch:fail(range.first, range.last, "cancelled", "the pool was terminated")
  end
  self:cancel_queued "the pool was terminated"
end

-- Futures hold on to the scheduler, and a running invocation does too: when it is collected,
-- nobody waits for anything, and warm workers are of no more use.
function mt:__gc()
  pcall(self.backend.abandon, self.backend)
end

---@param backend table
---@return lambdapool.Scheduler
local function new(backend)
  return setmetatable({
    backend = backend,
    queue = {},
    head = 1,
    tail = 0,
    busy = 0,
    running = {},
  }, mt)
end

return { new = new }
