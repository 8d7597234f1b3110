local futures = require "lambdapool.future"
local lambdapool = require "lambdapool"
local loop = require "lambdapool.loop"
local support = require "tests.lua.pool_support"

local error_of = support.error_of

-- Where futures come from here: `calls` notes what they ask of it.
local function new_origin()
  local origin = { calls = {} }
  function origin:cancel()
    table.insert(self.calls, "cancel")
    return "the origin decides"
  end
  function origin.running()
    return "the origin knows"
  end
  return origin
end

local function new()
  return futures.new(new_origin())
end

describe("a future", function()
  it("gives its values, again and again", function()
    local future = new()
    futures.succeed(future, 1, nil, 3, nil)
    for _ = 1, 2 do
      assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(future:result()))
    end
    assert.is_nil(future:exception())
    local nothing = new()
    futures.succeed(nothing)
    assert.equal(0, select("#", nothing:result()))
    local one_nil = new()
    futures.succeed(one_nil, nil)
    assert.equal(1, select("#", one_nil:result()))
  end)

  it("raises its error, again and again, and returns it", function()
    local future, failure = new(), { kind = "error", message = "m" }
    futures.fail(future, failure)
    assert.equal(failure, error_of(future.result, future))
    assert.equal(failure, error_of(future.result, future, 0))
    assert.equal(failure, future:exception())
    assert.is_false(future:cancelled())
  end)

  it("says how it is", function()
    local pending, done, failed, cancelled = new(), new(), new(), new()
    futures.succeed(done, 1)
    futures.fail(failed, "m")
    futures.fail(cancelled, { kind = "cancelled" })
    local texts = {}
    for i, future in ipairs { pending, done, failed, cancelled } do
      texts[i] = tostring(future)
      assert.equal(future ~= pending, future:done())
      assert.equal(future == cancelled, future:cancelled())
    end
    assert.same({ "lambdapool.Future (running)", "lambdapool.Future (done)",
      "lambdapool.Future (failed)", "lambdapool.Future (cancelled)" }, texts)
    assert.equal("the origin knows", pending:running())
    assert.is_false(done:running())
  end)

  it("asks its origin to cancel it, while it is not done", function()
    local future = new()
    assert.equal("the origin decides", future:cancel())
    futures.succeed(future)
    assert.is_false(future:cancel())
    assert.same({ "cancel" }, future.origin.calls)
    local cancelled = new()
    futures.fail(cancelled, { kind = "cancelled" })
    assert.is_true(cancelled:cancel())
  end)

  it("is waited for no longer than asked", function()
    local future = new()
    for _, timeout in ipairs { 0, -1, 0.001 } do
      local e = error_of(future.result, future, timeout)
      assert.equal("LambdaTimeoutError", support.class(e))
      assert.equal("timeout", e.kind)
      assert.equal("timeout", error_of(future.exception, future, timeout).kind)
    end
    assert.equal("no result within 0.001 s, and the task goes on",
      tostring(error_of(future.result, future, 0.001)))
  end)

  it("wants a number for a timeout", function()
    local future = new()
    assert.matches("future_spec.lua:%d+: future:result: the timeout must be a number of seconds, "
      .. "got a string", error_of(function() return (future:result "1") end))
    assert.matches("got nan", error_of(future.exception, future, 0 / 0))
  end)

  it("knows its kin", function()
    assert.is_true(futures.is(new()))
    assert.is_true(futures.is(futures.new_async_result(new_origin())))
    for _, other in ipairs { 1, {}, "future", setmetatable({}, {}) } do
      assert.is_false(futures.is(other))
    end
  end)

  it("does not travel", function()
    assert.matches("a future cannot be sent to a worker: wait for its result and send that",
      error_of(lambdapool.dump, { new() }))
  end)

  describe("has callbacks", function()
    it("that are called in order with it, when somebody waits or polls", function()
      local future, log = new(), {}
      for i = 1, 3 do
        future:add_done_callback(function(f) log[#log + 1] = { i, f:result() } end)
      end
      futures.succeed(future, "value")
      assert.same({}, log)
      loop.pump(0)
      assert.same({ { 1, "value" }, { 2, "value" }, { 3, "value" } }, log)
    end)

    it("that are called at once when it is done", function()
      local future, got = new(), nil
      futures.succeed(future)
      future:add_done_callback(function(f) got = f end)
      assert.equal(future, got)
    end)

    it("that may be callable tables", function()
      local future, count = new(), 0
      local callback = setmetatable({}, { __call = function() count = count + 1 end })
      future:add_done_callback(callback)
      futures.succeed(future)
      loop.pump(0)
      assert.equal(1, count)
    end)

    it("whose errors reach the next call that waits, one after the other", function()
      local future = new()
      for i = 1, 2 do
        future:add_done_callback(function() error("callback " .. i, 0) end)
      end
      futures.succeed(future, 1)
      assert.equal("callback 1", error_of(loop.pump, 0))
      assert.equal("callback 2", error_of(loop.pump, 0))
      assert.equal(1, future:result())
    end)

    it("that are functions", function()
      local future = new()
      assert.matches("future_spec.lua:%d+: future:add_done_callback: the callback must be a "
        .. "function, got nil", error_of(function() future:add_done_callback() end))
      assert.matches("got a number", error_of(future.add_done_callback, future, 7))
    end)
  end)
end)

describe("an async result", function()
  local function new_result()
    return futures.new_async_result(new_origin())
  end

  it("says whether it is ready, and successful", function()
    local good, bad = new_result(), new_result()
    assert.is_false(good:ready())
    assert.matches("future_spec.lua:%d+: result:successful: the call has not ended",
      error_of(function() good:successful() end))
    futures.succeed(good, 1)
    futures.fail(bad, "m")
    assert.is_true(good:ready() and bad:ready())
    assert.is_true(good:successful())
    assert.is_false(bad:successful())
    assert.equal("lambdapool.AsyncResult (failed)", tostring(bad))
  end)

  it("is waited for, and gives what it has", function()
    local result = new_result()
    assert.is_false(result:wait(0))
    assert.equal("timeout", error_of(result.get, result, 0).kind)
    futures.succeed(result, "a", "b")
    assert.is_true(result:wait())
    assert.same({ "a", "b" }, { result:get() })
    assert.matches("result:wait: the timeout must be a number", error_of(result.wait, result, "1"))
  end)

  it("calls back with the values, or with the error", function()
    local log = {}
    local function note(name)
      return function(...) log[#log + 1] = table.pack(name, ...) end
    end
    local good, bad, silent = new_result(), new_result(), new_result()
    for _, result in ipairs { good, bad } do
      futures.add_callbacks(result, note "good", note "bad")
    end
    futures.add_callbacks(silent)
    futures.succeed(good, 1, nil)
    futures.fail(bad, "m")
    futures.fail(silent, "m")
    loop.pump(0)
    assert.same({ { "good", 1, nil, n = 3 }, { "bad", "m", n = 2 } }, log)
  end)
end)

describe("a future of a task", function()
  local executor, gate

  before_each(function()
    executor = lambdapool.executor { workers = 1 }
    gate = support.gate()
  end)

  after_each(function()
    gate:open()
    executor:shutdown { cancel_futures = true }
    getmetatable(gate).__close(gate)
  end)

  it("runs, waits and is done", function()
    local first = executor:submit(support.pass, gate.path, "value")
    local second = executor:submit(math.abs, -1)
    gate:await(1, executor)
    assert.is_true(first:running())
    assert.is_false(first:done())
    assert.is_false(second:running())
    gate:open()
    assert.equal("value", first:result(support.LONG))
    assert.is_false(first:running())
    assert.equal(1, second:result(support.LONG))
    assert.same({ 1, 1 }, { first.attempts, second.attempts })
  end)

  it("is cancelled in the queue", function()
    local first = executor:submit(support.pass, gate.path, "value")
    local second, third = executor:submit(math.abs, -2), executor:submit(math.abs, -3)
    assert.is_true(second:cancel())
    assert.is_true(second:cancelled())
    gate:open()
    assert.equal("value", first:result(support.LONG))
    assert.equal("cancelled", error_of(second.result, second).kind)
    assert.equal(3, third:result(support.LONG))
    assert.equal(1, executor:stats().workers_started)
  end)

  it("is cancelled while it runs, and another worker goes on", function()
    local first = executor:submit(support.pass, gate.path)
    local second = executor:submit(math.abs, -2)
    gate:await(1, executor)
    assert.is_true(first:cancel())
    assert.is_true(first:cancelled())
    local e = first:exception()
    assert.equal("LambdaFunctionError", support.class(e))
    assert.equal("cancelled", e.kind)
    assert.equal(2, second:result(support.LONG))
    assert.equal(2, executor:stats().workers_started)
  end)

  it("calls back, and the callback may submit and wait", function()
    local log = {}
    local first = executor:submit(math.abs, -1)
    first:add_done_callback(function(f)
      local second = executor:submit(math.abs, -2)
      log[1] = { f:result(), second:result() }
    end)
    assert.equal(1, first:result())
    while executor:stats().done < 2 or not log[1] do
      loop.pump(1)
    end
    assert.same({ { 1, 2 } }, log)
  end)
end)
