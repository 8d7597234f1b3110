local problem = require "lambdapool.deploy.problem"
local settings = require "lambdapool.deploy.settings"

local layer = "arn:aws:lambda:us-east-1:123456789012:layer:tools:%d"

local function complaint(options)
  local ok, failure = pcall(settings.check, options)
  assert.is_false(ok)
  assert.is_true(problem.is(failure))
  assert.equal(problem.USAGE, failure.exit)
  return tostring(failure)
end

describe("settings of functions", function()
  it("are those of the options that Lambda has", function()
    assert.same({ memory = 128, timeout = 900, handler = "app.greet", architecture = "arm64",
      description = "", environment = { LEVEL = "" }, tags = { team = "a b" }, layers = {} },
      settings.check { memory = 128, timeout = 900.0, handler = "app.greet",
        architecture = "arm64", description = "", environment = { LEVEL = "" },
        tags = { team = "a b" }, layers = {}, paths = { "x/" }, adopt = true })
  end)

  it("say which numbers are allowed", function()
    for _, value in ipairs { 127, 10241, 128.5, "256", true } do
      assert.matches("megabytes from 128 to 10240", complaint { memory = value })
    end
    for _, value in ipairs { 0, 901, 1.5, -1, "x" } do
      assert.matches("seconds from 1 to 900", complaint { timeout = value })
    end
  end)

  it("refuse handlers, roles, architectures that are none", function()
    for _, handler in ipairs { "a b", "app", "", ".f", "app.", 5 } do
      assert.matches("^the handler must be MODULE.FUNCTION like app.greet",
        complaint { handler = handler })
    end
    for _, handler in ipairs { "lambdapool", "app.greet", "a/b.c", "a.b.c" } do
      assert.equal(handler, settings.check({ handler = handler }).handler)
    end
    assert.matches("handler", complaint { handler = ("x"):rep(129) })
    assert.matches("arn:aws:iam", complaint { role = "lambda" })
    assert.matches("x86_64 or arm64", complaint { architecture = "i386" })
    assert.matches("256 characters", complaint { description = ("x"):rep(257) })
  end)

  it("suggest the option that was meant", function()
    assert.matches("did you mean 'memory'", complaint { memry = 128 })
    assert.equal("the option 'paths' must be a table, got a string", complaint { paths = "app/" })
    assert.equal("the option 'stop' must be a function, got a boolean", complaint { stop = true })
  end)

  describe("layers", function()
    it("are at most five different ones", function()
      local six = {}
      for i = 1, 6 do
        six[i] = ("arn:aws:lambda:us-east-1:123456789012:layer:l%d:1"):format(i)
      end
      assert.matches("at most 5 layers, got 6", complaint { layers = six })
      assert.matches("there twice", complaint { layers = { layer:format(1), layer:format(2) } })
    end)

    it("have ARNs with versions", function()
      assert.matches("arn:aws:lambda:us%-east%-1", complaint { layers = { "tools" } })
    end)
  end)

  describe("environments", function()
    it("have names that Lambda takes", function()
      for _, name in ipairs { "1A", "A", "A-B", "_HANDLER", "", "Ä1", "A B" } do
        assert.matches("cannot be the name of an environment variable",
          complaint { environment = { [name] = "x" } })
      end
      assert.matches("AWS_REGION is set by Lambda itself",
        complaint { environment = { AWS_REGION = "x" } })
    end)

    it("hold 4 KB, and no value is told", function()
      local text = complaint { environment = { PASSWORD = ("hunter2"):rep(600) } }
      assert.matches("4096 are allowed", text)
      assert.is_nil(text:find "hunter2")
      text = complaint { environment = { PASSWORD = "hunter2\xff" } }
      assert.matches("PASSWORD must be text", text)
      assert.is_nil(text:find "hunter2")
      assert.matches("must be text", complaint { environment = { PASSWORD = "a\0b" } })
    end)
  end)

  describe("tags", function()
    it("have keys that are free", function()
      assert.matches("set by lambdapool itself", complaint { tags = { creator = "me" } })
      assert.matches("set by lambdapool itself", complaint { tags = { ["lambdapool:x"] = "1" } })
      assert.matches("AWS's own", complaint { tags = { ["aws:x"] = "1" } })
      assert.matches("cannot be the key", complaint { tags = { [""] = "1" } })
      assert.matches("cannot be the key", complaint { tags = { ["a;b"] = "1" } })
      assert.matches("value of the tag 'a'", complaint { tags = { a = ("x"):rep(257) } })
    end)

    it("are not too many", function()
      local many = {}
      for i = 1, 47 do
        many["t" .. i] = "x"
      end
      assert.matches("at most 46 tags", complaint { tags = many })
    end)
  end)
end)
