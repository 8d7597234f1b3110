local lambdapool = require "lambdapool"

local function range(n)
  local list = {}
  for i = 1, n do
    list[i] = i
  end
  return list
end

-- Calls `f` and returns the error it raises.
local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

local function class(e)
  return getmetatable(e).__name
end

describe("a pool", function()
  local pool

  before_each(function()
    pool = lambdapool.pool { workers = 2 }
  end)

  after_each(function()
    pool:terminate()
  end)

  describe("apply", function()
    it("gives all values of the task, nils in place", function()
      local got = table.pack(pool:apply(function(a, b) return a, nil, b, nil end, { 1, 2 }))
      assert.same({ 1, nil, 2, nil, n = 4 }, got)
      assert.equal(0, select("#", pool:apply(function() end)))
    end)

    it("takes closures with what they use", function()
      local factor = 3
      local function times(x) return x * factor end
      assert.equal(21, pool:apply(function(x) return times(x) end, { 7 }))
    end)

    it("counts nil arguments with n", function()
      local function count(...) return select("#", ...) end
      assert.equal(3, pool:apply(count, { nil, 2, nil, n = 3 }))
      assert.equal(0, pool:apply(count, {}))
    end)

    it("runs in another process, the same one while it is free", function()
      local function pid()
        local file <close> = io.open "/proc/self/stat"
        return file:read "n"
      end
      local first = pool:apply(pid)
      assert.not_equal(pid(), first)
      assert.equal(first, pool:apply(pid))
    end)

    it("raises a LambdaPoolError with the user's own lines", function()
      local e = error_of(pool.apply, pool, function() error "broken" end)
      assert.equal("LambdaPoolError", class(e))
      assert.equal("error", e.kind)
      assert.matches("pool_spec.lua:%d+: broken$", e.message)
      assert.matches("pool_spec.lua:%d+: in function", e.traceback)
      assert.matches("^task raised on worker %d+ %(attempt 1 of 1, %d+ ms%)\n  .-broken\n",
        tostring(e))
      assert.matches("pool_spec.lua:%d+ +in function <.-> +<remote>$", tostring(e))
      assert.not_matches("lambdapool/", tostring(e))
    end)

    it("brings error values back", function()
      assert.same({ code = 7 }, error_of(pool.apply, pool, function() error { code = 7 } end).value)
      assert.is_nil(error_of(pool.apply, pool, function() error(nil) end).value)
      assert.equal(7, error_of(pool.apply, pool, function() error(7) end).value)
    end)

    it("puts keyword arguments where the parameters are", function()
      local function f(a, b, c)
        return a, b, c
      end
      assert.same({ 1, nil, 3 }, { pool:apply(f, { 1 }, { c = 3 }) })
      assert.matches("has no parameter 'd'", error_of(pool.apply, pool, f, {}, { d = 4 }))
      assert.equal(2, pool:apply_async(f, nil, { a = 2 }):get())
    end)

    it("goes on after an error", function()
      error_of(pool.apply, pool, error, { "x" })
      assert.equal(1, pool:apply(math.abs, { -1 }))
    end)
  end)

  describe("map", function()
    it("gives the results in order", function()
      local squares = pool:map(function(x) return x * x end, range(1000))
      assert.equal(1000, squares.n)
      for i = 1, 1000 do
        assert(squares[i] == i * i)
      end
    end)

    it("gives one list for each value of the tasks", function()
      local sums, products, rest = pool:map(function(x) return x + x, x * x end, range(9))
      assert.is_nil(rest)
      assert.equal(9, sums.n)
      assert.equal(9, products.n)
      assert.equal(18, sums[9])
      assert.equal(81, products[9])
    end)

    it("keeps the place of nils, in results and in items", function()
      local odd = pool:map(function(x) return x % 2 == 1 and x or nil end, range(5))
      assert.same({ 1, nil, 3, nil, 5, n = 5 }, odd)
      local kinds = pool:map(function(x) return type(x) end, { nil, 1, nil, n = 3 })
      assert.same({ "nil", "number", "nil", n = 3 }, kinds)
      assert.same({ n = 2 }, pool:map(function() end, { 1, 2 }))
    end)

    it("of an empty list is an empty list", function()
      assert.same({ n = 0 }, pool:map(function(x) return x end, {}))
    end)

    it("takes any chunk size", function()
      for _, size in ipairs { 1, 2, 7, 100, 1000 } do
        local got = pool:map(function(x) return -x end, range(100), { chunksize = size })
        assert.equal(-100, got[100])
        assert.equal(100, #got)
      end
    end)

    it("raises the error of the first item that fails, by position", function()
      local function f(x)
        return x < 20 and x or error("too much: " .. x, 0)
      end
      for _, size in ipairs { 1, 7, 100 } do
        local e = error_of(pool.map, pool, f, range(100), { chunksize = size })
        assert.equal("LambdaPoolError", class(e))
        assert.equal(20, e.index)
        assert.equal(100, e.count)
        assert.equal("too much: 20", e.message)
      end
      assert.equal(3, pool:map(f, range(3))[3])
    end)

    it("goes on where an invocation stopped early", function()
      local function slow(x)
        local limit = os.clock() + 0.04
        repeat until os.clock() > limit
        return x
      end
      local got = pool:map(slow, range(60), { chunksize = 60 })
      assert.same(60, #got)
    end)

    it("splits what is too large for one request", function()
      local list = {}
      for i = 1, 12 do
        list[i] = tostring(i % 10):rep(1000000)
      end
      local sizes = pool:map(function(s) return #s end, list, { chunksize = 12 })
      assert.equal(12, #sizes)
      assert.equal(1000000, sizes[12])
    end)

    it("fails an item that is too large by itself, and no other", function()
      local function noise(size)
        local parts, seed = {}, 1
        for i = 1, size // 4 do
          seed = (seed * 6364136223846793005 + 1442695040888963407)
          parts[i] = string.pack("<I4", seed >> 32)
        end
        return table.concat(parts)
      end
      local e = error_of(pool.map, pool, function(s) return #s end, { "a", noise(7000000) })
      assert.equal("LambdaFunctionError", class(e))
      assert.equal("too_large", e.kind)
      assert.equal(2, e.index)
      assert.equal(1, pool:map(function(s) return #s end, { "a" })[1])
    end)

    it("says which item cannot be sent, and goes on", function()
      local e = error_of(pool.map, pool, type, { 1, 2, coroutine.create(print) })
      assert.matches("^cannot send item 3", e)
      assert.equal(2, pool:map(math.abs, { -2 })[1])
    end)
  end)

  describe("starmap", function()
    it("spreads each item over the arguments", function()
      local sums = pool:starmap(function(a, b) return a + b end, { { 1, 2 }, { 3, 4 } })
      assert.same({ 3, 7, n = 2 }, sums)
    end)

    it("wants tables", function()
      assert.matches("pool:starmap: item 2 must be a table of arguments, got a number",
        error_of(function() pool:starmap(print, { {}, 3 }) end))
    end)
  end)

  describe("map_async and starmap_async", function()
    it("give what map gives, and call back", function()
      local log = {}
      local function double(x) return 2 * x, -x end
      local function note(...) log[#log + 1] = table.pack(...) end
      local result = pool:map_async(double, { 1, 2 }, { callback = note })
      assert.same({ { 2, 4, n = 2 }, { -1, -2, n = 2 }, n = 2 }, table.pack(result:get()))
      assert.is_true(result:successful())
      assert.same({ { { 2, 4, n = 2 }, { -1, -2, n = 2 }, n = 2 } }, log)
      assert.same({ 3, n = 1 }, pool:starmap_async(math.max, { { 3, 1 } }):get())
      assert.same({ n = 0 }, pool:map_async(double, {}):get())
    end)

    it("give the error that map raises", function()
      local got
      local result = pool:map_async(function(x) return x ~= 2 or error("two", 0) end, { 1, 2, 3 },
        { error_callback = function(e) got = e end })
      local e = error_of(result.get, result)
      assert.same({ "two", 2, 3 }, { e.message, e.index, e.count })
      assert.equal(e, got)
      assert.is_false(result:successful())
    end)

    it("do not see what becomes of the list", function()
      local list = { 1, 2, 3 }
      local result = pool:map_async(function(x) return x end, list, { chunksize = 1 })
      list[1], list[3] = "changed", "changed"
      assert.same({ 1, 2, 3, n = 3 }, result:get())
    end)

    it("can be cancelled", function()
      local result = pool:map_async(function() while true do end end, range(10))
      assert.is_true(result:cancel())
      assert.equal("cancelled", error_of(result.get, result).kind)
      assert.equal(1, pool:apply(math.abs, { -1 }))
    end)
  end)

  describe("imap", function()
    it("yields in order, all values", function()
      local got = {}
      for i, v, w in pool:imap(function(x) return x, -x end, { 5, 6, 7 }) do
        got[#got + 1] = { i, v, w }
      end
      assert.same({ { 1, 5, -5 }, { 2, 6, -6 }, { 3, 7, -7 } }, got)
    end)

    it("does not stop at a nil", function()
      local count = 0
      for i, v in pool:imap(function() return nil end, range(5)) do
        count = count + 1
        assert.equal(count, i)
        assert.is_nil(v)
      end
      assert.equal(5, count)
    end)

    it("takes iterators, whose values are the arguments", function()
      local got = {}
      for _, v in pool:imap_unordered(function(k, v) return k .. v end, pairs { a = 1, b = 2 }) do
        got[v] = true
      end
      assert.same({ a1 = true, b2 = true }, got)
    end)

    it("reads an endless source only as far as it must", function()
      for _, size in ipairs { 1, 10 } do
        local read = 0
        local function naturals()
          read = read + 1
          return read
        end
        for i, v in pool:imap(function(x) return x end, naturals, { chunksize = size }) do
          assert.equal(i, v)
          assert.is_true(read <= i + 4 * size)
          if i == 50 then
            break
          end
        end
      end
      assert.equal(1, pool:apply(math.abs, { -1 }))
    end)

    it("closes what a generic for would close", function()
      local closed = 0
      local closing = setmetatable({}, { __close = function() closed = closed + 1 end })
      local function naturals(_, n)
        return (n or 0) + 1
      end
      for i in pool:imap(function(x) return x end, naturals, nil, nil, closing) do
        if i == 3 then
          break
        end
      end
      assert.equal(1, closed)
    end)

    it("raises an error when its turn comes, and can go on behind it", function()
      local step = pool:imap(function(x) return x ~= 2 and x or error("two", 0) end, { 1, 2, 3 })
      assert.equal(1, (step()))
      assert.equal("two", error_of(step).message)
      assert.same({ 3, 3 }, { step() })
      assert.is_nil((step()))
      assert.is_nil((step()))
    end)

    it("lets errors of the source through", function()
      assert.equal("no more", error_of(function()
        for _ in pool:imap(print, function() error("no more", 0) end) do end
      end))
    end)

    it("sends items as they were when they were read", function()
      local shared, n = {}, 0
      local function again()
        n = n + 1
        shared.n = n
        return n <= 20 and shared or nil
      end
      for i, v in pool:imap(function(t) return t.n end, again) do
        assert.equal(i, v)
      end
    end)

    it("of nothing yields nothing", function()
      assert.is_nil((pool:imap(print, {})()))
      assert.is_nil((pool:imap(print, function() end)()))
    end)
  end)

  describe("imap_unordered", function()
    it("yields each item once, as they end", function()
      local seen = {}
      local function double(x) return x * 2 end
      for i, v in pool:imap_unordered(double, range(200), { chunksize = 9 }) do
        assert.is_nil(seen[i])
        seen[i] = true
        assert.equal(2 * i, v)
      end
      assert.equal(200, #seen)
    end)
  end)

  describe("each", function()
    it("yields errors as values, and goes on", function()
      local values, failures = {}, {}
      local function odd(x) return x % 2 == 1 and x or error("even: " .. x, 0) end
      for i, value, err in pool:each(odd, range(20)) do
        values[i], failures[i] = value, err and err.message
      end
      for i = 1, 20 do
        assert.equal(i % 2 == 1 and i or nil, values[i])
        assert.equal(i % 2 == 0 and "even: " .. i or nil, failures[i])
      end
    end)
  end)

  describe("poll", function()
    it("keeps things going until nothing is left", function()
      local got
      pool:apply_async(math.abs, { -3 }, nil, function(x) got = x end)
      while pool:poll(1) do end
      pool:poll()
      assert.equal(3, got)
      assert.matches("pool:poll: seconds must be a number, 0 or more",
        error_of(pool.poll, pool, -1))
    end)
  end)

  describe("retries", function()
    -- Fails until it has been started `times` times, and counts in a file.
    local function flaky(path, times)
      local file <close> = assert(io.open(path, "a+"))
      file:write "x"
      file:seek "set"
      local starts = #file:read "a"
      return starts >= times and starts or error("again", 0)
    end

    it("start a task again, as the options say", function()
      for _, own in ipairs { true, false } do
        local name = os.tmpname()
        local retry = { times = 2, base = 0.001, on = function(e) return e.kind == "error" end }
        local eager <close> = lambdapool.pool { workers = 1, retry = own and retry or nil }
        local given = not own and { retry = retry } or nil
        assert.equal(3, eager:starmap(flaky, { { name, 3 } }, given)[1])
        assert.equal(2, eager:stats().retried)
        os.remove(name)
      end
    end)

    it("show in the error", function()
      local name = os.tmpname()
      local result = pool:starmap_async(flaky, { { name, 9 } }, { retry = { times = 1,
        base = 0.001, on = function() return true end } })
      local e = error_of(result.get, result)
      assert.same({ 2, 2 }, { e.attempts, e.tries })
      assert.matches("%(attempt 2 of 2, %d+ ms%)", tostring(e))
      os.remove(name)
    end)
  end)

  describe("a worker that dies", function()
    it("fails its task with exit code and last lines", function()
      local e = error_of(pool.apply, pool, function()
        io.stderr:write "last words\n"
        os.exit(3)
      end)
      assert.equal("LambdaFunctionError", class(e))
      assert.equal("crashed", e.kind)
      assert.matches("exited with code 3", e.message)
      assert.equal("last words", e.log)
      assert.equal(2, pool:apply(math.abs, { -2 }))
    end)

    it("of a signal says which", function()
      local e = error_of(pool.apply, pool, function() os.execute "kill -SEGV $PPID" end)
      assert.equal("crashed", e.kind)
      assert.matches("signal 11 %(SIGSEGV%)", e.message)
    end)

    it("while idle costs nothing", function()
      local function pid()
        local file <close> = io.open "/proc/self/stat"
        return file:read "n"
      end
      local first = pool:apply(pid)
      os.execute("kill -9 " .. first)
      local file
      repeat
        file = io.open("/proc/" .. first .. "/stat")
        local state = file and file:read "a":match "%) (%a)" or "Z"
        if file then
          file:close()
        end
      until state == "Z"
      assert.not_equal(first, pool:apply(pid))
    end)

    it("does not hang a map", function()
      local e = error_of(pool.map, pool, function(x)
        if x == 7 then
          os.execute "kill -9 $PPID"
        end
        return x
      end, range(40))
      assert.equal("crashed", e.kind)
      assert.matches("signal 9", e.message)
      assert.equal(40, #pool:map(math.abs, range(40)))
    end)
  end)

  it("stops a task that takes too long, and goes on", function()
    local quick <close> = lambdapool.pool { workers = 1, timeout = 0.2 }
    local e = error_of(quick.apply, quick, function() while true do end end)
    assert.equal("LambdaFunctionError", class(e))
    assert.equal("timeout", e.kind)
    assert.equal(1, quick:apply(math.abs, { -1 }))
  end)

  it("cannot be used by a task", function()
    assert.matches("a pool cannot be sent to a worker",
      error_of(pool.apply, pool, function() return pool:apply(print) end))
  end)

  it("complains at the caller's line", function()
    local here = "pool_spec.lua:%d+: "
    assert.matches(here .. "lambdapool.pool: unknown option 'wokers', did you mean 'workers'%?",
      error_of(function() local p = lambdapool.pool { wokers = 3 } return p end))
    assert.matches(here .. "pool:map: unknown option 'chunk_size'",
      error_of(function() pool:map(print, {}, { chunk_size = 3 }) end))
    assert.matches(here .. "pool%.map is called with a colon: pool:map%(%.%.%.%)",
      error_of(function() pool.map(math.abs, { 1 }) end))
    assert.matches(here .. "pool:map: the task must be a function, got nil",
      error_of(function() pool:map(nil, {}) end))
    assert.matches(here .. "pool:map: the source must be a list or an iterator, got nil",
      error_of(function() pool:map(print) end))
    assert.matches(here .. "pool:imap: the source must be a list or an iterator",
      error_of(function() pool:imap(print, 7) end))
    assert.matches(here .. "pool:apply: the arguments must be a table",
      error_of(function() pool:apply(print, 7) end))
  end)

  describe("at its end", function()
    it("takes no calls after close, and ends with join", function()
      pool:apply(math.abs, { 1 })
      assert.matches("close or terminate the pool first", error_of(pool.join, pool))
      pool:close()
      assert.matches("pool:map: the pool is closed", error_of(pool.map, pool, print, {}))
      pool:join()
      pool:join()
    end)

    it("finishes what was begun before close", function()
      local step = pool:imap(function(x) return x end, range(10))
      pool:close()
      pool:join()
      for i = 1, 4 do
        assert.same({ i, i }, { step() })
      end
    end)

    it("fails what is outstanding when it is terminated", function()
      local step = pool:imap(function() while true do end end, range(3))
      pool:terminate()
      assert.equal("cancelled", error_of(step).kind)
      assert.matches("pool:apply: the pool is terminated", error_of(pool.apply, pool, print))
    end)

    it("is terminated by the end of its scope", function()
      local kept
      do
        local scoped <close> = lambdapool.pool { workers = 1 }
        scoped:apply(math.abs, { 1 })
        kept = scoped
      end
      assert.matches("terminated", error_of(kept.apply, kept, print))
      assert.matches("terminated", tostring(kept))
    end)
  end)
end)
