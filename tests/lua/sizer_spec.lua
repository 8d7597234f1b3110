local frames = require "lambdapool.frames"
local sizer = require "lambdapool.sizer"

describe("the size of an invocation", function()
  -- For `left` of `n` items that take `cost` us each, if that is known, with two workers.
  local function size(cost, n, left, fields)
    local call = { cost = cost, target_us = 20000 }
    for name, value in pairs(fields or {}) do
      call[name] = value
    end
    left = left or n
    return sizer.size({ call = call, n = n, whole = call.whole }, { first = 1, last = left }, 2)
  end

  it("is a quarter of each worker's share as long as nothing is known", function()
    assert.equal(13, size(nil, 100))
    assert.equal(1, size(nil, 8))
    assert.equal(2, size(nil, 9))
    assert.equal(1, size(nil, 1))
  end)

  it("is what fits the time, when tasks take long", function()
    assert.equal(2, size(10000, 1000))
    assert.equal(1, size(1e9, 1000))
  end)

  it("is large enough to be worth it, when tasks are tiny", function()
    assert.equal(200, size(1, 10))
    assert.equal(1250, size(1, 10000))
  end)

  it("does not shrink for ever towards the end", function()
    assert.equal(63, size(10, 1000, 1))
  end)

  it("is what the user says, and all where it must be", function()
    assert.equal(7, size(1, 1000, nil, { size = 7 }))
    assert.equal(1000, size(nil, 1000, nil, { whole = true }))
  end)
end)

describe("the size of a chunk of a stream", function()
  it("is one until the time of a task is known, then what fits", function()
    assert.equal(1, sizer.streamed { target_us = 5000 })
    assert.equal(5, sizer.streamed { target_us = 5000, cost = 1000 })
    assert.equal(1, sizer.streamed { target_us = 5000, cost = 1e6 })
    assert.equal(3, sizer.streamed { target_us = 5000, cost = 1, size = 3 })
  end)

  it("has a bound", function()
    local most = sizer.streamed { target_us = 5000, cost = 0.001 }
    assert.equal(most, sizer.streamed { target_us = 1e9, cost = 0.001 })
  end)
end)

describe("an invocation that costs much by itself", function()
  it("has more to do", function()
    local call = { cost = 100, target_us = 5000 }
    sizer.reckon(call, nil)
    assert.equal(5000, call.target_us)
    sizer.reckon(call, 20000)
    assert.equal(200000, call.target_us)
    local batch = { call = call, n = 1000 }
    assert.equal(200, sizer.size(batch, { first = 1, last = 1000 }, 1000))
    batch.n = 1e6
    assert.equal(250, sizer.size(batch, { first = 1, last = 1000000 }, 1000))
    assert.equal(2000, sizer.size(batch, { first = 1, last = 1000000 }, 4))
  end)
end)

describe("the time of a task", function()
  it("follows what is measured", function()
    local call = {}
    sizer.measure(call, { done = 0, run_us = 50 }, 100)
    assert.is_nil(call.cost)
    sizer.measure(call, { done = 10, run_us = 1000 }, 400)
    assert.equal(100, call.cost)
    assert.equal(40, call.bytes)
    for _ = 1, 20 do
      sizer.measure(call, { done = 1, run_us = 700 }, 9)
    end
    assert.is_true(math.abs(call.cost - 700) < 1)
    assert.is_true(math.abs(call.bytes - 9) < 1)
    sizer.measure(call, { done = 1, run_us = 0 }, 0)
    assert.is_true(call.cost > 0)
  end)
end)

describe("an invocation of measured size", function()
  it("is told to stop when it takes twice as long as it should", function()
    assert.equal(40, sizer.stop_ms { target_us = 20000 })
    assert.equal(1, sizer.stop_ms { target_us = 1 })
    assert.is_nil(sizer.stop_ms { target_us = 20000, size = 10 })
  end)
end)

describe("where frames are drawn", function()
  before_each(frames.keep)

  after_each(function()
    frames.kept = false
  end)

  local function size(call, n)
    call.target_us = 50000
    return sizer.size({ call = call, n = n }, { first = 1, last = n }, 2)
  end

  it("an invocation begins small", function()
    assert.equal(frames.first_tasks, size({}, 1000))
    assert.equal(1, sizer.streamed { target_us = 50000 })
  end)

  it("it has as many tasks as a request and an answer may have bytes for", function()
    assert.equal(frames.lent_bytes // 65536, size({ cost = 10, bytes = 65536 }, 1000))
    assert.equal(3, size({ cost = 20000, bytes = 65536 }, 1000))
    assert.equal(2, size({ cost = 20000, bytes = frames.lent_bytes // 2 }, 1000))
    assert.equal(1, size({ cost = 10, bytes = 10 * frames.lent_bytes }, 1000))
    assert.equal(frames.lent_bytes // 65536,
      sizer.streamed { cost = 10, bytes = 65536, target_us = 50000 })
    local far = { cost = 10, bytes = 32768, overhead_us = 50000 }
    assert.equal(frames.bytes // 32768, size(far, 1000))
    assert.equal(frames.bytes, sizer.request_bytes())
  end)

  it("it has a number of tasks that is bounded", function()
    assert.equal(frames.tasks, size({ cost = 0.01, bytes = 3 }, 1000000))
    assert.equal("integer", math.type(size({ cost = 0.01, bytes = 300.5 }, 1000000)))
  end)

  it("it lasts some frames, so that workers have something to do", function()
    local call = { target_us = 5000 }
    sizer.reckon(call, nil)
    assert.equal(frames.target_us, call.target_us)
    assert.equal(3, size({ cost = 20000, bytes = 10 }, 1000))
  end)
end)
