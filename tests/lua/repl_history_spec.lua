--- The file that keeps what was typed.
local histories = require "lambdapool.repl.history"

local folder

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function loaded(path)
  return (histories.new(path):load())
end

describe("the history", function()
  local path

  before_each(function()
    folder = os.tmpname()
    os.execute(("rm %s && mkdir %s"):format(folder, folder))
    path = folder .. "/deep/er/history"
  end)

  after_each(function()
    os.execute("rm -rf " .. folder)
  end)

  it("is empty at first", function()
    local entries, message = histories.new(path):load()
    assert.same({}, entries)
    assert.is_nil(message)
    assert.is_nil(io.open(folder .. "/deep"))
  end)

  it("gives back what was added", function()
    local history = histories.new(path)
    local entries = { "one", "two\nlines", [[\n is no newline, nor is \\]], "\ttabs  ", "é漢" }
    for _, entry in ipairs(entries) do
      assert.is_true(history:add(entry))
    end
    assert.same(entries, loaded(path))
    assert.is_true(history:add "dos\r\nlines\rend")
    assert.equal("dos\nlines\nend", loaded(path)[6])
  end)

  it("takes nothing twice in a row, and nothing that is blank", function()
    local history = histories.new(path)
    assert.is_true(history:add "one")
    assert.is_false(history:add "one")
    assert.is_false(history:add " \n\t")
    assert.is_true(history:add "two")
    assert.is_true(history:add "one")
    assert.same({ "one", "two", "one" }, loaded(path))
    local other = histories.new(path)
    other:load()
    assert.is_false(other:add "one")
  end)

  it("keeps nothing that is too large to be searched", function()
    local history = histories.new(path)
    assert.is_false(history:add(("x"):rep(16385)))
    assert.is_true(history:add(("y"):rep(16384)))
    write(path, ("z"):rep(16385) .. "\none\n")
    assert.same({ "one" }, loaded(path))
  end)

  it("is for the user alone", function()
    histories.new(path):add "secret"
    local pipe <close> = io.popen(("stat -c %%a %s %s/deep"):format(path, folder))
    assert.equal("600\n700\n", pipe:read "a")
  end)

  it("may be added to by several sessions", function()
    local first, second = histories.new(path), histories.new(path)
    first:add "a"
    second:add "b"
    first:add "c"
    assert.same({ "a", "b", "c" }, loaded(path))
  end)

  it("goes on behind a line that was cut off", function()
    histories.new(path):add "one"
    write(path, "one\ntw")
    histories.new(path):add "three"
    assert.same({ "one", "tw", "three" }, loaded(path))
  end)

  it("reads no more than the last thousand entries", function()
    local lines = {}
    for i = 1, 2500 do
      lines[i] = "entry " .. i
    end
    histories.new(path):add "x"
    write(path, table.concat(lines, "\n") .. "\n")
    local entries = loaded(path)
    assert.equal(1000, #entries)
    assert.equal("entry 1501", entries[1])
    assert.equal("entry 2500", entries[1000])
  end)

  it("is written anew when it has become large", function()
    histories.new(path):add "x"
    write(path, ("a"):rep(99) .. "\n" .. (("b"):rep(99) .. "\n"):rep(30000) .. "last\n")
    assert.equal("last", loaded(path)[1000])
    assert.equal(999 * 100 + 5, #read(path))
    assert.equal("last", loaded(path)[1000])
    local pipe <close> = io.popen("stat -c %a " .. path)
    assert.equal("600\n", pipe:read "a")
  end)

  it("stands any content", function()
    histories.new(path):add "x"
    write(path, "a\0b\n\n\\\n\\x\r\n\xff\n")
    assert.same({ "a\0b", "\\", "\\x\r", "\xff" }, loaded(path))
    write(path, ("z"):rep(3 << 20))
    assert.same({}, loaded(path))
  end)

  it("may be in memory only", function()
    local history = histories.new(nil)
    assert.same({}, (history:load()))
    assert.is_true(history:add "one")
    assert.is_false(history:add "one")
  end)

  it("says why it cannot be read or written", function()
    local entries, message = histories.new(folder .. "/x/../../../proc/nothing/x"):load()
    assert.same({}, entries)
    assert.is_nil(message)
    local added
    added, message = histories.new "/proc/nothing/x":add "one"
    assert.is_true(added)
    assert.matches("No such file or directory", message)
    added, message = histories.new(folder):add "one"
    assert.is_true(added)
    assert.matches("Is a directory", message)
    assert.same({}, loaded(folder))
    assert.same({}, loaded "/dev/null")
    assert.is_true(histories.new "/dev/null":add "one")
  end)

  it("waits for nobody", function()
    os.execute("mkfifo " .. folder .. "/pipe")
    assert.same({}, loaded(folder .. "/pipe"))
    histories.new(folder .. "/pipe"):add "one"
  end)
end)
