local lambdapool = require "lambdapool"

describe("the module", function()
  it("sets no global", function()
    assert.is_nil(rawget(_G, "lambdapool"))
  end)

  it("has a version", function()
    assert.matches("^%d+%.%d+%.%d+$", lambdapool.version)
  end)

  it("dumps and loads values and functions", function()
    local factor = 6
    local f = lambdapool.load(lambdapool.dump(function(x) return x * factor end))
    assert.equal(42, f(7))
    assert.same({ 1, { a = "b" } }, lambdapool.load(lambdapool.dump { 1, { a = "b" } }))
    assert.has_error(function() lambdapool.load "not a dump" end)
  end)

  it("loads its parts when they are used", function()
    local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
    local code = [[require "lambdapool"; for name in pairs(package.loaded) do
      if name:find "^lambdapool" and not name:find "cli" then print(name) end end]]
    local pipe <close> = assert(io.popen(program .. " run -e '" .. code .. "' | sort"))
    assert.equal("lambdapool\nlambdapool.codec\nlambdapool.errors\nlambdapool.suggest\n"
      .. "lambdapool.system\n", pipe:read "a")
  end)
end)
