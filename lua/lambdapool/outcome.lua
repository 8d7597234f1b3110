--- Outcomes: what the end of an invocation means for each of its items. Those that returned have
--- their results, those that failed their errors, unless a retry policy wants them again; those
--- that certainly did not start go back to the head of the queue.

local codec = require "lambdapool.codec"
local frames = require "lambdapool.frames"
local loop = require "lambdapool.loop"
local queue = require "lambdapool.queue"
local retries = require "lambdapool.retry"
local sizer = require "lambdapool.sizer"
local tallies = require "lambdapool.tally"

-- An invocation that its worker never took goes to others, at most to so many in all.
local HANDOVERS = 3

-- What a service that throttles is offered again, so often, whatever the retry policy, unless the
-- backend has done that already.
local throttled = retries.new("", { retry = { times = 10 } }, 1)

-- What one task can do to the others of its invocation.
local contagious = { crashed = true, timeout = true, out_of_memory = true }

local outcomes = {}

-- Whether the policy of the call wants item `i` again, which has failed with `err`; and the policy.
local function is_wanted_again(scheduler, batch, i, err, attempt, outcome)
  local waits = err.kind == "throttled" and not outcome.exhausted
  local policy = waits and throttled or batch.call.retry
  if not policy or outcome.final or scheduler.ended or batch:is_moot(i) then
    return false
  end
  local ok, wanted = pcall(policy.wants, policy, err, attempt)
  if not ok then -- the user's own function: its error is told where he waits
    loop.raise_later(wanted)
    return false
  end
  return wanted, policy
end

local function start_again(scheduler, range, first, last, policy)
  local again = queue.part(range, first, last)
  again.attempt = range.attempt + 1
  scheduler:start_later(again, policy:delay(range.attempt))
end

-- Starts the items of `range` from `first` to `last` once more: together, unless one of them may
-- have taken the others with it, and nobody knows which.
local function try_again(scheduler, range, first, last, policy, outcome)
  local batch = range.batch
  batch.attempts = batch.attempts or {}
  for i = first, last do
    batch.attempts[i] = range.attempt + 1
  end
  if not scheduler.backend.opaque or not contagious[outcome.kind] then
    return start_again(scheduler, range, first, last, policy)
  end
  for i = first, last do
    start_again(scheduler, range, i, i, policy)
  end
end

-- What becomes of item `i` of a range: "ended", or "again" with the policy that wants it.
local function judge(scheduler, range, i, failure, outcome)
  local batch = range.batch
  if not failure or batch.dropped and batch.dropped[i] then
    return "ended"
  end
  failure.worker, failure.request_id = outcome.worker, outcome.request_id
  failure.code = outcome.code
  local err = batch:error(i, failure.kind, range.attempt, failure)
  local again, policy = is_wanted_again(scheduler, batch, i, err, range.attempt, outcome)
  if again then
    return "again", policy
  end
  batch:note(i, err)
  return "ended"
end

-- Items `first` to `last` ran; failures[k] is what became of the k-th when it did not return. Those
-- that are tried again are not at their end.
local function conclude(scheduler, range, first, last, failures, outcome)
  scheduler.counts.attempts = scheduler.counts.attempts + last - first + 1
  if range.attempt > 1 then
    tallies.add(range.batch.call, "retried", last - first + 1)
  end
  if not failures then
    return range.batch:finish(first, last)
  end
  local i = first
  local fate, policy = judge(scheduler, range, i, failures[1], outcome)
  while i <= last do
    local from, its_fate, its_policy = i, fate, policy
    repeat
      i = i + 1
      if i <= last then
        fate, policy = judge(scheduler, range, i, failures[i - first + 1], outcome)
      end
    until i > last or fate ~= its_fate or policy ~= its_policy
    if its_fate == "again" then
      try_again(scheduler, range, from, i - 1, its_policy, outcome)
    else
      range.batch:finish(from, i - 1)
    end
  end
end

-- Items `first` to `last` have failed for one reason.
local function conclude_all(scheduler, range, first, last, kind, message, outcome)
  local failures = {}
  for k = 1, last - first + 1 do
    failures[k] = { kind = kind, message = message, log = outcome.log }
  end
  conclude(scheduler, range, first, last, failures, outcome)
