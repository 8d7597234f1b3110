--- The scheduler: one per pool or executor. It owns the queue, cuts batches into invocations, keeps
--- the backend's workers busy and sees to it that every item ends exactly once. Items that
--- certainly never started go back to the head of the queue; nothing else runs twice unless a retry
--- policy says so.

local bags = require "lambdapool.bag"
local codec = require "lambdapool.codec"
local completion = require "lambdapool.completion"
local frames = require "lambdapool.frames"
local interrupt = require "lambdapool.interrupt"
local loop = require "lambdapool.loop"
local outcomes = require "lambdapool.outcome"
local queue = require "lambdapool.queue"
local sizer = require "lambdapool.sizer"
local system = require "lambdapool.system"
local tallies = require "lambdapool.tally"

-- Answers of so many bytes are decoded when the worker has its next task already. Smaller ones are
-- decoded first: they may hold an error that makes the next task needless.
local LARGE_ANSWER = 4096

-- An invocation that takes longer than this may have tasks taken back by idle workers.
local PATIENCE = 0.005

-- While all workers are busy, the user's calls look for answers no more often than this.
local GLANCE = 0.0005

---@class lambdapool.Scheduler
local methods = {}
local mt = { __name = "lambdapool.Scheduler", __index = methods }

-- Every scheduler that is alive, for interrupts; and the tallies of those that are not, added up.
local schedulers = setmetatable({}, { __mode = "k" })
local past = tallies.new()

-- Invocations --------------------------------------------------------------------------------

-- How the requests of a batch are made: the same for all of them.
local function request_options(batch)
  local call = batch.call
  local options = {
    star = call.star,
    encoded = batch.encoded,
    records = batch.records,
    timeout_ms = call.timeout_ms,
    stop_ms = sizer.stop_ms(call),
    soft_limit = sizer.request_bytes(),
    seed = call.seed,
    json = call.json,
    position = batch.seeds,
  }
  batch.request_options = options
  return options
end

-- Makes the request of a range. Returns false when there is nothing to send: it was refused.
local function encode(self, range)
  local batch, first, last = range.batch, range.first, range.last
  local ok, request, origins, taken = pcall(codec.request, batch.call.code, batch.items, first,
    last, batch.request_options or request_options(batch))
  if not ok then
    batch:refuse(first, last, request)
    return false
  elseif not request then
    batch:fail(first, first, "too_large", ("its request has %d bytes, and the limit is %d"):format(
      origins, codec.limits.request))
    taken = first
  end
  if taken < last then
    self.queue:push_front(queue.part(range, taken + 1, last))
    range.last = taken
  end
  range.request, range.origins = request, origins
  return request ~= nil
end

-- Hands a range to a worker. False when none can be started now: it is in the queue again.
local function send(self, range)
  local batch = range.batch
  local size = range.last - range.first + 1
  if size > 1 and not self.backend.opaque then
    range.sent = system.monotonic()
  end
  local ticket, message = self.backend:invoke(range.request, batch.call, self.on_outcome, range)
  if not ticket and self.busy > 0 then -- those that run will be free
    self.queue:push_front(range)
    return false
  elseif not ticket then
    batch:fail(range.first, range.last, "lost", message)
    return true
  end
  range.ticket = ticket
  self.running:add(range)
  self.busy = self.busy + 1
  loop.expect(1)
  local counts = self.counts
  counts.invocations = counts.invocations + 1
  counts.bytes_sent = counts.bytes_sent + #range.request
  tallies.add(batch.call, "running", size)
  return true
end

-- Nothing is queued, delayed or running: whoever waits for that may go on, and workers that get no
-- more tasks end.
local function check_idle(self)
  if self.closed and self.backend:alive() > 0 and self:is_idle() then
    self.backend:abandon()
  end
  if self.idle and self:is_idle() then
    local idle = self.idle
    self.idle = nil
    completion.finish(idle)
  end
end

-- Takes tasks that have not begun back from the invocation that would need longest for them.
-- Returns them, or nil when no worker has any to spare.
local function steal(self)
  if self.backend.opaque then
    return nil
  end
  local now, best, most = system.monotonic(), nil, 0
  for _, range in ipairs(self.running) do
    local call = range.batch.call
    local begun = not call.size and range.first < range.last and not range.void
      and self.backend:progress(range.ticket)
    local left = begun and range.last - range.first + 1 - begun or 0
    if left > most
      and (now - range.sent > PATIENCE or left * (call.cost or 0) > PATIENCE * 1e6) then
      best, most = range, left
    end
  end
  if not best then
    return nil
  end
  local count = best.last - best.first + 1
  local keep = count - (most + 1) // 2
  local begun = self.backend:cut(best.ticket, keep)
  keep = begun and math.max(keep, begun) or count
  if keep >= count then
    return nil
  end
  local stolen = queue.part(best, best.first + keep, best.last)
  best.last = best.first + keep - 1
  tallies.add(best.batch.call, "running", keep - count)
  return stolen
