local files = require "lambdapool.files"

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local root

before_each(function()
  root = output_of("mktemp -d"):gsub("\n", "")
end)

after_each(function()
  assert.is_true(files.remove(root))
end)

local function sh(command)
  assert(os.execute("cd " .. root .. " && " .. command))
end

describe("files.make", function()
  it("makes a folder for its owner and those around it", function()
    assert.is_true(files.make(root .. "/a/b//c"))
    assert.is_true(files.make(root .. "/a/b/c"))
    assert.equal("700\n", output_of("stat -c %a " .. root .. "/a/b/c"))
  end)

  it("says what is in the way", function()
    sh "touch file"
    local ok, message = files.make(root .. "/file/a")
    assert.is_nil(ok)
    assert.matches("file/a: Not a directory$", message)
    assert.matches("too long", select(2, files.make(("a/"):rep(5000))))
  end)
end)

describe("files.store", function()
  it("writes a file in one step, also over another one", function()
    for _, text in ipairs { "one", "", ("two\0"):rep(100000) } do
      assert.is_true(files.store(root .. "/file", root .. "/temporary", text))
      assert.equal(text, read(root .. "/file"))
    end
    assert.same({ "file" }, files.list(root))
  end)

  it("leaves the file as it was when it fails", function()
    sh "mkdir file temporary"
    local ok, message, code = files.store(root .. "/file", root .. "/temporary", "text")
    assert.is_nil(ok)
    assert.matches("File exists$", message)
    assert.equal(17, code)
    assert.is_nil((files.store(root .. "/file", root .. "/other", "text")))
    assert.is_nil((files.store(root .. "/none/file", root .. "/other", "text")))
    assert.equal(2, #files.list(root))
  end)
end)

describe("files.remove", function()
  it("removes a tree and no link's target", function()
    sh "mkdir -p tree/a/b kept && touch tree/a/b/c tree/.hidden kept/file"
    sh "ln -s ../kept tree/link"
    assert.is_true(files.remove(root .. "/tree"))
    assert.same({ "kept" }, files.list(root))
    assert.same({ "file" }, files.list(root .. "/kept"))
    assert.is_true(files.remove(root .. "/tree"))
    assert.is_true(files.remove(root .. "/kept/file"))
    assert.same({}, files.list(root .. "/kept"))
  end)
end)

describe("files.overlay", function()
  it("puts one tree over the other", function()
    sh "mkdir -p from/a from/new to/a to/b && echo 1 > from/a/x && echo 1 > from/b"
    sh "ln -s a from/l"
    sh "echo 0 > to/a/x && echo 0 > to/a/y && mkdir to/l && touch to/l/z && echo 0 > to/new"
    assert.is_true(files.overlay(root .. "/from", root .. "/to"))
    local listing = output_of("cd " .. root ..
      "/to && find . -mindepth 1 -printf '%y %P %l\n' | LC_ALL=C sort -k 2")
    assert.equal("d a \nf a/x \nf a/y \nf b \nl l a\nd new \n", listing)
    assert.equal("1\n", read(root .. "/to/a/x"))
    assert.equal("755\n", output_of("stat -c %a " .. root .. "/to/new"))
  end)

  it("says what it cannot read", function()
    local ok, message = files.overlay(root .. "/none", root .. "/to")
    assert.is_nil(ok)
    assert.matches("No such file", message)
  end)
end)

describe("files", function()
  it("tells folders from other things", function()
    sh "mkdir folder && touch file && ln -s folder link"
    assert.is_true(files.is_folder(root .. "/folder"))
    assert.is_false(files.is_folder(root .. "/file"))
    assert.is_false(files.is_folder(root .. "/link"))
    assert.is_false(files.is_folder(root .. "/none"))
  end)

  it("lists what is there, and says when it cannot", function()
    sh "mkdir a && touch b .c"
    local names = files.list(root)
    table.sort(names)
    assert.same({ ".c", "a", "b" }, names)
    assert.matches("No such file", select(2, files.list(root .. "/none")))
  end)

  it("finds the absolute path", function()
    sh "mkdir a && ln -s a b"
    assert.equal(files.real(root) .. "/a", files.real(root .. "/./b/"))
    assert.matches("No such file", select(2, files.real(root .. "/none")))
  end)

  it("tells what is there", function()
    sh "mkdir folder && printf text > file && chmod 744 file && touch -d @1000 file"
    sh "ln -s file link && ln -s none broken && mkfifo pipe"
    local status = files.status(root .. "/file")
    assert.same({ "file", 4, true, 1000 },
      { status.kind, status.size, status.executable, status.changed })
    assert.same(status, files.status(root .. "/link"))
    assert.equal("link", files.status(root .. "/link", true).kind)
    assert.equal("folder", files.status(root .. "/folder").kind)
    assert.equal("pipe", files.status(root .. "/pipe").kind)
    assert.equal("device", files.status("/dev/null").kind)
    assert.is_not.equal(status.id, files.status(root .. "/pipe").id)
    assert.matches("broken: No such file", select(2, files.status(root .. "/broken")))
  end)

  it("makes folders that are new", function()
    local one, two = files.temporary(root .. "/new-"), files.temporary(root .. "/new-")
    assert.is_not.equal(one, two)
    assert.is_true(files.is_folder(one) and files.is_folder(two))
    assert.equal("700\n", output_of("stat -c %a " .. one))
    assert.matches("No such file", select(2, files.temporary(root .. "/none/new-")))
    assert.matches("too long", select(2, files.temporary(("a"):rep(5000))))
  end)
end)
