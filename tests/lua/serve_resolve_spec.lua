local fault = require "lambdapool.serve.fault"
local functions = require "lambdapool.serve.lambda.functions"
local support = require "lua.serve_store_support"

describe("resolving a function", function()
  local world

  before_each(function() world = support.open() end)
  after_each(function() world:close() end)

  local function resolve(text, qualifier)
    return functions.resolve(world.service, "eu-west-1", text, qualifier)
  end

  local function problem(text, qualifier)
    local ok, e = pcall(resolve, text, qualifier)
    assert.is_false(ok)
    assert.is_true(fault.is(e), tostring(e))
    return e.status .. " " .. tostring(e)
  end

  it("tells all that it takes to run it", function()
    local layer = world:ok("PublishLayerVersion",
      { LayerName = "l", Content = { ZipFile = support.zip "l" } })
    world:create("f", { Layers = { layer.LayerVersionArn }, Timeout = 7, MemorySize = 256,
      Environment = { Variables = { KEY = "value" } }, EphemeralStorage = { Size = 600 } })
    local shown = world:ok("GetFunction", { FunctionName = "f" })
    local revision = shown.Configuration.RevisionId
    assert.same({
      name = "f", version = "$LATEST", region = "eu-west-1", arn = support.ARN .. "f",
      pool = "eu-west-1:f:$LATEST:" .. revision, code_hash = shown.Code.Location:match "%x+$",
      layer_hashes = { layer.Content.Location:match "%x+$" }, handler = "h",
      runtime = "provided.al2023", role = support.ROLE, timeout = 7, memory = 256, tmp_mb = 600,
      environment = { KEY = "value" }, log_group = "/aws/lambda/f", log_format = "Text",
      state = "Active", revision_id = revision,
    }, resolve "f")
  end)

  it("takes every form of a name, and remembers what it was", function()
    world:create("f", { Publish = true })
    local record = resolve("f", "1")
    assert.equal("1", record.version)
    assert.equal("1", record.qualifier)
    assert.equal(support.ARN .. "f:1", record.arn)
    assert.equal(record, resolve("f", "1"))
    for _, name in ipairs { "f:1", "123456789012:function:f:1", support.ARN .. "f:1" } do
      assert.same(record, resolve(name))
      assert.equal(resolve(name), resolve(name))
    end
  end)

  it("forgets what has changed, and only gives out what is", function()
    world:create "f"
    local first = resolve "f"
    world:ok("PutFunctionConcurrency", { FunctionName = "f", ReservedConcurrentExecutions = 5 })
    local second = resolve "f"
    assert.equal(5, second.reserved)
    assert.equal(first.pool, second.pool)
    world:ok("DeleteFunction", { FunctionName = "f" })
    assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN ..
      "f:$LATEST", problem "f")
  end)

  it("says that a function is not ready yet", function()
    world:ok("CreateFunction", { FunctionName = "f", Runtime = "provided", Handler = "h",
      Role = support.ROLE, Code = { ZipFile = support.zip() } })
    assert.equal("Pending", resolve "f".state)
    world:pass(1)
    assert.equal("Active", resolve "f".state)
  end)

  it("gives out the old code while an update is in progress", function()
    world:create "f"
    local old = resolve "f"
    world:ok("UpdateFunctionCode", { FunctionName = "f", ZipFile = support.zip "new" })
    assert.same(old, resolve "f")
    world:pass(1)
    local new = resolve "f"
    assert.not_equal(old.code_hash, new.code_hash)
    assert.not_equal(old.pool, new.pool)
    assert.same({}, world.service.store.replaced)
  end)

  it("follows aliases to their version, with their own name", function()
    world:create("f", { Publish = true })
    world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1" })
    local record = resolve("f", "prod")
    assert.equal(support.ARN .. "f:prod", record.arn)
    assert.equal("prod", record.qualifier)
    assert.equal("1", record.version)
    assert.equal(resolve("f", "1").pool, record.pool)
    world:ok("UpdateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "$LATEST" })
    assert.equal("$LATEST", resolve("f", "prod").version)
  end)

  it("spreads calls of an alias by its weights", function()
    world:create("f", { Publish = true })
    world:ok("UpdateFunctionCode",
      { FunctionName = "f", ZipFile = support.zip "2", Publish = true })
    world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1",
      RoutingConfig = { AdditionalVersionWeights = { ["2"] = 0.5 } } })
    local function count()
      local counts = { ["1"] = 0, ["2"] = 0 }
      for _ = 1, 1000 do
        local version = resolve("f", "prod").version
        counts[version] = counts[version] + 1
      end
      return counts
    end
    local counts = count()
    assert.is_true(counts["1"] > 300 and counts["2"] > 300)
    for share, version in pairs { [0.0] = "1", [1.0] = "2" } do
      world:ok("UpdateAlias", { FunctionName = "f", Name = "prod",
        RoutingConfig = { AdditionalVersionWeights = { ["2"] = share } } })
      assert.equal(1000, count()[version])
    end
  end)

  it("refuses what leads nowhere", function()
    world:create "f"
    assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN .. "f:9",
      problem("f", "9"))
    assert.equal("404 ResourceNotFoundException: Functions from 'us-east-1' are not reachable " ..
      "in this region ('eu-west-1')",
      problem "arn:aws:lambda:us-east-1:123456789012:function:f")
    assert.truthy(problem("f g"):find "^400 ValidationException: ")
  end)

  it("remembers only so much", function()
    world:create "f"
    local records = world.service.store.records
    for i = 1, 11000 do
      local partition = string.char(97 + i // 676 % 26, 97 + i // 26 % 26, 97 + i % 26)
      resolve(("arn:aws%s:lambda:eu-west-1:123456789012:function:f"):format(partition))
      assert(records["eu-west-1"].count <= 10000)
    end
    assert.equal(1000, records["eu-west-1"].count)
  end)
end)
