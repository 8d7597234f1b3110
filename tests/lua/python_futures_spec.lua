--- The tests of Python's concurrent.futures (Lib/test/test_concurrent_futures), each under its own
--- name. A comment says where lambdapool does something else, and why. Not here: what tests threads
--- and start methods, initialisers, `max_tasks_per_child`, and futures that users make themselves:
--- there are none of these.
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

local error_of, class, range = support.error_of, support.class, support.range
local LONG = support.LONG

local function mul(x, y)
  return x * y
end

local function pow(x, y)
  return x ^ y
end

local function divmod(x, y)
  return x // y, x % y
end

local function crash()
  os.execute "kill -SEGV $PPID"
end

local function exit()
  os.exit(1)
end

-- A value with a hook: `how` is called when it is sent, or with `rebuild` when it is loaded.
local function hooked(how, rebuild)
  return setmetatable({}, {
    __lambdapool = function()
      if rebuild then
        return how
      end
      return how()
    end,
  })
end

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do
    set[item] = true
  end
  return set
end

-- The futures in every state that Python's tests use; `gate` holds the ones that run or wait.
local function all_states(executor, gate)
  local states = {}
  states.running = executor:submit(support.pass, gate.path, 1)
  states.blocker = executor:submit(support.pass, gate.path, 2)
  gate:await(2, executor)
  states.pending = executor:submit(mul, 21, 2)
  states.cancelled = executor:submit(mul, 1, 1)
  assert(states.cancelled:cancel())
  return states
end

