--- The files in ~/.aws: what is in them, and what cannot be.

local ini = require "lambdapool.aws.ini"

local function complaint(text)
  local sections, message = ini.parse(text)
  assert.is_nil(sections)
  return message
end

describe("files", function()
  it("have sections of names and values", function()
    assert.same({ default = { region = "eu-west-1", output = "json" },
      ["profile a b"] = { x = "" } },
      ini.parse "[default]\nregion = eu-west-1\nOutput=json\n[profile a b]\nx=\n")
  end)

  it("may be empty", function()
    assert.same({}, ini.parse "")
    assert.same({}, ini.parse "\n# nothing\n; at all\n  # here\n")
    assert.same({ default = {} }, ini.parse "[default]")
  end)

  it("may come from other systems", function()
    assert.same({ default = { a = "1", b = "2" } },
      ini.parse "\u{FEFF}[default]\r\na = 1\r\nb : 2\r\n")
  end)

  it("have comments on lines of their own only", function()
    assert.same({ default = { a = "1 # one", b = "x;y=z" } },
      ini.parse "[default] # first\n# a\na = 1 # one\n ; b\nb = x;y=z\n")
  end)

  it("have values with everything in them", function()
    assert.same({ default = { a = "b=c:d", e = "f:g", h = "\u{E9} 'q' \"r\"" } },
      ini.parse "[default]\na=b=c:d\ne:f:g\nh = \u{E9} 'q' \"r\"\n")
  end)

  it("have values of several lines", function()
    assert.same({ default = { a = "1\n2\n3", b = "4" } },
      ini.parse "[default]\na = 1\n  2\n\t3\nb = 4\n")
    assert.same({ default = { a = "1\n\n2", b = "4" } },
      ini.parse "[default]\na = 1\n\n  2\n\nb = 4\n")
  end)

  it("have tables in values", function()
    assert.same({ ["services dev"] = {
      lambda = { endpoint_url = "http://localhost:1", other = "x = y" },
      s3 = { endpoint_url = "http://localhost:2" },
    } }, ini.parse [[
[services dev]
lambda =
  endpoint_url = http://localhost:1
  # not this
  other = x = y
s3 =
    endpoint_url = http://localhost:2
]])
  end)
end)

describe("what is no such file", function()
  it("is an error with its line", function()
    assert.equal("line 1: there is no section yet, like [default]", complaint "a = 1")
    assert.equal("line 3: it is no `name = value`", complaint "[default]\na = 1\nb\n")
    assert.equal("line 2: it is no `name = value`", complaint "[default]\n= 1\n")
    assert.equal("line 3: section [default] comes twice", complaint "[default]\na=1\n[default]")
    assert.equal("line 3: a comes twice in its section", complaint "[default]\na=1\nA=2")
    assert.equal("section [services x]: the lines below s3 are no `name = value`",
      complaint "[services x]\ns3 =\n  nothing\n")
  end)

  it("may be anything", function()
    math.randomseed(5)
    local pieces = { "[", "]", "=", ":", "#", ";", "\n", " ", "a", "\0", "\xFF", "\r", "profile " }
    for _ = 1, 2000 do
      local text = {}
      for i = 1, math.random(0, 40) do
        text[i] = pieces[math.random(#pieces)]
      end
      local sections, message = ini.parse(table.concat(text))
      assert.is_truthy(type(sections) == "table" or type(message) == "string")
    end
  end)
end)
