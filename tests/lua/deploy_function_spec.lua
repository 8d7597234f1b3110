local functions = require "lambdapool.deploy.function"
local json = require "lambdapool.json"
local layers = require "lambdapool.deploy.layers"
local plans = require "lambdapool.deploy.plan"
local support = require "lua.deploy_world"
local system = require "lambdapool.system"

local failure = support.failure
local world

before_each(function() world = support.open() end)
after_each(function() world:close() end)

local ROLE = "arn:aws:iam::123456789012:role/lambdapool/lambdapool-f"

local function make_role(name)
  return world.account.session:iam():call("CreateRole",
    { RoleName = name, AssumeRolePolicyDocument = '{"Statement":[]}' }).Role.Arn
end

-- A function that others made.
local function make_foreign(name, more)
  local package = require("lambdapool.deploy.package").build { agent = world.agent }
  local input = { FunctionName = name, Role = make_role("any-" .. name), Handler = "app.f",
    Runtime = "provided.al2023", Code = { ZipFile = package.bytes } }
  for key, value in pairs(more or {}) do
    input[key] = value
  end
  world.account.session:lambda():call("CreateFunction", input)
end

describe("a handler", function()
  local function complaint(handler, more)
    more = more or {}
    more.handler = handler
    return (failure(world.create, world, "f", more))
  end

  it("is in the package", function()
    assert.equal("the handler app.greet needs the module app, which is not in the package\n" ..
      "  name its file or folder, too, or another handler with `--handler`", complaint "app.greet")
    local app = world:write("app.lua", "return {}")
    world:write("inner/deep/init.lua", "return {}")
    local inner = { paths = { app, world.folder .. "/inner" } }
    assert.matches("needs the module deep,", complaint("deep.f", inner))
    assert.same({}, world:changes())
    for i, handler in ipairs { "app.greet", "inner.deep.f", "inner/deep.f", "inner.deep.init.f" } do
      world:create("f" .. i, { handler = handler, paths = inner.paths })
    end
    assert.matches("needs the module gone,", (failure(world.update, world, "f1",
      { handler = "gone.f", paths = { app } })))
    world:update("f1", { handler = "gone.f" }) -- its files are not looked at
    assert.matches("needs the module gone,", (failure(world.update, world, "f1",
      { paths = { app, world:write("other.lua", "return {}") } })))
  end)

  it("may be in a layer", function()
    local layer = plans.execute(layers.plan.publish(world.account, "tools",
      { paths = { world:write("tools.lua", "return {}") } })).arn
    assert.equal("created", world:create("f", { handler = "tools.f", layers = { layer } }).action)
    assert.equal("updated", world:update("f", { paths = { world:write("app.lua", "return {}") } })
      .action)
  end)
end)

