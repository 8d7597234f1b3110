--- The scheduler: one per pool or executor. It owns the queue, cuts batches into invocations, keeps
--- the backend's workers busy and sees to it that every item ends exactly once. Items that
--- certainly never started go back to the head of the queue; nothing else runs twice unless a retry
--- policy says so.

local codec = require "lambdapool.codec"
local completion = require "lambdapool.completion"
local interrupt = require "lambdapool.interrupt"
local loop = require "lambdapool.loop"
local retries = require "lambdapool.retry"
local sizer = require "lambdapool.sizer"
local system = require "lambdapool.system"
local tallies = require "lambdapool.tally"

-- An invocation that its worker never took goes to another one, so often and no more.
local HANDOVERS = 3

-- What a service that throttles is offered again, so often, whatever the retry policy.
local throttled = retries.new("", { retry = { times = 10 } }, 1)

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

-- Every scheduler that is alive, for interrupts.
local schedulers = setmetatable({}, { __mode = "k" })

-- The queue ----------------------------------------------------------------------------------
-- Its entries are ranges { batch, first, last, attempt }: items first to last of a batch, to be
-- started for the attempt-th time. It lies between head and tail, so both ends are cheap.

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
  range.popped = true
  return range
end

-- A part of a range as one of its own.
local function part(range, first, last)
  return { batch = range.batch, first = first, last = last, attempt = range.attempt }
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
local function end_of_chunk(self, range)
  local size = sizer.size(range.batch, range, self.backend.workers)
  local last = math.min(range.last, range.first + size - 1)
  local dropped = range.batch.dropped
  for i = range.first + 1, dropped and last or 0 do
    if dropped[i] then
      return i - 1
    end
  end
  return last
end

-- Takes the next piece of work off the queue: a range that fits one invocation.
local function take(self)
  while self.head <= self.tail do
    local range = self.queue[self.head]
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
      local last = end_of_chunk(self, range)
      if last == range.last then
        return pop_front(self)
      end
      first = range.first
      range.first = last + 1
      return part(range, first, last)
    end
  end
end

-- Invocations --------------------------------------------------------------------------------

-- Makes the request of a range. Returns false when there is nothing to send: it was refused.
local function encode(self, range)
  local batch, first, last = range.batch, range.first, range.last
  local call = batch.call
  local ok, request, origins, taken = pcall(codec.request, call.code, batch.items, first, last, {
    star = call.star,
    encoded = batch.encoded,
    records = batch.records,
    timeout_ms = call.timeout_ms,
    stop_ms = sizer.stop_ms(call),
    soft_limit = sizer.soft_limit,
    seed = call.seed,
    position = batch.seeds,
  })
  if not ok then
    batch:refuse(first, last, request)
    return false
  elseif not request then
    batch:fail(first, first, "too_large", ("its request has %d bytes, and the limit is %d"):format(
      origins, codec.limits.request))
    taken = first
  end
  if taken < last then
    push_front(self, part(range, taken + 1, last))
    range.last = taken
  end
  range.request, range.origins = request, origins
  return request ~= nil
end

local settle

local function send(self, range)
  local batch = range.batch
  local size = range.last - range.first + 1
  range.handovers = (range.handovers or 0) + 1
  range.sent = system.monotonic()
  local ticket, message = self.backend:invoke(range.request, batch.call, function(outcome)
    settle(self, range, outcome)
  end)
  if not ticket then
    return batch:fail(range.first, range.last, "lost", message)
  end
  range.ticket = ticket
  self.running[range] = true
  self.busy = self.busy + 1
  loop.expect(1)
  local counts = self.counts
  counts.invocations = counts.invocations + 1
  counts.bytes_sent = counts.bytes_sent + #range.request
  tallies.add(batch.call, "running", size)
  if range.attempt > 1 and range.handovers == 1 then
    tallies.add(batch.call, "retried", size)
  end
end

-- Nothing is queued, delayed or running: whoever waits for that may go on.
local function check_idle(self)
  if self.idle and self:is_idle() then
    local idle = self.idle
    self.idle = nil
    completion.finish(idle)
  end
end

