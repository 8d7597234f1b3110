--- `lambdapool.wait` and `lambdapool.as_completed`. Ends of futures are made by hand, at times of a
--- clock that moves only with the waits; at the end, some of real tasks.

local fakes = require "tests.lua.fakes"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

local error_of = support.error_of
local new_future = require "lambdapool.future".new

describe("waiting", function()
  local world, origin

  before_each(function()
    world = fakes.world()
    origin = { running = function() return false end }
  end)

  -- Futures that end after so many seconds each; false: never; { n }: after n seconds, with an
  -- error, which may be given behind.
  local function new(ends)
    local list = {}
    for i, moment in ipairs(ends) do
      local future = world.future.new(origin)
      list[i] = future
      if type(moment) == "table" then
        local failure = moment[2] or { kind = "error", message = "m" }
        world.loop.after(moment[1], function() world.future.fail(future, failure) end)
      elseif moment then
        world.loop.after(moment, function() world.future.succeed(future, i) end)
      end
    end
    return list
  end

  -- The places of `some` in `all`.
  local function places(all, some)
    local numbers = {}
    for i, future in ipairs(some) do
      for place, other in ipairs(all) do
        numbers[i] = future == other and place or numbers[i]
      end
    end
    return table.concat(numbers, " ")
  end

  local function wait(ends, options)
    local before = world.now
    local list = new(ends)
    local done, not_done = world.waiting.wait(list, options)
    return places(list, done), places(list, not_done), world.now - before
  end

  describe("for several", function()
    it("waits for all", function()
      assert.same({ "1 2 3", "", 5 }, { wait { 5, 1, { 3 } } })
    end)

    it("waits for the first", function()
      assert.same({ "2", "1 3", 1 }, { wait({ 5, 1, 3 }, { return_when = "FIRST_COMPLETED" }) })
    end)

    it("waits for the first error, or for all", function()
      assert.same({ "2 3", "1", 3 },
        { wait({ 5, 1, { 3 } }, { return_when = "FIRST_EXCEPTION" }) })
      assert.same({ "1 2", "", 5 }, { wait({ 5, 1 }, { return_when = "FIRST_EXCEPTION" }) })
    end)

    it("takes no cancelled one for an error", function()
      assert.same({ "1 2", "", 5 },
        { wait({ 5, { 1, { kind = "cancelled" } } }, { return_when = "FIRST_EXCEPTION" }) })
    end)

    it("waits for a share of them, rounded up", function()
      assert.same({ "1 3", "2 4", 2 }, { wait({ 1, 9, 2, 9 }, { return_when = 0.5 }) })
      assert.same({ "1", "2 3", 1 }, { wait({ 1, 9, 9 }, { return_when = 0.01 }) })
      assert.same({ "", "1", 0 }, { wait({ 9 }, { return_when = 0 }) })
      assert.same({ "1 2", "", 2 }, { wait({ 1, 2 }, { return_when = 1 }) })
      local ends = {}
      for i = 1, 100 do
        ends[i] = i
      end
      local done, _, seconds = wait(ends, { return_when = 0.07 })
      assert.same({ "1 2 3 4 5 6 7", 7 }, { done, seconds })
    end)

    it("waits no longer than asked", function()
      assert.same({ "2", "1 3", 2 }, { wait({ 5, 1, false }, { timeout = 2 }) })
      assert.same({ "", "1", 0 }, { wait({ 5 }, { timeout = 0 }) })
    end)

    it("does not wait for what is there", function()
      local list = new { 0, { 0 } }
      world.loop.pump(0)
      local done = world.waiting.wait(list)
      assert.equal("1 2", places(list, done))
      assert.equal(1000, world.now)
      done = world.waiting.wait({}, { return_when = "FIRST_COMPLETED" })
      assert.same({}, done)
    end)

    it("takes each future once", function()
      local list = new { 1, 2 }
      local done, not_done = world.waiting.wait({ list[1], list[2], list[1] },
        { return_when = "FIRST_COMPLETED" })
      assert.same({ "1", "2" }, { places(list, done), places(list, not_done) })
    end)

    it("leaves nothing at those that are not done", function()
      local list = new { 1, 9 }
      world.waiting.wait(list, { return_when = "FIRST_COMPLETED" })
      assert.is_nil(next(list[2].watchers))
    end)
  end)

  describe("for each in turn", function()
    it("yields them as they end", function()
      local list, order = new { 5, 1, { 3 } }, {}
      for future in world.waiting.as_completed(list) do
        order[#order + 1] = future
      end
      assert.equal("2 3 1", places(list, order))
    end)

    it("yields first those that had ended, each once", function()
      local list, order = new { 0, 1, 0 }, {}
      world.loop.pump(0)
      for future in world.waiting.as_completed { list[3], list[2], list[1],
        list[2] } do
        order[#order + 1] = future
      end
      assert.equal("3 1 2", places(list, order))
      assert.is_nil(world.waiting.as_completed({})())
    end)

    it("raises when its time is over, counted from the call", function()
      local list, order = new { 1, 5, 9 }, {}
      local e = error_of(function()
        for future in world.waiting.as_completed(list, { timeout = 3 }) do
          order[#order + 1] = future
        end
      end)
      assert.equal("1", places(list, order))
      assert.equal(1003, world.now)
      assert.equal("LambdaTimeoutError", support.class(e))
      assert.equal("2 of 3 futures are unfinished", tostring(e))
    end)

    it("may be left, and others go on", function()
      local list = new { 1, 2, 3 }
      assert.equal(list[1], world.waiting.as_completed(list)())
      assert.equal(3, list[3]:result())
    end)
  end)
end)

describe("waiting for tasks", function()
  it("goes on with all executors and pools", function()
    local executor <close> = lambdapool.executor { workers = 2 }
    local pool <close> = lambdapool.pool { workers = 1 }
    local gate <close> = support.gate()
    local list = {
      executor:submit(support.pass, gate.path, 1),
      executor:submit(math.abs, -2),
      pool:apply_async(math.abs, { -3 }),
    }
    local done, not_done = lambdapool.wait(list, { return_when = 2 / 3 })
    assert.same({ 2, 1 }, { #done, #not_done })
    gate:open()
    local sum = 0
    for future in lambdapool.as_completed(list, { timeout = support.LONG }) do
      sum = sum + (future.result or future.get)(future)
    end
    assert.equal(6, sum)
    assert.equal(3, #lambdapool.wait(list))
  end)

  it("complains at the caller's line", function()
    local here = "waiting_spec.lua:%d+: lambdapool."
    local function complains(text, f, ...)
      local args = table.pack(...)
      assert.matches(here .. text, error_of(function()
        local result = lambdapool[f](table.unpack(args, 1, args.n))
        return result
      end))
    end
    complains("wait: the futures must be in a list", "wait")
    complains("wait: item 2 is no future but a number", "wait", { new_future {}, 7 })
    complains("wait: return_when must be 'ALL_COMPLETED', 'FIRST_COMPLETED', 'FIRST_EXCEPTION' or "
      .. "a number from 0 to 1, got 'FIRST_COMPLETE', did you mean 'FIRST_COMPLETED'", "wait", {},
      { return_when = "FIRST_COMPLETE" })
    complains("wait: return_when must be .* got 2", "wait", {}, { return_when = 2 })
    complains("wait: unknown option 'timeuot', did you mean 'timeout'", "wait", {},
      { timeuot = 1 })
    complains("as_completed: option 'timeout' must be", "as_completed", {}, { timeout = "1" })
    complains("as_completed: the futures must be in a list", "as_completed", 7)
  end)
end)
