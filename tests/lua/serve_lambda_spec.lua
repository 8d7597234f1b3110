local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lambda = require "lambdapool.serve.lambda.operations"
local shapes = require "lambdapool.serve.lambda.shapes"
local support = require "lua.serve_store_support"

-- What clients that mean no good, or no JSON, may send for any member.
local ODD = { json.null, "", " ", "f", "f:1", "prod", "$LATEST", "l", "\0", "\xff\xfe", "%s%d",
  ("x"):rep(300), "../../etc/passwd", "'; DROP TABLE functions; --", support.ARN .. "f",
  "arn:aws:lambda:eu-west-1:123456789012:layer:l:1", support.ROLE, "1", "-1", 0, 1, -1, 3, 128,
  1000, 1e300, 0.5, math.mininteger, math.maxinteger, true, false, "*", "lambda:*", "WzFd",
  "bnVsbA==", "e30=", "WyJmIl0=", "W1tdLHt9XQ==", "provided", "NONE", "ALL" }

describe("the operations", function()
  local world, seed

  before_each(function()
    world, seed = support.open(), 1
    world:create("f", { Publish = true })
    world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1" })
    world:ok("PublishLayerVersion", { LayerName = "l", Content = { ZipFile = support.zip "l" } })
  end)
  after_each(function() world:close() end)

  local function random(n)
    seed = seed * 6364136223846793005 + 1442695040888963407
    return (seed >> 33) % n + 1
  end

  -- A value for a member: an odd one, or of the kind that it has to be with odd ones inside.
  local function value(rule, depth)
    local kind = rule and rule[1]
    local dice = random(4)
    if dice == 1 or depth > 4 then
      return ODD[random(#ODD)]
    elseif kind == "list" or dice == 2 and not kind then
      return json.array { value(rule and rule.of, depth + 1), ODD[random(#ODD)] }
    elseif kind == "map" then
      return { [random(2) == 1 and "1" or "key"] = value(rule.of, depth + 1) }
    elseif kind == "struct" then
      local members = {}
      for name, member in pairs(rule.members) do
        members[name] = random(2) == 1 and value(member, depth + 1) or nil
      end
      return members
    elseif rule and rule.enum then
      return rule.enum[random(#rule.enum)]
    end
    return ODD[random(#ODD)]
  end

  -- Members of which most odd values lead nowhere.
  local USUAL = {
    FunctionName = "f", Qualifier = "prod", Name = "prod", LayerName = "l", VersionNumber = 1,
    Resource = support.ARN .. "f", Code = { ZipFile = support.zip() }, Role = support.ROLE,
    Handler = "h", Runtime = "provided", Content = { ZipFile = support.zip() },
  }

  local function make_input(name)
    local input = {}
    for member, rule in pairs(shapes[name]) do
      local dice = random(4)
      if dice == 1 or rule.required then
        input[member] = value(rule, 0)
      end
      if dice > 1 and USUAL[member] then
        input[member] = USUAL[member]
      end
    end
    return input
  end

  it("have a shape each", function()
    for name in pairs(shapes) do
      assert.equal("function", type(lambda[name]), name)
    end
    for name in pairs(lambda) do
      assert.equal("table", type(shapes[name]), name)
    end
  end)

  it("answer any input, or refuse it with a fault", function()
    local names = {}
    for name in pairs(shapes) do
      names[#names + 1] = name
    end
    table.sort(names)
    local answered = 0
    for i = 1, 10000 do
      local name = names[i % #names + 1]
      local input = make_input(name)
      local ok, status, output = pcall(lambda[name], world.context, input)
      if ok then
        answered = answered + 1
        json.encode(output)
      elseif not fault.is(status) then
        error(("%s %s: %s"):format(name, pcall(json.encode, input) and json.encode(input) or "?",
          tostring(status)))
      else
        assert(utf8.len(json.encode(fault.body(status))))
      end
      world:pass(1)
    end
    assert.is_true(answered > 1000, answered)
    assert.same({ { integrity_check = "ok" } },
      world.service.store.db:rows "PRAGMA integrity_check")
  end)
end)
