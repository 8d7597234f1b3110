--- The caller's side of a call without a worker: code objects, tasks that are encoded ahead, what
--- a request takes in, and reading records.
local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local Point = { __name = "Point" }
Point.__index = Point
local function point(x) return setmetatable({ x = x }, Point) end

local function identity(...) return ... end

local function adder(n)
  return function(x) return x + n end
end

describe("a code object", function()
  it("is the previous one when the function is equal", function()
    local code = codec.code(adder(1))
    assert.equal(code, codec.code(adder(1), code))
    assert.not_equal(code, codec.code(adder(2), code))
    assert.not_equal(code, codec.code(identity, code))
    assert.not_equal(code, codec.code(adder(1)))
    assert.equal(tostring(code), tostring(codec.code(adder(1), nil)))
  end)

  it("is a new one when an upvalue has changed", function()
    local list = { 1 }
    local f = function() return #list end
    local code = codec.code(f)
    assert.equal(code, codec.code(f, code))
    list[2] = 2
    local changed = codec.code(f, code)
    assert.not_equal(code, changed)
    assert.equal(changed, codec.code(f, changed))
  end)

  it("is a new one when it refers to another class of equal text", function()
    local function maker(class)
      return function(x) return setmetatable({ x = x }, class) end
    end
    local function class() return { __name = "C" } end
    local a, b = class(), class()
    local code = codec.code(maker(a))
    assert.equal(code, codec.code(maker(a), code))
    assert.not_equal(code, codec.code(maker(b), code))
  end)

  it("may be compressed, or hold long strings", function()
    for _, size in ipairs { 5000, 40000, 200000 } do
      local function holder(last)
        local text = ("lambdapool "):rep(size) .. last
        return function() return text end
      end
      local code = codec.code(holder "a")
      assert.equal(code, codec.code(holder "a", code))
      assert.not_equal(code, codec.code(holder "b", code))
      assert.not_equal(code, codec.code(holder "", code))
    end
  end)

  it("takes no other value for the previous one", function()
    assert.has_error(function() codec.code(identity, {}) end)
    assert.has_error(function() codec.code(identity, identity) end)
  end)
end)

