local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local dump, load = codec.dump, codec.load
local refusal = support.refusal

--- The first line: what cannot be sent, and where it is.
local function problem(value)
  return (refusal(value):match "[^\n]*")
end

--- A function under a chunk name of its own, so that messages can be compared whole.
local function compile(text, ...)
  return assert(_G.load(text, "=job.lua"))(...)
end

local file

describe("what cannot be sent is named with its path:", function()
  setup(function() file = io.tmpfile() end)
  teardown(function()
    file:close()
    support.remove_files()
  end)

  it("alone", function()
    assert.matches("^cannot send a userdata %(FILE%*%)", problem(file))
    assert.matches("^cannot send a coroutine", problem(coroutine.create(print)))
    assert.matches("^cannot send a C function", problem(("x"):gmatch "x"))
    assert.matches("^cannot send function", problem(compile("return function() end") and
      _G.load(string.dump(function() end, true))))
  end)

  it("in tables, by their keys", function()
    local cases = {
      [{ file }] = "[1]",
      [{ 1, 2, file }] = "[3]",
      [{ a = { b = { c = file } } }] = "a.b.c",
      [{ { { file } } }] = "[1][1][1]",
      [{ ["with space"] = file }] = '["with space"]',
      [{ ["end\n\0"] = file }] = '["end??"]',
      [{ [1.5] = { [true] = { [false] = file } } }] = "[1.5][true][false]",
      [{ [-3] = file }] = "[-3]",
      [{ [2 ^ 53] = file }] = "[" .. math.tointeger(2 ^ 53) .. "]",
      [{ [print] = file }] = "[function]",
      [{ [io.stdout] = { x = file } }] = "[userdata].x",
      [{ [("x"):rep(100)] = file }] = '["' .. ("x"):rep(40) .. '..."]',
    }
    for value, path in pairs(cases) do
      assert.equal("cannot send a table: field '" .. path .. "' is a userdata (FILE*)",
        problem(value))
    end
  end)

  it("as keys", function()
    assert.matches("^cannot send a table: .*userdata %(FILE%*%)", problem { [file] = 1 })
    assert.matches("^cannot send a table: .*%[a key%]", problem { [{ file }] = 1 })
  end)

  it("in metatables", function()
    assert.equal("cannot send a table: field 'x[metatable].__index.y' is a userdata (FILE*)",
      problem { x = setmetatable({}, { __index = { y = file } }) })
  end)

  it("in upvalues", function()
    local f = compile("local db = ... return function() return db end", { handle = file })
    assert.equal("cannot send function job.lua:1: upvalue 'db' (field 'handle') of function "
      .. "job.lua:1 is a userdata (FILE*)", problem(f))
    local g = compile("local db = ...\nreturn function() return db end", file)
    assert.equal("cannot send function job.lua:2: upvalue 'db' of function job.lua:2 is a " ..
      "userdata (FILE*)", problem(g))
  end)

  it("in upvalues of functions in upvalues", function()
    local f = compile([[
      local file = ...
      local function inner() return file end
      local tools = { run = inner }
      return function() return tools end
    ]], file)
    assert.equal("cannot send function job.lua:4: upvalue 'file' of function job.lua:2 " ..
      "(upvalue 'tools' (field 'run') of function job.lua:4) is a userdata (FILE*)", problem(f))
  end)

  it("in functions in tables", function()
    local f = compile("local db = ... return function() return db end", file)
    assert.equal("cannot send a table: upvalue 'db' of function job.lua:1 (field 'list[2].f') " ..
      "is a userdata (FILE*)", problem { list = { 1, { f = f } } })
  end)

  it("in main chunks", function()
    local main = _G.load("return x", "=job.lua", "t", { x = file })
    assert.equal("cannot send main chunk of job.lua: upvalue '_ENV' (field 'x') of main chunk " ..
      "of job.lua is a userdata (FILE*)", problem(main))
  end)

  it("stripped functions with how they were come by", function()
    local stripped = _G.load(string.dump(function(x) return x end, true))
    local f = compile("local helper = ... return function() return helper end", stripped)
    assert.matches("upvalue 'helper' of function job.lua:1 is function %?.*stripped", problem(f))
    assert.matches("field 'a'.*stripped", problem { a = stripped })
  end)

  it("coroutines, C functions and light userdata", function()
    local co = coroutine.create(print)
    assert.equal("cannot send a table: field 'co' is a coroutine", problem { co = co })
    assert.equal("cannot send a table: field 'wrap' is a C function that is in no loaded module",
      problem { wrap = coroutine.wrap(print) })
    local iterator = ("x"):gmatch "x"
    local f = compile("local it = ... return function() return it() end", iterator)
    assert.matches("upvalue 'it' of function job.lua:1 is a C function", problem(f))
  end)

  it("with a name of any kind for the userdata's class", function()
    local meta = debug.getmetatable(file)
    local name = meta.__name
    for _, odd in ipairs { 5, {}, true } do
      meta.__name = odd
      local message = problem { file }
      meta.__name = name
      assert.matches("is a userdata$", message)
    end
    meta.__name = ("long "):rep(1000)
    local message = problem { file }
    meta.__name = name
    assert.matches("long long", message)
  end)

  it("in long paths, cut in the middle", function()
    local value = { last = file }
    for i = 100000, 1, -1 do
      value = { ["k" .. i] = value }
    end
    local message = problem(value)
    assert.is_true(#message < 1000)
    assert.matches("'k1%.k2%.", message)
    assert.matches("%.last' is a userdata", message)
  end)

  it("through long chains of functions", function()
    local f = file
    for _ = 1, 1000 do
      f = compile("local inner = ... return function() return inner end", f)
    end
    local message = problem(f)
    assert.is_true(#message < 1000)
    assert.matches("upvalue 'inner' of function job.lua:1", message)
  end)

  it("with advice", function()
    assert.matches("\n  open it inside the task", refusal(file))
    assert.matches("\n  create it inside the task", refusal(coroutine.create(print)))
  end)

  it("as strings", function()
    for _, value in ipairs { file, coroutine.create(print), { file } } do
      assert.equal("string", type(refusal(value)))
    end
  end)
end)

describe("after a refusal", function()
  it("the next dump is right", function()
    -- the tables of the failed one must not be taken for sent
    local shared, text = { 1, 2, 3 }, "a text that is shared"
    dump {}
    for _ = 1, 5 do
      assert.is_false((pcall(dump, { shared, text, { k = shared }, coroutine.create(print) })))
      assert.same({ { 1, 2, 3 }, "a text that is shared" }, load(dump { shared, text }))
    end
  end)

  it("the next dump is right, when that one was large", function()
    local shared, large = { 1, 2, 3 }, {}
    for i = 1, 50000 do
      large[i] = { i }
    end
    large[#large + 1] = shared
    dump {}
    dump(large)
    assert.same({ shared }, load(dump { shared }))
    large[#large + 1] = coroutine.create(print)
    pcall(dump, large)
    assert.same({ { 1, 2, 3 }, { 7 } }, load(dump { shared, large[7] }))
  end)

  it("the next dump is right, when that was in a hook", function()
    local shared = { 1, 2, 3 }
    local f = function(...) return { ... } end
    local failing = setmetatable({}, { __lambdapool = function()
      assert.is_false((pcall(dump, { shared, coroutine.create(print) })))
      return table.pack, shared, #dump { shared, shared } > 0
    end })
    for _ = 1, 3 do
      local loaded = load(dump { shared, failing, shared })
      assert.same({ 1, 2, 3 }, loaded[3])
      assert.equal(loaded[1], loaded[2][1])
    end
    assert.is_function(f)
  end)

  it("functions, cells and code are sent anew", function()
    local n = 5
    local f = function() n = n + 1 return n end
    dump(f)
    assert.is_false((pcall(dump, { f, coroutine.create(print) })))
    assert.equal(6, load(dump(f))())
    assert.is_false((pcall(dump, { f, coroutine.create(print) })))
    assert.equal(6, load(dump { { f } })[1][1]())
  end)
end)

describe("load refuses", function()
  it("what is no dump", function()
    for _, bytes in ipairs { "", "\0", "\xC7LP", ("x"):rep(100), "\27Lua", "return 1",
      string.dump(print and function() end) } do
      local ok, message = pcall(load, bytes)
      assert.is_false(ok)
      assert.matches("^cannot load: these bytes are not a lambdapool dump", message)
    end
  end)

  it("other versions, saying so", function()
    local bytes = dump(1)
    for _, version in ipairs { 0, 2, 255 } do
      local ok, message = pcall(load, bytes:sub(1, 3) .. string.char(version) .. bytes:sub(5))
      assert.is_false(ok)
      assert.matches("version " .. version, message)
    end
  end)

  it("wrong arguments and unknown options", function()
    assert.has_error(function() load() end)
    assert.has_error(function() load {} end)
    assert.has_error(function() load(dump(1), 5) end)
    local ok, message = pcall(load, dump(1), { trust = true })
    assert.is_false(ok)
    assert.matches("unknown option 'trust'", message)
    assert.has_error(function() load(dump(1), { true }) end)
    assert.equal(1, load(dump(1), nil))
    assert.equal(1, load(dump(1), { trusted = false }))
    assert.equal(1, load(dump(1), { trusted = true }))
  end)

  it("a field that the receiver's module does not have", function()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    support.write_file(folder .. "/ce_m.lua", "return { f = function() end }")
    local path = package.path
    package.path = folder .. "/?.lua;" .. path
    local f = require "ce_m".f
    local bytes = dump { f }
    require "ce_m".f = nil
    local ok, message = pcall(load, bytes)
    package.loaded.ce_m = 5
    local ok_number, message_number = pcall(load, bytes)
    package.loaded.ce_m = nil
    local ok_none, message_none = pcall(load, bytes)
    package.path = path
    os.execute("rm -r " .. folder)
    assert.same({ false, false, false }, { ok, ok_number, ok_none })
    assert.matches("module 'ce_m' has no field 'f' here", message)
    assert.matches("module 'ce_m' is no table here", message_number)
    assert.matches("module 'ce_m' is not loaded here", message_none)
  end)
end)
