--- Ctrl-C in `lambdapool run`, as a signal and as the key on a terminal.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
local folder

local function write(name, text)
  local file <close> = assert(io.open(folder .. "/" .. name, "wb"))
  file:write(text)
end

local function read(name)
  local file <close> = assert(io.open(folder .. "/" .. name, "rb"))
  return file:read "a"
end

-- What every script here begins with: `ready()` lets the signal come; `task(i)` is one that never
-- ends and leaves its process id.
local prelude = [[
  local function ready() io.open("ready", "w"):close() end
  local function task(i)
    local file <close> = io.open("/proc/self/stat")
    local out <close> = io.open("pid" .. i, "w")
    out:write(file:read "n")
    ready()
    while true do end
  end
  local lambdapool = require "lambdapool"
]]

-- Runs a script in the foreground and sends it a signal once it is ready, or `again` and again
-- until it is gone. Returns what it printed, its complaints and its exit code. No worker may be
-- left. Who waits gives up when the folder is gone: it would keep `prove` waiting.
local function interrupt(script, options)
  options = options or {}
  write("script.lua", prelude:gsub("\n", " ") .. script)
  local _, _, code = os.execute(([[
    cd %s; exec 3>&2 >.out 2>.err
    (while [ -e fifo ] && [ ! -e ready ]; do sleep 0.01; done
     sleep 0.1; while kill -INT $(cat host) 2>/dev/null && %s; do sleep 0.1; done) &
    sh -c 'echo $$ >host; exec %s run script.lua %s'; code=$?
    for i in $(seq 200); do
      alive=; for pid in $(cat pid* 2>/dev/null); do kill -0 $pid 2>/dev/null && alive=$pid; done
      [ -z "$alive" ] && exit $code
      sleep 0.01
    done
    exit 99]]):format(folder, options.again and "true" or "false", program, options.input or ""))
  return read ".out", read ".err", code
end

-- The same by the key, on a terminal of its own, once the terminal shows `text`, too. Returns what
-- the terminal got, and the exit code. A shell in between would end by the key itself.
local function press(script, text)
  write("script.lua", prelude:gsub("\n", " ") .. script)
  local _, _, code = os.execute(([[
    cd %s
    (while [ -e fifo ] && [ ! -e ready ]; do sleep 0.01; done
     while [ -e fifo ] && [ -n '%s' ] && ! grep -qs '%s' .out; do sleep 0.01; done
     sleep 0.1; printf '\003'; sleep 0.5) |
      TERM=xterm script -qefc 'exec %s run script.lua' /dev/null >.out 2>&1]]):format(
    folder, text or "", text or "", program))
  return read ".out", code
end

