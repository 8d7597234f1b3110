--- The numbers of a pool: they add up in every state.

local fakes = require "tests.lua.fakes"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"
local tallies = require "lambdapool.tally"

describe("a tally", function()
  it("counts for its call and for all", function()
    local totals = tallies.new()
    local one, two = { tally = tallies.new(), totals = totals }, { tally = tallies.new(),
      totals = totals }
    tallies.add(one, "done", 2)
    tallies.add(two, "done", 3)
    tallies.add(two, "running", -1)
    assert.same({ 2, 3, 5 }, { one.tally.done, two.tally.done, totals.done })
    assert.same({ 0, -1, -1 }, { one.tally.running, two.tally.running, totals.running })
  end)
end)

describe("stats", function()
  local world, scheduler, backend

  before_each(function()
    world = fakes.world()
    scheduler, backend = world.open(2)
  end)

  local function add(n, fields)
    fields = fields or { size = 2 }
    fields.code, fields.target_us = "code", 20000
    local items = support.range(1, n)
    local batch = world.batch.new(scheduler:call(fields), items, n)
    scheduler:add(batch, 1, n)
    return batch
  end

  -- "tasks = done + failed + cancelled + running + queued", which must be so.
  local function sums()
    local s = scheduler:stats()
    assert.equal(s.tasks, s.done + s.failed + s.cancelled + s.running + s.queued)
    return ("%d = %d + %d + %d + %d + %d"):format(s.tasks, s.done, s.failed, s.cancelled,
      s.running, s.queued)
  end

  local function answer(number)
    backend.tickets[number].done(fakes.answer(backend.tickets[number]))
  end

  it("are nothing at first", function()
    assert.equal("0 = 0 + 0 + 0 + 0 + 0", sums())
    for name, value in pairs(scheduler:stats()) do
      assert.equal(name == "seed" and 1 or 0, value, name)
    end
  end)

  it("follow a call to its end", function()
    add(7)
    assert.equal("7 = 0 + 0 + 0 + 4 + 3", sums())
    answer(1)
    assert.equal("7 = 2 + 0 + 0 + 4 + 1", sums())
    backend.tickets[2].done { kind = "crashed", message = "m" }
    assert.equal("7 = 2 + 2 + 0 + 3 + 0", sums())
    answer(3)
    answer(4)
    assert.equal("7 = 5 + 2 + 0 + 0 + 0", sums())
    local stats = scheduler:stats()
    assert.same({ 7, 0, 4 }, { stats.attempts, stats.retried, stats.invocations })
  end)

  it("count what an invocation did not begin as queued, or running again", function()
    add(3, { size = 3 })
    backend.tickets[1].done { bytes = { done = 1 } }
    assert.equal("3 = 1 + 0 + 0 + 2 + 0", sums())
    assert.equal(1, scheduler:stats().attempts)
    answer(2)
    local stats = scheduler:stats()
    assert.same({ 3, 0, 2 }, { stats.attempts, stats.retried, stats.invocations })
  end)

  it("count a task once, however often it starts", function()
    add(1, { retry = world.retry.new("", { retry = { times = 2, base = 5 } }, 1) })
    backend.tickets[1].done { kind = "lost", message = "m" }
    assert.equal("1 = 0 + 0 + 0 + 0 + 1", sums())
    world.loop.wait(function() return #backend.tickets == 2 end)
    assert.equal("1 = 0 + 0 + 0 + 1 + 0", sums())
    answer(2)
    assert.equal("1 = 1 + 0 + 0 + 0 + 0", sums())
    local stats = scheduler:stats()
    assert.same({ 2, 1, 2 }, { stats.attempts, stats.retried, stats.invocations })
  end)

  it("count cancelled tasks, wherever they were", function()
    local batch = add(8)
    scheduler:cancel(batch, 8)
    assert.equal("8 = 0 + 0 + 1 + 4 + 3", sums())
    backend.tickets[1].begun = 1
    scheduler:cancel(batch, 2)
    sums()
    scheduler:cancel(batch, 1)
    sums()
    backend.tickets[1].done { kind = "cancelled", message = "m",
      progress = { begun = 1, finished = 0, kept_tasks = 0 } }
    sums()
    scheduler:cancel_call(batch.call, "enough")
    assert.equal("8 = 0 + 0 + 8 + 0 + 0", sums())
    world.loop.pump(0)
    assert.equal("8 = 0 + 0 + 8 + 0 + 0", sums())
  end)

  it("count tasks that were taken back once", function()
    local batch = add(0)
    assert.is_true(batch.is_done)
    local call = scheduler:call { code = "code", target_us = 20000, cost = 10 }
    batch = world.batch.new(call, { 1, 2, 3, 4 }, 4)
    batch.whole = true
    scheduler:add(batch, 1, 4)
    backend.tickets[1].begun = 1
    world.loop.wait(function() return #backend.tickets == 2 end)
    assert.equal("4 = 0 + 0 + 0 + 4 + 0", sums())
    backend.tickets[1].done { bytes = { done = 2 } }
    sums()
    answer(2)
    assert.equal("4 = 4 + 0 + 0 + 0 + 0", sums())
    assert.equal(4, scheduler:stats().attempts)
  end)

  it("count what could not be sent as cancelled", function()
    local call = scheduler:call { code = "code", target_us = 20000, size = 1 }
    scheduler:add(world.batch.new(call, { 1, "unsendable", 3, 4 }, 4), 1, 4)
    assert.equal("4 = 0 + 0 + 3 + 1 + 0", sums())
  end)

  it("count everything as cancelled at the end", function()
    add(7)
    answer(1)
    scheduler:terminate "it is over"
    assert.equal("7 = 2 + 0 + 5 + 0 + 0", sums())
    add(1)
    assert.equal("8 = 2 + 0 + 6 + 0 + 0", sums())
  end)

  it("count late answers", function()
    add(1)
    backend.tickets[1].done { kind = "lost", message = "m" }
    answer(1)
    assert.equal(1, scheduler:stats().duplicates)
    assert.equal("1 = 0 + 1 + 0 + 0 + 0", sums())
  end)
end)

describe("the stats of a pool", function()
  it("tell what really happened", function()
    local pool <close> = lambdapool.pool { workers = 2, seed = 5 }
    pool:map(math.abs, support.range(1, 100))
    pcall(pool.apply, pool, error, { "no" })
    pcall(pool.apply, pool, function() os.exit(1) end)
    local step = pool:imap(math.abs, { 1, 2, 3 })
    step()
    local stats = pool:stats()
    assert.equal(stats.tasks,
      stats.done + stats.failed + stats.cancelled + stats.running + stats.queued)
    assert.equal(2, stats.failed)
    assert.equal(105, stats.tasks)
    assert.equal(5, stats.seed)
    assert.is_true(stats.workers_started >= 1 and stats.workers <= 2)
    assert.is_true(stats.cold_starts >= 1 and stats.cold_starts <= stats.workers_started)
    for _, name in ipairs { "invocations", "bytes_sent", "bytes_received", "run_seconds",
      "peak_memory", "seconds" } do
      assert.is_true(stats[name] > 0, name)
    end
    assert.same({ 0, 0 }, { stats.retried, stats.duplicates })
  end)

  it("stay when it is terminated", function()
    local pool <close> = lambdapool.pool { workers = 1 }
    pool:map(math.abs, { 1, 2, 3 })
    local result = pool:apply_async(function() while true do end end)
    pool:terminate()
    local stats = pool:stats()
    assert.same({ 4, 3, 1, 0, 0, 0 }, { stats.tasks, stats.done, stats.cancelled, stats.running,
      stats.queued, stats.workers })
    assert.equal("cancelled", support.error_of(result.get, result).kind)
  end)
end)
