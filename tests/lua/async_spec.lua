local lambdapool = require "lambdapool"

local system = require "lambdapool.system"
local support = require "tests.lua.pool_support"

local error_of, range = support.error_of, support.range

describe("lambdapool.async", function()
  local pool

  setup(function() pool = lambdapool.pool { workers = 2 } end)
  teardown(function()
    pool:terminate()
    pool:join()
  end)

  local function echo(...) return ... end

  it("gives a future of what the function returns", function()
    local future = lambdapool.async(function(a, b)
      return a, pool:apply(echo, { b, n = 1 })
    end, 1, nil)
    assert.same({ n = 2, 1 }, table.pack(future:result()))
    assert.same({ n = 0 }, table.pack(lambdapool.async(function() end):result()))
    assert.is_true(future:done())
  end)

  it("raises what the function raised where its result is asked for", function()
    local failure = {}
    local future = lambdapool.async(function()
      pool:apply(echo)
      error(failure)
    end)
    assert.equal(failure, error_of(future.result, future))
    assert.equal(failure, future:exception())
  end)

  -- A program reports such errors at its end, and keeps them until then.
  if system.guest then
    it("forgets errors that nobody can ask for any more", function()
      local function fail_often()
        for _ = 1, 10000 do
          lambdapool.async(error, "unasked")
        end
        collectgarbage()
        return collectgarbage "count"
      end
      local kilobytes = fail_often()
      assert.is_true(fail_often() < kilobytes + 100)
    end)
  end

  it("runs many flows in one thread", function()
    local flows, active, most = {}, 0, 0
    for i = 1, 200 do
      flows[i] = lambdapool.async(function()
        active = active + 1
        most = math.max(most, active)
        local once = pool:apply(echo, { i })
        local twice = pool:apply(echo, { once * 2 })
        active = active - 1
        return twice
      end)
    end
    local sum = 0
    for _, flow in ipairs(flows) do
      sum = sum + flow:result()
    end
    assert.equal(200 * 201, sum)
    assert.equal(200, most)
  end)

  it("lets lists, streams and waits for many yield, too", function()
    local order = {}
    local slow = lambdapool.async(function()
      pool:apply(os.execute, { "sleep 0.2" })
      order[#order + 1] = "slow"
    end)
    local quick = lambdapool.async(function()
      local squares = pool:map(function(x) return x * x end, range(1, 10))
      for i, v in pool:imap(echo, squares) do
        assert.equal(i * i, v)
      end
      local results = { pool:apply_async(echo, { 1 }), pool:apply_async(echo, { 2 }) }
      local done = lambdapool.wait(results)
      for result in lambdapool.as_completed(results) do
        assert.is_true(result:successful())
      end
      order[#order + 1] = "quick"
      return #done
    end)
    assert.equal(2, quick:result())
    slow:result()
    assert.same({ "quick", "slow" }, order)
  end)

  it("waits no longer than asked in a flow", function()
    local result = pool:apply_async(os.execute, { "sleep 0.3" })
    local flow = lambdapool.async(function()
      return result:wait(0.01), (select(2, pcall(result.get, result, 0.01)))
    end)
    local ended, failure = flow:result()
    assert.is_false(ended)
    assert.equal("LambdaTimeoutError", getmetatable(failure).__name)
    assert.is_true((result:get()))
  end)

  it("blocks in coroutines that a flow runs by itself", function()
    local flow = lambdapool.async(function()
      local generator = coroutine.wrap(function()
        coroutine.yield(pool:apply(echo, { "inner" }))
      end)
      return generator()
    end)
    assert.equal("inner", flow:result())
  end)

  it("takes a plain yield for a turn of the others", function()
    local order = {}
    local function count(name)
      return lambdapool.async(function()
        for i = 1, 2 do
          order[#order + 1] = name .. i
          coroutine.yield()
        end
      end)
    end
    lambdapool.wait { count "a", count "b" }
    assert.same({ "a1", "b1", "a2", "b2" }, order)
  end)

  it("goes on in pool:poll, which waits no longer than asked", function()
    local flow = lambdapool.async(function() return pool:apply(echo, { 3 }) end)
    local turns = 0
    while not flow.is_done and turns < 10000 do
      pool:poll(0.01)
      turns = turns + 1
    end
    assert.equal(3, flow:result())
    local start = system.monotonic()
    local result = pool:apply_async(os.execute, { "sleep 0.5" })
    pool:poll(0)
    assert.is_true(system.monotonic() - start < 0.5)
    result:get()
  end)

  it("can be cancelled while it waits", function()
    local closed = false
    local flow = lambdapool.async(function()
      local guard <close> = setmetatable({}, { -- luacheck: ignore
        __close = function() closed = true end,
      })
      pool:apply(os.execute, { "sleep 0.2" })
    end)
    assert.is_true(flow:cancel())
    assert.is_true(closed)
    assert.is_true(flow:cancelled())
    assert.equal("cancelled", flow:exception().kind)
  end)

  it("says so instead of hanging when nothing can end a wait", function()
    local flow
    flow = lambdapool.async(function()
      coroutine.yield()
      return flow:result()
    end)
    assert.matches("cannot wait", error_of(flow.result, flow))
    flow:cancel()
  end)

  it("needs a function", function()
    assert.matches("async_spec.lua:%d+: lambdapool.async: needs a function, got nil",
      error_of(function() lambdapool.async() end))
  end)
end)
