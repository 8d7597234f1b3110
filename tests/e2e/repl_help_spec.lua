--- `help(x)` at the prompt: the program has the reference in it.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"

-- What help(text) prints, without LAMBDAPOOL_LUA and with it as it is.
local function help(text, before)
  local out
  for _, prefix in ipairs { "env -u LAMBDAPOOL_LUA ", "" } do
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write(before or "", "\nhelp(", text, ")\n")
    file:close()
    local pipe <close> = assert(io.popen(prefix .. program .. " repl --no-rc 2>&1 <" .. path))
    local printed = pipe:read "a"
    os.remove(path)
    assert.equal(out or printed, printed)
    out = printed
  end
  return out
end

describe("help", function()
  it("says what it can tell", function()
    assert.matches("help%(pool%.map%)", help "")
    assert.equal(help "", help "help")
  end)

  it("prints the reference of a method, with the options that it mentions", function()
    local text = help "pool.map"
    assert.matches("^pool:map%(f, source, %.%.%.%)\n\nRuns f%(item%) for every item", text)
    assert.matches("\n  f            function\n", text)
    assert.matches("\n  returns      table results", text)
    assert.matches("\n  chunksize  items that are sent together", text)
    assert.is_nil(text:find "engine")
    assert.equal(text, help "'pool:map'")
    assert.equal(text, help "'pool.map'")
  end)

  it("prints the methods of an object", function()
    local text = help "pool"
    assert.matches("^lambdapool%.Pool\n\nPools: ", text)
    for _, name in ipairs { "apply", "map", "imap", "each", "close", "stats" } do
      assert.matches("\n  pool:" .. name .. "%(", text)
    end
    assert.matches("\n  executor:submit%(f, %.%.%.%)\n", help "executor")
    local future = help("f", "local f = executor:submit(math.abs, 1)")
    assert.matches("\n  future:result%(timeout%)\n", future)
    local result = help("r", "local r = pool:apply_async(math.abs, { 1 })")
    assert.matches("\n  result:get%(timeout%)\n", result)
  end)

  it("prints what the library has", function()
    local text = help "lambdapool"
    assert.matches("\n  lambdapool.wait%(futures, options%)\n      Waits for several fut", text)
    assert.matches("^lambdapool%.pool%(given%)\n\nOpens a pool", help "lambdapool.pool")
    assert.matches("\n  max_cost ", help "lambdapool.pool")
    assert.matches("^lambdapool%.wait%(list, given%)", help "lambdapool.wait")
    assert.matches("^lambdapool%.dump\n\nTurns any value", help "lambdapool.dump")
  end)

  it("says where Lua's own functions are described", function()
    assert.matches("^string%.format is a function of Lua's own\n  https://www%.lua%.org/",
      help "string.format")
    assert.matches("#pdf%-print\n$", help "print")
  end)

  it("prints the comment above a function of the user's", function()
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write "-- Doubles.\n-- That is all.\nfunction double(x) return 2 * x end\nreturn 1\n"
    file:close()
    local text = help("double", ":load " .. path)
    os.remove(path)
    assert.matches("%(" .. path:gsub("%W", "%%%0") .. ":3", text)
    assert.matches("\nDoubles%. That is all%.\n$", text)
  end)

  it("takes anything", function()
    assert.equal("number: 42\n", help "42")
    assert.equal("nil: nil\n", help "nil")
    assert.matches("^table: { 1, 2 }\n", help "{ 1, 2 }")
    assert.matches('^string: "no such name"\n', help "'no such name'")
    assert.matches("^function: ", help "function() end")
    help "setmetatable({}, { __index = function() error 'no' end, __name = 5 })"
  end)
end)
