local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local shapes = require "lambdapool.serve.lambda.shapes"
local validation = require "lambdapool.serve.lambda.validation"

local function set(...)
  local list = { ... }
  for _, word in ipairs(list) do
    list[word] = true
  end
  return list
end

local function problem(rules, input)
  local ok, e = pcall(validation.check, rules, input)
  assert.is_false(ok)
  assert.is_true(fault.is(e), tostring(e))
  return tostring(e)
end

-- The violations of an input of which everything else is right.
local function violations(rules, input)
  return problem(rules, input):match "^ValidationException: %d+ validation errors? detected: (.*)$"
end

describe("validation", function()
  it("returns the members that are known and not null", function()
    local rules = { Name = { "text" }, Size = { "integer" }, Other = { "text" } }
    assert.same({ Name = "n", Size = 3 },
      validation.check(rules, { Name = "n", Size = 3.0, Other = json.null, Unknown = {} }))
  end)

  it("takes empty lists and maps for what they are meant to be", function()
    local rules = { List = { "list", of = { "text" } }, Map = { "map", of = { "text" } } }
    local input = json.decode '{"List":[],"Map":{}}'
    assert.equal('{"List":[],"Map":{}}', json.encode(validation.check(rules, input)))
  end)

  it("reports everything at once", function()
    local rules = {
      FunctionName = { "function", required = true },
      MemorySize = { "integer", min = 128, max = 256 },
      Mode = { "text", enum = set("A", "B") },
    }
    assert.equal("ValidationException: 3 validation errors detected: " ..
      "Value null at 'functionName' failed to satisfy constraint: Member must not be null; " ..
      "Value '1' at 'memorySize' failed to satisfy constraint: Member must have value greater " ..
      "than or equal to 128; " ..
      "Value 'C' at 'mode' failed to satisfy constraint: Member must satisfy enum value set: " ..
      "[A, B]", problem(rules, { MemorySize = 1, Mode = "C" }))
  end)

  it("names members inside of others by their path", function()
    local rules = { Outer = { "struct", members = { Size = { "integer", max = 10 } } } }
    assert.equal("Value '11' at 'outer.size' failed to satisfy constraint: Member must have " ..
      "value less than or equal to 10", violations(rules, { Outer = { Size = 11 } }))
  end)

  it("counts lengths of texts and lists", function()
    assert.equal("Value 'abc' at 'text' failed to satisfy constraint: Member must have length " ..
      "less than or equal to 2", violations({ Text = { "text", max = 2 } }, { Text = "abc" }))
    assert.equal("Value '[a, b]' at 'list' failed to satisfy constraint: Member must have " ..
      "length less than or equal to 1",
      violations({ List = { "list", max = 1, of = { "text" } } }, { List = { "a", "b" } }))
  end)

  it("counts characters, not bytes", function()
    local rules = { Text = { "text", max = 2 } }
    assert.same({ Text = "äß" }, validation.check(rules, { Text = "äß" }))
    assert.equal("SerializationException: The text at 'text' is not UTF-8",
      problem(rules, { Text = "\xff" }))
  end)

  it("reports an item as the list that it is in", function()
    local rules = { Architectures = { "list", of = { "text", enum = set("x86_64", "arm64") } } }
    assert.equal("Value '[z80]' at 'architectures' failed to satisfy constraint: Member must " ..
      "satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must " ..
      "not be null]", violations(rules, { Architectures = { "z80" } }))
  end)

  it("reports a key as the map that it is in", function()
    local rules = { Map = { "map", of = { "text" }, key = { "text", max = 1 } } }
    assert.equal("Value '{ab=c}' at 'map' failed to satisfy constraint: Map keys must satisfy " ..
      "constraint: [Member must have length less than or equal to 1]",
      violations(rules, { Map = { ab = "c" } }))
  end)

  it("tells a value of the wrong JSON type from one that breaks a rule", function()
    local function text(kind, json_text)
      return problem({ Value = { kind, of = { "text" }, members = {} } },
        json.decode(('{"Value":%s}'):format(json_text)))
    end
    local prefix = "SerializationException: "
    assert.equal(prefix .. "STRING_VALUE can not be converted to an Integer",
      text("integer", '"x"'))
    assert.equal(prefix .. "NUMBER_VALUE can not be converted to an Integer",
      text("integer", "1.5"))
    assert.equal(prefix .. "NUMBER_VALUE can not be converted to a String", text("text", "1"))
    assert.equal(prefix .. "TRUE_VALUE can not be converted to a String", text("text", "true"))
    assert.equal(prefix .. "FALSE_VALUE can not be converted to a Map", text("map", "false"))
    assert.equal(prefix .. "STRING_VALUE can not be converted to a Boolean",
      text("boolean", '"true"'))
    assert.equal(prefix .. "START_OBJECT can not be converted to an ArrayList",
      text("list", '{"a":1}'))
    assert.equal(prefix .. "START_OBJECT can not be converted to a Double", text("number", "{}"))
    assert.equal(prefix .. "STRING_VALUE can not be converted to an object", text("struct", '"x"'))
    assert.equal(prefix .. "START_OBJECT can not be converted to an object", text("struct", "[1]"))
  end)
end)

