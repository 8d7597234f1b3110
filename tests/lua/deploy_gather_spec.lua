local files = require "lambdapool.files"
local gather = require "lambdapool.deploy.gather"
local support = require "tests.lua.deploy_support"

local root

before_each(function()
  root = support.folder()
end)

after_each(function()
  assert.is_true(files.remove(root))
end)

local function sh(script)
  return support.sh(script, root)
end

-- What the paths in our folder become: "name=content" in order.
local function gathered(...)
  local gatherer = gather.new(root .. "/out.zip")
  for _, path in ipairs { ... } do
    gatherer:add_path(root .. "/" .. path)
  end
  local list = {}
  for i, file in ipairs(gatherer:list()) do
    assert.equal(#file.data, file.size)
    list[i] = ("%s %o %s"):format(file.name, file.mode, file.data)
  end
  return list
end

local function problem(...)
  return (support.problem(gathered, ...):gsub(root:gsub("%p", "%%%0"), "ROOT"))
end

describe("names in a package", function()
  before_each(function()
    support.write(root, { ["src/a/x.lua"] = "x", ["src/a/b/y.lua"] = "y", ["z.lua"] = "z" })
  end)

  it("begin with the folder that was named", function()
    local expected = { "a/b/y.lua 644 y", "a/x.lua 644 x" }
    for _, path in ipairs { "src/a", "src/a/", "src/a///", "src/../src/a", "src/a/b/.." } do
      assert.same(expected, gathered(path))
    end
  end)

  it("begin with nothing for FOLDER/. and files", function()
    for _, path in ipairs { "src/a/.", "src/a/./", "./src/a/.//" } do
      assert.same({ "b/y.lua 644 y", "x.lua 644 x", "z.lua 644 z" }, gathered(path, "z.lua"))
    end
  end)

  it("are in the order of their bytes", function()
    support.write(root, { ["o/B"] = "", ["o/a"] = "", ["o/\u{e9}"] = "", ["o/a.b"] = "",
      ["o/a/c"] = nil, ["o/_"] = "", ["o/a-b/c"] = "" })
    local before = os.setlocale(nil, "collate")
    finally(function() os.setlocale(before, "collate") end)
    os.setlocale("en_US.UTF-8", "collate") -- where there is one
    assert.same({ "o/B 644 ", "o/_ 644 ", "o/a 644 ", "o/a-b/c 644 ", "o/a.b 644 ",
      "o/\u{e9} 644 " }, gathered "o")
  end)

  it("do not have what other programs leave behind", function()
    sh [[cd src/a; mkdir .git .hg .svn; touch .git/config .hg/x .svn/x b/y.lua~ '#y.lua#' .#y.lua
      touch .y.lua.swp y.o .DS_Store .env .luarc b/o o.lua]]
    assert.same({ "a/.env 644 ", "a/.luarc 644 ", "a/b/o 644 ", "a/b/y.lua 644 y", "a/o.lua 644 ",
      "a/x.lua 644 x" }, gathered "src/a")
  end)

  it("are refused when a zip cannot hold them", function()
    for name, shown in pairs {
      ["a\nb"] = '"ROOT/src/a\\\nb"', ["a\\b"] = '"ROOT/src/a\\\\b"', ["\xff"] = '"ROOT/src/\xff"',
    } do
      support.write(root, { ["src/" .. name] = "" })
      assert.equal("cannot package " .. shown .. ": its name cannot be in a zip file\n" ..
        "  names are UTF-8 without control characters and backslashes", problem "src")
      files.remove(root .. "/src/" .. name)
    end
  end)

  it("exist once", function()
    support.write(root, { ["other/z.lua"] = "" })
    assert.equal("two files would be z.lua in the package: ROOT/z.lua and ROOT/other/z.lua",
      problem("z.lua", "other/."))
    assert.equal("cannot package ROOT/z.lua: it is named twice",
      problem("z.lua", "z.lua"))
    support.write(root, { ["other/a"] = "" })
    assert.equal("a would be a file and a folder in the package: ROOT/other/a and " ..
      "ROOT/src/a/b/y.lua", problem("src/a", "other/a"))
  end)
end)

describe("files in a package", function()
  it("have one of two modes", function()
    support.write(root, { ["f/a"] = "", ["f/b"] = "" })
    sh "chmod 4711 f/a; chmod 600 f/b"
    assert.same({ "f/a 755 ", "f/b 644 " }, gathered "f")
    assert.same({ "a 755 " }, gathered "f/a")
  end)

  it("do not include the package itself", function()
    support.write(root, { ["a.lua"] = "a", ["out.zip"] = "zip" })
    sh "ln -s out.zip b"
    assert.same({ "a.lua 644 a" }, gathered ".")
  end)

  it("are of the usual kind", function()
    support.write(root, { ["f/a"] = "" })
    sh "mkfifo f/pipe"
    assert.equal("cannot package ROOT/f/pipe: it is a named pipe", problem "f")
    sh "rm f/pipe; ln -s /dev/zero f/zero"
    assert.matches("leads out of ROOT/f, to /dev/zero", problem "f")
    assert.equal("cannot package ROOT//dev/null: it is a device",
      (support.problem(function() gather.new():add_path "/dev/null" end)
        :gsub("package ", "package ROOT/")))
  end)

  it("must be there, and readable", function()
    assert.equal("cannot package ROOT/none: No such file or directory", problem "none")
    support.write(root, { ["f/a"] = "" })
    assert.equal("cannot package ROOT/f/a/: Not a directory", problem "f/a/")
    assert.equal("cannot package a path that is empty",
      support.problem(function() gather.new():add_path "" end))
    assert.equal("cannot package /: it has no name\n  `/.` packages what is in it",
      support.problem(function() gather.new():add_path "/" end))
    sh "mkdir empty; touch empty/x.o"
    assert.equal("cannot package ROOT/empty: there is nothing in it", problem "empty")
    if sh "id -u" ~= "0\n" then
      sh "chmod 0 f/a"
      assert.equal("cannot package ROOT/f/a: Permission denied", problem "f")
    end
  end)

  it("are few and small enough, which is found out before they are read", function()
    support.write(root, { ["f/a"] = "" })
    sh "truncate -s 200000000 f/b; truncate -s 1000000000000 f/c"
    assert.matches("^cannot package ROOT/f/c: with it there are more than 262144000 bytes",
      problem "f")
    files.remove(root .. "/f")
    -- Each level leads to the next by ten ways: a million folders without any file.
    sh [[mkdir f; cd f; i=0
      while [ $i -lt 6 ]; do mkdir $i
        for l in 0 1 2 3 4 5 6 7 8 9; do ln -s ../$((i + 1)) $i/$l; done; i=$((i + 1))
      done; mkdir 6]]
    assert.equal("cannot package ROOT/f: there are more than 100000 files and folders",
      problem "f")
  end)

  it("may lie deep", function()
    sh [[i=0; while [ $i -lt 500 ]; do mkdir d; cd d; i=$((i + 1)); done; touch x]]
    assert.same({ ("d/"):rep(500) .. "x 644 " }, gathered "d")
    -- Deeper than a path can be.
    assert(os.execute(("cd %s && /usr/bin/python3 -c '%s'"):format(root, [[
import os
for i in range(50): os.mkdir("e" * 200); os.chdir("e" * 200)
open("x", "w")]])))
    finally(function() os.execute("rm -rf " .. root .. "/e*") end)
    assert.matches("File name too long$", problem(("e"):rep(200)))
  end)
end)

describe("links in a package", function()
  before_each(function()
    support.write(root, { ["f/a/x"] = "x", ["f2/x"] = "x", ["outside/y"] = "y" })
  end)

  it("become what they lead to", function()
    sh "ln -s a/x f/l; ln -s a f/m; ln -s ../../f/a/x f/a/n; chmod +x f/a/x; ln -s f g"
    local expected = { "f/a/n 755 x", "f/a/x 755 x", "f/l 755 x", "f/m/n 755 x", "f/m/x 755 x" }
    assert.same(expected, gathered "f")
    assert.equal("g/a/n 755 x", gathered("g")[1])
    sh "ln -s outside/y z"
    assert.same({ "z 644 y" }, gathered "z")
  end)

  it("stay inside", function()
    for _, target in ipairs { "../outside/y", "../outside", "..", "/etc/passwd", "../f/../f2" } do
      sh("ln -s " .. target .. " f/l")
      assert.matches("^cannot package ROOT/f/l: it is a link that leads out of ROOT/f, to ",
        problem "f")
      files.remove(root .. "/f/l")
    end
    sh "ln -s ../../f2 f/a/l" -- its name only begins like ours
    assert.matches("leads out of ROOT/f, to ROOT/f2\n  put what it leads to", problem "f")
  end)

  it("lead somewhere, and in no circle", function()
    for target, expected in pairs {
      none = "cannot package ROOT/f/a/l: No such file or directory",
      l = "cannot package ROOT/f/a/l: Too many levels of symbolic links",
      ["."] = "cannot package ROOT/f/a/l: it leads back to a folder that it is in\n" ..
        "  remove the link",
      ["../../f"] = "cannot package ROOT/f/a/l: it leads back to a folder that it is in\n" ..
        "  remove the link",
    } do
      sh("ln -s " .. target .. " f/a/l")
      assert.equal(expected, problem "f")
      files.remove(root .. "/f/a/l")
    end
  end)
end)
