local fault = require "lambdapool.serve.fault"
local names = require "lambdapool.serve.lambda.names"

local CONTEXT = { region = "eu-west-1", account = "123456789012" }

-- "type: message" of the fault that f(...) raises.
local function problem(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(fault.is(e), tostring(e))
  return e.status .. " " .. tostring(e)
end

describe("names of functions", function()
  it("are taken apart in every form", function()
    local function same(expected, text)
      assert.same(expected, names.split(text))
    end
    same({ name = "f" }, "f")
    same({ name = "f", qualifier = "$LATEST" }, "f:$LATEST")
    same({ name = "a.b", qualifier = "7" }, "a.b:7")
    same({ name = "f", account = "123456789012", kind = "" }, "123456789012:function:f")
    same({ name = "f", account = "123456789012", kind = "", qualifier = "prod" },
      "123456789012:function:f:prod")
    same({ name = "f", region = "us-gov-west-1", account = "123456789012", kind = "",
      partition = "aws-us-gov" }, "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f")
    same({ name = "f", region = "eu-west-1", account = "123456789012", kind = "",
      partition = "aws", qualifier = "$LATEST" },
      "arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST")
  end)

  it("take a part in front only when the rest is a name", function()
    assert.same({ name = "function", qualifier = "$LATEST" }, names.split "function:$LATEST")
    assert.same({ name = "123456789012", qualifier = "$LATEST" },
      names.split "123456789012:$LATEST")
    assert.same({ name = "function" }, names.split "function")
  end)

  it("are none when anything else is in them", function()
    for _, text in ipairs { "", "a b", "f:", ":f", "f:a:b", "f/..", "f:$OLDEST", "f\n", "é",
      "arn:aws:s3:::bucket", "arn:aws:lambda:eu-west-1:123456789012:layer:f:1" } do
      assert.is_nil(names.split(text), text)
    end
  end)

  it("are found where the request went", function()
    local function locate(...)
      return { names.locate(CONTEXT, ...) }
    end
    assert.same({ "f" }, locate "f")
    assert.same({ "f", "3" }, locate("f", "3"))
    assert.same({ "f", "3" }, locate("f:3", "3"))
    assert.same({ "f", "3" }, locate "arn:aws:lambda:eu-west-1:123456789012:function:f:3")
  end)

  it("are not found elsewhere", function()
    assert.equal("404 ResourceNotFoundException: Functions from 'us-east-1' are not reachable " ..
      "in this region ('eu-west-1')",
      problem(names.locate, CONTEXT, "arn:aws:lambda:us-east-1:123456789012:function:f"))
    assert.equal("404 ResourceNotFoundException: Function not found: " ..
      "arn:aws:lambda:eu-west-1:999999999999:function:f",
      problem(names.locate, CONTEXT, "999999999999:function:f"))
    assert.equal("400 InvalidParameterValueException: The derived qualifier from the function " ..
      "name does not match the specified qualifier.", problem(names.locate, CONTEXT, "f:1", "2"))
  end)

  it("that are malformed are said to be so as AWS says it", function()
    assert.equal("400 ValidationException: 2 validation errors detected: " ..
      "Value 'a/b' at 'functionName' failed to satisfy constraint: Member must satisfy regular " ..
      "expression pattern: " .. names.patterns.name ..
      "; Value 'x y' at 'qualifier' failed to satisfy constraint: Member must satisfy regular " ..
      "expression pattern: " .. names.patterns.qualifier,
      problem(names.locate, CONTEXT, "a/b", "x y"))
    local long = ("n"):rep(65)
    assert.equal("400 ValidationException: 1 validation error detected: Value '" .. long ..
      "' at 'functionName' failed to satisfy constraint: Member must have length less than or " ..
      "equal to 64", problem(names.locate, CONTEXT, long))
  end)

  it("may hold dots only where names of other kinds are allowed, too", function()
    assert.equal("a.b", (names.locate(CONTEXT, "a.b", nil, true)))
    assert.truthy(problem(names.locate, CONTEXT, "a.b"):find "functionName")
  end)

  it("become ARNs of the partition of their region", function()
    assert.equal("arn:aws:lambda:eu-west-1:1:function:f",
      names.function_arn("eu-west-1", "1", "f"))
    assert.equal("arn:aws-cn:lambda:cn-north-1:1:function:f:2",
      names.function_arn("cn-north-1", "1", "f", "2"))
    assert.equal("arn:aws-us-gov:lambda:us-gov-east-1:1:layer:l:2",
      names.layer_arn("us-gov-east-1", "1", "l", 2))
  end)
end)

describe("names of layers", function()
  it("are names, ARNs, or ARNs of versions", function()
    local arn = "arn:aws:lambda:eu-west-1:123456789012:layer:l"
    assert.same({ name = "l" }, names.split_layer "l")
    assert.same({ name = "l", region = "eu-west-1", account = "123456789012" },
      names.split_layer(arn))
    assert.same({ name = "l", region = "eu-west-1", account = "123456789012", version = 3 },
      names.split_layer(arn .. ":3"))
    for _, text in ipairs { "", "l:1", "a.b", arn .. ":x", "arn:aws:lambda:eu-west-1:1:layer:l" } do
      assert.is_nil(names.split_layer(text), text)
    end
  end)
end)

describe("faults", function()
  it("are errors with a text", function()
    local e = fault.new(404, "ResourceNotFoundException", "gone")
    assert.is_true(fault.is(e))
    assert.is_false(fault.is "gone")
    assert.is_false(fault.is(nil))
    assert.equal("ResourceNotFoundException: gone", tostring(e))
  end)

  it("name their text as AWS does for each exception", function()
    local function body(...)
      return fault.body(fault.new(...))
    end
    assert.same({ Type = "User", Message = "m" }, body(404, "ResourceNotFoundException", "m"))
    assert.same({ Type = "Service", Message = "m" }, body(500, "ServiceException", "m"))
    assert.same({ Type = "User", message = "m" }, body(409, "ResourceConflictException", "m"))
    assert.same({ Type = "User", message = "m", Reason = "r" },
      body(429, "TooManyRequestsException", "m", { Reason = "r" }))
    assert.same({ message = "m" }, body(400, "ValidationException", "m"))
  end)

  it("take texts with a percent sign as they are", function()
    assert.equal("400 InvalidParameterValueException: 100%", problem(fault.invalid, "100%"))
    assert.equal("400 InvalidParameterValueException: 100%d", problem(fault.invalid, "%s", "100%d"))
  end)
end)
