local names = require "lambdapool.deploy.names"
local problem = require "lambdapool.deploy.problem"

local function complaint(f, ...)
  local ok, failure = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(problem.is(failure))
  return tostring(failure)
end

describe("names of functions", function()
  it("may have letters, digits, - and _", function()
    for _, name in ipairs { "a", "algorithms", "A-b_9", ("x"):rep(64) } do
      assert.equal(name, names.check_function(name))
    end
  end)

  it("are refused otherwise, and the message says what is allowed", function()
    for _, name in ipairs { "", "a b", "a.b", "a/b", "ä", "a\n", ("x"):rep(65), "a:1" } do
      assert.matches("letters, digits", complaint(names.check_function, name))
    end
    assert.matches("nil", complaint(names.check_function, nil))
  end)

  it("are not ARNs", function()
    assert.matches("is an ARN",
      complaint(names.check_function, "arn:aws:lambda:us-east-1:123456789012:function:f"))
  end)
end)

describe("what Lambda takes for a function", function()
  it("has its name in it", function()
    for _, text in ipairs { "f-1_A", "f-1_A:live", "f-1_A:$LATEST", "123456789012:function:f-1_A:7",
      "arn:aws:lambda:us-east-1:123456789012:function:f-1_A",
      "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f-1_A:live" } do
      assert.equal("f-1_A", names.bare(text))
    end
  end)

  it("is nothing else", function()
    for _, text in ipairs { "", " ", "a b", "f:", ":f", "f:a:b", "a/b", "f\n", "../f", "f?x",
      "arn:aws:s3:::f", "arn:aws:lambda:us-east-1:123456789012:layer:f" } do
      assert.matches("is not the name of a function\n", complaint(names.bare, text))
    end
  end)
end)

describe("names of roles", function()
  it("tell the function", function()
    assert.equal("lambdapool-algorithms", names.role "algorithms")
  end)

  it("are never too long, and differ", function()
    local long = ("x"):rep(63)
    assert.equal(64, #names.role(long .. "a"))
    assert.not_equal(names.role(long .. "a"), names.role(long .. "b"))
    assert.equal(64, #names.role(("x"):rep(53)))
    assert.equal("lambdapool-" .. ("x"):rep(53), names.role(("x"):rep(53)))
  end)
end)

describe("ARNs of roles", function()
  it("are told by their shape", function()
    for _, arn in ipairs { "arn:aws:iam::123456789012:role/any",
      "arn:aws-cn:iam::123456789012:role/path/to/any",
      "arn:aws-us-gov:iam::123456789012:role/a+b" } do
      assert.is_true(names.is_role_arn(arn))
    end
    for _, text in ipairs { "any", "", "arn:aws:iam::123:role/any",
      "arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:user/any",
      "arn:aws:iam::123456789012:role/a b" } do
      assert.is_false(names.is_role_arn(text))
    end
    assert.is_false(names.is_role_arn(nil))
  end)
end)

describe("ARNs of layers", function()
  it("are taken apart", function()
    assert.same({ layer = "arn:aws:lambda:us-east-1:123456789012:layer:tools", name = "tools",
      region = "us-east-1", version = "3" },
      names.split_layer "arn:aws:lambda:us-east-1:123456789012:layer:tools:3")
  end)

  it("need a version, and everything else", function()
    for _, text in ipairs { "tools", "tools:3", "arn:aws:lambda:us-east-1:123456789012:layer:tools",
      "arn:aws:lambda:us-east-1:12:layer:tools:3",
      "arn:aws:lambda:us-east-1:123456789012:layer:t:x",
      "arn:aws:lambda:us-east-1:123456789012:function:tools:3", "" } do
      assert.is_nil(names.split_layer(text))
    end
    assert.is_nil(names.split_layer(7))
  end)
end)

it("takes an ARN apart", function()
  assert.same({ "aws-cn", "123456789012", "name" },
    { names.split_arn "arn:aws-cn:iam::123456789012:role/lambdapool/name" })
end)
