--- `lambdapool.poll` and `lambdapool.descriptor`, for programs with a loop of their own. What the
--- descriptor keeps open is closed with the Lua state, so it is tried in a process of its own.

local lambdapool = require "lambdapool"

local function square(x)
  return x * x
end

-- Polls until `ready` says true.
local function poll_until(ready, ...)
  local before = os.time()
  while not ready() do
    lambdapool.poll(...)
    assert(os.time() - before < 60, "nothing came")
  end
end

describe("polling", function()
  it("is done with nothing", function()
    assert.is_false(lambdapool.poll())
    assert.is_false(lambdapool.poll(0))
    assert.is_false(lambdapool.poll(0.001, 0))
  end)

  it("takes results in and calls back, without waiting", function()
    local executor <close> = lambdapool.executor { workers = 2 }
    local sum, left = 0, 20
    for i = 1, 20 do
      executor:submit(square, i):add_done_callback(function(future)
        sum, left = sum + future:result(), left - 1
      end)
    end
    poll_until(function() return left == 0 end)
    assert.equal(2870, sum)
  end)

  it("waits for something to do, when it may", function()
    local executor <close> = lambdapool.executor { workers = 1 }
    local polls, future = 0, executor:submit(square, 5)
    poll_until(function()
      polls = polls + 1
      return future:done()
    end, 60)
    assert.is_true(polls < 100)
    assert.equal(25, future:result())
  end)

  it("does one thing at least and not much more without a budget", function()
    local executor <close> = lambdapool.executor { workers = 1 }
    local ended, most, before = 0, 0, 0
    for i = 1, 50 do
      executor:submit(square, i):add_done_callback(function() ended = ended + 1 end)
    end
    poll_until(function()
      most, before = math.max(most, ended - before), ended
      return ended == 50
    end, 0, 0)
    assert.equal(1, most)
  end)

  it("lets flows go on", function()
    local executor <close> = lambdapool.executor { workers = 1 }
    local flow = lambdapool.async(function()
      return executor:submit(square, 3):result() + executor:submit(square, 4):result()
    end)
    poll_until(function() return flow:done() end, 1)
    assert.equal(25, flow:result())
  end)

  it("raises what a callback raises, and goes on", function()
    local executor <close> = lambdapool.executor { workers = 1 }
    local called
    executor:submit(square, 1):add_done_callback(function() error("oh", 0) end)
    executor:submit(square, 2):add_done_callback(function() called = true end)
    local ok, message
    repeat
      ok, message = pcall(lambdapool.poll, 1)
    until not ok
    assert.equal("oh", message)
    poll_until(function() return called end, 1)
  end)

  it("works in coroutines", function()
    local executor <close> = lambdapool.executor { workers = 1 }
    local turns = coroutine.wrap(function()
      local future = executor:submit(square, 6)
      while not future:done() do
        lambdapool.poll(0.01)
        coroutine.yield()
      end
      return future:result()
    end)
    local result
    poll_until(function()
      result = turns()
      return result
    end)
    assert.equal(36, result)
  end)

  it("says what is no number of seconds", function()
    for _, bad in ipairs { -1, 0 / 0, "x", {} } do
      local ok, message = pcall(function() lambdapool.poll(bad) end)
      assert.is_false(ok)
      assert.matches("polling_spec.lua:%d+: lambdapool.poll: seconds must be a number", message)
    end
    local _, message = pcall(lambdapool.poll, 0, -1)
    assert.matches("budget must be a number of seconds, got %-1", message)
  end)
end)

describe("the descriptor", function()
  -- Runs code in a Lua state of its own, of the same kind as this one.
  local function run(code)
    local build = os.getenv "LAMBDAPOOL_BUILD"
    local file = os.tmpname()
    local out <close> = assert(io.open(file, "w"))
    out:write("package.cpath = '", build, "/?.so;' .. package.cpath\n", code)
    out:close()
    local program = package.loaded["lambdapool.cli"] and build .. "/lambdapool run" or "lua5.4"
    local pipe <close> = assert(io.popen(("timeout 60 %s %s 2>&1"):format(program, file)))
    local text = pipe:read "a"
    os.remove(file)
    return text
  end

  it("is always the same, also with workers and without them", function()
    assert.equal("true\t9\ntrue\n", run [[
      local lambdapool = require "lambdapool"
      local fd = assert(lambdapool.descriptor())
      do
        local executor <close> = lambdapool.executor { workers = 1 }
        local future = executor:submit(function(x) return x * x end, 3)
        while not future:done() do
          lambdapool.poll(1)
        end
        print(fd == lambdapool.descriptor() and math.type(fd) == "integer", future:result())
      end
      print(fd == lambdapool.descriptor())
    ]])
  end)
end)
