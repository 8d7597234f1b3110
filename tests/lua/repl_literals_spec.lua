local literals = require "lambdapool.repl.literals"

local function read_back(text)
  return load("return " .. text)()
end

describe("literals", function()
  it("write numbers so that integers and floats differ", function()
    local cases = { [0] = "0", [-7] = "-7", [1 << 53] = "9007199254740992", [2.5] = "2.5",
      [1e100] = "1e+100", [math.huge] = "inf", [-math.huge] = "-inf", [1 / 3] = "0.33333333333333",
      [math.mininteger] = "-9223372036854775808" }
    for number, text in pairs(cases) do
      assert.equal(text, literals.number(number))
    end
    assert.equal("2.0", literals.number(2.0))
    assert.equal("-0.0", literals.number(-0.0))
    assert.equal("1e+15", literals.number(1e15))
    assert.matches("^-?nan$", literals.number(0 / 0))
  end)

  it("write strings that read back", function()
    local all = {}
    for byte = 0, 255 do
      all[#all + 1] = string.char(byte) .. "1"
    end
    for _, text in ipairs { "", "plain", 'say "hi" \\ \'', "a\nb\r\tc\0001\a\b\f\v\27[31m\127",
      "äöü ☃ 𝄞", "\xFF\xC3", "ü\xC3", "\xED\xA0\x80", "\u{202e}\u{200b}\u{9b}\u{feff}\u{ad}",
      table.concat(all) } do
      local written = literals.string(text, 100000)
      assert.equal(text, read_back(written))
      assert.is_nil(written:find "[%c\127]")
      assert.is_truthy(utf8.len(written))
    end
    assert.equal([["äöü \"☃\" \\ \n \x00 \xff \u{202e} \u{9b}"]],
      literals.string("äöü \"☃\" \\ \n \0 \xFF \u{202e} \u{9b}", 100))
  end)

  it("cut long strings between characters, and tell their length", function()
    assert.equal('"aaaaa"', literals.string("aaaaa", 5))
    assert.equal('"aaaaa"… (6 bytes)', literals.string("aaaaaa", 5))
    assert.equal('"üüüüü"… (20,000 bytes)', literals.string(("ü"):rep(10000), 5))
    assert.equal('"𝄞𝄞"… (12 bytes)', literals.string("𝄞𝄞𝄞", 2))
    assert.equal('"𝄞𝄞𝄞"', literals.string("𝄞𝄞𝄞", 3))
    assert.equal('"ab\\xf0"', literals.string("ab\xF0", 9))
    assert.matches("^\"\\x00.*\"… %(1,000,000 bytes%)$", literals.string(("\0"):rep(1000000), 60))
    for _, text in ipairs { "\0", "\xFF", "\u{202e}", "\n", '"' } do
      text = text:rep(5000)
      assert.is_true(literals.width(literals.string(text, 50)) < 75)
    end
  end)

  it("write keys", function()
    local cases = { name = "name", _x9 = "_x9", ["end"] = '["end"]', ["goto"] = '["goto"]',
      ["two words"] = '["two words"]', [""] = '[""]', ["9x"] = '["9x"]', ["ä"] = '["ä"]',
      [3] = "[3]", [3.5] = "[3.5]", ["a\n"] = '["a\\n"]', [math.huge] = "[inf]" }
    for key, text in pairs(cases) do
      assert.equal(text, literals.key(key))
    end
    assert.equal('["' .. ("x"):rep(40) .. '"… (50 bytes)]', literals.key(("x"):rep(50)))
  end)

  it("know how wide a text is on a terminal", function()
    for text, columns in pairs { [""] = 0, abc = 3, ["äöü"] = 3, ["語"] = 2, ["한글"] = 4, ["☃…"] = 2,
      ["e\u{301}"] = 1, ["🚀"] = 2, ["\xFFab"] = 3 } do
      assert.equal(columns, literals.width(text))
    end
    assert.equal('"語語"… (30 bytes)', literals.string(("語"):rep(10), 5))
  end)

  it("write counts, and leave nothing that controls a terminal in text of others", function()
    assert.equal("0", literals.count(0))
    assert.equal("999", literals.count(999))
    assert.equal("9,990", literals.count(9990))
    assert.equal("100,000", literals.count(100000))
    assert.equal("1,234,567", literals.count(1234567))
    assert.equal("ä\n\tb\\x1b[2J\\x7f\\xff\\u{9b}", literals.plain "ä\n\tb\27[2J\127\xFF\u{9b}")
  end)
end)
