local sources = require "lambdapool.source"

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

describe("sources", function()
  it("count lists, with their nils when there is `n`", function()
    assert.equal(3, sources.count { 1, 2, 3 })
    assert.equal(4, sources.count { 1, nil, 3, nil, n = 4 })
    assert.equal(1, sources.count { "x", n = "not a number" })
  end)

  it("read lists", function()
    assert.same({ n = 0 }, read_all(sources.of_list {}))
    assert.same({ 1, nil, 3, n = 4 }, read_all(sources.of_list { 1, nil, 3, n = 4 }))
  end)

  it("read what a generic for takes, all values of each step", function()
    assert.same({ { 1, "a", n = 2 }, { 2, "b", n = 2 }, n = 2 },
      read_all(sources.of_iterator(ipairs { "a", "b" })))
    assert.same({ { "a", n = 1 }, n = 1 }, read_all(sources.of_iterator(("a"):gmatch "%a")))
  end)

  it("zip up to the shortest", function()
    local letters = sources.first_values(("ab"):gmatch ".")
    local read = sources.zip { sources.of_list { 1, 2, 3 }, letters }
    assert.same({ { 1, "a", n = 2 }, { 2, "b", n = 2 }, n = 2 }, read_all(read))
  end)
end)
