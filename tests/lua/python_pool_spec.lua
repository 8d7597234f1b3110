--- The tests of Python's multiprocessing.Pool (Lib/test/_test_multiprocessing.py), each under its
--- own name. A comment says where lambdapool does something else, and why. Not here: what tests
--- managers, threads, weak references to processes, and `maxtasksperchild`, which there is not.
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

local error_of, class, range = support.error_of, support.class, support.range

local function sqr(x)
  return x * x
end

local function mul(x, y)
  return x * y
end

local function identity(...)
  return ...
end

local function squares(n)
  local list = { n = n }
  for i = 1, n do
    list[i] = (i - 1) * (i - 1)
  end
  return list
end

-- Pairs (0, n - 1), (1, n - 2), ... and their products.
local function pairs_of(n)
  local tuples, products = {}, { n = n }
  for i = 0, n - 1 do
    tuples[i + 1], products[i + 1] = { i, n - 1 - i }, i * (n - 1 - i)
  end
  return tuples, products
end

local say_when = setmetatable({}, { __name = "SayWhenError" })

-- Gives 0, 1, 2, ... up to total - 1, but raises `say_when` in place of `when`; with -1 at once.
local function exception_throwing_generator(total, when)
  local i = -1
  return function()
    i = i + 1
    if when == -1 or i == when then
      error(say_when, 0)
    end
    return i < total and i or nil
  end
end

-- All that a stream yields: the values by index, and how many there were.
local function collect(...)
  local values, count = {}, 0
  for i, value in ... do
    values[i] = value
    count = count + 1
  end
  return values, count
end