-- Takes tasks that have not begun back from the invocation that would need longest for them.
-- Returns them, or nil when no worker has any to spare.
local function steal(self)
  local now, best, most = system.monotonic(), nil, 0
  for range in pairs(self.running) do
    local call = range.batch.call
    local begun = not call.size and range.first < range.last and not range.void
      and self.backend:progress(range.ticket)
    local left = begun and range.last - range.first + 1 - begun or 0
    local late = now - range.sent > PATIENCE or left * (call.cost or 0) > PATIENCE * 1e6
    if late and left > most then
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
  local stolen = part(best, best.first + keep, best.last)
  best.last = best.first + keep - 1
  tallies.add(best.batch.call, "running", keep - count)
  return stolen
end

-- Idle workers look again, whether a task that takes long holds up others, while there are some.
local function look_again(self)
  for range in pairs(self.running) do
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
    elseif encode(self, range) then
      send(self, range)
    end
  end
end

-- Whether the next request can be made while all workers are busy. Tasks that are submitted one by
-- one are left alone: more may join them.
local function can_prepare(self)
  local range = self.queue[self.head]
  return range and not range.request and not range.batch.growing
end

--- Hands work to free workers, as long as there is any. When all are busy, encodes the next request
--- already: the worker that ends first need not wait for it.
function methods:dispatch()
  while self.busy < self.backend.workers or can_prepare(self) do
    local range = take(self)
    if not range then
      break
    elseif range.request or encode(self, range) then
      if self.busy >= self.backend.workers then
        push_front(self, range)
        break
      end
      send(self, range)
    end
  end
  feed_idle(self)
  check_idle(self)
end

-- Answers -------------------------------------------------------------------------------------

-- Starts items again after a while.
local function start_later(self, range, seconds)
  local timer
  timer = loop.after(seconds, function()
    self.delayed[timer] = nil
    push_front(self, range)
    self:dispatch()
  end)
  self.delayed[timer] = range
end

-- Whether the policy of the call wants item `i` again, which has failed with `err`; and the policy.
local function is_wanted_again(self, batch, i, err, attempt)
  local policy = err.kind == "throttled" and throttled or batch.call.retry
  if not policy or self.ended or batch:is_moot(i) then
    return false
  end
  local ok, wanted = pcall(policy.wants, policy, err, attempt)
  if not ok then -- the user's own function: its error is told where he waits
    loop.raise_later(wanted)
    return false
  end
  return wanted, policy
end

-- Starts the items of `range` from `first` to `last` once more, together.
local function try_again(self, range, first, last, policy)
  local again = part(range, first, last)
  local batch = again.batch
  again.attempt = range.attempt + 1
  batch.attempts = batch.attempts or {}
  for i = first, last do
    batch.attempts[i] = again.attempt
  end
  start_later(self, again, policy:delay(range.attempt))
end

-- What becomes of item `i` of a range: "ended", or "again" with the policy that wants it.
local function judge(self, range, i, failure, outcome)
  local batch = range.batch
  if not failure or batch.dropped and batch.dropped[i] then
    return "ended"
  end
  failure.worker, failure.request_id = outcome.worker, outcome.request_id
  local err = batch:error(i, failure.kind, range.attempt, failure)
  local again, policy = is_wanted_again(self, batch, i, err, range.attempt)
  if again then
    return "again", policy
  end
  batch:note(i, err)
  return "ended"
end

-- Items `first` to `last` ran; failures[k] is what became of the k-th when it did not return. Those
-- that are tried again are not at their end.
local function conclude(self, range, first, last, failures, outcome)
  self.counts.attempts = self.counts.attempts + last - first + 1
  if not failures then
    return range.batch:finish(first, last)
  end
  local i = first
  local fate, policy = judge(self, range, i, failures[1], outcome)
  while i <= last do
    local from, its_fate, its_policy = i, fate, policy
    repeat
      i = i + 1
      if i <= last then
        fate, policy = judge(self, range, i, failures[i - first + 1], outcome)
      end
    until i > last or fate ~= its_fate or policy ~= its_policy
    if its_fate == "again" then
      try_again(self, range, from, i - 1, its_policy)
    else
      range.batch:finish(from, i - 1)
    end
  end
end

-- Items `first` to `last` have failed for one reason.
local function conclude_all(self, range, first, last, kind, message, outcome)
  local failures = {}
  for k = 1, last - first + 1 do
    failures[k] = { kind = kind, message = message, log = outcome.log }
  end
  conclude(self, range, first, last, failures, outcome)
end

