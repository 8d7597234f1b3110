local errors = require "lambdapool.errors"
local interrupt = require "lambdapool.interrupt"
local lambdapool = require "lambdapool"
local printer = require "lambdapool.repl.printer"

local show = printer.format

local function lines_of(text)
  return select(2, text:gsub("\n", "")) + 1
end

local function widest(text)
  local most = 0
  for line in text:gmatch "[^\n]+" do
    most = math.max(most, utf8.len(line))
  end
  return most
end

-- A list of `count` numbers, or of what `make` gives for each.
local function list_of(count, make)
  local list = {}
  for i = 1, count do
    list[i] = make and make(i) or i
  end
  return list
end

describe("the printer", function()
  it("shows plain values", function()
    assert.equal("nil", show(nil))
    assert.equal("true", show(true))
    assert.equal("2", show(2))
    assert.equal("2.0", show(2.0))
    assert.equal('"a\\nb"', show "a\nb")
    assert.equal('"' .. ("x"):rep(800) .. '"… (5,000 bytes)', show(("x"):rep(5000)))
  end)

  it("shows tables, the list first and then sorted keys", function()
    assert.equal("{}", show {})
    assert.equal('{ 1, "x", a = true, b = 0, z = {} }', show { 1, "x", b = 0, a = true, z = {} })
    assert.equal("{ 0.33333333333333, 0.5, 0.2 }", show { 1 / 3, 0.5, 0.2 })
    assert.equal('{ [-1] = 1, [3.5] = 1, ["a b"] = 1, name = "x", [false] = 1 }',
      show { [3.5] = 1, [-1] = 1, name = "x", ["a b"] = 1, [false] = 1 })
    assert.equal("{ [{…}] = 1 }", show { [{ 1 }] = 1 })
    assert.equal("{ [function: builtin print] = 1 }", show { [print] = 1 })
  end)

  it("shows results of map as lists", function()
    assert.equal("{ 1, nil, 3 }", show { 1, nil, 3, n = 3 })
    assert.equal("{ 1, nil, nil }", show { 1, nil, nil, n = 3 })
    assert.equal("{ n = 3 }", show { n = 3 })
    assert.equal("{ 1, 2, n = 2, x = 1 }", show { 1, 2, n = 2, x = 1 })
  end)

  it("marks cycles, and shows what is there twice", function()
    local t, shared = { a = {} }, { 1 }
    t.a.up, t.self = t, t
    assert.equal("{ a = { up = <cycle> }, self = <cycle> }", show(t))
    assert.equal("{ { 1 }, { 1 } }", show { shared, shared })
  end)

  it("nests to a limit", function()
    assert.equal("{ { { { {…} } } } }", show { { { { { 1 } } } } })
    assert.equal("{ { { { {} } } } }", show { { { { {} } } } })
    assert.equal("{ {…}, 2 }", show({ { 1 }, 2 }, { depth = 1 }))
    assert.equal("{…}", show({ 1 }, { depth = 0 }))
    local deep = {}
    local inner = deep
    for _ = 1, 100000 do
      inner[1] = {}
      inner = inner[1]
    end
    assert.equal("{ { { { {…} } } } }", show { { { { { deep } } } } })
  end)

  it("cuts long tables with a count", function()
    assert.equal("{ 1, 2, 3, … 9,997 more }", show(list_of(10000), { items = 3 }))
    assert.equal("{ 1, 2, 3, 4, 5 }", show(list_of(5), { items = 3 }))
    assert.equal("{ 1, 2, a = 1, b = 1, … 4 more }",
      show({ 1, 2, a = 1, b = 1, c = 1, d = 1, e = 1, f = 1 }, { items = 2 }))
    local text = show(list_of(10000))
    assert.matches("^{\n  1, 2, 3,.* 100, … 9,900 more\n}$", text)
    assert.is_true(widest(text) <= 80)
    local nested = show { list_of(10000) }
    assert.is_truthy(nested:find("… 9,975 more", 1, true))
  end)

  it("puts what does not fit a line on several", function()
    assert.equal('{\n  a = "' .. ("x"):rep(40) .. '",\n  b = "' .. ("y"):rep(40) .. '"\n}',
      show { a = ("x"):rep(40), b = ("y"):rep(40) })
    assert.equal("{\n  1, 2, 3, 4, 5, 6,\n  { 1, 2, 3 },\n  a = 1\n}",
      show({ 1, 2, 3, 4, 5, 6, { 1, 2, 3 }, a = 1 }, { width = 20 }))
    local text = show(list_of(30, function(i)
      return { id = i, name = "record " .. i }
    end))
    assert.matches('^{\n  { id = 1, name = "record 1" },\n  { id = 2, ', text)
    assert.matches("\n  … %d+ more\n}$", text)
    assert.is_true(lines_of(text) <= 20)
  end)

  it("never takes more than a screen", function()
    local record = function(i)
      return { id = i, text = ("x"):rep(1000), list = list_of(100), url = "http://a.org/" .. i,
        inner = { a = { b = { c = { d = 1 } } } } }
    end
    local values = {
      list_of(300, record), { a = list_of(50, record), b = list_of(50, record) },
      _G, package.loaded, list_of(1000, function() return ("word "):rep(9) end), ("\n"):rep(100000),
      list_of(1000, function() return print end), { [("x"):rep(1000)] = ("y"):rep(1000) },
      list_of(200, function() return list_of(200, function() return list_of(3) end) end),
      setmetatable({}, { __tostring = function() return ("line\n"):rep(300) end }),
      setmetatable({}, { __tostring = function() return ("ä"):rep(1000000) end }),
    }
    for i, value in ipairs(values) do
      for _, size in ipairs { { 80, 20 }, { 40, 10 }, { 200, 50 }, { 20, 5 }, { 1, 1 } } do
        local text = show(value, { width = size[1], lines = size[2] })
        assert.is_true(lines_of(text) <= size[2], i)
        assert.is_true(size[1] < 80 or #text <= 2 * size[1] * size[2], i)
        assert.is_truthy(utf8.len(text))
      end
    end
    assert.equal("{ {…}, … 299 more }", show(values[1], { width = 20, lines = 1 }))
  end)

  it("looks at the beginning of what is large", function()
    local set, list = {}, list_of(300000)
    for i = 1, 300000 do
      set["k" .. i] = i
    end
    assert.is_truthy(show(set):find("… over 99,9", 1, true))
    list.n = 300000
    assert.is_truthy(show(list):find("100, … 299,900 more\n", 1, true))
    assert.is_truthy(show(list_of(1000, function() return set end)):find "more\n}$")
  end)

  it("shows functions with their names and places", function()
    function _G.vowels() end
    local function own() end
    local line = debug.getinfo(own, "S").linedefined
    local here = ("tests/lua/repl_printer_spec.lua:%d"):format(line)
    assert.equal("function: builtin string.format", show(string.format))
    assert.equal("function: " .. here, show(own))
    assert.equal(("function: own (%s)"):format(here), show(own, { name_of = function(value)
      return value == own and "own" or nil
    end }))
    assert.matches("^function: vowels %(.*_spec.lua:%d+%)$", show(_G.vowels))
    assert.matches("^function: builtin 0x%x+$", show(string.gmatch("", "")))
    assert.matches("^function: lambdapool.pool %(lambdapool/init.lua:%d+%)$", show(lambdapool.pool))
    assert.matches("^function: a\\x1b:1$", show(load("return function() end", "=a\27")()))
    _G.vowels = nil
  end)

  it("shows threads and userdata", function()
    assert.matches("^thread: 0x%x+ %(suspended%)$", show(coroutine.create(print)))
    assert.matches("^file %(0x%x+%)$", show(io.stdout))
    assert.matches("^userdata: ", show(require "cjson".null))
  end)

  it("asks values with a __tostring, and survives what they do", function()
    local function with(fn)
      return setmetatable({}, { __tostring = fn })
    end
    assert.equal("own text", show(with(function() return "own text" end)))
    assert.equal("two\nlines", show(with(function() return "two\nlines" end)))
    assert.equal("{ two… }", show { with(function() return "two\nlines" end) })
    assert.equal("a\\x1b[2J", show(with(function() return "a\27[2J" end)))
    assert.equal("<error in __tostring: why>", show(with(function() error("why", 0) end)))
    assert.equal("<error in __tostring: table>",
      show(with(function() error(with(function() error "again" end)) end)))
    assert.matches("^<error in __tostring: ", show(with(function() return {} end)))
    assert.matches("^<error in __tostring: .*overflow", show(with(tostring)))
    assert.matches("^<error in __tostring: ", show(with(5)))
    assert.is_true(widest(show { with(function() return ("ä"):rep(1000) end) }) < 70)
  end)

  it("lets an interrupt through", function()
    local index = 0
    local name, class
    repeat
      index = index + 1
      name, class = debug.getupvalue(interrupt.is, index)
    until name == "mt" or not name
    local raised = setmetatable({ message = "interrupted" }, class)
    local ok, failure = pcall(show, setmetatable({}, { __tostring = function() error(raised) end }))
    assert.same({ false, raised }, { ok, failure })
  end)

  it("calls nothing else of a value's own", function()
    local function fail()
      error "called"
    end
    local hostile = { __index = fail, __pairs = fail, __len = fail, __eq = fail, __metatable = fail,
      __name = fail, __lt = fail, __concat = fail, __gc = fail }
    assert.equal("{ 1, a = 2 }", show(setmetatable({ 1, a = 2 }, hostile)))
    assert.equal("{ { 1 } }", show { setmetatable({ 1 }, hostile) })
    hostile.__gc = nil
  end)

  it("shows classes by their names, and nothing of what is inside lambdapool", function()
    local Point = { __name = "Point" }
    assert.equal("Point { x = 1 }", show(setmetatable({ x = 1 }, Point)))
    assert.equal("{ Point {}, Point {…} }",
      show({ setmetatable({}, Point), setmetatable({ 1 }, Point) }, { depth = 1 }))
    local pool <close> = lambdapool.pool { workers = 2 }
    assert.equal("lambdapool.Pool (2 workers, open)", show(pool))
    assert.matches("^{ lambdapool.Secret: 0x%x+ }$",
      show { setmetatable({ key = 1 }, { __name = "lambdapool.Secret" }) })
  end)

  it("shows errors as they read elsewhere", function()
    local failure = errors.new("error", { message = "job.lua:1: why", worker = 2, index = 3 })
    assert.equal(tostring(failure), show(failure))
    assert.equal("{ task 3 raised on worker 2… }", show({ failure }, { items = 40 }))
  end)

  it("colours by kind, without counting the escapes", function()
    local value = { 1, "x", nil, true, print, a = { 2.5 } }
    local text = show(value, { colours = true })
    assert.equal(show(value), (text:gsub("\27%[%d+m", "")))
    assert.is_truthy(text:find("\27[36m1\27[0m", 1, true))
    local long = list_of(10000)
    assert.equal(show(long), (show(long, { colours = true }):gsub("\27%[%d+m", "")))
    local several = setmetatable({}, { __tostring = function() return ("line\n"):rep(300) end })
    assert.is_nil(show(several, { colours = true }):find "\27")
  end)

  it("does not mind what becomes of the methods of strings", function()
    local class = getmetatable ""
    class.__index = nil
    local ok, text = pcall(printer.values, { list_of(10000), "a\xFF\n", print, 2.0, n = 4 })
    class.__index = string
    assert.is_true(ok, text)
  end)

  it("shows several values on a line, or below each other", function()
    assert.equal("", printer.values { n = 0 })
    assert.equal("5", printer.values { 5, n = 1 })
    assert.equal('1\tnil\t"x"', printer.values { 1, nil, "x", n = 3 })
    assert.equal('1\tnil\t"x"', (printer.values({ 1, nil, "x", n = 3 }, { colours = true })
      :gsub("\27%[%d+m", "")))
    local long = ("x"):rep(50)
    assert.equal(('"%s"\n"%s"'):format(long, long), printer.values { long, long, n = 2 })
    local many = list_of(1000)
    many.n = 1000
    local text = printer.values(many)
    assert.equal(20, lines_of(text))
    assert.matches("\n19\n… 981 more values$", text)
    assert.is_true(lines_of(printer.values { list_of(1000), list_of(1000), n = 2 }) <= 20)
  end)
end)
