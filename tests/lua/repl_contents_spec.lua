local contents = require "lambdapool.repl.contents"

local function of(source, limit, steps)
  local found = contents.of(source, limit or 100, steps or 1000)
  return { found.length, found.count, found.exact, table.unpack(found.keys) }
end

describe("contents", function()
  it("tell the list from the other keys", function()
    assert.same({ 0, 0, true }, of {})
    assert.same({ 3, 0, true }, of { 1, 2, 3 })
    assert.same({ 2, 2, true, "a", "b" }, of { 1, 2, b = 1, a = 2 })
    assert.same({ 0, 2, true, 0, 5 }, of { [5] = 1, [0] = 1 })
  end)

  it("sort keys: numbers, strings, booleans, others", function()
    local list = {}
    assert.same({ 0, 8, true, -1, 2.5, 1e10, "a", "b", false, true, list },
      of { [2.5] = 1, a = 1, [true] = 1, [-1] = 1, [list] = 1, b = 1, [1e10] = 1, [false] = 1 })
    assert.same({ 0, 3, true, "a", "b" }, of({ c = 1, b = 1, a = 1 }, 2))
    assert.same({ 0, 3, true }, of({ c = 1, b = 1, a = 1 }, 0))
  end)

  it("take n for the length of a list that has nothing else", function()
    assert.same({ 3, 0, true }, of { 1, nil, 3, n = 3 })
    assert.same({ 5, 0, true }, of { 1, nil, nil, nil, nil, n = 5 })
    assert.same({ 5, 0, true }, of { nil, nil, nil, 4, n = 5 })
    assert.same({ 0, 1, true, "n" }, of { n = 5 })
    assert.same({ 0, 1, true, "n" }, of { n = 0 })
    assert.same({ 2, 1, true, "n" }, of { 1, 2, n = 1 })
    assert.same({ 2, 1, true, "n" }, of { 1, 2, n = 2.0 })
    assert.same({ 2, 2, true, "n", "x" }, of { 1, 2, n = 2, x = 1 })
    assert.same({ 2, 2, true, 10, "n" }, of { 1, 2, [10] = 1, n = 5 })
    assert.same({ 1 << 62, 0, true }, of { 1, n = 1 << 62 })
  end)

  it("find keys behind a long list, and look at no more than they may", function()
    local list = {}
    for i = 1, 100000 do
      list[i] = i
    end
    assert.same({ 100000, 0, true }, of(list))
    list.name, list[-1] = 1, 1
    assert.same({ 100000, 2, true, -1, "name" }, of(list))
    list.name, list[-1], list.n = nil, nil, 100000
    assert.same({ 100000, 0, true }, of(list))
    local set = {}
    for i = 1, 100000 do
      set["k" .. i] = i
    end
    local found = contents.of(set, 10, 1000)
    assert.same({ 0, 1000, false, 10 }, { found.length, found.count, found.exact, #found.keys })
  end)

  it("call nothing of the table's own", function()
    local function fail()
      error "called"
    end
    local source = setmetatable({ 1, a = 2 }, { __index = fail, __pairs = fail, __len = fail,
      __eq = fail, __lt = fail, __tostring = fail, __name = fail, __metatable = fail })
    assert.same({ 1, 1, true, "a" }, of(source))
    local key = setmetatable({}, { __eq = fail, __lt = fail, __tostring = fail })
    assert.same({ 0, 2, true }, { table.unpack(of { [key] = 1, [source] = 2 }, 1, 3) })
  end)
end)
