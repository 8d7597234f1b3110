local lambdapool = require "lambdapool"

local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

describe("an executor", function()
  local executor

  before_each(function()
    executor = lambdapool.executor { workers = 2 }
  end)

  after_each(function()
    executor:shutdown { cancel_futures = true }
  end)

  it("gives futures, whose result may be asked for again", function()
    local future = executor:submit(function(...) return ... end, 1, nil, 3, nil)
    assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(future:result()))
    assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(future:result()))
    assert.is_true(future:done())
    assert.is_nil(future:exception())
  end)

  it("runs many, whatever order they are asked in", function()
    local futures = {}
    for i = 1, 50 do
      futures[i] = executor:submit(function(x) return x * x end, i)
    end
    for i = 50, 1, -1 do
      assert.equal(i * i, futures[i]:result())
    end
  end)

  it("copies the arguments when they are submitted", function()
    local t = {}
    local futures = {}
    for i = 1, 10 do
      t.value = i
      futures[i] = executor:submit(function(u) return u.value end, t)
    end
    for i = 1, 10 do
      assert.equal(i, futures[i]:result())
    end
  end)

  it("raises with result and returns with exception", function()
    local future = executor:submit(error, "no")
    local e = future:exception()
    assert.equal("error", e.kind)
    assert.equal("no", e.message)
    assert.equal(e, error_of(future.result, future))
  end)

  it("waits no longer than asked, while the task goes on", function()
    local name = os.tmpname()
    local future = executor:submit(function(path)
      repeat
        local file <close> = io.open(path)
        local text = file:read "a"
      until text == "go"
      return "gone"
    end, name)
    assert.is_false(future:done())
    local e = error_of(future.result, future, 0.02)
    assert.equal("LambdaTimeoutError", getmetatable(e).__name)
    assert.equal("timeout", e.kind)
    assert.equal("timeout", error_of(future.exception, future, 0).kind)
    local file = assert(io.open(name, "w"))
    file:write "go"
    file:close()
    assert.equal("gone", future:result(60))
    os.remove(name)
  end)

  it("refuses arguments that cannot travel when they are submitted", function()
    assert.matches("^cannot send argument 2",
      error_of(executor.submit, executor, print, 1, coroutine.create(print)))
  end)

  it("maps over several lists up to the end of the shortest", function()
    local got = {}
    for i, v in executor:map(function(a, b) return a .. b end, { 1, 2, 3 }, ("ab"):gmatch ".") do
      got[i] = v
    end
    assert.same({ "1a", "2b" }, got)
    assert.matches("executor:map: list 2 must be a table or a function",
      error_of(executor.map, executor, print, {}, 7))
  end)

  it("maps in order, all values, and takes options last", function()
    local got = {}
    for i, a, b in executor:map(function(x) return x, -x end, { 5, 6, 7 }, { chunksize = 2 }) do
      got[i] = { a, b }
    end
    assert.same({ { 5, -5 }, { 6, -6 }, { 7, -7 } }, got)
    assert.matches("executor:map: there is no list", error_of(executor.map, executor, print))
  end)

  it("raises the error of a mapped task when its turn comes", function()
    local step = executor:map(function(x) return x ~= 2 and x or error("two", 0) end, { 1, 2, 3 })
    assert.equal(1, (step()))
    assert.equal("two", error_of(step).message)
  end)

  it("gives up a loop when its time is over", function()
    local step = executor:map(function() while true do end end, { 1 }, { wait = 0.01 })
    assert.equal("LambdaTimeoutError", getmetatable(error_of(step)).__name)
    assert.equal(1, executor:submit(math.abs, -1):result())
  end)

  it("waits for its tasks at the end of its scope", function()
    local future
    do
      local scoped <close> = lambdapool.executor { workers = 1 }
      future = scoped:submit(math.abs, -4)
    end
    assert.is_true(future:done())
    assert.equal(4, future:result())
  end)

  it("cancels what was not sent when asked to", function()
    local one <close> = lambdapool.executor { workers = 1 }
    local first, second = one:submit(math.abs, -1), one:submit(math.abs, -2)
    one:shutdown { cancel_futures = true }
    assert.equal(1, first:result())
    assert.equal("cancelled", second:exception().kind)
    assert.matches("executor:submit: the executor is shut down",
      error_of(one.submit, one, print))
    assert.matches("unknown option 'wiat', did you mean 'wait'",
      error_of(one.shutdown, one, { wiat = true }))
  end)

  it("may be forgotten while its future is waited for", function()
    local future = lambdapool.executor({ workers = 1 }):submit(math.abs, -5)
    collectgarbage()
    collectgarbage()
    assert.equal(5, future:result())
    future.origin.scheduler:drain()
  end)
end)

describe("two executors", function()
  it("go on while one of them is waited for", function()
    local a <close> = lambdapool.executor { workers = 1 }
    local b <close> = lambdapool.executor { workers = 1 }
    local first = a:submit(math.abs, -1)
    local second = b:submit(math.abs, -2)
    assert.equal(2, second:result())
    assert.equal(1, first:result())
  end)
end)
