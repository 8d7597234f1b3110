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

  it("names what `wait` may wait for", function()
    for _, name in ipairs { "ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION" } do
      assert.equal(name, lambdapool[name])
    end
  end)

  it("complains at the caller's line", function()
    for _, name in ipairs { "pool", "executor" } do
      local ok, message = pcall(function()
        local opened <close> = lambdapool[name] { wokers = 2 }
        return opened
      end)
      assert.is_false(ok)
      assert.matches("init_spec.lua:%d+: lambdapool." .. name .. ": unknown option 'wokers'",
        message)
    end
  end)

  it("loads its parts when they are used", function()
    local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
    local code = [[require "lambdapool"; for name in pairs(package.loaded) do
      if name:find "^lambdapool" and not name:find "cli" then print(name) end end]]
    local pipe <close> = assert(io.popen(program .. " run -e '" .. code .. "' | sort"))
    local names = pipe:read "a"
    assert.matches("lambdapool\nlambdapool.codec\n", names)
    for _, name in ipairs { "pool", "executor", "scheduler", "loop", "workers", "async" } do
      assert.not_matches("lambdapool." .. name .. "\n", names)
    end
  end)
end)
