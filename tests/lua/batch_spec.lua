local batches = require "lambdapool.batch"
local codec = require "lambdapool.codec"
local retries = require "lambdapool.retry"
local tallies = require "lambdapool.tally"

local function new_call(fields)
  fields = fields or {}
  fields.tally, fields.totals = tallies.new(), tallies.new()
  return fields
end

local function new(n, fields)
  return batches.new(new_call(fields), {}, n)
end

local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

describe("a batch", function()
  it("is done when every item has ended, whichever way", function()
    local batch, told = new(6), 0
    batch.watchers = { function() told = told + 1 end }
    batch:finish(2, 3)
    batch:fail(4, 4, "crashed", "m")
    batch:skip(5, 6)
    assert.is_false(batch.is_done)
    batch:refuse(1, 1, "cannot send item 1")
    assert.is_true(batch.is_done)
    assert.equal(1, told)
    assert.is_true(new(0).is_done)
  end)

  it("that grows is done when it is closed and all have ended", function()
    local batch = new(1)
    batch.growing = true
    batch:finish(1, 1)
    assert.is_false(batch.is_done)
    batch:close()
    batch:close()
    assert.is_true(batch.is_done)
    batch = new(1)
    batch.growing = true
    batch:close()
    assert.is_false(batch.is_done)
    batch:finish(1, 1)
    assert.is_true(batch.is_done)
  end)

  it("tells which items have ended", function()
    local batch, told = new(6), {}
    batch.on_items = function(_, first, last) told[#told + 1] = { first, last } end
    batch:finish(1, 2)
    batch:fail(5, 6, "lost", "m")
    assert.same({ { 1, 2 }, { 5, 6 } }, told)
  end)

  it("counts how its items end, in its call and in all", function()
    local batch = new(10)
    batch:finish(1, 4)
    batch:fail(5, 6, "crashed", "m")
    batch:fail(7, 7, "cancelled", "m")
    batch:skip(8, 9)
    batch:drop(10)
    for _, tally in ipairs { batch.call.tally, batch.call.totals } do
      assert.same({ 4, 2, 4 }, { tally.done, tally.failed, tally.cancelled })
    end
  end)

  describe("with items that were dropped", function()
    it("ends each once", function()
      local batch, told = new(6), {}
      batch.on_items = function(_, first, last) told[#told + 1] = { first, last } end
      batch:drop(2)
      batch:drop(6)
      assert.equal(4, batch.remaining)
      assert.equal("cancelled", batch:failure(2).kind)
      batch:finish(1, 3)
      batch:fail(4, 6, "lost", "m")
      assert.same({ { 2, 2 }, { 6, 6 }, { 1, 1 }, { 3, 3 }, { 4, 5 } }, told)
      assert.is_true(batch.is_done)
      assert.equal("cancelled", batch:failure(6).kind)
      local tally = batch.call.tally
      assert.same({ 2, 2, 2 }, { tally.done, tally.failed, tally.cancelled })
    end)

    it("skips each once", function()
      local batch = new(3)
      batch:drop(2)
      batch:skip(1, 3)
      assert.is_true(batch.is_done)
      assert.equal(3, batch.call.tally.cancelled)
    end)
  end)

  describe("gives the values", function()
    it("of an item, nils in place", function()
      local batch = new(3)
      batch.columns = { { "a", nil, "one" }, nil, { nil, "b" }, counts = { 3, 3 } }
      assert.same({ "a", nil, nil, n = 3 }, table.pack(batch:values(1)))
      assert.same({ nil, nil, "b", n = 3 }, table.pack(batch:values(2)))
      assert.same({ "one", n = 1 }, table.pack(batch:values(3)))
      batch.columns.counts[3] = 0
      assert.equal(0, select("#", batch:values(3)))
    end)

    it("as one list for each, at least one", function()
      local batch = new(2)
      batch.columns, batch.width = { nil, { "x" } }, 2
      assert.same({ { n = 2 }, { "x", n = 2 }, n = 2 }, table.pack(batch:lists()))
      assert.same({ { n = 0 }, n = 1 }, table.pack(new(0):lists()))
    end)
  end)

  describe("knows its errors", function()
    it("by position, and raises the first", function()
      local batch = new(9)
      batch.total = 9
      batch:check()
      batch:fail(8, 8, "lost", "eight")
      batch:fail(3, 3, "crashed", "three")
      assert.equal(8, batch:failure(8).index)
      assert.is_nil(batch:failure(7))
      local e = error_of(batch.check, batch)
      assert.same({ "three", 3, 9, 0, 1 }, { e.message, e.index, e.count, e.attempts, e.tries })
    end)

    it("from where a stream is", function()
      local batch = new(1)
      batch.position = 10
      batch:fail(1, 1, "lost", "m")
      assert.equal(11, batch.errors[1].index)
      assert.is_nil(batch.errors[1].count)
    end)

    it("without a place, where items have none", function()
      local batch = new(1)
      batch.position = nil
      batch:fail(1, 1, "lost", "m")
      assert.is_nil(batch.errors[1].index)
    end)

    it("with how often they were started, and might have been", function()
      local batch = new(4, { retry = retries.new("", { retries = 4 }, 1) })
      batch.attempts = { [2] = 3, [4] = 3 }
      batch:fail(1, 2, "cancelled", "m", true)
      batch:fail(3, 4, "cancelled", "m")
      local attempts = {}
      for i = 1, 4 do
        attempts[i] = batch.errors[i].attempts
        assert.equal(5, batch.errors[i].tries)
      end
      assert.same({ 1, 3, 0, 2 }, attempts)
    end)

    it("behind what could not be sent, which is raised as it is", function()
      local batch = new(3)
      batch:fail(1, 1, "lost", "m")
      batch:refuse(2, 2, "cannot send item 2")
      batch:refuse(3, 3, "cannot send item 3")
      assert.equal("cannot send item 2", error_of(batch.check, batch))
    end)
  end)

  it("says what need not run any more", function()
    local batch = new(9)
    assert.is_falsy(batch:is_moot(1))
    batch:fail(4, 4, "lost", "m")
    assert.is_falsy(batch:is_moot(5))
    batch.fail_fast = true
    assert.is_falsy(batch:is_moot(3))
    assert.is_truthy(batch:is_moot(5))
    batch.cancelled = true
    assert.is_truthy(batch:is_moot(1))
  end)

  it("encodes its items, so that they may change", function()
    local call = new_call { code = codec.code(function(x) return x end) }
    local batch = batches.new(call, { { "a" }, { "b" } }, 2)
    batch:encode()
    assert.is_true(batch.encoded)
    assert.equal("string", type(batch.items[2]))
    batch = batches.new(call, { 1, coroutine.create(print) }, 2)
    assert.matches("^cannot send item 2", error_of(batch.encode, batch))
  end)
end)
