local support = require "lua.serve_store_support"

local NOT_FOUND = "404 ResourceNotFoundException: Function not found: " .. support.ARN

describe("versions", function()
  local world

  before_each(function()
    world = support.open()
    world:create "f"
  end)
  after_each(function() world:close() end)

  local function publish(more)
    local input = { FunctionName = "f" }
    for key, value in pairs(more or {}) do
      input[key] = value
    end
    return world:ok("PublishVersion", input)
  end

  local function update(text)
    world:ok("UpdateFunctionCode", { FunctionName = "f", ZipFile = support.zip(text) })
    world:pass(1)
  end

  it("are what $LATEST was, under a number", function()
    local latest = world:ok("GetFunctionConfiguration", { FunctionName = "f" })
    local output, status = publish { Description = "first" }
    assert.equal(201, status)
    assert.not_equal(latest.RevisionId, output.RevisionId)
    latest.FunctionArn, latest.Version = support.ARN .. "f:1", "1"
    latest.Description, latest.RevisionId = "first", output.RevisionId
    latest.LastModified = "2026-01-01T00:00:01.250+0000"
    assert.same(latest, output)
    assert.same(output, world:ok("GetFunctionConfiguration", { FunctionName = "f:1" }))
  end)

  it("do not change with the function", function()
    local output = publish()
    world:ok("UpdateFunctionConfiguration", { FunctionName = "f", Timeout = 9 })
    world:pass(1)
    update "new"
    assert.same(output, world:ok("GetFunctionConfiguration", { FunctionName = "f:1" }))
  end)

  it("are not published twice", function()
    local first = publish()
    assert.same(first, publish())
    assert.same(first, publish { Description = "another" })
    update() -- the same code
    assert.same(first, publish())
    update "new"
    assert.equal("2", publish().Version)
    update()
    assert.equal("3", publish().Version)
  end)

  it("have numbers that are never given again", function()
    publish()
    world:ok("DeleteFunction", { FunctionName = "f", Qualifier = "1" })
    assert.equal("2", publish().Version)
  end)

  it("are published only from the code and the revision that the client knows", function()
    local latest = world:ok("GetFunctionConfiguration", { FunctionName = "f" })
    assert.equal("400 InvalidParameterValueException: CodeSHA256 (other) is different from " ..
      "current CodeSHA256 in $LATEST (" .. latest.CodeSha256 .. "). Please try again with the " ..
      "CodeSHA256 in $LATEST.",
      world:fails("PublishVersion", { FunctionName = "f", CodeSha256 = "other" }))
    assert.equal("412 PreconditionFailedException: The Revision Id provided does not match the " ..
      "latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
      world:fails("PublishVersion", { FunctionName = "f", RevisionId = "other" }))
    publish { CodeSha256 = latest.CodeSha256, RevisionId = latest.RevisionId }
  end)

  it("are listed after $LATEST, in pages", function()
    publish()
    update "2"
    publish()
    local function arns(input)
      local list = {}
      input.FunctionName = "f"
      repeat
        local output = world:ok("ListVersionsByFunction", input)
        for _, item in ipairs(output.Versions) do
          list[#list + 1] = item.FunctionArn
          assert.is_nil(item.State)
        end
        input.Marker = output.NextMarker
      until not input.Marker
      return list
    end
    local all = { support.ARN .. "f:$LATEST", support.ARN .. "f:1", support.ARN .. "f:2" }
    assert.same(all, arns {})
    assert.same(all, arns { MaxItems = 1 })
    assert.same(all, arns { MaxItems = 2 })
  end)

  it("are those of a function", function()
    assert.equal(NOT_FOUND .. "g", world:fails("PublishVersion", { FunctionName = "g" }))
    assert.equal(NOT_FOUND .. "g", world:fails("ListVersionsByFunction", { FunctionName = "g" }))
  end)
end)
