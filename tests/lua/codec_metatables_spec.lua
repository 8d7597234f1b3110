local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local dump, load = codec.dump, codec.load
local round_trip, refusal = support.round_trip, support.refusal

--- A metatable whose metamethods all raise: dump must call none.
local function trap(extra)
  local meta = {}
  for _, event in ipairs { "__index", "__newindex", "__pairs", "__len", "__eq", "__lt", "__le",
    "__call", "__tostring", "__concat", "__unm", "__add", "__band", "__idiv", "__close" } do
    meta[event] = function() error("called " .. event) end
  end
  meta.__name = "Trap"
  for key, value in pairs(extra or {}) do
    meta[key] = value
  end
  return meta
end

local function full_collect()
  collectgarbage()
  collectgarbage()
  collectgarbage()
end

describe("metatables", function()
  teardown(support.remove_files)

  it("travel with their tables, shared", function()
    local meta = { __index = function(_, key) return key .. "!" end }
    local loaded = round_trip { setmetatable({}, meta), setmetatable({ 1 }, meta) }
    assert.equal(getmetatable(loaded[1]), getmetatable(loaded[2]))
    assert.equal("x!", loaded[1].x)
    assert.equal(1, loaded[2][1])
    assert.is_true(getmetatable(loaded[1]) ~= meta)
  end)

  it("never run while dumping", function()
    local meta = trap()
    local t = setmetatable({ 1, 2, nil, 4, x = { y = setmetatable({}, meta) },
      [setmetatable({}, meta)] = setmetatable({ [false] = true }, meta) }, meta)
    local bytes = dump(t)
    dump(setmetatable({}, { __index = t, __metatable = t }))
    local f = function() return t end
    dump(f)
    local loaded = load(bytes)
    assert.equal(4, rawget(loaded, 4))
    assert.has_error(function() return loaded.missing end)
  end)

  it("never run while a refusal is worded", function()
    local meta = trap { __name = setmetatable({}, trap()) }
    local key = setmetatable({}, meta)
    assert.matches("^cannot send a table: field '%[table%]' is a coroutine",
      refusal { [key] = coroutine.create(print) })
    assert.matches("^cannot send a table: .*coroutine", refusal(setmetatable(
      { setmetatable({ coroutine.create(print) }, meta) }, meta)))
  end)

  it("never run while loading", function()
    local meta = { __index = function() error "index" end, __newindex = function() error "new" end,
      __gc = function() end }
    local t = setmetatable({}, meta)
    rawset(t, "a", 1)
    rawset(t, 1, t)
    local loaded = round_trip(t)
    assert.equal(1, rawget(loaded, "a"))
    assert.equal(loaded, rawget(loaded, 1))
  end)

  it("are read past __metatable", function()
    local meta = { __metatable = "locked", __index = { x = 1 } }
    local loaded = round_trip(setmetatable({}, meta))
    assert.equal("locked", getmetatable(loaded))
    assert.equal(1, loaded.x)
    assert.equal(1, debug.getmetatable(loaded).__index.x)
    local hidden = round_trip(setmetatable({}, { __metatable = false }))
    assert.is_false(getmetatable(hidden))
  end)

  it("keep weak tables weak", function()
    local strong = {}
    local weak = setmetatable({ strong, {}, k = {}, [{}] = 1 }, { __mode = "kv" })
    local loaded = round_trip { weak = weak, strong = strong }
    full_collect()
    assert.equal(loaded.strong, loaded.weak[1])
    assert.is_nil(loaded.weak[2])
    assert.is_nil(loaded.weak.k)
    local values = round_trip(setmetatable({ {}, "text", 5 }, { __mode = "v" }))
    full_collect()
    assert.same({ nil, "text", 5 }, { values[1], values[2], values[3] })
    local ephemeron = round_trip(setmetatable({ [{}] = {} }, { __mode = "k" }))
    full_collect()
    assert.is_nil(next(ephemeron))
  end)

  it("make operators, calls and lengths work", function()
    local V = {}
    V.__index = V
    V.__add = function(a, b) return setmetatable({ a[1] + b[1] }, V) end
    V.__call = function(self, x) return self[1] * x end
    V.__len = function() return 77 end
    V.__tostring = function(self) return "V" .. self[1] end
    V.__eq = function(a, b) return a[1] == b[1] end
    V.__lt = function(a, b) return a[1] < b[1] end
    V.__concat = function(a, b) return tostring(a) .. tostring(b) end
    V.__name = "V"
    local a, b = table.unpack(round_trip { setmetatable({ 1 }, V), setmetatable({ 2 }, V) })
    assert.equal(3, (a + b)[1])
    assert.equal(6, b(3))
    assert.equal(77, #a)
    assert.equal("V1V2", a .. b)
    assert.is_true(a < b)
    assert.is_true(a == load(dump(a)) or true)
  end)

  it("of classes with inheritance travel whole", function()
    local Base = {}
    Base.__index = Base
    function Base.new(class, name) return setmetatable({ name = name }, class) end
    function Base:hello() return "hello " .. self.name end
    local Derived = setmetatable({}, { __index = Base, __call = Base.new })
    Derived.__index = Derived
    function Derived:hello() return Base.hello(self) .. "!" end
    local loaded = round_trip { Derived "x", Derived, Base }
    assert.equal("hello x!", loaded[1]:hello())
    assert.equal(loaded[2], getmetatable(loaded[1]))
    assert.equal("hello y!", loaded[2] "y":hello())
    assert.equal("hello z", loaded[3].new(loaded[3], "z"):hello())
  end)

  it("with __gc finalize each loaded value once", function()
    local log = { n = 0 }
    package.loaded.cg_log = log
    local meta = { __gc = function() require "cg_log".n = require "cg_log".n + 1 end }
    local bytes
    do
      local list = {}
      for i = 1, 10 do
        list[i] = setmetatable({}, meta)
      end
      bytes = dump(list)
      assert.equal(0, log.n)
    end
    full_collect()
    assert.equal(10, log.n)
    do
      local loaded = load(bytes, { trusted = true })
      full_collect()
      assert.equal(10, log.n)
      assert.equal(10, #loaded)
    end
    full_collect()
    package.loaded.cg_log = nil
    assert.equal(20, log.n)
  end)

  it("with __gc are marked for it when it comes last in the metatable", function()
    local meta = { a = 1, b = 2, c = 3 }
    local t = setmetatable({}, meta)
    meta.__gc = function(self) self.log.n = self.log.n + 1 end -- too late for t itself
    local log = { n = 0 }
    t.log = log
    do
      local loaded = round_trip { t, log }
      log = loaded[2]
    end
    full_collect()
    assert.equal(1, log.n)
  end)

  it("with __gc finalize nothing of a failed load", function()
    local log = { n = 0 }
    _G.cg_count = function() log.n = log.n + 1 end
    local meta = { __gc = function() _G.cg_count() end }
    local list = {}
    for i = 1, 50 do
      list[i] = setmetatable({ i }, meta)
    end
    local bytes = dump { list, setmetatable({}, { __lambdapool = function()
      return function() error "cannot be rebuilt" end
    end }) }
    assert.has_error(function() load(bytes:sub(1, -2)) end)
    local before = log.n
    assert.has_error(function() load(bytes:sub(1, -2)) end)
    full_collect()
    assert.equal(before, log.n)
    setmetatable(list, nil)
    for i = 1, 50 do
      setmetatable(list[i], nil)
    end
    full_collect()
    _G.cg_count = nil
  end)

  it("with __close close", function()
    local log = {}
    local resource = setmetatable({ log = log }, { __close = function(self)
      self.log[#self.log + 1] = "closed"
    end })
    local f = function()
      local r <close> = resource
      return r.log
    end
    assert.same({ "closed" }, round_trip(f)())
    assert.same({}, log)
  end)

  it("of userdata do not travel without a hook", function()
    local file = io.tmpfile()
    assert.matches("^cannot send a userdata %(FILE%*%)", refusal(file))
    file:close()
  end)

  it("may be functions' upvalues, their own metatables, and shared with others", function()
    local meta = {}
    meta.__index = meta
    setmetatable(meta, meta)
    local t = setmetatable({}, meta)
    local loaded = round_trip { t, meta, function() return meta end }
    assert.equal(loaded[2], getmetatable(loaded[1]))
    assert.equal(loaded[2], getmetatable(loaded[2]))
    assert.equal(loaded[2], loaded[3]())
  end)
end)

--- A class with a hook.
local Point = { __name = "Point" }
Point.__index = Point
local function point(x, y)
  return setmetatable({ x = x, y = y, cache = coroutine.create(print) }, Point)
end
Point.__lambdapool = function(self) return point, self.x, self.y end

describe("a __lambdapool hook", function()
  teardown(support.remove_files)

  it("rebuilds a value from arguments", function()
    local loaded = round_trip(point(1, 2))
    assert.equal(Point, getmetatable(loaded))
    assert.same({ 1, 2, "thread" }, { loaded.x, loaded.y, type(loaded.cache) })
  end)

  it("keeps nils among the arguments", function()
    local f = function(...) return { n = select("#", ...), ... } end
    local meta = { __lambdapool = function() return f, nil, 2, nil, nil end }
    assert.same({ n = 4, nil, 2 }, round_trip(setmetatable({}, meta)))
    local none = { __lambdapool = function() return f end }
    assert.same({ n = 0 }, round_trip(setmetatable({}, none)))
  end)

  it("works wherever the value stands", function()
    local p = point(1, 2)
    local inner = { [p] = p, list = { p, { p } }, f = function() return p end }
    setmetatable(inner, { __index = p })
    local loaded = round_trip(inner)
    local q = loaded.list[1]
    assert.equal(1, q.x)
    assert.equal(q, rawget(loaded, q))
    assert.equal(q, loaded.list[2][1])
    assert.equal(q, loaded.f())
    assert.equal(q, getmetatable(loaded).__index)
  end)

  it("runs once for a shared value", function()
    local calls = 0
    local f = function() return {} end
    local v = setmetatable({}, { __lambdapool = function() calls = calls + 1 return f end })
    local loaded = round_trip { v, v, { v } }
    assert.equal(1, calls)
    assert.equal(loaded[1], loaded[2])
    assert.equal(loaded[1], loaded[3][1])
  end)

  it("may be nested in arguments", function()
    local Line = {}
    local function line(a, b) return setmetatable({ a = a, b = b, length = b.x - a.x }, Line) end
    Line.__lambdapool = function(self) return line, self.a, self.b end
    local a, b = point(1, 1), point(4, 1)
    local loaded = round_trip { line(a, b), line(b, a), a }
    assert.same({ 3, -3 }, { loaded[1].length, loaded[2].length })
    assert.equal(loaded[1].a, loaded[2].b)
    assert.equal(loaded[3], loaded[1].a)
    assert.equal(Point, getmetatable(loaded[3]))
  end)

  it("gets arguments that are complete", function()
    local f = function(t) return { got = t.inner[1] .. #t.list .. getmetatable(t.object).name } end
    local meta = { __lambdapool = function()
      return f, { inner = { "x" }, list = { 1, 2, 3 }, object = setmetatable({}, { name = "m" }) }
    end }
    assert.equal("x3m", round_trip(setmetatable({}, meta)).got)
  end)

  it("may return functions of modules and of the standard library", function()
    local meta = { __lambdapool = function(self) return string.rep, self[1], 3 end }
    assert.equal("ababab", round_trip(setmetatable({ "ab" }, meta)))
    local cjson = require "cjson"
    local json = { __lambdapool = function() return cjson.decode, '{"a":"b"}' end }
    assert.same({ a = "b" }, round_trip(setmetatable({}, json)))
  end)

  it("may rebuild nil, false or any other value", function()
    local f = function(x) return x end
    local function hooked(value)
      return setmetatable({}, { __lambdapool = function() return f, value end })
    end
    local loaded = round_trip { a = hooked(nil), b = hooked(false), c = hooked(5),
      d = hooked(print) }
    assert.is_nil(loaded.a)
    assert.is_false(loaded.b)
    assert.equal(5, loaded.c)
    assert.equal(print, loaded.d)
    assert.is_false(round_trip(hooked(false)))
    assert.is_nil(round_trip(hooked(nil)))
    assert.has_error(function() round_trip { [hooked(nil)] = 1 } end)
  end)

  it("may be on a metatable that another metatable has", function()
    local v = setmetatable({}, setmetatable({ __index = 1 }, Point))
    Point.x = nil
    -- the metatable has a hook of its own and is rebuilt as a Point
    local loaded = round_trip(v)
    assert.equal(Point, getmetatable(getmetatable(loaded)))
  end)

  it("is looked up raw", function()
    local v = setmetatable({ 1 }, setmetatable({}, { __index = function() error "called" end }))
    assert.equal(1, rawget(round_trip(v), 1))
  end)

  it("that raises ends the dump with its error", function()
    local v = setmetatable({}, { __lambdapool = function() error "no way" end })
    assert.matches("no way", refusal { v })
    local t = { "error" }
    local w = setmetatable({}, { __lambdapool = function() error(t) end })
    assert.equal(t, refusal(w))
    assert.same({ 1 }, round_trip { 1 })
  end)

  it("that returns no function is refused, with the path", function()
    for _, result in ipairs { { n = 0 }, { 1, n = 1 }, { nil, print, n = 2 }, { {}, n = 1 } } do
      local v = setmetatable({}, { __lambdapool = function()
        return table.unpack(result, 1, result.n)
      end })
      assert.equal("cannot send a table: field 'a[1]' is a table, which has a __lambdapool hook " ..
        "that returned no function", refusal { a = { v } }:match "[^\n]*")
    end
  end)

  it("that is no function raises", function()
    assert.is_string(refusal(setmetatable({}, { __lambdapool = true })))
  end)

  it("may not name the value in its own arguments", function()
    local v = setmetatable({}, { __lambdapool = function(self) return print, { inner = self } end })
    assert.matches("own __lambdapool hook", refusal { v })
    local a, b
    a = setmetatable({}, { __lambdapool = function() return print, b end })
    b = setmetatable({}, { __lambdapool = function() return print, a end })
    assert.matches("own __lambdapool hook", refusal(a))
    local f = function() return a end
    assert.matches("own __lambdapool hook", refusal(f))
    assert.same({ 1 }, round_trip { 1 })
  end)

  it("may dump itself", function()
    local v = setmetatable({ x = 1 }, { __lambdapool = function(self)
      return load, dump { self.x, point(5, 6) }
    end })
    local loaded = round_trip { "before", v, v, "after" }
    assert.same({ "before", "after" }, { loaded[1], loaded[4] })
    assert.equal(1, loaded[2][1])
    assert.equal(6, loaded[2][2].y)
    assert.equal(loaded[2], loaded[3])
  end)

  it("may collect garbage and change the value meanwhile", function()
    local list = {}
    local function rebuild(x) return x end
    for i = 1, 200 do
      list[i] = i % 2 == 0 and ("string %d"):format(i) or
        setmetatable({}, { __lambdapool = function()
          list[i - 1] = nil
          collectgarbage()
          return rebuild, ("argum %d"):format(i), { tostring(i) }
        end })
    end
    local loaded = round_trip(list)
    for i = 1, 199 do
      assert.equal(i % 2 == 0 and "string " .. i or "argum " .. i, loaded[i])
    end
  end)

  it("that changes the table being sent fails or works, but never worse", function()
    local t = {}
    for i = 1, 100 do
      t["k" .. i] = setmetatable({}, { __lambdapool = function()
        for key in pairs(t) do
          t[key] = nil
        end
        for j = 1, 300 do
          t[j] = j
        end
        collectgarbage()
        return math.abs, -i
      end })
    end
    pcall(dump, t)
    assert.same({ 1 }, round_trip { 1 })
  end)

  it("that yields raises", function()
    local v = setmetatable({}, { __lambdapool = function() return coroutine.yield(1) end })
    local co = coroutine.create(dump)
    local ok, message = coroutine.resume(co, v)
    assert.is_false(ok)
    assert.matches("yield", message)
    assert.same({ 1 }, round_trip { 1 })
    assert.is_true(collectgarbage "isrunning")
  end)

  it("on a userdata makes it travel", function()
    local meta = debug.getmetatable(io.stdout)
    meta.__lambdapool = function() return io.tmpfile end
    local file = io.tmpfile()
    local loaded = round_trip { file, io.stdout }
    meta.__lambdapool = nil
    assert.equal("file", io.type(loaded[1]))
    assert.is_true(loaded[1] ~= file)
    assert.equal(io.stdout, loaded[2])
    file:close()
    loaded[1]:close()
  end)

  it("is not run by a process that never saw it, unless it is trusted", function()
    local meta = { __lambdapool = function(self)
      return function(x) print "RUN" return { x } end, self.x
    end }
    local v = setmetatable({ x = 9 }, meta)
    local output = support.elsewhere({ v }, "print 'not reached'")
    assert.matches("loading runs no code", output, 1, true)
    assert.is_nil(output:find "RUN\n")
    assert.is_nil(output:find "not reached")
    assert.equal("RUN\n9\n", support.elsewhere({ v }, "print(value[1][1])", { trusted = true }))
  end)

  it("does not let other functions be run", function()
    -- the bytes of a rebuild with one function's text exchanged for another of the same size
    local f = function() return 1 end
    local v = setmetatable({}, { __lambdapool = function() return f end })
    assert.equal(1, round_trip(v))
    assert.equal("not reached\n", (support.elsewhere({ v }, "print 'not reached'")
      :gsub("^.*loading runs no code.*$", "not reached\n")))
    for _, name in ipairs { "os.exit", "error", "dofile", "loadfile" } do
      local library, field = name:match "^(%w+)%.(%w+)$"
      local c = library and _G[library][field] or _G[name]
      local w = setmetatable({}, { __lambdapool = function() return c end })
      assert.matches("no __lambdapool hook returned here", support.elsewhere({ w }, ""), 1, true)
    end
  end)

  it("error while rebuilding is the load's error", function()
    local f = function() error "cannot rebuild" end
    local v = setmetatable({}, { __lambdapool = function() return f end })
    local ok, message = pcall(round_trip, { v, { v } })
    assert.is_false(ok)
    assert.matches("cannot rebuild", message)
  end)

  it("comes back rebuilt after a second and third trip", function()
    local output = support.elsewhere({ point(3, 4) }, [[
      local again = codec.load(codec.dump(value))
      local third = codec.load(codec.dump(again))
      print(third[1].x, third[1].y, getmetatable(third[1]) == getmetatable(value[1]))
    ]], { trusted = true })
    assert.equal("3\t4\ttrue\n", output)
  end)
end)
