local support = require "lua.serve_store_support"

local ARN = support.ARN .. "f:prod"
local NOT_FOUND = "404 ResourceNotFoundException: Function not found: " .. support.ARN
local INVALID = "400 InvalidParameterValueException: "

describe("aliases", function()
  local world

  before_each(function()
    world = support.open()
    world:create("f", { Publish = true })
    world:ok("UpdateFunctionCode",
      { FunctionName = "f", ZipFile = support.zip "2", Publish = true })
    world:pass(1)
  end)
  after_each(function() world:close() end)

  local function call(how, operation, more)
    local input = { FunctionName = "f", Name = "prod" }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return world[how](world, operation, input)
  end

  local function create(more)
    local input = { FunctionVersion = "1" }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return call("ok", "CreateAlias", input)
  end

  local function weights(version, share)
    return { AdditionalVersionWeights = { [version] = share } }
  end

  it("are created, read, updated and deleted", function()
    local output, status = create { Description = "d" }
    assert.equal(201, status)
    assert.same({ AliasArn = ARN, Name = "prod", FunctionVersion = "1", Description = "d",
      RevisionId = output.RevisionId }, output)
    assert.same(output, call("ok", "GetAlias"))

    local updated
    updated, status = call("ok", "UpdateAlias",
      { FunctionVersion = "2", RoutingConfig = weights("1", 0.25) })
    assert.equal(200, status)
    assert.not_equal(output.RevisionId, updated.RevisionId)
    assert.same({ AliasArn = ARN, Name = "prod", FunctionVersion = "2", Description = "d",
      RoutingConfig = weights("1", 0.25), RevisionId = updated.RevisionId }, updated)
    assert.same(updated, call("ok", "GetAlias"))

    output, status = call("ok", "DeleteAlias")
    assert.is_nil(output)
    assert.equal(204, status)
    assert.equal("404 ResourceNotFoundException: Cannot find alias arn: " .. ARN,
      call("fails", "GetAlias"))
    call("ok", "DeleteAlias")
  end)

  it("lose their routing when it is given empty", function()
    create { RoutingConfig = weights("2", 1.0) }
    assert.is_nil(call("ok", "UpdateAlias",
      { RoutingConfig = { AdditionalVersionWeights = {} } }).RoutingConfig)
  end)

  it("lead a qualified call to their version", function()
    create()
    local shown = world:ok("GetFunctionConfiguration", { FunctionName = "f", Qualifier = "prod" })
    assert.equal(ARN, shown.FunctionArn)
    assert.equal("1", shown.Version)
  end)

  it("are refused when they exist, or when what they lead to does not", function()
    create()
    assert.equal("409 ResourceConflictException: Alias already exists: " .. ARN,
      call("fails", "CreateAlias", { FunctionVersion = "1" }))
    assert.equal(NOT_FOUND .. "f:3", call("fails", "CreateAlias",
      { Name = "other", FunctionVersion = "3" }))
    assert.equal(NOT_FOUND .. "f:3", call("fails", "UpdateAlias", { FunctionVersion = "3" }))
    assert.equal(NOT_FOUND .. "g", call("fails", "CreateAlias",
      { FunctionName = "g", FunctionVersion = "1" }))
  end)

  it("are refused when their routing makes no sense", function()
    create()
    local function refusal(more)
      return call("fails", "UpdateAlias", more)
    end
    assert.equal(INVALID .. "Number of items in AdditionalVersionWeights cannot be greater than 1",
      refusal { RoutingConfig = { AdditionalVersionWeights = { ["2"] = 0.1, ["3"] = 0.1 } } })
    assert.equal(INVALID .. "$LATEST is not supported for an alias pointing to more than 1 version",
      refusal { FunctionVersion = "$LATEST", RoutingConfig = weights("2", 0.1) })
    assert.equal(INVALID .. "Invalid function version 1. Function version 1 is already included " ..
      "in routing configuration.", refusal { RoutingConfig = weights("1", 0.1) })
    assert.equal(NOT_FOUND .. "f:3", refusal { RoutingConfig = weights("3", 0.1) })
    assert.truthy(refusal { RoutingConfig = weights("2", 1.5) }
      :find("less than or equal to 1.0", 1, true))
    call("ok", "UpdateAlias", { RoutingConfig = weights("2", 0.1) })
    assert.equal(INVALID .. "Invalid function version 2. Function version 2 is already included " ..
      "in routing configuration.", refusal { FunctionVersion = "2" })
  end)

  it("check the revision", function()
    local revision = create().RevisionId
    call("ok", "UpdateAlias", { Description = "new", RevisionId = revision })
    assert.equal("412 PreconditionFailedException: The Revision Id provided does not match the " ..
      "latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
      call("fails", "UpdateAlias", { Description = "newer", RevisionId = revision }))
  end)

  it("have names that are no numbers", function()
    assert.equal("400 ValidationException: 1 validation error detected: Value '1' at 'name' " ..
      "failed to satisfy constraint: Member must satisfy regular expression pattern: " ..
      "(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
      call("fails", "CreateAlias", { Name = "1", FunctionVersion = "1" }))
  end)

  it("are listed by name, of all versions or of one", function()
    create { Name = "c" }
    create { Name = "a", FunctionVersion = "2" }
    create { Name = "b", RoutingConfig = weights("2", 0.5) }
    create { Name = "d", FunctionVersion = "$LATEST" }
    local function listed(input)
      local list = {}
      input.FunctionName = "f"
      repeat
        local output = world:ok("ListAliases", input)
        for _, item in ipairs(output.Aliases) do
          list[#list + 1] = item.Name
        end
        input.Marker = output.NextMarker
      until not input.Marker
      return table.concat(list)
    end
    assert.equal("abcd", listed {})
    assert.equal("abcd", listed { MaxItems = 1 })
    assert.equal("ab", listed { FunctionVersion = "2" })
    assert.equal("ab", listed { FunctionVersion = "2", MaxItems = 1 })
    assert.equal("d", listed { FunctionVersion = "$LATEST" })
    assert.equal("", listed { FunctionVersion = "7" })
  end)

  it("take with them what was said about them", function()
    create()
    world:ok("CreateFunctionUrlConfig",
      { FunctionName = "f", Qualifier = "prod", AuthType = "NONE" })
    world:ok("AddPermission", { FunctionName = "f", Qualifier = "prod", StatementId = "s",
      Action = "*", Principal = "*" })
    call("ok", "DeleteAlias")
    create()
    assert.equal("404 ResourceNotFoundException: The resource you requested does not exist.",
      world:fails("GetPolicy", { FunctionName = "f:prod" }))
    assert.same({ FunctionUrlConfigs = {} },
      world:ok("ListFunctionUrlConfigs", { FunctionName = "f" }))
  end)
end)
