local describer = require "lambdapool.deploy.describe"
local functions = require "lambdapool.deploy.function"
local layers = require "lambdapool.deploy.layers"
local permissions = require "lambdapool.deploy.permissions"
local plan = require "lambdapool.deploy.plan"
local support = require "lua.deploy_world"

local failure = support.failure
local world

before_each(function() world = support.open() end)
after_each(function() world:close() end)

local function publish(name, text, options)
  options = options or {}
  options.paths = { world:write("tools.lua", text or "return {}") }
  return plan.execute(layers.plan.publish(world.account, name, options))
end

describe("layers", function()
  it("are published once", function()
    local first = publish "tools"
    assert.equal("published", first.action)
    assert.equal(1, first.version)
    world:forget()
    local second = publish "tools"
    assert.equal("unchanged", second.action)
    assert.equal(first.arn, second.arn)
    assert.same({}, world:changes())
    assert.equal(2, publish("tools", "return { 1 }").version)
  end)

  it("are published again for another processor, or with other words", function()
    publish "tools"
    assert.equal(2, publish("tools", nil, { architecture = "arm64" }).version)
    assert.equal("unchanged", publish("tools", nil, { architecture = "arm64" }).action)
    assert.equal(3, publish("tools", nil, { description = "for all" }).version)
    assert.equal("unchanged", publish("tools", nil, { description = "for all" }).action)
    assert.equal("unchanged", publish("tools").action)
    assert.equal(4, publish("tools", nil, { description = "" }).version)
  end)

  it("are said in a few ways", function()
    local one, two = publish("tools").arn, publish("tools", "return { 1 }").arn
    assert.same({ two, one, two, one, "?" }, layers.resolve(world.account,
      { "tools", "tools:1", "tools:2", one, "?" }))
    for _, text in ipairs { "tools:3", "tools:0", "tools:99999999999999999999", "no", "no:1" } do
      local _, exit = failure(layers.resolve, world.account, { text })
      assert.equal(3, exit)
    end
  end)

  it("are listed", function()
    assert.same({}, layers.list(world.account))
    publish "b"
    publish "a"
    publish("a", "return { 1 }")
    local list = layers.list(world.account)
    assert.same({ "a", "b" }, { list[1].name, list[2].name })
    assert.equal(2, list[1].version)
    local versions = layers.versions(world.account, "a")
    assert.same({ 2, 1 }, { versions[1].version, versions[2].version })
    local _, exit = failure(layers.versions, world.account, "c")
    assert.equal(3, exit)
  end)

  it("are deleted, version by version", function()
    local item = publish "a"
    world:create("f", { layers = { item.arn } })
    local steps = layers.plan.delete(world.account, "a", 1)
    assert.matches("used by f", steps.kept)
    plan.execute(steps)
    assert.same({}, layers.list(world.account))
    local _, exit = failure(layers.plan.delete, world.account, "a", 1)
    assert.equal(3, exit)
  end)

  it("need something in them", function()
    local _, exit = failure(layers.plan.publish, world.account, "a", { paths = {} })
    assert.equal(2, exit)
    _, exit = failure(layers.plan.publish, world.account, "a b", { paths = { "x" } })
    assert.equal(2, exit)
    assert.same({}, world.asked)
  end)

  it("become those of a function", function()
    local a, b = publish "a", publish "b"
    world:create("f", { layers = { a.arn } })
    local function current()
      return describer.layers((world:configuration "f"))
    end
    world:update("f", { layers = layers.with(current(), { b.arn }) })
    assert.same({ a.arn, b.arn }, current())
    assert.same({ a.arn, b.arn }, functions.list(world.account)[1].layers)
    world:update("f", { layers = layers.without(current(), { "a", "b" }) })
    assert.same({}, current())
  end)
end)

describe("permissions", function()
  local function grant(more)
    return plan.execute(permissions.plan.grant(world.account, "f", more))
  end

  before_each(function()
    world:create "f"
    world:forget()
  end)

  it("are none at first", function()
    assert.same({}, permissions.list(world.account, "f"))
    local _, exit = failure(permissions.list, world.account, "g")
    assert.equal(3, exit)
  end)

  it("are granted once, listed and revoked", function()
    local bucket = { principal = "s3.amazonaws.com", source_arn = "arn:aws:s3:::bucket" }
    local item = grant(bucket)
    assert.equal("granted", item.action)
    assert.equal("unchanged", grant(bucket).action)
    assert.same({ "AddPermission" }, world:changes())
    local list = permissions.list(world.account, "f")
    assert.equal(1, #list)
    assert.equal("s3.amazonaws.com", list[1].principal)
    assert.equal("lambda:InvokeFunction", list[1].action)
    assert.equal("arn:aws:s3:::bucket", list[1].source_arn)
    plan.execute(permissions.plan.revoke(world.account, "f", item.id))
    assert.same({}, permissions.list(world.account, "f"))
    local _, exit = failure(permissions.plan.revoke, world.account, "f", item.id)
    assert.equal(3, exit)
  end)

  it("have names that may be chosen, once", function()
    assert.equal("mine", grant({ principal = "111122223333", id = "mine" }).id)
    assert.matches("there is a permission mine",
      (failure(grant, { principal = "*", id = "mine" })))
  end)

  it("are checked before anything is sent", function()
    for _, options in ipairs { {}, { principal = "bob" }, { principal = "12" },
      { principal = "*", source_arn = "bucket" }, { principal = "*", source_account = "1" },
      { principal = "*", action = "s3:Get" }, { principal = "*", id = "a b" } } do
      local _, exit = failure(grant, options)
      assert.equal(2, exit)
    end
    assert.same({}, world.asked)
  end)

  it("are not granted for functions of others", function()
    world.account.session:lambda():call("UntagResource", { TagKeys = { "creator" },
      Resource = world:configuration("f").FunctionArn })
    assert.matches("not made by lambdapool", (failure(grant, { principal = "*" })))
  end)

  it("are printed as policies with this account's ARNs", function()
    local policy = permissions.policy(world.account, "user", "f")
    assert.equal("arn:aws:lambda:us-east-1:123456789012:function:f",
      policy.Statement[1].Resource[1])
    for _, whom in ipairs { "deployer", "worker" } do
      assert.equal("2012-10-17", permissions.policy(world.account, whom).Version)
    end
  end)
end)
