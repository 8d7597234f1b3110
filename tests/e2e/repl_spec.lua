--- `lambdapool repl` with a pipe for input: what comes out is what the expressions give.

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

-- Feeds `input` to a prompt. Returns what it prints, what it says and its exit code.
local function repl(input, arguments, environment)
  write("input", input)
  local _, _, code = os.execute(([[
    cd %s && env HOME=%s XDG_CONFIG_HOME=%s/config %s %s repl %s <input >out 2>err]]):format(folder,
    folder, folder, environment or "", program, arguments or ""))
  return read "out", read "err", code
end

-- The lines that a prompt prints for `input`, which must go well.
local function values(input, arguments)
  local out, err, code = repl(input, arguments)
  assert.equal("", err)
  assert.equal(0, code)
  return out
end

-- What a prompt says when `input` goes wrong, and what it had printed by then.
local function failure(input, arguments)
  local out, err, code = repl(input, arguments)
  assert.equal(1, code)
  return err, out
end

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
end)

after_each(function()
  os.execute("rm -rf " .. folder)
end)

describe("a prompt in a pipe", function()
  it("prints values, and nothing else", function()
    assert.equal('1\n2.0\n"a"\n{ 1, 2 }\n', values '1\n= 2.0\n"a"\n{ 1, 2 }\nlocal x = 1\n')
    assert.equal("", values "")
    assert.equal("", values "\n  \n\n-- nothing\n")
    assert.equal("3\n", values "1 + 2") -- without a newline
  end)

  it("has a pool that runs what was typed", function()
    assert.equal("{ 0.33333333333333, 0.5, 0.2 }\n0.8\n", values [[
      function vowels(s) return select(2, s:gsub("[aeiou]", "")) end
      function rate(w) return vowels(w) / #w end
      pool:map(rate, {"lambda", "pool", "burst"})
      local f = pool:apply_async(rate, {"queue"})
      f:get()
    ]])
  end)

  it("ships locals of earlier lines, and what they are now", function()
    assert.equal("{ 11, 12 }\n{ 101, 102 }\n7\n", values [[
      local base = 10
      local function add(x) return base + x end
      pool:map(add, { 1, 2 })
      base = 100
      pool:map(add, { 1, 2 })
      function add(x) return 7 end
      executor:submit(add, 1):result()
    ]])
  end)

  it("reads code of several lines", function()
    assert.equal("{ 1, 4, 9 }\n", values [[
      local function square(x)

        return x * x
      end
      pool:map(square, {
        1,
        2,
        3,
      })
    ]])
  end)

  it("ends at the first error, with what Lua says of it", function()
    local err, out = failure "1\nerror 'no'\n2\n"
    assert.equal("lambdapool: repl:2:1: no\n", err)
    assert.equal("1\n", out)
    assert.matches("^lambdapool: repl:1:.*near '%)'\n$", (failure "f(\n)) 1\n2"))
    assert.matches("^lambdapool: repl:1:1: 'end' expected near <eof>\n$", (failure "do\n"))
    assert.equal("lambdapool: (error object is a table value)\n", (failure "error {}"))
  end)

  it("shows the frames of the user, and marks those of workers", function()
    assert.equal([[
lambdapool: deep
stack traceback:
	repl:1:1: in upvalue 'f'
	repl:2:1: in upvalue 'g'
	repl:3:1: in main chunk
]], (failure "local function f() error('deep', 0) end\nlocal function g() f() end\ng()\n"))
    local err = failure "pool:map(function(x) return x.y.z end, { {} })"
    assert.matches("^lambdapool: task raised on worker 1 .-\n  repl:1:1: attempt to index", err)
    assert.matches("<remote>\n$", err)
  end)

  it("does not show the frames of lambdapool", function()
    local err = failure "local db = io.open '/dev/null'\npool:map(function() return db end, { 1 })"
    assert.matches("^lambdapool: cannot send function repl:2:1: upvalue 'db' of", err)
    assert.is_nil(err:find "traceback")
  end)

  it("waits for what was submitted", function()
    local out, err, code = repl [[executor:submit(print, "late")]]
    assert.matches("Future", out)
    assert.equal("late\n", err)
    assert.equal(0, code)
    local complaint = failure "lambdapool.async(function() error 'in a flow' end)"
    assert.matches("repl:1:1: in a flow\n$", complaint)
  end)

  it("fails when nobody reads", function()
    write("input", "1\n")
    local _, _, code = os.execute(("%s repl <%s/input >/dev/full 2>&1"):format(program, folder))
    assert.equal(1, code)
  end)

  it("fails when there is nothing to read from", function()
    local _, _, code = os.execute(program .. " repl <&- 2>&1 >/dev/null | grep -q 'standard input'")
    assert.equal(0, code)
    _, _, code = os.execute(program .. " repl <&- >/dev/null 2>&1")
    assert.equal(1, code)
  end)

  it("has no escapes", function()
    local out = repl("'text'\n:help\n:clear\n{ 1 }\n", "", "TERM=xterm CLICOLOR_FORCE=1")
    assert.is_nil(out:find "\27")
  end)

  it("survives that globals are gone", function()
    assert.equal("{ 1, 2 }\n3\n", values [[
      print = nil; string = nil; table = nil; type = nil; pairs = nil; ipairs = nil; io = nil
      select = nil; error = nil; pcall = nil; math = nil; next = nil; tostring = nil
      { 1, 2 }
      1 + 2
    ]])
  end)
end)

