--- Programs that draw frames: no piece of work is large, and nothing is lost between the pieces.

local codec = require "lambdapool.codec"
local executors = require "lambdapool.executor"
local fakes = require "tests.lua.fakes"
local frames = require "lambdapool.frames"

local answer, kinds = fakes.answer, fakes.kinds

describe("answers that are read in pieces", function()
  local world, scheduler, backend, pieces

  before_each(function()
    world = fakes.world()
    world.frames.keep()
    pieces = {}
    scheduler, backend = world.open(1)
  end)

  -- All `n` items go into one invocation, which the test ends.
  local function add(n, fields)
    local items = {}
    for i = 1, n do
      items[i] = i
    end
    fields = fields or {}
    fields.code, fields.target_us, fields.size = "code", 50000, n
    local batch = world.batch.new(scheduler:call(fields), items, n)
    batch.on_items = function(_, first, last)
      pieces[#pieces + 1] = last - first + 1
    end
    scheduler:add(batch, 1, n)
    return batch
  end

  -- Ends the invocation, and does so many pieces of what that brings about.
  local function finish(number, outcome, steps)
    local ticket = backend.tickets[number]
    ticket.done(outcome or answer(ticket))
    for _ = 1, steps or 0 do
      assert.is_true(world.loop.step())
    end
  end

  local function largest()
    return math.max(table.unpack(pieces))
  end

  it("give their results a few at a time", function()
    local batch = add(1000)
    finish(1, nil, 2)
    assert.equal(frames.piece_tasks, batch.n - batch.remaining)
    world.completion.await(batch)
    assert.equal(frames.piece_tasks, largest())
    assert.equal(1000, kinds(batch)[1000])
  end)

  it("keep the scheduler from being idle until they are at their end", function()
    local batch = add(100)
    finish(1)
    assert.is_false(scheduler:is_idle())
    scheduler:drain()
    assert.is_true(scheduler:is_idle())
    assert.equal(0, batch.remaining)
  end)

  it("have their worker work meanwhile", function()
    local first, second = add(100), add(50)
    finish(1, nil, 1)
    assert.equal(2, #backend.tickets)
    assert.equal(100, first.remaining)
    finish(2)
    world.completion.await(second)
    assert.equal(0, first.remaining)
  end)

  it("have errors that belong to their items", function()
    local batch = add(100)
    local outcome = answer(backend.tickets[1])
    outcome.bytes.errors = { [1] = { kind = "error" }, [40] = { kind = "error" },
      [100] = { kind = "error" } }
    finish(1, outcome)
    world.completion.await(batch)
    local expected = {}
    for i = 1, 100 do
      expected[i] = outcome.bytes.errors[i] and "error" or i
    end
    assert.same(expected, kinds(batch))
  end)

  it("try again what the policy wants again", function()
    local batch = add(64, { retry = world.retry.new("", { retries = 1 }, 1) })
    local outcome = answer(backend.tickets[1])
    outcome.bytes.errors = { [50] = { kind = "timeout" } }
    finish(1, outcome)
    world.loop.pump(0)
    world.loop.pump(30)
    assert.same({ 50 }, backend.tickets[2].request.items)
    finish(2)
    world.completion.await(batch)
    assert.equal(50, kinds(batch)[50])
  end)

  it("queue again what was not begun", function()
    local batch = add(100)
    local outcome = answer(backend.tickets[1])
    outcome.bytes.done = 60
    finish(1, outcome, 2)
    assert.equal(61, backend.tickets[2].request.items[1])
    finish(2)
    world.completion.await(batch)
    assert.equal(100, kinds(batch)[100])
  end)

  it("leave out what was cancelled between two pieces", function()
    local batch = add(100)
    finish(1, nil, 2)
    assert.is_true(scheduler:cancel(batch, 99))
    world.completion.await(batch)
    assert.equal("cancelled", kinds(batch)[99])
    assert.equal(100, kinds(batch)[100])
    assert.equal(99, scheduler:stats().done)
  end)

  it("lose no task when they are damaged, in whatever place", function()
    local batch = add(10)
    backend.tickets[1].done { bytes = "damaged" }
    world.completion.await(batch)
    assert.equal("lost", kinds(batch)[1])
    batch = add(100)
    local outcome = answer(backend.tickets[2])
    outcome.bytes.broken = 70
    finish(2, outcome)
    world.completion.await(batch)
    assert.equal(69, kinds(batch)[69])
    assert.equal("lost", kinds(batch)[70])
    assert.equal("lost", kinds(batch)[100])
    assert.is_true(scheduler:is_idle())
  end)

  it("are read at once when they are compressed", function()
    local batch = add(100)
    local outcome = answer(backend.tickets[1])
    outcome.bytes.compressed = true
    finish(1, outcome)
    world.completion.await(batch)
    assert.equal(100, largest())
    assert.equal(100, kinds(batch)[100])
    assert.is_true(scheduler:is_idle())
  end)

  it("end with those of another version of a module", function()
    local batch = add(100)
    local outcome = answer(backend.tickets[1])
    outcome.bytes.stale = "config"
    finish(1, outcome)
    world.completion.await(batch)
    assert.equal("lost", kinds(batch)[100])
    assert.is_true(scheduler:is_idle())
  end)

  describe("are given back", function()
    -- Ends an invocation of 100 items with an answer that `change` has changed.
    local function answer_of(change)
      add(100)
      local outcome = answer(backend.tickets[1])
      if change then
        change(outcome.bytes)
      end
      finish(1, outcome)
      return outcome.bytes
    end

    it("when all of them was read, and no sooner", function()
      local bytes = answer_of()
      repeat
        assert.is_nil(bytes.released)
      until not world.loop.step() or scheduler:is_idle()
      assert.is_true(scheduler:is_idle())
      assert.is_truthy(bytes.released)
    end)

    it("when they are no use", function()
      for _, field in ipairs { "stale", "compressed", "broken" } do
        world = fakes.world()
        world.frames.keep()
        scheduler, backend = world.open(1)
        local bytes = answer_of(function(bytes)
          bytes[field] = field == "broken" and 50 or field
        end)
        world.loop.pump(0)
        world.loop.pump(0)
        assert.is_truthy(bytes.released, field)
      end
    end)

    it("when they come too late", function()
      add(100)
      scheduler:terminate "over"
      local outcome = answer(backend.tickets[1])
      backend.tickets[1].done(outcome)
      assert.is_truthy(outcome.bytes.released)
    end)

    it("with results of tasks that were cancelled meanwhile, or have none", function()
      local batch = add(100)
      local outcome = answer(backend.tickets[1], function() return {} end)
      local values = outcome.bytes.values
      outcome.bytes.broken = 80
      finish(1, outcome, 2)
      assert.is_true(scheduler:cancel(batch, 70))
      world.completion.await(batch)
      assert.equal(1, values[70].released)
      assert.is_nil(batch.columns[1][70])
      assert.is_nil(values[69].released)
      assert.equal(values[69], batch.columns[1][69])
    end)
  end)

  it("end after the pool was terminated", function()
    local batch = add(100)
    finish(1)
    scheduler:terminate "over"
    world.completion.await(batch)
    assert.equal(100, kinds(batch)[100])
    assert.is_true(scheduler:is_idle())
  end)
end)

describe("submitting, where frames are drawn", function()
  it("does not take in what workers have done", function()
    local world = fakes.world()
    world.frames.keep()
    local scheduler = world.open(2)
    local glances = 0
    world.loop.glance = function()
      glances = glances + 1
    end
    local batch = world.batch.new(scheduler:call { code = "code", target_us = 1 }, { 1 }, 1)
    scheduler:add(batch, 1, 1)
    assert.equal(0, glances)
  end)
end)

describe("tasks on workers, where frames are drawn", function()
  local kept = codec.kept
  local pieces

  before_each(function()
    frames.keep()
    pieces = {}
    codec.kept = function(bytes, tasks, origins, columns, base, position, most)
      local report, failures, after = kept(bytes, tasks, origins, columns, base, position, most)
      pieces[#pieces + 1] = { tasks = report.done, bytes = after - position }
      return report, failures, after
    end
  end)

  after_each(function()
    frames.kept, codec.kept = false, kept
  end)

  local function results(n, f)
    local executor <close> = executors.new { workers = 2 }
    local futures, values = {}, {}
    for i = 1, n do
      futures[i] = executor:submit(f, i)
    end
    for i = 1, n do
      values[i] = futures[i]:result(60)
    end
    return values
  end

  it("have all their results, and no piece is large", function()
    local values = results(3000, function(i) return i, { i } end)
    for i = 1, 3000 do
      assert.equal(i, values[i])
    end
    assert.is_true(#pieces >= 3000 / frames.piece_tasks)
    for _, piece in ipairs(pieces) do
      assert.is_true(piece.tasks <= frames.piece_tasks)
    end
  end)

  it("may return much: no piece has more bytes than one result beyond the bound", function()
    local values = results(60, function(i) return ("x"):rep(65536) .. i end)
    for i = 1, 60 do
      assert.equal(65536 + #tostring(i), #values[i])
    end
    assert.is_true(#pieces > 0)
    for _, piece in ipairs(pieces) do
      assert.is_true(piece.bytes <= frames.piece_bytes + 66000)
    end
    values = results(3, function(i) return ("y"):rep(3000000 + i) end)
    assert.equal(3000003, #values[3])
  end)
end)
