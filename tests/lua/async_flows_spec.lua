--- Flows with real workers, in all that a script may do in them: many at once, waits of every kind,
--- cancelling, callbacks, and waits that nothing can end.
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

local async = lambdapool.async
local error_of, class, range = support.error_of, support.class, support.range
local LONG = support.LONG

local function double(x)
  return 2 * x
end

local function forever()
  while true do end
end

local nothing_goes_on = "cannot wait: nothing is going on that could end the wait"

describe("async", function()
  local pool, executor, gate

  before_each(function()
    pool = lambdapool.pool { workers = 2 }
    executor = lambdapool.executor { workers = 2 }
    gate = support.gate()
  end)

  after_each(function()
    gate:open()
    pool:terminate()
    executor:shutdown { cancel_futures = true }
    local closing <close> = gate -- luacheck: ignore
  end)

  -- A task that ends when the gate opens.
  local function held(...)
    return executor:submit(support.pass, gate.path, ...)
  end

  describe("the future of a flow", function()
    it("has all values that the function returns", function()
      local flow = async(function(...) return ... end, 1, nil, 3, nil)
      assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(flow:result()))
      assert.equal(0, select("#", async(function() end):result()))
    end)

    it("raises what the function raised, as it was", function()
      local e = {}
      local flow = async(error, e)
      assert.equal(e, error_of(flow.result, flow))
      assert.equal(e, flow:exception())
      assert.matches("async_flows_spec.lua:%d+: no$", error_of(function()
        async(function() error "no" end):result()
      end))
    end)

    it("is done at once when the function waits for nothing", function()
      local flow = async(double, 4)
      assert.is_true(flow:done())
      assert.is_false(flow:running())
      assert.is_false(flow:cancel())
      assert.equal(8, flow:result(0))
      assert.equal("lambdapool.Future (done)", tostring(flow))
    end)

    it("runs while the function waits", function()
      local future = held(5)
      local flow = async(function() return future:result() end)
      assert.is_true(flow:running())
      assert.is_false(flow:done())
      assert.equal("lambdapool.Future (running)", tostring(flow))
      assert.equal("LambdaTimeoutError", class(error_of(flow.result, flow, 0.01)))
      gate:open()
      assert.equal(5, flow:result(LONG))
    end)

    it("has callbacks", function()
      local got = {}
      local flow = async(function() return executor:submit(double, 2):result() end)
      flow:add_done_callback(function(f) table.insert(got, f:result()) end)
      flow:result()
      flow:add_done_callback(function(f) table.insert(got, f:result() + 1) end)
      assert.same({ 4, 5 }, got)
    end)

    it("can be waited for with others", function()
      local flows = { async(double, 1), async(error, "x"), async(function()
        return held():result()
      end), executor:submit(double, 2) }
      local done, not_done = lambdapool.wait({ flows[1], flows[2], flows[3] }, { timeout = 0 })
      assert.equal(2, #done)
      assert.equal(flows[3], not_done[1])
      assert.equal("x", flows[2]:exception())
      gate:open()
      local count = 0
      for future in lambdapool.as_completed(flows) do
        assert.is_true(future:done())
        count = count + 1
      end
      assert.equal(4, count)
    end)
  end)

  it("wants a function", function()
    assert.matches("async_flows_spec.lua:%d+: lambdapool.async: needs a function, got nil",
      error_of(function() async() end))
    assert.matches("lambdapool.async: needs a function, got a table",
      error_of(function() async {} end))
  end)

  describe("many flows", function()
    it("share one thread, and each gets its own results", function()
      local flows = {}
      for i = 1, 500 do
        flows[i] = async(function()
          local once = executor:submit(double, i):result()
          return pool:apply(double, { once })
        end)
      end
      for i = 500, 1, -1 do
        assert(flows[i]:result(LONG) == 4 * i)
      end
    end)

    it("wait side by side, not one after the other", function()
      local flows, reached = {}, 0
      for i = 1, 100 do
        flows[i] = async(function()
          local value = executor:submit(double, i):result()
          reached = reached + 1
          held():result()
          return value
        end)
      end
      local limit = os.time() + LONG
      while reached < 100 do
        assert(os.time() < limit, "the flows hold each other up")
        pool:poll(1)
      end
      for i = 1, 100 do
        assert.is_false(flows[i]:done())
      end
      gate:open()
      for i = 1, 100 do
        assert.equal(2 * i, flows[i]:result(LONG))
      end
    end)

    it("wait for the same future", function()
      local future, got = held(7), {}
      local flows = {}
      for i = 1, 50 do
        flows[i] = async(function() got[i] = future:result() end)
      end
      gate:open()
      lambdapool.wait(flows)
      assert.equal(50, #got)
      assert.equal(7, got[50])
    end)

    it("wait for each other, in a chain", function()
      local flows = { async(function() return held(1):result() end) }
      for i = 2, 300 do
        flows[i] = async(function() return flows[i - 1]:result() + 1 end)
      end
      gate:open()
      assert.equal(300, flows[300]:result(LONG))
    end)

    it("start flows", function()
      local function sum(first, last)
        if first == last then
          return executor:submit(double, first):result()
        end
        local middle = (first + last) // 2
        local left, right = async(sum, first, middle), async(sum, middle + 1, last)
        return left:result() + right:result()
      end
      assert.equal(128 * 129, async(sum, 1, 128):result(LONG))
    end)

    it("take turns when they yield", function()
      local order = {}
      local function count(name)
        for i = 1, 3 do
          table.insert(order, name .. i)
          coroutine.yield()
        end
      end
      local a, b = async(count, "a"), async(count, "b")
      lambdapool.wait { a, b }
      assert.same({ "a1", "b1", "a2", "b2", "a3", "b3" }, order)
    end)
  end)

  describe("waiting in a flow", function()
    it("with a timeout ends in time, while others go on", function()
      local future, ended = held(1), 0
      local waits = {
        function() return future:result(0.02) end,
        function() return future:exception(0.02) end,
        function()
          for _ in lambdapool.as_completed({ future }, { timeout = 0.02 }) do
            error "too early"
          end
        end,
        function()
          for _ in executor:map(support.pass, { gate.path }, { wait = 0.02 }) do
            error "too early"
          end
        end,
        function() return pool:apply_async(support.pass, { gate.path }):get(0.02) end,
      }
      local flows = {}
      for i, wait in ipairs(waits) do
        flows[i] = async(function()
          local e = error_of(wait)
          ended = ended + 1
          return class(e)
        end)
      end
      for i in ipairs(flows) do
        assert.equal("LambdaTimeoutError", flows[i]:result(LONG))
      end
      assert.equal(#waits, ended)
      assert.is_false(async(function()
        return pool:apply_async(support.pass, { gate.path }):wait(0.02)
      end):result(LONG))
      local _, not_done = async(function()
        return lambdapool.wait({ future }, { timeout = 0.02 })
      end):result(LONG)
      assert.equal(future, not_done[1])
    end)

    it("with a timeout gets a result that comes in time", function()
      local future = held(9)
      local flow = async(function() return future:result(LONG) end)
      gate:open()
      assert.equal(9, flow:result(LONG))
      assert.is_false(pool:poll(0))
    end)

    it("for what is there does not yield", function()
      local future = executor:submit(double, 1)
      future:result()
      local flow = async(function()
        return future:result() + #lambdapool.wait { future } + (future:exception(0) and 1 or 0)
      end)
      assert.is_true(flow:done())
      assert.equal(3, flow:result())
    end)

    it("takes maps", function()
      local flows = {}
      for i = 1, 20 do
        flows[i] = async(function()
          local items = range(i, i + 99)
          local results = i % 2 == 0 and pool:map(double, items)
            or pool:map_async(double, items):get()
          return results[1], results[100], results.n
        end)
      end
      for i = 1, 20 do
        assert.same({ 2 * i, 2 * (i + 99), 100 }, { flows[i]:result(LONG) })
      end
    end)

    it("sends the list of a map as it was when it began", function()
      local list = range(1, 2000)
      local flow = async(function() return pool:map(double, list) end)
      for i = 1, 2000 do
        list[i] = 0
      end
      local results = flow:result(LONG)
      for i = 1, 2000 do
        assert(results[i] == 2 * i)
      end
    end)

    it("takes streams", function()
      local flows = {}
      for i = 1, 20 do
        flows[i] = async(function()
          local n, sum = 0, 0
          local function source()
            n = n + 1
            return n <= 50 and n or nil
          end
          local loop = i % 3 == 0 and pool.imap or i % 3 == 1 and pool.imap_unordered or pool.each
          for _, value in loop(pool, double, source) do
            sum = sum + value
          end
          return sum
        end)
      end
      for i = 1, 20 do
        assert.equal(50 * 51, flows[i]:result(LONG))
      end
    end)

    it("takes streams whose source waits", function()
      local function source(_, n)
        n = (n or 0) + 1
        return n <= 20 and executor:submit(double, n):result() // 2 or nil
      end
      local flow = async(function()
        local sum = 0
        for _, value in pool:imap(double, source) do
          sum = sum + value
        end
        return sum
      end)
      assert.equal(420, flow:result(LONG))
    end)

    it("leaves streams", function()
      local flow = async(function()
        for i, value in pool:imap(double, function() return 1 end) do
          if i == 10 then
            return value
          end
        end
      end)
      assert.equal(2, flow:result(LONG))
      assert.equal(0, pool:stats().queued)
    end)

    it("takes the end of pools and executors", function()
      local flow = async(function()
        local inner = lambdapool.pool { workers = 1 }
        local result = inner:apply_async(double, { 3 })
        inner:close()
        inner:join()
        local future
        do
          local scoped <close> = lambdapool.executor { workers = 1 }
          future = scoped:submit(double, 4)
        end
        return result:get(0), future:result(0)
      end)
      assert.same({ 6, 8 }, { flow:result(LONG) })
    end)

    it("raises the errors of tasks there", function()
      local flow = async(function()
        local e = error_of(pool.apply, pool, error, { "x" })
        assert.equal("x", e.message)
        pool:map(error, { "y" })
      end)
      assert.equal("y", error_of(flow.result, flow).message)
    end)

    it("ends when the pool is terminated", function()
      local flows = {
        async(function() return pool:apply(forever) end),
        async(function() return pool:map(forever, { 1, 2, 3 }) end),
        async(function() return pool:map_async(forever, { 1, 2, 3 }):get() end),
        async(function() return pool:imap(forever, { 1, 2, 3 })() end),
      }
      pool:terminate()
      for _, flow in ipairs(flows) do
        assert.equal("cancelled", flow:exception(LONG).kind)
      end
    end)
  end)

  describe("where a flow cannot yield", function()
    it("waiting blocks: in coroutines of its own", function()
      local flow = async(function()
        local double_all = coroutine.wrap(function()
          for i = 1, 3 do
            coroutine.yield(executor:submit(double, i):result())
          end
        end)
        return double_all() + double_all() + double_all()
      end)
      assert.equal(12, flow:result(LONG))
    end)

    it("waiting blocks: in functions that C calls", function()
      local flow = async(function()
        local list = { 3, 1, 2 }
        local function less(x, y) return x < y end
        table.sort(list, function(a, b) return pool:apply(less, { a, b }) end)
        local text = ("a b"):gsub("%w", function(w) return pool:apply(string.upper, { w }) end)
        return table.concat(list), text
      end)
      assert.same({ "123", "A B" }, { flow:result(LONG) })
    end)

    it("others go on meanwhile", function()
      local flows = {}
      for i = 1, 10 do
        flows[i] = async(function()
          executor:submit(double, i):result()
          return coroutine.wrap(function() return pool:apply(double, { i }) end)()
        end)
      end
      for i = 1, 10 do
        assert.equal(2 * i, flows[i]:result(LONG))
      end
    end)

    it("any number of flows may wait", function()
      local flows = {}
      for i = 1, 400 do
        flows[i] = async(function()
          executor:submit(double, i):result()
          local upper = ("a b"):gsub("%w", function(w)
            return executor:submit(string.upper, w):result()
          end)
          return upper
        end)
      end
      for i = 1, 400 do
        assert.equal("A B", flows[i]:result(LONG))
      end
    end)

    it("a flow can be started and asked for in a coroutine", function()
      local value = coroutine.wrap(function()
        return async(function() return pool:apply(double, { 4 }) end):result()
      end)()
      assert.equal(8, value)
    end)
  end)

  describe("cancelling a flow", function()
    it("ends it and closes its variables", function()
      local closed = 0
      local flow = async(function()
        local closing <close> = setmetatable({}, { -- luacheck: ignore
          __close = function() closed = closed + 1 end,
        })
        held():result()
      end)
      assert.is_true(flow:cancel())
      assert.equal(1, closed)
      assert.is_true(flow:done())
      assert.is_true(flow:cancelled())
      assert.is_true(flow:cancel())
      assert.equal("the flow was cancelled", tostring(error_of(flow.result, flow)))
      assert.equal("LambdaFunctionError", class(flow:exception()))
      assert.equal("lambdapool.Future (cancelled)", tostring(flow))
    end)

    it("leaves what it waited for alone, when others may want it", function()
      local future = held(3)
      local flow = async(function() return future:result() end)
      local other = async(function() return future:result() end)
      assert.is_true(flow:cancel())
      gate:open()
      assert.equal(3, future:result(LONG))
      assert.equal(3, other:result(LONG))
    end)

    it("cancels what only it waited for", function()
      for _, wait in ipairs {
        function() pool:apply(forever) end,
        function() pool:map(forever, { 1, 2, 3 }) end,
        function() pool:starmap(forever, { {}, {}, {} }) end,
        function() for _ in pool:imap(forever, { 1, 2, 3 }) do end end,
      } do
        local flow = async(wait)
        assert.is_true(flow:cancel())
        local stats = pool:stats()
        assert.equal(0, stats.running + stats.queued)
      end
      assert.equal(4, pool:apply(double, { 2 }))
    end)

    it("is not for a flow to do to itself", function()
      local flow
      flow = async(function()
        executor:submit(double, 1):result()
        return flow:cancel()
      end)
      assert.is_false(flow:result(LONG))
    end)

    it("wakes those who wait for it", function()
      local flow = async(function() held():result() end)
      local waiting = async(function() return flow:exception().kind end)
      local called
      flow:add_done_callback(function(f) called = f:cancelled() end)
      flow:cancel()
      assert.equal("cancelled", waiting:result(LONG))
      assert.is_true(called)
    end)

    it("may be done by another flow, and when it was about to go on", function()
      local future = executor:submit(double, 1)
      local gone_on
      local victim = async(function()
        future:result()
        gone_on = true
      end)
      future:add_done_callback(function() victim:cancel() end)
      local killer = async(function()
        local cancelled = victim:cancel()
        future:result()
        return cancelled
      end)
      assert.is_true(killer:result(LONG))
      assert.is_true(victim:cancelled())
      assert.is_nil(gone_on)
    end)

    it("raises the error of closing a variable where the caller waits", function()
      local flow = async(function()
        local closing <close> = setmetatable({}, { -- luacheck: ignore
          __close = function() error("not closed", 0) end,
        })
        held():result()
      end)
      assert.is_true(flow:cancel())
      assert.equal("not closed", error_of(pool.poll, pool))
      assert.is_true(flow:cancelled())
    end)
  end)

  describe("callbacks", function()
    it("submit, wait and raise, in flows and outside", function()
      local got = {}
      local future = held(1)
      future:add_done_callback(function(f)
        table.insert(got, executor:submit(double, f:result()):result())
        table.insert(got, pool:apply(double, { 5 }))
        table.insert(got, pool:map(double, { 7 })[1])
        error("raised behind it", 0)
      end)
      local flow = async(function() return future:result() end)
      gate:open()
      assert.equal("raised behind it", error_of(function()
        local limit = os.time() + LONG
        while os.time() < limit do
          pool:poll(1)
        end
      end))
      assert.same({ 2, 10, 14 }, got)
      assert.equal(1, flow:result(LONG))
    end)

    it("wait side by side", function()
      local ended = 0
      local results = {}
      for i = 1, 50 do
        results[i] = pool:apply_async(double, { i }, nil, function(value)
          assert(held(value):result() == value)
          ended = ended + 1
        end)
      end
      lambdapool.wait(results)
      assert.equal(0, ended)
      gate:open()
      local limit = os.time() + LONG
      while ended < 50 do
        assert(os.time() < limit)
        pool:poll(1)
      end
    end)
  end)

  describe("pool:poll", function()
    it("drives flows and callbacks", function()
      local called
      local flow = async(function()
        local sum = 0
        for i = 1, 5 do
          sum = sum + executor:submit(double, i):result()
        end
        return sum
      end)
      flow:add_done_callback(function(f) called = f:result() end)
      local limit = os.time() + LONG
      while not called do
        assert(os.time() < limit, "poll does not drive flows")
        pool:poll(0.1)
      end
      assert.equal(30, called)
    end)

    it("tells whether tasks are left, and does not wait for them", function()
      local result = pool:apply_async(support.pass, { gate.path, 1 })
      local begin = os.time()
      for _ = 1, 20 do
        assert.is_true(pool:poll(0.01))
        assert.is_true(pool:poll())
        assert.is_true(pool:poll(0))
      end
      assert.is_true(os.time() - begin < LONG)
      gate:open()
      assert.equal(1, result:get(LONG))
      assert.is_false(pool:poll())
      assert.is_false(pool:poll(0.01))
    end)

    it("returns, although flows yield for ever", function()
      local turns, stop = 0, false
      local flow = async(function()
        while not stop do
          turns = turns + 1
          coroutine.yield()
        end
      end)
      local before = turns
      pool:poll()
      pool:poll(0.01)
      assert.is_true(turns > before)
      stop = true
      flow:result(LONG)
    end)

    it("wants a number", function()
      for _, wrong in ipairs { -1, 0 / 0, "1", false } do
        assert.matches("pool:poll: seconds must be a number", error_of(pool.poll, pool, wrong))
      end
    end)
  end)

  describe("a wait that nothing can end", function()
    local function await(flow)
      return error_of(flow.result, flow)
    end

    it("for itself", function()
      local flow
      flow = async(function()
        executor:submit(double, 1):result()
        return flow:result()
      end)
      assert.equal(nothing_goes_on, await(flow))
      assert.is_true(flow:cancel())
    end)

    it("for each other", function()
      local a, b
      a = async(function()
        executor:submit(double, 1):result()
        return b:result()
      end)
      b = async(function() return a:result() end)
      assert.equal(nothing_goes_on, await(a))
      assert.equal(nothing_goes_on, error_of(lambdapool.wait, { a, b }))
      assert.equal(nothing_goes_on, error_of(lambdapool.as_completed { a, b }))
      assert.equal("LambdaTimeoutError", class(error_of(a.result, a, 0.01)))
      assert.is_true(a:cancel())
      assert.equal("cancelled", b:exception(LONG).kind)
    end)

    it("in a coroutine of a flow", function()
      local a, b
      a = async(function()
        executor:submit(double, 1):result()
        return coroutine.wrap(function() return b:result() end)()
      end)
      b = async(function() return a:result() end)
      assert.matches(nothing_goes_on .. "$", await(a))
      assert.matches(nothing_goes_on .. "$", b:exception())
    end)
  end)

  describe("at the end of a script", function()
    local function run(text)
      return support.run_script('local lambdapool = require "lambdapool"\n' .. text)
    end

    it("flows go on to their end", function()
      local output, code = run [[
        local pool <close> = lambdapool.pool { workers = 1 }
        executor = lambdapool.executor { workers = 1 }
        for i = 1, 3 do
          lambdapool.async(function()
            print(executor:submit(function(x) return 2 * x end, i):result())
          end)
        end
        print "end"
      ]]
      assert.equal("end\n2\n4\n6\n", output)
      assert.equal(0, code)
    end)

    it("errors that nobody asked for are told", function()
      local output, code = run [[
        lambdapool.async(function() error "not asked for" end)
        lambdapool.async(function() error "asked for" end):exception()
        print "end"
      ]]
      assert.matches("^end\nlambdapool: .-:2: not asked for\n", output)
      assert.not_matches(" asked for", (output:gsub("not asked for", "")))
      assert.equal(1, code)
    end)

    it("flows that wait for each other are told", function()
      local output, code = run [[
        local a, b
        a = lambdapool.async(function()
          coroutine.yield()
          return b:result()
        end)
        b = lambdapool.async(function() return a:result() end)
      ]]
      assert.matches("nothing is going on that could end the wait", output)
      assert.equal(1, code)
    end)
  end)
end)