describe("what comes before the prompt", function()
  it("are options as `run` has them", function()
    assert.equal("5\n", values("a", "-e 'local a = 5'"))
    assert.equal("3.0\n", values("m.sqrt(9)", "-l m=math"))
    assert.equal("lambdapool.Pool (7 workers, open)\n", values("pool", "--workers 7"))
    assert.matches("%(command line%):1: x", (failure("1", "-e 'error [[x]]'")))
  end)

  it("is a script, whose locals stay", function()
    write("script.lua", "#!/usr/bin/lua\nlocal a, b = ...\nfunction both() return a .. b end\n")
    assert.equal('"two"\n{ "onetwo" }\n"script.lua"\n',
      values("b\npool:starmap(both, { {} })\narg[0]", "-i script.lua one two"))
    assert.equal("lambdapool: none.lua: No such file or directory\n", (failure("1", "-i none.lua")))
  end)

  it("is a file of the user's own", function()
    assert(os.execute(("mkdir -p %s/config/lambdapool"):format(folder)))
    write("config/lambdapool/repl.lua", "local mine = 42")
    assert.equal("42\n", values "mine")
    assert.equal("nil\n", values("mine", "--no-rc"))
    write("config/lambdapool/repl.lua", "error 'in rc'")
    assert.matches("repl.lua:1: in rc\n$", (failure "1"))
  end)

  it("must make sense", function()
    for arguments, complaint in pairs {
      ["script.lua"] = "a script comes behind '-i'",
      ["-i"] = "'-i' needs an argument",
      ["--worker 2"] = "unknown option '--worker', did you mean '--workers'?",
      ["-e"] = "'-e' needs an argument",
    } do
      local out, err, code = repl("1", arguments)
      assert.equal("", out)
      assert.equal("lambdapool repl: " .. complaint, err:match "^[^\n]*")
      assert.equal(2, code)
    end
  end)

  it("may fail to give a pool", function()
    local err = failure("1", "--backend aws", "env -u AWS_REGION -u AWS_DEFAULT_REGION")
    assert.matches("^lambdapool: there are no `pool` and `executor`: no AWS region is set\n", err)
  end)
end)

describe("a command", function()
  it("tells what there is", function()
    local out = values ":help"
    for _, name in ipairs { "help", "load", "time", "tasks", "clear", "quit" } do
      assert.matches("\n  :" .. name .. " ", out)
    end
  end)

  it("is known, or there is a hint", function()
    assert.equal("lambdapool: unknown command ':tim', did you mean 'time'?\n  see :help\n",
      (failure ":tim 1"))
    assert.equal("", values "::label::")
  end)

  it("loads files", function()
    write("job.lua", "local kept = (kept or 0) + 1\nfunction twice(x) return 2 * x end\n")
    assert.equal("1\n{ 4 }\n", values ":load job.lua\nkept\npool:map(twice, { 2 })\n:load\n")
    write("bad.lua", "local x =\n")
    assert.equal("lambdapool: bad.lua:2: unexpected symbol near <eof>\n", (failure ":load bad.lua"))
    assert.equal("lambdapool: none.lua: No such file or directory\n", (failure ":load none.lua"))
    assert.matches("^lambdapool: %.: ", (failure ":load ."))
    assert.equal("lambdapool: :load needs a file\n", (failure ":load"))
  end)

  it("measures code", function()
    local out, err = repl [[
:time pool:map(math.abs, { -1, -2 })
:time 1
:time for i = 1, 2 do
end]]
    assert.equal("{ 1, 2 }\n1\n", out)
    assert.matches("^2 tasks.- m?s\n[%d.e-]+ ms\n[%d.e-]+ ms\n$", err)
  end)

  it("shows tasks", function()
    assert.equal("no tasks\n", values ":tasks")
    assert.equal("{ 1 }\nlist: 1 done, 1 worker\n", values [[
      local list = lambdapool.pool { workers = 1 }
      list:map(math.abs, { -1 })
      :tasks
    ]])
  end)

  it("forgets", function()
    assert.equal("1\nnil\nnil\n", values "local a = 1\na\n:clear\na\n_\n")
  end)

  it("leaves", function()
    assert.equal("1\n", values "1\n:quit\n2\n")
  end)
end)
