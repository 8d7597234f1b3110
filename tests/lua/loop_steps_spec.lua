--- The loop inside somebody else's: one thing at a time, and a descriptor that is told when there
--- is more to do.

local fakes = require "tests.lua.fakes"

describe("a step of the loop", function()
  local world, loop, log

  before_each(function()
    world = fakes.world()
    loop, log = world.loop, {}
  end)

  local function note(text)
    log[#log + 1] = text
  end

  -- Steps until there is nothing to do; how many did something.
  local function steps()
    local count = 0
    while loop.step() do
      count = count + 1
      assert(count < 1000, "there is no end")
    end
    return count
  end

  it("does one thing", function()
    loop.later(note, "one")
    loop.later(note, "two")
    loop.after(0, function() note "three" end)
    loop.next_round(note, "four")
    for i = 1, 4 do
      assert.is_true(loop.step())
      assert.equal(i, #log)
    end
    assert.is_false(loop.step())
    table.sort(log)
    assert.same({ "four", "one", "three", "two" }, log)
  end)

  it("keeps the order of what was put off", function()
    for i = 1, 5 do
      loop.later(note, i)
    end
    assert.equal(5, steps())
    assert.same({ 1, 2, 3, 4, 5 }, log)
  end)

  it("leaves alone what is not due", function()
    loop.after(2, function() note "due" end)
    assert.is_false(loop.step())
    world.now = world.now + 2
    assert.is_true(loop.step())
    assert.same({ "due" }, log)
    assert.is_false(loop.step())
  end)

  it("lets nothing keep the rest waiting for ever", function()
    local function again()
      loop.later(again)
    end
    local function yield()
      loop.next_round(yield)
    end
    local function tick()
      loop.after(0, tick)
    end
    again()
    yield()
    tick()
    loop.later(note, "put off")
    loop.after(0, function() note "timer" end)
    for _ = 1, 20 do
      assert.is_true(loop.step())
    end
    table.sort(log)
    assert.same({ "put off", "timer" }, log)
  end)

  it("raises what it meets, and the next one goes on", function()
    loop.later(error, "first")
    loop.later(note, "second")
    loop.raise_later("third")
    local raised = {}
    for _ = 1, 3 do
      local ok, failure = pcall(loop.step)
      if not ok then
        raised[#raised + 1] = failure
      end
    end
    table.sort(raised)
    assert.same({ "first", "third" }, raised)
    assert.same({ "second" }, log)
    assert.is_false(loop.step())
  end)

  it("loses no timer to an error of another one", function()
    loop.after(0, function() error("one", 0) end)
    loop.after(0, function() note "two" end)
    assert.is_false(pcall(loop.step))
    assert.equal(1, steps())
    assert.same({ "two" }, log)
  end)

  it("allocates nothing when there is nothing to do", function()
    assert(loop.hold())
    loop.after(1000, note)
    loop.step()
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    for _ = 1, 1000 do
      loop.step()
    end
    local after = collectgarbage "count"
    collectgarbage "restart"
    assert.equal(before, after)
  end)

  describe("tells the descriptor", function()
    before_each(function()
      assert.equal(42, loop.descriptor())
      assert.equal("never", world.call)
    end)

    it("what there was before it", function()
      loop.later(note, "a")
      loop.descriptor()
      assert.equal(0, world.call)
    end)

    it("that there is nothing to come", function()
      world.call = nil
      assert.is_false(loop.step())
      assert.equal("never", world.call)
    end)

    it("of the next timer", function()
      loop.after(7, note)
      local soon = loop.after(5, note)
      assert.equal(0, world.call)
      loop.step()
      assert.equal(world.now + 5, world.call)
      soon:cancel()
      loop.step()
      assert.equal(world.now + 7, world.call)
    end)

    it("of what was put off, until it is done", function()
      for _, put_off in ipairs { loop.later, loop.next_round } do
        put_off(note, "done")
        assert.equal(0, world.call)
        assert.is_true(loop.step())
        assert.equal(0, world.call)
        assert.is_false(loop.step())
        assert.equal("never", world.call)
      end
    end)

    it("of an error that is to be raised", function()
      loop.raise_later "oh"
      assert.equal(0, world.call)
      assert.is_false(pcall(loop.step))
      loop.step()
      assert.equal("never", world.call)
    end)

    it("that a timer has fired, for there may be more", function()
      loop.after(1, function() error("oh", 0) end)
      loop.step()
      world.now = world.now + 1
      assert.is_false(pcall(loop.step))
      assert.equal(0, world.call)
      loop.step()
      assert.equal("never", world.call)
    end)
  end)
end)
