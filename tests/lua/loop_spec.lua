--- The loop without workers: what is put off, timers, and errors of both. Events of workers are
--- tested where the workers are.

local fakes = require "tests.lua.fakes"

local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

local function yes()
  return true
end

describe("the loop", function()
  local world, loop, log

  before_each(function()
    world = fakes.world()
    loop, log = world.loop, {}
  end)

  local function note(text)
    log[#log + 1] = text
  end

  local function fail(text)
    note(text)
    error(text, 0)
  end

  it("runs what was put off in order, in a call that waits or polls", function()
    loop.later(note, "a")
    loop.later(note, "b")
    assert.same({}, log)
    loop.pump(0)
    assert.same({ "a", "b" }, log)
    loop.later(note, "c")
    assert.is_true(loop.wait(yes))
    assert.same({ "a", "b", "c" }, log)
  end)

  it("runs what is put off meanwhile, too", function()
    loop.later(function()
      loop.later(note, "second")
      note "first"
    end)
    loop.pump(0)
    assert.same({ "first", "second" }, log)
  end)

  it("leaves what is for the next round to the next round", function()
    local function again()
      note "again"
      loop.next_round(again)
    end
    loop.next_round(again)
    loop.later(note, "first")
    loop.pump(0)
    assert.same({ "first", "again" }, log)
    local fired = false
    loop.after(1, function() fired = true end)
    local function has_fired() return fired end
    assert.is_false(loop.wait(has_fired, nil, 0))
    world.now = world.now + 1
    assert.is_true(loop.wait(has_fired, nil, 1))
  end)

  it("runs all, whatever they raise, and raises one error at a time", function()
    loop.later(fail, "one")
    loop.later(note, "two")
    loop.later(fail, "three")
    assert.equal("one", error_of(loop.pump, 0))
    assert.same({ "one", "two", "three" }, log)
    assert.equal("three", error_of(loop.pump, 0))
    loop.pump(0)
    assert.same({ "one", "two", "three" }, log)
  end)

  it("raises errors that are nil or false, too", function()
    loop.later(function() error(nil) end)
    loop.later(function() error(false) end)
    assert.is_nil(error_of(loop.pump, 0))
    assert.is_false(error_of(loop.pump, 0))
    loop.pump(0)
  end)

  it("tells errors that no call has raised, once", function()
    loop.later(fail, "one")
    loop.later(fail, "two")
    loop.later(fail, "three")
    error_of(loop.pump, 0)
    assert.same({ "two", "three" }, loop.unraised())
    assert.same({}, loop.unraised())
    loop.pump(0)
  end)

  it("goes on with a wait that an error has left", function()
    local ready = false
    loop.later(fail, "one")
    loop.after(1, function() ready = true end)
    local function is_ready() return ready end
    assert.equal("one", error_of(loop.wait, is_ready))
    assert.is_true(loop.wait(is_ready))
  end)

  it("can wait in what was put off", function()
    local ready = false
    loop.later(function()
      loop.after(2, function() ready = true end)
      loop.wait(function() return ready end)
      note "waited"
    end)
    loop.later(note, "next")
    loop.pump(0)
    assert.is_true(ready)
    assert.same({ "next", "waited" }, log)
  end)

  it("waits until it is so, or as long as asked", function()
    loop.after(5, function() note "five" end)
    assert.is_false(loop.wait(function() return #log > 0 end, nil, 3))
    assert.equal(1003, world.now)
    assert.is_true(loop.wait(function() return #log > 0 end, nil, 3))
    assert.equal(1005, world.now)
  end)

  it("passes on what its condition says and is given", function()
    assert.is_false(loop.wait(function(x) return x == 1 end, 2, 0))
    assert.is_true(loop.wait(function(x) return x == 1 end, 1, 0))
  end)

  it("says so when nothing can end a wait", function()
    assert.matches("nothing is going on that could end the wait",
      error_of(loop.wait, function() return false end))
  end)

  it("pumps no longer than asked, and at once when there is something", function()
    loop.pump(0)
    assert.equal(1000, world.now)
    loop.pump(2)
    assert.equal(1002, world.now)
    loop.later(note, "a")
    loop.pump(2)
    assert.equal(1002, world.now)
    loop.after(1, function() note "b" end)
    loop.pump(2)
    assert.equal(1003, world.now)
    assert.same({ "a", "b" }, log)
  end)

  it("raises errors of timers, and loses nothing by that", function()
    loop.after(1, function() fail "one" end)
    loop.after(1, function() note "two" end)
    assert.equal("one", error_of(loop.wait, function() return #log == 2 end))
    assert.is_true(loop.wait(function() return #log == 2 end))
  end)
end)
