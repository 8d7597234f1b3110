--- Flows and `lambdapool.async`, which makes futures of them.

local fakes = require "tests.lua.fakes"
local lambdapool = require "lambdapool"

local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

describe("flows", function()
  local world, async, log

  before_each(function()
    world = fakes.world()
    async, log = world.async.async, {}
  end)

  local function note(...)
    log[#log + 1] = table.concat({ ... }, " ")
  end

  -- Waits in a flow, or else, for so many seconds.
  local function sleep(seconds)
    local moment = {}
    world.loop.after(seconds, function() world.completion.finish(moment) end)
    world.completion.await(moment)
  end

  it("run at once until they wait, and then in turn", function()
    for i = 1, 2 do
      async(function(name)
        note(name, "begins")
        sleep(3 - i)
        note(name, "goes on")
      end, "flow " .. i)
    end
    assert.same({ "flow 1 begins", "flow 2 begins" }, log)
    world.flow.drain()
    assert.same({ "flow 1 begins", "flow 2 begins", "flow 2 goes on", "flow 1 goes on" }, log)
    assert.equal(1002, world.now)
  end)

  it("give futures of all that they return", function()
    local future = async(function(...)
      sleep(1)
      return ...
    end, 1, nil, 3, nil)
    assert.is_false(future:done())
    assert.is_true(future:running())
    assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(future:result()))
    assert.is_true(future:done())
    assert.equal(0, select("#", async(function() end):result()))
  end)

  it("raise where their result is asked for, any value", function()
    local function fail(value)
      sleep(1)
      error(value, 0)
    end
    local value = {}
    assert.equal(value, error_of(async(fail, value).result, async(fail, value)))
    assert.is_nil(error_of(function() return async(fail, nil):result() end))
  end)

  it("wait for one another", function()
    local inner = async(function()
      sleep(2)
      return "inner"
    end)
    local outer = async(function() return inner:result() .. " and outer" end)
    assert.equal("inner and outer", outer:result())
    assert.equal("inner", inner:result())
  end)

  it("begin others", function()
    local outer = async(function()
      local futures = {}
      for i = 1, 3 do
        futures[i] = async(function()
          sleep(i)
          return i
        end)
      end
      local sum = 0
      for _, future in ipairs(futures) do
        sum = sum + future:result()
      end
      return sum
    end)
    assert.equal(6, outer:result())
    assert.equal(1003, world.now)
  end)

  it("give the others a turn when they yield", function()
    for i = 1, 2 do
      async(function()
        note(i, 1)
        coroutine.yield()
        note(i, 2)
      end)
    end
    world.flow.drain()
    assert.same({ "1 1", "2 1", "1 2", "2 2" }, log)
  end)

  it("block in coroutines of their own", function()
    local future = async(function()
      local inner = coroutine.wrap(function()
        sleep(1)
        coroutine.yield "from the coroutine"
      end)
      return inner()
    end)
    assert.equal("from the coroutine", future:result())
  end)

  it("stop waiting when their time is over", function()
    local slow = async(sleep, 10)
    local quick = async(function() return error_of(slow.result, slow, 2).kind, world.now end)
    assert.same({ "timeout", 1002 }, { quick:result() })
    slow:result()
    assert.equal(1010, world.now)
  end)

  it("are cancelled where they wait, and close what they have open", function()
    local future = async(function()
      local closing <close> = setmetatable({}, { __close = function() note "closed" end })
      sleep(1)
      note(tostring(closing))
    end)
    assert.is_true(future:cancel())
    assert.same({ "closed" }, log)
    assert.is_true(future:cancelled())
    assert.is_true(future:cancel())
    assert.equal("cancelled", error_of(future.result, future).kind)
    world.flow.drain()
    world.loop.pump(9)
    assert.same({ "closed" }, log)
    assert.is_false(async(function() end):cancel())
  end)

  it("cannot cancel themselves", function()
    local future
    future = async(function()
      sleep(1)
      return future:cancel()
    end)
    assert.is_false(future:result())
  end)

  it("tell errors that nobody asked for, once", function()
    local asked, unasked = async(error, "asked", 0), async(error, "unasked", 0)
    assert.equal("asked", asked:exception())
    assert.same({ "unasked" }, world.flow.unreported())
    assert.same({}, world.flow.unreported())
    assert.equal("unasked", unasked:exception())
  end)

  describe("in a program that reports no errors", function()
    local globals, warn, warnings

    -- The globals of a function of the library's, which are none of the script's.
    local function globals_of(f)
      for i = 1, math.huge do
        local name, value = debug.getupvalue(f, i)
        if name == "_ENV" then
          return value
        end
      end
    end

    before_each(function()
      globals, warnings = globals_of(world.flow.note_failure), {}
      warn = globals.warn
      globals.warn = function(text) warnings[#warnings + 1] = text end
      world.flow.report_while(function() return false end)
    end)

    after_each(function()
      globals.warn = warn
    end)

    local function fail()
      sleep(1)
      error("unasked", 0)
    end

    local function run(count)
      for _ = 1, count do
        async(fail)
      end
      world.flow.drain()
    end

    it("warn of those that nobody can ask for any more", function()
      local held = async(fail)
      run(2)
      collectgarbage()
      local warning = "nobody has asked for the error of a flow: unasked"
      assert.same({ warning, warning }, warnings)
      assert.same({}, world.flow.unreported())
      assert.equal("unasked", held:exception())
    end)

    it("do not warn of those that somebody has asked for", function()
      assert.equal("unasked", error_of(function() async(fail):result() end))
      assert.equal("unasked", async(fail):exception())
      assert.is_true(async(sleep, 1):cancel())
      collectgarbage()
      assert.same({}, warnings)
    end)
  end)

  it("are functions", function()
    assert.matches("flow_spec.lua:%d+: lambdapool.async: needs a function, got a table",
      error_of(function() lambdapool.async {} end))
    assert.matches("got nil", error_of(function() lambdapool.async() end))
  end)
end)

describe("flows with a pool", function()
  local pool

  before_each(function()
    pool = lambdapool.pool { workers = 2 }
  end)

  after_each(function()
    pool:terminate()
  end)

  it("share the workers", function()
    local futures = {}
    for i = 1, 20 do
      futures[i] = lambdapool.async(function()
        local x = pool:apply(function(n) return n * 2 end, { i })
        local list = pool:map(function(n) return n + 1 end, { x, x })
        local sum = 0
        for _, value in pool:imap(function(n) return n end, list) do
          sum = sum + value
        end
        return sum
      end)
    end
    for i = 20, 1, -1 do
      assert.equal(2 * (2 * i + 1), futures[i]:result())
    end
  end)

  it("raise errors of tasks in the flow", function()
    local future = lambdapool.async(function()
      return error_of(pool.apply, pool, error, { "no", 0 }).message
    end)
    assert.equal("no", future:result())
  end)

  it("wait for several and for the next", function()
    local kinds = lambdapool.async(function()
      local futures = {}
      for i = 1, 4 do
        futures[i] = pool:apply_async(function(n) return n end, { i })
      end
      local done, not_done = lambdapool.wait(futures)
      local count = 0
      for future in lambdapool.as_completed(futures) do
        count = count + future:get()
      end
      return #done, #not_done, count
    end)
    assert.same({ 4, 0, 10 }, { kinds:result() })
  end)

  it("send the items as they were when the call began", function()
    local list = { 1, 2, 3 }
    local future = lambdapool.async(function()
      return pool:map(function(n) return n end, list, { chunksize = 1 })
    end)
    list[3] = "changed"
    assert.same({ 1, 2, 3, n = 3 }, future:result())
  end)
end)