end

-- Results that nobody takes, of items `first` to `last`: what they lend is given back now.
local function discard(batch, first, last)
  for _, column in ipairs(batch.columns) do
    for i = first, last do
      codec.release(column[i])
      column[i] = nil
    end
  end
end

-- The same for those items of them that were cancelled, one by one, while they ran.
local function discard_dropped(batch, first, last)
  for i in pairs(batch.dropped or {}) do
    if first <= i and i <= last then
      discard(batch, i, i)
    end
  end
end

-- A worker has a module of its own that is not what stands here. Its results are not ours.
local function settle_stale(scheduler, range, module, outcome)
  local of_function = scheduler.backend.complain_of_module
  local message = of_function and of_function(scheduler.backend, module)
    or ("a worker has another version of module '%s' than this program: its file has changed " ..
      "since\n  open a new pool"):format(module)
  outcome.code, outcome.final = "StaleModule", true
  conclude_all(scheduler, range, range.first, range.last, "lost", message, outcome)
end

-- What an answer says of the invocation as a whole. Items it did not begin are queued again.
-- Returns the last one that ran.
local function take_report(scheduler, range, report, bytes)
  local counts, first = scheduler.counts, range.first
  local ran = math.min(range.last, first + report.done - 1)
  if ran < range.last then
    local rest = queue.part(range, ran + 1, range.last)
    rest.handovers = report.done == 0 and (range.handovers or 0) + 1 or nil
    scheduler.queue:push_front(rest)
  end
  sizer.measure(range.batch.call, report, bytes)
  counts.run_us = counts.run_us + report.run_us
  counts.cold_starts = counts.cold_starts + (report.cold and 1 or 0)
  counts.peak_memory = math.max(counts.peak_memory, report.peak_memory)
  return ran
end

-- Items `first` to `last` have results or `failures` in an answer. `alone`: the milliseconds of the
-- only task that ran.
local function take_records(scheduler, range, first, last, width, failures, outcome, alone)
  local batch = range.batch
  batch.width = math.max(batch.width, width)
  for _, failure in pairs(failures or {}) do
    failure.milliseconds = alone
    if failure.kind == "out_of_memory" then -- what a library holds, the worker holds for good
      scheduler.backend:retire(range.ticket)
    end
  end
  conclude(scheduler, range, first, last, failures, outcome)
  discard_dropped(batch, first, last)
end

local function alone(report)
  return report.done == 1 and report.run_us / 1000 or nil
end

local function settle_damaged(scheduler, range, first, last, why, outcome)
  discard(range.batch, first, last)
  conclude_all(scheduler, range, first, last, "lost",
    "the answer of the worker is damaged: " .. tostring(why), outcome)
end

-- Why an answer is no use, when it is none: its tasks are at their end then.
local function is_useless(scheduler, range, report, outcome)
  if report.done == 0 and (range.handovers or 0) + 1 >= HANDOVERS then
    conclude_all(scheduler, range, range.first, range.last, "lost",
      "the worker answered without running the task", outcome)
    return true
  elseif report.stale then
    discard(range.batch, range.first, range.last)
    settle_stale(scheduler, range, report.stale, outcome)
    return true
  end
  return false
end

-- Records of an answer that are read at a time. Results that are lent are handed to C one by one,
-- which takes longer than reading small ones.
local function most_records(piece)
  local lent = piece.lend and type(piece.outcome.bytes) == "userdata"
  return math.min(piece.last - piece.from + 1, lent and frames.lent_tasks or frames.piece_tasks)
end

-- Reads the next records of an answer. The rest is put off: a frame may be due.
local function settle_piece(piece)
  local scheduler, range, outcome = piece.scheduler, piece.range, piece.outcome
  local from = piece.from
  local ok, report, failures, position = pcall(codec.kept, outcome.bytes, most_records(piece),
    piece.origins, range.batch.columns, from - 1, piece.position, frames.piece_bytes, piece.lend)
  if not ok or report.done == 0 then
    settle_damaged(scheduler, range, from, piece.last, report, outcome)
    piece.from = piece.last + 1
  else
    piece.from, piece.position = from + report.done, position
    take_records(scheduler, range, from, piece.from - 1, report.max_values, failures, outcome,
      piece.alone)
  end
  if piece.from <= piece.last then
    return loop.later(settle_piece, piece)
  end
  codec.release(outcome.bytes)
  scheduler:settled()