describe("tasks that are encoded ahead", function()
  local values = { 1, -2.5, "three", ("four"):rep(20), true, point(6), { { 7 } }, identity, print,
    ("nine"):rep(20000) }
  local n = #values
  local code = codec.code(function(p) return point(p.x) end)

  it("make the request that their items make", function()
    local bodies, records = codec.encode(code, values, 1, n)
    local one, origins = codec.request(code, values, 1, n, { timeout_ms = 5 })
    local two, encoded_origins, taken = codec.request(code, bodies, 1, n,
      { timeout_ms = 5, encoded = true, records = records })
    assert.is_true(one == two)
    assert.same(origins, encoded_origins)
    assert.equal(n, taken)
  end)

  it("make it for any part of the list", function()
    local bodies, records = codec.encode(code, values, 3, 8)
    assert.is_nil(bodies[2])
    assert.is_nil(bodies[9])
    local one, origins = codec.request(code, values, 5, 7)
    local two, encoded_origins = codec.request(code, bodies, 5, 7,
      { encoded = true, records = records })
    assert.is_true(one == two)
    assert.same(origins, encoded_origins)
  end)

  it("make it for lists of arguments", function()
    local lists = { { 1, 2 }, {}, table.pack(nil, point(3), nil), { point(4), ("5"):rep(100) },
      { 6 } }
    local bodies, records = codec.encode(code, lists, 1, #lists, true)
    local one, origins = codec.request(code, lists, 1, #lists, { star = true })
    local two, encoded_origins = codec.request(code, bodies, 1, #lists,
      { encoded = true, records = records })
    assert.is_true(one == two)
    assert.same(origins, encoded_origins)
    for i, list in ipairs(lists) do
      local body, record = codec.arguments(code, table.unpack(list, 1, list.n or #list))
      assert.equal(bodies[i], body)
      assert.same(records and records[i], record)
    end
  end)

  it("have records only where there is something to refer to", function()
    assert.is_nil((select(2, codec.encode(code, { 1, { 2 }, "3" }, 1, 3))))
    assert.is_nil((select(2, codec.arguments(code, 1, { 2 }, "3"))))
    assert.is_nil((select(2, codec.arguments(code))))
    local class = { __name = "D" }
    local _, records = codec.encode(code, { 1, setmetatable({ 2 }, class), 3 }, 1, 3)
    assert.is_nil(records[1])
    assert.is_nil(records[3])
    local _, key = next(records[2])
    assert.equal(class, key)
  end)

  it("are none of none", function()
    assert.same({}, (codec.encode(code, {}, 1, 0)))
  end)

  it("say what cannot be sent as a request does", function()
    local file = io.tmpfile()
    local function refusal(f, ...)
      local ok, message = pcall(f, ...)
      assert.is_false(ok)
      return (message:match "^cannot send (.-) is a userdata" or message:match "^cannot send (.-):")
    end
    assert.equal("item 2: it", refusal(codec.encode, code, { 1, file }, 1, 2))
    assert.equal("argument 1 of item 2: it",
      refusal(codec.encode, code, { {}, { file } }, 1, 2, true))
    assert.equal("argument 1: it", refusal(codec.encode, code, { { file } }, 1, 1, true))
    assert.equal("argument 3: field 'x'", refusal(codec.arguments, code, 1, nil, { x = file }))
    file:close()
  end)

  it("check what they are given", function()
    assert.has_error(function() codec.arguments({}, 1) end)
    assert.has_error(function() codec.encode({}, {}, 1, 0) end)
    assert.has_error(function() codec.encode(code, 5, 1, 0) end)
    assert.has_error(function() codec.encode(code, {}, 0, 0) end)
    assert.has_error(function() codec.encode(code, {}, 3, 1) end)
    assert.has_error(function() codec.request(code, { {} }, 1, 1, { encoded = true }) end,
      "item 1 is not encoded")
    assert.has_error(function() codec.request(code, {}, 1, 1, { encoded = true }) end)
    assert.has_error(function()
      codec.request(code, { "" }, 1, 1, { encoded = true, records = 5 })
    end)
  end)
end)

describe("a request", function()
  local code = codec.code(identity)
  local megabyte = ("x"):rep(1000000)

  it("takes items up to the limit", function()
    local list = {}
    for i = 1, 10 do
      list[i] = megabyte
    end
    local request, _, taken = codec.request(code, list, 1, 10)
    assert.equal(4, taken)
    assert.is_true(#request <= codec.limits.request)
    assert.is_true(request == (codec.request(code, list, 1, 4)))
    _, _, taken = codec.request(code, list, 9, 10)
    assert.equal(10, taken)
    local bodies = codec.encode(code, list, 1, 10)
    local encoded
    encoded, _, taken = codec.request(code, bodies, 1, 10, { encoded = true })
    assert.equal(4, taken)
    assert.is_true(request == encoded)
  end)

  it("leaves out what the item that does not fit refers to", function()
    local class = { __name = "E" }
    local list = { 1, setmetatable({ ("y"):rep(5000000) }, class), 3 }
    local _, origins, taken = codec.request(code, list, 1, 3)
    assert.equal(1, taken)
    assert.is_nil(origins[2])
    assert.is_nil(origins[3])
  end)

  it("is none when its first item alone is too large", function()
    local large = ("x"):rep(5000000)
    local request, size = codec.request(code, { 1, large, 3 }, 2, 3)
    assert.is_nil(request)
    assert.is_true(size > codec.limits.request and size < 7000000)
    assert.is_nil((codec.request(code, codec.encode(code, { large }, 1, 1), 1, 1,
      { encoded = true })))
  end)

  it("stops at the soft limit", function()
    local list = {}
    for i = 1, 1000 do
      list[i] = ("z"):rep(1000)
    end
    local request, _, taken = codec.request(code, list, 1, 1000, { soft_limit = 100000 })
    assert.is_true(#request > 100000 and #request < 103000)
    assert.is_true(request == (codec.request(code, list, 1, taken)))
    request, _, taken = codec.request(code, list, 7, 1000, { soft_limit = 1 })
    assert.equal(7, taken)
    assert.is_true(request == (codec.request(code, list, 7, 7, { position = 0 })))
    assert.equal(1000, (select(3, codec.request(code, list, 1, 1000, { soft_limit = 9000000 }))))
  end)

  it("counts positions from the front of the list", function()
    local list = { 5, 5, 5, 5 }
    assert.equal(codec.request(code, list, 1, 2, { position = 2, seed = 1 << 63 }),
      (codec.request(code, list, 3, 4, { seed = 1 << 63 })))
    assert.not_equal(codec.request(code, list, 1, 2, { seed = 1 }),
      codec.request(code, list, 1, 2, { seed = 2 }))
    assert.not_equal(codec.request(code, list, 1, 2, { stop_ms = 1 }),
      codec.request(code, list, 1, 2, {}))
  end)
end)

describe("records that were kept", function()
  local function record(ended, body)
    return string.pack("<Bs4", ended, body)
  end

  local function body(...)
    return (codec.arguments(codec.code(identity), ...))
  end

  local function kept(bytes, tasks, columns)
    columns = columns or {}
    local report, errors = codec.kept(bytes, tasks, { {} }, columns, 0)
    return report, errors, columns
  end

  it("are read into columns and errors", function()
    local bytes = record(0, body(1)) .. record(0, body("two")) .. record(0, body()) ..
      record(1, body("no", "trace", { 4 })) .. record(0, body(5, 6, 7)) .. record(2, body("late"))
    local report, errors, columns = kept(bytes, 100)
    assert.equal(6, report.done)
    assert.equal(3, report.max_values)
    assert.same({ { 1, "two", [5] = 5 }, { [5] = 6 }, { [5] = 7 } }, columns)
    assert.same({ kind = "error", message = "no", traceback = "trace", value = { 4 } }, errors[4])
    assert.equal("timeout", errors[6].kind)
  end)

  it("tell which of the results are JSON", function()
    local report, errors, columns = kept(record(5, body(1, "[1]")) .. record(0, body("[2]")) ..
      record(5, body(2, 3, "{}")) .. record(5, body()) .. record(5, body("x")), 10)
    assert.equal(5, report.done)
    assert.is_nil(errors)
    assert.same({ 1, [3] = 2, [5] = 0 }, columns.json)
    assert.same({ "[1]", "[2]", 3 }, columns[1])
    assert.same({ [3] = "{}" }, columns[2])
  end)

  it("are no more than there were tasks", function()
    local bytes = record(0, body(1)):rep(10)
    for tasks = -1, 12 do
      local report, _, columns = kept(bytes, tasks)
      assert.equal(math.max(0, math.min(tasks, 10)), report.done)
      assert.equal(report.done, #(columns[1] or {}))
    end
  end)

  it("end where no whole one follows", function()
    local bytes = record(0, body(1)) .. record(0, body({ 2 })) .. record(1, body("m", "t"))
    local sizes = { [0] = 0, #record(0, body(1)), #record(0, body(1)) + #record(0, body({ 2 })),
      #bytes }
    for size = 0, #bytes do
      local done = 0
      while sizes[done + 1] and sizes[done + 1] <= size do
        done = done + 1
      end
      assert.equal(done, kept(bytes:sub(1, size), 3).done)
    end
    assert.equal(1, kept(record(0, body(1)) .. record(6, body(2)) .. record(0, body(3)), 3).done)
    assert.equal(0, kept("\0\xff\xff\xff\xff" .. body(1), 3).done)
  end)

  it("fail alone when their body is not one", function()
    local report, errors, columns = kept(record(0, "\xff\xfe") .. record(0, "") ..
      record(1, "junk") .. record(0, body(4)), 4)
    assert.equal(4, report.done)
    assert.equal(4, columns[1][4])
    for i = 1, 3 do
      assert.equal("error", errors[i].kind)
      assert.matches("cannot load", errors[i].message)
    end
  end)

  it("refer to the classes of the call", function()
    local code = codec.code(function() return Point end)
    local _, origins = codec.request(code, { 1 }, 1, 1)
    local columns = {}
    codec.kept(record(0, (codec.arguments(code, point(1)))), 1, origins, columns, 0)
    assert.equal(Point, getmetatable(columns[1][1]))
  end)

  it("check what they are given", function()
    assert.has_error(function() codec.kept(5, 1, {}, {}) end)
    assert.has_error(function() codec.kept("", 1, nil, {}, 0) end)
    assert.has_error(function() codec.kept("", 1, {}, nil, 0) end)
    assert.has_error(function() codec.kept("", "x", {}, {}, 0) end)
  end)
end)

teardown(support.remove_files)
