--- Where files of ours are looked for: around a program and around the library.
local build = os.getenv "LAMBDAPOOL_BUILD"
local parts = require "lambdapool.parts"
local places = require "lambdapool.places"
local system = require "lambdapool.system"

-- The folders that places.find names when there is nothing, for a program and a library.
local function folders(path, library)
  local of_program, of_library = system.executable, parts.own
  system.executable = function() return path end
  parts.own = function() return library end
  local _, list = places.find "a file that is nowhere"
  system.executable, parts.own = of_program, of_library
  return list
end

describe("places", function()
  it("are beside the program, and beside its folder", function()
    assert.equal("/opt/pool/bin, /opt/pool/libexec/lambdapool, " .. parts.installed,
      folders("/opt/pool/bin/lambdapool", "/opt/pool/bin/lambdapool"))
  end)

  it("are around the library, too", function()
    assert.equal("/home/me, /home/libexec/lambdapool, /usr/lib/lua/5.4, " ..
      "/usr/lib/lua/5.4/lambdapool, /usr/lib/lua/libexec/lambdapool, " ..
      "/usr/lib/libexec/lambdapool, /usr/libexec/lambdapool, " .. parts.installed,
      folders("/home/me/game", "/usr/lib/lua/5.4/lambdapool.so"))
  end)

  it("end at the root, and do without what is not known", function()
    assert.equal("/lib, /lib/lambdapool, " .. parts.installed,
      folders(nil, "/lib/liblambdapool.so.0"))
    assert.equal("/bin, " .. parts.installed, folders("/bin/game", nil))
    assert.equal(parts.installed, folders(nil, nil))
  end)

  it("have the first file that will do", function()
    assert.equal(build .. "/bootstrap", places.find("bootstrap", system.executable_file))
    assert.equal(build .. "/cloud.so", places.find "cloud.so")
    local seen = {}
    places.find("cloud.so", function(path)
      seen[#seen + 1] = path
      return false
    end)
    assert.equal(build .. "/cloud.so", seen[1])
    assert.equal(parts.installed .. "/cloud.so", seen[#seen])
  end)
end)

describe("the path of what this is in", function()
  it("is that of the program, in a program", function()
    assert.equal(system.executable(), parts.own())
  end)
end)

describe("a part that is none", function()
  it("is said to be none", function()
    local nothing, message = parts.load("/nowhere/cloud.so", "crypto")
    assert.is_nil(nothing)
    assert.matches("/nowhere/cloud.so", message, 1, true)
    local libraries = io.popen "cc -print-file-name=libz.so"
    local path = libraries:read "l"
    libraries:close()
    nothing, message = parts.load(path, "crypto")
    assert.is_nil(nothing)
    assert.equal("it is no library of lambdapool", message)
    nothing, message = parts.load(build .. "/cloud.so", "cloud")
    assert.is_nil(nothing)
    assert.equal("it has no module 'cloud'", message)
  end)

  it("says why it is not to be used, and is gone then", function()
    local path = os.tmpname()
    local compiler = io.popen("cc -shared -fPIC -xc -o " .. path .. " -", "w")
    compiler:write 'const char *lp__part_open(void *port) { return port ? "not with you" : 0; }'
    assert.is_true(compiler:close())
    local nothing, message = parts.load(path, "crypto")
    os.remove(path)
    assert.is_nil(nothing)
    assert.equal("not with you", message)
  end)
end)
