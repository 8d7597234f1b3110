local codec = require "lambdapool.codec"
local lambdapool = require "lambdapool"
local support = require "tests.lua.codec_support"

--- A class of this file, not of a module.
local Point = { __name = "Point" }
Point.__index = Point
local function point(x, y)
  return setmetatable({ x = x, y = y }, Point)
end
function Point.__add(a, b) return point(a.x + b.x, a.y + b.y) end
function Point.__eq(a, b) return a.x == b.x and a.y == b.y end
function Point:length() return (self.x ^ 2 + self.y ^ 2) ^ 0.5 end

--- One that travels in its own way.
local Money = {}
Money.__index = Money
local function money(amount)
  return setmetatable({ amount = amount, handle = coroutine.create(print) }, Money)
end
Money.__lambdapool = function(self) return money, self.amount end
function Money:double() return money(self.amount * 2) end

describe("through a pool", function()
  local pool

  setup(function() pool = lambdapool.pool { workers = 2 } end)

  teardown(function()
    pool:terminate()
    support.remove_files()
  end)

  it("classes of the caller come back as the caller's", function()
    local result = pool:apply(function(a, b) return a + b end, { point(1, 2), point(3, 4) })
    assert.equal(Point, getmetatable(result))
    assert.same({ 4, 6 }, { result.x, result.y })
    assert.equal(52 ^ 0.5, result:length())
    local made = pool:apply(function(x) return { point(x, x), list = { point(0, x) } } end, { 5 })
    assert.equal(Point, getmetatable(made[1]))
    assert.equal(Point, getmetatable(made.list[1]))
  end)

  it("and are one class over there, too", function()
    assert.same({ true, true, true }, { pool:apply(function(a, b)
      return getmetatable(a) == getmetatable(b), getmetatable(a) == Point, a == point(1, 1)
    end, { point(1, 1), point(2, 2) }) })
  end)

  it("in all results of a map", function()
    local list = {}
    for i = 1, 100 do
      list[i] = point(i, -i)
    end
    for i, result in ipairs(pool:map(function(p) return p + p end, list)) do
      assert.equal(Point, getmetatable(result))
      assert.equal(2 * i, result.x)
    end
  end)

  it("classes that a task makes come back as new ones, shared by its results", function()
    local a, b = pool:apply(function()
      local C = { __index = { hello = function() return "hello" end } }
      return setmetatable({}, C), setmetatable({}, C)
    end)
    assert.equal("hello", a.hello())
    assert.equal(getmetatable(a), getmetatable(b))
  end)

  it("values with hooks go both ways", function()
    local result = pool:apply(function(m) return m:double() end, { money(21) })
    assert.equal(Money, getmetatable(result))
    assert.equal(42, result.amount)
    assert.equal("thread", type(result.handle))
    local nested = pool:apply(function(m) return { { m, m } } end, { money(7) })
    assert.equal(nested[1][1], nested[1][2])
    assert.equal(Money, getmetatable(nested[1][1]))
  end)

  it("a hook that only the worker knows runs nothing here", function()
    _G.cc_ran = nil
    local ok, message = pcall(pool.apply, pool, function()
      local f = function()
        _G.cc_ran = true
        return "rebuilt"
      end
      return setmetatable({}, { __lambdapool = function() return f end })
    end)
    assert.is_nil(rawget(_G, "cc_ran"))
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find("rebuilt by", 1, true), tostring(message))
  end)

  it("functions come back and work, sharing variables", function()
    local up, get = pool:apply(function(n)
      return function()
        n = n + 1
        return n
      end, function() return n end
    end, { 10 })
    assert.equal(11, up())
    assert.equal(11, get())
    assert.equal(12, support.round_trip(up)())
    assert.equal(12, pool:apply(up))
    assert.equal(11, get())
  end)

  it("functions made on a worker can be sent on from here", function()
    local f = pool:apply(function(step) return function(x) return x + step end end, { 5 })
    assert.equal(8, pool:apply(f, { 3 }))
    local g = pool:apply(function(h) return function(x) return h(h(x)) end end, { f })
    assert.equal(13, pool:apply(g, { 3 }))
  end)

  it("functions given come back as functions of the same code", function()
    local f = function() return 1 end
    assert.is_true(support.same_code(f, (pool:apply(function(x) return x end, { f }))))
  end)

  it("code loaded by a task can come back", function()
    local f = pool:apply(function() return load("return function() return 'made there' end")() end)
    assert.equal("made there", f())
    local g = pool:apply(function()
      return load("return function() return 'x' end", "@gone.lua")()
    end)
    assert.equal("x", support.copy(g)())
  end)

  it("tracebacks name the file and the line of the user", function()
    local name = support.file [[


      local function inner()
        error "deep"
      end
      return function()
        inner()
        return 1
      end
    ]]
    local ok, problem = pcall(pool.apply, pool, dofile(name))
    os.remove(name)
    assert.is_false(ok)
    assert.is_truthy(tostring(problem.message):find(name .. ":4: deep", 1, true))
    assert.is_truthy(problem.traceback:find(name .. ":4: in", 1, true))
    assert.is_truthy(problem.traceback:find(name .. ":7: in", 1, true))
  end)

  it("globals of one call are not seen by the next", function()
    local set = function()
      cc_leak = 1 -- luacheck: ignore
      string.cc_leak = 2 -- luacheck: ignore
      return true
    end
    for _ = 1, 4 do
      pool:apply(set)
      assert.same({ nil, nil, n = 2 }, table.pack(pool:apply(function()
        return cc_leak, string.cc_leak -- luacheck: ignore
      end)))
    end
  end)

  it("what cannot be sent is named, with the number of the item", function()
    local identity = function(x) return x end
    local file = io.tmpfile()
    local ok, problem = pcall(pool.map, pool, identity, { 1, 2, { deep = file } })
    assert.is_false(ok)
    assert.matches("cannot send item 3: field 'deep' is a userdata %(FILE%*%)", tostring(problem))
    ok, problem = pcall(pool.apply, pool, identity, { 1, file })
    assert.is_false(ok)
    assert.matches("cannot send argument 2.*userdata %(FILE%*%)", tostring(problem))
    ok, problem = pcall(pool.apply, pool, function() return file end)
    assert.is_false(ok)
    assert.matches("upvalue 'file' of function", tostring(problem))
    file:close()
    ok, problem = pcall(pool.apply, pool, function() return 1, coroutine.create(print) end)
    assert.is_false(ok)
    assert.matches("result 2.*coroutine", tostring(problem))
    assert.equal(5, pool:apply(identity, { 5 }))
  end)

  it("functions may be large, of what nothing compresses", function()
    local words = {}
    for i = 1, 20000 do
      words[i] = string.pack("<i8", math.random(0))
    end
    local text = table.concat(words)
    assert.is_true(text == pool:apply(function() return text end))
  end)

  it("every kind of value is what it was", function()
    local echo = function(...) return ... end
    local values = table.pack(pool:apply(echo, { n = 9, nil, false, math.mininteger, -0.0, 1 / 0,
      "a\0b", { {} }, nil, nil }))
    assert.equal(9, values.n)
    assert.is_nil(values[1])
    assert.is_false(values[2])
    assert.equal(math.mininteger, values[3])
    assert.equal(-math.huge, 1 / values[4])
    assert.equal(math.huge, values[5])
    assert.equal("a\0b", values[6])
    assert.same({ {} }, values[7])
    assert.equal(print, (pool:apply(echo, { print })))
    assert.equal(string.format, (pool:apply(echo, { string.format })))
    assert.equal(codec.dump(7), pool:apply(function() return require "lambdapool".dump(7) end))
  end)
end)
