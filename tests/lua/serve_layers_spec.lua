local support = require "lua.serve_store_support"

local ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:"
local NO_SUCH = "404 ResourceNotFoundException: The resource you requested does not exist."

describe("layers", function()
  local world

  before_each(function() world = support.open() end)
  after_each(function() world:close() end)

  local function publish(name, more)
    local input = { LayerName = name, Content = { ZipFile = support.zip(name) } }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return world:ok("PublishLayerVersion", input)
  end

  it("show everything when they are published, and when they are asked for", function()
    local output, status = publish("l", { Description = "d", LicenseInfo = "MIT",
      CompatibleRuntimes = { "provided.al2023", "provided" }, CompatibleArchitectures = {} })
    assert.equal(201, status)
    assert.truthy(output.Content.Location:find("^http://127.0.0.1:9077/_lambdapool/code/%x+$"))
    assert.same({
      Content = { Location = output.Content.Location, CodeSha256 = output.Content.CodeSha256,
        CodeSize = output.Content.CodeSize },
      LayerArn = ARN .. "l", LayerVersionArn = ARN .. "l:1", Version = 1, Description = "d",
      CreatedDate = "2026-01-01T00:00:00.250+0000", LicenseInfo = "MIT",
      CompatibleRuntimes = { "provided.al2023", "provided" }, CompatibleArchitectures = {},
    }, output)
    for _, input in ipairs { { LayerName = "l" }, { LayerName = ARN .. "l" } } do
      input.VersionNumber = 1
      assert.same(output, world:ok("GetLayerVersion", input))
    end
    assert.same(output, world:ok("GetLayerVersionByArn", { Arn = ARN .. "l:1" }))
  end)

  it("do not show what was not given", function()
    local output = publish "l"
    assert.equal("", output.Description)
    assert.is_nil(output.CompatibleRuntimes)
    assert.is_nil(output.CompatibleArchitectures)
    assert.is_nil(output.LicenseInfo)
  end)

  it("have numbers that are never given again", function()
    assert.equal(1, publish "l".Version)
    assert.equal(2, publish "l".Version)
    world:ok("DeleteLayerVersion", { LayerName = "l", VersionNumber = 2 })
    assert.equal(3, publish "l".Version)
  end)

  it("that do not exist", function()
    publish "l"
    assert.equal(NO_SUCH, world:fails("GetLayerVersion", { LayerName = "l", VersionNumber = 2 }))
    assert.equal(NO_SUCH, world:fails("GetLayerVersion", { LayerName = "m", VersionNumber = 1 }))
    assert.equal(NO_SUCH, world:fails("GetLayerVersionByArn",
      { Arn = "arn:aws:lambda:us-east-1:123456789012:layer:l:1" }))
    local _, status = world:ok("DeleteLayerVersion", { LayerName = "m", VersionNumber = 7 })
    assert.equal(204, status)
    assert.same({ LayerVersions = {} }, world:ok("ListLayerVersions", { LayerName = "m" }))
    for _, operation in ipairs { "GetLayerVersion", "DeleteLayerVersion" } do
      assert.equal("400 InvalidParameterValueException: Layer Version Cannot be less than 1",
        world:fails(operation, { LayerName = "l", VersionNumber = 0 }))
    end
  end)

  it("need a zip and a name", function()
    assert.equal("400 InvalidParameterValueException: Could not unzip uploaded file. Please " ..
      "check your file, then try to upload again.", world:fails("PublishLayerVersion",
      { LayerName = "l", Content = { ZipFile = "bm90IGEgemlw" } }))
    assert.truthy(world:fails("PublishLayerVersion", { LayerName = "a.b",
      Content = { ZipFile = support.zip() } }):find "^400 ValidationException: .*'layerName'")
    assert.truthy(world:fails("PublishLayerVersion", { LayerName = "l", Content = {},
      CompatibleRuntimes = { "cobol" } }):find "^400 ValidationException: .*'%[cobol%]'")
    assert.same({ Layers = {} }, world:ok "ListLayers")
  end)

  -- The numbers of the versions of l on every page.
  local function versions(input)
    local list = {}
    input.LayerName = "l"
    repeat
      local output = world:ok("ListLayerVersions", input)
      for _, item in ipairs(output.LayerVersions) do
        assert.is_nil(item.Content)
        list[#list + 1] = item.Version
      end
      input.Marker = output.NextMarker
    until not input.Marker
    return list
  end

  it("are listed, the newest version first", function()
    publish("l", { CompatibleRuntimes = { "provided" } })
    publish("l", { CompatibleRuntimes = { "provided", "provided.al2" } })
    publish("l", { CompatibleArchitectures = { "arm64" } })
    assert.same({ 3, 2, 1 }, versions {})
    assert.same({ 3, 2, 1 }, versions { MaxItems = 1 })
    assert.same({ 2, 1 }, versions { CompatibleRuntime = "provided", MaxItems = 1 })
    assert.same({ 2 }, versions { CompatibleRuntime = "provided.al2" })
    assert.same({ 3 }, versions { CompatibleArchitecture = "arm64" })
    assert.same({}, versions { CompatibleArchitecture = "x86_64" })
  end)

  it("are listed once each with their newest version that suits", function()
    publish("b", { CompatibleRuntimes = { "provided" } })
    local newest = publish "b"
    publish "a"
    local output = world:ok "ListLayers"
    assert.same({ "a", "b" }, { output.Layers[1].LayerName, output.Layers[2].LayerName })
    newest.Content, newest.LayerArn = nil, nil
    assert.same({ LayerName = "b", LayerArn = ARN .. "b", LatestMatchingVersion = newest },
      output.Layers[2])
    local page = world:ok("ListLayers", { MaxItems = 1 })
    assert.equal("a", page.Layers[1].LayerName)
    page = world:ok("ListLayers", { MaxItems = 1, Marker = page.NextMarker })
    assert.equal("b", page.Layers[1].LayerName)
    assert.is_nil(page.NextMarker)
    output = world:ok("ListLayers", { CompatibleRuntime = "provided" })
    assert.equal(1, #output.Layers)
    assert.equal(1, output.Layers[1].LatestMatchingVersion.Version)
  end)

  it("have policies", function()
    publish "l"
    local function call(how, operation, more)
      local input = { LayerName = "l", VersionNumber = 1, StatementId = "s" }
      for key, value in pairs(more or {}) do
        input[key] = value
      end
      return world[how](world, operation, input)
    end
    local none = "404 ResourceNotFoundException: No policy is associated with the given resource."
    assert.equal(none, call("fails", "GetLayerVersionPolicy"))
    local output, status = call("ok", "AddLayerVersionPermission",
      { Action = "lambda:GetLayerVersion", Principal = "*", OrganizationId = "o-0123456789" })
    local statement = '{"Action":"lambda:GetLayerVersion","Condition":{"StringEquals":' ..
      '{"aws:PrincipalOrgID":"o-0123456789"}},"Effect":"Allow","Principal":"*","Resource":"' ..
      ARN .. 'l:1","Sid":"s"}'
    assert.equal(201, status)
    assert.same({ Statement = statement, RevisionId = output.RevisionId }, output)
    assert.same({ Policy = '{"Id":"default","Statement":[' .. statement ..
      '],"Version":"2012-10-17"}', RevisionId = output.RevisionId },
      call("ok", "GetLayerVersionPolicy"))
    assert.truthy(call("fails", "RemoveLayerVersionPermission", { RevisionId = "x" }):find "^412")
    call("ok", "RemoveLayerVersionPermission", { RevisionId = output.RevisionId })
    assert.equal(none, call("fails", "GetLayerVersionPolicy"))
  end)
end)