-- The answer of the worker: `size` bytes, decoded.
local function settle_response(self, range, outcome)
  local batch, first, last = range.batch, range.first, range.last
  local ok, report, failures = pcall(codec.response, outcome.bytes, batch.call.code, range.origins,
    batch.columns, first - 1)
  if not ok then
    return conclude_all(self, range, first, last, "lost", "the answer of the worker is damaged: " ..
      tostring(report), outcome)
  elseif report.done == 0 and range.handovers >= HANDOVERS then
    return conclude_all(self, range, first, last, "lost",
      "the worker answered without running the task", outcome)
  end
  local ran = math.min(last, first + report.done - 1)
  if ran < last then
    local rest = part(range, ran + 1, last)
    rest.handovers = report.done == 0 and range.handovers or nil
    push_front(self, rest)
  end
  sizer.measure(batch.call, report)
  self.counts.run_us = self.counts.run_us + report.run_us
  self.counts.cold_starts = self.counts.cold_starts + (report.cold and 1 or 0)
  self.counts.peak_memory = math.max(self.counts.peak_memory, report.peak_memory)
  batch.width = math.max(batch.width, report.max_values)
  for _, failure in pairs(failures or {}) do
    failure.milliseconds = report.done == 1 and report.run_us / 1000 or nil
    if failure.kind == "out_of_memory" then -- what a library holds, the worker holds for good
      self.backend:retire(range.ticket)
    end
  end
  if report.done > 0 then
    conclude(self, range, first, ran, failures, outcome)
  end
end

-- The results of tasks that ended before their worker died. Returns how many there are.
local function settle_kept(self, range, outcome)
  local batch, progress = range.batch, outcome.progress
  if progress.kept_tasks == 0 then
    return 0
  end
  local ok, report, failures = pcall(codec.kept, progress.kept, progress.kept_tasks, range.origins,
    batch.columns, range.first - 1)
  if not ok or report.done == 0 then
    return 0
  end
  local kept = math.min(report.done, range.last - range.first + 1)
  batch.width = math.max(batch.width, report.max_values)
  conclude(self, range, range.first, range.first + kept - 1, failures, outcome)
  return kept
end

-- The worker is gone without an answer, but what it had done is known: results that were kept
-- count, the task that ran ends with it, and those behind that never began run elsewhere.
local function settle_progress(self, range, outcome)
  local progress, count = outcome.progress, range.last - range.first + 1
  local kept = settle_kept(self, range, outcome)
  local finished = math.min(progress.finished, count)
  local begun = math.min(progress.begun, count)
  if finished > kept then
    conclude_all(self, range, range.first + kept, range.first + finished - 1, "lost",
      "it had ended, but its result was lost with the worker: " .. outcome.message, outcome)
  end
  local from = math.max(finished, kept)
  if begun > from then
    conclude_all(self, range, range.first + from, range.first + begun - 1, outcome.kind,
      outcome.message, outcome)
  end
  from = math.max(from, begun)
  if from < count then
    push_front(self, part(range, range.first + from, range.last))
  end
end

-- The invocation has failed.
local function settle_failure(self, range, outcome)
  local progress = outcome.progress
  if progress and progress.begun > 0 then
    settle_progress(self, range, outcome)
  elseif progress and range.handovers < HANDOVERS and not range.batch.cancelled then
    local again = part(range, range.first, range.last)
    again.handovers = range.handovers
    push_front(self, again)
  else
    conclude_all(self, range, range.first, range.last, outcome.kind, outcome.message, outcome)
  end
end

-- The worker of a range is free again.
local function release(self, range)
  self.running[range] = nil
  self.busy = self.busy - 1
  loop.expect(-1)
  if not range.void then
    tallies.add(range.batch.call, "running", range.first - range.last - 1)
  end
end

--- The end of an invocation. The first outcome counts; a late one is dropped.
function settle(self, range, outcome)
  local counts = self.counts
  if not self.running[range] then
    counts.duplicates = counts.duplicates + (range.void and 0 or 1)
    return
  end
  release(self, range)
  if range.void then
    return self:dispatch()
  elseif outcome.bytes then
    counts.bytes_received = counts.bytes_received + #outcome.bytes
    if #outcome.bytes >= LARGE_ANSWER then
      self:dispatch()
    end
    settle_response(self, range, outcome)
  else
    settle_failure(self, range, outcome)
  end
  range.request, range.origins = nil, nil -- the batch may hold on to the range
  self:dispatch()
  if range.batch.call.line then
    range.batch.call.line:update()
  end
end

-- What the user's calls do ----------------------------------------------------------------------

--- Dispatches from a method that the user called. First takes in what has happened since the last
--- one: an idle worker that has died meanwhile must not get the work.
function methods:start()
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
      push_back(self, batch.tail)
    end
    self:start()
  end
