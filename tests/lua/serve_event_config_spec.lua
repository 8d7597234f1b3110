local functions = require "lambdapool.serve.lambda.functions"
local support = require "lua.serve_store_support"

local INVALID = "400 InvalidParameterValueException: "
local ARN = support.ARN .. "f"

describe("what happens to events", function()
  local world

  before_each(function()
    world = support.open()
    world:create("f", { Publish = true })
    world:create "g"
  end)
  after_each(function() world:close() end)

  local function call(how, operation, more)
    local input = { FunctionName = "f" }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return world[how](world, operation .. "FunctionEventInvokeConfig", input)
  end

  local function to(success, failure)
    return { OnSuccess = success and { Destination = success } or {},
      OnFailure = failure and { Destination = failure } or {} }
  end

  it("is set, changed, read and taken back", function()
    local output, status = call("ok", "Put", { MaximumRetryAttempts = 0,
      DestinationConfig = to(nil, support.ARN .. "g") })
    assert.equal(200, status)
    local shown = { FunctionArn = ARN .. ":$LATEST", LastModified = 1767225602.25,
      MaximumRetryAttempts = 0, DestinationConfig = to(nil, support.ARN .. "g") }
    assert.same(shown, output)
    assert.same(shown, call("ok", "Get"))

    shown.MaximumEventAgeInSeconds = 60
    assert.same(shown, call("ok", "Update", { MaximumEventAgeInSeconds = 60 }))
    shown.DestinationConfig = to("arn:aws:sqs:eu-west-1:123456789012:q")
    assert.same(shown, call("ok", "Update",
      { DestinationConfig = to("arn:aws:sqs:eu-west-1:123456789012:q", "") }))
    assert.same({ FunctionArn = ARN .. ":$LATEST", LastModified = 1767225602.25,
      MaximumRetryAttempts = 1, DestinationConfig = to() },
      call("ok", "Put", { MaximumRetryAttempts = 1 }))

    output, status = call("ok", "Delete")
    assert.is_nil(output)
    assert.equal(204, status)
    for _, operation in ipairs { "Get", "Delete", "Update" } do
      assert.equal("404 ResourceNotFoundException: The function " .. ARN .. ":$LATEST doesn't " ..
        "have an EventInvokeConfig", call("fails", operation, { MaximumRetryAttempts = 1 }))
    end
  end)

  it("is known to those that carry it out", function()
    local function find(qualifier)
      return functions.event_config(world.service, "eu-west-1", "f", qualifier)
    end
    assert.is_nil(find())
    call("ok", "Put", { MaximumRetryAttempts = 0, DestinationConfig = to(support.ARN .. "g") })
    assert.same({ retries = 0, on_success = support.ARN .. "g" }, find())
    assert.same({ retries = 0, on_success = support.ARN .. "g" }, find "$LATEST")
    assert.is_nil(find "1")
    call("ok", "Put", { Qualifier = "1", MaximumEventAgeInSeconds = 100 })
    assert.same({ age_seconds = 100 }, find "1")
  end)

  it("is listed for all qualifiers", function()
    call("ok", "Put", { MaximumRetryAttempts = 0 })
    call("ok", "Put", { Qualifier = "1", MaximumRetryAttempts = 1 })
    local function list(more)
      more.FunctionName = "f"
      return world:ok("ListFunctionEventInvokeConfigs", more)
    end
    local both = list {}.FunctionEventInvokeConfigs
    assert.same({ ARN .. ":$LATEST", ARN .. ":1" }, { both[1].FunctionArn, both[2].FunctionArn })
    local page = list { MaxItems = 1 }
    assert.same({ both[1] }, page.FunctionEventInvokeConfigs)
    assert.same({ FunctionEventInvokeConfigs = { both[2] } }, list { Marker = page.NextMarker })
  end)

  it("has to be something that is possible", function()
    assert.equal(INVALID .. "You must specify at least one of error handling or destination " ..
      "setting.", call("fails", "Put"))
    assert.equal(INVALID .. "You can't specify the function as a destination for itself.",
      call("fails", "Put", { DestinationConfig = to(ARN) }))
    assert.equal(INVALID .. "The destination ARN " .. support.ARN .. "h is invalid.",
      call("fails", "Put", { DestinationConfig = to(nil, support.ARN .. "h") }))
    assert.equal("404 ResourceNotFoundException: The function doesn't exist.",
      call("fails", "Put", { FunctionName = "h", MaximumRetryAttempts = 1 }))
    assert.truthy(call("fails", "Put", { MaximumRetryAttempts = 3 })
      :find "Value '3' at 'maximumRetryAttempts'")
  end)
end)
