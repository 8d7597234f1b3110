--- The library beside the program: where it is found, what it shows, and what is said without it.
local build = os.getenv "LAMBDAPOOL_BUILD"

local folder

local function run(command)
  local pipe <close> = assert(io.popen(("exec 2>&1; cd '%s'; %s"):format(folder, command)))
  return (pipe:read "a")
end

-- Runs a script that needs the library with the program at `path`.
local function digest(path)
  return run(path .. " run digest.lua")
end

local function install(file, path)
  run(("mkdir -p $(dirname %s) && cp %s/%s %s"):format(path, build, file, path))
end

before_each(function()
  local pipe <close> = assert(io.popen "mktemp -d")
  folder = pipe:read "l"
  local file <close> = assert(io.open(folder .. "/digest.lua", "w"))
  file:write 'print(require "lambdapool.crypto".sha256(""))'
end)

after_each(function()
  os.execute("rm -r " .. folder)
end)

describe("the library", function()
  local expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"

  it("is found beside the program, and where it is installed", function()
    install("lambdapool", "bin/lambdapool")
    install("cloud.so", "bin/cloud.so")
    assert.equal(expected, digest "bin/lambdapool")
    run "mkdir -p libexec/lambdapool; mv bin/cloud.so libexec/lambdapool"
    assert.equal(expected, digest "bin/lambdapool")
  end)

  it("is missed, or is none", function()
    install("lambdapool", "bin/lambdapool")
    assert.matches("cannot find a part of the program: there is no `cloud.so` in " .. folder ..
      "/bin, " .. folder ..
      "/libexec/lambdapool, ", digest "bin/lambdapool", 1, true)
    run "echo text > bin/cloud.so"
    local message = digest "bin/lambdapool"
    assert.matches("cannot load " .. folder .. "/bin/cloud.so: ", message, 1, true)
    assert.matches("\n  it needs the Debian packages libssl3, ", message, 1, true)
  end)

  it("shows nothing but its modules", function()
    local names = {}
    for name in run("nm -D --defined-only " .. build .. "/cloud.so"):gmatch "%x+ %a ([%w_]+)" do
      names[#names + 1] = name
      assert.is_truthy(name:find "^luaopen_lambdapool_" or name == "lp__part_open", name)
    end
    assert.is_true(#names >= 3)
  end)

  it("asks for nothing that there may be two of in a process: Lua's functions, libuv's", function()
    for _, file in ipairs { "cloud.so", "terminal.so" } do
      local names = run("nm -D --undefined-only " .. build .. "/" .. file)
      assert.matches("U free", names, 1, true)
      for name in names:gmatch "U ([%w_]+)" do
        assert.is_nil(name:match "^lua" or name:match "^uv_", name)
      end
    end
  end)
end)
