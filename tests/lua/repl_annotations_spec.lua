local annotations = require "lambdapool.repl.annotations"

local text = [[
--- What the file is,
--- in two lines.

local a = 1 -- no documentation
-- none, either

---@class lambdapool.Thing
---@field name string
local methods = {}

--- Does it.
---@param x integer how often,
---  at most
---@return string
function methods:act(x, ...)
  return x
end

--- Rules:
---   one  the first
engine.rules = {
}
]]

describe("annotations", function()
  it("are the comments and what they stand above", function()
    local entries = annotations.read(text)
    local names = {}
    for i, entry in ipairs(entries) do
      names[i] = entry.name
    end
    assert.same({ "", "methods", "methods:act", "engine.rules" }, names)
    assert.equal("What the file is,\nin two lines.", entries[1].text)
    assert.equal("Does it.", entries[3].text)
    assert.equal("x, ...", entries[3].parameters)
    assert.equal(15, entries[3].line)
    assert.same({ { "param", "x integer how often, at most" }, { "return", "string" } },
      entries[3].tags)
    assert.equal("Rules:\n  one  the first", entries[4].text)
  end)

  it("are the same in what is kept of a file", function()
    local reduced = annotations.reduce(text)
    assert.same(annotations.read(text), annotations.read(reduced))
    assert.is_nil(reduced:find "no documentation")
  end)

  it("are in all files that are public", function()
    for _, name in ipairs(annotations.files) do
      local file <close> = assert(io.open("lua/" .. name))
      assert.is_truthy(annotations.read(file:read "a")[1], name)
    end
  end)
end)
