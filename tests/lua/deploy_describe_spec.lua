local describer = require "lambdapool.deploy.describe"
local json = require "lambdapool.json"
local layers = require "lambdapool.deploy.layers"
local policies = require "lambdapool.deploy.policies"
local problem = require "lambdapool.deploy.problem"

local place = { partition = "aws", region = "eu-central-1", account = "123456789012" }

describe("times of AWS", function()
  it("are read as UTC", function()
    assert.equal(0, describer.time "1970-01-01T00:00:00.000+0000")
    assert.equal(1767225600, describer.time "2026-01-01T00:00:00.000+0000")
    assert.equal(1782864000, describer.time "2026-07-01T00:00:00.000+0000") -- summer somewhere
  end)

  it("may be missing", function()
    assert.is_nil(describer.time(nil))
    assert.is_nil(describer.time "yesterday")
    assert.is_nil(describer.time(json.null))
  end)
end)

describe("a deployed version", function()
  it("is older by its numbers", function()
    assert.is_true(describer.is_outdated "0.0.9")
    assert.is_false(describer.is_outdated "999.0.0")
    assert.is_false(describer.is_outdated(require("lambdapool.system").version))
    assert.is_nil(describer.is_outdated(nil))
  end)
end)

describe("layers of a function", function()
  local function arn(name, version)
    return ("arn:aws:lambda:us-east-1:123456789012:layer:%s:%d"):format(name, version)
  end

  it("are attached behind the others, or in place of another version", function()
    assert.same({ arn("a", 1), arn("b", 2), arn("c", 1) },
      layers.with({ arn("a", 1), arn("b", 1) }, { arn("b", 2), arn("c", 1) }))
    assert.same({ arn("a", 1) }, layers.with({ arn("a", 1) }, { arn("a", 1) }))
  end)

  it("are at most five", function()
    local five = {}
    for i = 1, 5 do
      five[i] = arn("l" .. i, 1)
    end
    assert.is_false((pcall(layers.with, five, { arn("l6", 1) })))
    assert.equal(5, #layers.with(five, { arn("l1", 2) }))
  end)

  it("are detached by any of their names", function()
    local there = { arn("a", 1), arn("b", 7) }
    for _, text in ipairs { "b", "b:7", arn("b", 7), (arn("b", 7):gsub(":7$", "")) } do
      assert.same({ arn("a", 1) }, layers.without(there, { text }))
    end
    local ok, failure = pcall(layers.without, there, { "b:8" })
    assert.is_false(ok)
    assert.is_true(problem.is(failure))
    assert.matches("does not have the layer b:8", tostring(failure))
  end)
end)

describe("policies", function()
  it("let a worker write its own log only", function()
    assert.same({ Version = "2012-10-17", Statement = { {
      Sid = "WriteOwnLog", Effect = "Allow",
      Action = { "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents" },
      Resource = { "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/f",
        "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/f:*" },
    } } }, json.decode(json.encode(policies.worker(place, "f"))))
  end)

  it("let a deployer touch our roles only, and pass them to Lambda only", function()
    local statements = {}
    for _, statement in ipairs(policies.deployer(place, "f").Statement) do
      statements[statement.Sid] = statement
    end
    local role = "arn:aws:iam::123456789012:role/lambdapool/lambdapool-f"
    assert.equal(role, statements.Roles.Resource)
    assert.equal(role, statements.PassRoles.Resource)
    assert.same({ StringEquals = { ["iam:PassedToService"] = "lambda.amazonaws.com" } },
      statements.PassRoles.Condition)
    assert.equal("arn:aws:iam::123456789012:role/lambdapool/lambdapool-*",
      policies.deployer(place, "*").Statement[4].Resource)
  end)

  it("name nothing but the functions that are meant", function()
    local text = json.encode(policies.user(place, "f"))
    assert.matches('"arn:aws:lambda:eu%-central%-1:123456789012:function:f"', text)
    assert.is_nil(text:find('"*"', 1, true))
  end)
end)