describe("Ctrl-C", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir %s && mkfifo %s/fifo"):format(folder, folder)))
  end)

  after_each(function()
    os.execute("rm -rf " .. folder)
  end)

  local counted = "^lambdapool: interrupted: %d+ tasks? done, %d+ failed, %d+ not done\n$"

  it("ends a wait, and says what was done", function()
    local out, err, code = interrupt [[
      local pool = lambdapool.pool { workers = 2 }
      local list = table.pack(1, 2, 3, 4, 5)
      print "before"
      pool:map(function(i)
        if i == 1 then return i end
        task(i)
      end, list, { chunksize = 1 })
      print "after"]]
    assert.equal("before\n", out)
    assert.matches(counted, err)
    assert.equal(130, code)
  end)

  it("counts", function()
    local _, err, code = interrupt [[
      local pool <close> = lambdapool.pool { workers = 1 }
      pool:map(function(i) return i end, { 1, 2, 3 })
      pcall(pool.map, pool, error, { "no" })
      pool:map(task, { 1, 2, 3, 4 })]]
    assert.equal("lambdapool: interrupted: 3 tasks done, 1 failed, 4 not done\n", err)
    assert.equal(130, code)
  end)

  it("ends pure Lua", function()
    local out, err, code = interrupt "io.write 'partial' ready() while true do end"
    assert.equal("partial", out)
    assert.equal("lambdapool: interrupted\n", err)
    assert.equal(130, code)
  end)

  it("ends a sort and a pattern with a function", function()
    for _, call in ipairs {
      "table.sort(t, function() while true do end end)",
      "string.gsub('a', 'a', function() while true do end end)",
    } do
      local _, err, code = interrupt("local t = { 1, 2, 3 } ready() " .. call)
      assert.equal("lambdapool: interrupted\n", err)
      assert.equal(130, code)
      os.remove(folder .. "/ready")
    end
  end)

  it("ends coroutines", function()
    for _, call in ipairs {
      "coroutine.wrap(function() stay() end)()",
      "coroutine.wrap(function() coroutine.wrap(function() stay() end)() end)()",
      "coroutine.wrap(function() table.sort({ 1, 2, 3 }, stay) end)()",
      "lambdapool.async(stay)",
      "lambdapool.async(function() coroutine.wrap(stay)() end)",
    } do
      local out, err, code = interrupt("local function stay() ready() while true do end end "
        .. call .. " print 'after'")
      assert.equal("", out)
      assert.matches("^lambdapool: interrupted[^\n]*\n$", err)
      assert.equal(130, code)
      os.remove(folder .. "/ready")
    end
  end)

  it("ends callbacks, in flows too", function()
    for _, call in ipairs {
      "pool:apply_async(tostring, { 1 }, nil, stay):get() pool:poll(10)",
      "lambdapool.async(function() pool:apply_async(tostring, { 1 }, nil, stay):get() "
        .. "pool:apply(tostring, { 2 }) end):result()",
      "lambdapool.async(function() pool:apply(tostring, { 1 }) stay() end):result()",
    } do
      local out, err, code = interrupt("local function stay() ready() while true do end end "
        .. "local pool <close> = lambdapool.pool { workers = 1 } " .. call .. " print 'after'")
      assert.equal("", out)
      assert.matches(counted, err)
      assert.equal(130, code)
      os.remove(folder .. "/ready")
    end
  end)

  it("ends what is closed with a coroutine", function()
    for _, calls in ipairs {
      "local co = coroutine.create(f) coroutine.resume(co) print(coroutine.close(co))",
      "local future = lambdapool.async(f) print(pcall(future.cancel, future))",
    } do
      local out, err, code = interrupt([[
        local function f()
          local x <close> = setmetatable({}, { __close = function() ready() while true do end end })
          coroutine.yield()
        end ]] .. calls)
      assert.equal("false\tinterrupted\n", out)
      assert.equal("lambdapool: interrupted\n", err)
      assert.equal(130, code)
      os.remove(folder .. "/ready")
    end
  end)

  it("closes what a coroutine was to close", function()
    local out = interrupt [[
      local closed = setmetatable({}, { __close = function(_, e) print("closed", e) end })
      coroutine.wrap(function() local x <close> = closed ready() while true do end end)()]]
    assert.equal("closed\tinterrupted\n", out)
  end)

  it("leaves no hook when a coroutine swallows it", function()
    local out, err, code = interrupt [[
      local co = coroutine.create(function()
        print(pcall(function() ready() while true do end end))
        print(coroutine.yield(debug.gethook()))
        return "alive"
      end)
      print(coroutine.resume(co))
      print(debug.gethook(co), (debug.gethook()))
      print(coroutine.resume(co, "resumed"))
      print(coroutine.resume(coroutine.create(error), "other"))]]
    assert.equal("false\tinterrupted\ntrue\tnil\nnil\tnil\nresumed\ntrue\talive\nfalse\tother\n",
      out)
    assert.equal("lambdapool: interrupted\n", err)
    assert.equal(130, code)
  end)

  it("ends reading", function()
    for _, call in ipairs { "io.read()", "io.read 'a'", "for _ in io.lines() do end" } do
      local out, err, code = interrupt("ready() " .. call .. " print 'after'", { input = "<>fifo" })
      assert.equal("", out)
      assert.equal("lambdapool: interrupted\n", err)
      assert.equal(130, code)
      os.remove(folder .. "/ready")
    end
  end)

  it("is an error that a script may look at", function()
    local out, err, code = interrupt [[
      local closed <close> = setmetatable({}, { __close = function() print "closed" end })
      local pool <close> = lambdapool.pool { workers = 1 }
      local ok, e = pcall(pool.map, pool, task, { 1 })
      print(ok, e, getmetatable(e).__name)
      error(e)]]
    assert.equal("false\tinterrupted\tLambdaInterrupt\nclosed\n", out)
    assert.matches(counted, err)
    assert.equal(130, code)
  end)

  it("comes again when a script swallows it", function()
    local out, err, code = interrupt [[
      for i = 1, 3 do
        local pool = lambdapool.pool { workers = 1 }
        print(pcall(pool.map, pool, task, { i }))
      end
      while true do lambdapool.pool { workers = 1 }:apply(task, { 4 }) end]]
    assert.equal(("false\tinterrupted\n"):rep(3), out)
    assert.matches(counted, err)
    assert.equal(130, code)
  end)

  it("is not undone by a script that goes on to its end", function()
    local out, err, code = interrupt "ready() pcall(function() while true do end end) print 'end'"
    assert.equal("end\n", out)
    assert.equal("lambdapool: interrupted\n", err)
    assert.equal(130, code)
  end)

  it("leaves the last word to os.exit", function()
    local _, err, code = interrupt "ready() pcall(function() while true do end end) os.exit(3)"
    assert.equal("", err)
    assert.equal(3, code)
  end)

  it("does not hide other errors of the script", function()
    local _, err, code = interrupt "ready() pcall(function() while true do end end) error 'other'"
    assert.matches("other\nstack traceback:.*\nlambdapool: interrupted\n$", err)
    assert.equal(130, code)
  end)

  it("ends an executor that waits while it closes", function()
    local _, err, code = interrupt [[
      local executor <close> = lambdapool.executor { workers = 2 }
      executor:submit(task, 1)
      executor:submit(task, 2)
      executor:submit(task, 3)]]
    assert.matches(counted, err)
    assert.equal(130, code)
  end)

  it("ends futures, streams and flows", function()
    for _, call in ipairs {
      "lambdapool.executor { workers = 1 }:submit(task, 1):result()",
      "for _ in lambdapool.pool { workers = 1 }:imap(task, { 1, 2 }) do end",
      "lambdapool.pool { workers = 1 }:map_async(task, { 1, 2 }):get()",
      "local pool = lambdapool.pool { workers = 1 } "
        .. "lambdapool.async(function() pool:apply(task, { 1 }) end)",
    } do
      local _, err, code = interrupt(call)
      assert.matches(counted, err)
      assert.equal(130, code)
      os.execute(("rm %s/ready %s/pid*"):format(folder, folder))
    end
  end)

  it("kills at once the second time", function()
    -- A pattern that takes for ever is C code, which no error can end.
    local _, err, code = interrupt("ready(); (('a'):rep(100)):find(('a*'):rep(100) .. 'b')",
      { again = true })
    assert.equal("", err)
    assert.equal(130, code) -- what the shell makes of the signal
  end)

  it("kills at once the second time what swallows the first", function()
    for _, call in ipairs {
      "while true do pcall(stay) end",
      "coroutine.wrap(function() while true do pcall(stay) end end)()",
      "while true do coroutine.resume(coroutine.create(stay)) end",
    } do
      local _, err, code = interrupt("local function stay() ready() while true do end end " .. call,
        { again = true })
      assert.equal("", err)
      assert.equal(130, code)
      os.remove(folder .. "/ready")
    end
  end)

  it("does not concern a child that has the terminal", function()
    local out, code = press "print(os.execute 'touch ready; exec sleep 100') print 'after'"
    assert.matches("nil\tsignal\t2\r\nafter\r\n$", out)
    assert.equal(0, code)
  end)

  it("as a key ends a wait, with one line", function()
    local out, code = press [[
      local pool <close> = lambdapool.pool { workers = 1 }
      pool:map(task, { 1, 2, 3 })]]
    assert.equal("^C\r\27[Klambdapool: interrupted: 0 tasks done, 0 failed, 3 not done\r\n", out)
    assert.equal(130, code)
  end)

  it("as a key clears the progress line", function()
    local out, code = press([[
      local pool <close> = lambdapool.pool { workers = 1 }
      pool:map(function(i) if i == 2 then task(i) end end, { 1, 2, 3 },
        { progress = true, chunksize = 1 })]], "33%")
    assert.matches("33%%", out)
    assert.matches("\r\27%[Klambdapool: interrupted: 1 task done, 0 failed, 2 not done\r\n$", out)
    assert.equal(130, code)
  end)
end)