end

--- True when every task has ended.
---@return boolean
function methods:is_idle()
  return self.busy == 0 and self.head > self.tail and next(self.delayed) == nil
end

--- Waits until everything that was queued has ended, then ends the workers.
function methods:drain()
  if not self:is_idle() then
    self.idle = self.idle or {}
    completion.await(self.idle)
  end
  self:stop()
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
  for range in pairs(self.running) do
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
--- backend cannot stop it.
---@param batch lambdapool.Batch
---@param i integer
---@return boolean
function methods:cancel(batch, i)
  local range = range_of(self, batch, i)
  if range then
    local place = i - range.first + 1
    local begun = self.backend:cut(range.ticket, place - 1)
    local _, finished = self.backend:progress(range.ticket)
    if not begun or place <= finished then
      return false
    elseif place <= begun then
      self.backend:cancel(range.ticket)
    end
  end
  batch:drop(i)
  self:dispatch()
  return true
end

-- Ends what is queued or waits for its next attempt, of one call or of all.
local function cancel_queued(self, call, message)
  local queue, last = self.queue, self.tail
  local kept = {}
  local head = self.head
  self.queue, self.head, self.tail = {}, 1, 0
  for i = head, last do
    local range = queue[i]
    if not call or range.batch.call == call then
      range.popped = true
      range.batch:fail(range.first, range.last, "cancelled", message)
    else
      kept[#kept + 1] = range
    end
  end
  for _, range in ipairs(kept) do
    push_back(self, range)
  end
  for timer, range in pairs(self.delayed) do
    if not call or range.batch.call == call then
      timer:cancel()
      self.delayed[timer] = nil
      range.batch:fail(range.first, range.last, "cancelled", message)
    end
  end
end

-- Ends what runs, of one call or of all, and has its workers killed.
local function cancel_running(self, call, message)
  for range in pairs(self.running) do
    if not range.void and (not call or range.batch.call == call) then
      range.void = true
      tallies.add(range.batch.call, "running", range.first - range.last - 1)
      self.backend:cancel(range.ticket)
      range.batch:fail(range.first, range.last, "cancelled", message)
    end
  end
end

--- Cancels everything of a call that has not ended: what is queued and what runs.
---@param call lambdapool.Call
---@param message string
function methods:cancel_call(call, message)
  cancel_queued(self, call, message)
  cancel_running(self, call, message)
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
  for range in pairs(self.running) do
    release(self, range)
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
  return call
end

--- What has happened so far: see Pool:stats.
---@return table
function methods:stats()
  loop.glance()
  local tally, counts = self.tally, self.counts
  local ended = tally.done + tally.failed + tally.cancelled
  return {
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
  }
end

-- Futures hold on to the scheduler, and a running invocation does too: when it is collected,
-- nobody waits for anything, and warm workers are of no more use.
function mt:__gc()
  pcall(self.backend.abandon, self.backend)
end

---@param backend table
---@param defaults { timeout_ms: integer, seed: integer, retry: table?, chunksize: integer? }
---@return lambdapool.Scheduler
local function new(backend, defaults)
  local self = setmetatable({
    backend = backend,
    defaults = defaults,
    queue = {},
    head = 1,
    tail = 0,
    busy = 0,
    running = {},
    delayed = {},
    tally = tallies.new(),
    counts = {
      attempts = 0, invocations = 0, cold_starts = 0, duplicates = 0,
      bytes_sent = 0, bytes_received = 0, run_us = 0, peak_memory = 0,
    },
    opened = system.monotonic(),
    glanced = 0,
  }, mt)
  schedulers[self] = true
  return self
end

--- How far the tasks of all pools and executors are; nil when there were none.
---@return { done: integer, failed: integer, unfinished: integer }?
local function counts()
  local sum
  for scheduler in pairs(schedulers) do
    local tally = scheduler.tally
    if tally.tasks > 0 then
      sum = sum or { done = 0, failed = 0, unfinished = 0 }
      sum.done = sum.done + tally.done
      sum.failed = sum.failed + tally.failed
      sum.unfinished = sum.unfinished + tally.tasks - tally.done - tally.failed
    end
  end
  return sum
end

-- Ctrl-C: nothing goes on any more.
interrupt.on(function()
  for scheduler in pairs(schedulers) do
    scheduler:terminate "interrupted"
  end
end)

return { new = new, counts = counts }
