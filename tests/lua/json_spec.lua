local json = require "lambdapool.json"

local VALUE = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"

describe("json.decode", function()
  it("brings integers back", function()
    local value = json.decode '{"a":[1,2.5,-3,1e3],"b":"x"}'
    assert.same({ a = { 1, 2.5, -3, 1000 }, b = "x" }, value)
    assert.equal("integer", math.type(value.a[1]))
    assert.equal("float", math.type(value.a[2]))
  end)

  it("keeps integers of 64 bits", function()
    assert.equal("[9223372036854775807,-9223372036854775808,9007199254740993]",
      json.encode(json.decode "[9223372036854775807,-9223372036854775808,9007199254740993]"))
  end)

  it("remembers which tables were arrays", function()
    assert.equal('{"a":[],"b":{},"c":[[]]}', json.encode(json.decode '{"a":[],"b":{},"c":[[]]}'))
  end)

  it("takes strings of any bytes", function()
    assert.same({ "\xff" }, json.decode '["\xff"]')
  end)

  it("lets the last of equal names win", function()
    assert.same({ a = 2 }, json.decode '{"a":1,"a":2}')
  end)

  it("has a value for null", function()
    assert.same({ json.null, 1 }, json.decode "[null, 1]")
  end)

  it("says what is wrong with a text that is not JSON", function()
    local value, message = json.decode "{"
    assert.is_nil(value)
    assert.equal("Unexpected end-of-input: expected close marker for Object at byte 2", message)
  end)
end)

describe("json.encode", function()
  it("sorts the members of objects", function()
    assert.equal('{"":0,"a":1,"aa":{"x":1,"y":2},"b":3,"\xc3\xa4":4}',
      json.encode { b = 3, a = 1, [""] = 0, ["\xc3\xa4"] = 4, aa = { y = 2, x = 1 } })
  end)

  it("knows arrays by their keys or by their mark", function()
    assert.equal('{"empty":{},"list":[1,2],"marked":[],"nested":[[],{}]}', json.encode {
      empty = {}, list = { 1, 2 }, marked = json.array {}, nested = { json.array {}, {} },
    })
    assert.equal("[1,2]", json.encode(json.array { 1, 2 }))
  end)

  it("writes numbers so that they read the same", function()
    for _, number in ipairs { 0, -1, math.maxinteger, 0.1, 1 / 3, 1e300, 5e-324, 2.5 } do
      assert.equal(number, tonumber(json.encode(number)))
    end
    assert.equal("[3,3.5,null,true]", json.encode { 3, 3.5, json.null, true })
  end)

  it("raises what JSON cannot say", function()
    assert.error_matches(function() json.encode { f = print } end, "a function cannot be JSON")
    assert.error_matches(function() json.encode { a = 1, [2.5] = 1 } end,
      "a number cannot be a key in JSON")
  end)
end)

describe("json.check", function()
  local function problem(text)
    local ok, message = json.check(text)
    assert.is_nil(ok, text)
    return message
  end

  it("takes every JSON text", function()
    for _, text in ipairs {
      "{}", "[]", " [ ] ", '{"a":[1,{"b":null}],"c":"d"}', "0", "-0.5e+10", "1E5",
      '"\\u00e4\\n\\/"', "\r\n\ttrue ", "false", "null",
      '"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\x7f"', '{"a":1,"a":2}',
      '"\\ud800"', ("["):rep(1000) .. ("]"):rep(1000), "[[],[],{}]", '"' .. ("x"):rep(100) .. '"',
    } do
      assert.is_true(json.check(text), text)
    end
  end)

  it("says what is wrong in the words of AWS Lambda", function()
    assert.equal("Unexpected character ((CTRL-CHAR, code 153)): expected a valid value " .. VALUE,
      problem "\x99")
    assert.equal("Unexpected character ('?' (code 63)): expected a valid value " .. VALUE,
      problem "?")
    assert.equal("Unexpected character ('\u{fe}' (code 254)): expected a valid value " .. VALUE,
      problem "\xfe")
    assert.equal("Unrecognized token 'hello': was expecting " .. VALUE, problem "hello world")
    assert.equal("Unexpected character ('}' (code 125)): was expecting double-quote to start " ..
      "field name", problem '{"a":1,}')
    assert.equal("Unexpected character ('1' (code 49)): was expecting comma to separate Array " ..
      "entries", problem "[0 1]")
    assert.equal("Unexpected character ('1' (code 49)): was expecting a colon to separate field " ..
      "name and value", problem '{"a"1}')
    assert.equal("Unexpected close marker '}': expected ']'", problem "[1}")
    assert.equal("Invalid numeric value: Leading zeroes not allowed", problem "[01]")
    assert.equal("Invalid UTF-8 start byte 0xff", problem '"\xff"')
    assert.equal("Invalid UTF-8 middle byte 0x22", problem '"\xc3"')
    assert.equal("Unrecognized character escape 'x' (code 120)", problem '"\\x"')
    assert.equal("Unexpected end-of-input: expected close marker for Object", problem '{"a":1')
    assert.equal("No content to map due to end-of-input", problem " ")
    assert.equal("Unexpected character ('2' (code 50)): expected end-of-input", problem "1 2")
    assert.matches("^Document nesting depth %(1001%)", problem(("["):rep(1001)))
    assert.matches("^Illegal unquoted character %(%(CTRL%-CHAR, code 10%)%)", problem '"a\nb"')
  end)

  it("refuses every other text", function()
    for _, text in ipairs {
      "", "[", "]", "{", "}", "[1,]", "[,1]", "nul", "nulll", "NaN", "Infinity", "+1", ".5", "1.",
      "1e", "1e+", "-", "--1", "0x10", "'a'", '"', '"a', '"\\', '"\\u12', '"\\u123g"', "{1:2}",
      '{"a"}', '{"a":}', '{"a":1 "b":2}', "[1][2]", "1,", '"a" "b"', "\0", "1\0", "\xef\xbb\xbf1",
      '"\xc0\x80"', '"\xe0\x80\x80"', '"\xed\xa0\x80"', '"\xf0\x80\x80\x80"', '"\xf4\x90\x80\x80"',
      '"\xf5\x80\x80\x80"', '"\xe2\x82', '"\x80"', '"\0"', "\v1", "[\f]", "/* */1", "{,}", "[[]",
    } do
      problem(text)
    end
  end)
end)
