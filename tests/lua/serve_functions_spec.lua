local fault = require "lambdapool.serve.fault"
local functions = require "lambdapool.serve.lambda.functions"
local support = require "lua.serve_store_support"

local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
local BUSY = "409 ResourceConflictException: The operation cannot be performed at this time. An " ..
  "update is in progress for resource: " .. support.ARN .. "f"

describe("operations on functions:", function()
  local world

  before_each(function() world = support.open() end)
  after_each(function() world:close() end)

  -- What the API shows of a function with nothing but the mandatory members, and of `output` what
  -- nobody can foresee.
  local function expected(output, more)
    assert.truthy(output.RevisionId:find(UUID))
    assert.truthy(not output.RuntimeVersionConfig
      or output.RuntimeVersionConfig.RuntimeVersionArn:find
        "^arn:aws:lambda:eu%-west%-1::runtime:%x+$")
    local shown = {
      FunctionName = "f", FunctionArn = support.ARN .. "f", Runtime = "provided.al2023",
      Role = support.ROLE, Handler = "h", CodeSize = output.CodeSize, Description = "",
      Timeout = 3, MemorySize = 128, LastModified = "2026-01-01T00:00:00.250+0000",
      CodeSha256 = output.CodeSha256, Version = "$LATEST", TracingConfig = { Mode = "PassThrough" },
      RevisionId = output.RevisionId, State = "Active", LastUpdateStatus = "Successful",
      PackageType = "Zip", Architectures = { "x86_64" }, EphemeralStorage = { Size = 512 },
      SnapStart = { ApplyOn = "None", OptimizationStatus = "Off" },
      LoggingConfig = { LogFormat = "Text", LogGroup = "/aws/lambda/f" },
      RuntimeVersionConfig = output.RuntimeVersionConfig,
    }
    for key, value in pairs(more or {}) do
      shown[key] = value ~= "absent" and value or nil
    end
    return shown
  end

  local PENDING = {
    State = "Pending", StateReason = "The function is being created.",
    StateReasonCode = "Creating", LastUpdateStatus = "absent",
  }

  local PROGRESS = {
    LastUpdateStatus = "InProgress", LastUpdateStatusReason = "The function is being created.",
    LastUpdateStatusReasonCode = "Creating", LastModified = "2026-01-01T00:00:01.250+0000",
  }

  describe("CreateFunction", function()
    it("answers with the whole configuration, pending", function()
      local output = world:create "f"
      assert.same(expected(output, PENDING), output)
    end)

    it("keeps everything that is given", function()
      local given = {
        Description = "d", Timeout = 900, MemorySize = 10240,
        Environment = { Variables = { KEY = "value", EMPTY = "" } },
        Architectures = { "arm64" }, EphemeralStorage = { Size = 10240 },
        TracingConfig = { Mode = "Active" }, KMSKeyArn = "arn:aws:kms:eu-west-1:1:key/k",
        DeadLetterConfig = { TargetArn = "arn:aws:sqs:eu-west-1:123456789012:q" },
      }
      world:create("f", given)
      local shown = world:ok("GetFunctionConfiguration", { FunctionName = "f" })
      assert.same(expected(shown, given), shown)
    end)

    it("shows an environment that was set empty, layers only when there are some", function()
      local output = world:create("f", { Environment = {}, Layers = {} })
      assert.same({ Variables = {} }, output.Environment)
      assert.is_nil(output.Layers)
    end)

    it("completes logging and the network", function()
      local output = world:create("f", { LoggingConfig = { LogFormat = "JSON" }, VpcConfig = {
        SubnetIds = { "s" } } })
      assert.same({ LogFormat = "JSON", LogGroup = "/aws/lambda/f", ApplicationLogLevel = "INFO",
        SystemLogLevel = "INFO" }, output.LoggingConfig)
      assert.same({ SubnetIds = { "s" }, SecurityGroupIds = {}, VpcId = "",
        Ipv6AllowedForDualStack = false }, output.VpcConfig)
    end)

    it("publishes when asked to", function()
      local output = world:create("f", { Publish = true })
      local more = { Version = "1", FunctionArn = support.ARN .. "f:1" }
      for key, value in pairs(PENDING) do
        more[key] = value
      end
      assert.same(expected(output, more), output)
    end)

    it("refuses what exists", function()
      world:create "f"
      assert.equal("409 ResourceConflictException: Function already exist: f",
        world:fails("CreateFunction", { FunctionName = "f", Runtime = "provided", Handler = "h",
          Role = support.ROLE, Code = { ZipFile = support.zip() } }))
    end)

    local function refusal(more)
      local input = { FunctionName = "f", Runtime = "provided.al2023", Role = support.ROLE,
        Handler = "h", Code = { ZipFile = support.zip() } }
      for key, value in pairs(more) do
        input[key] = value
      end
      local text = world:fails("CreateFunction", input)
      assert.same({}, world:ok "ListFunctions".Functions)
      return text
    end

    it("refuses code that is none", function()
      local invalid = "400 InvalidParameterValueException: "
      local unzip = invalid .. "Could not unzip uploaded file. Please check your file, then try " ..
        "to upload again."
      assert.equal(unzip, refusal { Code = { ZipFile = "bm90IGEgemlw" } })
      assert.equal(unzip, refusal { Code = { ZipFile = "not base64!" } })
      assert.equal(invalid .. "Uploaded file must be a non-empty zip",
        refusal { Code = { ZipFile = "" } })
      assert.equal(invalid .. "Please provide a source for function code.", refusal { Code = {} })
      assert.equal(invalid .. "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 " ..
        "Error Message: The specified bucket does not exist",
        refusal { Code = { S3Bucket = "bucket", S3Key = "key" } })
      assert.equal(invalid .. "Source image i does not exist. Provide a valid source image.",
        refusal { Code = { ImageUri = "i" }, PackageType = "Image" })
    end)

    it("refuses runtimes, variables and layers that cannot be", function()
      local invalid = "400 InvalidParameterValueException: "
      assert.truthy(refusal { Runtime = "cobol" }:find(
        "400 InvalidParameterValueException: Value cobol at 'runtime' failed to satisfy " ..
        "constraint: Member must satisfy enum value set: [nodejs,", 1, true))
      assert.equal(invalid .. "Lambda was unable to configure your environment variables " ..
        "because the environment variables you have provided contains reserved keys that are " ..
        "currently not supported for modification. Reserved keys used in this request: " ..
        "AWS_ACCESS_KEY_ID, AWS_REGION", refusal { Environment = { Variables = {
          AWS_REGION = "x", OK = "", AWS_ACCESS_KEY_ID = "y" } } })
      local long = ("x"):rep(4088)
      assert.equal(invalid .. "Lambda was unable to configure your environment variables " ..
        "because the environment variables you have provided exceeded the 4KB limit. String " ..
        "measured: " ..
        '{"KK":"' .. long .. '"}', refusal { Environment = { Variables = { KK = long } } })
      local layer = "arn:aws:lambda:%s:123456789012:layer:l:%d"
      assert.equal(invalid .. "Layer version " .. layer:format("eu-west-1", 1) ..
        " does not exist.", refusal { Layers = { layer:format("eu-west-1", 1) } })
      assert.equal(invalid .. "Layers are not in the same region as the function. Layers are " ..
        "expected to be in region eu-west-1.",
        refusal { Layers = { layer:format("us-east-1", 1) } })
      local many = {}
      for i = 1, 6 do
        many[i] = layer:format("eu-west-1", i)
      end
      assert.equal(invalid .. "Cannot reference more than 5 layers.", refusal { Layers = many })
    end)

    it("takes variables up to exactly 4 KB", function()
      local output = world:create("f", { Environment = { Variables = { KK = ("x"):rep(4087) } } })
      assert.equal(4087, #output.Environment.Variables.KK)
    end)

    it("wants a role that exists only when it is told to be strict", function()
      world.service.strict_roles = true
      world.service.role_exists = function(arn) return arn == support.ROLE .. "2" end
      assert.equal("400 InvalidParameterValueException: The role defined for the function " ..
        "cannot be assumed by Lambda.", refusal {})
      world:create("g", { Role = support.ROLE .. "2" })
    end)
  end)

  describe("GetFunction", function()
    it("shows configuration, code, tags and concurrency", function()
      world:create("f", { Tags = { a = "b" } })
      world:ok("PutFunctionConcurrency", { FunctionName = "f", ReservedConcurrentExecutions = 5 })
      local output = world:ok("GetFunction", { FunctionName = support.ARN .. "f" })
      local location = output.Code.Location
      assert.truthy(location:find("^http://127.0.0.1:9077/_lambdapool/code/%x+$"))
      assert.same({
        Configuration = expected(output.Configuration),
        Code = { RepositoryType = "S3", Location = location },
        Tags = { a = "b" },
        Concurrency = { ReservedConcurrentExecutions = 5 },
      }, output)
    end)

    it("signs the address of the code when the front can", function()
      world.context.presign = function(path)
        return "signed " .. path:match "^/_lambdapool/code/"
      end
      world:create "f"
      assert.equal("signed /_lambdapool/code/",
        world:ok("GetFunction", { FunctionName = "f" }).Code.Location)
    end)

    it("shows the qualifier in the ARN", function()
      world:create "f"
      local output = world:ok("GetFunctionConfiguration", { FunctionName = "f:$LATEST" })
      assert.same(expected(output, { FunctionArn = support.ARN .. "f:$LATEST" }), output)
    end)

    it("knows nothing of other regions", function()
      world:create "f"
      world.context.region = "us-east-1"
      assert.equal("404 ResourceNotFoundException: Function not found: " ..
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        world:fails("GetFunction", { FunctionName = "f" }))
    end)

    it("names the qualifier that there is not", function()
      world:create "f"
      for _, qualifier in ipairs { "1", "0", "prod", "99999999999999999999" } do
        assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN .. "f:" ..
          qualifier, world:fails("GetFunction", { FunctionName = "f", Qualifier = qualifier }))
      end
    end)
  end)

  describe("UpdateFunctionCode", function()
    it("changes the code; the rest stays", function()
      local before = world:create("f", { Description = "d" })
      local output, status = world:ok("UpdateFunctionCode",
        { FunctionName = "f", ZipFile = support.zip "new", Architectures = { "arm64" } })
      local more = { Description = "d", Architectures = { "arm64" } }
      for key, value in pairs(PROGRESS) do
        more[key] = value
      end
      assert.equal(200, status)
      assert.same(expected(output, more), output)
      assert.not_equal(before.CodeSha256, output.CodeSha256)
      assert.not_equal(before.RevisionId, output.RevisionId)
    end)

    it("publishes when asked to", function()
      world:create "f"
      local output = world:ok("UpdateFunctionCode",
        { FunctionName = "f", ZipFile = support.zip "new", Publish = true })
      assert.same(expected(output, { Version = "1", FunctionArn = support.ARN .. "f:1",
        LastModified = "2026-01-01T00:00:01.250+0000" }), output)
    end)

    it("changes nothing in a dry run, but says what it would", function()
      world:create "f"
      local before = world:ok("GetFunctionConfiguration", { FunctionName = "f" })
      local output = world:ok("UpdateFunctionCode",
        { FunctionName = "f", ZipFile = support.zip "new", DryRun = true })
      assert.not_equal(before.CodeSha256, output.CodeSha256)
      assert.same(before, world:ok("GetFunctionConfiguration", { FunctionName = "f" }))
    end)

    it("needs a source", function()
      world:create "f"
      assert.equal("400 InvalidParameterValueException: Please provide a source for function " ..
        "code.", world:fails("UpdateFunctionCode", { FunctionName = "f" }))
    end)

    it("is not for versions", function()
      world:create("f", { Publish = true })
      assert.equal("400 InvalidParameterValueException: The operation does not take a " ..
        "qualified function name: f:1",
        world:fails("UpdateFunctionCode", { FunctionName = "f:1", ZipFile = support.zip() }))
    end)
  end)

  describe("UpdateFunctionConfiguration", function()
    it("changes what is given", function()
      world:create("f", { Environment = { Variables = { AA = "1", BB = "2" } }, Timeout = 7 })
      local output = world:ok("UpdateFunctionConfiguration", { FunctionName = "f",
        MemorySize = 256, Environment = { Variables = { CC = "3" } } })
      local more = { MemorySize = 256, Timeout = 7, Environment = { Variables = { CC = "3" } } }
      for key, value in pairs(PROGRESS) do
        more[key] = value
      end
      assert.same(expected(output, more), output)
    end)

    it("takes layers, and takes them away", function()
      local function layer(name)
        return world:ok("PublishLayerVersion",
          { LayerName = name, Content = { ZipFile = support.zip(name) } }).LayerVersionArn
      end
      local a, b = layer "a", layer "b"
      world:create "f"
      local output = world:ok("UpdateFunctionConfiguration",
        { FunctionName = "f", Layers = { b, a } })
      assert.same({ b, a }, { output.Layers[1].Arn, output.Layers[2].Arn })
      assert.equal("number", type(output.Layers[1].CodeSize))
      world:pass(1)
      assert.is_nil(world:ok("UpdateFunctionConfiguration",
        { FunctionName = "f", Layers = {} }).Layers)
      world:pass(1)
      assert.equal("400 InvalidParameterValueException: Two different versions of the same " ..
        "layer are not allowed to be referenced in the same function. " .. a .. " and " ..
        layer "a" .. " are versions of arn:aws:lambda:eu-west-1:123456789012:layer:a.",
        world:fails("UpdateFunctionConfiguration",
          { FunctionName = "f", Layers = { a, (a:gsub("1$", "2")) } }))
    end)

    it("keeps a function the layer that is deleted", function()
      local layer = world:ok("PublishLayerVersion",
        { LayerName = "l", Content = { ZipFile = support.zip "l" } })
      world:create("f", { Layers = { layer.LayerVersionArn } })
      world:ok("DeleteLayerVersion", { LayerName = "l", VersionNumber = 1 })
      local record = functions.resolve(world.service, "eu-west-1", "f")
      assert.same({ layer.Content.Location:match "%x+$" }, record.layer_hashes)
      assert.is_true(world.service.store:needed()[record.layer_hashes[1]])
    end)
  end)

  describe("updates", function()
    it("conflict with creation and with one another", function()
      world:ok("CreateFunction", { FunctionName = "f", Runtime = "provided", Handler = "h",
        Role = support.ROLE, Code = { ZipFile = support.zip() } })
      local calls = {
        { "UpdateFunctionCode", { FunctionName = "f", ZipFile = support.zip() } },
        { "UpdateFunctionConfiguration", { FunctionName = "f", Timeout = 4 } },
        { "PublishVersion", { FunctionName = "f" } },
      }
      for _, call in ipairs(calls) do
        assert.equal(BUSY, world:fails(call[1], call[2]))
      end
      world:pass(1)
      world:ok("UpdateFunctionConfiguration", { FunctionName = "f", Timeout = 5 })
      for _, call in ipairs(calls) do
        assert.equal(BUSY, world:fails(call[1], call[2]))
      end
      world:pass(1)
      for _, call in ipairs(calls) do
        world:ok(call[1], call[2])
        world:pass(1)
      end
    end)

    it("check the revision first when there is one", function()
      local revision = world:create "f".RevisionId
      local input = { FunctionName = "f", Timeout = 4, RevisionId = revision }
      world:ok("UpdateFunctionConfiguration", input)
      world:pass(1)
      assert.equal("412 PreconditionFailedException: The Revision Id provided does not match " ..
        "the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest " ..
        "Revision Id",
        world:fails("UpdateFunctionConfiguration", input))
    end)

    it("end even when the clock is set back", function()
      world:create "f"
      world:ok("UpdateFunctionConfiguration", { FunctionName = "f", Timeout = 4 })
      world:pass(-3600)
      assert.equal("Successful",
        world:ok("GetFunctionConfiguration", { FunctionName = "f" }).LastUpdateStatus)
    end)
  end)

  describe("ListFunctions", function()
    local function listed(input)
      local names, pages = {}, 0
      repeat
        local output = world:ok("ListFunctions", input)
        for _, item in ipairs(output.Functions) do
          names[#names + 1] = item.FunctionArn:match "function:(.*)$"
        end
        input.Marker, pages = output.NextMarker, pages + 1
      until not input.Marker
      return names, pages
    end

    it("shows functions without their states", function()
      world:create "f"
      local output = world:ok "ListFunctions"
      local item = output.Functions[1]
      assert.same({ Functions = { expected(item, { State = "absent",
        LastUpdateStatus = "absent" }) } }, output)
    end)

    it("goes through all of them in pages of any size", function()
      local all = {}
      for i = 1, 7 do
        all[i] = "f" .. i
        world:create(all[i])
      end
      assert.same(all, (listed {}))
      for size = 1, 8 do
        local names, pages = listed { MaxItems = size }
        assert.same(all, names)
        assert.equal(math.ceil(7 / size), pages)
      end
    end)

    it("gives at most 50 at a time", function()
      for i = 1, 51 do
        world:create(("f%02d"):format(i))
      end
      assert.equal(50, #world:ok("ListFunctions", { MaxItems = 10000 }).Functions)
      assert.equal(51, #listed {})
    end)

    it("shows the versions, too, when asked for ALL", function()
      world:create("b", { Publish = true })
      world:create("a", { Publish = true })
      local expect = { "a:$LATEST", "a:1", "b:$LATEST", "b:1" }
      assert.same(expect, (listed { FunctionVersion = "ALL" }))
      assert.same(expect, (listed { FunctionVersion = "ALL", MaxItems = 1 }))
      assert.same({ "a", "b" }, (listed {}))
      assert.equal("400 ValidationException: 1 validation error detected: Value 'SOME' at " ..
        "'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: " ..
        "[ALL]", world:fails("ListFunctions", { FunctionVersion = "SOME" }))
    end)

    it("keeps its place when functions come and go", function()
      for _, name in ipairs { "b", "d", "f" } do
        world:create(name)
      end
      local page = world:ok("ListFunctions", { MaxItems = 2 })
      world:ok("DeleteFunction", { FunctionName = "d" })
      world:create "a"
      world:create "e"
      assert.same({ "e", "f" }, (listed { Marker = page.NextMarker }))
    end)

    it("refuses markers that it did not give", function()
      for _, marker in ipairs { "x", "bm9wZQ==", "MQ==" } do
        assert.truthy(world:fails("ListFunctions", { Marker = marker })
          :find "^400 InvalidParameterValueException: ")
      end
    end)
  end)

  describe("DeleteFunction", function()
    it("takes everything of the function with it", function()
      world:create("f", { Publish = true, Tags = { a = "b" } })
      for _, call in ipairs {
        { "CreateAlias", { Name = "prod", FunctionVersion = "1" } },
        { "CreateFunctionUrlConfig", { AuthType = "NONE" } },
        { "PutFunctionEventInvokeConfig", { MaximumRetryAttempts = 1 } },
        { "PutFunctionConcurrency", { ReservedConcurrentExecutions = 1 } },
        { "PutProvisionedConcurrencyConfig",
          { Qualifier = "prod", ProvisionedConcurrentExecutions = 1 } },
        { "AddPermission", { StatementId = "s", Action = "*", Principal = "*" } },
      } do
        call[2].FunctionName = "f"
        world:ok(call[1], call[2])
      end
      local output, status = world:ok("DeleteFunction", { FunctionName = "f" })
      assert.is_nil(output)
      assert.equal(204, status)
      assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN .. "f",
        world:fails("DeleteFunction", { FunctionName = "f" }))
      for _, name in ipairs { "functions", "versions", "aliases", "urls", "policies",
        "event_configs", "provisioned" } do
        assert.same({}, world.service.store.db:rows("SELECT * FROM " .. name), name)
      end
    end)

    it("takes one version when one is named", function()
      world:create("f", { Publish = true })
      world:ok("DeleteFunction", { FunctionName = "f", Qualifier = "1" })
      local invalid = "400 InvalidParameterValueException: "
      assert.equal(invalid .. "$LATEST version cannot be deleted without deleting the function.",
        world:fails("DeleteFunction", { FunctionName = "f:$LATEST" }))
      assert.equal(invalid .. "Deletion of aliases is not currently supported.",
        world:fails("DeleteFunction", { FunctionName = "f:prod" }))
      assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN .. "f:1",
        world:fails("DeleteFunction", { FunctionName = "f:1" }))
    end)

    it("does not take a version that aliases lead to", function()
      world:create("f", { Publish = true })
      world:ok("UpdateFunctionCode", { FunctionName = "f", ZipFile = support.zip "2",
        Publish = true })
      world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1",
        RoutingConfig = { AdditionalVersionWeights = { ["2"] = 0.5 } } })
      for _, version in ipairs { "1", "2" } do
        assert.equal("409 ResourceConflictException: Unable to delete version because the " ..
          "following aliases reference it: [prod]",
          world:fails("DeleteFunction", { FunctionName = "f", Qualifier = version }))
      end
    end)
  end)

  it("tell the environments of every change", function()
    local told = {}
    world.service.environments = {
      forget = function(_, region, name) told[#told + 1] = region .. " " .. name end,
    }
    world:create "f"
    world:fails("UpdateFunctionCode", { FunctionName = "f" })
    world:ok("UpdateFunctionConfiguration", { FunctionName = "f", Timeout = 4 })
    world:ok("DeleteFunction", { FunctionName = "f" })
    assert.same({ "eu-west-1 f", "eu-west-1 f", "eu-west-1 f" }, told)
  end)

  it("hand on errors that are no faults", function()
    world:create "f"
    world.service.now = function() error("the clock is gone", 0) end
    local ok, e = pcall(world.call, world, "PublishVersion", { FunctionName = "f" })
    assert.is_false(ok)
    assert.is_false(fault.is(e))
    assert.equal("the clock is gone", e)
  end)
end)
