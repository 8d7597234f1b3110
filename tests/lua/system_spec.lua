local interrupt = require "lambdapool.interrupt"
local system = require "lambdapool.system"

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

describe("system", function()
  it("raises the number of descriptors to what is allowed", function()
    local most = system.raise_descriptors()
    local pipe <close> = io.popen "ulimit -n"
    assert.equal(("%d\n"):format(most), pipe:read "a")
  end)

  it("changes the permissions of new files, and says what they were", function()
    local before = system.umask(63)
    assert.equal(63, system.umask(before))
  end)

  it("counts the processors that this process may use", function()
    assert.equal(tonumber(output_of "nproc"), system.cpus())
  end)

  it("finds out whether it can isolate", function()
    local can_isolate = system.can_isolate()
    assert.equal("boolean", type(can_isolate))
    assert.equal(can_isolate, system.can_isolate())
  end)

  it("has clocks", function()
    local a, b = system.monotonic(), system.monotonic()
    assert.is_true(b >= a)
    assert.is_true(math.abs(system.now() // 1000 - os.time()) <= 1)
    assert.equal("integer", math.type(system.now()))
  end)

  it("knows the running program", function()
    assert.matches("/lambdapool$", system.executable())
    assert.is_true(system.executable_file(system.executable()))
    assert.is_false(system.executable_file "/")
    assert.is_false(system.executable_file "/etc/passwd")
    assert.is_false(system.executable_file "/no/such/file")
  end)

  it("tells terminals from files", function()
    local file <close> = assert(io.open "/dev/null")
    assert.is_false(system.isatty(999))
    assert.is_truthy(file)
  end)

  it("knows no width of what is no terminal", function()
    assert.is_nil(system.columns(999))
  end)

  describe("catches interrupts", function()
    local pid
    do
      local file <close> = assert(io.open "/proc/self/stat")
      pid = file:read "n"
    end

    -- Ctrl-C from outside. (os.execute would have the host ignore it meanwhile.)
    local function send()
      io.popen("kill -INT " .. pid):close()
    end

    after_each(function()
      system.interrupted()
      assert(interrupt.catch()) -- the one of `lambdapool run`
    end)

    it("in the code that runs", function()
      assert.is_true(system.catch_interrupts(function()
        assert.is_true(system.interrupted())
        error("stop", 0)
      end))
      local ok, e = pcall(function()
        send()
        while true do end
      end)
      assert.same({ false, "stop" }, { ok, e })
      assert.is_nil(debug.gethook())
      assert.is_false(system.interrupted())
    end)

    it("in the coroutine that runs", function()
      local co, inner
      assert(system.catch_interrupts(function()
        assert.equal(inner, coroutine.running())
        assert.is_true(system.interrupted())
        error("stop", 0)
      end))
      co = coroutine.create(function()
        inner = coroutine.create(function()
          send()
          while true do end
        end)
        coroutine.yield(coroutine.resume(inner))
        return "alive"
      end)
      assert.same({ true, false, "stop" }, { coroutine.resume(co) })
      for _, thread in ipairs { coroutine.running(), co, inner } do
        assert.is_nil(debug.gethook(thread))
      end
      assert.same({ true, "alive" }, { coroutine.resume(co) })
    end)

    it("in the one that goes on when another has ended", function()
      local taker
      assert(system.catch_interrupts(function()
        taker = coroutine.running()
        system.interrupted()
      end))
      local function own(text)
        return load("local popen, command = ... " .. text, "@lambdapool/some.lua")
      end
      -- Code of lambdapool is left alone, but a coroutine that it makes meanwhile gets its hook.
      local made
      local co = coroutine.wrap(own [[
        popen(command):close()
        return coroutine.create(function() return debug.gethook() end)
      ]])
      load("local co, popen, command, keep = ... keep(co(popen, command))", "@lambdapool/some.lua")(
        co, io.popen, "kill -INT " .. pid, function(thread) made = thread end)
      assert.equal(coroutine.running(), taker)
      assert.same({ true }, { coroutine.resume(made) })
    end)

    it("but not within lambdapool itself, which looks for them", function()
      local calls = 0
      assert(system.catch_interrupts(function()
        calls = calls + 1
        system.interrupted()
      end))
      local own = load("local send = ... send() for _ = 1, 100 do end", "@lambdapool/some.lua")
      own(send)
      assert.equal(1, calls) -- `send` is none of its own
      assert(system.catch_interrupts(function() calls = calls + 1 end))
      load("local popen, command = ... popen(command):close() for _ = 1, 100 do end taken = "
        .. "require 'lambdapool.system'.interrupted()", "@lambdapool/some.lua")(io.popen,
          "kill -INT " .. pid)
      assert.is_true(rawget(_G, "taken"))
      assert.equal(1, calls)
      _G.taken = nil
    end)

    it("in every step, when it insists", function()
      local rounds = 0
      local function round()
        rounds = rounds + 1
        pcall(function() while true do end end)
      end
      -- Only code of lambdapool goes on then.
      local e = load([[
        local system, round = ...
        local _, e = pcall(function() system.insist(function() error("stop", 0) end) round() end)
        for _ = 1, 10 do pcall(coroutine.wrap(round)) end
        system.insist(nil)
        return e
      ]], "@lambdapool/some.lua")(system, round)
      assert.equal("stop", e)
      assert.equal(0, rounds)
      assert.is_nil(debug.gethook())
      coroutine.wrap(function() rounds = 1 end)()
      assert.equal(1, rounds)
      assert.is_false(pcall(system.insist, 1))
    end)

    it("until it is released", function()
      assert(system.catch_interrupts(error))
      assert.is_true(system.catch_interrupts(nil))
      assert.is_false(system.interrupted())
    end)

    it("only with a function", function()
      assert.is_false(pcall(system.catch_interrupts, 1))
    end)
  end)

  it("has the version of the header", function()
    local header <close> = assert(io.open "host/lambdapool.h")
    assert.equal(header:read("a"):match '#define LP_VERSION +"([^"]+)"', system.version)
  end)
end)