describe("the shapes", function()
  it("describe every member in words that validation knows", function()
    local kinds = set("text", "blob", "function", "integer", "number", "boolean", "list", "map",
      "struct")
    local known = set(1, "required", "min", "max", "enum", "pattern", "like", "namespaced", "of",
      "key", "members")
    local function check(path, rule)
      assert.is_true(kinds[rule[1]], path)
      for name in pairs(rule) do
        assert.is_true(known[name], path .. ": " .. tostring(name))
      end
      assert.equal(rule.pattern == nil, rule.like == nil, path)
      for name, member in pairs(rule.members or {}) do
        check(path .. "." .. name, member)
      end
      if rule[1] == "list" or rule[1] == "map" then
        check(path .. "[]", rule.of)
      end
      if rule.key then
        check(path .. "{}", rule.key)
      end
    end
    for operation, rules in pairs(shapes) do
      for name, rule in pairs(rules) do
        check(operation .. "." .. name, rule)
      end
    end
  end)

  it("hold for roles, layers, variables and destinations", function()
    local function member(operation, name, value)
      local rule = shapes[operation][name]
      local ok = pcall(validation.check, { [name] = rule }, { [name] = value })
      return ok
    end
    local role = "arn:aws:iam::123456789012:role/"
    assert.is_true(member("CreateFunction", "Role", role .. "a/b+=,.@-_"))
    assert.is_false(member("CreateFunction", "Role", "arn:aws:iam::12345678901:role/x"))
    assert.is_false(member("CreateFunction", "Role", role .. "a b"))
    local layer = "arn:aws:lambda:eu-west-1:123456789012:layer:l"
    assert.is_true(member("CreateFunction", "Layers", { layer .. ":1" }))
    assert.is_false(member("CreateFunction", "Layers", { layer }))
    assert.is_true(member("CreateFunction", "Environment", { Variables = { A_1 = "" } }))
    for _, name in ipairs { "A", "1A", "A-B", "_A", "" } do
      assert.is_false(member("CreateFunction", "Environment", { Variables = { [name] = "" } }),
        name)
    end
    assert.is_true(member("CreateAlias", "Name", "v1"))
    assert.is_false(member("CreateAlias", "Name", "1"))
    local target = "DestinationConfig"
    assert.is_true(member("PutFunctionEventInvokeConfig", target, { OnFailure = {
      Destination = "arn:aws:sqs:eu-west-1:123456789012:q" } }))
    assert.is_false(member("PutFunctionEventInvokeConfig", target, { OnFailure = {
      Destination = "q" } }))
  end)
end)
