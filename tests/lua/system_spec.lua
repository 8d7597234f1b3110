local system = require "lambdapool.system"

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

describe("system", function()
  it("counts the processors that this process may use", function()
    assert.equal(tonumber(output_of "nproc"), system.cpus())
  end)

  it("has clocks", function()
    local a, b = system.monotonic(), system.monotonic()
    assert.is_true(b >= a)
    assert.is_true(math.abs(system.now() // 1000 - os.time()) <= 1)
    assert.equal("integer", math.type(system.now()))
  end)

  it("knows the running program", function()
    assert.matches("/lambdapool$", system.executable())
    assert.is_true(system.executable_file(system.executable()))
    assert.is_false(system.executable_file "/")
    assert.is_false(system.executable_file "/etc/passwd")
    assert.is_false(system.executable_file "/no/such/file")
  end)

  it("tells terminals from files", function()
    local file <close> = assert(io.open "/dev/null")
    assert.is_false(system.isatty(999))
    assert.is_truthy(file)
  end)

  it("has the version of the header", function()
    local header <close> = assert(io.open "host/lambdapool.h")
    assert.equal(header:read("a"):match '#define LP_VERSION +"([^"]+)"', system.version)
  end)
end)
