local support = require "lua.serve_store_support"
local urls_config = require "lambdapool.serve.lambda.urls_config"

local NO_SUCH = "404 ResourceNotFoundException: The resource you requested does not exist."

describe("the configurations of function URLs", function()
  local world

  before_each(function()
    world = support.open()
    world:create("f", { Publish = true })
    world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1" })
  end)
  after_each(function() world:close() end)

  local function create(more)
    local input = { FunctionName = "f", AuthType = "NONE" }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return world:ok("CreateFunctionUrlConfig", input)
  end

  local function find(output)
    return urls_config.find(world.service, output.FunctionUrl:match "/lambda%-url/(%w+)/$")
  end

  it("are created, read, updated and deleted", function()
    local cors = { AllowCredentials = true, AllowHeaders = {}, AllowMethods = { "GET", "*" },
      AllowOrigins = { "https://example.com" }, ExposeHeaders = { "x" }, MaxAge = 60 }
    local output, status = create { Cors = cors }
    assert.equal(201, status)
    assert.truthy(output.FunctionUrl:find "^http://127%.0%.0%.1:9077/lambda%-url/[a-z0-9]+/$")
    local shown = { FunctionUrl = output.FunctionUrl, FunctionArn = support.ARN .. "f",
      AuthType = "NONE", Cors = cors, CreationTime = "2026-01-01T00:00:01.250000Z",
      InvokeMode = "BUFFERED" }
    assert.same(shown, output)
    shown.LastModifiedTime = shown.CreationTime
    assert.same(shown, world:ok("GetFunctionUrlConfig", { FunctionName = "f" }))

    world:pass(1)
    shown.AuthType, shown.InvokeMode = "AWS_IAM", "RESPONSE_STREAM"
    shown.LastModifiedTime, shown.Cors = "2026-01-01T00:00:02.250000Z", nil
    assert.same(shown, world:ok("UpdateFunctionUrlConfig", { FunctionName = "f",
      AuthType = "AWS_IAM", InvokeMode = "RESPONSE_STREAM", Cors = {} }))
    assert.same(shown, world:ok("UpdateFunctionUrlConfig", { FunctionName = "f" }))

    output, status = world:ok("DeleteFunctionUrlConfig", { FunctionName = "f" })
    assert.is_nil(output)
    assert.equal(204, status)
    for _, operation in ipairs { "GetFunctionUrlConfig", "UpdateFunctionUrlConfig",
      "DeleteFunctionUrlConfig" } do
      assert.equal(NO_SUCH, world:fails(operation, { FunctionName = "f" }))
    end
  end)

  it("are one for a function and one for each of its aliases", function()
    local whole, alias = create(), create { Qualifier = "prod" }
    assert.not_equal(whole.FunctionUrl, alias.FunctionUrl)
    assert.equal(support.ARN .. "f:prod", alias.FunctionArn)
    local exists = "409 ResourceConflictException: Failed to create function url config for " ..
      "[functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function"
    assert.equal(exists:format(support.ARN .. "f"),
      world:fails("CreateFunctionUrlConfig", { FunctionName = "f", AuthType = "NONE" }))
    assert.equal(exists:format(support.ARN .. "f:prod"),
      world:fails("CreateFunctionUrlConfig", { FunctionName = "f:prod", AuthType = "NONE" }))
    for size = 1, 2 do
      local page = world:ok("ListFunctionUrlConfigs", { FunctionName = "f", MaxItems = size })
      local last = page.NextMarker and world:ok("ListFunctionUrlConfigs",
        { FunctionName = "f", Marker = page.NextMarker }).FunctionUrlConfigs[1]
        or page.FunctionUrlConfigs[2]
      assert.equal(whole.FunctionUrl, page.FunctionUrlConfigs[1].FunctionUrl)
      assert.equal(alias.FunctionUrl, last.FunctionUrl)
    end
  end)

  it("are for functions and aliases that exist", function()
    local missing = "404 ResourceNotFoundException: Function does not exist"
    assert.equal(missing,
      world:fails("CreateFunctionUrlConfig", { FunctionName = "g", AuthType = "NONE" }))
    assert.equal(missing, world:fails("CreateFunctionUrlConfig",
      { FunctionName = "f", Qualifier = "other", AuthType = "NONE" }))
    assert.truthy(world:fails("CreateFunctionUrlConfig",
      { FunctionName = "f", Qualifier = "1", AuthType = "NONE" })
      :find "^400 ValidationException: 1 validation error detected: Value '1' at 'qualifier'")
    assert.truthy(world:fails("CreateFunctionUrlConfig", { FunctionName = "f" })
      :find "Value null at 'authType'")
  end)

  it("are found by their URL, as they are now", function()
    local whole = create { Cors = { AllowOrigins = { "*" } } }
    local alias = create { Qualifier = "prod", AuthType = "AWS_IAM" }
    local expected = { region = "eu-west-1", name = "f", auth = "NONE", mode = "BUFFERED",
      cors = { AllowOrigins = { "*" } } }
    assert.same(expected, find(whole))
    assert.equal(find(whole), find(whole))
    assert.same({ region = "eu-west-1", name = "f", qualifier = "prod", auth = "AWS_IAM",
      mode = "BUFFERED" }, find(alias))
    world:ok("UpdateFunctionUrlConfig", { FunctionName = "f", AuthType = "AWS_IAM" })
    expected.auth = "AWS_IAM"
    assert.same(expected, find(whole))
    world:ok("DeleteFunctionUrlConfig", { FunctionName = "f" })
    assert.is_nil(find(whole))
    world:ok("DeleteFunction", { FunctionName = "f" })
    assert.is_nil(find(alias))
  end)
end)
