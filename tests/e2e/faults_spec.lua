--- The contract of pools and executors under faults on purpose: every task ends exactly once, with
--- the right value or an error that the faults explain, and nothing is left behind.
local faults = require "tests.e2e.fault_support"
local lambdapool = require "lambdapool"
local loop = require "lambdapool.loop"
local support = require "tests.lua.pool_support"

local MANY = 100000 // faults.share
-- So many tasks travel alone, which takes longer.
local ALONE = 500 // faults.share

local KINDS = { crashed = true, lost = true }

-- One invocation in five goes wrong.
local function chaos(seed)
  return { crash = 0.05, throttle = 0.05, lose = 0.05, delay = 0.05, seed = seed }
end

local function double(x)
  return 2 * x
end

local function add(x, y)
  return x + y
end

-- The numbers from 1 to n, one at a time.
local function count_to(n)
  local i = 0
  return function()
    i = i + 1
    return i <= n and i or nil
  end
end

-- How tasks ended ---------------------------------------------------------------------------

---@class Ends
local Ends = {}
Ends.__index = Ends

local function new_ends(n)
  return setmetatable({ n = n, known = {}, done = 0, failed = 0 }, Ends)
end

-- Task i, which doubles i, ended so, for the first and only time.
function Ends:note(i, value, err)
  assert(math.type(i) == "integer" and i >= 1 and i <= self.n, "there is no such task")
  assert(not self.known[i], "it ended twice")
  self.known[i] = err and "failed" or "done"
  if err then
    assert(KINDS[err.kind], tostring(err))
    self.failed = self.failed + 1
  else
    assert(value == 2 * i, "a wrong value")
    self.done = self.done + 1
  end
end

function Ends:note_list(list)
  assert(list.n == self.n)
  for i = 1, self.n do
    self:note(i, list[i])
  end
end

function Ends:check()
  assert.equal(self.n, self.done + self.failed)
end

-- Ways to run tasks ---------------------------------------------------------------------------

-- Each runs 2 * i for i from 1 to n and says how it ended.
local ways = {}

function ways.each(pool, n)
  local ends = new_ends(n)
  for i, value, err in pool:each(double, count_to(n)) do
    ends:note(i, value, err)
  end
  return ends
end