describe("_TestPool", function()
  local pool

  setup(function()
    pool = lambdapool.pool { workers = 4 }
  end)

  teardown(function()
    pool:terminate()
    pool:join()
  end)

  it("test_apply", function()
    assert.equal(25, pool:apply(sqr, { 5 }))
    assert.equal(9, pool:apply(sqr, {}, { x = 3 }))
    assert.equal(9, pool:apply(sqr, nil, { x = 3 }))
    assert.equal(14, pool:apply(mul, { 2 }, { y = 7 }))
    assert.matches("no parameter 'z'", error_of(pool.apply, pool, sqr, {}, { z = 3 }))
    assert.matches("given twice", error_of(pool.apply, pool, sqr, { 3 }, { x = 3 }))
  end)

  it("test_map", function()
    assert.same(squares(10), pool:map(sqr, range(0, 9)))
    assert.same(squares(100), pool:map(sqr, range(0, 99), { chunksize = 20 }))
  end)

  it("test_starmap", function()
    local tuples, products = pairs_of(10)
    assert.same(products, pool:starmap(mul, tuples))
    tuples, products = pairs_of(100)
    assert.same(products, pool:starmap(mul, tuples, { chunksize = 20 }))
  end)

  it("test_starmap_async", function()
    local tuples, products = pairs_of(100)
    assert.same(products, pool:starmap_async(mul, tuples):get())
  end)

  it("test_map_async", function()
    assert.same(squares(10), pool:map_async(sqr, range(0, 9)):get())
  end)

  it("test_map_async_callbacks", function()
    local calls = {}
    local function append(value)
      table.insert(calls, value)
    end
    local options = { callback = append, error_callback = append }
    local function int(text)
      return tonumber(text) or error("not a number: " .. text)
    end
    pool:map_async(int, { "1" }, options):wait()
    assert.same({ { 1, n = 1 } }, calls)
    pool:map_async(int, { "a" }, options):wait()
    assert.equal(2, #calls)
    assert.equal("LambdaPoolError", class(calls[2]))
    assert.matches("not a number: a$", calls[2].message)
  end)

  -- What a hook raises is an error before anything is sent.
  it("test_map_unplicklable", function()
    local function refuse()
      error("cannot pickle", 0)
    end
    local items = {}
    for i = 1, 10 do
      items[i] = setmetatable({}, { __lambdapool = refuse })
    end
    assert.matches("cannot pickle", tostring(error_of(pool.map, pool, sqr, items)))
    assert.matches("cannot pickle", tostring(error_of(pool.map_async, pool, sqr, items)))
    local e = error_of(pool.map, pool, type, { 1, coroutine.create(print) })
    assert.matches("^cannot send item 2", e)
    assert.equal(4, pool:apply(sqr, { 2 }))
  end)

  it("test_map_chunksize", function()
    assert.same({ n = 0 }, pool:map_async(sqr, {}, { chunksize = 1 }):get(support.LONG))
    assert.matches("chunksize", error_of(pool.map, pool, sqr, { 1 }, { chunksize = 0 }))
    assert.matches("chunksize", error_of(pool.map, pool, sqr, { 1 }, { chunksize = -1 }))
  end)

  it("test_map_handle_iterable_exception", function()
    local function map(total, when)
      return error_of(pool.map, pool, sqr, exception_throwing_generator(total, when),
        { chunksize = 1 })
    end
    assert.equal(say_when, map(1, -1))
    assert.equal(say_when, map(1, -1))
    assert.equal(say_when, map(10, 3))
    local special = setmetatable({}, {
      __call = function() error(say_when, 0) end,
      __len = function() return 1 end,
    })
    assert.equal(say_when, error_of(pool.map, pool, sqr, special, { chunksize = 1 }))
    assert.equal(say_when, error_of(pool.map_async, pool, sqr, special, { chunksize = 1 }))
  end)

  it("test_async", function()
    local gate <close> = support.gate()
    local result = pool:apply_async(support.pass, { gate.path, 49 })
    assert.is_false(result:ready())
    assert.matches("has not ended", error_of(result.successful, result))
    gate:open()
    assert.equal(49, result:get())
    assert.is_true(result:ready())
    assert.is_true(result:successful())
    assert.equal(49, result:get())
  end)

  it("test_async_timeout", function()
    local gate <close> = support.gate()
    local p <close> = lambdapool.pool { workers = 3 }
    local result = p:apply_async(support.pass, { gate.path, 36 })
    local e = error_of(result.get, result, 0.1)
    assert.equal("LambdaTimeoutError", class(e))
    assert.equal("no result within 0.1 s, and the task goes on", tostring(e))
    assert.is_false(result:wait(0.01))
    assert.equal("LambdaTimeoutError", class(error_of(result.get, result, 0)))
    assert.equal("LambdaTimeoutError", class(error_of(result.get, result, -1)))
    gate:open()
    assert.is_true(result:wait(support.LONG))
    assert.equal(36, result:get(0))
  end)

  it("test_imap", function()
    assert.same(squares(10), pool:map(identity, squares(10)))
    local values = collect(pool:imap(sqr, range(0, 9)))
    values.n = 10
    assert.same(squares(10), values)
    for _, case in ipairs { { 10 }, { 1000, 100 } } do
      local step = pool:imap(sqr, range(0, case[1] - 1), { chunksize = case[2] })
      for i = 0, case[1] - 1 do
        local index, value = step()
        assert.equal(i + 1, index)
        assert.equal(i * i, value)
      end
      assert.is_nil((step()))
      assert.is_nil((step()))
    end
  end)

  -- Python loses the results of the chunk in which the source raised. Here they all come first.
  it("test_imap_handle_iterable_exception", function()
    local cases = { { 1, -1, 1 }, { 1, -1, 1 }, { 10, 3, 1 }, { 20, 7, 2 }, { 20, 7, 4 } }
    for _, case in ipairs(cases) do
      local total, when, size = table.unpack(case)
      local step = pool:imap(sqr, exception_throwing_generator(total, when), { chunksize = size })
      for i = 0, when - 1 do
        local _, value = step()
        assert.equal(i * i, value)
      end
      assert.equal(say_when, error_of(step))
      assert.is_nil((step()))
    end
  end)

  it("test_imap_unordered", function()
    local values, count = collect(pool:imap_unordered(sqr, range(0, 9)))
    values.n = count
    assert.same(squares(10), values)
    values, count = collect(pool:imap_unordered(sqr, range(0, 999), { chunksize = 100 }))
    values.n = count
    assert.same(squares(1000), values)
  end)

  -- All results of what was read before come first, as with `imap`.
  it("test_imap_unordered_handle_iterable_exception", function()
    for _, case in ipairs { { 1, -1, 1 }, { 1, -1, 1 }, { 10, 3, 1 }, { 20, 7, 2 } } do
      local total, when, size = table.unpack(case)
      local step = pool:imap_unordered(sqr, exception_throwing_generator(total, when),
        { chunksize = size })
      local seen = {}
      for _ = 0, when - 1 do
        local i, value = step()
        assert.is_nil(seen[i])
        seen[i] = true
        assert.equal((i - 1) * (i - 1), value)
      end
      assert.equal(say_when, error_of(step))
      assert.is_nil((step()))
    end
  end)

  -- Workers start when there is work for them.
  it("test_make_pool", function()
    for _, workers in ipairs { -1, 0, 1.5, "3" } do
      assert.matches("option 'workers' must be",
        error_of(lambdapool.pool, { workers = workers }))
    end
    local gate <close> = support.gate()
    local p <close> = lambdapool.pool { workers = 3 }
    assert.equal(0, p:stats().workers)
    local paths = { gate.path, gate.path, gate.path, gate.path }
    local result = p:map_async(support.pass, paths, { chunksize = 1 })
    gate:await(3, p)
    assert.equal(3, p:stats().workers)
    gate:open()
    result:wait()
    p:close()
    p:join()
    assert.equal(0, p:stats().workers)
  end)

  -- The tasks that had not ended are cancelled, those that run included; nobody waits for ever.
  it("test_terminate", function()
    local gate <close> = support.gate()
    local p = lambdapool.pool { workers = 3 }
    local items = {}
    for i = 1, 10000 do
      items[i] = gate.path
    end
    local result = p:map_async(support.pass, items, { chunksize = 1 })
    gate:await(3, p)
    p:terminate()
    p:join()
    assert.is_true(result:ready())
    assert.is_false(result:successful())
    assert.equal("cancelled", error_of(result.get, result).kind)
    assert.equal(10000, p:stats().cancelled)
    assert.equal(3, gate:visitors())
  end)

  it("test_empty_iterable", function()
    local p = lambdapool.pool { workers = 1 }
    local function nothing() end
    for _, source in ipairs { {}, nothing } do
      assert.same({ n = 0 }, p:map(sqr, source))
      assert.same({}, collect(p:imap(sqr, source)))
      assert.same({}, collect(p:imap_unordered(sqr, source)))
      assert.same({}, collect(p:each(sqr, source)))
      assert.same({ n = 0 }, p:map_async(sqr, source):get())
    end
    assert.same({ n = 0 }, p:starmap(sqr, {}))
    assert.same({ n = 0 }, p:starmap_async(sqr, {}):get())
    assert.equal(0, p:stats().workers_started)
    p:close()
    p:join()
  end)

  it("test_context", function()
    local left
    do
      local p <close> = lambdapool.pool { workers = 2 }
      assert.same(squares(10), p:map_async(sqr, range(0, 9)):get())
      left = p
    end
    left:join()
    for _, name in ipairs { "map_async", "map", "imap", "imap_unordered", "each", "starmap",
      "starmap_async" } do
      assert.equal(("pool:%s: the pool is terminated"):format(name),
        error_of(left[name], left, sqr, {}))
    end
    for _, name in ipairs { "apply", "apply_async" } do
      assert.equal(("pool:%s: the pool is terminated"):format(name),
        error_of(left[name], left, sqr, { 1 }))
    end
  end)

  -- Lua's errors have no cause: the error that arrives has the error value of the task in `value`.
  it("test_traceback", function()
    local p <close> = lambdapool.pool { workers = 1 }
    local e = error_of(p.apply, p, function()
      error({ 123 }) -- some comment
    end)
    assert.equal("LambdaPoolError", class(e))
    assert.same({ 123 }, e.value)
    assert.matches("python_pool_spec.lua:%d+: in function <", e.traceback)
    assert.matches("python_pool_spec.lua:%d+ +in function <.->  <remote>", tostring(e))
    local source = error_of(p.map, p, sqr, exception_throwing_generator(1, -1), { chunksize = 1 })
    assert.equal(say_when, source)
  end)

  -- All errors of tasks are of one class, so that they have a traceback and a place; Python's own
  -- thread pool raises them bare.
  it("test_wrapped_exception", function()
    local p <close> = lambdapool.pool { workers = 1 }
    local function fail()
      error("foo", 0)
    end
    for _, call in ipairs {
      function() p:apply(fail) end,
      function() p:map(fail, { 1 }) end,
      function() p:apply_async(fail):get() end,
      function() p:imap(fail, { 1 })() end,
    } do
      local e = error_of(call)
      assert.equal("error", e.kind)
      assert.equal("foo", e.value)
      assert.equal("foo", e.message)
    end
  end)

  -- Python waits for both. Here what runs beside a failed item ends as well; nothing is left that
  -- could fill a pipe.
  it("test_map_no_failfast", function()
    local function raise_large(seconds)
      local limit = os.clock() + seconds
      repeat until os.clock() >= limit
      error({ ("x"):rep(1024 * 1024 + 1) })
    end
    local p <close> = lambdapool.pool { workers = 2 }
    local e = error_of(p.map, p, raise_large, { 0, 0.1 }, { chunksize = 1 })
    assert.equal(1, e.index)
    assert.equal(1024 * 1024 + 1, #e.value[1])
    p:close()
    p:join()
    local stats = p:stats()
    assert.equal(2, stats.failed + stats.cancelled)
    assert.equal(0, stats.running + stats.queued)
  end)

  describe("test_release_task_refs", function()
    local function counted()
      local alive = setmetatable({}, { __mode = "k" })
      local items = {}
      for i = 1, 10 do
        items[i] = { i }
        alive[items[i]] = true
      end
      return items, alive
    end

    local function count(alive)
      collectgarbage()
      collectgarbage()
      local n = 0
      for _ in pairs(alive) do
        n = n + 1
      end
      return n
    end

    local function use(call)
      local items, alive = counted()
      for _, result in ipairs(call(items)) do
        alive[result] = true
      end
      return alive
    end

    it("of map", function()
      assert.equal(0, count(use(function(items) return pool:map(identity, items) end)))
    end)

    it("of map_async", function()
      assert.equal(0, count(use(function(items) return pool:map_async(identity, items):get() end)))
    end)

    it("of imap", function()
      assert.equal(0, count(use(function(items) return collect(pool:imap(identity, items)) end)))
    end)

    it("of apply_async", function()
      assert.equal(0, count(use(function(items)
        local results = {}
        for i, item in ipairs(items) do
          results[i] = pool:apply_async(identity, { item })
        end
        for i, result in ipairs(results) do
          results[i] = result:get()
        end
        return results
      end)))
    end)

    it("of arguments while the task still runs", function()
      local gate <close> = support.gate()
      local items, alive = counted()
      local results = {}
      for i, item in ipairs(items) do
        results[i] = pool:apply_async(support.pass, { gate.path, item })
      end
      items = nil -- luacheck: ignore
      assert.equal(0, count(alive))
      gate:open()
      for i, result in ipairs(results) do
        assert.same({ i }, result:get(support.LONG))
      end
    end)
  end)

  it("test_enter", function()
    local p = lambdapool.pool { workers = 1 }
    do
      local scoped <close> = p -- luacheck: ignore
    end
    do
      local again <close> = p -- luacheck: ignore
    end
    assert.matches("the pool is terminated", error_of(p.apply, p, sqr, { 1 }))
    p:join()
  end)

  -- Python warns. Here the workers of a pool that was forgotten end when it is collected.
  it("test_resource_warning", function()
    local output, code = support.run_script [[
      local lambdapool = require "lambdapool"
      local self <close> = io.open "/proc/self/stat"
      local command = "exec pgrep -x -P " .. self:read "n" .. " bootstrap"
      local function children()
        local list <close> = io.popen(command)
        return list:read "a"
      end
      local function use()
        local pool = lambdapool.pool { workers = 2 }
        pool:map(math.abs, { 1, 2, 3 }, { chunksize = 1 })
        assert(children() ~= "")
      end
      use()
      collectgarbage()
      collectgarbage()
      local limit = os.time() + 30
      local other <close> = lambdapool.pool { workers = 1 }
      while children() ~= "" and os.time() < limit do
        other:poll(0.01)
      end
      print("left:" .. children())
    ]]
    assert.equal("left:\n", output)
    assert.equal(0, code)
  end)
end)

describe("_TestPoolWorkerErrors", function()
  local function raising()
    error { key = "key" }
  end

  it("test_async_error_callback", function()
    local p <close> = lambdapool.pool { workers = 2 }
    local seen
    local result = p:apply_async(raising, {}, nil, nil, function(e) seen = e end)
    local e = error_of(result.get, result)
    assert.same({ key = "key" }, e.value)
    assert.equal(e, seen)
    p:close()
    p:join()
  end)

  it("test_unpickleable_result", function()
    local p <close> = lambdapool.pool { workers = 2 }
    for _ = 1, 20 do
      local seen
      local result = p:apply_async(function() return coroutine.create(print) end, {}, {}, nil,
        function(e) seen = e end)
      local e = error_of(result.get, result)
      assert.equal("error", e.kind)
      assert.matches("cannot send", e.message)
      assert.matches("coroutine", e.message)
      assert.equal(e, seen)
    end
    assert.equal(0, p:stats().running)
    assert.is_true(p:stats().workers_started <= 2)
    p:close()
    p:join()
  end)

  it("test_unpickleable_result in a map fails its item alone", function()
    local p <close> = lambdapool.pool { workers = 2 }
    local failed, good = 0, 0
    for _, value, e in p:each(function(x) return x % 3 == 0 and coroutine.create(print) or x end,
      range(1, 30), { chunksize = 10 }) do
      failed = failed + (e and 1 or 0)
      good = good + (value and 1 or 0)
    end
    assert.equal(10, failed)
    assert.equal(20, good)
  end)
end)

describe("_TestPoolWorkerLifetime", function()
  it("test_pool_worker_lifetime_early_close", function()
    local p = lambdapool.pool { workers = 3 }
    local results = {}
    for i = 0, 5 do
      results[i] = p:apply_async(sqr, { i })
    end
    p:close()
    assert.matches("the pool is closed", error_of(p.apply_async, p, sqr, { 1 }))
    p:join()
    for i = 0, 5 do
      assert.is_true(results[i]:ready())
      assert.equal(i * i, results[i]:get())
    end
  end)

  it("test_pool_maxtasksperchild_invalid", function()
    assert.matches("unknown option 'maxtasksperchild'",
      error_of(lambdapool.pool, { maxtasksperchild = 1 }))
  end)

  it("test_worker_finalization_via_atexit_handler_of_multiprocessing", function()
    local output, code = support.run_script [[
      local lambdapool = require "lambdapool"
      problem = {}
      problem.pool = lambdapool.pool { workers = 1 }
      problem.pool:map(math.abs, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
    ]]
    assert.equal("", output)
    assert.equal(0, code)
  end)
end)

-- Not in Python's tests, but in its manual.
describe("callbacks of a pool", function()
  local pool

  before_each(function()
    pool = lambdapool.pool { workers = 2 }
  end)

  after_each(function()
    pool:terminate()
  end)

  it("get all values, and are called once", function()
    local calls = {}
    local function note(...)
      table.insert(calls, table.pack(...))
    end
    local result = pool:apply_async(function() return 1, nil, 3 end, {}, nil, note, note)
    result:wait()
    result:get()
    pool:poll()
    assert.same({ { 1, nil, 3, n = 3 } }, calls)
  end)

  it("run before `get` returns, as in Python", function()
    local order = {}
    local result = pool:apply_async(sqr, { 2 }, nil, function() table.insert(order, "callback") end)
    result:get()
    table.insert(order, "get")
    assert.same({ "callback", "get" }, order)
  end)

  it("may begin more work", function()
    local sum = 0
    local function again(x)
      sum = sum + 1
      if sum < 20 then
        pool:apply_async(sqr, { x }, nil, again)
      end
    end
    pool:apply_async(sqr, { 1 }, nil, again)
    local limit = os.time() + support.LONG
    while pool:poll(1) do
      assert(os.time() < limit)
    end
    assert.equal(20, sum)
  end)

  it("that raise reach the caller who waits, and take no result away", function()
    local result = pool:apply_async(sqr, { 3 }, nil, function() error("in a callback", 0) end)
    assert.equal("in a callback", error_of(result.get, result))
    assert.equal(9, result:get())
  end)

  it("are checked at once", function()
    assert.matches("pool:apply_async: the callback must be a function, got a number",
      error_of(pool.apply_async, pool, sqr, { 1 }, nil, 7))
    assert.matches("option 'callback' must be a function",
      error_of(pool.map_async, pool, sqr, { 1 }, { callback = 7 }))
  end)
end)
