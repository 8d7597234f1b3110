local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local round_trip, copy, refusal = support.round_trip, support.copy, support.refusal

-- Captured here: specs run with the assert of busted as the global.
local lua_assert = function(ok, ...)
  if not ok then
    error((...), 2)
  end
  return ok, ...
end

describe("the codec sends functions that", function()
  teardown(support.remove_files)

  it("stand on one line", function()
    -- luacheck: push ignore
    local a, b, c = function() return 1 end, function() return 2 end, function() return 1 end
    local outer = function() return function() return function() return "in" end end end
    -- luacheck: pop
    assert.same({ 1, 2, 1 }, { copy(a)(), copy(b)(), copy(c)() })
    assert.equal("in", copy(outer)()()())
    assert.equal("in", copy(outer())()())
    assert.equal("in", copy(outer()())())
  end)

  it("look the same but differ in what they capture", function()
    local x, y = "x", "y"
    local function pair()
      local z = y
      -- luacheck: push ignore
      return function() return x end, function() return z end, function() local x = z return x end
      -- luacheck: pop
    end
    local a, b, c = pair()
    assert.same({ "x", "y", "y" }, { copy(a)(), copy(b)(), copy(c)() })
  end)

  it("take parameters, varargs and return many values", function()
    local sum = function(...)
      local total = 0
      for i = 1, select("#", ...) do
        total = total + (select(i, ...) or 0)
      end
      return total, select("#", ...), ...
    end
    assert.same({ 4, 3, 1, nil, 3, n = 5 }, table.pack(copy(sum)(1, nil, 3)))
    local named = function(a, b, ...) return b, a, ... end
    assert.same({ 2, 1, 3, n = 3 }, table.pack(copy(named)(1, 2, 3)))
  end)

  it("are methods, with dots and colons", function()
    local account = { deep = { deeper = {} } }
    function account:deposit(n) self.balance = (self.balance or 0) + n return self end
    function account.deep.deeper:get() return self, account end
    function account.deep.plain(a) return a end
    local loaded = round_trip(account)
    assert.equal(5, loaded:deposit(5).balance)
    local self, back = loaded.deep.deeper:get()
    assert.equal(loaded.deep.deeper, self)
    assert.equal(loaded, back)
    assert.equal(7, loaded.deep.plain(7))
    assert.is_nil(account.balance)
  end)

  it("use compile-time constants", function()
    local N <const>, text <const>, yes <const>, none <const> = 10, "ten", true, nil
    local a <const>, b <const> = 1, 2
    local computed <const> = N * 3
    local function f()
      return N, text, yes, none, a, b, computed, function() return N + a + b end
    end
    local values = table.pack(copy(f)())
    assert.same({ 10, "ten", true, nil, 1, 2, 30 }, { table.unpack(values, 1, 7) })
    assert.equal(13, values[8]())
    assert.equal(13, copy(select(8, f()))())
  end)

  it("close what they open, once", function()
    local log = {}
    local function f()
      local a <close> = setmetatable({}, { __close = function() log[#log + 1] = "a" end })
      do
        local b <close> = setmetatable({}, { __close = function() log[#log + 1] = "b" end })
        log[#log + 1] = a ~= b
      end
      return log
    end
    assert.same({ true, "b", "a" }, copy(f)())
    assert.same({}, log)
  end)

  it("capture a variable to be closed", function()
    local result
    do
      local resource <close> = setmetatable({ "open" }, { __close = function() end })
      local f = function() return resource[1] end
      result = copy(f)()
    end
    assert.equal("open", result)
  end)

  it("jump", function()
    local function f(n)
      local i, found = 0, {}
      ::again::
      i = i + 1
      if i % 2 == 0 then goto continue end
      found[#found + 1] = i
      ::continue::
      if i < n then goto again end
      while n do
        while n do
          if n then goto out end
        end
      end
      ::out::
      repeat local done = true until done
      return found
    end
    assert.same({ 1, 3, 5 }, copy(f)(5))
  end)

  it("call themselves", function()
    local function factorial(n) return n < 2 and 1 or n * factorial(n - 1) end
    assert.equal(120, copy(factorial)(5))
    local fib
    fib = function(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
    local loaded = round_trip(fib)
    assert.equal(55, loaded(10))
    local _, inner = debug.getupvalue(loaded, 1)
    assert.equal(loaded, inner)
  end)

  it("call each other", function()
    local is_even, is_odd
    function is_even(n) return n == 0 or is_odd(n - 1) end
    function is_odd(n) return n ~= 0 and is_even(n - 1) end
    assert.is_true(copy(is_even)(100))
    assert.is_true(copy(is_odd)(101))
    local loaded = round_trip { is_even, is_odd }
    local _, odd = debug.getupvalue(loaded[1], 1)
    assert.equal(loaded[2], odd)
  end)

  it("share variables", function()
    local function counter()
      local n = 0
      return { up = function() n = n + 1 return n end, get = function() return n end,
        deep = function() return function() n = n + 10 return n end end }
    end
    local original = counter()
    original.up()
    local loaded = round_trip(original)
    assert.equal(2, loaded.up())
    assert.equal(2, loaded.get())
    assert.equal(12, loaded.deep()())
    assert.equal(12, loaded.get())
    assert.equal(1, original.get())
    assert.equal(debug.upvalueid(loaded.up, 1), debug.upvalueid(loaded.get, 1))
  end)

  it("share a variable with themselves twice", function()
    local n = 1
    local function make() return function() n = n + 1 return n end end
    local list = { make(), make(), function() return n, make end }
    list = round_trip(list)
    assert.equal(2, list[1]())
    assert.equal(3, list[2]())
    local value, maker = list[3]()
    assert.equal(3, value)
    assert.equal(4, maker()())
  end)

  it("have equal values in variables of their own", function()
    local list = {}
    for i = 1, 3 do
      list[i] = function() i = i + 1 return i end
    end
    list[4] = list[1]
    local loaded = round_trip(list)
    assert.equal(2, loaded[1]())
    assert.equal(3, loaded[1]())
    assert.equal(3, loaded[2]())
    assert.equal(4, loaded[4]())
    assert.equal(loaded[1], loaded[4])
  end)

  it("capture loop variables of all loops", function()
    local list = {}
    for i = 1, 3 do list[#list + 1] = function() return i end end
    for key, value in pairs { k = "v" } do
      list[#list + 1] = function() return key .. value end
    end
    local n = 0
    while n < 2 do
      n = n + 1
      local m = n
      list[#list + 1] = function() return m, n end
    end
    repeat
      local r = n
      list[#list + 1] = function() return r end
    until r == 2
    local results = {}
    for i, f in ipairs(round_trip(list)) do
      results[i] = f()
    end
    assert.same({ 1, 2, 3, "kv", 1, 2, 2 }, results)
  end)

  it("capture nil, false and themselves in tables", function()
    local nothing, no, self = nil, false, {}
    self.f = function() return nothing, no, self end
    local loaded = round_trip(self)
    local values = table.pack(loaded.f())
    assert.is_nil(values[1])
    assert.is_false(values[2])
    assert.equal(loaded, values[3])
  end)

  it("take no global table for a nil upvalue", function()
    -- lua_load gives the first upvalue of a chunk the globals
    local nothing = nil
    local f = function() return nothing end
    assert.is_nil(copy(f)())
    local g = function()
      nothing = 1
      return nothing
    end
    assert.equal(1, copy(g)())
    assert.is_nil(nothing)
  end)

  it("have 255 upvalues", function()
    local lines = {}
    for i = 1, 128 do
      lines[#lines + 1] = ("local a%d = %d"):format(i, i)
    end
    lines[#lines + 1] = "return (function()"
    for i = 1, 127 do
      lines[#lines + 1] = ("local b%d = %d"):format(i, i * 1000)
    end
    lines[#lines + 1] = "return function() local sum = 0"
    for i = 1, 128 do
      lines[#lines + 1] = ("sum = sum + a%d"):format(i)
    end
    for i = 1, 127 do
      lines[#lines + 1] = ("sum = sum + b%d"):format(i)
    end
    lines[#lines + 1] = "return sum end end)()"
    local f = lua_assert(load(table.concat(lines, "\n")))()
    assert.equal("b127", (debug.getupvalue(f, 255)))
    assert.equal(f(), copy(f)())
  end)

  it("have 200 locals", function()
    local lines = { "return function()" }
    for i = 1, 200 do
      lines[#lines + 1] = ("local v%d = %d"):format(i, i)
    end
    lines[#lines + 1] = "return function() return v1 + v200 end end"
    local f = lua_assert(load(table.concat(lines, " ")))()
    assert.equal(201, copy(f)()())
    assert.equal(201, copy(f())())
  end)

  it("have thousands of constants", function()
    local lines = { "return function(k) local t = {}" }
    for i = 1, 5000 do
      lines[#lines + 1] = ("t.key%d = 'value %d' t[%d] = %d.5"):format(i, i, i, i)
    end
    lines[#lines + 1] = "return t[k] end"
    local f = lua_assert(load(table.concat(lines, "\n"), "=constants"))()
    assert.equal("value 4999", copy(f)("key4999"))
    assert.equal(4999.5, copy(f)(4999))
  end)

  it("nest as deep as Lua lets them", function()
    local text = ("return function() "):rep(60) .. "return 'deep'" .. (" end"):rep(60)
    local f = lua_assert(load(text))
    for _ = 1, 60 do
      f = f()
    end
    assert.equal("deep", copy(f)())
  end)

  it("hold code in strings and comments", function()
    local f = function()
      local text = [[function() return "end" end]]
      local level = [==[ ]] function f(x) return end ]==] -- end function()
      --[[ function() end
      end ]]
      return text .. level, "end", 'function', "\z
        end", "\
end"
    end
    assert.same({ f() }, { copy(f)() })
  end)

  it("are main chunks, with arguments", function()
    local main = load "local a, b = ... return b, a, ..."
    assert.same({ 2, 1, 1, 2 }, { copy(main)(1, 2) })
    local empty = load ""
    assert.equal(0, select("#", copy(empty)()))
  end)

  it("come from load without a chunk name", function()
    local f = load "local n = 3 return function() return n end"()
    assert.equal(3, copy(f)())
    f = load "\n\nreturn function() return debug.getinfo(1, 'l').currentline end"()
    assert.equal(3, copy(f)())
  end)

  it("come from load with a chunk name of any kind", function()
    for _, name in ipairs { "=name", "@name", "name", "=", "@", "", "=[C]", "=?", "=stdin", "@x\0y",
      "=x\0y", ("="):rep(100), "@" .. ("long/"):rep(1000), "\27", "\n", "=(load)", "return 1" } do
      local f = load("return function(x) return x, 'named' end", name)()
      assert.equal("named", select(2, copy(f)(1)), name)
      assert.equal(debug.getinfo(f, "S").source, debug.getinfo(copy(f), "S").source)
    end
  end)

  it("come from load with one name and many texts", function()
    local list = {}
    for i = 1, 50 do
      list[i] = load(("return function() return %d end"):format(i), "=same")()
    end
    for i = 1, 50 do
      assert.equal(i, copy(list[i])())
    end
  end)

  it("come from load with a reader function", function()
    local pieces = { "return func", "tion() retu", "rn ", "'pieces'", " end", "" }
    local i = 0
    local function reader()
      i = i + 1
      return pieces[i]
    end
    local f = lua_assert(load(reader))()
    assert.equal("pieces", copy(f)())
    i = 0
    f = lua_assert(load(reader, "@named.lua", "t", {}))()
    assert.equal("pieces", copy(f)())
    assert.equal("@named.lua", debug.getinfo(copy(f), "S").source)
    i = 0
    f = lua_assert(load(reader, nil, nil, {}))
    assert.equal("=(load)", debug.getinfo(f, "S").source)
    assert.equal("pieces", f()())
  end)

  it("have a chunk name that is a valid file, but of other code", function()
    local decoy = support.file "return function() return 'decoy' end"
    local f = load("return function() return 'real' end", "@" .. decoy)()
    assert.equal("real", copy(f)())
    local g = load("return function() return 'decoy' end", "=" .. decoy)()
    assert.equal("decoy", copy(g)())
  end)

  it("have a chunk name that is valid code, but not theirs", function()
    local f = load("return function() return 'real' end", "return function() return 'decoy' end")()
    assert.equal("real", copy(f)())
  end)

  it("come from text with a NUL in it", function()
    local f = load "return function() return 'a\0b', [[\0]], #'\0\0' end"()
    assert.same({ "a\0b", "\0", 2 }, { copy(f)() })
    local g = load("--[[\0]] return function() return 1 end --\0")()
    assert.equal(1, copy(g)())
  end)

  it("come from files with every kind of line end", function()
    for _, eol in ipairs { "\n", "\r\n", "\r", "\n\r" } do
      local text = table.concat({ "local x = 1", "", "local function f()", "  return x,",
        "    [[a", "b]]", "end", "return f" }, eol)
      local name = support.file(text)
      local f = dofile(name)
      assert.same({ f() }, { copy(f)() })
      assert.equal("a\nb", select(2, copy(f)()))
      assert.equal(3, debug.getinfo(copy(f), "S").linedefined)
      os.remove(name)
      assert.same({ f() }, { copy(f)() })
    end
  end)

  it("come from files with a BOM, a shebang, both, and no last newline", function()
    for _, head in ipairs { "", "\xEF\xBB\xBF", "#!/usr/bin/lua\n", "\xEF\xBB\xBF#!/usr/bin/lua\n",
      "# comment\r\n", "#\n" } do
      for _, tail in ipairs { "", "\n", "\n\n", " -- end", "\r" } do
        local name = support.file(head .. "return function() return 'body' end" .. tail)
        for _, f in ipairs { dofile(name), lua_assert(loadfile(name))() } do
          assert.equal("body", copy(f)())
          assert.equal(head:find "\n" and 2 or 1, debug.getinfo(copy(f), "S").linedefined)
        end
      end
    end
    local only = support.file "#!shebang"
    assert.equal(0, select("#", copy(lua_assert(loadfile(only)))()))
  end)

  it("come from a file that changed since", function()
    local name = support.file "return function() return 'old' end"
    local by_dofile = dofile(name)
    local by_loadfile = loadfile(name)()
    local main = loadfile(name)
    support.write_file(name, "return function() return 'new' end") -- the same size
    for _, f in ipairs { by_dofile, by_loadfile, main() } do
      assert.equal("old", copy(f)())
    end
    assert.equal("new", copy(dofile(name))())
    assert.equal("old", copy(by_dofile)())
    os.remove(name)
    assert.equal("old", copy(by_dofile)())
    assert.equal("old", copy(main)()())
  end)

  it("come from a required file that changed since", function()
    local name = support.temporary_name ".lua"
    support.write_file(name, "return { f = function() return 'old' end, x = {} }")
    local path, module = package.path, name:match "([^/]+)%.lua$"
    package.path = name:match "^.*/" .. "?.lua;" .. path
    local f = require(module).f
    package.loaded[module] = nil
    support.write_file(name, "return { f = function() return 'new' end, x = {} }")
    assert.equal("old", copy(f)())
    assert.equal("new", require(module).f())
    package.loaded[module] = nil
    os.remove(name)
    assert.equal("old", copy(f)())
    package.path = path
  end)

  it("were compiled before, but have their text still on disk", function()
    local name = support.file "local x = 5\nreturn function() return x end\n"
    -- a binary chunk with debug information says which file it came from
    local f = load(string.dump(loadfile(name)), "=ignored", "b")()
    assert.equal(5, copy(f)())
  end)

  it("are loaded copies of copies", function()
    local n = 3
    local f = function() n = n + 1 return n end
    local once = copy(f)
    local twice = copy(once)
    local thrice = copy(twice)
    assert.equal(4, thrice())
    assert.equal(4, once())
    assert.equal(3, n)
  end)

  it("came from another process, which has no files of theirs", function()
    local name = support.file([[
      local secret <const> = 42
      local shared = { 1 }
      local function helper(x) return x * secret end
      return { main = function(x) shared[1] = shared[1] + 1 return helper(x), shared[1] end,
        count = function() return shared[1] end, line = function() error "here" end }
    ]])
    local functions = dofile(name)
    os.remove(name)
    local output = support.elsewhere(functions, [[
      print(value.main(2))
      local again = codec.load(codec.dump(value))
      print(again.main(3))
      print(again.count(), value.count())
      local third = codec.load(codec.dump(again))
      print(third.main(4), third.count())
      print(select(2, pcall(third.line)))
    ]])
    assert.equal(("84\t2\n126\t3\n3\t2\n168\t4\n%s:5: here\n"):format(name), output)
  end)

  it("tell the user's own file and line in errors and tracebacks", function()
    local name = support.file [[


      local function inner()
        error "deep"
      end
      return function()
        inner()
      end
    ]]
    local f = copy(dofile(name))
    local ok, trace = xpcall(f, debug.traceback)
    assert.is_false(ok)
    assert.matches(name .. ":4: deep", trace, 1, true)
    assert.matches(name .. ":7: in", trace, 1, true)
  end)

  it("share one text", function()
    local lines = {}
    for i = 1, 1000 do
      lines[i] = ("f[%d] = function() return %d end"):format(i, i)
    end
    local f = {}
    load("local f = ... " .. table.concat(lines, "\n"), "=many")(f)
    local bytes = codec.dump(f)
    assert.is_true(#bytes < 120 * 1000)
    assert.equal(777, codec.load(bytes)[777]())
  end)

  it("are a thousand closures of one code, carried once", function()
    local function make(i)
      return function() return i + 1000000 end
    end
    local one, thousand = { make(1) }, {}
    for i = 1, 1000 do
      thousand[i] = make(i)
    end
    local size = #codec.dump(thousand) - #codec.dump(one)
    assert.is_true(size < 20 * 1000, size)
    local loaded = round_trip(thousand)
    assert.equal(1000500, loaded[500]())
  end)

  it("are built by string.dump, kept whole", function()
    local f = load(string.dump(function(x) return x + 1 end))
    assert.equal(3, copy(f)(2))
    local binary = load(function() return nil end)
    assert.is_function(binary)
  end)

  it("use integer division, bits, comparisons and every operator", function()
    local f = function(a, b, t)
      t[1], t["x"], t[a] = a // b, a % b, a ^ b
      return a & b | a ~ b, ~a << 1 >> 1, a .. b, #t, not a, -a, a == b, a ~= b, a < b, a <= b,
        a > 3, a >= 3, 3 < b, a == 7, a == "x", t.x, a + 1, a - 1, 2 * b, a / 2, a // 2, a % 3
    end
    assert.same({ f(7, 3, {}) }, { copy(f)(7, 3, {}) })
  end)
end)

describe("load", function()
  it("loads as before", function()
    assert.same({ nil, "[string \"x x\"]:1: syntax error near 'x'" }, { load "x x" })
    assert.equal(1, load("return ...")(1))
    assert.equal(2, load("return x", "=x", "t", { x = 2 })())
    assert.equal("=(load)", debug.getinfo(load(function() end), "S").source)
    local ok, message = load(string.dump(function() end), "=b", "t")
    assert.is_nil(ok)
    assert.matches("binary", message)
    assert.same({ nil, "attempt to load a text chunk (mode is 'b')" }, { load("x", "=x", "b") })
    local f, problem = load(function() error "broken" end)
    assert.is_nil(f)
    assert.matches("broken", problem)
    assert.is_nil((load(function() return {} end)))
    assert.has_error(function() load() end)
    assert.has_error(function() load {} end)
    assert.is_nil(load("return x", "=x", "t", nil) and nil)
    assert.has_error(load("return x", "=x", "t", nil))
  end)

  it("keeps no text that the function itself knows", function()
    collectgarbage()
    local before = collectgarbage "count"
    for i = 1, 100000 do
      load("return " .. i)
    end
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 4 * 1024)
  end)

  it("keeps the last texts, not all", function()
    local padding = (" "):rep(1 << 20)
    local first = load("return function() return 1 end" .. padding, "=last")()
    local last
    for i = 2, 100 do
      last = load("return function() return " .. i .. " end" .. padding, "=last")()
    end
    assert.equal(100, copy(last)())
    assert.matches("^cannot send function last:1", refusal(first))
    collectgarbage()
    assert.is_true(collectgarbage "count" < 100 * 1024)
  end)
end)

describe("dofile and loadfile", function()
  teardown(support.remove_files)

  it("load as before", function()
    local name = support.file "return x, ..."
    assert.same({ 3, 4 }, { loadfile(name, "t", { x = 3 })(4) })
    assert.is_nil((loadfile "/no/such/file"))
    assert.matches("cannot open /no/such/file", select(2, loadfile "/no/such/file"))
    assert.has_error(function() dofile "/no/such/file" end)
    local broken = support.file "return +"
    local f, message = loadfile(broken)
    assert.is_nil(f)
    assert.matches(broken .. ":1:", message, 1, true)
    local binary = support.file(string.dump(load "return 'binary'"))
    assert.equal("binary", dofile(binary))
    assert.is_nil((loadfile(binary, "t")))
    local shebang = support.file("#!x\n" .. string.dump(load "return 'binary'"))
    assert.equal("binary", dofile(shebang))
    assert.is_nil((loadfile "/"))
  end)

  it("let dofile yield", function()
    local name = support.file "return coroutine.yield(1) + 1"
    local resume = coroutine.wrap(function() return dofile(name) end)
    assert.equal(1, resume())
    assert.equal(6, resume(5))
  end)
end)

describe("dump refuses", function()
  teardown(support.remove_files)

  it("stripped functions", function()
    local f = load(string.dump(function(x) return x end, true))
    assert.matches("^cannot send function .*stripped", refusal(f))
  end)

  it("functions whose file has changed before it was ever read", function()
    local name = support.file "return function() return 'old' end"
    local binary = string.dump(loadfile(name)):gsub(name, function(n)
      return (n:gsub("^.", "/"))
    end)
    -- under a name that nothing was loaded from: only the disk could tell
    local other = support.temporary_name()
    assert.equal(#name, #other)
    binary = binary:gsub(name, (other:gsub("%%", "%%%%")))
    support.write_file(other, "return function() return 'new' end")
    local f = load(binary, "=b", "b")()
    assert.matches("has changed on disk", refusal(f))
    os.remove(other)
    f = load(binary, "=b", "b")()
    assert.matches("no source text", refusal(f))
  end)

  it("to read a fifo or a device to find source", function()
    local fifo = support.temporary_name ".fifo"
    assert.is_true(os.execute("mkfifo " .. fifo))
    for _, name in ipairs { fifo, "/dev/zero", "/dev/stdin", "/usr/bin" } do
      local chunk = load("return function() return 1 end", "@" .. ("x"):rep(#name))
      local binary = string.dump(chunk):gsub(("x"):rep(#name), (name:gsub("%%", "%%%%")))
      local f = load(binary, "=b", "b")()
      assert.matches("^cannot send function", refusal(f))
    end
  end)
end)
