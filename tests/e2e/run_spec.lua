--- `lambdapool run` from outside: it is compared with `lua5.4` itself wherever the two must agree.

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

-- Runs a shell command in the folder; returns what it printed, its complaints and its exit code.
local function shell(command)
  local line = ("cd %s && (%s) >.stdout 2>.stderr"):format(folder, command)
  local _, how, code = os.execute(line)
  return read ".stdout", read ".stderr", how == "exit" and code or -code
end

local function run(arguments)
  return shell(program .. " run " .. arguments)
end

-- Both interpreters must print the same, complain the same and exit with the same code; only the
-- name they have for themselves differs.
local function same_as_lua(arguments, before)
  before = before or ""
  local out, err, code = shell(before .. program .. " run " .. arguments)
  local lua_out, lua_err, lua_code = shell(before .. "lua5.4 " .. arguments)
  assert.equal(lua_out, out)
  assert.equal(lua_err:gsub("^lua5.4: ", ""), (err:gsub("^lambdapool: ", "")))
  assert.equal(lua_code, code)
  return out, err, code
end

describe("lambdapool run", function()
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
  end)

  teardown(function()
    os.execute("rm -rf " .. folder)
  end)

  describe("like lua", function()
    it("gives a script its arguments", function()
      write("args.lua", "print(select('#', ...), ...) for i = 0, #arg do print(i, arg[i]) end")
      same_as_lua "args.lua"
      same_as_lua "args.lua a 'b c' -e -- ''"
      same_as_lua "-- args.lua -x"
      same_as_lua "-e 'x = 1' ./args.lua 1 2"
    end)

    it("keeps what stands before the script at negative indexes", function()
      write("args.lua", "print(arg[-1], arg[-2], arg[-3])")
      assert.equal("x = 1\t-e\trun\n", (run "-e 'x = 1' args.lua"))
      assert.equal("run\t" .. program .. "\tnil\n", (run "args.lua"))
    end)

    it("carries out -e and -l in order", function()
      write("mod.lua", "print('mod', ...) return { name = 'mod' }")
      same_as_lua "-e 'print(mod)' -l mod -e 'print(mod.name)' -l other=mod -e 'print(other.name)'"
      same_as_lua "-e'print(1)' -lmod -W -e 'warn \"careful\"'"
    end)

    it("reads standard input", function()
      same_as_lua("-", "echo 'print(1, ...)' | ")
      same_as_lua("- a b", "echo 'print(1, ...) error \"x\"' | ")
      same_as_lua("", "echo 'print(2)' | ")
    end)

    it("takes a first line with #, a BOM and CRLF", function()
      write("hash.lua", "#!/usr/bin/env lambdapool run\nprint 'hash' error 'line 2'")
      same_as_lua "hash.lua"
      write("bom.lua", "\xef\xbb\xbfprint 'bom'")
      same_as_lua "bom.lua"
      write("crlf.lua", "print 'a'\r\nerror 'line 2'\r\n")
      same_as_lua "crlf.lua"
    end)

    it("shows errors with their traceback", function()
      write("deep.lua", "local function f(n)\n if n == 0 then\n  error 'deep'\n end\n"
        .. " f(n - 1)\nend\nf(3)\n")
      same_as_lua "deep.lua"
      same_as_lua "-e 'local x = nil; x.y = 1'"
      same_as_lua "-e 'string.rep()'"
    end)

    it("shows error values of every kind", function()
      for _, value in ipairs { "nil", "true", "42", "4.5", "{}", "print", "'text'" } do
        same_as_lua(("-e 'error(%s)'"):format(value:gsub("'", '"')))
      end
      same_as_lua "-e 'error(setmetatable({}, { __tostring = function() return \"mine\" end }))'"
    end)

    it("complains about scripts it cannot load", function()
      same_as_lua "missing.lua"
      write("broken.lua", "local x =\n")
      same_as_lua "broken.lua"
      same_as_lua "-e 'x ='"
      assert.equal(1, select(3, run "-l nomodule"))
    end)

    it("exits as os.exit says", function()
      for _, code in ipairs { "0", "3", "true", "false", "7, true" } do
        same_as_lua(("-e 'io.write \"out\" os.exit(%s)'"):format(code))
      end
    end)

    it("carries out LUA_INIT", function()
      same_as_lua("-e 'print(2)'", "LUA_INIT='print(1)' ")
      same_as_lua("-e 'print(2)'", "LUA_INIT='error(\"x\")' ")
      write("init.lua", "print 'init'")
      same_as_lua("-e 'print(2)'", "LUA_INIT=@init.lua ")
    end)

    it("closes to-be-closed variables and finalises objects", function()
      same_as_lua "-e 'setmetatable({}, { __gc = function() print \"gc\" end })'"
      same_as_lua "-e 'local x <close> = setmetatable({}, { __close = function() print(1) end })'"
    end)

    it("has the libraries of lua and no global of its own", function()
      same_as_lua "-e 'local t = {} for k in pairs(_G) do t[#t+1] = k end table.sort(t) print(#t)'"
      same_as_lua "-e 'print(lambdapool, _VERSION, #arg)'"
    end)
  end)

  it("finds modules beside the script, wherever it is called from", function()
    assert(os.execute(("mkdir -p %s/sub"):format(folder)))
    write("sub/helper.lua", "return 'beside'")
    write("helper.lua", "return 'here'")
    write("sub/main.lua", "print((require 'helper'))")
    assert.equal("beside\n", (run "sub/main.lua"))
    write("sub/helper2.lua", "return 'second'")
    write("sub/main2.lua", "print((require 'helper2'))")
    local script = folder .. "/sub/main2.lua"
    assert.equal("second\n", (shell("cd / && " .. program .. " run " .. script)))
  end)

  it("is not led astray by a file named like the library", function()
    write("lambdapool.lua", "error 'the wrong one'")
    assert.equal("3\n", (run [[-e 'print(require "lambdapool".pool{}:apply(function(a, b)
      return a + b end, {1, 2}))']]))
    os.remove(folder .. "/lambdapool.lua")
  end)

  it("ships functions of -e, of standard input and of scripts", function()
    local code = "print(require 'lambdapool'.pool { workers = 2 }:apply(function(a, b) "
      .. "return a + b end, { 1, 2 }))"
    write("ship.lua", code)
    assert.equal("3\n", (run "ship.lua"))
    assert.equal("3\n", (run "- < ship.lua"))
    assert.equal("3\n", (run('-e "' .. code .. '"')))
  end)

  it("shows a task's error in the user's own lines, and exits with 1", function()
    write("fails.lua", "local pool = require 'lambdapool'.pool { workers = 1 }\n"
      .. "local function parse(page)\n  return page.body.text\nend\n"
      .. "pool:map(function(page)\n  return parse(page) .. ''\nend, { {}, {} })\n")
    local out, err, code = run "fails.lua"
    assert.equal("", out)
    assert.equal(1, code)
    assert.matches("^lambdapool: task 1 of 2 raised on worker 1", err)
    assert.matches("\n  fails.lua:3: attempt to index a nil value %(field 'body'%)\n", err)
    assert.matches("\n    fails.lua:3 +in upvalue 'parse' +<remote>\n", err)
    assert.matches("\n    fails.lua:6 +in function <fails.lua:5> +<remote>\n$", err)
  end)

  it("passes the output of tasks on, line by line, to stderr", function()
    write("talks.lua", "local pool <close> = require 'lambdapool'.pool { workers = 1 }\n"
      .. "pool:apply(function() print 'one' io.write 'two\\n' io.stderr:write 'three' end)")
    local out, err, code = run "talks.lua"
    assert.equal("", out)
    assert.equal("one\ntwo\nthree\n", err)
    assert.equal(0, code)
    write("tells.lua", "local pool <close> = require 'lambdapool'.pool { workers = 1, "
      .. "prefix = true }\npool:apply(function() print 'one' end)")
    assert.equal("[worker 1] one\n", (select(2, run "tells.lua")))
  end)

  it("reads its own modules from LAMBDAPOOL_LUA", function()
    assert(os.execute(("mkdir -p %s/own && cp -r lua/lambdapool %s/own"):format(folder, folder)))
    local file <close> = assert(io.open(folder .. "/own/lambdapool/init.lua", "a"))
    file:seek "set"
    write("own/lambdapool/init.lua", "error('own init')\n")
    local _, err, code = shell("LAMBDAPOOL_LUA=own " .. program
      .. " run -e 'require \"lambdapool\"'")
    assert.equal(1, code)
    assert.matches("^lambdapool: lambdapool/init.lua:1: own init\n", err)
  end)

  it("says where it looked for the agent", function()
    assert(os.execute(("mkdir -p %s/alone && cp %s %s/alone"):format(folder, program, folder)))
    local code_text = "require \"lambdapool\".pool {}:apply(print)"
    local _, err, code = shell("alone/lambdapool run -e '" .. code_text .. "'")
    assert.equal(1, code)
    assert.matches("cannot find the agent: there is no `bootstrap` in .*/alone, [^\n]*\n"
      .. "  put it there, as `make install` does, or name it", err)
  end)
end)

describe("the end of lambdapool run", function()
  -- Starts a script with two busy workers that write their process ids, waits for both, sends the
  -- signal, and returns the exit code and how many workers are left once they had time to go.
  local function end_by(signal)
    local name = os.tmpname()
    os.execute("rm -f " .. name .. " && mkdir " .. name)
    local script = ([[
      require "lambdapool".pool { workers = 2 }:map(function(i)
        local file <close> = io.open("/proc/self/stat")
        local out <close> = io.open(%q .. "/" .. i, "w")
        out:write(file:read "n")
        out:close()
        while true do end
      end, { 1, 2 }, { chunksize = 1 })
    ]]):format(name)
    local file <close> = assert(io.open(name .. "/script.lua", "w"))
    file:write(script)
    file:close()
    -- The host is in the foreground: what a shell puts in the background ignores SIGINT.
    local pipe <close> = assert(io.popen(([[
      exec 2>/dev/null; cd %s
      (while [ ! -s 1 ] || [ ! -s 2 ]; do sleep 0.01; done; kill -%s $(cat host)) &
      sh -c 'echo $$ >host; exec %s run script.lua'; echo $?
      for i in $(seq 200); do
        kill -0 $(cat 1) 2>/dev/null || kill -0 $(cat 2) 2>/dev/null || break
        sleep 0.01
      done
      kill -0 $(cat 1) 2>/dev/null && echo left
      kill -0 $(cat 2) 2>/dev/null && echo left
      rm -rf %s
    ]]):format(name, signal, program, name)))
    return pipe:read "a"
  end

  for signal, code in pairs { INT = 130, TERM = 143, KILL = 137 } do
    it("by SIG" .. signal .. " leaves nothing behind", function()
      assert.equal(code .. "\n", end_by(signal))
    end)
  end
end)
