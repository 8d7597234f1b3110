local batches = require "lambdapool.batch"
local queues = require "lambdapool.queue"
local tallies = require "lambdapool.tally"

describe("the queue", function()
  local queue

  before_each(function()
    queue = queues.new()
  end)

  -- A batch of n items, all in the queue, to be taken `size` at a time.
  local function add(n, size)
    local call = { size = size, tally = tallies.new(), totals = tallies.new() }
    local batch = batches.new(call, {}, n)
    queue:push_back { batch = batch, first = 1, last = n, attempt = 1 }
    return batch
  end

  -- All that can be taken: "1-3 4-4".
  local function take_all()
    local parts = {}
    for range in queue.take, queue, 2 do
      parts[#parts + 1] = range.first .. "-" .. range.last
    end
    return table.concat(parts, " ")
  end

  it("gives pieces of the size that fits, first in first out", function()
    local first, second = add(4, 3), add(2, 3)
    assert.equal(first, queue:first().batch)
    assert.equal("1-3 4-4 1-2", take_all())
    assert.is_true(queue:is_empty())
    assert.is_nil(queue:first())
    assert.is_nil(queue:take(2))
    assert.is_false(first.is_done or second.is_done)
  end)

  it("gives first what comes back to its head", function()
    local batch = add(3, 3)
    local range = queue:take(2)
    add(1, 1)
    queue:push_front(queues.part(range, 2, 3))
    local again = queue:take(2)
    assert.same({ 2, 3, 1 }, { again.first, again.last, again.attempt })
    assert.equal(batch, again.batch)
    assert.equal("1-1", take_all())
  end)

  it("marks ranges that have left it whole", function()
    add(4, 3)
    local entry = queue:first()
    assert.is_nil(queue:take(2).popped)
    assert.is_nil(entry.popped)
    queue:take(2)
    assert.is_true(entry.popped)
  end)

  it("leaves out items that were cancelled", function()
    local batch = add(7, 3)
    for _, i in ipairs { 1, 2, 5 } do
      batch:drop(i)
    end
    assert.equal("3-4 6-7", take_all())
    local all_dropped = add(1, 1)
    all_dropped:drop(1)
    assert.equal("", take_all())
    assert.is_true(all_dropped.is_done)
  end)

  it("ends what need not be run any more", function()
    local failing = add(3, 1)
    failing.fail_fast = true
    queue:take(2)
    failing:fail(1, 1, "lost", "m")
    local given_up = add(3, 1)
    given_up.cancelled = true
    assert.equal("", take_all())
    assert.is_true(failing.is_done and given_up.is_done)
    assert.same({ 2, 3 }, { failing.call.tally.cancelled, given_up.call.tally.cancelled })
  end)

  it("forgets a request made ahead when one of its items was cancelled", function()
    local batch = add(3, 3)
    local range = queue:take(2)
    range.request = "request"
    queue:push_front(range)
    assert.equal("request", queue:take(2).request)
    queue:push_front(range)
    batch:drop(2)
    range = queue:take(2)
    assert.same({ 1, 1 }, { range.first, range.last })
    assert.is_nil(range.request)
  end)

  it("gives up all of a call, or everything", function()
    local batch, other = add(4, 3), add(2, 3)
    queue:take(2)
    local removed = queue:remove(batch.call)
    assert.equal(1, #removed)
    assert.same({ 4, 4, true }, { removed[1].first, removed[1].last, removed[1].popped })
    assert.equal(other, queue:first().batch)
    assert.equal(1, #queue:remove())
    assert.is_true(queue:is_empty())
  end)
end)