describe("creating a function", function()
  it("makes a role, the function and its tags", function()
    local item = world:create("f", { paths = { world:write("app.lua", "return {}") },
      memory = 256, timeout = 30, environment = { LEVEL = "3" }, tags = { team = "x" } })
    assert.equal("created", item.action)
    assert.equal(256, item.memory)
    local configuration, tags = world:configuration "f"
    assert.equal(item.arn, configuration.FunctionArn)
    assert.equal("Active", configuration.State)
    assert.equal("provided.al2023", configuration.Runtime)
    assert.equal("lambdapool", configuration.Handler)
    assert.equal(30, configuration.Timeout)
    assert.same({ LEVEL = "3" }, configuration.Environment.Variables)
    assert.truthy(tags["lambdapool:creation"])
    tags["lambdapool:creation"] = nil
    assert.same({ creator = "lambdapool", team = "x", ["lambdapool:version"] = system.version,
      ["lambdapool:code"] = "files" }, tags)
    assert.equal(ROLE, configuration.Role)
  end)

  it("gives the role one policy, for the function's own log", function()
    world:create "f"
    local iam = world.account.session:iam()
    local role = world:role "lambdapool-f"
    assert.equal("/lambdapool/", role.Path)
    assert.matches("lambda%.amazonaws%.com", role.AssumeRolePolicyDocument)
    assert.same({ "logs-us-east-1" },
      iam:call("ListRolePolicies", { RoleName = "lambdapool-f" }).PolicyNames)
    local policy = iam:call("GetRolePolicy",
      { RoleName = "lambdapool-f", PolicyName = "logs-us-east-1" }).PolicyDocument
    local statement = json.decode(policy).Statement[1]
    assert.equal("arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/f",
      statement.Resource[1])
    assert.same({}, iam:call("ListAttachedRolePolicies",
      { RoleName = "lambdapool-f" }).AttachedPolicies)
  end)

  it("takes a processor's memory and Lambda's time when nothing is said", function()
    world:create "f"
    local configuration, tags = world:configuration "f"
    assert.equal(1769, configuration.MemorySize)
    assert.equal(900, configuration.Timeout)
    assert.equal("agent", tags["lambdapool:code"])
  end)

  it("takes another role as it is", function()
    local arn = make_role "other"
    world:forget()
    world:create("f", { role = arn })
    assert.same({ "CreateFunction" }, world:changes())
    assert.equal(arn, (world:configuration "f").Role)
  end)

  it("sends nothing when an option is wrong", function()
    for _, options in ipairs { { memory = 1 }, { timeout = 0 }, { layers = { "x" } },
      { environment = { ["1"] = "" } }, { role = "me" }, { tags = { creator = "x" } },
      { architecture = "z80" } } do
      local _, exit = failure(world.create, world, "f", options)
      assert.equal(2, exit)
    end
    failure(world.create, world, "a b")
    assert.same({}, world.asked)
  end)

  it("changes nothing when a path or the requirements do not exist", function()
    assert.matches("nowhere", (failure(world.create, world, "f", { paths = { "nowhere/x" } })))
    assert.matches("nowhere", (failure(world.create, world, "f", { requirements = "nowhere" })))
    assert.same({}, world:changes())
  end)

  it("leaves a function alone that is there, and names update", function()
    world:create("f", { memory = 128 })
    world:forget()
    local text, exit = failure(world.create, world, "f", { memory = 512 })
    assert.matches("`lambdapool update f`", text)
    assert.equal(1, exit)
    assert.same({}, world:changes())
    make_foreign "g"
    assert.matches("did not make it", (failure(world.create, world, "g")))
  end)

  it("waits until Lambda knows the role", function()
    local refused = 0
    world:intercept("lambda", function(real, operation, input)
      if operation == "CreateFunction" and refused < 3 then
        refused = refused + 1
        error({ status = 400, code = "InvalidParameterValueException", exit = 1, message =
          "The role defined for the function cannot be assumed by Lambda." }, 0)
      end
      return real(operation, input)
    end)
    local told = {}
    world:create("f", { log = function(line) told[#told + 1] = line end })
    assert.equal(3, refused)
    assert.matches("waiting until Lambda knows the role", table.concat(told, "\n"))
  end)

  it("waits until IAM knows its own role", function()
    local refused = 0
    world:intercept("iam", function(real, operation, input)
      if operation == "PutRolePolicy" and refused < 2 then
        refused = refused + 1
        error({ status = 404, code = "NoSuchEntity", exit = 1, message = "none" }, 0)
      end
      return real(operation, input)
    end)
    assert.equal("created", world:create("f").action)
    assert.equal(2, refused)
  end)

  it("takes the role back when the function is refused", function()
    local text = failure(world.create, world, "f",
      { layers = { "arn:aws:lambda:us-east-1:123456789012:layer:none:1" } })
    assert.matches("does not exist", text)
    assert.matches("the role lambdapool%-f was taken back", text)
    assert.is_nil(world:role "lambdapool-f")
  end)

  it("uses a role that an earlier attempt left behind", function()
    world:create "f"
    world.account.session:lambda():call("DeleteFunction", { FunctionName = "f" })
    world:forget()
    world:create "f"
    assert.same({ "PutRolePolicy", "CreateFunction" }, world:changes())
  end)

  it("does not use a role that others made", function()
    make_role "lambdapool-f"
    assert.matches("did not make", (failure(world.create, world, "f")))
  end)

  it("takes a function back whose request was broken off", function()
    world:intercept("lambda", function(real, operation, input)
      local answer = real(operation, input)
      if operation == "CreateFunction" then
        error({ failure = "reset", code = "NetworkFailure", exit = 1, message = "reset" }, 0)
      end
      return answer
    end)
    assert.matches("the function f was taken back", (failure(world.create, world, "f")))
    assert.is_nil(world:role "lambdapool-f")
    assert.same({}, functions.list(world.account))
  end)

  it("knows its own function when the answer to the first request was lost", function()
    world:intercept("lambda", function(real, operation, input)
      local answer = real(operation, input)
      if operation == "CreateFunction" then
        return real(operation, input)
      end
      return answer
    end)
    assert.equal("created", world:create("f").action)
  end)

  it("leaves what somebody else made at the same moment", function()
    world:intercept("lambda", function(real, operation, input)
      if operation == "CreateFunction" then
        local other = {}
        for key, value in pairs(input) do
          other[key] = value
        end
        other.Tags = { creator = "lambdapool", ["lambdapool:creation"] = "another" }
        real(operation, other)
      end
      return real(operation, input)
    end)
    local text = failure(world.create, world, "f")
    assert.matches("somebody else has created f meanwhile\n  change it with `lambdapool update f`",
      text)
    assert.matches("the role lambdapool%-f is left behind: f uses it", text)
    assert.equal(ROLE, (world:configuration "f").Role)
    assert.truthy(world:role "lambdapool-f")
  end)

  it("leaves a role that somebody else made at the same moment", function()
    world:intercept("iam", function(real, operation, input)
      if operation == "CreateRole" then
        local other = {}
        for key, value in pairs(input) do
          other[key] = value
        end
        other.Tags = { { Key = "creator", Value = "lambdapool" } }
        real(operation, other)
      end
      return real(operation, input)
    end)
    failure(world.create, world, "f",
      { layers = { "arn:aws:lambda:us-east-1:123456789012:layer:none:1" } })
    assert.truthy(world:role "lambdapool-f")
  end)

  it("is stopped between two steps, and takes everything back", function()
    local text = failure(world.create, world, "f", { stop = function()
      return world.asked[#world.asked] == "PutRolePolicy"
    end })
    assert.matches("the role lambdapool%-f was taken back", text)
    assert.is_nil(world:role "lambdapool-f")
  end)

  it("says why a function never becomes ready, and takes it back", function()
    world:intercept("lambda", function(real, operation, input)
      local answer = real(operation, input)
      if operation == "GetFunctionConfiguration" then
        answer.State, answer.StateReason = "Failed", "The network is full."
      end
      return answer
    end)
    assert.matches("cannot be made ready: The network is full%.\n  the function f was taken back",
      (failure(world.create, world, "f")))
    assert.is_nil(world:role "lambdapool-f")
  end)
end)

describe("updating a function", function()
  local app

  before_each(function()
    app = world:write("app.lua", "return {}")
    world:create("f", { paths = { app }, memory = 256, environment = { A1 = "1", B1 = "2" },
      tags = { team = "x" }, description = "d" })
    world:forget()
  end)

  it("sends nothing when nothing differs", function()
    local item = world:update("f", { paths = { app }, memory = 256, timeout = 900,
      environment = { A1 = "1" }, tags = { team = "x" }, description = "d",
      handler = "lambdapool", remove_environment = { "C1" }, remove_tags = { "none" } })
    assert.equal("unchanged", item.action)
    assert.same({}, world:changes())
    assert.equal("unchanged", world:update("f").action)
    assert.same({}, world:changes())
  end)

  it("sends the settings that differ and no code", function()
    local plan = functions.plan.update(world.account, "f",
      world:options { paths = { app }, memory = 512 })
    assert.same({ { setting = "memory", from = 256, to = 512 } }, plan.changes)
    local sent
    world:intercept("lambda", function(real, operation, input)
      sent = operation == "UpdateFunctionConfiguration" and input or sent
      return real(operation, input)
    end)
    assert.equal("updated", world:update("f", { paths = { app }, memory = 512 }).action)
    assert.same({ "UpdateFunctionConfiguration" }, world:changes())
    sent.RevisionId = nil
    assert.same({ FunctionName = "f", MemorySize = 512 }, sent)
    assert.equal(512, (world:configuration "f").MemorySize)
  end)

  it("sends code that differs and no settings", function()
    local before = world:configuration "f"
    world:write("app.lua", "return { 1 }")
    local item = world:update("f", { paths = { app } })
    assert.same({ "UpdateFunctionCode" }, world:changes())
    assert.not_equal(before.CodeSha256, item.code_sha256)
    assert.equal("Successful", (world:configuration "f").LastUpdateStatus)
  end)

  it("adds to the environment, and removes what is named", function()
    world:update("f", { environment = { C1 = "3", A1 = "9" }, remove_environment = { "B1" } })
    assert.same({ A1 = "9", C1 = "3" }, (world:configuration "f").Environment.Variables)
    world:update("f", { remove_environment = { "A1", "C1" } })
    local environment = (world:configuration "f").Environment
    assert.same({}, environment and environment.Variables or {})
  end)

  it("shows no values of the environment in its plan", function()
    local plan = functions.plan.update(world.account, "f",
      { environment = { A1 = "hunter2" }, remove_environment = { "B1" } })
    assert.same({ { setting = "env A1", from = "(hidden)", to = "(hidden)" },
      { setting = "env B1", from = "(hidden)" } }, plan.changes)
    assert.is_nil(plan.steps[1].about:find "hunter2")
  end)

  it("checks the whole environment", function()
    assert.matches("4096 are allowed", (failure(world.update, world, "f",
      { environment = { C1 = ("x"):rep(4070) } })))
    assert.same({}, world:changes())
  end)

  it("adds tags, and removes those that are named but its own", function()
    world:update("f", { tags = { a = "b" }, remove_tags = { "team" } })
    assert.same({ "TagResource", "UntagResource" }, world:changes())
    local _, tags = world:configuration "f"
    assert.equal("b", tags.a)
    assert.is_nil(tags.team)
    assert.matches("lambdapool's own",
      (failure(world.update, world, "f", { remove_tags = { "creator" } })))
  end)

  it("changes the architecture with the code only", function()
    assert.matches("only be changed with the code",
      (failure(world.update, world, "f", { architecture = "arm64" })))
    world:update("f", { architecture = "arm64", paths = { app } })
    assert.same({ "arm64" }, (world:configuration "f").Architectures)
  end)

  it("does not touch what others made", function()
    make_foreign "g"
    world:forget()
    local text, exit = failure(world.update, world, "g", { memory = 512 })
    assert.matches("not made by lambdapool\n  take it over with `lambdapool update g %-%-adopt`",
      text)
    assert.equal(1, exit)
    assert.same({}, world:changes())
    world:update("g", { memory = 512, adopt = true })
    local _, tags = world:configuration "g"
    assert.equal("lambdapool", tags.creator)
    assert.equal("g", functions.list(world.account)[2].name)
  end)

  it("needs code for functions that run something else", function()
    make_foreign("g", { Runtime = "python3.12" })
    assert.matches("runs on python3%.12: give the files",
      (failure(world.update, world, "g", { adopt = true })))
    world:update("g", { adopt = true, paths = { app } })
    local configuration = world:configuration "g"
    assert.equal("provided.al2023", configuration.Runtime)
    assert.equal("lambdapool", configuration.Handler) -- theirs is in no module that is there
    make_foreign("h", { Runtime = "python3.12" })
    world:update("h", { adopt = true, paths = { app }, handler = "app.greet" })
    assert.equal("app.greet", (world:configuration "h").Handler)
    make_foreign("i", { Runtime = "provided.al2", Handler = "app.greet" })
    world:update("i", { adopt = true, paths = { app } })
    assert.equal("app.greet", (world:configuration "i").Handler)
  end)

  it("brings functions that hold the agent alone up to date without paths", function()
    world:create "g"
    world:write("agent/bootstrap", "#!/bin/sh\n# newer\n")
    world:forget()
    assert.equal("updated", world:update("g").action)
    assert.same({ "UpdateFunctionCode" }, world:changes())
  end)

  it("brings the program in others up to date with the files that they have", function()
    local arn = (world:configuration "f").FunctionArn
    local lambda = world.account.session:lambda()
    lambda:call("TagResource", { Resource = arn, Tags = { ["lambdapool:version"] = "0.0.1" } })
    world:write("agent/bootstrap", "#!/bin/sh\n# newer\n")
    os.remove(app)
    local plan = functions.plan.update(world.account, "f", world:options())
    local names = {}
    for i, entry in ipairs(plan.package.entries) do
      names[i] = entry.name
    end
    assert.same({ "app.lua", "bootstrap", "lambdapool.json" }, names)
    world:forget()
    world:update "f"
    assert.same({ "UpdateFunctionCode", "TagResource" }, world:changes())
    local _, tags = world:configuration "f"
    assert.equal(system.version, tags["lambdapool:version"])
    assert.equal("files", tags["lambdapool:code"])
    assert.equal("unchanged", world:update("f").action)
  end)

  it("says so when it cannot have these files", function()
    local arn = (world:configuration "f").FunctionArn
    world.account.session:lambda():call("TagResource",
      { Resource = arn, Tags = { ["lambdapool:version"] = "0.0.1" } })
    for _, location in ipairs { "http://127.0.0.1:1/x", world.service.url .. "/nowhere", "?" } do
      world:intercept("lambda", function(real, operation, input)
        local answer = real(operation, input)
        if operation == "GetFunction" then
          answer.Code.Location = location
        end
        return answer
      end)
      local plan = functions.plan.update(world.account, "f", { memory = 512 })
      assert.matches("stays that of lambdapool 0%.0%.1: its code cannot be fetched", plan.remark)
      assert.equal(1, #plan.steps)
    end
  end)

  it("notices that somebody else has changed it meanwhile", function()
    local plan = functions.plan.update(world.account, "f", { environment = { C1 = "3" } })
    world:update("f", { environment = { D1 = "4" } })
    local text = failure(require("lambdapool.deploy.plan").execute, plan)
    assert.matches("somebody else has changed f meanwhile", text)
    assert.is_nil((world:configuration "f").Environment.Variables.C1)
  end)

  it("waits for another update", function()
    local busy = 2
    world:intercept("lambda", function(real, operation, input)
      if operation == "UpdateFunctionConfiguration" and busy > 0 then
        busy = busy - 1
        error({ status = 409, code = "ResourceConflictException", exit = 1, message = "The " ..
          "operation cannot be performed at this time. An update is in progress for " ..
          "resource: f" }, 0)
      end
      return real(operation, input)
    end)
    world:update("f", { memory = 512 })
    assert.equal(512, (world:configuration "f").MemorySize)
  end)

  it("says what was done when a later step is refused", function()
    world:intercept("lambda", function(real, operation, input)
      if operation == "UpdateFunctionCode" then
        error({ status = 403, code = "AccessDeniedException", exit = 4, message = "no" }, 0)
      end
      return real(operation, input)
    end)
    world:write("app.lua", "return { 1 }")
    local text, exit = failure(world.update, world, "f", { paths = { app }, memory = 512 })
    assert.matches("memory changed already", text)
    assert.equal(4, exit)
  end)

  it("needs a function that is there", function()
    local text, exit = failure(world.update, world, "g", {})
    assert.matches("there is no function g in us%-east%-1\n  create it with", text)
    assert.equal(3, exit)
  end)
end)

describe("deploying a function", function()
  it("creates it, and then updates it", function()
    local options = world:options { paths = { world:write("app.lua", "return {}") } }
    assert.equal("created", functions.deploy(world.account, "f", options).action)
    assert.equal("unchanged", functions.deploy(world.account, "f", options).action)
    options.memory = 128
    assert.equal("updated", functions.deploy(world.account, "f", options).action)
  end)
end)

describe("deleting a function", function()
  it("takes no options that it does not know", function()
    world:create "f"
    world:forget()
    assert.matches("unknown option 'lgos', did you mean 'logs'",
      (failure(functions.delete, world.account, "f", { lgos = true })))
    assert.same({}, world:changes())
  end)

  it("takes its role along", function()
    world:create "f"
    local iam = world.account.session:iam()
    iam:call("AttachRolePolicy", { RoleName = "lambdapool-f",
      PolicyArn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" })
    world:forget()
    local result = functions.delete(world.account, "f")
    assert.is_true(result.role_deleted)
    assert.is_nil(world:role "lambdapool-f")
    assert.same({ "DeleteFunction", "DetachRolePolicy", "DeleteRolePolicy", "DeleteRole" },
      world:changes())
    local _, exit = failure(functions.delete, world.account, "f")
    assert.equal(3, exit)
  end)

  it("leaves roles alone that were not made for it", function()
    local arn = make_role "other"
    world:create("f", { role = arn })
    functions.delete(world.account, "f")
    assert.truthy(world:role "other")
  end)

  it("leaves the role to other functions that use it", function()
    world:create "f"
    world:create("g", { role = ROLE })
    local result = functions.delete(world.account, "f")
    assert.matches("g uses it", result.kept)
    assert.is_false(result.role_deleted)
    assert.truthy(world:role "lambdapool-f")
  end)

  it("leaves the role to a function of that name in another region", function()
    local there = world:elsewhere "eu-central-1"
    world:create "f"
    functions.create(there, "f", world:options())
    functions.delete(world.account, "f")
    assert.same({ "logs-eu-central-1" }, there.session:iam():call("ListRolePolicies",
      { RoleName = "lambdapool-f" }).PolicyNames)
    functions.delete(there, "f")
    assert.is_nil(world:role "lambdapool-f")
  end)

  it("does not touch what others made", function()
    make_foreign "g"
    world:forget()
    assert.matches("not made by lambdapool", (failure(functions.delete, world.account, "g")))
    assert.same({}, world:changes())
  end)

  it("finishes what was begun", function()
    world:create "f"
    world.account.session:lambda():call("DeleteFunction", { FunctionName = "f" })
    assert.is_true(functions.delete(world.account, "f").role_deleted)
    assert.is_nil(world:role "lambdapool-f")
  end)

  it("takes the log along if that is wanted", function()
    world:create "f"
    local logs = world.account.session:logs()
    logs:call("CreateLogGroup", { logGroupName = "/aws/lambda/f" })
    functions.delete(world.account, "f", { logs = true })
    assert.same({}, logs:call("DescribeLogGroups",
      { logGroupNamePrefix = "/aws/lambda/f" }).logGroups)
    world:create "f"
    assert.is_true(functions.delete(world.account, "f", { logs = true }).logs_deleted)
  end)
end)

describe("functions", function()
  it("are listed when lambdapool made them", function()
    assert.same({}, functions.list(world.account))
    for _, name in ipairs { "c", "a", "b" } do
      world:create(name)
    end
    make_foreign "foreign"
    make_foreign("script", { Runtime = "python3.12" })
    local names = {}
    for i, item in ipairs(functions.list(world.account)) do
      names[i] = item.name
    end
    assert.same({ "a", "b", "c" }, names)
  end)

  it("are listed page by page, also when one goes meanwhile", function()
    for i = 1, 12 do
      world:create(("f%02d"):format(i), { role = i == 1 and make_role "any"
        or "arn:aws:iam::123456789012:role/any" })
    end
    world:intercept("lambda", function(real, operation, input)
      if operation == "ListFunctions" then
        input.MaxItems = 5
      elseif operation == "ListTags" and input.Resource:find "f07$" then
        real("DeleteFunction", { FunctionName = "f07" })
      end
      return real(operation, input)
    end)
    local list = functions.list(world.account)
    assert.equal(11, #list)
    assert.equal("f12", list[11].name)
  end)

  it("are not listed when their tags are not to be read", function()
    world:create "f"
    local refusal = { status = 403, code = "AccessDeniedException", exit = 4, message = "no" }
    world:intercept("lambda", function(real, operation, input)
      if operation == "ListTags" then
        error(refusal, 0)
      end
      return real(operation, input)
    end)
    local _, exit = failure(functions.list, world.account)
    assert.equal(4, exit)
  end)

  it("are shown with everything that is known", function()
    world:create("f", { environment = { A1 = "1" } })
    local item = functions.show(world.account, "f")
    assert.is_true(item.ours)
    assert.same({ A1 = "1" }, item.environment)
    assert.equal("Active", item.state)
    assert.equal("/aws/lambda/f", item.log_group)
    assert.equal(system.version, item.version)
    assert.is_false(item.outdated)
    make_foreign "g"
    assert.is_false(functions.show(world.account, "g").ours)
    local _, exit = failure(functions.show, world.account, "h")
    assert.equal(3, exit)
  end)
end)
