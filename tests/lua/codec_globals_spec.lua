-- luacheck: ignore 111 112 113 121 122 131 142 143 (these specs are about globals)
local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local round_trip, copy, refusal = support.round_trip, support.copy, support.refusal

--- Functions compiled in the real globals, at a distance from the names that busted defines.
local function compile(text, ...)
  local chunk, message = load(text, "=globals")
  if not chunk then
    error(message, 2)
  end
  return chunk(...)
end

--- Globals that a test sets are gone afterwards.
local function clean()
  for name in pairs(_G) do
    if type(name) == "string" and name:match "^t_" then
      _G[name] = nil
    end
  end
end

describe("globals that a function names", function()
  after_each(clean)
  teardown(support.remove_files)

  it("travel with it", function()
    t_number, t_table = 5, { 1 }
    function t_function(x) return x + 1 end
    local f = compile "return function() return t_number, t_table, t_function(1), t_missing end"
    local loaded = copy(f)
    t_number, t_table, t_function = nil, nil, nil
    local number, list, result, missing = loaded()
    assert.same({ 5, { 1 }, 2 }, { number, list, result })
    assert.is_nil(missing)
    assert.is_nil(rawget(_G, "t_number"))
  end)

  it("travel transitively, through nested functions and tables", function()
    t_a = compile "return function() return function() return t_b.inner.get() end end"
    t_b = { inner = { get = compile "return function() return t_c end" } }
    t_c = "found"
    local loaded = copy(compile "return function() return t_a()() end")
    t_a, t_b, t_c = nil, nil, nil
    assert.equal("found", loaded())
  end)

  it("may be mutually recursive", function()
    compile [[
      function t_even(n) return n == 0 or t_odd(n - 1) end
      function t_odd(n) return n ~= 0 and t_even(n - 1) end
    ]]
    local loaded = round_trip(t_even)
    clean()
    assert.is_true(loaded(10))
  end)

  it("may name the function itself", function()
    compile "function t_self(n) return n == 0 and t_self or t_self(n - 1) end"
    local loaded = round_trip(t_self)
    clean()
    assert.equal(loaded, loaded(3))
  end)

  it("are one environment for all functions of a payload", function()
    compile "function t_set(x) t_shared = x end function t_get() return t_shared, _G.t_shared end"
    local loaded = round_trip { t_set, t_get }
    loaded[1](42)
    assert.same({ 42, 42 }, { loaded[2]() })
    assert.is_nil(rawget(_G, "t_shared"))
  end)

  it("are never seen by another payload, nor by the receiver", function()
    t_counter = 1
    local f = compile "return function() t_counter = t_counter + 1 return t_counter end"
    local a, b = copy(f), copy(f)
    assert.same({ 2, 3, 2 }, { a(), a(), b() })
    assert.equal(1, t_counter)
    t_counter = 100
    assert.equal(4, a())
  end)

  it("never replace the receiver's", function()
    t_mine = "theirs"
    local bytes = codec.dump(compile "return function() return t_mine end")
    t_mine = "mine"
    assert.equal("theirs", codec.load(bytes)())
    assert.equal("mine", t_mine)
  end)

  it("agree with _G and _ENV", function()
    local f = compile [[return function()
      t_x = 1
      _G.t_y = 2
      _ENV.t_z = 3
      rawset(_G, "t_w", 4)
      return _G.t_x, t_y, _G["t_z"], t_w, _G == _ENV, _G._G == _G, _ENV._G._G == _G
    end]]
    assert.same({ 1, 2, 3, 4, true, true, true }, { copy(f)() })
    for _, name in ipairs { "t_x", "t_y", "t_z", "t_w" } do
      assert.is_nil(rawget(_G, name))
    end
  end)

  it("are found when read as _G.name", function()
    t_one, t_two, t_three, t_four = 1, 2, 3, 4
    local f = compile [[
      local G, E = _G, _ENV
      return function()
        local L = _G
        return _G.t_one, _G._G.t_two, G.t_three, E["t_four"], L.t_one, G._G._G.t_two
      end
    ]]
    local loaded = round_trip(f)
    clean()
    assert.same({ 1, 2, 3, 4, 1, 2 }, { loaded() })
  end)

  it("are found when a local holds _G on one of two ways", function()
    t_one = 1
    local f = compile "return function(...) local G = _G or getfenv() return G.t_one end"
    local g = compile "return function(x) local G = _G if x then G = {} end return G.t_one end"
    local loaded_f, loaded_g = round_trip(f), round_trip(g)
    clean()
    assert.equal(1, loaded_f())
    assert.equal(1, loaded_g())
  end)

  it("are found when called as methods, indexed, and assigned to", function()
    t_object = { n = 5, get = function(self) return self.n end }
    t_list = { { "deep" } }
    t_target = {}
    local f = compile [[return function()
      t_target.x = 1
      t_target[1] = 2
      return t_object:get(), t_list[1][1], t_target, #t_list, -t_object.n, t_object.n .. ""
    end]]
    local loaded = round_trip(f)
    clean()
    local n, deep, target = loaded()
    assert.same({ 5, "deep", { 2, x = 1 } }, { n, deep, target })
  end)

  it("are found by names of more than 40 bytes", function()
    local long = "t_" .. ("long_name_"):rep(10)
    _G[long] = "long"
    local f = compile(("return function() return %s, _G.%s end"):format(long, long))
    local g = compile(("return function() return function() %s = 1 return %s end end"):format(long,
      long))
    local loaded, nested = round_trip(f), round_trip(g)
    clean()
    assert.same({ "long", "long" }, { loaded() })
    assert.equal(1, nested()())
    assert.is_nil(rawget(_G, long))
  end)

  it("are found beyond constant 255, and beyond 131071", function()
    for _, count in ipairs { 255, 256, 257, 300, 140000 } do
      t_late, t_later = "late", { field = "later" }
      local lines = { "return function() local x" }
      for i = 1, count do
        lines[#lines + 1] = ("x = 'constant %d'"):format(i)
      end
      lines[#lines + 1] = "t_new = x return t_late, t_later.field, _G.t_late, t_later:upper() end"
      t_later.upper = function(self) return self.field:upper() end
      local loaded = round_trip(compile(table.concat(lines, "\n")))
      clean()
      assert.same({ "late", "later", "late", "LATER" }, { loaded() })
      assert.is_nil(rawget(_G, "t_new"))
    end
  end)

  it("are found by rawget with a strict _G", function()
    local meta = getmetatable(_G)
    t_known = 1
    setmetatable(_G, {
      __index = function(_, name) error("undefined global " .. tostring(name), 2) end,
      __newindex = function(_, name) error("assigned global " .. tostring(name), 2) end })
    local f = load "return function() return t_known, rawget(_G, 't_unknown') end"()
    local g = load "return function() return t_unknown end"()
    local ok, loaded, loaded_g = pcall(function()
      return codec.load(codec.dump(f)), codec.load(codec.dump(g))
    end)
    setmetatable(_G, meta)
    assert.is_true(ok, loaded)
    assert.equal(1, loaded())
    assert.is_nil(loaded_g())
  end)

  it("travel when they were replaced", function()
    local old_print, old_type = print, type
    local output = {}
    local custom_type = compile "return function(x) return 'custom ' .. math.type(x) end"
    local f = compile "return function() print 'x' return type(1) end"
    print = compile("local out = ... return function(x) out[#out + 1] = x end", output)
    type = custom_type
    local ok, loaded = pcall(round_trip, f)
    print, type = old_print, old_type
    assert.is_true(ok, loaded)
    assert.equal("custom integer", loaded())
    assert.same({}, output)
  end)

  it("travel when they were removed", function()
    local old = utf8
    utf8 = nil
    local ok, loaded = pcall(round_trip, compile "return function() return utf8, _G.utf8 end")
    utf8 = old
    assert.is_true(ok, loaded)
    assert.same({ nil, nil, n = 2 }, table.pack(loaded()))
  end)

  it("are the standard library otherwise", function()
    local f = compile [[return function()
      return string.format("%d", 1), math.max(1, 2), #arg0, select("#", 1, 2), print, _VERSION
    end]]
    arg0 = "x"
    local results = { copy(f)() }
    arg0 = nil
    assert.same({ "1", 2, 1, 2, print, "Lua 5.4" }, results)
  end)

  it("are no fields, strings, locals or labels of that name", function()
    t_userdata = io.tmpfile()
    local f = compile [[return function(t)
      local t_userdata = 1
      ::t_userdata::
      local _ENV = { x = 5 }
      return t.t_userdata, "t_userdata", t_userdata, x
    end]]
    assert.same({ 7, "t_userdata", 1, 5 }, { copy(f)({ t_userdata = 7 }) })
    local g = compile "return function(_ENV) return t_userdata end"
    assert.equal(3, copy(g)({ t_userdata = 3 }))
    local h = compile "local _ENV = { t_userdata = 4 } return function() return t_userdata end"
    assert.equal(4, copy(h)())
    t_userdata:close()
  end)

  it("that cannot travel are refused only where named", function()
    t_file = io.tmpfile()
    assert.equal(1, copy(compile "return function() return 1 end")())
    assert.equal("cannot send function globals:1: global 't_file' of function globals:1 is a " ..
      "userdata (FILE*)", refusal(compile "return function() return t_file end"):match "[^\n]*")
    t_inner = { handle = t_file }
    t_user = compile "return function() return t_inner end"
    assert.equal("cannot send function globals:1: global 't_inner' (field 'handle') of function " ..
      "globals:1 (global 't_user' of function globals:1) is a userdata (FILE*)",
      refusal(compile "return function() return t_user end"):match "[^\n]*")
    t_file:close()
  end)

  it("named in functions that do not use the globals do not travel", function()
    t_secret = "secret value"
    local f = compile("local t = ... return function() return t.t_secret end", { t_secret = 1 })
    assert.is_nil(codec.dump(f):find("secret value", 1, true))
  end)

  it("travel once", function()
    t_big = ("big"):rep(1000)
    local f = compile "return function() return t_big end"
    local g = compile "return function() return t_big, 2 end"
    assert.is_true(#codec.dump { f, g, f, compile "return function() return t_big, 3 end" } < 4000)
  end)

  it("do not make up the receiver's missing ones", function()
    local f = compile "return function() return t_nothing end"
    local bytes = codec.dump(f)
    t_nothing = "mine"
    assert.is_nil(codec.load(bytes)())
  end)

  it("reach another process", function()
    t_step = 10
    compile "function t_add(x) return x + t_step end"
    local f = compile "return function(x) t_calls = (t_calls or 0) + 1 return t_add(x), t_calls end"
    assert.equal("15\t1\n16\t2\nnil\n26\t3\n", support.elsewhere(f, [[
      print(value(5))
      print(value(6))
      print(t_calls)
      local again = codec.load(codec.dump(value))
      print(again(16))
    ]]))
  end)
end)

describe("an environment of the user's own", function()
  after_each(clean)

  it("travels as the table it is", function()
    local environment = { x = 1, print = print }
    local f = load("return function() x = x + 1 return x, print end", "=own", "t", environment)()
    local loaded = copy(f)
    assert.same({ 2, print }, { loaded() })
    assert.equal(1, environment.x)
  end)

  it("is shared by its functions", function()
    local environment = {}
    load("function set(v) value = v end function get() return value end", "=own", "t",
      environment)()
    local loaded = round_trip(environment)
    loaded.set(9)
    assert.equal(9, loaded.get())
    assert.equal(9, loaded.value)
  end)

  it("may fall back on the globals by __index", function()
    t_global = "global"
    local environment = setmetatable({ own = "own" }, { __index = _G })
    local f = load("return function() return own, t_global, tostring(1) end", "=own", "t",
      environment)()
    local loaded = copy(f)
    clean()
    assert.same({ "own", "global", "1" }, { loaded() })
  end)

  it("may fall back through many tables", function()
    t_global = "global"
    local environment = _G
    for _ = 1, 5 do
      environment = setmetatable({}, { __index = environment })
    end
    local f = load("return function() return t_global end", "=own", "t", environment)()
    local loaded = copy(f)
    clean()
    assert.equal("global", loaded())
  end)

  it("may fall back on itself", function()
    local environment = {}
    setmetatable(environment, { __index = environment })
    local f = load("return function() return 1 end, function() return x end", "=own", "t",
      environment)
    local _, g = f()
    local a, b = {}, {}
    setmetatable(a, { __index = b })
    setmetatable(b, { __index = a })
    local h = load("return function() return 1, x end", "=own", "t", a)()
    assert.is_function(copy(g))
    assert.is_function(copy(h))
  end)

  it("may be nil, a number or a string", function()
    local f = load("return function() return 1 end, function() return x end", "=own", "t", "text")
    local _, g = f()
    assert.equal(1, copy((f()))())
    assert.is_nil(copy(g)())
    local h = load("local _ENV = nil return function() return x end")()
    assert.has_error(copy(h))
  end)

  it("may be local, a parameter, or captured", function()
    local f = load [[
      local print = print
      local function with(_ENV) return function() return name end end
      local _ENV = { name = "local", with = with }
      return function() local _ENV <const> = { name = "inner" } return name end,
        with { name = "parameter" }, function() return name end,
        function(...) local _ENV = ... name = 5 return name, _ENV end
    ]]
    local inner, parameter, captured, set = f()
    assert.equal("inner", copy(inner)())
    assert.equal("parameter", copy(parameter)())
    assert.equal("local", copy(captured)())
    local target = {}
    assert.equal(5, (copy(set)(target)))
    assert.same({ name = 5 }, target)
  end)
end)
