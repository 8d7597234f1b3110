local archive = require "lambdapool.archive"
local files = require "lambdapool.files"

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local folder

setup(function()
  folder = output_of("mktemp -d"):gsub("\n", "")
  files.make(folder .. "/zips")
  assert(os.execute("/usr/bin/python3 -W ignore tests/lua/archive_zips.py " .. folder .. "/zips"))
end)

teardown(function()
  files.remove(folder)
end)

local function zip(name)
  return read(folder .. "/zips/" .. name .. ".zip")
end

--- Extracts, and returns what find(1) lists: kind, permissions, path, and where links lead.
local function extracted(bytes)
  local out = folder .. "/out"
  files.remove(out)
  local ok, problem, message = archive.extract(bytes, out)
  assert(ok, message)
  local list = output_of("cd " .. out ..
    " && find . -mindepth 1 -printf '%y %m %P %l\n' | LC_ALL=C sort -k 3")
  return list:gsub(" \n", "\n"), problem
end

--- Both ways to look at an archive give the same problem, and nothing comes into being outside.
local function problem_of(bytes, options)
  local inner = folder .. "/deep/er"
  files.remove(folder .. "/deep")
  files.make(inner)
  local _, checked, message = archive.check(bytes, options)
  local ok, problem, same = archive.extract(bytes, inner .. "/out", options)
  assert.is_nil(ok)
  assert.equal(checked, problem)
  assert.equal(message, same)
  assert.equal("er", table.concat(files.list(folder .. "/deep"), " "))
  files.remove(inner .. "/out")
  assert.same({}, files.list(inner))
  return problem, message
end

describe("archives", function()
  it("are unpacked as they are", function()
    assert.same({ entries = 2, unzipped = 1009 }, archive.check(zip "good"))
    assert.equal("f 755 bootstrap\nd 755 lib\nf 644 lib/a.lua\n", (extracted(zip "good")))
    assert.equal(("#!/bin/sh\n"):rep(100), read(folder .. "/out/bootstrap"))
    assert.equal("return 1\n", read(folder .. "/out/lib/a.lua"))
  end)

  it("may be those of zip(1)", function()
    local source = folder .. "/source"
    files.make(source .. "/bin")
    write(source .. "/bin/run", "#!/bin/sh\n")
    assert(os.execute("cd " .. source .. " && chmod 755 bin bin/run && " ..
      "ln -s bin/run bootstrap && zip -q -r --symlinks ../made.zip ."))
    assert.equal("d 755 bin\nf 755 bin/run\nl 777 bootstrap bin/run\n",
      (extracted(read(folder .. "/made.zip"))))
    assert.equal("#!/bin/sh\n", read(folder .. "/out/bootstrap"))
  end)

  it("have modes between readable and 0755, whoever made them", function()
    assert.equal("f 755 all\nd 755 d\nf 644 dos\nd 755 e\nf 644 no_kind\nf 444 none\nf 755 run\n",
      (extracted(zip "modes")))
  end)

  it("are unpacked the same under any umask", function()
    local script = folder .. "/extract.lua"
    write(script, ([[require "lambdapool.archive".extract(io.open(%q, "rb"):read "a", %q)]])
      :format(folder .. "/zips/good.zip", folder .. "/masked"))
    local host = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
    assert(os.execute("umask 077; " .. host .. " run " .. script))
    assert.equal("755 755 755 644\n", output_of("cd " .. folder ..
      "/masked && echo $(stat -c %a . bootstrap lib lib/a.lua)"))
  end)

  it("may have streamed data, 64-bit sizes, odd names, repeated folders, or be empty", function()
    assert.equal(4000, archive.check(zip "descriptor").unzipped)
    extracted(zip "descriptor")
    assert.equal(("data"):rep(1000), read(folder .. "/out/streamed"))
    assert.equal("f 644 a\n", (extracted(zip "zip64")))
    assert.equal("f 644 ...\nd 755 ..c\nf 644 ..c/d\nf 644 a..b\n",
      (extracted(zip "dots_are_names")))
    assert.equal("f 644 a\nd 755 b\nf 644 b/c\nd 755 d\nf 644 d/e\n", (extracted(zip "plain_dots")))
    assert.equal("d 755 a\nf 644 a/b\nd 755 a/c\n", (extracted(zip "folders_twice")))
    assert.equal("f 644 README\nf 644 Readme\nf 644 readme\n", (extracted(zip "case")))
    assert.same({ entries = 0, unzipped = 0 }, archive.check(zip "empty"))
    assert.equal("", (extracted(zip "empty")))
  end)

  it("may have more than 65,536 files", function()
    assert.same({ entries = 70000, unzipped = 0 }, archive.check(zip "many_70000"))
  end)

  it("may have links to what is in them", function()
    assert.equal("d 755 bin\nl 777 bin/x ../lib/x\nd 755 lib\nf 644 lib/x\n",
      (extracted(zip "link_inside")))
    assert.equal("data", read(folder .. "/out/bin/x"))
    assert.equal("d 755 lib\nf 644 lib/x\nl 777 x lib/x\n", (extracted(zip "link_down")))
    assert.equal("l 777 x nowhere\n", (extracted(zip "link_dangling")))
  end)

  it("have no NUL in a name that would hide its end", function()
    assert.equal("f 644 evil .txt\n", (extracted(zip "nul")))
  end)
end)

