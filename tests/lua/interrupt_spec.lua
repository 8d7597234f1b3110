local real = require "lambdapool.system"

-- A fresh copy of the module, on a system where `signals` of Ctrl-C are waiting.
local function load_copy(signals, terminated)
  local name, system = "lambdapool.interrupt", "lambdapool.system"
  local kept = package.loaded[name]
  package.loaded[name] = nil
  package.loaded[system] = setmetatable({
    interrupted = function()
      signals = signals - 1
      return signals >= 0, terminated or false
    end,
    catch_interrupts = function() return true end,
  }, { __index = real })
  local interrupt = require(name)
  package.loaded[name], package.loaded[system] = kept, real
  return interrupt
end

local function error_of(f, ...)
  return select(2, pcall(f, ...))
end

describe("interrupt", function()
  it("is nothing as long as there was none", function()
    local interrupt = load_copy(0)
    interrupt.check()
    assert.is_false(interrupt.take())
    assert.is_false(interrupt.came())
  end)

  it("raises an error that says what it is", function()
    local interrupt = load_copy(1)
    local e = error_of(interrupt.check)
    assert.equal("interrupted", tostring(e))
    assert.equal("interrupted", e.message)
    assert.equal("LambdaInterrupt", getmetatable(e).__name)
    assert.is_true(interrupt.is(e))
    assert.is_true(interrupt.came())
  end)

  it("is told from other errors", function()
    local interrupt = load_copy(1)
    for _, value in ipairs { "interrupted", 1, {}, setmetatable({}, { __metatable = false }) } do
      assert.is_false(interrupt.is(value))
    end
    assert.is_false(interrupt.is(nil))
  end)

  it("comes again at every later check", function()
    local interrupt = load_copy(1)
    local first = error_of(interrupt.check)
    for _ = 1, 3 do
      assert.equal(first, error_of(interrupt.check))
    end
  end)

  it("cleans up once, before it is raised, and may wait there", function()
    local interrupt = load_copy(1)
    local calls = 0
    interrupt.on(function()
      interrupt.check()
      calls = calls + 1
      assert.is_false(interrupt.came())
    end)
    assert.is_true(interrupt.take())
    assert.is_false(interrupt.take())
    assert.is_true(interrupt.is(error_of(interrupt.check)))
    assert.equal(1, calls)
  end)

  it("is raised even when cleaning up fails", function()
    local interrupt = load_copy(1)
    interrupt.on(function() error "no" end)
    assert.is_true(interrupt.is(error_of(interrupt.check)))
  end)

  it("is over for a program that goes on, and the next one comes as the first", function()
    local interrupt = load_copy(2)
    local calls = 0
    interrupt.on(function() calls = calls + 1 end)
    interrupt.survive()
    assert.is_true(interrupt.is(error_of(interrupt.check)))
    assert.is_true(interrupt.came())
    interrupt.survive()
    assert.is_false(interrupt.came())
    assert.is_true(interrupt.is(error_of(interrupt.check)))
    assert.equal(2, calls)
    interrupt.survive()
    interrupt.check()
  end)

  it("is raised in every step by another one that comes meanwhile", function()
    local interrupt = load_copy(2)
    interrupt.survive()
    local rounds = 0
    -- Only code of the library is left alone then.
    local run = load("local f, survive = ...; local _, e = pcall(f); survive(); return e",
      "@lambdapool/guard.lua")
    local failure = run(function()
      interrupt.take()
      while true do
        pcall(function()
          rounds = rounds + 1
          interrupt.take()
          while true do end
        end)
      end
    end, interrupt.survive)
    assert.is_true(interrupt.is(failure))
    assert.equal(1, rounds)
    interrupt.check()
  end)

  it("is behind errors that it has brought about", function()
    local interrupt = load_copy(1)
    assert.is_true(interrupt.caused "a broken system call")
    assert.is_true(interrupt.caused { kind = "cancelled" })
    assert.is_false(interrupt.caused { kind = "error" })
    assert.is_false(interrupt.caused "something else")
  end)

  it("may be for its taker alone", function()
    local interrupt = load_copy(1)
    interrupt.on(function() error "nothing is ended" end)
    assert.is_true(interrupt.dismiss())
    assert.is_false(interrupt.dismiss())
    assert.is_false(interrupt.came())
    interrupt.check()
  end)

  it("is for all when it is SIGTERM", function()
    local interrupt = load_copy(1, true)
    local e = error_of(interrupt.dismiss)
    assert.is_true(interrupt.is(e))
    assert.is_true(e.terminated)
    assert.equal(e, error_of(interrupt.check))
  end)
end)
