local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local dump, load = codec.dump, codec.load
local round_trip, refusal = support.round_trip, support.refusal

--- Bits and subtype tell numbers apart that `==` does not.
local function assert_same_number(number)
  local copy = round_trip(number)
  assert.equal(math.type(number), math.type(copy))
  assert.equal(string.pack("n", number), string.pack("n", copy))
  if math.type(number) == "integer" then
    assert.equal(number, copy)
  end
end

local function nest(depth, key)
  local root = {}
  local inner = root
  for _ = 1, depth do
    inner[key] = {}
    inner = inner[key]
  end
  return root
end

local function depth_of(value, key)
  local depth = 0
  while value[key] ~= nil do
    value = value[key]
    depth = depth + 1
  end
  return depth
end

describe("the codec sends", function()
  teardown(support.remove_files)

  it("nil and booleans", function()
    assert.is_nil(round_trip(nil))
    assert.is_true(round_trip(true))
    assert.is_false(round_trip(false))
  end)

  it("integers of every size", function()
    for bit = 0, 63 do
      for delta = -2, 2 do
        assert_same_number((1 << bit) + delta)
        assert_same_number(-(1 << bit) + delta)
      end
    end
    assert_same_number(math.mininteger)
    assert_same_number(math.maxinteger)
  end)

  it("floats with all their bits", function()
    local floats = { 0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, math.pi, math.huge, -math.huge, 5e-324,
      -5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308, 2.0 ^ 53,
      2.0 ^ 53 + 2, -2.0 ^ 63, 2.0 ^ 63, 2.0 ^ 64, 127.0, 128.0 }
    for _, float in ipairs(floats) do
      assert_same_number(float)
    end
    assert.equal(-math.huge, 1 / round_trip(-0.0))
    assert.equal(math.huge, 1 / round_trip(0.0))
  end)

  it("nan, its sign and payload too", function()
    for _, bits in ipairs { 0x7ff8000000000000, 0xfff8000000000000, 0x7ff8000000000123 } do
      local nan = string.unpack("d", string.pack("i8", bits))
      local copy = round_trip { nan }[1]
      assert.is_true(copy ~= copy)
      assert.equal(bits, (string.unpack("i8", string.pack("d", copy))))
    end
  end)

  it("integers and floats apart, in tables and as keys too", function()
    local copy = round_trip { 1, 1.0, 2.5, [2 ^ 53 + 1] = "a", [1.5] = "b", [-1] = "c", [0] = "d" }
    assert.equal("integer", math.type(copy[1]))
    assert.equal("float", math.type(copy[2]))
    assert.equal("a", copy[2 ^ 53 + 1])
    assert.equal("b", copy[1.5])
    assert.equal("c", copy[-1])
    assert.equal("d", copy[0])
    for key in pairs(copy) do
      assert.is_true(math.type(key) == "integer" or key == 1.5)
    end
  end)

  it("strings of any bytes and length", function()
    local all = {}
    for byte = 0, 255 do
      all[#all + 1] = string.char(byte)
    end
    all = table.concat(all)
    for _, size in ipairs { 0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 39, 40, 41, 127, 128, 255, 256, 16383,
      16384, 32767, 32768, 32769, 65536, 1 << 20 } do
      local text = all:rep(size // 256 + 1):sub(1, size)
      assert.equal(text, round_trip(text))
      assert.equal(text, round_trip({ text, text })[2])
      assert.is_true(round_trip({ [text] = true })[text])
    end
  end)

  it("many long strings", function()
    local list = {}
    for i = 1, 200 do
      list[i] = (("%d "):format(i)):rep(10000 + i)
      list["key" .. i] = list[i]
    end
    local copy = round_trip(list)
    for key, text in pairs(list) do
      assert.is_true(copy[key] == text)
    end
  end)

  it("10 MB strings without compression or loss", function()
    local text = string.rep("0123456789abcdef", 655360)
    assert.is_true(round_trip(text) == text)
    assert.is_true(#dump(text) < #text + 64)
  end)

  it("lists with holes", function()
    local lists = { { nil, 2 }, { 1, nil, 3 }, { nil, nil, 3 }, { 1, 2, nil, n = 3 },
      { [2] = 2, [4] = 4 }, table.pack(nil, nil), { [1 << 40] = 1 },
      { 1, 2, 3, [1000000] = 4 }, { [math.maxinteger] = 1, [math.mininteger] = 2 } }
    for _, list in ipairs(lists) do
      assert.same(list, round_trip(list))
    end
  end)

  it("every list with holes up to nine elements", function()
    for pattern = 0, 511 do
      local list, count = { n = 9 }, 0
      for i = 1, 9 do
        if pattern >> (i - 1) & 1 == 1 then
          list[i] = i * 10
          count = count + 1
        end
      end
      local copy = round_trip(list)
      for i = 1, 9 do
        assert.equal(list[i], copy[i])
        count = count - (copy[i] and 1 or 0)
      end
      assert.equal(0, count)
      assert.equal(9, copy.n)
    end
  end)

  it("large lists, from which elements were removed", function()
    for _, size in ipairs { 63, 64, 65, 100, 1000, 4097 } do
      for _, step in ipairs { 1, 2, 3, 7, 31 } do
        local list, expected = {}, 0
        for i = 1, size do
          list[i] = i
        end
        for i = 1, size, step do
          list[i] = nil
        end
        for _ in pairs(list) do
          expected = expected + 1
        end
        local found = 0
        for key, value in pairs(round_trip(list)) do
          assert.equal(key, value)
          found = found + 1
        end
        assert.equal(expected, found)
      end
    end
  end)

  it("sparse lists without inventing their holes", function()
    local sparse = {}
    for i = 0, 40 do
      sparse[1 << i] = i
    end
    assert.same(sparse, round_trip(sparse))
    assert.is_true(#dump(sparse) < 2000)
    for i = 1, 40 do
      sparse[i] = -i
    end
    assert.same(sparse, round_trip(sparse))
  end)

  it("keys of every kind", function()
    local key_table, key_function = { name = "key" }, function() return "called" end
    local value = { [true] = 1, [false] = 2, [0.5] = 3, [""] = 4, ["\0"] = 5, [-7] = 6,
      [key_table] = 7, [key_function] = 8, [print] = 9, [io.stdout] = 10, [string] = 11,
      keys = { key_table, key_function } }
    local copy = round_trip(value)
    assert.equal(1, copy[true])
    assert.equal(2, copy[false])
    assert.equal(3, copy[0.5])
    assert.equal(4, copy[""])
    assert.equal(5, copy["\0"])
    assert.equal(6, copy[-7])
    assert.equal(7, copy[copy.keys[1]])
    assert.equal("key", copy.keys[1].name)
    assert.equal(8, copy[copy.keys[2]])
    assert.equal("called", copy.keys[2]())
    assert.equal(9, copy[print])
    assert.equal(10, copy[io.stdout])
    assert.equal(11, copy[string])
  end)

  it("shared tables once", function()
    local shared = { "shared" }
    local copy = round_trip { shared, shared, { shared }, [shared] = shared }
    assert.equal(copy[1], copy[2])
    assert.equal(copy[1], copy[3][1])
    assert.equal(copy[1], copy[copy[1]])
    local many = {}
    for i = 1, 1000 do
      many[i] = shared
    end
    assert.is_true(#dump(many) < 5000)
  end)

  it("cycles through elements, fields, keys and metatables", function()
    local t = { {} }
    t[1][1] = t
    t.self = t
    t[t] = t
    setmetatable(t, t)
    t.__index = t
    local copy = round_trip(t)
    assert.equal(copy, copy[1][1])
    assert.equal(copy, rawget(copy, "self"))
    assert.equal(copy, rawget(copy, copy))
    assert.equal(copy, getmetatable(copy))
    assert.equal(copy, rawget(copy, "__index"))
  end)

  it("equal strings as equal, long ones too", function()
    local long = ("long "):rep(20)
    local copy = round_trip { long, long, [long] = 1, short = "short", ["short "] = "short" }
    assert.equal(long, copy[1])
    assert.equal(long, copy[2])
    assert.equal(1, copy[long])
    assert.equal("short", copy.short)
    assert.equal("short", copy["short "])
    assert.is_true(#dump { long, long } < #long + 40)
  end)

  it("100,000 levels of nesting, in whatever way", function()
    for _, key in ipairs { 1, 2, "inner", 1.5, true } do
      assert.equal(100000, depth_of(round_trip(nest(100000, key)), key))
    end
  end)

  it("100,000 levels of keys and of metatables", function()
    local keys, metas = {}, {}
    for _ = 1, 100000 do
      keys = { [keys] = 1 }
      metas = setmetatable({}, metas)
    end
    keys, metas = round_trip(keys), round_trip(metas)
    local key_depth, meta_depth = 0, 0
    while next(keys) do
      keys = next(keys)
      key_depth = key_depth + 1
    end
    while getmetatable(metas) do
      metas = getmetatable(metas)
      meta_depth = meta_depth + 1
    end
    assert.equal(100000, key_depth)
    assert.equal(100000, meta_depth)
  end)

  it("100,000 closures, each the upvalue of the next", function()
    local function wrap(inner)
      return function() return inner end
    end
    local chain = 7
    for _ = 1, 100000 do
      chain = wrap(chain)
    end
    local depth = 0
    local value = round_trip(chain)
    while type(value) == "function" do
      value = value()
      depth = depth + 1
    end
    assert.equal(7, value)
    assert.equal(100000, depth)
  end)

  it("no deeper nesting than it can load", function()
    for _, key in ipairs { 1, "inner" } do
      local ok, bytes = pcall(dump, nest(199990, key))
      if ok then
        assert.equal(199990, depth_of(load(bytes), key))
      end
      assert.matches("^cannot send .*nested", refusal(nest(1000000, key)))
    end
  end)

  it("standard functions and files as the receiver's own", function()
    for name, library in pairs { string = string, table = table, math = math, io = io, os = os,
      coroutine = coroutine, utf8 = utf8, debug = debug } do
      for field, value in pairs(library) do
        if type(value) == "function" or type(value) == "userdata" then
          assert.equal(value, round_trip(value), name .. "." .. field)
        end
      end
      assert.equal(library, round_trip(library), name)
    end
    for _, f in ipairs { print, type, pairs, next, select, tostring, tonumber, rawget, rawset,
      rawequal, rawlen, pcall, xpcall, error, load, loadfile, dofile, require, setmetatable,
      getmetatable, collectgarbage, ipairs, warn } do
      assert.equal(f, round_trip(f))
    end
  end)

  it("the null of cjson", function()
    local null = require "cjson".null
    assert.equal(null, round_trip(null))
    assert.equal(null, round_trip({ a = { null } }).a[1])
  end)

  it("no string that looks like a number as one", function()
    local copy = round_trip { ["1"] = "1", [1] = 1, ["1.0"] = "0x10" }
    assert.equal("1", copy["1"])
    assert.equal(1, copy[1])
    assert.equal("0x10", copy["1.0"])
  end)

  it("tables of all sizes around the limits of the format", function()
    for _, size in ipairs { 0, 1, 2, 127, 128, 199, 200, 201, 255, 256, 257, 1000, 5000 } do
      local list, map = {}, {}
      for i = 1, size do
        list[i] = i % 3 == 0 and i * 1.5 or i
        map["k" .. i] = i
      end
      assert.same(list, round_trip(list))
      assert.same(map, round_trip(map))
      for key, value in pairs(map) do
        list[key] = value
      end
      assert.same(list, round_trip(list))
    end
  end)

  it("the same value as the same bytes", function()
    local function value()
      return { 1, 2.5, "three", { "four" }, a = "b" }
    end
    assert.equal(dump(value()), dump(value()))
    local f = function(x) return x end
    assert.equal(dump(f), dump(f))
  end)

  it("to another process what it sends to this one", function()
    local output = support.elsewhere({ 1, -0.0, "\0\r\n\"", { true }, k = math.mininteger }, [[
      print(value[1], 1 / value[2], #value[3], value[3]:byte(1, -1))
      print(value[4][1], value.k, math.type(value.k))
    ]])
    assert.equal("1\t-inf\t4\t0\t13\t10\t34\ntrue\t-9223372036854775808\tinteger\n", output)
  end)
end)

describe("dump", function()
  it("leaves the collector as it was", function()
    assert.is_true(collectgarbage "isrunning")
    dump { {} }
    assert.is_true(collectgarbage "isrunning")
    pcall(dump, { coroutine.create(print) })
    assert.is_true(collectgarbage "isrunning")
    collectgarbage "stop"
    dump { {} }
    local still = collectgarbage "isrunning"
    collectgarbage "restart"
    assert.is_false(still)
  end)

  it("needs a value, of any kind", function()
    assert.has_error(function() dump() end)
    assert.is_string(dump(nil))
  end)

  it("keeps no memory", function()
    local value = {}
    for i = 1, 1000 do
      value[i] = { i, tostring(i) }
    end
    load(dump(value))
    collectgarbage()
    collectgarbage()
    local before = collectgarbage "count"
    for _ = 1, 200 do
      load(dump(value))
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 300)
  end)

  it("works in coroutines", function()
    local resume = coroutine.wrap(function(value)
      coroutine.yield(load(dump(value)))
    end)
    assert.same({ 1, { 2 } }, resume { 1, { 2 } })
  end)
end)
