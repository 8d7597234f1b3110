local json = require "lambdapool.json"
local output = require "lambdapool.cli.output"
local support = require "tests.lua.cli_support"
local times = require "lambdapool.cli.times"

describe("what commands print", function()
  it("is a table with aligned columns", function()
    assert.equal("NAME    SIZE\na       1 B\nfunc-b  -\n-       2\n", (support.capture(output.table,
      { "NAME", "SIZE" }, { { "a", "1 B" }, { "func-b" }, { "", 2 } })))
    assert.equal("NAME\n", (support.capture(output.table, { "NAME" }, {})))
    assert.equal("A  B\né  x\nü  y\n", (support.capture(output.table, { "A", "B" },
      { { "é", "x" }, { "ü", "y" } })))
  end)

  it("is a block of names and values", function()
    assert.equal("name    f\nlayers  a\n        b\n", (support.capture(output.block,
      { { "name", "f" }, { "gone", nil }, { "layers", { "a", "b" } }, { "none", {} } })))
  end)

  it("are the files of packages, the first ones of many", function()
    assert.same({ "a/b.lua    9 B", "bootstrap  1.1 MB" }, output.files {
      { name = "a/b.lua", size = 9 }, { name = "bootstrap", size = 1100000 } })
    local entries = {}
    for i = 1, 23 do
      entries[i] = { name = ("f%d\27"):format(i), size = i }
    end
    local lines = output.files(entries)
    assert.equal(21, #lines)
    assert.same({ "f1\\x1b   1 B", "f20\\x1b  20 B", "and 3 more" },
      { lines[1], lines[20], lines[21] })
  end)

  it("does not command terminals", function()
    local text = support.capture(output.table, { "X" }, { { "a\27[2J\nb" } })
    assert.equal("X\na\\x1b[2J\\x0ab\n", text)
  end)

  it("is JSON on one line", function()
    assert.equal('{"a":[]}\n', (support.capture(output.json, { a = json.array {} })))
    assert.equal('{"a":1}\n', (support.capture(output.jsonl, { a = 1 })))
  end)

  it("has humane sizes", function()
    for bytes, text in pairs { [0] = "0 B", [999] = "999 B", [1000] = "1.0 kB", [1234] = "1.2 kB",
      [99949] = "99.9 kB", [123456] = "123 kB", [999499] = "999 kB", [999500] = "1.0 MB",
      [52428800] = "52.4 MB", [3e9] = "3.0 GB" } do
      assert.equal(text, output.size(bytes))
    end
  end)

  it("has humane ages", function()
    for seconds, text in pairs { [-5] = "now", [0] = "now", [1] = "1 second ago",
      [59] = "59 seconds ago", [60] = "1 minute ago", [7200] = "2 hours ago",
      [86400] = "1 day ago", [86400 * 45] = "1 month ago", [86400 * 800] = "2 years ago" } do
      assert.equal(text, output.age(seconds))
    end
  end)

  it("has no colours where there is no terminal", function()
    assert.equal("ok", output.coloured("ok", "green"))
  end)
end)

describe("times", function()
  local now = 1795284005

  it("are lengths or dates", function()
    for text, seconds in pairs {
      ["10s"] = now - 10, ["10m"] = now - 600, ["2h"] = now - 7200, ["3d"] = now - 3 * 86400,
      ["1w"] = now - 604800, ["99999w"] = 0,
      ["2026-11-21T18:00:05Z"] = now, ["2026-11-21T18:00:05.999Z"] = now,
      ["2026-11-21 18:00Z"] = now - 5, ["2026-11-21T19:00:05+01:00"] = now,
      ["2026-11-21"] = os.time { year = 2026, month = 11, day = 21, hour = 0 },
      ["2026-11-21T07:08"] = os.time { year = 2026, month = 11, day = 21, hour = 7, min = 8 },
    } do
      assert.equal(seconds, (times.read(text, now)), text)
    end
  end)

  it("are refused when they are neither", function()
    for _, text in ipairs { "", "10", "m", "10 m", "-5m", "1.5h", "yesterday", "2026-13-01",
      "2026-02-30", "2026-11-21T", "2026-11-21T18", "2026-11-21T25:00", "2026-11-21T18:60:00",
      "2026-11-21x", "21.11.2026" } do
      local seconds, wanted = times.read(text, now)
      assert.is_nil(seconds, text)
      assert.matches("^a time like 10m", wanted)
    end
  end)

  it("are shown for people and for programs", function()
    assert.equal("2026-11-21T18:00:05.007Z", times.iso(now * 1000 + 7))
    assert.equal(os.date("%Y-%m-%d %H:%M:%S", now) .. ".120", times.show(now * 1000 + 120))
  end)
end)
