local support = require "lua.serve_store_support"

describe("the account", function()
  local world

  before_each(function() world = support.open() end)
  after_each(function() world:close() end)

  it("knows its limits and what is used", function()
    local settings = {
      AccountLimit = { TotalCodeSize = 80530636800, CodeSizeUnzipped = 262144000,
        CodeSizeZipped = 52428800, ConcurrentExecutions = 1000,
        UnreservedConcurrentExecutions = 1000 },
      AccountUsage = { TotalCodeSize = 0, FunctionCount = 0 },
    }
    assert.same(settings, world:ok "GetAccountSettings")
    local size = world:create("f", { Publish = true }).CodeSize
    world:ok("PutFunctionConcurrency", { FunctionName = "f", ReservedConcurrentExecutions = 30 })
    local layer = world:ok("PublishLayerVersion",
      { LayerName = "l", Content = { ZipFile = support.zip "l" } }).Content.CodeSize
    world.service.concurrency = 500
    settings.AccountLimit.ConcurrentExecutions = 500
    settings.AccountLimit.UnreservedConcurrentExecutions = 470
    settings.AccountUsage = { TotalCodeSize = 2 * size + layer, FunctionCount = 1 }
    assert.same(settings, world:ok "GetAccountSettings")
  end)

  it("has neither code signing nor event sources", function()
    world:create "f"
    assert.same({ FunctionName = "f", CodeSigningConfigArn = "" },
      world:ok("GetFunctionCodeSigningConfig", { FunctionName = "f" }))
    assert.same({ EventSourceMappings = {} }, world:ok "ListEventSourceMappings")
  end)
end)
