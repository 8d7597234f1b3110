local config = require "lambdapool.config"

local folder, environment

before_each(function()
  folder = os.tmpname()
  assert(os.remove(folder) and os.execute("mkdir " .. folder))
  assert(os.execute(("cd %s && mkdir -p project/inner home/.config/lambdapool"):format(folder)))
  environment = { HOME = folder .. "/home" }
end)

after_each(function()
  os.execute("rm -rf " .. folder)
end)

local function write(path, text)
  local file <close> = assert(io.open(folder .. "/" .. path, "w"))
  file:write(text)
end

local function open()
  return config.new {
    environment = function(name) return environment[name] end,
    folder = folder .. "/project/inner",
  }
end

-- What a file of this text is refused with, without the folder in front.
local function refusal(text)
  write("project/inner/lambdapool.conf.lua", text)
  local ok, message = pcall(function() return open():all() end)
  assert.is_false(ok, text)
  assert.equal("string", type(message))
  return (message:gsub(folder .. "/project/inner/", ""):gsub("%.%./", ""))
end

describe("the configuration", function()
  it("is empty when nobody has written any", function()
    local empty = open()
    assert.same({}, empty:pool())
    assert.is_nil((empty:get "region"))
    for _, setting in ipairs(empty:all()) do
      assert.equal("default", setting.origin)
    end
  end)

  it("has flags over the environment over the project over the user's file", function()
    write("home/.config/lambdapool/conf.lua",
      'region = "r4"\nprofile = "p4"\nworkers = 4\nmemory = 444')
    write("project/lambdapool.conf.lua", 'return { region = "r3", profile = "p3", workers = 3 }')
    environment.LAMBDAPOOL_REGION, environment.LAMBDAPOOL_PROFILE = "r2", "p2"
    local settings = open()
    settings:set_flags { region = "r1" }
    assert.same({ region = "r1", profile = "p2", workers = 3, memory = 444 }, settings:pool())
    assert.equal("--region", select(2, settings:get "region"))
    assert.equal("LAMBDAPOOL_PROFILE", select(2, settings:get "profile"))
    assert.matches("/%.%./lambdapool%.conf%.lua:1$", select(2, settings:get "workers"))
    assert.matches("/home/%.config/lambdapool/conf%.lua:4$", select(2, settings:get "memory"))
  end)

  it("takes the nearest file, and no others above it", function()
    write("lambdapool.conf.lua", "workers = 1\nmemory = 1111")
    write("project/lambdapool.conf.lua", "workers = 2")
    assert.same({ workers = 2 }, open():pool())
  end)

  it("looks for the user's file in XDG_CONFIG_HOME", function()
    assert(os.execute(("mkdir -p %s/xdg/lambdapool"):format(folder)))
    write("xdg/lambdapool/conf.lua", "workers = 9")
    environment.XDG_CONFIG_HOME = folder .. "/xdg"
    assert.same({ workers = 9 }, open():pool())
    environment.HOME, environment.XDG_CONFIG_HOME = nil, nil
    assert.same({}, open():pool())
  end)

  it("understands what the environment says", function()
    for name, text in pairs { WORKERS = "12", TIMEOUT = "1.5", MAX_COST = "0.25", PROGRESS = "yes",
      BACKEND = "aws", FUNCTION_NAME = "f", RETRIES = "0", MEMORY = "512", QUALIFIER = "live",
      ENDPOINT_URL = "http://127.0.0.1:1", LAYERS = "a:1, b:2", ROLE = "" } do
      environment["LAMBDAPOOL_" .. name] = text
    end
    local settings = open()
    assert.same({ workers = 12, timeout = 1.5, max_cost = 0.25, progress = true, backend = "aws",
      function_name = "f", retries = 0, memory = 512, qualifier = "live",
      endpoint_url = "http://127.0.0.1:1" }, settings:pool())
    assert.same({ "a:1", "b:2" }, (settings:get "layers"))
    assert.is_nil((settings:get "role"))
  end)

  it("says where a wrong value is", function()
    for name, complaint in pairs {
      WORKERS = "'workers' must be an integer from 1 to 10000, got 'x'",
      MEMORY = "'memory' must be an integer from 128 to 10240, got 'x'",
      TIMEOUT = "'timeout' must be a number above 0, got 'x'",
      REGION = "'region' must be a region like us-east-1, got 'x y'",
      PROGRESS = "'progress' must be true or false, got 'x'",
      BACKEND = "'backend' must be 'local' or 'aws', got 'x'",
    } do
      environment = { ["LAMBDAPOOL_" .. name] = name == "REGION" and "x y" or "x" }
      assert.error(function() open():pool() end, ("LAMBDAPOOL_%s: %s"):format(name, complaint))
    end
    environment = {}
    assert.error(function() open():set_flags { workers = "many" } end,
      "'--workers' must be an integer from 1 to 10000, got 'many'")
    assert.equal("lambdapool.conf.lua:2: 'workers' must be an integer from 1 to 10000, got 'many'",
      refusal 'memory = 256\nworkers = "many"\n')
    for _, value in ipairs { "0", "1.5", "1/0", "0/0", "true", "{}", "-1" } do
      assert.matches("^lambdapool.conf.lua:1: 'workers' must be an integer", refusal("workers = "
        .. value))
    end
    for _, value in ipairs { '{ "a", 1 }', '{ a = "b" }', "1", "true", '{ "a", [3] = "b" }' } do
      assert.matches("^lambdapool.conf.lua:1: 'layers' must be a list of texts", refusal(
        "layers = " .. value))
    end
    assert.equal("lambdapool.conf.lua: 'region' must be a region like us-east-1, got a function",
      refusal "function region() end")
  end)

  it("suggests the nearest name", function()
    assert.equal("lambdapool.conf.lua:1: unknown setting 'wokers', did you mean 'workers'?",
      refusal "return { wokers = 1 }")
    assert.equal("lambdapool.conf.lua: unknown setting [1]", refusal "return { 1 }")
  end)

  it("does not keep secrets, and does not repeat them", function()
    for _, name in ipairs { "aws_secret_access_key", "aws_access_key_id", "password" } do
      local message = refusal(name .. ' = "hunter2"')
      assert.matches("does not belong into a configuration\n  keys are kept in ~/.aws", message)
      assert.is_nil(message:find "hunter2")
    end
  end)
end)

