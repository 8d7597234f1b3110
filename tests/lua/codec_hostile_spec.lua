local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local dump, load, seal = codec.dump, codec.load, support.seal

--- Values that between them use every part of the format. Small: their checksums can be forged.
local function compile(text)
  return assert(_G.load(text, "=h"))()
end

local shared = { 1 }
local samples = {
  integers = { 1, -1, 127, 128, 300, math.mininteger, math.maxinteger },
  floats = { 0.5, -0.0, 1 / 0, 0 / 0 },
  strings = { "", "short", ("long"):rep(20), "short", ("long"):rep(20) },
  map = { a = 1, b = { c = true, [false] = 2 }, [1.5] = "x" },
  shared = { shared, shared, { shared, k = shared }, [shared] = 1 },
  meta = setmetatable({ 1, x = setmetatable({}, { __mode = "k" }) }, { __index = { y = 2 } }),
  standard = { print, string.format, io.stdout, string, _G, require "cjson".null },
  closure = compile "local a, b = 1, {} return function(x) a = x return a, b end",
  closures = { compile [[
    local n = 0
    local function up() n = n + 1 return n end
    return up, function() return up(), n end
  ]] },
  globals = compile "h_x, h_y = 1, function() return h_x end return function() return h_y() end",
  module = { require "cjson".encode, require "cjson" },
  hook = setmetatable({}, { __lambdapool = function() return table.pack, 1, { 2 }, "three" end }),
}
samples.cycle = { samples.map }
samples.cycle[2] = samples.cycle

