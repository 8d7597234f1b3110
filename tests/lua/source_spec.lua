local sources = require "lambdapool.source"

local rules = { chunksize = { "integer", min = 1 } }

local function read_all(read)
  local items = { n = 0 }
  for more, item in read do
    if not more then
      return items
    end
    items.n = items.n + 1
    items[items.n] = item
  end
end

local function open(...)
  local source, given = sources.open("pool:imap", rules, 1, ...)
  return source, given
end

local function open_and_read(...)
  return read_all(open(...).read)
end

local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

describe("sources", function()
  it("count lists, with their nils when there is `n`", function()
    assert.equal(3, sources.count { 1, 2, 3 })
    assert.equal(4, sources.count { 1, nil, 3, nil, n = 4 })
    assert.equal(1, sources.count { "x", n = "not a number" })
  end)

  it("read lists", function()
    assert.same({ n = 0 }, open_and_read {})
    local source = open { 1, nil, 3, n = 4 }
    assert.is_false(source.star)
    assert.equal(4, source.total)
    assert.same({ 1, nil, 3, n = 4 }, read_all(source.read))
  end)

  it("read what a generic for takes, all values of each step", function()
    local source = open(ipairs { "a", "b" })
    assert.is_true(source.star)
    assert.is_nil(source.total)
    assert.same({ { 1, "a", n = 2 }, { 2, "b", n = 2 }, n = 2 }, read_all(source.read))
    assert.same({ { "a", n = 1 }, n = 1 }, open_and_read(("a"):gmatch "%a"))
    assert.same({ { "k", 1, n = 2 }, n = 1 }, open_and_read(pairs { k = 1 }))
    assert.same({ n = 0 }, open_and_read(function() end))
  end)

  it("read callable tables as iterators", function()
    local left = 2
    local iterator = setmetatable({}, { __call = function()
      left = left - 1
      return left >= 0 and left or nil
    end })
    assert.same({ { 1, n = 1 }, { 0, n = 1 }, n = 2 }, open_and_read(iterator))
  end)

  it("keep false and nils behind the first value", function()
    local steps = { { false, nil, n = 2 }, { nil, 1, n = 2 } }
    assert.same({ { false, nil, n = 2 }, n = 1 }, open_and_read(function()
      local step = table.remove(steps, 1)
      return table.unpack(step, 1, step.n)
    end))
  end)

  it("take options last", function()
    local _, given = open({ 1 }, { chunksize = 3 })
    assert.equal(3, given.chunksize)
    local source
    source, given = open(function(state) return state end, { chunksize = 3 })
    assert.equal(3, given.chunksize)
    assert.is_false((source.read())) -- the options are no state
    local closing = setmetatable({}, { __close = function() end })
    source, given = open(next, { a = 1 }, nil, closing, { chunksize = 4 })
    assert.equal(4, given.chunksize)
    assert.equal(closing, source.closing)
    assert.same({ { "a", 1, n = 2 }, n = 1 }, read_all(source.read))
  end)

  it("take a state that is a table for the state", function()
    local source, given = open(next, { chunk = 3 })
    assert.is_nil(given.chunksize)
    assert.same({ { "chunk", 3, n = 2 }, n = 1 }, read_all(source.read))
  end)

  it("are lists or iterators", function()
    assert.matches("pool:imap: the source must be a list or an iterator, got nil",
      error_of(open, nil))
    assert.matches("got a number", error_of(open, 7))
    assert.matches("pool:imap: unknown option 'chunk_size', did you mean 'chunksize'",
      error_of(open, {}, { chunk_size = 3 }))
  end)

  it("zip up to the shortest, and keep nils of lists", function()
    local letters = sources.first_values(("abc"):gmatch ".")
    local read = sources.zip { sources.of_list { 1, nil, n = 2 }, letters }
    assert.same({ { 1, "a", n = 2 }, { nil, "b", n = 2 }, n = 2 }, read_all(read))
  end)
end)

describe("a source that is collected", function()
  it("is its list itself, or what it gives", function()
    local list = { 1, 2 }
    local items, n = sources.collect(open(list))
    assert.equal(list, items)
    assert.equal(2, n)
    items, n = sources.collect(open(("ab"):gmatch "."))
    assert.same({ { "a", n = 1 }, { "b", n = 1 } }, items)
    assert.equal(2, n)
  end)

  it("is closed, whatever it raises", function()
    local closed = 0
    local closing = setmetatable({}, { __close = function() closed = closed + 1 end })
    sources.collect(open(function() end, nil, nil, closing))
    assert.equal(1, closed)
    assert.equal("broken", error_of(sources.collect,
      open(function() error("broken", 0) end, nil, nil, closing)))
    assert.equal(2, closed)
  end)
end)
