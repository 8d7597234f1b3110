local fakes = require "tests.lua.fakes"

describe("a completion", function()
  local world, completion, log

  before_each(function()
    world = fakes.world()
    completion, log = world.completion, {}
  end)

  local function note(text)
    return function() log[#log + 1] = text end
  end

  it("tells watchers at once, and callbacks when somebody waits or polls, in order", function()
    local it_happens = {}
    completion.add_callback(it_happens, note "first")
    completion.add_callback(it_happens, note "second")
    completion.watch(it_happens, "key", note "watcher")
    completion.finish(it_happens)
    assert.is_true(it_happens.is_done)
    assert.same({ "watcher" }, log)
    world.loop.pump(0)
    assert.same({ "watcher", "first", "second" }, log)
  end)

  it("tells callbacks, too, that come when it has happened", function()
    local it_happens = {}
    completion.finish(it_happens)
    completion.add_callback(it_happens, note "late")
    assert.same({}, log)
    world.loop.pump(0)
    assert.same({ "late" }, log)
  end)

  it("passes itself", function()
    local it_happens, got = {}, {}
    completion.add_callback(it_happens, function(...) got[1] = table.pack(...) end)
    completion.watch(it_happens, "key", function(...) got[2] = table.pack(...) end)
    completion.finish(it_happens)
    world.loop.pump(0)
    for i = 1, 2 do
      assert.equal(1, got[i].n)
      assert.equal(it_happens, got[i][1])
    end
  end)

  it("forgets watchers that are taken back", function()
    local it_happens = {}
    completion.unwatch(it_happens, 1)
    completion.watch(it_happens, 1, note "one")
    completion.watch(it_happens, 2, note "two")
    completion.unwatch(it_happens, 1)
    completion.finish(it_happens)
    completion.unwatch(it_happens, 2)
    assert.same({ "two" }, log)
  end)

  it("is waited for, as long as asked", function()
    local it_happens = {}
    world.loop.after(5, function() completion.finish(it_happens) end)
    assert.is_falsy(completion.await(it_happens, 1))
    assert.equal(1001, world.now)
    assert.is_true(completion.await(it_happens))
    assert.equal(1005, world.now)
    assert.is_true(completion.await(it_happens, 0))
  end)

  it("parks a flow that waits for it, as long as asked", function()
    local it_happens = {}
    local function wait_for(seconds)
      world.async.async(function()
        local happened = completion.await(it_happens, seconds) or false
        log[#log + 1] = { happened, world.now }
      end)
    end
    wait_for(2)
    wait_for(9)
    wait_for(nil)
    world.loop.after(5, function() completion.finish(it_happens) end)
    world.flow.drain()
    assert.same({ { false, 1002 }, { true, 1005 }, { true, 1005 } }, log)
    assert.is_nil(world.timers.next())
    wait_for(nil)
    assert.equal(4, #log)
  end)

  it("lets callbacks wait, all at the same time", function()
    local one, two = {}, {}
    completion.add_callback(one, function()
      completion.await(two)
      log[#log + 1] = "first"
    end)
    completion.add_callback(one, function()
      log[#log + 1] = "second"
      completion.finish(two)
    end)
    completion.finish(one)
    world.flow.drain()
    assert.same({ "second", "first" }, log)
  end)

  it("has all callbacks called, whatever they raise", function()
    local it_happens = {}
    for i = 1, 3 do
      completion.add_callback(it_happens, function()
        log[#log + 1] = i
        error("error " .. i, 0)
      end)
    end
    completion.finish(it_happens)
    local raised = {}
    for i = 1, 3 do
      raised[i] = select(2, pcall(world.loop.pump, 0))
    end
    assert.same({ 1, 2, 3 }, log)
    assert.same({ "error 1", "error 2", "error 3" }, raised)
  end)
end)
