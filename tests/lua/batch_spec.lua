local batches = require "lambdapool.batch"

local function new(n)
  return batches.new("code", {}, n, {})
end

local function report(fields)
  fields.max_values = fields.max_values or 1
  fields.run_us = 5000
  return fields
end

describe("a batch", function()
  it("is done when every item has ended, whichever way", function()
    local batch, told = new(6), 0
    batch.on_done = function() told = told + 1 end
    batch:complete(2, 3, report {})
    batch:fail(4, 4, "crashed", "m")
    batch:skip(5, 6)
    assert.is_false(batch.done)
    batch:refuse(1, 1, "cannot send item 1")
    assert.is_true(batch.done)
    assert.equal(1, told)
    assert.is_true(new(0).done)
  end)

  it("gives the values of an item, nils in place", function()
    local batch = new(2)
    batch.columns = { { "a", nil }, [3] = { nil, "b" } }
    batch:complete(1, 2, report { max_values = 3 })
    assert.same({ "a", nil, nil, n = 3 }, table.pack(batch:values(1)))
    assert.same({ nil, nil, "b", n = 3 }, table.pack(batch:values(2)))
  end)

  it("gives one list for each value, and at least one", function()
    local batch = new(2)
    batch.columns = { nil, { "x" } }
    batch:complete(1, 2, report { max_values = 2 })
    assert.same({ { n = 2 }, { "x", n = 2 }, n = 2 }, table.pack(batch:lists()))
    assert.same({ { n = 0 }, n = 1 }, table.pack(new(0):lists()))
  end)

  it("knows its errors by position, and raises the first", function()
    local batch = new(9)
    batch:complete(7, 9, report {}, { [2] = { kind = "error", message = "eight" } }, { worker = 3 })
    batch:complete(1, 1, report {}, { { kind = "error", message = "one" } }, { worker = 1 })
    assert.equal(8, batch.errors[8].index)
    assert.equal(3, batch.errors[8].worker)
    assert.is_nil(batch.errors[8].milliseconds)
    assert.equal(5, batch.errors[1].milliseconds)
    local _, e = pcall(batch.check, batch)
    assert.equal("one", e.message)
    assert.equal(9, e.count)
  end)

  it("counts positions from where a stream is", function()
    local batch = new(1)
    batch.position, batch.total = 10, nil
    batch:fail(1, 1, "lost", "m")
    assert.equal(11, batch.errors[1].index)
    assert.is_nil(batch.errors[1].count)
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
end)
