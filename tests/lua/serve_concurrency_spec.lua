local concurrency = require "lambdapool.serve.lambda.concurrency"
local support = require "lua.serve_store_support"

local INVALID = "400 InvalidParameterValueException: "

describe("reserved concurrency", function()
  local world

  before_each(function()
    world = support.open()
    world:create "f"
  end)
  after_each(function() world:close() end)

  local function put(name, executions)
    return world:ok("PutFunctionConcurrency",
      { FunctionName = name, ReservedConcurrentExecutions = executions })
  end

  it("is set, read and taken back", function()
    assert.same({}, world:ok("GetFunctionConcurrency", { FunctionName = "f" }))
    assert.same({ ReservedConcurrentExecutions = 5 }, put("f", 5))
    assert.same({ ReservedConcurrentExecutions = 5 },
      world:ok("GetFunctionConcurrency", { FunctionName = "f" }))
    assert.same({ ReservedConcurrentExecutions = 0 }, put("f", 0))
    local _, status = world:ok("DeleteFunctionConcurrency", { FunctionName = "f" })
    assert.equal(204, status)
    assert.same({}, world:ok("GetFunctionConcurrency", { FunctionName = "f" }))
  end)

  it("leaves a hundred to all others", function()
    world:create "g"
    put("f", 600)
    local refusal = INVALID .. "Specified ReservedConcurrentExecutions for function decreases " ..
      "account's UnreservedConcurrentExecution below its minimum value of [%d]."
    assert.equal(refusal:format(100), world:fails("PutFunctionConcurrency",
      { FunctionName = "g", ReservedConcurrentExecutions = 301 }))
    put("g", 300)
    put("f", 600)
    world.service.concurrency = 10
    assert.equal(refusal:format(10), world:fails("PutFunctionConcurrency",
      { FunctionName = "g", ReservedConcurrentExecutions = 1 }))
    put("g", 0)
  end)

  it("adds up for each region", function()
    local function total(region)
      return concurrency.reserved_total(world.service, region)
    end
    world:create "g"
    assert.equal(0, total "eu-west-1")
    put("f", 5)
    put("g", 7)
    assert.equal(12, total "eu-west-1")
    assert.equal(0, total "us-east-1")
    world:ok("DeleteFunction", { FunctionName = "g" })
    assert.equal(5, total "eu-west-1")
  end)

  it("is that of a function", function()
    for _, operation in ipairs { "PutFunctionConcurrency", "GetFunctionConcurrency",
      "DeleteFunctionConcurrency" } do
      assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN ..
        "g:$LATEST",
        world:fails(operation, { FunctionName = "g", ReservedConcurrentExecutions = 1 }))
    end
  end)
end)

describe("provisioned concurrency", function()
  local world

  before_each(function()
    world = support.open()
    world:create("f", { Publish = true })
    world:ok("CreateAlias", { FunctionName = "f", Name = "latest", FunctionVersion = "$LATEST" })
    world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1" })
  end)
  after_each(function() world:close() end)

  local function call(how, operation, qualifier, executions)
    return world[how](world, operation, { FunctionName = "f", Qualifier = qualifier,
      ProvisionedConcurrentExecutions = executions })
  end

  it("is set, read, listed and taken back", function()
    local output, status = call("ok", "PutProvisionedConcurrencyConfig", "prod", 3)
    local shown = { RequestedProvisionedConcurrentExecutions = 3,
      AvailableProvisionedConcurrentExecutions = 3, AllocatedProvisionedConcurrentExecutions = 3,
      Status = "READY", LastModified = "2026-01-01T00:00:01.250+0000" }
    assert.equal(202, status)
    assert.same(shown, output)
    assert.same(shown, call("ok", "GetProvisionedConcurrencyConfig", "prod"))
    call("ok", "PutProvisionedConcurrencyConfig", "1", 3)
    local listed = world:ok("ListProvisionedConcurrencyConfigs", { FunctionName = "f" })
    local configs = listed.ProvisionedConcurrencyConfigs
    assert.equal(2, #configs)
    assert.equal(support.ARN .. "f:1", configs[1].FunctionArn)
    shown.FunctionArn = support.ARN .. "f:prod"
    assert.same(shown, configs[2])
    output, status = call("ok", "DeleteProvisionedConcurrencyConfig", "prod")
    assert.is_nil(output)
    assert.equal(204, status)
    assert.equal("404 ProvisionedConcurrencyConfigNotFoundException: No Provisioned Concurrency " ..
      "Config found for this function", call("fails", "GetProvisionedConcurrencyConfig", "prod"))
  end)

  it("is for versions that are published, and within the limits", function()
    local function refusal(qualifier, executions)
      return call("fails", "PutProvisionedConcurrencyConfig", qualifier, executions)
    end
    for _, qualifier in ipairs { "$LATEST", "latest" } do
      assert.equal(INVALID .. "Provisioned Concurrency Configs cannot be applied to unpublished " ..
        "function versions.", refusal(qualifier, 1))
    end
    assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN .. "f:9",
      refusal("9", 1))
    assert.equal(INVALID .. "Specified ConcurrentExecutions for function is greater than " ..
      "account's unreserved concurrency [1000].", refusal("1", 1001))
    world:ok("PutFunctionConcurrency", { FunctionName = "f", ReservedConcurrentExecutions = 2 })
    assert.equal(INVALID .. "Requested Provisioned Concurrency should not be greater than the " ..
      "reservedConcurrentExecution for function", refusal("1", 3))
  end)
end)
