local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local round_trip, refusal = support.round_trip, support.refusal

local old_path = package.path
local folder

--- Writes modules into a folder of their own on package.path.
local function modules(texts)
  for name, text in pairs(texts) do
    support.write_file(folder .. "/" .. name .. ".lua", text)
    package.loaded[name] = nil
  end
end

local function forget()
  for name in pairs(package.loaded) do
    if name:match "^cm_" or name:match "^cmdir%." then
      package.loaded[name] = nil
    end
  end
  for name in pairs(package.preload) do
    if name:match "^cm_" then
      package.preload[name] = nil
    end
  end
end

describe("modules", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert.is_true(os.execute("mkdir -p " .. folder .. "/cmdir"))
    package.path = folder .. "/?.lua;" .. folder .. "/?/init.lua;" .. old_path
  end)

  after_each(function()
    package.path = old_path
    forget()
    os.execute("rm -r " .. folder)
  end)

  teardown(support.remove_files)

  it("are the same value on both sides", function()
    modules { cm_a = "return { x = 1, f = function() return 'f' end }" }
    local a = require "cm_a"
    local loaded = round_trip { a, a.f, inner = { a } }
    assert.equal(a, loaded[1])
    assert.equal(a.f, loaded[2])
    assert.equal(a, loaded.inner[1])
  end)

  it("send their source to a process that does not have them", function()
    modules { cm_a = "local M = {} function M.f(x) return x .. '!' end return M" }
    local a = require "cm_a"
    local f = function(x) return a.f(x), a.f == require "cm_a".f end
    assert.equal("hi!\ttrue\n", support.elsewhere(f, "print(value 'hi')", { trusted = true }))
  end)

  it("are not run by a load without trust", function()
    modules { cm_a = "print 'RUN' return { f = function() end }" }
    package.loaded.cm_a = nil
    local old = print
    print = function() end -- luacheck: ignore
    local a = require "cm_a"
    print = old -- luacheck: ignore
    local output = support.elsewhere(function() return a end, "print 'not reached'")
    assert.matches("module 'cm_a' is not loaded here", output, 1, true)
    assert.is_nil(output:find "RUN")
    assert.is_nil(output:find "not reached")
  end)

  it("that a function requires come along", function()
    modules { cm_a = "return { f = function(x) return x + 1 end }",
      cm_b = "return { g = require 'cm_a'.f }",
      cm_c = [[
        local require = require
        local b = require "cm_b"
        return function(x) return b.g(x) end
      ]] }
    local f = function(x)
      return require "cm_c" (x), require("cm_b").g(x)
    end
    assert.equal("6\t6\n", support.elsewhere(f, "print(value(5))", { trusted = true }))
  end)

  it("come along however they are required", function()
    modules { cm_a = "return 'a'", cm_b = "return 'b'", cm_c = "return 'c'", cm_d = "return 'd'",
      cm_e = "return 'e'" }
    local require_it = require
    local f = function()
      local r = require
      local ok, b = pcall(require, "cm_b")
      local _, d = xpcall(require, print, "cm_d")
      return require "cm_a", ok and b, r "cm_c", d, (require_it "cm_e")
    end
    assert.equal("a\tb\tc\td\te\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("in folders and packages come along", function()
    support.write_file(folder .. "/cmdir/init.lua", "return { sub = require 'cmdir.sub', (...) }")
    support.write_file(folder .. "/cmdir/sub.lua", "return { name = (...) }")
    local f = function()
      local m = require "cmdir"
      return m.sub.name, m[1]
    end
    assert.equal("cmdir.sub\tcmdir\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("that require each other come along", function()
    modules { cm_a = "local M = {} package.loaded.cm_a = M M.b = require 'cm_b' M.n = 1 return M",
      cm_b = "local M = {} M.a = require 'cm_a' function M.get() return M.a.n end return M" }
    local f = function() return require "cm_a".b.get() end
    assert.equal("1\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("that are functions travel by name", function()
    modules { cm_f = "return function(x) return x * 2 end" }
    local f = require "cm_f"
    assert.equal(f, round_trip(f))
    assert.equal("42\n", support.elsewhere({ f }, "print(value[1](21), nil)", { trusted = true })
      :gsub("\tnil", ""))
  end)

  it("that are strings, numbers or true travel by value", function()
    modules { cm_s = "return 'text'", cm_n = "return 12", cm_t = "x = nil" }
    assert.equal("text", round_trip(require "cm_s"))
    assert.equal(12, round_trip(require "cm_n"))
    assert.is_true(round_trip(require "cm_t"))
    local f = function() return require "cm_t", (require "cm_n") end
    assert.equal("true\t12\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("make their classes the same on both sides", function()
    modules { cm_p = [[
      local M = {}
      M.Point = { __name = "Point" }
      M.Point.__index = M.Point
      function M.Point.new(x) return setmetatable({ x = x }, M.Point) end
      function M.Point:get() return self.x end
      return M
    ]] }
    local Point = require "cm_p".Point
    local loaded = round_trip { Point.new(4), Point }
    assert.equal(Point, getmetatable(loaded[1]))
    assert.equal(Point, loaded[2])
    assert.equal("4\ttrue\n", support.elsewhere(Point.new(4),
      "print(value:get(), getmetatable(value) == require 'cm_p'.Point)", { trusted = true }))
  end)

  it("make their functions the same, also those in upvalues", function()
    modules { cm_u = [[
      local count = 0
      local function up() count = count + 1 return count end
      return { up = up, get = function() return count end, wrap = function() return up() end }
    ]] }
    local u = require "cm_u"
    local up = u.up
    local f = function() return up(), u.get(), up == u.up end
    local loaded = round_trip(f)
    assert.same({ 1, 1, true }, { loaded() })
    assert.equal(1, u.get())
  end)

  it("know fields that were added after they were first seen", function()
    modules { cm_l = "return { f = function() end }" }
    local l = require "cm_l"
    codec.dump(l)
    l.later = function() return "later" end
    assert.equal(l.later, round_trip(l.later))
    l.Class = { __index = {} }
    assert.equal(l.Class, getmetatable(round_trip(setmetatable({}, l.Class))))
    l.f = load "return 1"
    assert.equal(l.f, round_trip(l.f))
  end)

  it("do not keep a field that was replaced", function()
    modules { cm_r = "return { f = function() return 'old' end }" }
    local r = require "cm_r"
    local old = r.f
    assert.equal(old, round_trip(old))
    r.f = function() return "new" end
    local loaded = round_trip(old)
    assert.equal("old", loaded())
    assert.is_true(loaded ~= r.f)
    assert.equal(r.f, round_trip(r.f))
  end)

  it("loaded again are the new ones, and old functions still travel", function()
    modules { cm_g = "return { f = function() return 'one' end }" }
    local old = require "cm_g".f
    package.loaded.cm_g = nil
    modules { cm_g = "return { f = function() return 'two' end }" }
    local new = require "cm_g".f
    assert.equal(new, round_trip(new))
    assert.equal("one", round_trip(old)())
  end)

  it("send the text that was loaded, not the one on disk", function()
    modules { cm_o = "return { f = function() return 'old' end }" }
    local o = require "cm_o"
    modules { cm_o = "return { f = function() return 'new' end }" }
    package.loaded.cm_o = o
    os.remove(folder .. "/cm_o.lua")
    local f = function() return o.f() end
    assert.equal("old\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("that were put into package.loaded by hand travel by value", function()
    package.loaded.cm_hand = { f = function() return "by hand" end }
    local hand = require "cm_hand"
    local f = function() return hand.f() end
    assert.equal("by hand\n", support.elsewhere(f, "print(value())"))
  end)

  it("in package.preload come along", function()
    local greeting = "hello"
    package.preload.cm_pre = function(name)
      return { say = function() return greeting, name end }
    end
    local pre = require "cm_pre"
    local f = function() return pre.say() end
    assert.equal("hello\tcm_pre\n", support.elsewhere(f, "print(value())", { trusted = true }))
    local g = function() return require "cm_pre".say() end
    assert.equal("hello\tcm_pre\n", support.elsewhere(g, "print(value())", { trusted = true }))
  end)

  it("in package.preload may be loaded by a function of another module", function()
    modules { cm_lib = "return { loader = function(name) return { name = name } end }" }
    package.preload.cm_by = require "cm_lib".loader
    local f = function() return require "cm_by".name end
    assert.equal("cm_by", round_trip(f)())
    assert.equal("cm_by\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("in package.preload may require each other", function()
    package.preload.cm_x = function() return { y = function() return require "cm_y" end } end
    package.preload.cm_y = function() return { name = "y" } end
    local x = require "cm_x"
    local f = function() return x.y().name end
    assert.equal("y\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("that cannot be found are an error only where they are required", function()
    local f = function() return (pcall(require, "cm_does_not_exist")) end
    assert.equal("false\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("in C travel by name", function()
    local cjson = require "cjson"
    assert.equal(cjson, round_trip(cjson))
    assert.equal(cjson.encode, round_trip(cjson.encode))
    local f = function() return cjson.encode { 1 } end
    assert.equal("[1]\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("of the standard library are never sent as source", function()
    local f = function() return require "string".upper "x", require "_G".type(1) end
    assert.same({ "X", "number" }, { round_trip(f)() })
    assert.equal(package.loaded, round_trip(package.loaded))
    assert.equal(package, round_trip(package))
  end)

  it("of lambdapool itself are named", function()
    local lambdapool = require "lambdapool"
    assert.equal(lambdapool, round_trip(lambdapool))
    assert.equal(lambdapool.dump, round_trip(lambdapool.dump))
  end)

  it("state is that of the receiver", function()
    modules { cm_state = "return { n = 1, f = function() end }" }
    local state = require "cm_state"
    state.n = 5
    local f = function() return state.n end
    assert.equal(5, round_trip(f)())
    assert.equal("1\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("with plain data in a field send it by value", function()
    modules { cm_data = "return { config = { level = 1 }, f = function() end }" }
    local data = require "cm_data"
    data.config.level = 2
    local config = data.config
    assert.equal("2\n", support.elsewhere({ config }, "print(value[1].level)", { trusted = true }))
  end)

  it("with a broken source tell so", function()
    modules { cm_bad = "return {" }
    local f = function() return require "cm_bad" end
    local output = support.elsewhere(f, "print(pcall(value))", { trusted = true })
    assert.matches("cm_bad.lua:1:", output, 1, true)
  end)

  it("that are loaded by the receiver already stay", function()
    modules { cm_k = "return { who = function() return 'sender' end }" }
    local k = require "cm_k"
    local f = function() return k.who(), require "cm_k".who() end
    assert.equal("receiver\treceiver\n", support.run([[
      package.loaded.cm_k = { who = function() return "receiver" end }
      local file = assert(io.open(arg[1], "rb"))
      print(require "lambdapool.codec".load(file:read "a", { trusted = true })())
      file:close()
    ]], codec.dump(f)))
  end)

  it("that are not loaded any more are sent as they would be loaded now", function()
    modules { cm_v = "return 'one'" }
    assert.equal("one", (require "cm_v"))
    package.loaded.cm_v = nil
    modules { cm_v = "return 'two'" }
    local f = function() return (require "cm_v") end
    assert.equal("two\n", support.elsewhere(f, "print(value())", { trusted = true }))
    assert.equal("two", f())
  end)

  it("of a name with dots, slashes or quotes come along", function()
    support.write_file(folder .. "/cmdir/a-b.lua", "return { x = 'dash' }")
    local f = function() return require "cmdir.a-b".x end
    assert.equal("dash\n", support.elsewhere(f, "print(value())", { trusted = true }))
  end)

  it("can be dumped again where their files are not", function()
    modules { cm_again = [[
      local M = {}
      function M.f() return M.g() end
      function M.g() return "g" end
      return M
    ]] }
    local again = require "cm_again"
    local f = function() return again.f() end
    local name = support.temporary_name()
    local output = support.elsewhere(f, ([[
      print(value())
      local file = assert(io.open(%q, "wb"))
      file:write(codec.dump(value))
      file:close()
    ]]):format(name), { trusted = true })
    assert.equal("g\n", output)
    local file = assert(io.open(name, "rb"))
    local bytes = file:read "a"
    file:close()
    assert.equal("g\n", support.run([[
      local codec = require "lambdapool.codec"
      local file = assert(io.open(arg[1], "rb"))
      print(codec.load(file:read "a", { trusted = true })())
      file:close()
    ]], bytes))
  end)

  it("refuse what their tables hold only when it is sent by value", function()
    modules { cm_file = "return { handle = io.tmpfile(), f = function() end }" }
    local m = require "cm_file"
    assert.equal(m, round_trip(function() return m end)())
    assert.matches("userdata %(FILE%*%)", refusal { m.handle })
    m.handle:close()
  end)
end)