describe("archives of enemies", function()
  local function refuses(problem, pattern, ...)
    for _, name in ipairs { ... } do
      local found, message = problem_of(zip(name))
      assert.equal(problem, found, name)
      assert.matches(pattern, message, nil, nil, name)
    end
  end

  it("do not get out by their names", function()
    refuses("unsafe", "leads out of the archive", "traversal", "traversal_inside", "traversal_end")
    refuses("unsafe", "is absolute", "absolute")
    refuses("unsafe", "has a backslash", "backslash")
    refuses("unsafe", "is no name of a file", "nothing", "dot")
    refuses("unsafe", "is too long", "long_part", "long_path")
  end)

  it("do not get out by their links", function()
    refuses("unsafe", "the link 'x' leads out", "link_up", "link_absolute", "link_zigzag",
      "link_through_link", "link_empty", "link_nul", "link_long")
    refuses("unsafe", "the link 'a/b/x' leads out", "link_up_far")
    refuses("unsafe", "'x' is a file and a folder", "link_then_file")
    refuses("unsafe", "has 'x' twice", "link_twice")
  end)

  it("have every name once, as a file or as a folder", function()
    refuses("unsafe", "has 'a' twice", "twice", "folder_and_file")
    refuses("unsafe", "has 'a/b' twice", "twice_otherwise")
    refuses("unsafe", "'a' is a file and a folder", "file_and_folder", "file_and_folder_far",
      "file_and_folder_later")
  end)

  it("have no devices", function()
    refuses("unsafe", "neither a file nor a folder nor a link", "device", "fifo", "link_folder")
  end)

  it("do not fill the disk", function()
    refuses("too_large", "the files are too large", "overlap", "lying_large")
    refuses("too_large", "more than 100000", "deep", "many_100001")
    local found = problem_of(zip "million", { unzipped = (10 << 20) - 1 })
    assert.equal("too_large", found)
    assert.is_table(archive.check(zip "million", { unzipped = 10 << 20 }))
    refuses("invalid", "the data of 'a' is broken", "lying_small")
  end)

  it("are not broken", function()
    refuses("invalid", "the data of 'bootstrap' is broken", "crc", "data")
    refuses("invalid", "is compressed in a way", "method")
    refuses("invalid", ".", "truncated", "half", "prefixed")
    assert.equal("invalid", problem_of "")
    assert.equal("invalid", problem_of "PK")
    assert.equal("invalid", problem_of(("x"):rep(100000)))
  end)

  it("are not encrypted", function()
    write(folder .. "/secret", "data")
    assert(os.execute("cd " .. folder .. " && zip -q -P word secret.zip secret"))
    local problem, message = problem_of(read(folder .. "/secret.zip"))
    assert.equal("invalid", problem)
    assert.equal("'secret' is encrypted", message)
  end)

  it("may be cut off anywhere", function()
    local good = zip "good"
    for size = 0, #good - 1 do
      assert.is_nil((archive.check(good:sub(1, size))))
    end
  end)

  it("may have any byte changed", function()
    local good = zip "good"
    for at = 1, #good do
      for _, byte in ipairs { 0, 255, good:byte(at) ~ 1 } do
        local report = archive.check(good:sub(1, at - 1) .. string.char(byte) .. good:sub(at + 1))
        assert.is_true(report == nil or report.unzipped <= 1009)
      end
    end
  end)
end)

describe("archive.extract", function()
  it("wants a folder of its own", function()
    local ok, problem, message = archive.extract(zip "good", folder)
    assert.is_nil(ok)
    assert.equal("failed", problem)
    assert.matches("File exists", message)
  end)

  it("says when the disk is full", function()
    local script = folder .. "/full.lua"
    write(script, ([[print(require "lambdapool.archive".extract(io.open(%q, "rb"):read "a", %q))]])
      :format(folder .. "/zips/million.zip", folder .. "/full"))
    -- A limit on the size of files is as good as a full disk.
    local output = output_of(("trap '' XFSZ; ulimit -f 8; %s/lambdapool run %s")
      :format(os.getenv "LAMBDAPOOL_BUILD", script))
    assert.equal("nil\tfailed\tcannot make 'a': File too large\n", output)
  end)
end)

describe("archive.create", function()
  local list = {
    { name = "bootstrap", data = "#!/bin/sh\n", mode = tonumber("755", 8) },
    { name = "lib/a.lua", data = ("x"):rep(100000) },
    { name = "empty", data = "" },
    { name = "link", data = "lib/a.lua", mode = tonumber("120777", 8) },
  }

  it("makes what it reads", function()
    local bytes = archive.create(list)
    assert.equal("f 755 bootstrap\nf 644 empty\nd 755 lib\nf 644 lib/a.lua\nl 777 link lib/a.lua\n",
      (extracted(bytes)))
    assert.equal(list[2].data, read(folder .. "/out/link"))
  end)

  it("makes equal bytes of equal files, and compresses them", function()
    local bytes = archive.create(list)
    assert.equal(bytes, archive.create(list))
    assert.is_true(#bytes < 2000)
  end)

  it("makes what unzip(1) reads", function()
    write(folder .. "/ours.zip", archive.create(list))
    assert(os.execute("unzip -tq " .. folder .. "/ours.zip >/dev/null"))
    local listed = output_of("unzip -Z " .. folder .. "/ours.zip")
    assert.matches("%-rwxr%-xr%-x [^\n]*unx[^\n]* 80%-Jan%-01 00:00 bootstrap\n", listed)
    assert.matches("%-rw%-r%-%-r%-%-[^\n]*lib/a.lua\n", listed)
  end)

  it("raises for what is no list of files", function()
    assert.error_matches(function() archive.create {} end, "at least one file")
    assert.error_matches(function() archive.create { 1 } end, "list of tables")
    assert.error_matches(function() archive.create { { name = "a" } } end, "the data of a file")
    assert.error_matches(function() archive.create { { name = "a\0b", data = "" } } end, "NUL")
  end)
end)