describe("WaitTests", function()
  local executor, gate
  local successful, failed, cancelled

  before_each(function()
    executor = lambdapool.executor { workers = 2 }
    gate = support.gate()
    successful, failed = executor:submit(mul, 6, 7), executor:submit(error, "an error")
    cancelled = executor:submit(mul, 1, 1)
    cancelled:cancel()
    lambdapool.wait { successful, failed, cancelled }
  end)

  after_each(function()
    gate:open()
    executor:shutdown { cancel_futures = true }
    local closing <close> = gate -- luacheck: ignore
  end)

  local function slow(...)
    return executor:submit(support.pass, gate.path, ...)
  end

  it("test_20369", function()
    local future = slow()
    gate:open()
    local done, not_done = lambdapool.wait({ future, future },
      { return_when = lambdapool.ALL_COMPLETED })
    assert.same({ future }, done)
    assert.same({}, not_done)
  end)

  -- A cancelled future is done at once; Python's only when a worker has noticed it.
  it("test_first_completed", function()
    local future1, future2 = executor:submit(mul, 21, 2), slow()
    local done, not_done = lambdapool.wait({ future1, future2 },
      { return_when = lambdapool.FIRST_COMPLETED })
    assert.equal(1, #done)
    assert.equal(future1, done[1])
    assert.equal(future2, not_done[1])
    done, not_done = lambdapool.wait({ cancelled, future2 }, { return_when = "FIRST_COMPLETED" })
    assert.equal(cancelled, done[1])
    assert.equal(future2, not_done[1])
  end)

  it("test_first_completed_some_already_completed", function()
    local future1 = slow()
    local finished, pending = lambdapool.wait({ cancelled, successful, future1 },
      { return_when = "FIRST_COMPLETED" })
    assert.equal(2, #finished)
    assert.equal(cancelled, finished[1])
    assert.equal(successful, finished[2])
    assert.equal(1, #pending)
    assert.equal(future1, pending[1])
  end)

  it("test_first_exception", function()
    local future1 = executor:submit(mul, 2, 21)
    lambdapool.wait { future1 }
    local future3, future2 = slow(), executor:submit(error, "this is an exception")
    local finished, pending = lambdapool.wait({ future1, future2, future3 },
      { return_when = "FIRST_EXCEPTION" })
    assert.equal(2, #finished)
    assert.equal(future1, finished[1])
    assert.equal(future2, finished[2])
    assert.equal(future3, pending[1])
  end)

  -- Division of integers by zero raises in Lua, too. Cancelled ones are no failures.
  it("test_first_exception_some_already_complete", function()
    local future2, future1 = slow(), executor:submit(divmod, 21, 0)
    local finished, pending = lambdapool.wait({ successful, cancelled, future1, future2 },
      { return_when = "FIRST_EXCEPTION" })
    assert.equal(3, #finished)
    assert.equal(future1, finished[3])
    assert.equal(1, #pending)
    assert.equal(future2, pending[1])
  end)

  it("test_first_exception_one_already_failed", function()
    local future1 = slow()
    local finished, pending = lambdapool.wait({ failed, future1 },
      { return_when = "FIRST_EXCEPTION" })
    assert.equal(failed, finished[1])
    assert.equal(future1, pending[1])
  end)

  it("FIRST_EXCEPTION without any waits for all", function()
    local future1 = slow()
    gate:open()
    local finished, pending = lambdapool.wait({ successful, cancelled, future1 },
      { return_when = "FIRST_EXCEPTION" })
    assert.equal(3, #finished)
    assert.equal(0, #pending)
  end)

  it("test_all_completed", function()
    local future1, future2 = executor:submit(divmod, 2, 0), executor:submit(mul, 2, 21)
    local list = { successful, cancelled, failed, future1, future2 }
    local finished, pending = lambdapool.wait(list, { return_when = "ALL_COMPLETED" })
    assert.equal(5, #finished)
    for i, future in ipairs(list) do
      assert.equal(future, finished[i])
    end
    assert.equal(0, #pending)
  end)

  it("test_timeout", function()
    local future = slow()
    for _, timeout in ipairs { 0, 0.05 } do
      local finished, pending = lambdapool.wait({ cancelled, failed, successful, future },
        { timeout = timeout, return_when = "ALL_COMPLETED" })
      assert.equal(3, #finished)
      assert.equal(1, #pending)
      assert.equal(future, pending[1])
    end
    assert.is_false(future:done())
  end)

  it("test_pending_calls_race", function()
    local futures = {}
    for i = 1, 100 do
      futures[i] = slow(i)
    end
    gate:open()
    local finished, pending = lambdapool.wait(futures)
    assert.equal(100, #finished)
    assert.equal(0, #pending)
    for i = 1, 100 do
      assert.equal(i, futures[i]:result(0))
    end
  end)

  -- Not Python's: a share of them, and nothing at all.
  it("waits for a share of the futures", function()
    local futures = { slow(), slow(), executor:submit(mul, 1, 1), executor:submit(mul, 1, 2) }
    gate:open()
    local finished, pending = lambdapool.wait(futures, { return_when = 0.5 })
    assert.is_true(#finished >= 2)
    assert.equal(4, #finished + #pending)
    finished, pending = lambdapool.wait(futures, { return_when = 1.0 })
    assert.equal(4, #finished)
    assert.equal(0, #pending)
    for _, when in ipairs { "ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", 0, 1 } do
      finished, pending = lambdapool.wait({}, { return_when = when })
      assert.equal(0, #finished + #pending)
    end
  end)

  it("complains at once", function()
    assert.matches("return_when must be .-, got 'FIRST_COMPLETE', did you mean 'FIRST_COMPLETED'",
      error_of(lambdapool.wait, {}, { return_when = "FIRST_COMPLETE" }))
    assert.matches("return_when must be", error_of(lambdapool.wait, {}, { return_when = 1.5 }))
    assert.matches("the futures must be in a list", error_of(lambdapool.wait, successful))
    assert.matches("item 2 is no future but a number", error_of(lambdapool.wait, { failed, 7 }))
    assert.matches("unknown option 'time_out'", error_of(lambdapool.wait, {}, { time_out = 1 }))
  end)
end)

describe("AsCompletedTests", function()
  local executor, gate
  local successful, failed, cancelled

  before_each(function()
    executor = lambdapool.executor { workers = 2 }
    gate = support.gate()
    successful, failed = executor:submit(mul, 6, 7), executor:submit(error, "an error")
    cancelled = executor:submit(mul, 1, 1)
    cancelled:cancel()
    lambdapool.wait { successful, failed, cancelled }
  end)

  after_each(function()
    gate:open()
    executor:shutdown { cancel_futures = true }
    local closing <close> = gate -- luacheck: ignore
  end)

  local function collect(...)
    local list = {}
    for future in lambdapool.as_completed(...) do
      list[#list + 1] = future
    end
    return list
  end

  it("test_no_timeout", function()
    local future1, future2 = executor:submit(mul, 2, 21), executor:submit(mul, 7, 6)
    local list = { cancelled, failed, successful, future1, future2 }
    local completed = collect(list)
    assert.equal(5, #completed)
    local set = set_of(completed)
    for _, future in ipairs(list) do
      assert.is_true(set[future])
    end
  end)

  it("test_future_times_out", function()
    for _, timeout in ipairs { 0, 0.1 } do
      local future = executor:submit(support.pass, gate.path)
      local completed = {}
      local e = error_of(function()
        for f in lambdapool.as_completed({ future, cancelled, failed, successful },
          { timeout = timeout }) do
          completed[#completed + 1] = f
        end
      end)
      assert.equal("LambdaTimeoutError", class(e))
      assert.equal(3, #completed)
      assert.is_nil(set_of(completed)[future])
    end
  end)

  it("test_duplicate_futures", function()
    local future1 = executor:submit(support.pass, gate.path)
    gate:open()
    assert.equal(1, #collect { future1, future1, future1 })
    assert.equal(1, #collect { future1, future1, future1 })
  end)

  it("test_free_reference_yielded_future", function()
    local alive = setmetatable({}, { __mode = "k" })
    local function begin()
      local futures = {}
      for i = 1, 8 do
        futures[i] = executor:submit(mul, i, i)
      end
      return lambdapool.as_completed(futures)
    end
    local function take(step)
      local future = step()
      alive[future or false] = true
      return future ~= nil
    end
    local step = begin()
    while take(step) do
      alive[false] = nil
      collectgarbage()
      collectgarbage()
      assert.is_nil((next(alive)))
    end
  end)

  -- The wording is ours.
  it("test_correct_timeout_exception_msg", function()
    local states = all_states(executor, gate)
    local e = error_of(collect, { cancelled, states.pending, states.running, successful },
      { timeout = 0 })
    assert.equal("2 of 4 futures are unfinished", tostring(e))
    assert.equal("timeout", e.kind)
  end)

  it("may be gone on with after the timeout", function()
    local future = executor:submit(support.pass, gate.path, 5)
    local step = lambdapool.as_completed({ future }, { timeout = 0 })
    assert.equal("LambdaTimeoutError", class(error_of(step)))
    gate:open()
    assert.equal(5, future:result(LONG))
    assert.equal(future, step())
    assert.is_nil(step())
    assert.is_nil(step())
  end)

  it("of nothing yields nothing", function()
    assert.same({}, collect {})
    assert.same({}, collect({}, { timeout = 0 }))
  end)
end)

describe("ExecutorTest", function()
  local executor

  before_each(function()
    executor = lambdapool.executor { workers = 2 }
  end)

  after_each(function()
    executor:shutdown { cancel_futures = true }
  end)

  local function collect(...)
    local list = {}
    for i, value in executor:map(...) do
      list[i] = value
    end
    return list
  end

  it("test_submit", function()
    assert.equal(256, executor:submit(pow, 2, 8):result())
  end)

  -- Python's test_submit_keyword has no counterpart: `submit` passes on all that it is given.
  it("test_submit without a function", function()
    assert.matches("executor:submit: the task must be a function, got nil",
      error_of(executor.submit, executor))
    assert.matches("executor:submit: the task must be a function, got a number",
      error_of(executor.submit, executor, 7))
  end)

  it("test_map", function()
    local expected = {}
    for i = 0, 9 do
      expected[i + 1] = i ^ i
    end
    assert.same(expected, collect(pow, range(0, 9), range(0, 9)))
    assert.same(expected, collect(pow, range(0, 9), range(0, 9), { chunksize = 3 }))
  end)

  it("test_map_chunksize", function()
    local expected = {}
    for i = 0, 39 do
      expected[i + 1] = i * i
    end
    for _, size in ipairs { 6, 50, 40 } do
      assert.same(expected, collect(mul, range(0, 39), range(0, 39), { chunksize = size }))
    end
    assert.matches("option 'chunksize' must be at least 1", error_of(executor.map, executor, mul,
      range(0, 39), range(0, 39), { chunksize = -1 }))
  end)

  -- After the error the loop can be gone on with; Python's generator has ended then.
  it("test_map_exception", function()
    local step = executor:map(divmod, { 1, 1, 1, 1 }, { 2, 3, 0, 5 })
    assert.same({ 1, 0, 1 }, { step() })
    assert.same({ 2, 0, 1 }, { step() })
    local e = error_of(step)
    assert.matches("attempt to .*", e.message)
    assert.equal(3, e.index)
    assert.same({ 4, 0, 1 }, { step() })
    assert.is_nil((step()))
  end)

  -- The option is `wait`: `timeout` is what a single task may take.
  it("test_map_timeout", function()
    local gate <close> = support.gate()
    local results = {}
    local e = error_of(function()
      for i, value in executor:map(function(path)
        return path and support.pass(path) or "at once"
      end, { false, false, gate.path }, { wait = 1.5, chunksize = 1 }) do
        results[i] = value
      end
    end)
    assert.equal("LambdaTimeoutError", class(e))
    assert.same({ "at once", "at once" }, results)
    gate:open()
    assert.equal(1, executor:submit(math.abs, -1):result(LONG))
  end)

  -- Nothing is queued before the loop has room for it, but what is, ends.
  it("test_map_submits_without_iteration", function()
    local gate <close> = support.gate()
    gate:open()
    local paths = {}
    for i = 1, 10 do
      paths[i] = gate.path
    end
    local step = executor:map(support.pass, paths, { chunksize = 5 })
    executor:shutdown()
    assert.equal(10, gate:visitors())
    assert.equal(1, (step()))
  end)

  it("test_shutdown_race_issue12456", function()
    executor:map(tostring, { 2, 2, 2 })
    executor:shutdown()
    executor:shutdown()
  end)

  describe("test_no_stale_references", function()
    local function alive_after(use)
      local alive = setmetatable({}, { __mode = "k" })
      use(alive)
      collectgarbage()
      collectgarbage()
      return next(alive)
    end

    it("to a function and its upvalues, when the future is discarded", function()
      assert.is_nil((alive_after(function(alive)
        local object = {}
        local function method()
          return object
        end
        alive[object], alive[method] = true, true
        executor:submit(method)
        executor:shutdown()
      end)))
    end)

    it("to arguments and results", function()
      assert.is_nil((alive_after(function(alive)
        local object = {}
        local future = executor:submit(function(...) return ... end, object)
        alive[object], alive[future:result()], alive[future] = true, true, true
      end)))
    end)
  end)

  it("test_max_workers_negative", function()
    for _, number in ipairs { 0, -1 } do
      assert.equal("lambdapool.executor: option 'workers' must be from 1 to 10000, got " .. number,
        error_of(lambdapool.executor, { workers = number }))
    end
  end)

  it("test_free_reference", function()
    local alive = setmetatable({}, { __mode = "k" })
    local function take(step)
      local i, object = step()
      if object then
        alive[object] = true
      end
      return i
    end
    local step = executor:map(function() return {} end, range(1, 10))
    while take(step) do
      collectgarbage()
      collectgarbage()
      assert.is_nil((next(alive)))
    end
  end)
end)

describe("ProcessPoolExecutorTest", function()
  local executor

  before_each(function()
    executor = lambdapool.executor { workers = 4 }
  end)

  after_each(function()
    executor:shutdown { cancel_futures = true }
  end)

  local function getpid()
    local file <close> = io.open "/proc/self/stat"
    return file:read "n"
  end

  -- Python's pool is broken for ever. Here the task has crashed, and the next one runs elsewhere.
  it("test_killed_child", function()
    local gate <close> = support.gate()
    local pid = executor:submit(getpid):result()
    local future = executor:submit(support.pass, gate.path)
    gate:await(1, executor)
    os.execute("kill -9 " .. pid)
    local e = future:exception(LONG)
    assert.equal("LambdaFunctionError", class(e))
    assert.equal("crashed", e.kind)
    assert.matches("signal 9", e.message)
    assert.equal(256.0, executor:submit(pow, 2, 8):result(LONG))
  end)

  it("test_traceback", function()
    local future = executor:submit(function()
      error({ 123 }) -- some comment
    end)
    local e = error_of(future.result, future)
    assert.same({ 123 }, e.value)
    assert.matches("python_futures_spec.lua:%d+: in function <", e.traceback)
    assert.matches("python_futures_spec.lua:%d+ +in function <.->  <remote>", tostring(e))
    assert.equal(e, future:exception())
  end)

  -- A table that the task was given is garbage on the worker when the task has ended.
  it("test_ressources_gced_in_workers", function()
    local name = os.tmpname()
    local one <close> = lambdapool.executor { workers = 1 }
    one:submit(function(object, path)
      setmetatable(object, { __gc = function() io.open(path, "w"):write("gone"):close() end })
    end, {}, name):result()
    one:submit(function()
      collectgarbage()
      collectgarbage()
    end):result()
    local file <close> = assert(io.open(name))
    assert.equal("gone", file:read "a")
    os.remove(name)
  end)

  it("test_saturation", function()
    local gate <close> = support.gate()
    local futures = {}
    for i = 1, 60 do
      futures[i] = executor:submit(support.pass, gate.path, i)
    end
    gate:await(4, executor)
    assert.equal(4, executor:stats().workers)
    gate:open()
    for i = 1, 60 do
      assert.equal(i, futures[i]:result(LONG))
    end
    assert.equal(4, executor:stats().workers_started)
  end)

  it("test_idle_process_reuse_one", function()
    local first = executor:submit(getpid):result()
    assert.equal(first, executor:submit(getpid):result())
    assert.equal(first, executor:submit(getpid):result())
    assert.equal(1, executor:stats().workers_started)
  end)

  it("test_idle_process_reuse_multiple", function()
    executor:submit(mul, 12, 7):result()
    executor:submit(mul, 33, 25)
    executor:submit(mul, 25, 26):result()
    executor:submit(mul, 18, 29)
    executor:submit(mul, 1, 2):result()
    executor:submit(mul, 0, 9)
    assert.is_true(executor:stats().workers_started <= 3)
  end)
end)

describe("ExecutorShutdownTest", function()
  it("test_run_after_shutdown", function()
    local executor = lambdapool.executor { workers = 2 }
    executor:shutdown()
    assert.matches("executor:submit: the executor is shut down",
      error_of(executor.submit, executor, pow, 2, 5))
    assert.matches("executor:map: the executor is shut down",
      error_of(executor.map, executor, pow, {}, {}))
  end)

  it("test_interpreter_shutdown", function()
    local output, code = support.run_script [[
      local executor = require "lambdapool".executor { workers = 5 }
      executor:submit(function() print "apple" end)
    ]]
    assert.equal("apple\n", output)
    assert.equal(0, code)
  end)

  it("test_submit_after_interpreter_shutdown", function()
    local output, code = support.run_script [[
      local executor = require "lambdapool".executor { workers = 5 }
      last = setmetatable({}, { __gc = function()
        print(pcall(executor.submit, executor, math.abs, 1))
      end })
      executor:submit(math.abs, 42):result()
    ]]
    assert.equal(0, code)
    assert.matches("^true\tlambdapool.Future %(cancelled%)", output)
  end)

  it("test_hang_issue12364", function()
    local executor = lambdapool.executor { workers = 2 }
    local futures = {}
    for i = 1, 50 do
      futures[i] = executor:submit(math.abs, -i)
    end
    executor:shutdown()
    for i = 1, 50 do
      assert.equal(i, futures[i]:result(0))
    end
  end)

  it("test_cancel_futures", function()
    local gate <close> = support.gate()
    local executor = lambdapool.executor { workers = 2 }
    local futures = {}
    for i = 1, 50 do
      futures[i] = executor:submit(support.pass, gate.path, i)
    end
    gate:await(2, executor)
    executor:shutdown { wait = false, cancel_futures = true }
    gate:open()
    executor:shutdown()
    local cancelled, others = 0, 0
    for i, future in ipairs(futures) do
      assert.is_true(future:done())
      if future:cancelled() then
        cancelled = cancelled + 1
      else
        others = others + 1
        assert.equal(i, future:result(0))
      end
    end
    assert.is_true(cancelled > 20)
    assert.is_true(others > 0)
  end)

  it("test_hang_gh83386", function()
    local output, code = support.run_script [[
      local executor = require "lambdapool".executor { workers = 3 }
      executor:submit(function() print "apple" end)
      executor:shutdown { wait = false }
    ]]
    assert.equal("apple\n", output)
    assert.equal(0, code)
  end)

  it("test_hang_gh94440", function()
    local executor = lambdapool.executor { workers = 1 }
    executor:submit(math.abs, 0):result()
    executor:submit(math.abs, 0):cancel()
    executor:shutdown { wait = true }
    assert.equal(0, executor:stats().workers)
  end)

  it("test_processes_terminate", function()
    local gate <close> = support.gate()
    local executor = lambdapool.executor { workers = 3 }
    for _ = 1, 3 do
      executor:submit(support.pass, gate.path)
    end
    gate:await(3, executor)
    assert.equal(3, executor:stats().workers)
    gate:open()
    executor:shutdown()
    assert.equal(0, executor:stats().workers)
  end)

  it("test_context_manager_shutdown", function()
    local left
    do
      local executor <close> = lambdapool.executor { workers = 5 }
      left = executor
      local results = {}
      for i, value in executor:map(math.abs, range(-5, 4)) do
        results[i] = value
      end
      assert.same({ 5, 4, 3, 2, 1, 0, 1, 2, 3, 4 }, results)
    end
    assert.equal(0, left:stats().workers)
  end)

  it("test_del_shutdown", function()
    local step = lambdapool.executor({ workers = 5 }):map(math.abs, range(-5, 4))
    collectgarbage()
    collectgarbage()
    for i = 1, 10 do
      assert.same({ i, math.abs(i - 6) }, { step() })
    end
    step = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
  end)

  it("test_shutdown_no_wait", function()
    local executor = lambdapool.executor { workers = 2 }
    local step = executor:map(math.abs, range(-5, 4))
    local future = executor:submit(math.abs, -7)
    executor:shutdown { wait = false }
    assert.equal(7, future:result(LONG))
    for i = 1, 4 do
      assert.same({ i, math.abs(i - 6) }, { step() })
    end
    local limit = os.time() + LONG
    while executor:stats().workers > 0 do
      assert(os.time() < limit, "the workers do not end")
    end
  end)

  it("test_cancel_futures_wait_false", function()
    local output, code = support.run_script [[
      local executor = require "lambdapool".executor { workers = 2 }
      executor:submit(function() print "apple" end)
      executor:shutdown { wait = false, cancel_futures = true }
    ]]
    assert.is_true(output == "" or output == "apple\n")
    assert.equal(0, code)
  end)
end)

-- Python's pool is broken after most of these. Here one task ends with an error, whatever happens,
-- and the next one runs.
describe("ExecutorDeadlockTest", function()
  local executor

  before_each(function()
    executor = lambdapool.executor { workers = 2 }
  end)

  after_each(function()
    executor:shutdown()
  end)

  local function check_crash(kind, message, f, ...)
    local e = executor:submit(f, ...):exception(LONG)
    assert.equal(kind, e.kind)
    assert.matches(message, e.message)
    assert.equal(1, executor:submit(math.abs, -1):result(LONG))
  end

  it("test_error_at_task_pickle", function()
    local bad = hooked(function() error("Error in pickle", 0) end)
    assert.matches("Error in pickle", tostring(error_of(executor.submit, executor, type, bad)))
    assert.equal(1, executor:submit(math.abs, -1):result(LONG))
  end)

  it("test_exit_at_task_unpickle", function()
    check_crash("crashed", "exited with code 1", type, hooked(exit, true))
  end)

  it("test_error_at_task_unpickle", function()
    check_crash("error", "at unpickle", type, hooked(function() error "at unpickle" end, true))
  end)

  it("test_crash_at_task_unpickle", function()
    check_crash("crashed", "signal 11", type, hooked(crash, true))
  end)

  it("test_crash_during_func_exec_on_worker", function()
    check_crash("crashed", "signal 11", crash)
  end)

  it("test_exit_during_func_exec_on_worker", function()
    check_crash("crashed", "exited with code 1", exit)
  end)

  it("test_error_during_func_exec_on_worker", function()
    check_crash("error", "in the task", function() error "in the task" end)
  end)

  it("test_crash_during_result_pickle_on_worker", function()
    check_crash("crashed", "signal 11", function() return hooked(crash) end)
  end)

  it("test_exit_during_result_pickle_on_worker", function()
    check_crash("crashed", "exited with code 1", function() return hooked(exit) end)
  end)

  it("test_error_during_result_pickle_on_worker", function()
    check_crash("error", "at pickle", function()
      return hooked(function() error "at pickle" end)
    end)
  end)

  it("a result whose pickle never ends", function()
    local e
    do
      local quick <close> = lambdapool.executor { workers = 1, timeout = 0.3 }
      e = quick:submit(function()
        return hooked(function() while true do end end)
      end):exception(LONG)
    end
    assert.equal("timeout", e.kind)
  end)

  -- The host runs no code that comes from a worker, only functions that a hook has returned here.
  -- So a result can neither raise nor exit here.
  it("test_error_during_result_unpickle_in_result_handler", function()
    check_crash("error", "no __lambdapool hook returned here", function()
      return hooked(function() error "at unpickle" end, true)
    end)
  end)

  it("test_exit_during_result_unpickle_in_result_handler", function()
    check_crash("error", "no __lambdapool hook returned here", function()
      return hooked(function() os.exit(1) end, true)
    end)
  end)

  it("test_shutdown_deadlock", function()
    local one <close> = lambdapool.executor { workers = 2 }
    local future = one:submit(crash)
    one:shutdown { wait = true }
    assert.equal("crashed", future:exception(0).kind)
  end)

  it("test_shutdown_deadlock_pickle", function()
    local one = lambdapool.executor { workers = 2 }
    local bad = hooked(function() error("Error in pickle", 0) end)
    assert.matches("Error in pickle", tostring(error_of(one.submit, one, type, bad)))
    one:shutdown { wait = false }
    one:shutdown { wait = true }
  end)

  it("test_crash_big_data", function()
    local data = ("x"):rep(1024 * 1024)
    for _ = 1, 10 do
      local future = executor:submit(crash, data)
      assert.equal("crashed", future:exception(LONG).kind)
    end
    local failed = 0
    for _, _, e in lambdapool.pool({ workers = 2 }):each(crash, { data, data, data }) do
      failed = failed + (e.kind == "crashed" and 1 or 0)
    end
    assert.equal(3, failed)
    collectgarbage()
    collectgarbage()
  end)

  it("test_gh105829_should_not_deadlock_if_wakeup_pipe_full", function()
    local futures = {}
    for i = 1, 5000 do
      futures[i] = executor:submit(math.abs, -i)
    end
    for i = 1, 5000 do
      assert(futures[i]:result(LONG) == i)
    end
  end)
end)

describe("FutureTests", function()
  local executor, gate

  before_each(function()
    executor = lambdapool.executor { workers = 2 }
    gate = support.gate()
  end)

  after_each(function()
    gate:open()
    executor:shutdown { cancel_futures = true }
    local closing <close> = gate -- luacheck: ignore
  end)

  local function pending(...)
    return executor:submit(support.pass, gate.path, ...)
  end

  -- Ends futures by `pending`, and waits for that.
  local function finish(future)
    gate:open()
    lambdapool.wait { future }
  end

  it("test_done_callback_with_result", function()
    local result
    local future = pending(5)
    future:add_done_callback(function(f) result = f:result() end)
    assert.is_nil(result)
    finish(future)
    assert.equal(5, result)
  end)

  it("test_done_callback_with_exception", function()
    local e
    local future = executor:submit(error, { "test" })
    future:add_done_callback(function(f) e = f:exception() end)
    local same = future:exception()
    assert.equal(same, e)
    assert.same({ "test" }, e.value)
  end)

  -- Python calls it within `cancel`. Here callbacks run in calls that wait or poll.
  it("test_done_callback_with_cancel", function()
    local was_cancelled
    local future = pending()
    future:add_done_callback(function(f) was_cancelled = f:cancelled() end)
    assert.is_true(future:cancel())
    assert.is_true(future:done())
    assert.is_true(was_cancelled)
  end)

  -- Python prints the error. Here it is raised by the call in which the callback ran.
  it("test_done_callback_raises", function()
    local calls = {}
    local future = pending(5)
    future:add_done_callback(function()
      table.insert(calls, "raising")
      error("doh!", 0)
    end)
    future:add_done_callback(function() table.insert(calls, "fn") end)
    gate:open()
    assert.equal("doh!", error_of(future.result, future))
    assert.same({ "raising", "fn" }, calls)
    assert.equal(5, future:result())
    assert.same({ "raising", "fn" }, calls)
  end)

  it("several callbacks that raise are told one after the other", function()
    local pool <close> = lambdapool.pool { workers = 1 }
    local future = pending(5)
    for i = 1, 3 do
      future:add_done_callback(function() error("doh " .. i, 0) end)
    end
    gate:open()
    assert.equal("doh 1", error_of(future.result, future))
    assert.equal("doh 2", error_of(future.result, future))
    assert.equal("doh 3", error_of(pool.poll, pool))
    assert.is_false(pool:poll())
    assert.equal(5, future:result())
  end)

  it("test_done_callback_already_successful", function()
    local result
    local future = executor:submit(mul, 5, 1)
    future:result()
    future:add_done_callback(function(f) result = f:result() end)
    assert.equal(5, result)
  end)

  it("test_done_callback_already_failed", function()
    local e
    local future = executor:submit(error, { "test" })
    future:exception()
    future:add_done_callback(function(f) e = f:exception() end)
    assert.same({ "test" }, e.value)
  end)

  it("test_done_callback_already_cancelled", function()
    local was_cancelled
    local future = pending()
    assert.is_true(future:cancel())
    future:add_done_callback(function(f) was_cancelled = f:cancelled() end)
    assert.is_true(was_cancelled)
  end)

  -- Python prints the error here, too.
  it("test_done_callback_raises_already_succeeded", function()
    local future = executor:submit(mul, 5, 1)
    future:result()
    assert.equal("doh!", error_of(future.add_done_callback, future,
      function() error("doh!", 0) end))
    assert.equal(5, future:result())
  end)

  -- Python's would wait for ever: its callbacks run in the thread that takes in results. Ours yield
  -- when they wait, and go on beside the caller.
  it("callbacks may submit, wait and add callbacks", function()
    local got = {}
    local ended = pending()
    local first = executor:submit(mul, 2, 3)
    first:add_done_callback(function(f)
      local second = executor:submit(mul, f:result(), 7)
      table.insert(got, second:result())
      second:add_done_callback(function(g) table.insert(got, g:result() + 1) end)
      f:add_done_callback(function(g) table.insert(got, g:result()) end)
      gate:open()
    end)
    assert.equal(6, first:result())
    ended:result(LONG)
    assert.same({ 42, 43, 6 }, got)
  end)

  it("test_repr", function()
    local states = all_states(executor, gate)
    assert.equal("lambdapool.Future (pending)", tostring(states.pending))
    assert.equal("lambdapool.Future (running)", tostring(states.running))
    assert.equal("lambdapool.Future (cancelled)", tostring(states.cancelled))
    gate:open()
    states.running:result()
    assert.equal("lambdapool.Future (done)", tostring(states.running))
    local failed = executor:submit(error)
    failed:exception()
    assert.equal("lambdapool.Future (failed)", tostring(failed))
  end)

  -- Python cannot cancel a task that runs; here its worker is replaced.
  it("test_cancel", function()
    local states = all_states(executor, gate)
    assert.is_true(states.pending:cancel())
    assert.is_true(states.pending:cancelled())
    assert.is_true(states.running:cancel())
    assert.is_true(states.running:cancelled())
    assert.is_true(states.cancelled:cancel())
    local failed, successful = executor:submit(error, "x"), executor:submit(mul, 1, 2)
    lambdapool.wait { failed, successful }
    assert.is_false(failed:cancel())
    assert.equal("x", failed:exception().message)
    assert.is_false(successful:cancel())
    assert.equal(2, successful:result())
    gate:open()
    assert.equal(2, states.blocker:result(LONG))
  end)

  it("test_cancelled", function()
    local states = all_states(executor, gate)
    assert.is_false(states.pending:cancelled())
    assert.is_false(states.running:cancelled())
    assert.is_true(states.cancelled:cancelled())
    gate:open()
    local failed = executor:submit(error, "x")
    lambdapool.wait { failed, states.running }
    assert.is_false(failed:cancelled())
    assert.is_false(states.running:cancelled())
  end)

  it("test_done", function()
    local states = all_states(executor, gate)
    assert.is_false(states.pending:done())
    assert.is_false(states.running:done())
    assert.is_true(states.cancelled:done())
    gate:open()
    local failed = executor:submit(error, "x")
    lambdapool.wait { failed, states.running }
    assert.is_true(failed:done())
    assert.is_true(states.running:done())
  end)

  it("test_running", function()
    local states = all_states(executor, gate)
    assert.is_false(states.pending:running())
    assert.is_true(states.running:running())
    assert.is_false(states.cancelled:running())
    gate:open()
    local failed = executor:submit(error, "x")
    lambdapool.wait { failed, states.running }
    assert.is_false(failed:running())
    assert.is_false(states.running:running())
  end)

  it("test_result_with_timeout", function()
    local states = all_states(executor, gate)
    for _, name in ipairs { "pending", "running" } do
      assert.equal("LambdaTimeoutError", class(error_of(states[name].result, states[name], 0)))
    end
    assert.equal("cancelled", error_of(states.cancelled.result, states.cancelled, 0).kind)
    gate:open()
    local failed = executor:submit(error, "x")
    lambdapool.wait { failed, states.running }
    assert.equal("error", error_of(failed.result, failed, 0).kind)
    assert.equal(1, states.running:result(0))
  end)

  it("test_result_with_success", function()
    local future = pending(42)
    local flow = lambdapool.async(function()
      executor:submit(mul, 1, 1):result()
      gate:open()
    end)
    assert.equal(42, future:result(LONG))
    flow:result(LONG)
  end)

  it("test_result_with_cancel", function()
    local future = pending(42)
    lambdapool.async(function()
      executor:submit(mul, 1, 1):result()
      future:cancel()
    end)
    assert.equal("cancelled", error_of(future.result, future, LONG).kind)
  end)

  -- Python raises CancelledError; here the error of a cancelled task is a value like any other.
  it("test_exception_with_timeout", function()
    local states = all_states(executor, gate)
    for _, name in ipairs { "pending", "running" } do
      assert.equal("LambdaTimeoutError", class(error_of(states[name].exception, states[name], 0)))
    end
    assert.equal("cancelled", states.cancelled:exception(0).kind)
    gate:open()
    local failed = executor:submit(error, "x")
    lambdapool.wait { failed, states.running }
    assert.equal("error", failed:exception(0).kind)
    assert.is_nil(states.running:exception(0))
  end)

  it("test_exception_with_success", function()
    local future = executor:submit(function(path)
      support.pass(path)
      error "OSError"
    end, gate.path)
    lambdapool.async(function()
      executor:submit(mul, 1, 1):result()
      gate:open()
    end)
    assert.matches("OSError$", future:exception(LONG).message)
  end)

  it("a result may be asked for again and again", function()
    local future = executor:submit(function() return 1, nil end)
    for _ = 1, 3 do
      assert.same({ 1, nil, n = 2 }, table.pack(future:result()))
    end
    local failed = executor:submit(error)
    local e = failed:exception()
    for _ = 1, 3 do
      assert.equal(e, failed:exception())
      assert.equal(e, error_of(failed.result, failed))
    end
  end)
end)