end

-- The worker has answered.
local function settle_response(scheduler, range, outcome)
  local batch, first = range.batch, range.first
  local ok, report, failures = pcall(codec.response, outcome.bytes, batch.call.code, range.origins,
    batch.columns, first - 1, batch.call.json)
  if not ok then
    return settle_damaged(scheduler, range, first, range.last, report, outcome)
  elseif is_useless(scheduler, range, report, outcome) then
    return
  end
  local ran = take_report(scheduler, range, report, #outcome.bytes)
  if ran >= first then
    take_records(scheduler, range, first, ran, report.max_values, failures, outcome,
      alone(report))
  end
end

-- The worker has answered, and not everything of it may be read at once. Returns whether some of
-- it is left to be read.
local function settle_pieces(scheduler, range, outcome)
  local ok, report, position = pcall(codec.answer, outcome.bytes, range.batch.call.code)
  if not ok then
    settle_damaged(scheduler, range, range.first, range.last, report, outcome)
    return false
  elseif not report then -- it is compressed, and has to be unpacked as a whole
    settle_response(scheduler, range, outcome)
    return false
  elseif is_useless(scheduler, range, report, outcome) then
    return false
  end
  local ran = take_report(scheduler, range, report, #outcome.bytes)
  if ran < range.first then
    return false
  end
  local piece = { scheduler = scheduler, range = range, outcome = outcome, alone = alone(report),
    from = range.first, last = ran, position = position, origins = range.origins,
    lend = range.batch.call.json }
  scheduler.settling = scheduler.settling + 1
  settle_piece(piece)
  return piece.from <= piece.last
end

-- The results of tasks that ended before their worker died. Returns how many there are.
local function settle_kept(scheduler, range, outcome)
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
  conclude(scheduler, range, range.first, range.first + kept - 1, failures, outcome)
  return kept
end

-- The worker is gone without an answer, but what it had done is known: results that were kept
-- count, the task that ran ends with it, and those behind that never began run elsewhere.
local function settle_progress(scheduler, range, outcome)
  local progress, count = outcome.progress, range.last - range.first + 1
  local kept = settle_kept(scheduler, range, outcome)
  local finished = math.min(progress.finished, count)
  local begun = math.min(progress.begun, count)
  if finished > kept then
    conclude_all(scheduler, range, range.first + kept, range.first + finished - 1, "lost",
      "it had ended, but its result was lost with the worker: " .. outcome.message, outcome)
  end
  local from = math.max(finished, kept)
  if begun > from then
    conclude_all(scheduler, range, range.first + from, range.first + begun - 1, outcome.kind,
      outcome.message, outcome)
  end
  from = math.max(from, begun)
  if from < count then
    scheduler.queue:push_front(queue.part(range, range.first + from, range.last))
  end
end

-- The invocation has failed.
local function settle_failure(scheduler, range, outcome)
  local progress = outcome.progress
  if progress and progress.begun > 0 then
    settle_progress(scheduler, range, outcome)
  elseif progress and (range.handovers or 0) + 1 < HANDOVERS and not range.batch.cancelled then
    local again = queue.part(range, range.first, range.last)
    again.handovers = (range.handovers or 0) + 1
    scheduler.queue:push_front(again)
  else
    conclude_all(scheduler, range, range.first, range.last, outcome.kind, outcome.message, outcome)
  end
end

--- Nothing of the answer is read any more, if there is one.
---@param outcome table
function outcomes.release(outcome)
  codec.release(outcome.bytes)
end

--- Settles the items of an invocation that has ended.
---@param scheduler lambdapool.Scheduler
---@param range lambdapool.Range
---@param outcome table see lambdapool.backend.local
function outcomes.settle(scheduler, range, outcome)
  local goes_on = false
  if outcome.is_put_off then
    goes_on = settle_pieces(scheduler, range, outcome)
  elseif outcome.bytes then
    settle_response(scheduler, range, outcome)
  else
    settle_failure(scheduler, range, outcome)
  end
  if not goes_on then
    outcomes.release(outcome)
  end
end

return outcomes