local names = {}
for name in pairs(samples) do
  names[#names + 1] = name
end
table.sort(names)

--- Bytes that are no good may raise, or be values by chance; nothing else.
local function attempt(bytes, options)
  local ok, message = pcall(load, bytes, options)
  if not ok then
    assert(type(message) == "string", "the error is no string")
  end
  return ok, message
end

--- Runs the function and checks that the memory is much the same afterwards.
local function within_memory(kilobytes, f)
  collectgarbage()
  collectgarbage()
  local before = collectgarbage "count"
  f()
  collectgarbage()
  collectgarbage()
  assert.is_true(collectgarbage "count" - before < kilobytes)
end

--- A varint.
local function varint(n)
  local bytes = ""
  while n < 0 or n >= 0x80 do
    bytes = bytes .. string.char(n & 0x7f | 0x80)
    n = n >> 7
  end
  return bytes .. string.char(n)
end

--- A sealed body of one value, made up to a size whose checksum can be forged.
local function forged(value)
  local body = "\1" .. value .. "\26"
  if #body < 9 then
    -- two more values in front, which load as one value too many
    body = "\2" .. "\70" .. "filler" .. value .. "\26"
  end
  return seal(body)
end

describe("load takes", function()
  teardown(function()
    _G.h_x, _G.h_y = nil, nil
    support.remove_files()
  end)

  it("no dump that was cut off, at any length", function()
    for _, name in ipairs(names) do
      local bytes = dump(samples[name])
      load(bytes)
      for size = 0, #bytes - 1 do
        assert.is_false((attempt(bytes:sub(1, size))), name)
      end
      assert.is_false((attempt(bytes .. "\0")))
      assert.is_false((attempt(bytes .. bytes)))
    end
  end)

  it("no dump with a flipped bit", function()
    for _, name in ipairs(names) do
      local bytes = dump(samples[name])
      for at = 1, #bytes do
        for bit = 0, 7 do
          local flipped = bytes:sub(1, at - 1) .. string.char(bytes:byte(at) ~ 1 << bit) ..
            bytes:sub(at + 1)
          assert.is_false((attempt(flipped)), name)
        end
      end
    end
  end)

  it("what was cut off and sealed again as an error", function()
    for _, name in ipairs(names) do
      local body = dump(samples[name]):sub(14)
      if #body <= 240 then
        assert.equal(dump(samples[name]), seal(body), name)
        for size = 9, #body - 1 do
          assert.is_false((attempt(seal(body:sub(1, size)))), name)
          assert.is_false((attempt(seal(body:sub(1, size)), { trusted = true })), name)
        end
      end
    end
  end)

  it("flipped bits and changed bytes that were sealed again", function()
    local sealed = 0
    within_memory(20000, function()
      for _, name in ipairs(names) do
        local body = dump(samples[name]):sub(14)
        if #body <= 240 then
          sealed = sealed + 1
          for at = 1, #body do
            for bit = 0, 7 do
              attempt(seal(body:sub(1, at - 1) .. string.char(body:byte(at) ~ 1 << bit) ..
                body:sub(at + 1)))
            end
            for byte in ("\0\x10\x12\x14\x18\x19\x1a\x1f\x22\x80\xff"):gmatch "." do
              attempt(seal(body:sub(1, at - 1) .. byte .. body:sub(at + 1)))
            end
            attempt(seal(body:sub(1, at - 1) .. body:sub(at + 1)))
            attempt(seal(body:sub(1, at) .. body:sub(at):sub(1, 239 - at)))
          end
        end
      end
    end)
    assert.is_true(sealed >= 8, sealed)
  end)

  it("random bytes behind a good header", function()
    math.randomseed(7)
    local tags = { 0, 1, 2, 3, 4, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a,
      0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x27, 0x41, 0x61, 0x81 }
    within_memory(20000, function()
      for _ = 1, 20000 do
        local body = { 1 }
        for i = 2, math.random(9, 60) do
          body[i] = math.random() < 0.7 and tags[math.random(#tags)] or math.random(0, 255)
        end
        while #body < 9 do
          body[#body + 1] = 0x1a
        end
        body[#body] = 0x1a
        attempt(seal(string.char(table.unpack(body))))
      end
    end)
  end)

  it("random bytes without one", function()
    math.randomseed(8)
    for size = 0, 300 do
      local bytes = {}
      for i = 1, size do
        bytes[i] = string.char(math.random(0, 255))
      end
      bytes = table.concat(bytes)
      assert.is_false((attempt(bytes)))
      assert.is_false((attempt("\xC7LP\1\0" .. bytes)))
      assert.is_false((attempt("\xC7LP\1\1" .. bytes)))
    end
  end)

  it("no forged sizes, and allocates nothing for them", function()
    local tags = { "\x10", "\x12", "\x20", "\x21", "\x1c", "\x1d", "\x1e\1x", "\x14\0\0",
      "\x14\0\0\1h\0", "\x22\x1c\5print" }
    within_memory(1000, function()
      for _, tag in ipairs(tags) do
        for shift = 6, 63 do
          for _, size in ipairs { 1 << shift, (1 << shift) - 1, -(1 << shift) } do
            local peak = collectgarbage "count"
            assert.is_false((attempt(forged(tag .. varint(size) .. "\0\0\0\0\0\0\0\0"))))
            assert.is_true(collectgarbage "count" - peak < 4000)
          end
        end
      end
    end)
  end)

  it("no hint of more pairs than there are bytes", function()
    for hint = 0, 255 do
      collectgarbage()
      local before = collectgarbage "count"
      attempt(forged("\x10\0" .. string.char(hint) .. ("\65k\1"):rep(3) .. "\26"))
      assert.is_true(collectgarbage "count" - before < 1000, hint)
    end
  end)

  it("no varint of more than 64 bits", function()
    assert.is_false((attempt(forged("\3" .. ("\xff"):rep(10) .. "\1"))))
    assert.is_false((attempt(forged("\3" .. ("\x80"):rep(100)))))
    assert.is_false((attempt(forged("\3" .. ("\xff"):rep(9) .. "\2"))))
    assert.equal(math.mininteger, load(forged("\3" .. ("\xff"):rep(9) .. "\1")))
  end)

  it("no references to what is not there, or of another kind", function()
    for distance = 0, 30 do
      for _, tag in ipairs { "\x19", "\x18" } do
        assert.is_false((attempt(forged("\x10\2\x69filler..." .. tag .. varint(distance + 11)))))
        attempt(forged("\x11\3\x69filler...\x41a" .. tag .. varint(distance) .. "\0"))
      end
    end
    -- a function whose upvalue is a reference to a table, and a value that is one to an upvalue
    local text = "local a return function() return a end"
    local f = "\x15\0\0\1h\0" .. varint(#text) .. text .. "\1\0\1"
    local good = seal("\1" .. f .. "\x17\x11\0\0" .. "\0" .. "\26")
    assert.same({}, load(good)())
    for distance = 0, 60 do
      attempt(seal("\1" .. f .. "\x18" .. varint(distance) .. "\0" .. "\26"))
      attempt(seal("\1" .. f .. "\x17\x19" .. varint(distance) .. "\0" .. "\26"))
    end
  end)

  it("a function that is its own upvalue", function()
    local text = "local a return function() return a end"
    local head = "\x15\0\0\1h\0" .. varint(#text) .. text .. "\1\0\1"
    local f = load(seal("\1" .. head .. "\x17\x19" .. varint(#head + 1) .. "\0\26"))
    assert.equal(f, f())
  end)

  it("no bytecode for source text", function()
    local binary = string.dump(function() return "never" end)
    local stripped = string.dump(function() return "never" end, true)
    for _, code in ipairs { binary, stripped, "\27Lua", "\27", "\27" .. ("\0"):rep(50) } do
      local bytes = seal("\1\x14\0\0\1h\0" .. varint(#code) .. code .. "\0\0\0\26")
      local ok, message = attempt(bytes)
      assert.is_false(ok)
      assert.matches("cannot load", message)
      assert.is_false((attempt(bytes, { trusted = true })))
    end
    local module = seal("\1\x1d\3h_m" .. "\x25\3h_m\2@h" .. varint(#stripped) .. stripped .. "\26")
    assert.is_false((attempt(module)))
    assert.is_false((attempt(module, { trusted = true })))
    assert.is_nil(package.loaded.h_m)
  end)

  it("no text that does not compile, no path that leads nowhere", function()
    local function with(text, path, upvalues)
      return seal("\1\x14\0\0\1h\0" .. varint(#text) .. text .. path ..
        (upvalues or "\0\0") .. "\26")
    end
    local good = "return function() return function() end end"
    assert.is_function(load(with(good, "\1\0")))
    assert.is_function(load(with(good, "\2\0\0")))
    assert.is_false((attempt(with("return +", "\0"))))
    assert.is_false((attempt(with(good, "\1\1"))))
    assert.is_false((attempt(with(good, "\3\0\0\0"))))
    assert.is_false((attempt(with(good, "\1\xff\xff\xff\xff\x0f"))))
    assert.is_false((attempt(with(good, "\1\xff\xff\xff\xff\x1f"))))
    assert.is_false((attempt(with(good, varint(200) .. ("\0"):rep(150)))))
    assert.is_false((attempt(with(good, varint(251) .. ("\0"):rep(150)))))
    assert.is_false((attempt(with(good, "\1\0", "\1\x16\0\0"))))
    assert.is_false((attempt(with(good, "\0", "\0\0"))))
    assert.is_false((attempt(with(("("):rep(150), "\0"))))
    assert.is_false((attempt(with(("a="):rep(75), "\0"))))
  end)

  it("no line number that would take gigabytes of newlines", function()
    for shift = 10, 40 do
      local text = "return function() end"
      local before = collectgarbage "count"
      attempt(seal("\1\x14\0\0\1h" .. varint(1 << shift) .. varint(#text) .. text .. "\1\0\0\0\26"))
      assert.is_true(collectgarbage "count" - before < 30000)
      collectgarbage()
    end
  end)

  it("chunk names of any kind, but for a NUL", function()
    local text = "return function() end"
    for _, name in ipairs { "", "@", "=", "@/dev/zero", "\27Lua", ("x"):rep(100) } do
      attempt(seal("\1\x14\0\0" .. varint(#name) .. name .. "\0" .. varint(#text) .. text ..
        "\1\0\0\0\26"))
    end
    assert.is_false((attempt(seal("\1\x14\0\0\3a\0b\0" .. varint(#text) .. text .. "\1\0\0\0\26"))))
  end)

  it("deep nesting, to its limit", function()
    -- large bodies cannot be sealed here: the values inside are the deepest that dump makes
    for _, key in ipairs { 1, "k" } do
      local value = {}
      for _ = 1, 190000 do
        value = { [key] = value }
      end
      local copy, depth = load(dump(value)), 0
      while copy[key] do
        copy, depth = copy[key], depth + 1
      end
      assert.equal(190000, depth)
    end
    for _, opening in ipairs { "\x10\1", "\x12\1", "\x12\0\0", "\x22", "\x10\0\1" } do
      attempt(seal("\1" .. opening:rep(230 // #opening) .. "\26"))
    end
  end)

  it("no forged compression", function()
    local zstd = "\x28\xB5\x2F\xFD"
    local empty_frame = zstd .. "\x20\0\1\0\0"
    for shift = 0, 63 do
      collectgarbage()
      local before = collectgarbage "count"
      assert.is_false((attempt(seal(varint(1 << shift) .. empty_frame, 1))))
      assert.is_false((attempt(seal(varint(1 << shift) .. zstd .. "\0\0\0\0\0\0\0", 1))))
      assert.is_false((attempt(seal(varint(-1 << shift) .. empty_frame, 1))))
      assert.is_true(collectgarbage "count" - before < 2000)
    end
    assert.is_false((attempt(seal(("\0"):rep(20), 1))))
    assert.is_false((attempt(seal(("\xff"):rep(20), 1))))
  end)

  it("no compression bomb", function()
    -- zstd: a frame of RLE blocks, each 128 KiB of one byte out of four
    local block = string.pack("<I3", 1 << 1 | (1 << 17) << 3)
    local frame = "\x28\xB5\x2F\xFD\0\x70"
    local function bomb(blocks, size, byte)
      local parts = {}
      for i = 1, blocks do
        local header = i == blocks and string.pack("<I3", 1 | 1 << 1 | (1 << 17) << 3) or block
        parts[i] = header .. byte
      end
      return seal(varint(size) .. frame .. table.concat(parts), 1)
    end
    collectgarbage()
    local clock = os.clock()
    for _, byte in ipairs { "\0", "\x10", "\x12", "\x22", "\xff", "\1" } do
      for _, blocks in ipairs { 1, 2, 50 } do
        local before = collectgarbage "count"
        assert.is_false((attempt(bomb(blocks, blocks << 17, byte))))
        assert.is_false((attempt(bomb(blocks, (blocks << 17) - 1, byte))))
        assert.is_false((attempt(bomb(blocks, 1 << 30, byte))))
        assert.is_true(collectgarbage "count" - before < 400 * 1024)
        collectgarbage()
      end
    end
    assert.is_true(os.clock() - clock < 60)
  end)

  it("no rebuild function that a hook here did not return", function()
    for _, name in ipairs { "os.exit", "os.execute", "io.popen", "dofile", "load", "setmetatable",
      "error", "collectgarbage" } do
      local ok, message = attempt(seal("\1\x22\x1c" .. varint(#name) .. name .. "\1\x81" .. "\26"))
      assert.is_false(ok)
      assert.matches("loading runs no code", message)
    end
    assert.is_false((attempt(seal "\1\x22\x10\0\0\0\0\0\0\26")))
    assert.is_false((attempt(seal "\1\x22\x22\x22\x22\x22\x22\x22\26")))
  end)

  it("no metatable, key or global that cannot be one", function()
    for _, value in ipairs { "\0", "\1", "\x81", "\x41x", "\x1c\5print", "\x24" } do
      assert.is_false((attempt(forged("\x12\0\0" .. value .. "\0\0"))))
      assert.is_false((attempt(seal("\1\x12\0\0" .. value .. ("\0"):rep(6) .. "\26"))))
    end
    assert.is_false((attempt(seal "\1\x10\0\1\0\x81\26\26\26\26\26")))
    local nan = "\4" .. string.pack("<d", 0 / 0)
    assert.is_false((attempt(seal("\1\x10\0\1" .. nan .. "\x81\26\26"))))
    local text = "return function() end"
    local head = "\1\x14\0\0\1h\0" .. varint(#text) .. text .. "\1\0\0\1"
    assert.is_function(load(seal(head .. "\x41x\x81\26")))
    assert.is_false((attempt(seal(head .. "\x81\x81\26"))))
    assert.is_false((attempt(seal(head .. "\0\x81\26"))))
  end)

  it("no module or standard value that is not here, and requires none", function()
    assert.is_false((attempt(seal "\1\x1c\x09no.such.f\26")))
    assert.is_false((attempt(seal "\1\x1c\x00\26\26\26\26\26\26")))
    assert.is_false((attempt(seal "\1\x1d\x09h_missing\26")))
    assert.is_false((attempt(seal "\1\x1e\x09h_missing\1f\26")))
    assert.is_false((attempt(seal "\1\x1e\x06string\x09h_missing\26")))
    assert.is_false((attempt(seal "\1\x1d\x0bbusted.\0abc\26")))
    local before = package.loaded["luassert.nothing"]
    attempt(seal "\1\x1d\x0emoses.or.other\26")
    assert.equal(before, package.loaded["luassert.nothing"])
  end)

  it("origins only in responses", function()
    assert.is_false((attempt(seal "\1\x1f\1\1\0\0\0\0\0\26")))
    assert.is_false((attempt(seal "\1\x1f\0\0\0\0\0\0\0\26")))
  end)

  it("no other number of values than one", function()
    assert.is_false((attempt(seal "\0\26\26\26\26\26\26\26\26")))
    assert.is_false((attempt(seal "\2\x81\x81\26\26\26\26\26\26")))
    assert.is_false((attempt(seal "\2\x66filler\x81\26")))
  end)

  it("finalizers of others' values only when all bytes are good", function()
    local count = 0
    package.loaded.h_count = { up = function() count = count + 1 end }
    local value = {}
    for i = 1, 5 do
      value[i] = setmetatable({}, { __gc = function() end })
    end
    local body = dump(value):sub(14)
    assert.is_true(#body < 200)
    for size = 9, #body - 1 do
      attempt(seal(body:sub(1, size)))
    end
    collectgarbage()
    package.loaded.h_count = nil
    assert.equal(0, count)
  end)
end)