end

-- Idle workers look again, whether a task that takes long holds up others, while there are some.
local function look_again(self)
  if self.backend.opaque then
    return
  end
  for _, range in ipairs(self.running) do
    if not range.batch.call.size and range.first < range.last and not self.looking then
      self.looking = loop.after(PATIENCE, function()
        self.looking = nil
        self:dispatch()
      end)
    end
  end
end

local function feed_idle(self)
  while self.busy > 0 and self.busy < self.backend.workers do
    local range = steal(self)
    if not range then
      return look_again(self)
    elseif encode(self, range) and not send(self, range) then
      return
    end
  end
end

-- Whether the next request can be made while all workers are busy. Tasks that are submitted one by
-- one are left alone: more may join them. Between frames there is time enough, and no hurry.
local function can_prepare(self)
  local range = self.queue:first()
  return range and not range.request and not range.batch.growing and not frames.kept
end

--- Hands work to free workers, as long as there is any. When all are busy, encodes the next request
--- already: the worker that ends first need not wait for it.
function methods:dispatch()
  while self.busy < self.backend.workers or can_prepare(self) do
    local range = self.queue:take(self.backend.workers)
    if not range then
      break
    elseif range.request or encode(self, range) then
      if self.busy >= self.backend.workers then
        self.queue:push_front(range)
        break
      elseif not send(self, range) then
        break
      end
    end
  end
  feed_idle(self)
  check_idle(self)
end

-- Answers -------------------------------------------------------------------------------------

--- Starts the items of a range after a while.
---@param range lambdapool.Range
---@param seconds number
function methods:start_later(range, seconds)
  local timer
  timer = loop.after(seconds, function()
    self.delayed[timer] = nil
    self.queue:push_front(range)
    self:dispatch()
  end)
  self.delayed[timer] = range
end

-- The worker of a range is free again.
local function release(self, range)
  self.running:remove(range)
  self.busy = self.busy - 1
  loop.expect(-1)
  if not range.void then
    tallies.add(range.batch.call, "running", range.first - range.last - 1)
  end
end

-- The worker of a range could not be started. One that is free takes it, or one that will be; when
-- there are none, there will be none.
local function take_back(self, range, message)
  local counts = self.counts
  counts.invocations = counts.invocations - 1
  counts.bytes_sent = counts.bytes_sent - #range.request
  local alive = self.backend:alive()
  if alive > 0 then
    self.queue:push_front(range)
  else
    range.request, range.origins = nil, nil
    range.batch:fail(range.first, range.last, "lost", message)
  end
  if alive > self.busy or alive == 0 then
    self:dispatch()
  end
end

-- What has come of a range, whose worker is free again.
local function take(self, range, outcome)
  self.settling = self.settling - (outcome.is_put_off and 1 or 0)
  outcomes.settle(self, range, outcome)
  range.request, range.origins = nil, nil -- the batch may hold on to the range
  self:dispatch()
  if range.batch.call.line then
    range.batch.call.line:update()
  end
end

-- Where a frame may be due, giving the worker its next task and reading the answer are pieces of
-- work of their own.
local function take_later(self, range, outcome)
  self.settling = self.settling + 1
  outcome.is_put_off = true
  loop.later(self.dispatch, self)
  loop.later(function()
    take(self, range, outcome)
  end)
end

--- The end of an invocation. The first outcome counts; a late one is dropped.
local function settle(self, range, outcome)
  local counts = self.counts
  if not range.place then
    counts.duplicates = counts.duplicates + (range.void and 0 or 1)
    return outcomes.release(outcome)
  end
  release(self, range)
  if range.void then
    outcomes.release(outcome)
    return self:dispatch()
  elseif outcome.unsent then
    return take_back(self, range, outcome.message)
  elseif outcome.bytes then
    counts.bytes_received = counts.bytes_received + #outcome.bytes
    if frames.kept and loop.puts_off() then
      return take_later(self, range, outcome)
    elseif #outcome.bytes >= LARGE_ANSWER then
      self:dispatch()
    end
  end
  take(self, range, outcome)
end

-- What the user's calls do ----------------------------------------------------------------------

--- Dispatches from a method that the user called. First takes in what has happened since the last
--- one, unless a frame waits: an idle worker that has died meanwhile should not get the work.
function methods:start()
  if frames.kept then
    return self:dispatch()
  end
  local now = system.monotonic()
  if self.busy < self.backend.workers or now > self.glanced + GLANCE then
    self.glanced = now
    loop.glance()
    self:dispatch()
  end
end