describe("a configuration file", function()
  it("is data: it reaches nothing", function()
    for _, code in ipairs { 'os.execute "true"', 'print "x"', 'require "os"', "x = _G.os",
      '("x"):rep(3)', 'workers = #("x"):upper()', "while true do end", "goto a ::a:: goto a",
      "local function f() return f() end return f()",
      "local function f() return 1 + f() end return f()",
      'local s = "x" for i = 1, 60 do s = s .. s end region = s',
      "local t = {} for i = 1, 1e9 do t[i] = {} end", "return function() end", "return 1",
      "\27Lua", "workers = ", "x = coroutine.wrap", "return setmetatable({}, {})" } do
      assert.matches("^lambdapool.conf.lua", refusal(code), nil, code)
    end
    assert.equal(3, #("x"):rep(3), "strings have their methods again")
  end)

  it("that cannot be read is not passed over", function()
    assert(os.execute(("mkdir %s/project/inner/lambdapool.conf.lua"):format(folder)))
    local ok, message = pcall(function() return open():pool() end)
    assert.is_false(ok)
    assert.matches("lambdapool.conf.lua: Is a directory", message)
  end)

  it("that is endless is not read to its end", function()
    assert(os.execute(("ln -s /dev/zero %s/project/inner/lambdapool.conf.lua"):format(folder)))
    local ok, message = pcall(function() return open():pool() end)
    assert.is_false(ok)
    assert.matches("lambdapool.conf.lua: it is too large for a configuration$", message)
  end)

  it("may be empty, and may count", function()
    write("project/lambdapool.conf.lua", "")
    assert.same({}, open():pool())
    write("project/lambdapool.conf.lua", "local minute = 60\ntimeout = 5 * minute")
    assert.same({ timeout = 300 }, open():pool())
  end)

  it("may begin as some editors have it", function()
    write("project/lambdapool.conf.lua", "\xef\xbb\xbfworkers = 4")
    assert.same({ workers = 4 }, open():pool())
  end)
end)
