--- Modules that were deployed with an agent: the answer tells which of them a call used, so that
--- the caller notices a copy that is not what it has itself.
local codec = require "lambdapool.codec"
local support = require "tests.agent.agent_support"

local old_path = package.path
local here, deployed

local function write(folder, texts)
  for name, text in pairs(texts) do
    support.write(("%s/%s.lua"):format(folder, name), text)
  end
end

-- Runs each function in turn on one agent; returns the first value of each, and the names of stale
-- modules by call.
local function run(functions, environment)
  local script, codes, origins = {}, {}, {}
  for i, f in ipairs(functions) do
    codes[i] = codec.code(f)
    local lines, its = support.calls(codes[i], { 1 }, { { 1, 1 } })
    script[2 * i - 1], script[2 * i], origins[i] = lines[1], lines[2], its[1]
  end
  script[#script + 1] = "idle"
  environment = environment or {}
  environment.LAMBDA_TASK_ROOT = deployed
  local log = support.play(script, environment)
  local values, stale = {}, {}
  for i, code in ipairs(codes) do
    local columns = { {} }
    local report, errors = codec.response(log[2 * i].body, code, origins[i], columns, 0)
    values[i] = errors and errors[1].message or columns[1][1]
    stale[i] = report.stale or false
  end
  return values, stale
end

-- Requires what no constant names, so that nothing travels.
local function reader(name)
  return function() return require(("").. name).version end
end

describe("a deployed module", function()
  before_each(function()
    local folder = support.open()
    here, deployed = folder .. "/here", folder .. "/deployed"
    os.execute(("mkdir '%s' '%s'"):format(here, deployed))
    package.path = here .. "/?.lua;" .. old_path
  end)

  after_each(function()
    package.path = old_path
    support.close()
    for name in pairs(package.loaded) do
      if name:find "^dm_" then
        package.loaded[name] = nil
      end
    end
  end)

  it("may be what is here, or what is only there", function()
    local text = "return { version = 1 }"
    write(here, { dm_a = text })
    write(deployed, { dm_a = text, dm_there = text })
    local values, stale = run { reader "dm_a", reader "dm_there", reader "dm_a" }
    assert.same({ 1, 1, 1 }, values)
    assert.same({ false, false, false }, stale)
  end)

  it("is told when it is not what is here, by each call that uses it", function()
    write(here, { dm_a = "return { version = 2 }" })
    write(deployed, { dm_a = "return { version = 1 }" })
    local values, stale = run { reader "dm_a", function() return 0 end, reader "dm_a" }
    assert.same({ 1, 0, 1 }, values)
    assert.same({ "dm_a", false, "dm_a" }, stale)
  end)

  it("is told when another one holds it", function()
    write(here, { dm_a = "return require 'dm_b'", dm_b = "return { version = 2 }" })
    write(deployed, { dm_a = "return require 'dm_b'", dm_b = "return { version = 1 }" })
    local values, stale = run { reader "dm_a", reader "dm_a" }
    assert.same({ 1, 1 }, values)
    assert.same({ "dm_b", "dm_b" }, stale)
  end)

  it("is told when it was loaded before one that failed", function()
    write(here, { dm_a = "return { version = 2 }" })
    write(deployed, { dm_a = "return { version = 1 }",
      dm_bad = "pcall(require, 'dm_worse') local a = require 'dm_a' error('no ' .. a.version)",
      dm_worse = "error 'worse'" })
    local function try()
      return (select(2, pcall(require, ("") .. "dm_bad")):gsub("^.*:1: ", ""))
    end
    local values, stale = run { try, try }
    assert.same({ "no 1", "no 1" }, values)
    assert.same({ "dm_a", "dm_a" }, stale)
  end)

  it("gives way to the source that travels with a call", function()
    write(here, { dm_a = "return { version = 2 }" })
    write(deployed, { dm_a = "return { version = 1 }", dm_main = "return require 'dm_a'" })
    local function constant() return require "dm_a".version end
    local values, stale = run { reader "dm_a", constant, reader "dm_main" }
    assert.same({ 1, 2, 1 }, values)
    assert.same({ "dm_a", false, "dm_a" }, stale)
  end)

  it("counts when the handler loaded it at the start", function()
    write(here, { dm_h = "return { version = 2 }" })
    write(deployed, { dm_h = "return { version = 1, handle = print }" })
    local values, stale = run({ reader "dm_h" }, { _HANDLER = "dm_h.handle" })
    assert.same({ 1 }, values)
    assert.same({ "dm_h" }, stale)
  end)

  it("is told behind large and compressed answers", function()
    write(here, { dm_a = "return { version = 2 }" })
    write(deployed, { dm_a = "return { version = 1 }" })
    local function large()
      return ("x"):rep(6999999 + require(("") .. "dm_a").version)
    end
    local values, stale = run { large }
    assert.equal(7000000, #values[1])
    assert.same({ "dm_a" }, stale)
  end)
end)