--- Queues the items of a batch from `first` to `last`.
---@param batch lambdapool.Batch
---@param first integer
---@param last integer
function methods:add(batch, first, last)
  tallies.add(batch.call, "tasks", last - first + 1)
  if self.ended then
    return batch:fail(first, last, "cancelled", self.ended)
  end
  local range = batch.tail
  if last >= first then
    if range and not range.popped and range.last == first - 1 then
      range.last = last
    else
      batch.tail = { batch = batch, first = first, last = last, attempt = 1 }
      self.queue:push_back(batch.tail)
    end
    self:start()
  end
end

--- True when every task has ended.
---@return boolean
function methods:is_idle()
  return self.busy == 0 and self.settling == 0 and self.queue:is_empty()
    and next(self.delayed) == nil
end

--- All of an answer has been read that was read in pieces.
function methods:settled()
  self.settling = self.settling - 1
  check_idle(self)
end

--- Waits until everything that was queued has ended, then ends the workers.
function methods:drain()
  if not self:is_idle() then
    self.idle = self.idle or {}
    completion.await(self.idle)
  end
  self:stop()
end

--- The user adds no more tasks: workers end when all have ended.
function methods:close()
  self.closed = true
  check_idle(self)
end

--- Ends the workers; no task is left, or none is wanted any more.
function methods:stop()
  if self.looking then
    self.looking:cancel()
    self.looking = nil
  end
  self.backend:close()
end

-- Cancelling --------------------------------------------------------------------------------

-- The range under way that has item `i` of `batch`.
local function range_of(self, batch, i)
  for _, range in ipairs(self.running) do
    if range.batch == batch and range.first <= i and i <= range.last and not range.void then
      return range
    end
  end
end

--- True when the item has been handed to a worker and, as far as that is known, has begun.
function methods:is_running(batch, i)
  local range = range_of(self, batch, i)
  if not range then
    return false
  end
  local begun = self.backend:progress(range.ticket)
  return not begun or i < range.first + begun
end

--- Cancels an item that has not ended: one in the queue is not sent, one that runs is stopped and
--- its worker replaced. False when it has ended already and only its result is on the way, or the
--- backend cannot stop it. Where nobody sees which items of an invocation have ended, one of
--- several goes on there, and its result is not looked at.
---@param batch lambdapool.Batch
---@param i integer
---@return boolean
function methods:cancel(batch, i)
  local range = range_of(self, batch, i)
  local may_run = range ~= nil
  if range and not (self.backend.opaque and range.first < range.last) then
    local place = i - range.first + 1
    local begun = self.backend:cut(range.ticket, place - 1)
    local _, finished = self.backend:progress(range.ticket)
    may_run = not begun or place <= begun
    if finished and place <= finished or may_run and not self.backend:cancel(range.ticket) then
      return false
    end
  end
  batch:drop(i, may_run)
  self:dispatch()
  return true
end

-- Ends what is queued or waits for its next attempt, of one call or of all.
local function cancel_queued(self, call, message)
  for _, range in ipairs(self.queue:remove(call)) do
    range.batch:fail(range.first, range.last, "cancelled", message)
  end
  for timer, range in pairs(self.delayed) do
    if not call or range.batch.call == call then
      timer:cancel()
      self.delayed[timer] = nil
      range.batch:fail(range.first, range.last, "cancelled", message)
    end
  end
end

-- Cancels the items of a range under way, of which so many have begun; nil: all, perhaps.
local function fail_running(range, begun, message)
  local last = begun and math.min(range.first + begun - 1, range.last) or range.last
  if range.first <= last then
    range.batch:fail(range.first, last, "cancelled", message, true)
  end
  if last < range.last then
    range.batch:fail(last + 1, range.last, "cancelled", message)
  end
end

-- Ends what runs, of one call or of all. Its workers are killed; gently, only those that cannot end
-- their tasks.
local function cancel_running(self, call, message, gently)
  local cancel = gently and self.backend.stop or self.backend.cancel
  for _, range in ipairs(table.move(self.running, 1, self.running.count, 1, {})) do
    if not range.void and (not call or range.batch.call == call) then
      range.void = true
      tallies.add(range.batch.call, "running", range.first - range.last - 1)
      local begun = self.backend:progress(range.ticket)
      cancel(self.backend, range.ticket)
      fail_running(range, begun, message)
    end
  end
end

--- Cancels everything of a call, or of all calls, that has not ended: what is queued and what runs.
---@param call lambdapool.Call?
---@param message string
---@param gently boolean? workers that can end their tasks live on
function methods:cancel_call(call, message, gently)
  cancel_queued(self, call, message)
  cancel_running(self, call, message, gently)
  self:dispatch()
end

