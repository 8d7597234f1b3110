--- Tasks that run out of memory, for real: in Lua and in a C library. Not under the sanitizers,
--- whose malloc knows no limit.
local faults = require "tests.e2e.fault_support"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"
local tasks = require "tests.e2e.fault_tasks"

local faulty, pid = tasks.faulty, tasks.pid

-- Needs about so many MB of Lua's memory.
local function use(megabytes)
  local list = {}
  for i = 1, megabytes do
    list[i] = ("x"):rep(1000000) .. i
  end
  return #list
end

describe("a task without memory", function()
  local folder, pool

  setup(function()
    folder = faults.folder()
    faults.build(folder)
  end)

  teardown(function()
    os.execute("rm -r " .. folder)
  end)

  before_each(function()
    pool = lambdapool.pool { workers = 1, memory = 128, timeout = 10 }
  end)

  after_each(function()
    pool:terminate()
    pool:join()
  end)

  -- Runs `f` as the second task of four, then alone; returns the error. Tasks of a usual size must
  -- go on.
  local function runs_out(f)
    local kinds, err = {}, nil
    for i, _, e in pool:each(function(task) return task() end, { pid, f, pid, pid },
      { chunksize = 4 }) do
      kinds[i] = e and e.kind or "done"
      err = e or err
    end
    assert.same({ "done", "out_of_memory", "done", "done" }, kinds)
    assert.equal("out_of_memory", support.error_of(pool.apply, pool, f).kind)
    assert.is_number(pool:apply(pid))
    return err
  end

  it("in Lua, by many objects", function()
    assert.matches("not enough memory", runs_out(function()
      local list = {}
      while true do
        list = { list }
      end
    end).message)
    assert.equal(60, pool:apply(use, { 60 }))
  end)

  it("in Lua, by one object", function()
    runs_out(function() return #("x"):rep(1 << 30) end)
    assert.equal(60, pool:apply(use, { 60 }))
  end)

  it("in Lua, in a coroutine that catches errors", function()
    runs_out(function()
      local list = {}
      local fill = coroutine.wrap(function()
        while true do
          list[#list + 1] = ("x"):rep(1000000) .. #list
        end
      end)
      error((select(2, pcall(fill))), 0)
    end)
    assert.equal(60, pool:apply(use, { 60 }))
  end)

  it("in a C library that raises", function()
    assert.matches("no memory for a picture", runs_out(function()
      faulty(folder).raise_without_memory()
    end).message)
  end)

  it("in a C library that aborts", function()
    assert.equal("a library could not allocate 1048576 bytes; " ..
      "the worker was killed by signal 6 (SIGABRT)", runs_out(function()
        faulty(folder).abort_without_memory()
      end).message)
    assert.equal(60, pool:apply(use, { 60 }))
  end)

  it("is no task that only met a C library without memory", function()
    local caught = { pool:apply(function()
      return pcall(faulty(folder).raise_without_memory)
    end) }
    assert.is_false(caught[1])
    assert.matches("no memory for a picture", caught[2])
  end)

  it("is tried again, if that is asked for", function()
    local marks = folder .. "/marks"
    local result = pool:map(function(x)
      local file <close> = assert(io.open(marks, "a+"))
      file:write "x"
      file:flush()
      file:seek "set"
      return x + (#file:read "a" < 3 and #("x"):rep(1 << 30) or 1)
    end, { 1 }, { retry = { times = 5, base = 0.001 } })
    assert.same({ 2, n = 1 }, result)
    assert.equal(2, pool:stats().retried)
  end)
end)
