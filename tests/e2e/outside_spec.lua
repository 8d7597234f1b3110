--- Faults from outside: workers that are killed and stopped, a host that has few descriptors, no
--- place for its output, or dies; tasks that do what they like with their process.
local faults = require "tests.e2e.fault_support"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"
local tasks = require "tests.e2e.fault_tasks"

local KINDS = { crashed = true, lost = true }
local faulty, pid, scribble = tasks.faulty, tasks.pid, tasks.scribble

local function work(x)
  local sum = 0
  for i = 1, 2000 do
    sum = sum + i % x
  end
  return 2 * x
end

local folder

local function read(name)
  local file <close> = assert(io.open(folder .. "/" .. name))
  return file:read "a"
end

-- Runs `text` as a script in a process of its own; `around` is a shell command with a %s for it.
-- Returns what it wrote to the file `out` in the folder, and the exit code.
local function run_script(text, around)
  local script = assert(io.open(folder .. "/script.lua", "w"))
  script:write(([[
    local lambdapool = require "lambdapool"
    local out = assert(io.open(%q, "w"))
    out:setvbuf "no"
  ]]):format(folder .. "/out"), text)
  script:close()
  local command = ("exec timeout -k 1 %d %s run %s/script.lua"):format(support.LONG,
    faults.program, folder)
  local _, _, code = os.execute((around or "%s"):format(command))
  return read "out", code
end

