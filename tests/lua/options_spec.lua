local options = require "lambdapool.options"

local rules = {
  count = { "integer", min = 1, max = 9, default = 4 },
  least = { "integer", min = 0 },
  pause = { "seconds", default = 2.5 },
  quick = { "boolean", default = false },
  kind = { "choice", choices = { "red", "blue" }, default = "red" },
  limit = { "timeout" },
  part = { "share" },
  call = { "function" },
  list = { "table" },
  whatever = { "any" },
  money = { "amount" },
  name = { "text" },
  password = { "text", secret = true },
}

local function check(given)
  return options.check("thing", given, rules)
end

local function complaint(given)
  local ok, message = pcall(function()
    local checked = check(given)
    return checked
  end)
  assert.is_false(ok)
  return message
end

describe("options", function()
  it("fills in the defaults and leaves the given table alone", function()
    local given = { quick = true }
    assert.same({ count = 4, pause = 2.5, quick = true, kind = "red" }, check(given))
    assert.same({ quick = true }, given)
    assert.same({ count = 4, pause = 2.5, quick = false, kind = "red" }, check(nil))
  end)

  it("takes a float for an integer only when it is whole", function()
    assert.equal("integer", math.type(check({ count = 3.0 }).count))
    assert.matches("option 'count' must be an integer, got 3.5", complaint { count = 3.5 })
  end)

  it("suggests the nearest name", function()
    assert.matches("thing: unknown option 'cuont', did you mean 'count'%?$",
      complaint { cuont = 1 })
    assert.matches("unknown option 1$", complaint { "red" })
  end)

  it("refuses values that make no sense, and says which would", function()
    assert.matches("must be from 1 to 9, got 0", complaint { count = 0 })
    assert.matches("must be at least 0, got %-1", complaint { least = -1 })
    assert.matches("must be an integer, got 'x'", complaint { count = "x" })
    assert.matches("must be true or false, got 1", complaint { quick = 1 })
    assert.matches("must be 'red' or 'blue', got 'green'", complaint { kind = "green" })
    for _, pause in ipairs { 0, -1, math.huge, 0 / 0, "1" } do
      assert.matches("seconds above 0", complaint { pause = pause })
    end
  end)

  it("takes amounts and texts", function()
    assert.same({ 0.5, "x y" }, { check({ money = 0.5 }).money, check({ name = "x y" }).name })
    for _, money in ipairs { 0, -1, 0 / 0, "1" } do
      assert.matches("'money' must be a number above 0", complaint { money = money })
    end
    for _, name in ipairs { "", "two\nlines", "nul\0", 7, {} } do
      assert.matches("'name' must be a text on one line", complaint { name = name })
    end
  end)

  it("does not show what is secret", function()
    local message = complaint { password = "hunter2\n" }
    assert.matches("'password' must be a text on one line, got a string$", message)
    assert.is_nil(message:find "hunter2")
  end)

  it("takes what makes sense", function()
    local callable = setmetatable({}, { __call = function() end })
    for name, values in pairs {
      limit = { 0, 0.5, math.huge }, part = { 0, 0.25, 1 }, call = { print, callable },
      list = { {} }, whatever = { 1, "x" },
    } do
      for _, value in ipairs(values) do
        assert.equal(value, check({ [name] = value })[name])
      end
    end
  end)

  it("says what the rest must be", function()
    for _, limit in ipairs { -1, 0 / 0, "1" } do
      assert.matches("option 'limit' must be a number of seconds, 0 or more",
        complaint { limit = limit })
    end
    for _, part in ipairs { -0.1, 1.1, 0 / 0, "0.5" } do
      assert.matches("option 'part' must be a number from 0 to 1", complaint { part = part })
    end
    assert.matches("option 'call' must be a function, got 'f'", complaint { call = "f" })
    assert.matches("option 'call' must be a function", complaint { call = {} })
    assert.matches("option 'list' must be a table, got 1", complaint { list = 1 })
  end)

  it("blames the level it is told", function()
    local function method()
      local checked = options.check("thing", { cuont = 1 }, rules, 2)
      return checked
    end
    local ok, message = pcall(function()
      local checked = method()
      return checked
    end)
    assert.is_false(ok)
    assert.matches("options_spec.lua:%d+: thing: unknown", message)
  end)

  it("refuses what is not a table", function()
    assert.matches("thing: the options must be a table, got a number", complaint(7))
  end)

  it("tells an options table from other tables", function()
    assert.is_true(options.is_options({ count = 3 }, rules))
    assert.is_false(options.is_options({ count = 3, other = 1 }, rules))
    assert.is_false(options.is_options({}, rules))
    assert.is_false(options.is_options(nil, rules))
    assert.is_false(options.is_options({ 1, 2 }, rules))
  end)
end)
