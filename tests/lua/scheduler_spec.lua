--- The scheduler alone: with a codec that encodes nothing, a clock of its own and a backend whose
--- answers the test gives, so that every end an invocation can have is seen.

local fakes = require "tests.lua.fakes"

local answer, kinds = fakes.answer, fakes.kinds

local function crashed(fields)
  fields.kind, fields.message, fields.worker = "crashed", "exit 3", 7
  return fields
end

describe("the scheduler", function()
  local world, scheduler, backend

  -- `fields` are those of the call: size, retry.
  local function new_batch(items, fields)
    fields = fields or {}
    fields.code, fields.target_us = "code", 20000
    return world.batch.new(scheduler:call(fields), items, #items)
  end

  local function add(items, fields)
    local batch = new_batch(items, fields)
    scheduler:add(batch, 1, batch.n)
    return batch
  end

  local function open(workers, script)
    scheduler, backend = world.open(workers, script)
  end

  -- Opens it with this script, and runs these items to their end.
  local function run(items, fields, script)
    open(2, script)
    local batch = add(items, fields)
    world.completion.await(batch)
    return batch
  end

  -- The items of each invocation so far.
  local function sent()
    return fakes.sent(backend)
  end

  local function retry(fields)
    return world.retry.new("", { retry = fields }, 1)
  end

  before_each(function()
    world = fakes.world()
    open(2)
  end)

  describe("hands out", function()
    it("work to every worker, and no more", function()
      add({ 1, 2, 3, 4, 5 }, { size = 1 })
      assert.same({ "1", "2" }, sent())
      assert.equal(1000, backend.tickets[1].call.timeout_ms)
      backend.tickets[1].done(answer(backend.tickets[1]))
      assert.same({ "1", "2", "3" }, sent())
    end)

    it("chunks of the size asked for", function()
      local batch = run({ 1, 2, 3, 4, 5, 6, 7 }, { size = 3 }, answer)
      assert.same({ "1 2 3", "4 5 6", "7" }, sent())
      assert.equal(7, batch:values(7))
      assert.is_nil(batch.errors)
    end)

    it("with each request its seed, place and when to stop", function()
      open(1)
      local batch = new_batch({ 1, 2, 3, 4 }, { size = 3 })
      batch.seeds = 100
      scheduler:add(batch, 1, 4)
      local options = backend.tickets[1].request.options
      assert.equal(1, options.seed)
      assert.equal(100, options.position)
      assert.is_nil(options.stop_ms)
      add { 1 }
      backend.tickets[1].done(answer(backend.tickets[1]))
      backend.tickets[2].done(answer(backend.tickets[2]))
      assert.equal(40, backend.tickets[3].request.options.stop_ms)
    end)

    it("first what an invocation did not begin", function()
      local batch = run({ 1, 2, 3, 4, 5, 6 }, { size = 3 }, function(ticket)
        local outcome = answer(ticket)
        outcome.bytes.done = math.min(2, outcome.bytes.done)
        return outcome
      end)
      assert.same({ "1 2 3", "4 5 6", "3", "6" }, sent())
      assert.same({ 1, 2, 3, 4, 5, 6 }, kinds(batch))
    end)

    it("calls one after the other", function()
      open(1)
      add({ 1, 2 }, { size = 1 })
      add({ 3 }, { size = 1 })
      for i = 1, 3 do
        backend.tickets[i].done(answer(backend.tickets[i]))
      end
      assert.same({ "1", "2", "3" }, sent())
    end)

    it("what fits of a request that is too large, and the rest later", function()
      local batch = run({ 1, 2, 3, "large", 5, 6 }, { size = 6 }, answer)
      assert.same({ 1, 2, 3, "too_large", 5, 6 }, kinds(batch))
      assert.matches("its request has 1000 bytes, and the limit is 800", batch.errors[4].message)
    end)

    it("nothing of a batch behind an item that cannot be sent", function()
      local batch = run({ 1, 2, "unsendable", 4, 5, 6 }, { size = 1 }, answer)
      assert.equal("cannot send item 3", batch.refusal)
      assert.equal(0, batch.remaining)
      assert.same({ "1", "2" }, sent())
      assert.equal(2, (batch:values(2)))
    end)

    it("nothing when no worker can be started", function()
      backend.broken = "no processes left"
      local batch = add({ 1, 2 }, { size = 1 })
      assert.is_true(batch.is_done)
      assert.same({ "lost", "lost" }, kinds(batch))
      assert.equal("no processes left", batch.errors[2].message)
    end)
  end)

  describe("when a worker does not start", function()
    local unsent = { kind = "lost", message = "no processes left", unsent = true }

    -- So many workers are there when the request of this ticket comes back.
    local function give_back(i, alive)
      backend.alive = function() return alive end
      backend.tickets[i].done(unsent)
    end

    local function finish(i)
      backend.tickets[i].done(answer(backend.tickets[i]))
    end

    it("waits for one that runs", function()
      local batch = add({ 1, 2, 3 }, { size = 1 })
      give_back(2, 1)
      assert.same({ "1", "2" }, sent())
      finish(1)
      assert.same({ "1", "2", "2", "3" }, sent())
      finish(3)
      finish(4)
      assert.same({ 1, 2, 3 }, kinds(batch))
      assert.equal(3, scheduler:stats().invocations)
    end)

    it("takes one that is free", function()
      add({ 1, 2, 3 }, { size = 1 })
      give_back(2, 2)
      assert.same({ "1", "2", "2" }, sent())
    end)

    it("loses what nobody is there for", function()
      local batch = add({ 1, 2, 3 }, { size = 1 })
      give_back(1, 1)
      give_back(2, 0)
      assert.same({ "1", "2", "1", "3" }, sent())
      give_back(3, 1)
      give_back(4, 0)
      give_back(5, 0)
      assert.is_true(batch.is_done)
      assert.same({ "lost", "lost", "lost" }, kinds(batch))
      assert.equal("no processes left", batch.errors[1].message)
      assert.equal(0, scheduler:stats().invocations)
      assert.is_true(scheduler:is_idle())
    end)

    it("forgets what was cancelled meanwhile", function()
      local batch = add({ 1 }, { size = 1 })
      scheduler:cancel_call(nil, "enough")
      give_back(1, 0)
      assert.same({ "cancelled" }, kinds(batch))
      assert.is_true(scheduler:is_idle())
    end)
  end)

  describe("cancels behind the first error", function()
    it("what was not sent, and only there", function()
      local batch = new_batch({ 1, 2, 3, 4, 5, 6, 7, 8 }, { size = 2 })
      batch.fail_fast = true
      scheduler:add(batch, 1, 8)
      local first, second = backend.tickets[1], backend.tickets[2]
      second.done { bytes = { done = 2, errors = { { kind = "error", message = "m" } } } }
      first.done { bytes = { done = 1, values = { 1 } } } -- the other has to run
      backend.tickets[3].done(answer(backend.tickets[3]))
      assert.same({ "1 2", "3 4", "2" }, sent())
      assert.is_true(batch.is_done)
      assert.equal(3, batch.first_error)
    end)
  end)

  describe("when an answer", function()
    it("is damaged, loses its items", function()
      local batch = run({ 1, 2 }, { size = 2 }, function() return { bytes = "damaged" } end)
      assert.same({ "lost", "lost" }, kinds(batch))
      assert.matches("the answer of the worker is damaged: .*bad magic", batch.errors[1].message)
    end)

    it("says that nothing ran, asks three workers", function()
      local batch = run({ 1 }, nil, function() return { bytes = { done = 0 } } end)
      assert.same({ "lost" }, kinds(batch))
      assert.equal(3, #backend.tickets)
      batch = run({ 1 }, nil, function(ticket)
        return ticket.number < 3 and { bytes = { done = 0 } } or answer(ticket)
      end)
      assert.same({ 1 }, kinds(batch))
    end)

    it("claims more tasks than there were, takes those that there were", function()
      local batch = run({ 1, 2 }, { size = 1 }, function(ticket)
        return { bytes = { done = 9, values = ticket.request.items } }
      end)
      assert.same({ 1, 2 }, kinds(batch))
    end)

    it("comes twice, drops the second", function()
      local batch = add({ 1, 2 }, { size = 1 })
      local ticket = backend.tickets[1]
      ticket.done { kind = "lost", message = "m" }
      ticket.done(answer(ticket))
      backend.tickets[2].done(answer(backend.tickets[2]))
      backend.tickets[2].done { kind = "crashed", message = "m" }
      assert.same({ "lost", 2 }, kinds(batch))
      assert.equal(2, scheduler:stats().duplicates)
      assert.equal(0, scheduler.busy)
    end)
  end)

  describe("when a worker dies", function()
    local function die(progress)
      open(2)
      local batch = add({ 1, 2, 3, 4, 5 }, { size = 5 })
      backend.tickets[1].done(crashed { log = "last words", progress = progress })
      local again = backend.tickets[2]
      if again then
        again.done(answer(again))
      end
      assert.is_true(batch.is_done)
      return kinds(batch), batch
    end

    it("keeps what it kept, and runs elsewhere what never began", function()
      assert.same({ "a", "b", "crashed", 4, 5 }, (die { begun = 3, finished = 2, kept_tasks = 2,
        kept = { done = 2, values = { "a", "b" } } }))
      assert.same({ "1 2 3 4 5", "4 5" }, sent())
    end)

    it("knows what ended and is lost from what ran", function()
      local got, batch = die { begun = 4, finished = 3, kept_tasks = 1,
        kept = { done = 1, values = { "a" } } }
      assert.same({ "a", "lost", "lost", "crashed", 5 }, got)
      assert.matches("it had ended, but its result was lost with the worker: exit 3",
        batch.errors[2].message)
      assert.equal("exit 3", batch.errors[4].message)
      assert.equal("last words", batch.errors[4].log)
      assert.equal(7, batch.errors[4].worker)
    end)

    it("keeps errors, too", function()
      assert.same({ "error", "crashed", 3, 4, 5 }, (die { begun = 2, finished = 1, kept_tasks = 1,
        kept = { done = 1, errors = { { kind = "error", message = "m" } } } }))
    end)

    it("between two tasks, loses what it had ended", function()
      assert.same({ "lost", "lost", 3, 4, 5 }, (die { begun = 2, finished = 2, kept_tasks = 0 }))
    end)

    it("believes no number beyond its tasks, and no damaged records", function()
      assert.same({ "lost", "lost", "lost", "lost", "lost" }, (die { begun = 2 ^ 32, kept_tasks = 9,
        finished = 2 ^ 32, kept = "damaged" }))
      assert.same({ "a", "b", "c", "d", "e" }, (die { begun = 9, finished = 9, kept_tasks = 9,
        kept = { done = 9, values = { "a", "b", "c", "d", "e", "f" } } }))
    end)

    it("fails all when nothing is known", function()
      assert.same({ "crashed", "crashed", "crashed", "crashed", "crashed" }, (die(nil)))
      assert.equal(1, #backend.tickets)
    end)

    it("before it began, asks three workers", function()
      local none = { begun = 0, finished = 0, kept_tasks = 0 }
      local batch = run({ 1 }, nil, function(ticket)
        return ticket.number < 3 and crashed { progress = none } or answer(ticket)
      end)
      assert.same({ 1 }, kinds(batch))
      assert.is_nil(batch.attempts)
      batch = run({ 1 }, nil, function() return crashed { progress = none } end)
      assert.same({ "crashed" }, kinds(batch))
      assert.equal(3, #backend.tickets)
      assert.equal(1, batch.errors[1].attempts)
    end)
  end)

  describe("retries", function()
    local function fail_times(times, kind)
      return function(ticket)
        if ticket.number <= times then
          return { kind = kind or "lost", message = "m" }, 0.001
        end
        return answer(ticket)
      end
    end

    it("not, if not asked to", function()
      assert.same({ "lost" }, kinds(run({ 1 }, nil, fail_times(1))))
    end)

    it("what the platform failed, after a while", function()
      open(1, fail_times(2))
      local batch = add({ 1 }, { retry = retry { times = 2, base = 8 } })
      assert.is_true(world.completion.await(batch))
      assert.same({ 1 }, kinds(batch))
      assert.equal(3, batch.attempts[1])
      assert.equal(2, scheduler:stats().retried)
      assert.is_true(world.now > 1000 and world.now < 1000 + 8 + 16 + 1)
    end)

    it("so often and no more", function()
      local batch = run({ 1 }, { retry = retry { times = 2 } }, fail_times(9))
      assert.same({ "lost" }, kinds(batch))
      assert.equal(3, #backend.tickets)
      assert.equal(3, batch.errors[1].attempts)
      assert.matches("was lost %(attempt 3 of 3%)", tostring(batch.errors[1]))
    end)

    it("an item alone, not its chunk", function()
      local batch = run({ 1, 2, 3 }, { size = 3, retry = retry { times = 1,
        on = function(err) return err.kind == "error" end } }, function(ticket)
        local outcome = answer(ticket)
        if ticket.number == 1 then
          outcome.bytes.errors = { [2] = { kind = "error", message = "m" } }
        end
        return outcome
      end)
      assert.same({ "1 2 3", "2" }, sent())
      assert.same({ 1, 2, 3 }, kinds(batch))
      assert.same({ [2] = 2 }, batch.attempts)
    end)

    it("what was throttled, whatever the policy", function()
      local batch = run({ 1 }, nil, fail_times(10, "throttled"))
      assert.same({ 1 }, kinds(batch))
      batch = run({ 1 }, nil, fail_times(11, "throttled"))
      assert.same({ "throttled" }, kinds(batch))
    end)

    it("nothing of a call that is given up", function()
      open(1, fail_times(1))
      local batch = add({ 1 }, { retry = retry { times = 3, base = 8 } })
      world.loop.wait(function() return scheduler.busy == 0 end)
      assert.is_false(scheduler:is_idle())
      scheduler:cancel_call(batch.call, "enough")
      assert.is_true(batch.is_done)
      assert.is_true(scheduler:is_idle())
      world.loop.pump(20)
      assert.same({ "cancelled" }, kinds(batch))
      assert.equal(1, #backend.tickets)
    end)

    it("not when the policy raises, whose error the wait raises", function()
      open(1, fail_times(1))
      local batch = add({ 1 }, { retry = retry { on = function() error("my mistake", 0) end } })
      assert.has_error(function() world.completion.await(batch) end, "my mistake")
      assert.same({ "lost" }, kinds(batch))
    end)
  end)

  describe("when a worker idles", function()
    -- A call of tasks that take 10 us, whose items all went to the first of two workers. It runs
    -- the first of them, and time passes.
    local function one_chunk(items, fields)
      open(2)
      local batch = new_batch(items, fields or { cost = 10 })
      batch.whole = true
      scheduler:add(batch, 1, batch.n)
      backend.tickets[1].begun = 1
    end

    local function wait()
      for _ = 1, 5 do
        world.loop.pump(1)
      end
    end

    it("takes half of what another has not begun, once that takes long", function()
      one_chunk { 1, 2, 3, 4, 5 }
      assert.same({ "1 2 3 4 5" }, sent())
      wait()
      assert.same({ "1 2 3 4 5", "4 5" }, sent())
      assert.equal(3, backend.tickets[1].limit)
    end)

    it("takes as often as it is idle, and every item ends once", function()
      one_chunk { 1, 2, 3, 4, 5 }
      local batch = scheduler.running[1].batch
      wait()
      local first, second = backend.tickets[1], backend.tickets[2]
      second.done(answer(second))
      assert.same({ "1 2 3 4 5", "4 5", "3" }, sent())
      assert.equal(2, first.limit)
      first.done { bytes = { done = 2, values = { 1, 2 } } }
      local third = backend.tickets[3]
      third.done(answer(third))
      assert.is_true(batch.is_done)
      assert.same({ 1, 2, 3, 4, 5 }, kinds(batch))
      assert.same({ 5, 0 }, { scheduler:stats().done, scheduler:stats().running })
    end)

    it("takes nothing that began meanwhile", function()
      one_chunk { 1, 2 }
      function backend.cut()
        return 2
      end
      wait()
      assert.same({ "1 2" }, sent())
      assert.equal(1, scheduler.busy)
    end)

    it("takes nothing where that is not possible", function()
      one_chunk { 1, 2 }
      function backend.progress() end
      wait()
      assert.same({ "1 2" }, sent())
    end)

    it("leaves chunks alone whose size the user chose", function()
      one_chunk({ 1, 2, 3, 4 }, { size = 4 })
      wait()
      assert.same({ "1 2 3 4" }, sent())
    end)

    it("does not look again when nothing is left to take", function()
      one_chunk { 1, 2 }
      wait()
      for i = 1, 2 do
        backend.tickets[i].done(answer(backend.tickets[i]))
      end
      wait()
      assert.is_true(scheduler:is_idle())
      assert.is_nil(world.timers.next())
    end)
  end)

  describe("cancels an item", function()
    local batch

    before_each(function()
      open(1)
      batch = add({ 1, 2, 3, 4, 5, 6 }, { size = 3 })
    end)

    it("in the queue: it is not sent", function()
      assert.is_true(scheduler:cancel(batch, 5))
      assert.same({ "cancelled", 0 }, { batch:failure(5).kind, batch:failure(5).attempts })
      for i = 1, 3 do
        backend.tickets[i].done(answer(backend.tickets[i]))
      end
      assert.same({ "1 2 3", "4", "6" }, sent())
      assert.same({ 1, 2, 3, 4, "cancelled", 6 }, kinds(batch))
      assert.is_true(batch.is_done)
    end)

    it("in a chunk, that has not begun: those behind it come again", function()
      local ticket = backend.tickets[1]
      ticket.begun = 1
      assert.is_true(scheduler:cancel(batch, 2))
      assert.equal(1, ticket.limit)
      assert.is_nil(ticket.cancelled)
      assert.equal(0, batch:failure(2).attempts)
      ticket.done { bytes = { done = 1, values = { 1 } } }
      for i = 2, #backend.tickets + 1 do
        backend.tickets[i].done(answer(backend.tickets[i]))
      end
      assert.same({ 1, "cancelled", 3, 4, 5, 6 }, kinds(batch))
    end)

    it("that runs: its worker is replaced, others of the chunk lose nothing", function()
      local ticket = backend.tickets[1]
      ticket.begun, ticket.finished = 2, 1
      assert.is_true(scheduler:is_running(batch, 2))
      assert.is_false(scheduler:is_running(batch, 3))
      assert.is_true(scheduler:cancel(batch, 2))
      assert.is_true(ticket.cancelled)
      assert.equal(1, batch:failure(2).attempts)
      ticket.done { kind = "cancelled", message = "m", progress = { begun = 2, finished = 1,
        kept_tasks = 1, kept = { done = 1, values = { 1 } } } }
      for i = 2, 3 do
        backend.tickets[i].done(answer(backend.tickets[i]))
      end
      assert.same({ "1 2 3", "3", "4 5 6" }, sent())
      assert.same({ 1, "cancelled", 3, 4, 5, 6 }, kinds(batch))
      assert.is_true(batch.is_done)
    end)

    it("not, when it has ended on the worker", function()
      local ticket = backend.tickets[1]
      ticket.begun, ticket.finished = 3, 2
      assert.is_false(scheduler:cancel(batch, 2))
      ticket.done(answer(ticket))
      assert.equal(2, (batch:values(2)))
    end)

    it("once", function()
      scheduler:cancel(batch, 5)
      scheduler:cancel(batch, 6)
      backend.tickets[1].done(answer(backend.tickets[1]))
      backend.tickets[2].done(answer(backend.tickets[2]))
      assert.equal(0, batch.remaining)
      local stats = scheduler:stats()
      assert.same({ 6, 4, 2 }, { stats.tasks, stats.done, stats.cancelled })
    end)
  end)

  describe("cancels a call", function()
    it("what is queued and what runs, and no other", function()
      local batch, other = add({ 1, 2, 3, 4 }, { size = 1 }), add({ 5 }, { size = 1 })
      scheduler:cancel_call(batch.call, "enough")
      assert.is_true(batch.is_done)
      assert.same({ "cancelled", "cancelled", "cancelled", "cancelled" }, kinds(batch))
      assert.equal("enough", batch.errors[4].message)
      assert.is_true(backend.tickets[1].cancelled and backend.tickets[2].cancelled)
      world.loop.pump(0)
      assert.same({ "1", "2", "5" }, sent())
      backend.tickets[3].done(answer(backend.tickets[3]))
      assert.same({ 5 }, kinds(other))
    end)

    it("and knows what of it was started", function()
      local batch = add({ 1, 2, 3, 4, 5, 6, 7 }, { size = 3 })
      backend.tickets[1].begun = 2
      backend.tickets[2].begun = 3
      scheduler:cancel_call(batch.call, "enough")
      local attempts = {}
      for i = 1, batch.n do
        attempts[i] = batch:failure(i).attempts
      end
      assert.same({ 1, 1, 0, 1, 1, 1, 0 }, attempts)
    end)

    it("whose answers come all the same, and are dropped", function()
      local batch = add({ 1 }, { size = 1 })
      scheduler:cancel_call(batch.call, "enough")
      backend.tickets[1].done(answer(backend.tickets[1]))
      assert.same({ "cancelled" }, kinds(batch))
      world.loop.pump(0)
      assert.equal(0, scheduler.busy)
    end)
  end)

  describe("at its end", function()
    it("cancels everything when it is terminated, and all that comes later", function()
      local batch = add({ 1, 2, 3, 4, 5 }, { size = 1 })
      scheduler:terminate "it is over"
      assert.is_true(backend.closed)
      assert.is_true(batch.is_done)
      assert.same({ "cancelled", "cancelled", "cancelled", "cancelled", "cancelled" },
        kinds(batch))
      assert.equal("it is over", batch.errors[1].message)
      assert.same({ "cancelled" }, kinds(add { 1 }))
      assert.equal(2, #backend.tickets)
      assert.is_true(scheduler:is_idle())
    end)

    it("drains before it ends the workers", function()
      open(2, function(ticket) return answer(ticket), 1 end)
      local batch = add({ 1, 2, 3, 4, 5 }, { size = 2 })
      scheduler:drain()
      assert.same({ 1, 2, 3, 4, 5 }, kinds(batch))
      assert.is_true(backend.closed)
      assert.equal(1002, world.now)
    end)

    it("drains what waits for its next attempt", function()
      open(1, function(ticket)
        return ticket.number == 1 and { kind = "lost", message = "m" } or answer(ticket)
      end)
      local batch = add({ 1 }, { retry = retry { times = 1, base = 4 } })
      scheduler:drain()
      assert.same({ 1 }, kinds(batch))
    end)
  end)

  it("counts the tasks of those that are gone", function()
    add({ 1, 2 }, { size = 1 })
    backend.tickets[1].done(answer(backend.tickets[1]))
    backend.tickets[2].done(answer(backend.tickets[2]))
    open(1)
    collectgarbage()
    collectgarbage()
    add { 1 }
    local totals = world.scheduler.totals()
    assert.equal(3, totals.tasks)
    assert.equal(2, totals.done)
    assert.equal(1, totals.running)
  end)

  it("may go on after an interrupt", function()
    open(2)
    local batch = add({ 1, 2, 3, 4 }, { size = 1 })
    backend.tickets[1].done(answer(backend.tickets[1]))
    world.scheduler.survive_interrupts()
    world.interrupted = true
    assert.is_true(world.interrupt.take())
    assert.same({ 1, "cancelled", "cancelled", "cancelled" }, kinds(batch))
    for i = 2, 3 do
      backend.tickets[i].done { kind = "cancelled", message = "its worker is gone" }
    end
    local again = add({ 5 }, { size = 1 })
    local last = backend.tickets[#backend.tickets]
    last.done(answer(last))
    assert.same({ 5 }, kinds(again))
  end)

  it("counts what all of them did", function()
    assert.is_nil(world.scheduler.counts())
    add({ 1, 2, 3 }, { size = 1 })
    backend.tickets[1].done(answer(backend.tickets[1]))
    backend.tickets[2].done { kind = "lost", message = "m" }
    open(1)
    add { 1 }
    assert.same({ done = 1, failed = 1, unfinished = 2 }, world.scheduler.counts())
  end)
end)