-- Does `command`, a shell command about the process $pid, again and again to one worker after the
-- other, until the value it returns is closed.
local function pester(command, seconds)
  local flag = folder .. "/flag"
  assert(io.open(flag, "w")):close()
  local shell = assert(io.popen(([[
    while [ -e %s ]; do
      for pid in $(cat /proc/%d/task/*/children); do
        case $(cat /proc/$pid/comm) in bootstrap) %s ;; esac
        sleep %g
      done
    done 2>/dev/null
  ]]):format(flag, pid(), command, seconds)))
  return setmetatable({}, { __close = function()
    os.remove(flag)
    shell:close()
  end })
end

describe("from outside", function()
  local before

  setup(function()
    folder = faults.folder()
    faults.build(folder)
  end)

  teardown(function()
    os.execute("rm -r " .. folder)
  end)

  before_each(function()
    collectgarbage()
    before = faults.in_use()
  end)

  after_each(function()
    faults.settle()
    collectgarbage()
    assert.same(before, faults.in_use())
  end)

  -- Every result must be right, or an error that a kill explains. Returns how many were errors.
  local function check(n, results)
    local failed = 0
    for i = 1, n do
      local value, err = table.unpack(assert(results[i], "a task never ended"), 1, 2)
      if err then
        assert(KINDS[err.kind], tostring(err))
        failed = failed + 1
      else
        assert.equal(2 * i, value)
      end
    end
    return failed
  end

  local function stream(pool, n)
    local results = {}
    for i, value, err in pool:each(work, support.range(1, n)) do
      assert.is_nil(results[i])
      results[i] = { value, err }
    end
    return results
  end

  describe("workers that are killed again and again", function()
    local PAUSE = faults.share == 1 and 0.02 or 0.5
    local N = 40000 // faults.share
    local RETRY = { times = 100, base = 0.001 }

    it("fail some tasks of a stream, which all end once", function()
      local pool = lambdapool.pool { workers = 3 }
      do
        local killer <close> = pester("kill -9 $pid", PAUSE) -- luacheck: ignore
        check(N, stream(pool, N))
      end
      assert.same({ 2, 4, n = 2 }, pool:map(work, { 1, 2 }))
      local stats = pool:stats()
      assert.equal(stats.tasks, stats.done + stats.failed)
      pool:terminate()
    end)

    it("fail none with retries", function()
      local pool = lambdapool.pool { workers = 3, retry = RETRY }
      do
        local killer <close> = pester("kill -9 $pid", PAUSE) -- luacheck: ignore
        assert.equal(0, check(N, stream(pool, N)))
        local list = pool:map(work, support.range(1, N))
        for i = 1, N do
          assert(list[i] == 2 * i)
        end
      end
      pool:terminate()
    end)

    it("fail some futures, which all end once", function()
      local executor = lambdapool.executor { workers = 3 }
      local futures, results, calls = {}, {}, 0
      do
        local killer <close> = pester("kill -9 $pid", PAUSE) -- luacheck: ignore
        for i = 1, N do
          futures[i] = executor:submit(work, i)
          futures[i]:add_done_callback(function() calls = calls + 1 end)
        end
        lambdapool.wait(futures)
      end
      executor:shutdown()
      for i, future in ipairs(futures) do
        local err = future:exception()
        results[i] = { not err and future:result() or nil, err }
      end
      check(N, results)
      assert.equal(N, calls)
    end)

    it("fail nothing when they are idle", function()
      local pool = lambdapool.pool { workers = 2 }
      for _ = 1, 20 do
        local pids = pool:map(pid, { 1, 2 }, { chunksize = 1 })
        os.execute(("kill -9 %d %d 2>/dev/null"):format(pids[1], pids[2]))
      end
      assert.equal(0, pool:stats().failed)
      pool:terminate()
    end)
  end)

  it("workers that are stopped and go on lose nothing", function()
    local pool = lambdapool.pool { workers = 3, timeout = 30 }
    do
      local stopper <close> = pester("kill -STOP $pid; sleep 0.03; kill -CONT $pid", 0.01)
      assert(stopper)
      assert.equal(0, check(20000, stream(pool, 20000)))
    end
    pool:terminate()
  end)

  it("an idle worker that is stopped does not hold a task up for ever", function()
    local pool = lambdapool.pool { workers = 1, timeout = 0.3 }
    os.execute("kill -STOP " .. pool:apply(pid))
    assert.equal("timeout", faults.within(0.3, support.error_of, pool.apply, pool, pid).kind)
    assert.is_number(pool:apply(pid))
    pool:terminate()
  end)

  it("a host that is killed leaves no process, nor do its tasks", function()
    local pids = folder .. "/pids"
    local script = assert(io.open(folder .. "/script.lua", "w"))
    script:write(([[
      local pool = require "lambdapool".pool { workers = 3 }
      pool:map(function(x)
        local shell = "echo $$ >> %s; "
        os.execute(shell .. "echo $PPID >> %s")
        if x == 1 then os.execute(shell .. "exec sleep 60") end
        while true do end
      end, { 1, 2, 3 }, { chunksize = 1 })
    ]]):format(pids, pids))
    script:close()
    local shell = assert(io.popen(("%s run %s/script.lua >/dev/null 2>&1 & echo $!"):format(
      faults.program, folder)))
    local host = shell:read "n"
    shell:close()
    local numbers
    faults.await(function()
      numbers = {}
      for line in (io.open(pids) and read "pids" or ""):gmatch "%d+" do
        numbers[#numbers + 1] = math.tointeger(line)
      end
      return #numbers >= 7
    end, "the tasks did not begin")
    os.execute("kill -9 " .. host)
    numbers[#numbers + 1] = host
    for _, number in ipairs(numbers) do
      faults.await(function() return not faults.is_alive(number) end,
        ("process %d is left"):format(number))
    end
    os.remove(pids)
  end)

  describe("a host", function()
    local SMALL = [[
      local pool = lambdapool.pool { workers = 8 }
      local ended = {}
      for i, value, err in pool:each(function(x) return 2 * x end,
        { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { chunksize = 1 }) do
        assert(not ended[i] and (err or value == 2 * i))
        ended[i] = true
        out:write(err and "failed " or "done ")
        if err then assert(tostring(err):find("cannot start the agent", 1, true), err) end
      end
      pool:terminate()
    ]]

    local function ended(output)
      return select(2, output:gsub("%l+ ", ""))
    end

    it("with few descriptors ends every task, well if there is one worker", function()
      for _, limit in ipairs { 12, 16, 20, 24, 32, 40, 64 } do
        local output, code = run_script(SMALL, ("ulimit -n %d; %%s 2>/dev/null"):format(limit))
        assert.same({ 10, 0 }, { ended(output), code })
        assert(limit < 32 or not output:find "failed")
      end
    end)

    it("with little memory of its own has workers with theirs", function()
      if faults.share == 1 then -- the sanitizers need terabytes of addresses
        for _, limit in ipairs { "-v 60000", "-d 20000" } do
          local output, code = run_script(SMALL, "ulimit " .. limit .. "; %s")
          assert.same({ ("done "):rep(10), 0 }, { output, code })
        end
      end
    end)

    it("whose output goes nowhere loses no result", function()
      for _, where in ipairs { ">/dev/full 2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-",
        ">&- 2>/dev/null", "2>&- >/dev/null" } do
        local output, code = run_script([[
          local pool <close> = lambdapool.pool { workers = 2 }
          local list = pool:map(function(x)
            print "hello"
            io.stderr:write "and hello\n"
            return 2 * x
          end, { 1, 2, 3 }, { chunksize = 1 })
          print "hello"
          io.stderr:write "and hello\n"
          out:write(list[1], list[2], list[3])
        ]], "%s " .. where)
        assert.same({ "246", 0 }, { output, code })
      end
    end)

    it("is not filled by what its workers print", function()
      for _, text in ipairs { '(("x"):rep(99) .. "\\n"):rep(100)', '("x"):rep(10000)' } do
        local output = run_script(([[
          local pool <close> = lambdapool.pool { workers = 2, prefix = true }
          local list = pool:map(function(x)
            for i = 1, x == 1 and 10000 // %d or 1 do io.write(%s) end
            return 2 * x
          end, { 1, 2, 3 }, { chunksize = 1 })
          out:write(list[1], list[2], list[3], " ")
          for line in io.lines "/proc/self/status" do
            if line:find "VmHWM" then out:write((line:gsub("%%D", ""))) end
          end
        ]]):format(faults.share, text), "%s >/dev/null 2>&1")
        assert.matches("^246 %d+$", output)
        if faults.share == 1 then
          assert(tonumber(output:match "%d+$") < 32 * 1024, output)
        end
      end
    end)

    it("says when what it starts is no agent", function()
      for _, agent in ipairs { "/bin/false", "/bin/echo", "/nowhere", "/etc/passwd" } do
        local output, code = run_script([[
          local pool <close> = lambdapool.pool { workers = 2 }
          local ok, err = pcall(pool.map, pool, function() end, { 1, 2, 3 })
          out:write(ok and "ok" or err.kind)
        ]], "LAMBDAPOOL_AGENT=" .. agent .. " %s >/dev/null 2>&1")
        assert.equal(0, code)
        assert(KINDS[output], output)
      end
    end)
  end)

  it("no task, one and ten thousand end in every way", function()
    local pool = lambdapool.pool { workers = 3 }
    local executor = lambdapool.executor { workers = 3 }
    for _, n in ipairs { 0, 1, 10000 } do
      local list, pairs_of, futures = support.range(1, n), {}, {}
      for i = 1, n do
        pairs_of[i] = { i }
        futures[i] = executor:submit(work, i)
      end
      local got = { pool:map(work, list), pool:starmap(work, pairs_of),
        pool:map_async(work, list):get(), pool:starmap_async(work, pairs_of):get() }
      for _, name in ipairs { "imap", "imap_unordered", "each" } do
        local values = { n = 0 }
        for i, value in pool[name](pool, work, list) do
          values[i], values.n = value, values.n + 1
        end
        table.insert(got, values)
      end
      local mapped = { n = 0 }
      for i, value in executor:map(work, list) do
        mapped[i], mapped.n = value, mapped.n + 1
      end
      table.insert(got, mapped)
      for _, values in ipairs(got) do
        assert.equal(n, values.n)
        for i = 1, n do
          assert(values[i] == 2 * i)
        end
      end
      assert.equal(n, #lambdapool.wait(futures))
    end
    executor:shutdown()
    pool:terminate()
  end)

  describe("a task", function()
    local pool

    before_each(function()
      pool = lambdapool.pool { workers = 1, timeout = 5 }
    end)

    after_each(function()
      pool:terminate()
      pool:join()
    end)

    it("may leave processes, which end with its worker", function()
      local left = {}
      local function leave(code)
        local file <close> = assert(io.open(folder .. "/left", "a"))
        file:write(faulty(folder).leave_child(60), "\n")
        file:flush()
        os.execute("sleep 60 & echo $! >> " .. folder .. "/left")
        return code and os.exit(code) or "left"
      end
      assert.equal("left", pool:apply(leave))
      assert.equal("crashed", faults.within(0, support.error_of, pool.apply, pool, leave,
        { 3 }).kind)
      assert.equal("left", pool:apply(leave))
      faults.within(0, pool.terminate, pool)
      for line in io.lines(folder .. "/left") do
        left[#left + 1] = math.tointeger(line)
      end
      assert.equal(6, #left)
      for _, number in ipairs(left) do
        faults.await(function() return not faults.is_alive(number) end, "a process is left")
      end
    end)

    it("may close descriptors: some task is lost at worst, and no result is wrong", function()
      local output, code = run_script(([[
        local folder, faulty = %q, require "tests.e2e.fault_tasks".faulty
        local function task(x, first)
          print "before"
          if x == 4 then
            faulty(folder).close_all(first)
          end
          print "behind"
          return 2 * x
        end
        local pool <close> = lambdapool.pool { workers = 1, timeout = 5, chunksize = 8 }
        for round = 1, 9 do
          for i, value, err in pool:each(function(x) return task(x, round %% 3) end,
            { 1, 2, 3, 4, 5, 6, 7, 8 }) do
            assert(err and (err.kind == "crashed" or err.kind == "lost") or value == 2 * i, err)
            out:write "x"
          end
        end
      ]]):format(folder), "%s >/dev/null 2>&1")
      assert.same({ ("x"):rep(72), 0 }, { output, code })
    end)

    it("may write over what tells its progress, and harms but its own invocation", function()
      for _, byte in ipairs { "\0", "\1", "\127", "\255" } do
        for _, size in ipairs { 4, 16, 64, 1 << 20 } do
          for _, fate in ipairs { "return", "exit", "raise" } do
            local ended = {}
            for i, value, err in pool:each(function(x)
              if x == 4 then
                scribble(byte, size)
                if fate == "exit" then
                  os.exit(1)
                end
                assert(fate == "return")
              end
              return 2 * x
            end, support.range(1, 8), { chunksize = 8 }) do
              assert(not ended[i] and (err or value == 2 * i))
              ended[i] = true
            end
            assert.equal(8, #ended)
          end
        end
        assert.equal(42, pool:apply(work, { 21 }))
      end
      local stats = pool:stats()
      assert.same({ 0, 0 }, { stats.running, stats.queued })
    end)

    it("may not put off its end by that", function()
      local other = lambdapool.pool { workers = 1, timeout = 0.3 }
      for _, byte in ipairs { "\0", "\127", "\255" } do
        local err = faults.within(0.3, support.error_of, other.apply, other, function()
          scribble(byte, 1 << 20)
          os.execute "exec sleep 20"
        end)
        assert(err.kind == "timeout" or err.kind == "lost")
      end
      other:terminate()
    end)
  end)
end)
