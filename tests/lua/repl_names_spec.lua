local lambdapool = require "lambdapool"
local names = require "lambdapool.repl.names"

describe("names of functions", function()
  it("are those of globals and of fields of modules", function()
    function _G.vowels() end
    local own, stranger = names.new(), function() end
    assert.equal("vowels", own:find(_G.vowels))
    assert.equal("print", own:find(print))
    assert.equal("string.format", own:find(string.format))
    assert.equal("lambdapool.pool", own:find(lambdapool.pool))
    assert.equal("lambdapool.repl.names.new", own:find(names.new))
    assert.is_nil(own:find(stranger))
    _G.vowels = nil
  end)

  it("of the standard stay, and _ is none", function()
    local function other() end
    _G._, _G.a_print, _G.b, _G.a = other, print, other, other
    assert.equal("print", names.new():find(print))
    assert.equal("a", names.new():find(other))
    _G._, _G.a_print, _G.b, _G.a = nil, nil, nil, nil
    package.loaded["of a test"] = { [1] = other }
    assert.is_nil(names.new():find(other))
    package.loaded["of a test"] = nil
  end)
end)