--- Cancels what has not been sent to a worker.
---@param message string
function methods:cancel_queued(message)
  cancel_queued(self, nil, message)
  check_idle(self)
end

--- Takes no more tasks and cancels what has not ended; the workers are killed.
---@param message string
function methods:terminate(message)
  self.ended = self.ended or message
  cancel_queued(self, nil, message)
  cancel_running(self, nil, message)
  while self.running.count > 0 do
    release(self, self.running[self.running.count])
  end
  self:stop()
  check_idle(self)
end

-- Seeing it -----------------------------------------------------------------------------------

--- A call of the user's on this scheduler; see lambdapool.batch.
---@param call table code and star, and what differs from the scheduler's defaults
---@return lambdapool.Call
function methods:call(call)
  call.timeout_ms = call.timeout_ms or self.defaults.timeout_ms
  call.retry = call.retry or self.defaults.retry
  call.seed = self.defaults.seed
  call.size = call.size or self.defaults.chunksize
  call.tally, call.totals = tallies.new(), self.tally
  sizer.reckon(call, self.backend.overhead_us)
  return call
end

-- Functions cost something.
local function add_costs(self, stats)
  for name, value in pairs(self.backend.costs and self.backend:costs() or {}) do
    stats[name] = value
  end
  return stats
end

--- What has happened so far: see Pool:stats.
---@return table
function methods:stats()
  loop.glance()
  local tally, counts = self.tally, self.counts
  local ended = tally.done + tally.failed + tally.cancelled
  return add_costs(self, {
    tasks = tally.tasks,
    done = tally.done,
    failed = tally.failed,
    cancelled = tally.cancelled,
    running = tally.running,
    queued = tally.tasks - ended - tally.running,
    retried = tally.retried,
    attempts = counts.attempts,
    duplicates = counts.duplicates,
    invocations = counts.invocations,
    cold_starts = counts.cold_starts,
    bytes_sent = counts.bytes_sent,
    bytes_received = counts.bytes_received,
    run_seconds = counts.run_us / 1e6,
    peak_memory = counts.peak_memory,
    seconds = system.monotonic() - self.opened,
    workers = self.backend:alive(),
    workers_started = self.backend:started(),
    seed = self.defaults.seed,
  })
end

-- Futures hold on to the scheduler, and a running invocation does too: when it is collected,
-- nobody waits for anything, and warm workers are of no more use.
function mt:__gc()
  if schedulers[self] then
    schedulers[self] = nil
    tallies.sum(past, self.tally)
  end
  pcall(self.backend.abandon, self.backend)
end

---@param backend table
---@param defaults { timeout_ms: integer, seed: integer, retry: table?, chunksize: integer? }
---@return lambdapool.Scheduler
local function new(backend, defaults)
  local self = setmetatable({
    backend = backend,
    defaults = defaults,
    queue = queue.new(),
    busy = 0,
    settling = 0, -- answers that are being read
    running = bags.new(),
    delayed = {},
    tally = tallies.new(),
    counts = {
      attempts = 0, invocations = 0, cold_starts = 0, duplicates = 0,
      bytes_sent = 0, bytes_received = 0, run_us = 0, peak_memory = 0,
    },
    opened = system.monotonic(),
    glanced = 0,
  }, mt)
  self.on_outcome = function(outcome, range) -- one for all invocations
    settle(self, range, outcome)
  end
  schedulers[self] = true
  return self
end

--- What has become of the tasks of all pools and executors there ever were.
---@return lambdapool.Tally
local function totals()
  local sum = tallies.sum(tallies.new(), past)
  for scheduler in pairs(schedulers) do
    tallies.sum(sum, scheduler.tally)
  end
  return sum
end

--- How far they are; nil when there were none.
---@return { done: integer, failed: integer, unfinished: integer }?
local function counts()
  local sum = totals()
  if sum.tasks > 0 then
    local unfinished = sum.tasks - sum.done - sum.failed
    return { done = sum.done, failed = sum.failed, unfinished = unfinished }
  end
end

--- At the end of a program: waits for what was submitted to executors.
local function finish()
  for scheduler in pairs(schedulers) do
    if scheduler.awaited then
      scheduler:drain()
      scheduler:terminate "the program has ended"
    end
  end
end

-- Ctrl-C: nothing goes on any more.
interrupt.on(function()
  for scheduler in pairs(schedulers) do
    scheduler:terminate "interrupted"
  end
end)

--- For programs that go on after a Ctrl-C: it cancels all tasks, and pools and workers stay.
local function survive_interrupts()
  interrupt.on(function()
    for scheduler in pairs(schedulers) do
      scheduler:cancel_call(nil, "interrupted", true)
    end
  end)
end

return {
  new = new,
  totals = totals,
  counts = counts,
  finish = finish,
  survive_interrupts = survive_interrupts,
}
