local fault = require "lambdapool.serve.fault"
local log_filter = require "lambdapool.serve.logs.filter"

local function matches(pattern, message)
  return log_filter.compile(pattern)(message)
end

local function is_refused(pattern)
  local ok, problem = pcall(log_filter.compile, pattern)
  return not ok and fault.is(problem) and problem.type == "InvalidParameterException"
end

describe("filter patterns", function()
  it("without terms want everything", function()
    assert.is_true(matches(nil, "x"))
    assert.is_true(matches("", "x"))
    assert.is_true(matches("  ", "x"))
  end)

  it("want all terms, in any order", function()
    assert.is_true(matches("ERROR disk", "disk: ERROR"))
    assert.is_false(matches("ERROR disk", "ERROR"))
    assert.is_false(matches("error", "ERROR"))
    assert.is_true(matches("a.b", "a.b"))
    assert.is_false(matches("a.b", "axb"))
  end)

  it("want phrases in quotes as they are", function()
    assert.is_true(matches('"disk full"', "the disk full again"))
    assert.is_false(matches('"disk full"', "full disk"))
    assert.is_true(matches('"say \\"hi\\""', 'he will say "hi"'))
    assert.is_true(matches('-"disk full"', "full disk"))
  end)

  it("exclude, and want one of several", function()
    assert.is_false(matches("ERROR -disk", "ERROR disk"))
    assert.is_true(matches("ERROR -disk", "ERROR net"))
    assert.is_true(matches("?ERROR ?WARN", "WARN"))
    assert.is_true(matches('?ERROR ?"not good"', "it is not good"))
    assert.is_false(matches("?ERROR ?WARN", "INFO"))
  end)

  it("look into JSON", function()
    local message = '{"level":"warn","n":3,"a":{"b":[1,"two"]},"yes":true,"no":null}\n'
    for pattern, wanted in pairs {
      ['{ $.level = "warn" }'] = true,
      ['{$.level="warn"}'] = true,
      ['{ $.level = warn }'] = true,
      ['{ $.level = "w*" }'] = true,
      ['{ $.level != "info" }'] = true,
      ['{ $.level = "w" }'] = false,
      ['{ $.n = 3 }'] = true,
      ['{ $.n > 3 }'] = false,
      ['{ $.n >= 3 && $.n < 4 }'] = true,
      ['{ $.a.b[0] = 1 }'] = true,
      ['{ $.a.b[1] = "two" }'] = true,
      ['{ $.a.c = 1 }'] = false,
      ['{ $.yes IS TRUE }'] = true,
      ['{ $.no IS NULL }'] = true,
      ['{ $.none NOT EXISTS }'] = true,
      ['{ ($.n = 4 || $.n = 3) && ($.yes IS TRUE) }'] = true,
      ['{ $.n = 4 || $.n = 5 && $.n = 3 }'] = false,
    } do
      assert.equal(wanted, matches(pattern, message), pattern)
    end
    assert.is_false(matches("{ $.n = 3 }", "n = 3"))
    assert.is_false(matches("{ $.n = 3 }", '"{"'))
  end)

  it("that cannot be understood are refused", function()
    for _, pattern in ipairs { "[a, b]", "%regex%", '"open', "{ $.a }", "{ $.a = 1", "{ a = 1 }",
      "{ $.a = 1 && }", "{ ($.a = 1 }", "{ $.a = 1 ) }", "{ $.a ~ 1 }", "{}", ("x"):rep(1025),
      ("{ %s }"):format(("("):rep(1000)) } do
      assert.is_true(is_refused(pattern), pattern)
    end
  end)
end)
