local locals = require "lambdapool.repl.locals"
local tokens = require "lambdapool.repl.tokens"

-- Each declaration as "names|last words".
local function found(text)
  local result = {}
  for i, declaration in ipairs(locals.find(text)) do
    local names = {}
    for k, entry in ipairs(declaration.names) do
      names[k] = entry.name .. (entry.attribute and "<" .. entry.attribute .. ">" or "")
    end
    result[i] = table.concat(names, " ") .. "|" .. text:sub(1, declaration.last):match "[^%s;]*$"
  end
  return result
end

describe("tokens", function()
  it("are words, signs, strings and numbers", function()
    local said, lasts = tokens.of [===[
a.b:c[1] ...==x// y>>1 ~= .5 .. 'a\'b' --[[ no ]] [==[ ]] ]==]::l::]===]
    assert.same({ "a", ".", "b", ":", "c", "[", "", "]", "...", "==", "x", "//", "y", ">>", "",
      "~=", "", "..", "", "", "::", "l", "::" }, said)
    assert.same({ 1, 2, 3 }, { table.unpack(lasts, 1, 3) })
    assert.same({ {}, {} }, { tokens.of " -- nothing\n --[==[ at\n all ]] ]==] " })
  end)

  it("tell where strings and numbers end", function()
    for _, text in ipairs { "0x1p-4", "1e+5", "0xE", "3.", ".5e-3", "0xA.8P+1", "'a\\\\'", '"\\""',
      "'\\z \n \\\n x'", "[[\n] ]]", "[=[ ]] ]=]" } do
      local said, lasts = tokens.of(text .. "+x")
      assert.same({ "", "+", "x" }, said, text)
      assert.equal(#text, lasts[1])
    end
    assert.same({ "", "+", "" }, (tokens.of "0xE+1"))
  end)
end)

describe("locals", function()
  it("are found with the end of their statement", function()
    assert.same({ "a|a", "b c|2", "d|x" }, found "local a local b, c = 1, 2; local d = x")
    assert.same({ "a<const> b<close>|nil" }, found "local a <const>, b <close> = 1, nil print(a)")
    local text = "local function f(x) local y end local g = function() end f()"
    assert.same({ "f|end", "g|end" }, found(text))
    assert.same({ "a|(b)" }, found "local a = f\n(b) c()")
    assert.same({ "a|2", "b|x" }, found "local a = 1 and 2 goto l ::l:: local b = not x return a")
    assert.same({ "a|'s'" }, found "local a = f 's' --[[ x ]] b = 1")
    assert.same({ "a|}" }, found "local a = { 1, function() local x end } ; (f or g)()")
    assert.same({ "a<const>|a<const>", "b|..." }, found "local a<const> f() local b = ... a.b = 1")
  end)

  it("are none of blocks, strings and comments", function()
    assert.same({}, found "do local a end while x do local a end for i = 1, 2 do local b end")
    assert.same({}, found "if x then local a elseif y then local b else local c end")
    assert.same({}, found "repeat local a until a function f() local a end")
    assert.same({}, found "f { function() local a end, [g(function() local b end)] = 1 }")
    assert.same({}, found "x = 'local a' -- local b\ny = [[ local c ]] --[[ local d ]]")
  end)

  it("are handed over behind their statement, on the same line", function()
    local text = "local a = 1 -- one\nlocal b, c\nprint(a)"
    assert.equal("local a = 1 k(1, function() return a end); -- one\n" ..
      "local b, c k(2, function() return b, c end);\nprint(a)",
      locals.instrument(text, locals.find(text), "k"))
    assert.equal("x = 1", locals.instrument("x = 1", {}, "k"))
  end)

  it("have names that are no keywords", function()
    assert.is_true(locals.is_name "_x1")
    for _, word in ipairs { "end", "goto", "nil", "", "1x", "a b", "ä" } do
      assert.is_false(locals.is_name(word))
    end
  end)
end)
