local codec = require "lambdapool.codec"
local new = require "lambdapool.repl.session".new

local error, unpack = error, table.unpack -- a test takes all globals away

-- A session, and a function that carries out an input: it gives its values, or raises what went
-- wrong.
local function open()
  local session = new()
  return session, function(text, ...)
    local chunk, what, message = session:compile(text)
    if not chunk then
      error(message or what, 0)
    end
    local ok, values = chunk:run(...)
    if not ok then
      error(values, 0)
    end
    return unpack(values, 1, values.n)
  end
end

local function copy(value)
  return codec.load(codec.dump(value), { trusted = true })
end

local function packed(...)
  return { n = select("#", ...), ... }
end

describe("a session", function()
  local session, go

  before_each(function()
    session, go = open()
  end)

  after_each(function()
    for _, name in ipairs { "_", "g", "h", "inc", "get" } do
      rawset(_G, name, nil)
    end
  end)

  it("gives the values of expressions, none of statements", function()
    assert.same(packed(3), packed(go "1 + 2"))
    assert.same(packed(1, nil, 3), packed(go "1, nil, 3"))
    assert.same(packed(7), packed(go "=7"))
    assert.same(packed(7), packed(go "  = 7"))
    assert.same(packed("%d"), packed(go "'%d' -- a comment"))
    assert.same(packed(2, 3), packed(go "return 2, 3"))
    assert.same(packed(), packed(go "g = 5"))
    assert.same(packed(), packed(go "local g = 5"))
    assert.same(packed(), packed(go ""))
    assert.same(packed(), packed(go "-- nothing"))
    assert.same(packed(), packed(go ";"))
    assert.same(packed(4, 5), packed(go("...", 4, 5)))
    assert.same(packed(2), packed(go("local n = select('#', ...) return n", 4, 5)))
    assert.equal("function", type((go "function(x) return x end")))
  end)

  it("keeps the last value in _, unless there is none", function()
    go "41 + 1"
    assert.same(packed(43, 44), packed(go "_ + 1, _ + 2"))
    go "nil, 5"
    go "g = 5"
    assert.is_false(pcall(go, "error 'no'"))
    assert.equal(43, go "_")
    go "false"
    assert.is_false(go "_")
    go "local _, n = 1, 2"
    assert.is_false(go "_")
    assert.equal(2, go "n")
  end)

  it("keeps locals, which closures share with later inputs", function()
    go "local a, b = 1, 2"
    assert.same(packed(1, 2), packed(go "a, b"))
    go "local function get() return a end"
    go "a = 10"
    assert.equal(10, go "get()")
    go "function inc() a = a + 1 end"
    go "inc() inc()"
    assert.same(packed(12, 12), packed(go "get(), a"))
  end)

  it("takes a local again for a new variable", function()
    go "local a = 1 local function old() return a end"
    go "local a = 'new'"
    assert.same(packed(1, "new"), packed(go "old(), a"))
    go "local a = a .. 'er'"
    assert.same(packed(1, "newer"), packed(go "old(), a"))
    go "local a = 1 local a = 2"
    assert.equal(2, go "a")
    go "local a, a = 3, 4"
    assert.equal(4, go "a")
    go "local a"
    assert.same(packed(nil), packed(go "a"))
  end)

  it("refuses to assign to constants", function()
    go "local five <const>, list <const> = 5, {}"
    go "local ten <const> = 10 local twenty <const> = ten * 2"
    assert.same(packed(5, 10, 20), packed(go "five, ten, twenty"))
    for _, name in ipairs { "five", "list", "ten", "twenty" } do
      local chunk, what, message = session:compile(name .. " = 1")
      assert.is_nil(chunk)
      assert.equal("error", what)
      assert.matches("^repl:%d+:1: attempt to assign to const variable '" .. name, message)
    end
    go "local five = 6 five = 7"
    assert.equal(7, go "five")
  end)

  it("closes it in the line that was typed", function()
    local text = "local x <close> = setmetatable({}, { __close = function() error 'no' end })"
    local ok, failure, traceback = session:compile(text):run()
    assert.same({ false, "repl:1:1: no" }, { ok, failure })
    assert.equal("\trepl:1:1: in main chunk", traceback:match "[^\n]*$")
    assert.equal(1, go "1 -- one")
  end)

  it("closes what is to be closed when its line ends", function()
    go "g = {}"
    local chunk = session:compile [[
      local one <close> = setmetatable({ 1 }, { __close = function() g[#g + 1] = "one" end })
      local two <close> = setmetatable({ 2 }, { __close = function() g[#g + 1] = "two" end })
      g[#g + 1] = "open"]]
    assert.same({ "one", "two" }, chunk.closed)
    assert.is_true(chunk:run())
    assert.same({ "open", "two", "one" }, go "g")
    assert.equal(1, go "one[1]")
    assert.is_nil((session:compile "one = nil"))
    assert.same({ "open", "two", "one" }, go "g")
  end)

  it("leaves nothing of blocks behind", function()
    go "do local x = 1 end for i = 1, 2 do local x = i end while false do local x = 1 end"
    go "if true then local x = 1 end repeat local x = 1 until x == 1 goto out ::out::"
    go "function g() local x = 1 end local f = function() local x = 2 return x end"
    go "local t = { function() local x end, (function() local x = 3 return x end)() }"
    assert.same(packed(nil, nil), packed(go "x, i"))
    assert.same(packed(2, 3), packed(go "f(), t[2]"))
  end)

  it("keeps all locals of an input, wherever the next statement begins", function()
    go "local a = 1 local b = a + 1; local c = b+1;;local d = c + 1 g = d"
    assert.same({ 1, 2, 3, 4 }, { go "a, b, c, d" })
    go "local e = g or\n 5 and 6 local h, i <const>, j\nlocal k <const> = -1 g = function() end"
    assert.same({ 4, nil, nil, nil, -1 }, { go "e, h, i, j, k" })
    go "local l = tostring 'l' local m = type { function() local no end } m = m .. l"
    assert.same({ "l", "tablel" }, { go "l, m" })
    go "local n = ('x'):rep(2) .. [[\n]] --[==[ local no ]] ]==] n = n .. '\\'' -- local no"
    assert.equal("xx'", go "n")
    go "local o = 0xE+1 local p = 1e+2 local q = 0x.8p-1 local r = 3 ..'' local s = .5"
    assert.same({ 15, 100.0, 0.25, "3", 0.5 }, { go "o, p, q, r, s" })
    go "local t = #'abc' // 2 ~= 1 local u = t and not t local v = ... or {} goto l ::l:: v.x = u"
    assert.same({ false, false, false }, { go "t, u, v.x" })
    go "local w = function(...) return ... end ::top:: local x = w(1) if not w then goto top end"
    assert.equal(1, go "x")
    go "local y = 'a\\z   \n  b' local z = 'c\\\\' print = print"
    assert.same({ "ab", "c\\" }, { go "y, z" })
    assert.is_nil(go "no")
  end)

  it("keeps locals in front of a return and of a label at the end", function()
    assert.equal(5, go "local a = 5 return a")
    go "local b = 0 goto done local c = 1 ::done::"
    go "local d = 6 if d then goto done end d = 7 ::done::"
    assert.same({ 5, 0, 6 }, { go "a, b, d" })
    go "local n = 0 ::top:: local m = n n = n + 1 if n < 3 then goto top end"
    assert.same({ 3, 2 }, { go "n, m" })
  end)

  it("keeps what an input that fails has declared", function()
    local text = "local a = 1\nfunction get() return a end\na = 2 error 'x'\nlocal b = 3"
    assert.is_false(pcall(go, text))
    assert.same(packed(2, nil), packed(go "a, b"))
    go "a = 5"
    assert.equal(5, go "get()")
    assert.is_false(pcall(go, "local a = nil + 1"))
    assert.equal(5, go "a")
  end)

  it("changes nothing for what is refused", function()
    go "local a = 1"
    for _, text in ipairs { "a = 2 a = = 3", "local a = 5 local b = )", "end a = 3 do",
      "goto nowhere", "a = 2 end, function() a = 3", "x = 1 end)() (function()", "\27Lua" } do
      local chunk, what, message = session:compile(text)
      assert.is_nil(chunk, text)
      assert.equal("error", what)
      assert.matches("^repl:%d+", message:gsub("^attempt to load", "repl:1: %0"))
    end
    assert.same(packed(1, nil), packed(go "a, b"))
  end)

  it("tells what more text may complete", function()
    for _, text in ipairs { "for", "f(", "1 +", "x = ", "function f()", "if x then", "[[", "--[[",
      "{", "local x = {", "x = [==[ ]]", "'a\\", "f(1,\n2,", "= 1 +", "repeat until", "a." } do
      local chunk, what, message = session:compile(text)
      assert.is_nil(chunk, text)
      assert.equal("incomplete", what, text)
      assert.matches("^repl:1:%d+: .* near <eof>$", message)
    end
    assert.equal("=repl:1", session:compile("g = 1").name)
  end)

  it("complains about the statement or the expression that was meant", function()
    local cases = {
      ["1 + * 2"] = "unexpected symbol near '*'",
      ["'a' b"] = "<eof> expected near 'b'",
      ["#t )"] = "<eof> expected near ')'",
      ["not )"] = "unexpected symbol near ')'",
      ["= x y"] = "<eof> expected near 'y'",
      ["foo bar"] = "syntax error near 'bar'",
      ["if x the"] = "'then' expected near 'the'",
      ["x = 'a"] = "unfinished string near ''a'",
      ["f(x))"] = "unexpected symbol near ')'",
      ["local function 5"] = "<name> expected near '5'",
      ["goto a"] = "no visible label 'a' for <goto> at line 1",
    }
    for text, message in pairs(cases) do
      local _, what, complaint = session:compile(text)
      assert.equal("error", what)
      assert.equal(message, complaint:match "^repl:%d+:1: (.*)$")
    end
  end)

  it("counts inputs, and names lines as they were typed", function()
    go "local a = 1"
    local chunk = session:compile "a = 2\n\nlocal b = a\nerror 'here'"
    assert.equal("=repl:2", chunk.name)
    local ok, failure = chunk:run()
    assert.is_false(ok)
    assert.equal("repl:2:4: here", failure)
    local _, _, message = session:compile "a = 1\nb = = 2"
    assert.equal("repl:3:2: unexpected symbol near '='", message)
    assert.equal("=repl:4", session:compile("a").name)
  end)

  it("takes files, too", function()
    local chunk = session:compile("local n = ...\nfunction g() error(n) end", "@job.lua")
    assert.is_true(chunk:run(5))
    assert.equal(5, go "n")
    go "n = 'why'"
    local ok, failure, traceback = session:compile("g()"):run()
    assert.is_false(ok)
    assert.equal("job.lua:2: why", failure)
    assert.equal("stack traceback:\n\tjob.lua:2: in function 'g'\n\trepl:3:1: in main chunk",
      traceback)
  end)

  it("shows the user's frames of an error", function()
    local ok, failure, traceback = session:compile("error { 1 }"):run()
    assert.same({ false, { 1 } }, { ok, failure })
    assert.is_nil(traceback)
    go "local function inner(x)\n  return x.y.z\nend"
    go "function g(x)\n  local r = inner(x)\n  return r\nend"
    ok, failure, traceback = session:compile("local r = pcall(g) or g {}"):run()
    assert.is_false(ok)
    assert.equal("repl:2:2: attempt to index a nil value (field 'y')", failure)
    assert.equal("stack traceback:\n\trepl:2:2: in upvalue 'inner'\n" ..
      "\trepl:3:2: in function 'g'\n\trepl:4:1: in main chunk", traceback)
    ok, failure, traceback = session:compile("string.rep()"):run()
    assert.is_false(ok)
    assert.matches("^repl:5:1: bad argument #1 to 'rep'", failure)
    assert.equal("stack traceback:\n\t[C]: in function 'string.rep'\n\trepl:5:1: in main chunk",
      traceback)
  end)

  it("does not take the last value for the name of a function", function()
    go "local function inner() local x = nil + 1 end"
    go "inner"
    local _, _, traceback = session:compile("inner()"):run()
    assert.equal("stack traceback:\n\trepl:1:1: in upvalue 'inner'\n\trepl:3:1: in main chunk",
      traceback)
    assert.equal("function", type(_G._))
  end)

  it("shows no frames of lambdapool", function()
    go "h = require 'lambdapool'"
    local ok, failure, traceback = session:compile("h.pool { workers = 'x' }"):run()
    assert.is_false(ok)
    assert.matches("^repl:2:1: ", failure)
    assert.is_nil(traceback)
    go "function g() local r = h.load 'x' return r end"
    ok, failure, traceback = session:compile("g()"):run()
    assert.is_false(ok)
    assert.matches("^repl:3:1: cannot load", failure)
    assert.matches("\n\trepl:3:1: in function 'g'\n\trepl:4:1: in main chunk$", traceback)
  end)

  it("survives runaway recursion, no memory and errors that are nothing", function()
    go "function g(n) return 1 + g(n) end"
    local ok, failure, traceback = session:compile("g(1)"):run()
    assert.is_false(ok)
    assert.matches("^repl:1:1: stack overflow", failure)
    assert.is_true(#traceback < 2000)
    ok, failure = session:compile("error()"):run()
    assert.same({ false, nil }, { ok, failure })
    ok, failure = session:compile("('x'):rep(1 << 62)"):run()
    assert.is_false(ok)
    assert.matches("too large", failure)
    ok = session:compile("local t = setmetatable({}, { __close = 1 }) local u <close> = 1"):run()
    assert.is_false(ok)
    assert.equal("table", type((go "t")))
  end)

  it("does not mind what happens to globals", function()
    local saved = {}
    for name, value in pairs(_G) do
      saved[name] = value
    end
    local function session_goes_on()
      go "for name in next, _G do if name ~= '_G' then _G[name] = nil end end"
      go "_G = nil local a = 5"
      return go "a", session:compile("error"):run()
    end
    local ok, a, fine = pcall(session_goes_on)
    for name, value in saved.next, saved do
      saved.rawset(saved._G, name, value)
    end
    assert.same({ true, 5, true }, { ok, a, fine })
  end)

  it("does not mind what becomes of the methods of strings", function()
    local class = getmetatable ""
    class.__index = string.sub
    local ok, sum = pcall(go, "local one = 1 return one + 1")
    local ran, failure = pcall(go, "error 'why'")
    class.__index = string
    assert.same({ true, 2, false, "repl:2:1: why" }, { ok, sum, ran, failure })
  end)

  it("has room for hundreds of locals", function()
    for first = 1, 401, 200 do
      local lines = {}
      for i = first, first + 199 do
        lines[#lines + 1] = ("local v%d = %d"):format(i, i)
      end
      go(table.concat(lines, "\n"))
    end
    assert.same({ 1, 200, 201, 600 }, { go "v1, v200, v201, v600" })
    local names = {}
    for i = 1, 240 do
      names[i] = "v" .. i
    end
    assert.equal(240 * 241 // 2, go(table.concat(names, " + ")))
    go(table.concat(names, ", ", 101, 240) .. " = 0")
    assert.equal(0, go "v101")
    names[241] = "= 0"
    assert.equal("error", select(2, session:compile(table.concat(names, ", "))))
    names = {}
    for i = 1, 200 do
      names[i] = "w" .. i
    end
    go("local " .. table.concat(names, ", ") .. " = 1, 2")
    assert.same(packed(1, 2, nil), packed(go "w1, w2, w200"))
  end)

  it("takes names that look like its own", function()
    go "local _keep, __keep = 1, 2"
    go "local function f() return _keep, __keep end"
    assert.same({ 1, 2, 1, 2 }, { go "_keep, __keep, f()" }, nil)
    go "_keep = 3"
    assert.equal(3, go "(f())")
  end)

  it("takes a local _ENV for its environment", function()
    go "local five = 5"
    go "local _ENV = { print = print, x = 1 }"
    go "x = x + five"
    assert.same(packed(6, 6, nil), packed(go "x, _ENV.x, tostring"))
    assert.is_nil(rawget(_G, "x"))
    session:clear()
    assert.equal(tostring, go "tostring")
  end)

  it("tells its locals", function()
    go "local a, b = 1, nil"
    go "local function c() end"
    local seen = {}
    for name, value in session:values() do
      seen[#seen + 1] = name .. "=" .. type(value)
    end
    table.sort(seen)
    assert.same({ "a=number", "b=nil", "c=function" }, seen)
    assert.same({ 1, true }, { session:get "a" })
    assert.same(packed(nil, true), packed(session:get "b"))
    assert.same(packed(nil, false), packed(session:get "nothing"))
    assert.same({ print, true }, { session:get "print" })
    go "local print = 5"
    assert.same({ 5, true }, { session:get "print" })
    assert.equal("c", session:name_of(go "c"))
    assert.is_nil(session:name_of(go "{}"))
    session:clear()
    assert.same(packed(nil, false), packed(session:get "a"))
  end)

  it("makes functions that travel", function()
    go "local n, list = 2, { 1 }"
    go "local function twice(x) return x * n end"
    go "function g(x) list[#list + 1] = twice(x) return list end"
    go "function h(x) return g(x) end"
    assert.same({ 1, 10 }, copy(go "h")(5))
    go "n = 3"
    assert.same({ 1, 15 }, copy(go "h")(5))
    go "function g(x) return 'new ' .. x end"
    assert.equal("new 5", copy(go "h")(5))
    assert.equal(7, copy(go "function() return 7 end")())
    local get, set = table.unpack(copy(go "{ function() return n end, function(v) n = v end }"))
    set(9)
    assert.equal(9, get())
    assert.equal(3, go "n")
  end)

  it("makes recursive, mutual and constant functions that travel", function()
    go "local function fact(k) return k < 2 and 1 or k * fact(k - 1) end"
    assert.equal(120, copy(go "fact")(5))
    go "local even, odd"
    go "function even(k) return k == 0 or odd(k - 1) end"
    go "function odd(k) return k > 0 and even(k - 1) end"
    assert.same({ true, false }, { copy(go "even")(10), copy(go "odd")(10) })
    go "local big <const>, name <const> = 1 << 40, 'constant'"
    go "local function f() return big, name end"
    assert.same({ 1 << 40, "constant" }, { copy(go "f")() })
    assert.is_false(pcall(go, "local late = 4 function g() return late end error 'x'"))
    assert.equal(4, copy(go "g")())
  end)

  it("makes functions of long inputs travel", function()
    local filler = ("-- a line that says nothing at all about anything\n"):rep(100)
    go("local a = 1\n" .. filler .. "function g(x)\n  return a + x\nend\nlocal b = 2")
    go "a = 5"
    local f = copy(go "g")
    assert.equal(6, f(1))
    local ok, message = pcall(f)
    assert.is_false(ok)
    assert.matches("^repl:1:103: attempt to perform arithmetic on a nil value %(local 'x'", message)
  end)
end)
