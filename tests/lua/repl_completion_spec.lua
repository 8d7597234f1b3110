local completion = require "lambdapool.repl.completion"
local sessions = require "lambdapool.repl.session"

describe("completion", function()
  local session, complete

  before_each(function()
    session = sessions.new()
    complete = completion.new(session)
  end)

  after_each(function()
    _G.thing = nil
  end)

  local function run(text)
    assert(session:compile(text)):run()
  end

  -- What may stand at the "|" in a text, and the text up to it with the first of them.
  local function offers(text)
    local position = text:find("|", 1, true) - 1
    text = text:gsub("|", "", 1)
    local first, list = complete(text, position)
    local words = {}
    for i, candidate in ipairs(list or {}) do
      words[i] = candidate.text
    end
    return words, first and text:sub(1, first - 1) .. words[1]
  end

  local function has(words, word)
    for _, one in ipairs(words) do
      if one == word then
        return true
      end
    end
    return false
  end

  it("knows globals, keywords and the locals of earlier lines", function()
    run "local thimble = 1; thing = 2"
    assert.same({ "then", "thimble", "thing" }, (offers "th|"))
    assert.same({ "coroutine" }, (offers "x = corou|"))
    assert.same({ "thimble" }, (offers "print(thim|) end"))
  end)

  it("knows fields, along __index where it is a table", function()
    run [[
      local base = { inherited = 1, method = function() end }
      local asked = 0
      thing = { first = 1, ["no name"] = 2, [3] = {}, second = { third = { last = 1 } } }
      setmetatable(thing, { __index = base })
    ]]
    assert.same({ "first", "inherited", "method", "second" }, (offers "thing.|"))
    assert.same({ "second" }, (offers "thing.se|"))
    assert.same({ "last" }, (offers "thing.second.third.|"))
    assert.same({ "last" }, (offers "f(thing . second [ 'third' ] . |"))
    assert.same({ "method" }, (offers "thing:|"))
    local _, line = offers "return thing.fi|"
    assert.equal("return thing.first", line)
  end)

  it("knows what is in lists", function()
    run "thing = { { alpha = 1 }, { beta = 2 } }"
    assert.same({ "beta" }, (offers "thing[2].|"))
    assert.same({}, (offers "thing[3].|"))
  end)

  it("knows the methods of strings and files", function()
    run "thing = 'text'; out = io.stdout"
    assert.is_true(has(offers "thing:|", "gsub"))
    assert.is_true(has(offers "('x'):|", "gsub"))
    assert.is_true(has(offers "out:|", "write"))
    run "out = nil"
  end)

  it("runs nothing", function()
    run [[
      touched = false
      thing = setmetatable({}, {
        __index = function() touched = true end,
        __pairs = function() touched = true end,
        __len = function() touched = true end,
      })
    ]]
    assert.same({}, (offers "thing.|"))
    assert.same({}, (offers "thing.x.y|"))
    assert.same({}, (offers "thing().|"))
    assert.is_false(_G.touched)
    _G.touched = nil
  end)

  it("shows what begins with _ only to who asks", function()
    run "thing = { _hidden = 1, shown = 2 }"
    assert.same({ "shown" }, (offers "thing.|"))
    assert.same({ "_hidden" }, (offers "thing._|"))
  end)

  it("does not take two dots for a field", function()
    run "thing = { field = 1 }"
    assert.same({ "thing" }, (offers "'a'..thin|"))
    assert.same({}, (offers "thing..field|"))
  end)

  it("is not for strings, comments and numbers", function()
    for _, text in ipairs { "'pri|", '"pri|', "[[pri|", "-- pri|", "--[[ pri|", "12|",
      "'\\'pri|" } do
      assert.same({}, (offers(text)), text)
    end
    for _, text in ipairs { "'a' pri|", "[[a]] pri|", "--[[ a ]] pri|", "-- a\npri|",
      "'\\'' pri|", "x - pri|" } do
      assert.same({ "print" }, (offers(text)), text)
    end
  end)

  it("knows modules", function()
    package.preload["made.up.module"] = function() end
    assert.is_table(require "lambdapool")
    assert.same({ "made.up.module" }, (offers "local m = require 'made.|"))
    assert.same({ "made.up.module" }, (offers 'require("made.up|'))
    assert.is_true(has(offers "require 'lamb|", "lambdapool"))
    package.preload["made.up.module"] = nil
  end)

  it("knows modules in folders", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir -p %s/pack/inner && cd %s && touch single.lua pack/init.lua " ..
      "pack/part.lua pack/inner/init.lua other.txt"):format(folder, folder)))
    local path <const> = package.path
    package.path = ("%s/?.lua;%s/?/init.lua"):format(folder, folder)
    local singles, parts = offers "require 'si|", offers "require 'pack.|"
    local last = offers "require 'pa|"
    package.path = path
    os.execute("rm -r " .. folder)
    assert.is_true(has(singles, "single"))
    assert.same({ "pack.inner", "pack.part" }, parts)
    assert.is_true(has(last, "pack"))
    assert.is_false(has(last, "other"))
  end)

  it("knows commands and their files", function()
    assert.same({ "tasks", "time" }, (offers ":t|"))
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir -p %s/sub && touch %s/job.lua"):format(folder, folder)))
    local words, line = offers((":load %s/|"):format(folder))
    os.execute("rm -r " .. folder)
    assert.same({ folder .. "/job.lua", folder .. "/sub/" }, words)
    assert.equal((":load %s/job.lua"):format(folder), line)
    assert.same({ "print" }, (offers ":time pri|"))
  end)

  it("takes little of a large table", function()
    run "thing = {} for i = 1, 1e4 do thing['k' .. i] = i end"
    local words = offers "thing.k|"
    assert.equal(1000, #words)
    assert.equal("k1", words[1])
    assert.equal("k9999", words[1000])
    run "thing = {} for i = 1, 3e5 do thing['k' .. i] = i end"
    words = offers "thing.k1|"
    assert.equal("k1", words[#words])
  end)
end)