-- Streams whose step raises the error of a task go on behind it, but do not say which it was.
local function run_stream(step, n)
  local ends, trouble = new_ends(n), {}
  local ok, i, value
  repeat
    ok, i, value = pcall(step)
    if not ok then
      trouble[#trouble + 1] = i
    elseif i then
      ends:note(i, value)
    end
  until ok and not i
  for k = 1, n do
    if not ends.known[k] then
      ends:note(k, nil, assert(table.remove(trouble), "it never ended"))
    end
  end
  assert.same({}, trouble)
  return ends
end

function ways.imap(pool, n)
  return run_stream(pool:imap(double, count_to(n)), n)
end

function ways.imap_unordered(pool, n)
  return run_stream(pool:imap_unordered(double, support.range(1, n)), n)
end

function ways.apply_async(pool, n)
  local ends, results = new_ends(n), {}
  for i = 1, n do
    results[i] = pool:apply_async(double, { i }, nil, function(value)
      ends:note(i, value)
    end, function(err)
      ends:note(i, nil, err)
    end)
  end
  for i = 1, n do
    results[i]:wait()
  end
  pool:poll(0)
  return ends
end

-- Lists end all together: with the results, or with one error.
local lists = {}

function lists.map(pool, n)
  return pool:map(double, support.range(1, n))
end

function lists.starmap(pool, n)
  local pairs_of = {}
  for i = 1, n do
    pairs_of[i] = { i, i }
  end
  return pool:starmap(add, pairs_of)
end

function lists.map_async(pool, n)
  local called, value = 0, nil
  local result = pool:map_async(double, support.range(1, n), {
    callback = function(list) called, value = called + 1, list end,
    error_callback = function(err) called, value = called + 1, err end,
  })
  local ok, got = pcall(result.get, result)
  pool:poll(0)
  assert.equal(1, called)
  assert.equal(value, got)
  return ok and got or error(got, 0)
end

-- What the executor does is checked future by future.
local function run_futures(executor, n)
  local ends, futures, calls = new_ends(n), {}, 0
  for i = 1, n do
    futures[i] = executor:submit(double, i)
    futures[i]:add_done_callback(function(future)
      assert(future == futures[i] and future:done())
      calls = calls + 1
    end)
  end
  assert.equal(n, #lambdapool.wait(futures))
  loop.pump(0)
  for i = 1, n do
    local err = futures[i]:exception()
    ends:note(i, not err and futures[i]:result() or nil, err)
    assert(futures[i].attempts >= 1)
  end
  assert.equal(n, calls)
  return ends
end

-------------------------------------------------------------------------------------------------

-- The numbers of a pool that has nothing to do must add up.
local function check_stats(stats)
  assert.equal(0, stats.running)
  assert.equal(0, stats.queued)
  assert.equal(stats.tasks, stats.done + stats.failed + stats.cancelled)
end

describe("under faults", function()
  local before

  before_each(function()
    collectgarbage()
    collectgarbage()
    before = faults.in_use()
    before.memory = collectgarbage "count"
  end)

  -- Late answers of faults on purpose are waited for: that is no leak.
  after_each(function()
    faults.settle()
    collectgarbage()
    collectgarbage()
    local memory = collectgarbage "count" - before.memory
    before.memory = nil
    assert.same(before, faults.in_use())
    assert(memory < 16 * 1024, ("%.0f KB more are in use"):format(memory))
  end)

  -- Runs n tasks in one of the `ways`; returns how they ended and the numbers of the pool.
  local function run(way, n, options)
    local pool = lambdapool.pool(options)
    local ends = way(pool, n)
    ends:check()
    local stats = pool:stats()
    check_stats(stats)
    assert.equal(ends.done, stats.done)
    assert.equal(ends.failed, stats.failed)
    pool:close()
    pool:join()
    return ends, stats
  end

  local function run_list(list, n, options)
    local pool = lambdapool.pool(options)
    local ok, value = pcall(list, pool, n)
    if ok then
      new_ends(n):note_list(value)
    else
      assert(KINDS[value.kind], tostring(value))
    end
    local fine, answer = pcall(pool.apply, pool, double, { 21 })
    assert(fine and answer == 42 or KINDS[answer.kind], tostring(answer))
    local stats = pool:stats()
    check_stats(stats)
    pool:close()
    pool:join()
    return ok
  end

  local function run_executor(n, options)
    local executor = lambdapool.executor(options)
    local ends = run_futures(executor, n)
    executor:shutdown()
    local stats = executor:stats()
    check_stats(stats)
    assert.equal(ends.done, stats.done)
    assert.equal(ends.failed, stats.failed)
    assert.equal(0, stats.workers)
    return ends, stats
  end

  for name, way in pairs(ways) do
    it(("%s ends every task once, with retries all well"):format(name), function()
      local ends, stats = run(way, MANY, { workers = 2, retries = 50, chaos = chaos(1) })
      assert.equal(0, ends.failed)
      assert.equal(stats.retried + stats.tasks, stats.attempts)
    end)

    it(("%s ends every task once without retries, whatever befalls it"):format(name), function()
      for seed = 2, 4 do
        run(way, MANY // 5, { workers = 3, chaos = chaos(seed) })
      end
    end)

    it(("%s ends every task once when each travels alone"):format(name), function()
      run(way, ALONE,
        { workers = 2, chunksize = 1, chaos = chaos(5), retry = { times = 50, base = 0.001 } })
      run(way, ALONE, { workers = 2, chunksize = 1, chaos = chaos(6) })
    end)
  end

  for name, list in pairs(lists) do
    it(("%s gives every result with retries"):format(name), function()
      for seed = 1, 3 do
        assert.is_true(run_list(list, MANY, { workers = 2, retries = 50, chaos = chaos(seed) }))
      end
      assert.is_true(run_list(list, ALONE, { workers = 2, chunksize = 1,
        chaos = chaos(4), retry = { times = 50, base = 0.001 } }))
    end)

    it(("%s gives every result or an error without retries"):format(name), function()
      for seed = 5, 9 do
        run_list(list, MANY // 5, { workers = 2, chaos = chaos(seed) })
      end
    end)
  end

  it("submit ends every future once, with retries all well", function()
    local ends, stats = run_executor(MANY, { workers = 2, retries = 50, chaos = chaos(1) })
    assert.equal(0, ends.failed)
    assert.equal(stats.retried + stats.tasks, stats.attempts)
  end)

  it("submit ends every future once without retries, whatever befalls it", function()
    for seed = 2, 4 do
      run_executor(MANY // 5, { workers = 3, chaos = chaos(seed) })
    end
  end)

  it("executor:map ends every task once", function()
    local executor = lambdapool.executor { workers = 2, chaos = chaos(1) }
    run_stream(executor:map(add, count_to(MANY), count_to(MANY)), MANY):check()
    executor:shutdown()
    check_stats(executor:stats())
  end)

  it("a long stream needs little memory", function()
    local peak = faults.peak_memory()
    run(ways.each, 3 * MANY, { workers = 2, retries = 50, chaos = chaos(7) })
    if faults.share == 1 then -- the sanitizers keep what is freed
      assert(faults.peak_memory() - peak < 64 << 20)
    end
  end)

  describe("of its worker, a task", function()
    local marks

    before_each(function()
      marks = os.tmpname()
    end)

    after_each(function()
      os.remove(marks)
    end)

    -- How often each task has begun, as the tasks themselves tell.
    local function starts()
      local counts = {}
      for line in io.lines(marks) do
        local i = math.tointeger(line)
        counts[i] = (counts[i] or 0) + 1
      end
      return counts
    end

    local function mark(i)
      local file <close> = assert(io.open(marks, "a"))
      file:write(i, "\n")
      return 2 * i
    end

    it("never begins twice without retries", function()
      local n = 3000 // faults.share
      local ends = new_ends(n)
      local pool <close> = lambdapool.pool { workers = 2,
        chaos = { crash = 0.3, throttle = 0.1, lose = 0.1, seed = 1 } }
      for i, value, err in pool:each(mark, count_to(n), { chunksize = 4 }) do
        ends:note(i, value, err)
      end
      ends:check()
      assert(ends.failed > 0)
      local counts = starts()
      for i = 1, n do
        assert(counts[i] == 1 or not counts[i] and ends.known[i] == "failed", "task " .. i)
      end
    end)

    it("begins no more often than it is said to, with retries", function()
      local executor <close> = lambdapool.executor { workers = 2,
        retry = { times = 50, base = 0.001 }, chaos = { crash = 0.2, lose = 0.2, seed = 2 } }
      local futures = {}
      for i = 1, 200 do
        futures[i] = executor:submit(mark, i)
      end
      lambdapool.wait(futures)
      local counts, total = starts(), 0
      for i, future in ipairs(futures) do
        assert.equal(2 * i, future:result())
        assert(1 <= counts[i] and counts[i] <= future.attempts)
        total = total + future.attempts
      end
      assert.equal(total, executor:stats().attempts)
      assert.equal(total - 200, executor:stats().retried)
    end)
  end)
end)

describe("a retry policy", function()
  local folder, pool

  before_each(function()
    folder = faults.folder()
  end)

  after_each(function()
    pool:terminate()
    pool:join()
    os.execute("rm -r " .. folder)
  end)

  -- A task that calls `fail` at its first `times` starts.
  local function fails(times, fail)
    local path = folder .. "/starts"
    return function()
      local file <close> = assert(io.open(path, "a+"))
      file:write "x"
      file:flush()
      file:seek "set"
      local start = #file:read "a"
      return start <= times and fail() or start
    end
  end

  it("starts a task that crashed again, so often and no more", function()
    pool = lambdapool.pool { workers = 1, retry = { times = 2, base = 0.001 } }
    assert.equal(3, pool:apply(fails(2, os.exit)))
    assert.equal(2, pool:stats().retried)
    os.remove(folder .. "/starts")
    local result = pool:apply_async(fails(3, os.exit))
    local err = support.error_of(result.get, result)
    assert.equal("crashed", err.kind)
    assert.equal(3, err.attempts)
    assert.equal(3, result.attempts)
    assert.matches("attempt 3 of 3", tostring(err))
    local stats = pool:stats()
    assert.equal(4, stats.retried)
    assert.equal(6, stats.attempts)
    assert.equal(1, stats.failed)
  end)

  it("starts nothing again that is not asked for", function()
    pool = lambdapool.pool { workers = 1 }
    assert.equal("crashed", support.error_of(pool.apply, pool, fails(1, os.exit)).kind)
    pool:terminate()
    os.remove(folder .. "/starts")
    pool = lambdapool.pool { workers = 1, retries = 5 }
    assert.equal("error", support.error_of(pool.apply, pool, fails(1, error)).kind)
    assert.equal(0, pool:stats().retried)
  end)

  it("asks `on`, for errors of the task, too", function()
    local seen = {}
    pool = lambdapool.pool { workers = 1, retry = { base = 0.001, on = function(err)
      seen[#seen + 1] = err.kind .. err.attempts
      return err.kind == "error"
    end } }
    assert.equal(3, pool:apply(fails(2, error)))
    assert.same({ "error1", "error2" }, seen)
    assert.equal("crashed", support.error_of(pool.apply, pool, fails(9, os.exit)).kind)
    assert.same({ "error1", "error2", "crashed1" }, seen)
  end)

  it("of a call goes before the pool's", function()
    pool = lambdapool.pool { workers = 1, retries = 5 }
    local task = fails(1, os.exit)
    assert.equal("crashed", support.error_of(pool.map, pool, task, { 1 }, { retries = 0 }).kind)
    os.remove(folder .. "/starts")
    assert.same({ 2, n = 1 }, pool:map(task, { 1 }, { retries = 1 }))
  end)

  it("starts what ran too long again, each attempt with the whole time", function()
    pool = lambdapool.pool { workers = 1, timeout = 0.3, retry = { times = 1, base = 0.001 } }
    assert.equal(2, pool:apply(fails(1, function()
      while true do end
    end)))
  end)

  it("takes the first result, and drops a late one", function()
    pool = lambdapool.pool { workers = 2, retry = { times = 100, base = 0.001 },
      chaos = { lose = 0.5, seconds = 0.05, seed = 1 } }
    local calls, results = {}, {}
    for i = 1, 50 do
      results[i] = pool:map_async(double, { i }, { callback = function(list)
        calls[i] = (calls[i] or 0) + list[1]
      end })
    end
    for i, result in ipairs(results) do
      assert.same({ 2 * i, n = 1 }, result:get())
    end
    pool:poll(0.2)
    for i = 1, 50 do
      assert.equal(2 * i, calls[i])
    end
    local stats = pool:stats()
    assert(stats.duplicates > 0)
    assert.equal(50, stats.done)
  end)
end)

describe("cancelling under faults", function()
  -- Submits tasks while earlier ones are cancelled at random, among them some that run.
  local function submit_and_cancel(executor, n, state)
    for i = 1, n do
      state.calls[i] = 0
      state.futures[i] = executor:submit(double, i)
      state.futures[i]:add_done_callback(function()
        state.calls[i] = state.calls[i] + 1
      end)
      if math.random(4) == 1 then
        local victim = math.random(math.max(1, i - 100), i)
        if state.futures[victim]:cancel() then
          state.cancelled[victim] = true
        end
      end
    end
  end

  local function check(state, n)
    local cancelled = 0
    for i = 1, n do
      local future = state.futures[i]
      local err = future:exception()
      assert.equal(1, state.calls[i], "callbacks of task " .. i)
      assert.equal(state.cancelled[i] or false, future:cancelled())
      if not err then
        assert.equal(2 * i, future:result())
      elseif state.cancelled[i] then
        assert.equal("cancelled", err.kind)
        cancelled = cancelled + 1
      else
        assert(KINDS[err.kind], tostring(err))
      end
    end
    return cancelled
  end

  for seed = 1, 3 do
    for _, retries in ipairs { 0, 30 } do
      it(("ends each future once: seed %d, %d retries"):format(seed, retries), function()
        math.randomseed(seed)
        local n = 5000 // faults.share
        faults.settle()
        faults.settle()
        local before = faults.in_use()
        local executor = lambdapool.executor { workers = 2, chaos = chaos(seed),
          retry = { times = retries, base = 0.001 } }
        local state = { futures = {}, calls = {}, cancelled = {} }
        submit_and_cancel(executor, n, state)
        assert.equal(n, #lambdapool.wait(state.futures, { timeout = 60 }))
        faults.settle()
        local cancelled = check(state, n)
        local stats = executor:stats()
        check_stats(stats)
        assert.equal(n, stats.tasks)
        assert.equal(cancelled, stats.cancelled)
        assert(cancelled > 0)
        executor:shutdown()
        faults.settle()
        assert.same(before, faults.in_use())
      end)
    end
  end

  it("ends lists and streams once when the pool is terminated", function()
    for seed = 1, 5 do
      local pool = lambdapool.pool { workers = 2, chaos = chaos(seed), retries = 5 }
      local ended, results = 0, {}
      for i = 1, 10 do
        results[i] = pool:map_async(double, support.range(1, 1000), { chunksize = 10,
          callback = function() ended = ended + 1 end,
          error_callback = function() ended = ended + 1 end })
      end
      pool:poll(0.01)
      pool:terminate()
      pool:join()
      for i = 1, 10 do
        assert.is_true(results[i]:wait(faults.GRACE))
      end
      faults.settle()
      assert.equal(10, ended)
      check_stats(pool:stats())
    end
  end)
end)
