local archive = require "lambdapool.archive"
local blobs = require "lambdapool.serve.blobs"
local crypto = require "lambdapool.crypto"
local files = require "lambdapool.files"

local build = os.getenv "LAMBDAPOOL_BUILD"

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

local function zip(contents)
  local list = {}
  for name, data in pairs(contents) do
    list[#list + 1] = { name = name, data = data }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return archive.create(list)
end

--- Everything below a folder, as find(1) lists it.
local function listing(folder)
  return output_of("cd " .. folder ..
    " && find . -mindepth 1 -printf '%y %P\n' | LC_ALL=C sort -k 2")
end

local root, store

before_each(function()
  root = assert(files.real((output_of("mktemp -d"):gsub("\n", ""))))
  store = assert(blobs.open(root .. "/a/b/blobs"))
end)

after_each(function()
  files.remove(root)
end)

describe("blobs", function()
  it("keeps bytes under their hash, once", function()
    local hash, digest, size = store:put "hello"
    assert.equal("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", hash)
    assert.equal("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", digest)
    assert.equal(5, size)
    assert.equal("hello", store:get(hash))
    assert.equal("hello", read(store:path(hash)))
    assert.equal(hash, (store:put "hello"))
    assert.equal(1, #files.list(store.dir .. "/zips"))
    assert.same({}, files.list(store.dir .. "/temporary"))
  end)

  it("are there when the folder is opened again", function()
    local hash = store:put(zip { a = "1" })
    local folder = store:unpacked(hash)
    local again = assert(blobs.open(store.dir))
    assert.is_string(again:get(hash))
    assert.equal(folder, again:unpacked(hash))
  end)

  it("says what it does not have", function()
    local bytes, message = store:get(("0"):rep(64))
    assert.is_nil(bytes)
    assert.matches("No such file", message)
    assert.is_nil((store:get "../../../../../../etc/passwd"))
    local folder, problem = store:unpacked(("0"):rep(64))
    assert.is_nil(folder)
    assert.equal("missing", problem)
    assert.error_matches(function() store:unpacked ".." end, "not a hash")
    assert.error_matches(function() store:layered { "..", ".." } end, "not a hash")
  end)

  it("is for its owner only", function()
    assert.equal("700\n", output_of("stat -c %a " .. store.dir))
  end)

  it("has absolute paths, wherever it is opened from", function()
    local script = root .. "/relative.lua"
    write(script, [[
      local store = require "lambdapool.serve.blobs".open "./state//blobs"
      print(store:path((store:put "hello")))
    ]])
    local path = output_of(("cd %s && %s/lambdapool run %s"):format(root, build, script))
    assert.equal("hello", read((path:gsub("\n", ""))))
    assert.equal(root .. "/state/blobs/zips/", path:match "^.*/")
  end)

  it("cannot be opened where a file is", function()
    write(root .. "/file", "")
    local none, message = blobs.open(root .. "/file/blobs")
    assert.is_nil(none)
    assert.matches("Not a directory", message)
  end)

  it("raises when the disk is full, and leaves nothing behind", function()
    local script = root .. "/full.lua"
    write(script, ([[
      local store = require "lambdapool.serve.blobs".open(%q)
      local ok, problem = pcall(store.put, store, ("x"):rep(100000))
      print(ok, problem, type(problem))
    ]]):format(store.dir))
    -- A limit on the size of files is as good as a full disk.
    local output = output_of(("trap '' XFSZ; ulimit -f 8; %s/lambdapool run %s")
      :format(build, script))
    assert.matches("^false\tcannot store code: .*File too large\ttable\n$", output)
    assert.same({}, files.list(store.dir .. "/temporary"))
    assert.same({}, files.list(store.dir .. "/zips"))
  end)
end)

describe("what is unpacked", function()
  it("is made once", function()
    local hash = store:put(zip { ["bootstrap"] = "run", ["lib/a"] = "1" })
    local folder = assert(store:unpacked(hash))
    assert.equal("f bootstrap\nd lib\nf lib/a\n", listing(folder))
    write(folder .. "/mark", "")
    assert.equal(folder, store:unpacked(hash))
    assert.equal("", read(folder .. "/mark"))
  end)

  it("is nothing when the zip is refused", function()
    local hash = store:put "no zip"
    local folder, problem, message = store:unpacked(hash)
    assert.is_nil(folder)
    assert.equal("invalid", problem)
    assert.is_string(message)
    assert.same({}, files.list(store.dir .. "/temporary"))
  end)

  it("of another run of the kernel is not used", function()
    local hash = store:put(zip { a = "1" })
    local folder = store:unpacked(hash)
    assert(os.rename(store.run, store.dir .. "/run-before"))
    write(store.dir .. "/run-before/code/" .. hash .. "/a", "")
    local again = assert(blobs.open(store.dir))
    assert.equal(folder, again:unpacked(hash))
    assert.equal("1", read(folder .. "/a"))
    again:sweep { [hash] = true }
    assert.is_false(files.is_folder(store.dir .. "/run-before"))
    assert.equal("1", read(folder .. "/a"))
  end)
end)

describe("layers", function()
  it("lie over each other, the later ones on top", function()
    local one = store:put(zip { ["lib/a"] = "1", ["lib/b"] = "1", ["x"] = "1", ["y/z"] = "1" })
    local two = store:put(zip { ["lib/b"] = "2", ["lib/c"] = "2", ["x/y"] = "2", ["y"] = "2" })
    local folder = assert(store:layered { one, two })
    assert.equal("d lib\nf lib/a\nf lib/b\nf lib/c\nd x\nf x/y\nf y\n", listing(folder))
    assert.equal("1", read(folder .. "/lib/a"))
    assert.equal("2", read(folder .. "/lib/b"))
    assert.equal("2", read(folder .. "/y"))
    assert.equal(folder, store:layered { one, two })
    local other = assert(store:layered { two, one })
    assert.equal("1", read(other .. "/lib/b"))
    assert.equal("f lib/a\nf lib/b\n", listing(store:unpacked(one)):match "f lib/a\nf lib/b\n")
    assert.equal("2", read(store:unpacked(two) .. "/lib/b"))
  end)

  it("do not write through each other's links", function()
    local link = archive.create {
      { name = "lib", data = "real", mode = tonumber("120777", 8) },
      { name = "real/a", data = "1" },
    }
    local one, two = store:put(link), store:put(zip { ["lib/a"] = "2" })
    local folder = assert(store:layered { one, two })
    assert.equal("1", read(folder .. "/real/a"))
    assert.equal("2", read(folder .. "/lib/a"))
    assert.equal("d lib\nf lib/a\nd real\nf real/a\n", listing(folder))
    assert.equal("l lib\nd real\nf real/a\n", listing(store:layered { two, one }))
    assert.equal("l lib\nd real\nf real/a\n", listing(store:unpacked(one)))
  end)

  it("may be one, or five", function()
    local hashes = {}
    for i = 1, 5 do
      hashes[i] = store:put(zip { ["f" .. i] = "" })
    end
    assert.equal(store:unpacked(hashes[1]), store:layered { hashes[1] })
    assert.equal("f f1\nf f2\nf f3\nf f4\nf f5\n", listing(store:layered(hashes)))
  end)

  it("are nothing when one of them is refused", function()
    local folder, problem = store:layered { store:put(zip { a = "" }), (store:put "no zip") }
    assert.is_nil(folder)
    assert.equal("invalid", problem)
    assert.same({}, files.list(store.dir .. "/temporary"))
  end)
end)

describe("sweeping", function()
  it("removes what nothing needs, and leftovers", function()
    local keep, drop = store:put(zip { a = "1" }), store:put(zip { b = "2" })
    local third = store:put(zip { c = "3" })
    local both, kept = store:layered { keep, drop }, store:layered { keep, third }
    files.make(store.dir .. "/temporary/half/way")
    write(store.dir .. "/temporary/file", "x")
    store:sweep { [keep] = true, [third] = true }
    assert.same({}, files.list(store.dir .. "/temporary"))
    assert.is_nil((store:get(drop)))
    assert.is_false(files.is_folder(both))
    assert.equal("1", read(kept .. "/a"))
    assert.equal("f a\n", listing(store:unpacked(keep)))
    assert.equal(2, #files.list(store.run .. "/code"))
  end)

  it("does not follow links", function()
    files.make(root .. "/precious")
    write(root .. "/precious/file", "")
    assert(os.execute(("ln -s %s/precious %s/temporary/link"):format(root, store.dir)))
    assert(os.execute(("mkdir %s/temporary/d && ln -s %s/precious %s/temporary/d/link")
      :format(store.dir, root, store.dir)))
    store:sweep {}
    assert.same({}, files.list(store.dir .. "/temporary"))
    assert.equal("", read(root .. "/precious/file"))
  end)
end)

-- A process that works on the store and is killed right before or, where a step has parts, in the
-- middle of the n-th step; it prints "done" when there are fewer steps.
local VICTIM = [[
local archive = require "lambdapool.archive"
local files = require "lambdapool.files"
local pid = io.open "/proc/self/stat":read "n"
local left = tonumber(arg[2])

local function die()
  os.execute("kill -9 " .. pid)
  while true do end
end

local function watch(library, name, half)
  local step = library[name]
  library[name] = function(...)
    left = left - 1
    if left == 0 then
      die()
    end
    left = left - 1
    if left == 0 then
      half(...)
      die()
    end
    return step(...)
  end
end

local function nothing() end
watch(files, "store", function(_, temporary, bytes)
  io.open(temporary, "w"):write(bytes:sub(1, #bytes // 2)):close()
end)
watch(archive, "extract", function(_, folder)
  files.make(folder .. "/lib")
  io.open(folder .. "/lib/a", "w"):close()
end)
watch(files, "overlay", function(_, folder) files.make(folder .. "/lib") end)
watch(files, "remove", function(path) os.remove(path .. "/lib/a") end)
watch(files, "make", nothing)
watch(os, "rename", nothing)

local store = require "lambdapool.serve.blobs".open(arg[1])
local function zip(data)
  return archive.create { { name = "lib/" .. data, data = data }, { name = "lib/a", data = data } }
end
local one, two, three = store:put(zip "1"), store:put(zip "2"), store:put(zip "3")
store:unpacked(three)
store:layered { one, two }
store:sweep { [one] = true, [two] = true }
print "done"
]]

--- That the store has whole things only, and works.
local function check(dir)
  local again = assert(blobs.open(dir))
  for _, name in ipairs(files.list(dir .. "/zips")) do
    local hash = name:match "^(%x+)%.zip$"
    assert.equal(hash, crypto.sha256(again:get(hash)))
    assert.matches("^d lib\nf lib/[123]\nf lib/a\n$", listing(assert(again:unpacked(hash))))
  end
  local one = again:put(zip { ["lib/1"] = "1", ["lib/a"] = "1" })
  local two = again:put(zip { ["lib/2"] = "2", ["lib/a"] = "2" })
  local folder = assert(again:layered { one, two })
  assert.equal("d lib\nf lib/1\nf lib/2\nf lib/a\n", listing(folder))
  assert.equal("2", read(folder .. "/lib/a"))
  again:sweep { [one] = true, [two] = true }
  assert.equal(2, #files.list(dir .. "/zips"))
  assert.equal(2, #files.list(again.run .. "/code"))
  assert.equal("2", read(folder .. "/lib/a"))
  assert.same({}, files.list(dir .. "/temporary"))
end

describe("a store whose process was killed", function()
  it("is whole, wherever that was", function()
    local script, n, output = root .. "/victim.lua", 0
    write(script, VICTIM)
    repeat
      n = n + 1
      local dir = root .. "/killed" .. n
      output = output_of(("%s/lambdapool run %s %s %d 2>/dev/null"):format(build, script, dir, n))
      check(dir)
    until output == "done\n" or n == 200
    assert.is_true(n > 30 and n < 200, n)
  end)
end)
