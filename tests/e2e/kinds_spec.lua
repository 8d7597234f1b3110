--- Every way in which a task can end, caused for real: alone, and as the fourth task of an
--- invocation of eight. There the tasks before it keep their results, and those behind it run all
--- the same.
local faults = require "tests.e2e.fault_support"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"
local tasks = require "tests.e2e.fault_tasks"

-- Of tasks that are to exceed it, and of those that may take their time.
local TIMEOUT, LONG = 0.5, 20
local pid, faulty = tasks.pid, tasks.faulty

describe("a task", function()
  local folder, pool

  setup(function()
    folder = faults.folder()
    faults.build(folder)
    pool = lambdapool.pool { workers = 2, timeout = TIMEOUT, memory = 256 }
  end)

  teardown(function()
    pool:terminate()
    pool:join()
    os.execute("rm -r " .. folder)
  end)

  -- What becomes of eight tasks that go out together, of which the fourth is `f`: results, errors.
  local function in_the_middle(f, timeout)
    local values, errors = {}, {}
    local items = { pid, pid, pid, f, pid, pid, pid, pid }
    for i, value, err in pool:each(function(item) return item() end, items,
      { chunksize = 8, timeout = timeout }) do
      assert.is_nil(values[i] or errors[i])
      values[i], errors[i] = value, err
    end
    return values, errors
  end

  -- All but the fourth must have returned; those behind it by the same process unless it is `gone`.
  local function check_others(values, gone)
    for i = 1, 8 do
      if i ~= 4 then
        assert.equal(values[i < 4 and 1 or 5], values[i])
      end
    end
    assert.is_number(values[1])
    if gone ~= nil then
      assert.equal(gone, values[1] ~= values[5])
    end
  end

  -- All but the fourth must have returned; those behind it from the same process unless `gone`.
  -- `gone` says whether its worker is replaced; nil: that does not matter.
  local function ends(f, kind, gone, timeout)
    return faults.within(timeout or TIMEOUT, function()
      local alone = pool:map_async(function(item) return item() end, { f }, { timeout = timeout })
      local values, errors = in_the_middle(f, timeout)
      local err = support.error_of(alone.get, alone)
      check_others(values, gone)
      for _, e in ipairs { err, errors[4] } do
        assert.equal(kind, e.kind)
        assert.equal(kind == "error" and "LambdaPoolError" or "LambdaFunctionError",
          support.class(e))
        assert.equal(1, e.attempts)
        assert.is_number(e.worker)
        assert.matches("^task ", tostring(e))
      end
      assert.equal(4, errors[4].index)
      errors[4] = nil
      assert.same({}, errors)
      return err
    end)
  end

  it("returns", function()
    local values, errors = in_the_middle(pid)
    check_others(values, false)
    assert.same({}, errors)
  end)

  describe("that raises", function()
    local function raises(f)
      return ends(f, "error", false, LONG)
    end

    it("a string", function()
      local err = raises(function() error "plain" end)
      assert.matches("kinds_spec.lua:%d+: plain$", err.value)
      assert.equal(err.value, err.message)
    end)

    it("a table", function()
      assert.same({ code = { 7 } }, raises(function() error { code = { 7 } } end).value)
    end)

    it("nil, false, a number, a function", function()
      assert.is_nil(raises(function() error() end).value)
      assert.is_false(raises(function() error(false) end).value)
      assert.equal(42, raises(function() error(42) end).value)
      assert.equal(math.pi, raises(function() error(function() return math.pi end) end).value())
    end)

    it("an object, whose __tostring is the message", function()
      local class = { __tostring = function(self) return "no " .. self.what end }
      local err = raises(function() error(setmetatable({ what = "bread" }, class)) end)
      assert.equal("no bread", err.message)
      assert.equal(class, getmetatable(err.value))
      assert.equal("bread", err.value.what)
    end)

    it("an object whose __tostring raises, or gives no string", function()
      local broken = { __tostring = function() error "no text" end }
      assert.is_string(raises(function() error(setmetatable({}, broken)) end).message)
      local odd = { __tostring = function() return {} end }
      assert.is_string(raises(function() error(setmetatable({}, odd)) end).message)
    end)

    it("an object whose hook raises", function()
      local hooked = { __lambdapool = function() error "not today" end }
      assert.is_nil(raises(function() error(setmetatable({}, hooked)) end).value)
    end)

    it("what cannot travel", function()
      assert.is_nil(raises(function() error(coroutine.create(print)) end).value)
      assert.is_string(raises(function() error(io.stdout) end).message)
    end)

    it("a message of 20 MB", function()
      assert.matches("^xxx", raises(function() error(("x"):rep(20000000), 0) end).message)
    end)

    it("in an error handler, in a coroutine, in __close", function()
      raises(function()
        assert(xpcall(error, function() error "again" end))
      end)
      raises(function()
        coroutine.wrap(function() error "inside" end)()
      end)
      raises(function()
        local closed <close> = setmetatable({}, { __close = function() error "closing" end })
        error(tostring(closed))
      end)
    end)

    it("by yielding where nothing goes on", function()
      raises(function() coroutine.yield() end)
    end)
  end)

  describe("that takes too long", function()
    -- Three tries: a machine that stands still for half a second makes the other tasks late, too.
    local function times_out(f, gone)
      local ok, err
      for _ = 1, 3 do
        ok, err = pcall(ends, f, "timeout", gone)
        if ok then
          return assert.is_nil(err.value)
        end
      end
      error(err, 0)
    end

    it("in a loop", function()
      times_out(function() while true do end end, false)
    end)

    it("in a loop that catches errors", function()
      times_out(function()
        while true do
          pcall(function() while true do end end)
        end
      end, false)
    end)

    it("in coroutines that catch errors", function()
      times_out(function()
        while true do
          local run = coroutine.wrap(function() while true do end end)
          pcall(run)
        end
      end, false)
    end)

    it("without the debug hook", function()
      times_out(function() while true do debug.sethook() end end, false)
    end)

    it("in __close, behind its deadline", function()
      times_out(function()
        local slow <close> = setmetatable({}, { __close = function() while true do end end })
        while slow do end
      end, false)
    end)

    it("in the __tostring or the hook of its error", function()
      for _, name in ipairs { "__tostring", "__lambdapool" } do
        local slow = { [name] = function() while true do end end }
        times_out(function() error(setmetatable({}, slow)) end)
      end
    end)

    it("in a finalizer", function()
      times_out(function()
        setmetatable({}, { __gc = function() while true do end end })
        collectgarbage()
      end, true)
    end)

    it("in the hook of its result", function()
      local slow = { __lambdapool = function() while true do end end }
      times_out(function() return setmetatable({}, slow) end)
    end)

    it("asleep in C", function()
      times_out(function() os.execute "exec sleep 20" end, true)
    end)

    it("in a pattern that backtracks", function()
      times_out(function() return (("a"):rep(50)):find(("a*"):rep(40) .. "b") end, true)
    end)

    it("stopped by a signal", function()
      times_out(function()
        os.execute("kill -STOP " .. pid())
        while true do end
      end, true)
    end)
  end)

  describe("that crashes", function()
    local function crashes(f, message)
      local err = ends(f, "crashed", true, LONG)
      if not os.getenv "ASAN_OPTIONS" then
        assert.equal(message, err.message)
      end
      return err
    end

    it("by a bad pointer", function()
      crashes(function() faulty(folder).segfault() end,
        "the worker was killed by signal 11 (SIGSEGV)")
    end)

    it("by os.exit", function()
      crashes(function() os.exit(0) end, "the worker exited with code 0")
      crashes(function() os.exit(3) end, "the worker exited with code 3")
      crashes(function() os.exit(false, true) end, "the worker exited with code 1")
      crashes(function() pcall(coroutine.wrap(function() os.exit(4) end)) end,
        "the worker exited with code 4")
    end)

    it("by a signal", function()
      for _, name in ipairs { "9 (SIGKILL)", "15 (SIGTERM)", "6 (SIGABRT)" } do
        crashes(function()
          os.execute(("kill -%s %d"):format(name:match "%d+", pid()))
          while true do end
        end, "the worker was killed by signal " .. name)
      end
    end)

    it("with last words", function()
      local err = crashes(function()
        io.stderr:write "so long\n"
        os.exit(9)
      end, "the worker exited with code 9")
      assert.equal("so long", err.log)
    end)
  end)

  describe("that is lost", function()
    it("as its connection ends", function()
      ends(function()
        faulty(folder).disconnect()
        while true do end
      end, "lost", true, LONG)
    end)

    it("as something else comes over its connection", function()
      ends(function()
        faulty(folder).babble()
        while true do end
      end, "lost", true, LONG)
    end)
  end)

  it("loses no large result of the tasks before it", function()
    local function large()
      return ("x"):rep(100000)
    end
    local sizes, items = {}, { large, large, function() os.exit(1) end, large }
    for i, value, err in pool:each(function(f) return f() end, items, { chunksize = 4 }) do
      sizes[i] = err and err.kind or #value
    end
    assert.same({ 100000, 100000, "crashed", 100000 }, sizes)
  end)

  describe("that is too large", function()
    local function noise()
      local file <close> = assert(io.open("/dev/urandom", "rb"))
      return file:read(8000000)
    end

    it("to be answered", function()
      ends(noise, "too_large", false, LONG)
      ends(function() error { noise() } end, "too_large", false, LONG)
    end)

    it("to be sent", function()
      local large = noise()
      local alone = pool:apply_async(function(x) return #x end, { large })
      local err = support.error_of(alone.get, alone)
      assert.equal("too_large", err.kind)
      local kinds, items = {}, { "a", "b", large, "c" }
      for i, value, failure in pool:each(function(x) return #x end, items, { chunksize = 4 }) do
        kinds[i] = failure and failure.kind or value
      end
      assert.same({ 1, 1, "too_large", 1 }, kinds)
    end)
  end)

  describe("that is cancelled", function()
    local executor

    before_each(function()
      executor = lambdapool.executor { workers = 1 }
    end)

    after_each(function()
      executor:shutdown()
    end)

    -- Polls until so many tasks have come to the gate.
    local function reach(gate, count)
      faults.await(function()
        executor.scheduler:stats()
        return gate:visitors() >= count
      end, "the tasks did not begin")
    end

    it("while it runs", function()
      local gate <close> = support.gate()
      local future = executor:submit(support.pass, gate.path)
      reach(gate, 1)
      assert.is_true(future:cancel())
      assert.equal("cancelled", support.error_of(future.result, future).kind)
      assert.equal(1, executor:submit(function() return 1 end):result())
    end)

    it("before it runs", function()
      local gate <close> = support.gate()
      local first = executor:submit(support.pass, gate.path, 1)
      local second = executor:submit(support.pass, gate.path, 2)
      assert.is_true(second:cancel())
      gate:open()
      assert.equal(1, first:result())
      assert.is_true(second:cancelled())
      assert.equal(1, gate:visitors())
    end)

    it("among others of an invocation", function()
      local first <close> = support.gate()
      local fourth <close> = support.gate()
      local function run(f, ...)
        return f(...)
      end
      executor:submit(run, support.pass, first.path)
      local futures = {}
      for i = 1, 8 do
        futures[i] = i == 4 and executor:submit(run, support.pass, fourth.path)
          or executor:submit(run, pid)
      end
      first:open()
      reach(fourth, 1)
      assert.is_true(futures[4]:cancel())
      local values = {}
      for i, future in ipairs(futures) do
        values[i] = i ~= 4 and future:result(faults.GRACE) or nil
      end
      check_others(values, true)
      assert.is_true(futures[4]:cancelled())
    end)

    it("with its pool", function()
      local other = lambdapool.pool { workers = 1 }
      local running = other:apply_async(function() while true do end end)
      local queued = other:apply_async(pid)
      local list = other:map_async(pid, { 1, 2, 3 })
      other:terminate()
      other:join()
      for _, result in ipairs { running, queued, list } do
        assert.equal("cancelled", support.error_of(result.get, result).kind)
      end
    end)

    it("with the loop over a stream", function()
      for _, name in ipairs { "imap", "imap_unordered", "each" } do
        local before = pool:stats()
        for i in pool[name](pool, function(x) return x end, support.range(1, 1000)) do
          if i then
            break
          end
        end
        local stats = pool:stats()
        assert.equal(0, stats.running)
        assert.equal(0, stats.queued)
        assert.equal(stats.tasks - before.tasks,
          stats.done + stats.cancelled - before.done - before.cancelled)
      end
    end)
  end)
end)
