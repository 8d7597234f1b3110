local support = require "lua.serve_store_support"

local ARN = support.ARN .. "f"
local INVALID = "400 InvalidParameterValueException: "

describe("tags", function()
  local world

  before_each(function() world = support.open() end)
  after_each(function() world:close() end)

  local function tags()
    return world:ok("ListTags", { Resource = ARN })
  end

  it("are set, overwritten and removed", function()
    world:create("f", { Tags = { a = "1" } })
    assert.same({ Tags = { a = "1" } }, tags())
    local _, status = world:ok("TagResource",
      { Resource = ARN, Tags = { a = "2", b = "", c = "3" } })
    assert.equal(204, status)
    assert.same({ Tags = { a = "2", b = "", c = "3" } }, tags())
    _, status = world:ok("UntagResource", { Resource = ARN, TagKeys = { "a", "b", "unknown" } })
    assert.equal(204, status)
    assert.same({ Tags = { c = "3" } }, tags())
    assert.same({ c = "3" }, world:ok("GetFunction", { FunctionName = "f" }).Tags)
    world:ok("UntagResource", { Resource = ARN, TagKeys = { "c" } })
    assert.same({ Tags = {} }, tags())
    assert.is_nil(world:ok("GetFunction", { FunctionName = "f" }).Tags)
  end)

  it("are at most fifty", function()
    local fifty = {}
    for i = 1, 50 do
      fifty["k" .. i] = "v"
    end
    world:create("f", { Tags = fifty })
    assert.equal(INVALID .. "Number of tags exceeds resource tag limit.",
      world:fails("TagResource", { Resource = ARN, Tags = { another = "v" } }))
    assert.same({ Tags = fifty }, tags())
  end)

  it("belong to functions, not to versions or aliases", function()
    world:create("f", { Publish = true })
    assert.equal(INVALID .. "Tags on function aliases and versions are not supported. Please " ..
      "specify a function ARN.",
      world:fails("TagResource", { Resource = ARN .. ":1", Tags = { a = "1" } }))
    assert.equal("404 ResourceNotFoundException: Function not found: " .. support.ARN .. "g",
      world:fails("ListTags", { Resource = support.ARN .. "g" }))
    assert.truthy(world:fails("ListTags", { Resource = "f" })
      :find "^400 ValidationException: 1 validation error detected: Value 'f' at 'resource'")
  end)

  it("have to be given, with keys of their own", function()
    world:create "f"
    assert.equal(INVALID .. "An error occurred and the request cannot be processed.",
      world:fails("TagResource", { Resource = ARN, Tags = {} }))
    assert.equal("400 ValidationException: 1 validation error detected: Value null at 'tagKeys' " ..
      "failed to satisfy constraint: Member must not be null",
      world:fails("UntagResource", { Resource = ARN }))
    assert.truthy(world:fails("TagResource", { Resource = ARN, Tags = { ["aws:x"] = "1" } })
      :find "^400 ValidationException: ")
  end)
end)
