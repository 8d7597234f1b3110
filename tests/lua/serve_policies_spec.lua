local json = require "lambdapool.json"
local policies = require "lambdapool.serve.lambda.policies"
local support = require "lua.serve_store_support"

local ARN = support.ARN .. "f"
local INVALID = "400 InvalidParameterValueException: "
local MISSING = "404 ResourceNotFoundException: "

describe("policies", function()
  local world

  before_each(function()
    world = support.open()
    world:create("f", { Publish = true })
  end)
  after_each(function() world:close() end)

  local function with(more)
    local input = { FunctionName = "f", StatementId = "s", Action = "lambda:InvokeFunction",
      Principal = "s3.amazonaws.com" }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return input
  end

  local function add(more)
    local output, status = world:ok("AddPermission", with(more))
    assert.equal(201, status)
    return json.decode(output.Statement)
  end

  local function statements(qualifier)
    local output = world:ok("GetPolicy", { FunctionName = "f", Qualifier = qualifier })
    local policy = json.decode(output.Policy)
    assert.equal("2012-10-17", policy.Version)
    assert.equal("default", policy.Id)
    return policy.Statement
  end

  it("hold the statements that were added", function()
    local first = add()
    assert.same({ Sid = "s", Effect = "Allow", Principal = { Service = "s3.amazonaws.com" },
      Action = "lambda:InvokeFunction", Resource = ARN }, first)
    local second = add { StatementId = "t", Principal = "999999999999",
      SourceArn = "arn:aws:s3:::bucket", SourceAccount = "999999999999",
      PrincipalOrgID = "o-0123456789" }
    assert.same({ Sid = "t", Effect = "Allow", Action = "lambda:InvokeFunction", Resource = ARN,
      Principal = { AWS = "arn:aws:iam::999999999999:root" }, Condition = {
        ArnLike = { ["AWS:SourceArn"] = "arn:aws:s3:::bucket" },
        StringEquals = { ["AWS:SourceAccount"] = "999999999999",
          ["aws:PrincipalOrgID"] = "o-0123456789" },
      } }, second)
    assert.same({ first, second }, statements())
  end)

  it("are one for each version and alias", function()
    local whole = add()
    local version = add { Qualifier = "1" }
    assert.equal(ARN .. ":1", version.Resource)
    assert.same({ whole }, statements())
    assert.same({ version }, statements "1")
  end)

  it("lose the statements that are removed", function()
    add()
    add { StatementId = "t" }
    local _, status = world:ok("RemovePermission", { FunctionName = "f", StatementId = "s" })
    assert.equal(204, status)
    assert.equal("t", statements()[1].Sid)
    assert.equal(MISSING .. "Statement s is not found in resource policy.",
      world:fails("RemovePermission", { FunctionName = "f", StatementId = "s" }))
    world:ok("RemovePermission", { FunctionName = "f", StatementId = "t" })
    assert.equal(MISSING .. "The resource you requested does not exist.",
      world:fails("GetPolicy", { FunctionName = "f" }))
    assert.equal(MISSING .. "No policy is associated with the given resource.",
      world:fails("RemovePermission", { FunctionName = "f", StatementId = "t" }))
  end)

  it("check the revision", function()
    add()
    local revision = world:ok("GetPolicy", { FunctionName = "f" }).RevisionId
    add { StatementId = "t", RevisionId = revision }
    local stale = "412 PreconditionFailedException: The Revision Id provided does not match the " ..
      "latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id"
    assert.equal(stale, world:fails("AddPermission",
      with { StatementId = "u", RevisionId = revision }))
    assert.equal(stale, world:fails("RemovePermission",
      { FunctionName = "f", StatementId = "t", RevisionId = revision }))
  end)

  it("refuse what cannot be", function()
    add()
    local function refusal(more)
      return world:fails("AddPermission", with(more))
    end
    assert.equal("409 ResourceConflictException: The statement id (s) provided already exists. " ..
      "Please provide a new statement id, or remove the existing statement.", refusal())
    assert.equal(INVALID .. "We currently do not support adding policies for $LATEST.",
      refusal { Qualifier = "$LATEST" })
    assert.equal(INVALID .. "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl " ..
      "action", refusal { StatementId = "t", FunctionUrlAuthType = "NONE" })
    assert.equal(INVALID .. "The provided principal was invalid. Please check the principal and " ..
      "try again.", refusal { StatementId = "t", Principal = "nobody" })
    assert.equal(MISSING .. "Function not found: " .. ARN .. ":9", refusal { Qualifier = "9" })
    assert.equal(1, #statements())
  end)

  it("do not grow beyond 20 KB", function()
    for i = 1, 200 do
      local status, problem = world:call("AddPermission", with { StatementId = "s" .. i })
      if not status then
        assert.equal("PolicyLengthExceededException", problem.type)
        assert.truthy(problem.message:find
          "^The final policy size %(%d+%) is bigger than the limit %(20480%)%.$")
        return
      end
    end
    error "there is no limit"
  end)

  describe("for function URLs", function()
    local function allows(auth, qualifier)
      return policies.allows_url(world.service, "eu-west-1", "f", qualifier, auth or "NONE")
    end

    local function open_url(more)
      add { StatementId = "url", Principal = "*", Action = "lambda:InvokeFunctionUrl",
        FunctionUrlAuthType = "NONE", Qualifier = more and more.Qualifier }
      add { StatementId = "call", Principal = "*", InvokedViaFunctionUrl = true,
        Qualifier = more and more.Qualifier }
    end

    it("let everyone in only with both permissions", function()
      assert.is_false(allows())
      open_url()
      assert.is_true(allows())
      assert.is_false(allows "AWS_IAM")
      for _, sid in ipairs { "url", "call" } do
        world:ok("RemovePermission", { FunctionName = "f", StatementId = sid })
        assert.is_false(allows())
      end
    end)

    it("let nobody in under other conditions", function()
      add { StatementId = "url", Principal = "*", Action = "lambda:InvokeFunctionUrl",
        FunctionUrlAuthType = "NONE", SourceAccount = "999999999999" }
      add { StatementId = "call", Principal = "*" }
      assert.is_false(allows())
    end)

    it("let in only everyone", function()
      add { StatementId = "all", Principal = "999999999999", Action = "lambda:*" }
      assert.is_false(allows())
      add { StatementId = "everyone", Principal = "*", Action = "lambda:*" }
      assert.is_true(allows())
    end)

    it("are those of the alias that has the URL", function()
      world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1" })
      open_url { Qualifier = "prod" }
      assert.is_false(allows())
      assert.is_true(allows("NONE", "prod"))
    end)
  end)
end)
