local files = require "lambdapool.files"
local requirements = require "lambdapool.deploy.requirements"
local support = require "tests.lua.deploy_support"

local root

setup(function()
  root = support.folder()
end)

teardown(function()
  files.remove(root)
end)

local function load(text, name)
  support.write(root, { [name or "rocks.txt"] = text })
  return requirements.load(root .. "/" .. (name or "rocks.txt"))
end

describe("a list of rocks", function()
  it("has a rock a line", function()
    assert.same({
      "lpeg", "penlight == 1.13.1-1", "inspect >= 3.1, < 4", "user/luasocket ~> 3",
      "lua-cjson == 2.1.0.10-1", "one ~= 1.0", "two == scm-1", "x >= 1",
    }, load("\xef\xbb\xbf# all of them\r\nlpeg\r\n\npenlight 1.13.1-1 # this one\n" ..
      "  inspect >= 3.1 , <4\t\n-- none\nuser/luasocket ~> 3 -- this, too\n" ..
      "lua-cjson 2.1.0.10-1\none ~=1.0\ntwo scm-1\nx>=1").rocks)
    assert.same({}, load("").rocks)
    assert.same({}, load("\n# nothing").rocks)
    assert.is_false(load("").rockspec)
  end)

  it("has nothing else in it", function()
    for _, line in ipairs {
      "a b c", "a ==", "a >= 1,", "a => 1", "a >= 1 < 2", "--option", "a; os.exit()", "a/b/c",
      "/a", "a/", "http://x/y.rock", "a @1", '"a"', "a \0", "-a", ".a", "$(a)", "a === 1",
    } do
      local ok = pcall(load, line)
      assert.is_true(not ok or line:find "^%-%-" ~= nil, line)
    end
    local text = support.problem(load, "lpeg\n\na b c\n")
      :gsub(root:gsub("%p", "%%%0"), "ROOT")
    assert.equal("cannot understand line 3 of ROOT/rocks.txt: a b c\n" ..
      "  a line is a rock, `lpeg`, with a version, `lpeg 1.1.0-1`, or with bounds, " ..
      "`lpeg >= 1.0, < 2`", text)
  end)

  it("must be there and can be read", function()
    local function problem(path)
      return support.problem(requirements.load, path)
    end
    assert.equal("cannot read the requirements in /none: No such file or directory",
      problem "/none")
    assert.equal("cannot read the requirements in /tmp: Is a directory", problem "/tmp")
    assert.equal("cannot read the requirements in /dev/zero: it is too long for a list of rocks",
      problem "/dev/zero")
  end)
end)

describe("a rockspec", function()
  it("is for luarocks to read", function()
    local text = "package = 'x'"
    local loaded = load(text, "x-1-1.rockspec")
    assert.is_true(loaded.rockspec)
    assert.equal(text, loaded.text)
  end)
end)
