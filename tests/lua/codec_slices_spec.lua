local codec = require "lambdapool.codec"
local support = require "tests.lua.codec_support"

local copy = support.copy

--- A chunk of that many lines with functions of every shape among filler; returns all of them.
--- Each shape is text that fills the table `t`; the filler keeps lines between them.
local shapes = {
  plain = "t.plain = function(x) return x, 'plain' end",
  local_function = "local function lf(x)\n  return x, 'lf'\nend\nt.local_function = lf",
  recursive = "local function fact(n)\n  return n < 2 and 1 or n * fact(n - 1)\nend\n" ..
    "t.recursive = fact",
  global_like = "function t.global_like(x)\n  return x\nend",
  deep_name = "function t.sub.deeper.deep_name(x)\n  return x\nend",
  method = "function t:method(x)\n  return self, x\nend",
  method_bare = "function t:method_bare()\n  return self\nend",
  method_spaces = "function t : method_spaces ( )\n  return self\nend",
  method_comment = "function t:method_comment(--[[nothing]])\n  return self\nend",
  method_varargs = "function t:method_varargs(...)\n  return self, ...\nend",
  method_broken = "function t:method_broken(\n  a,\n  b)\n  return self, a, b\nend",
  varargs = "t.varargs = function(...)\n  return select('#', ...), ...\nend",
  name_on_next_line = "function\n  t.name_on_next_line\n  (x)\n  return x\nend",
  no_parameters = "t.no_parameters = function() end",
  two_a = "t.two_a, t.two_b = function() return 'a' end, function() return 'b' end",
  nested_line = "t.nested_line = function() return function() return function() return 1 " ..
    "end end end",
  in_call = "t.in_call = id(function(x)\n  return x, 'in call'\nend)",
  in_table = "t.in_table = ({ { f = function(x)\n  return x\nend } })[1].f",
  in_parentheses = "t.in_parentheses = (function(x)\n  return x\nend)",
  returned = "t.returned = (function()\n  return function(x) return x, 'returned' end\nend)()",
  end_in_string = "t.end_in_string = function() return 'end', \"end\", [[end]] end -- end end",
  end_in_comment = "t.end_in_comment = function() --[[ end ]] return 1 end --[[ end ]]",
  end_in_long = "t.end_in_long = function()\n  return [==[\nend\nfunction(]]\n]==] end",
  end_names = "t.end_names = function() local ends, bend = 1, 2 return ends + bend end",
  end_fields = "t.end_fields = function(x) return x.ender, x.the_end end local the_end = 1",
  inner_ends = "t.inner_ends = function(n)\n  for i = 1, n do if i > 2 then break end end\n" ..
    "  while n > 0 do n = n - 1 end return n end",
  upvalues = "local u1, u2, u3 = 1, 2, 3\nt.upvalues = function()\n  u2 = u2 + 1\n" ..
    "  return u3, u1, u2\nend",
  constants = "local k1 <const>, k2 <const> = 10, 20\nt.constants = function()\n" ..
    "  return k1 + k2, k1\nend",
  const_upvalue = "local cu <const> = {}\nt.const_upvalue = function()\n  return cu\nend",
  close_upvalue = "do local cl <close> = nil\nt.close_upvalue = function()\n  return cl\nend\nend",
  environment = "t.environment = function()\n  return print, tostring(1)\nend",
  local_environment = "do local _ENV = { x = 1 }\n" ..
    "(...).local_environment = function() return x end\nend",
  closes = "t.closes = function()\n  local c <close> = nil\n  local d <const> = 5\n  return d\nend",
  jumps = "t.jumps = function(n)\n  ::top::\n  n = n - 1\n  if n > 0 then goto top end\n" ..
    "  return n\nend",
  shadow = "local same = 1\ndo local same = 2\nt.shadow = function() return same end end",
  long_strings = "t.long_strings = function()\n  return [[\nlines\n\nlines]], 'a\\\n" ..
    "b', 'c\\z\n   d'\nend",
  operators = "t.operators = function(a, b)\n" ..
    "  return a // b, a >> b, a ~ b, -a, not b, #'x', a ^ b\nend",
  same_text_1 = "t.same_text_1 = function() return 'same' end",
  same_text_2 = "t.same_text_2 = function() return 'same' end",
  unicode = "t.unicode = function() return 'äöü — ☃' end -- ünï",
  keywords = "t.keywords = function() return ({ ['end'] = 'function' })['end'] end",
  call_string = "t.call_string = function() return id'function(x) end' end",
}

local function many_locals()
  local lines = { "t.many_locals = function()" }
  for i = 1, 199 do
    lines[#lines + 1] = ("  local v%d = %d"):format(i, i)
  end
  lines[#lines + 1] = "  return v1 + v199\nend"
  return table.concat(lines, "\n")
end
shapes.many_locals = many_locals()

local function many_upvalues(count)
  local lines = { "do local a1 = 1" }
  for i = 2, 120 do
    lines[#lines + 1] = ("local a%d = %d"):format(i, i)
  end
  lines[#lines + 1] = "t.many_upvalues = (function()"
  for i = 121, count do
    lines[#lines + 1] = ("local a%d = %d"):format(i, i)
  end
  lines[#lines + 1] = "return function() return 0"
  for i = 1, count do
    lines[#lines + 1] = ("  + a%d"):format(i)
  end
  lines[#lines + 1] = "end end)() end"
  return table.concat(lines, "\n")
end
shapes.many_upvalues = many_upvalues(250)

local names = {}
for name in pairs(shapes) do
  names[#names + 1] = name
end
table.sort(names)

--- The text of a chunk of about `lines` lines with all shapes, its line ends `eol`.
local function chunk(lines, eol)
  local parts = { "local t = ...", "t.sub = { deeper = {} }", "local function id(x) return x end" }
  local filler = lines // #names
  for i, name in ipairs(names) do
    for j = 1, filler do
      parts[#parts + 1] = j % 7 == 0 and ("do local filler%d = function() return %d end " ..
        "t[%d] = filler%d end"):format(j, j, i * 10000 + j, j) or "-- a line between"
    end
    parts[#parts + 1] = "do " .. shapes[name] .. "\nend"
  end
  parts[#parts + 1] = "t.deep_name = t.sub.deeper.deep_name"
  return (table.concat(parts, "\n"):gsub("\n", eol))
end

local function functions_of(text, name)
  local t = {}
  local main = assert(load(text, name))
  main(t)
  return t, main
end

describe("a function of a large file", function()
  teardown(support.remove_files)

  it("of three lines takes less than 2 KB", function()
    local lines = {}
    for i = 1, 10000 do
      lines[i] = ("local _ = %d -- line %d of the file"):format(i % 10, i)
      if i % 100 == 0 then
        lines[i] = "do end"
      end
    end
    for i = 1, 10000 do
      lines[i] = "do " .. lines[i]:gsub(" %-%-.*", "") .. " end -- " .. i
    end
    lines[7000] = "local function f(x)"
    lines[7001] = "  return x * 2"
    lines[7002] = "end"
    lines[10001] = "return f"
    local name = support.file(table.concat(lines, "\n"))
    local f = dofile(name)
    local bytes = codec.dump(f)
    assert.is_true(#bytes < 2048, #bytes)
    assert.is_true(#bytes < 200 + #name, #bytes)
    local loaded = codec.load(bytes)
    assert.equal(14, loaded(7))
    assert.equal(7000, debug.getinfo(loaded, "S").linedefined)
    assert.is_true(support.same_code(f, loaded))
    assert.matches(name .. ":7001:", select(2, pcall(loaded, {})), 1, true)
    assert.equal("14\n", support.elsewhere(f, "print(codec.load(codec.dump(value))(7))"))
  end)

  for _, eol in ipairs { "\n", "\r\n", "\r" } do
    it("is the same code in any shape, lines ending in " .. ("%q"):format(eol), function()
      local text = chunk(2000, eol)
      local t = functions_of(text, "@large")
      local sliced = 0
      for _, name in ipairs(names) do
        local f = t[name]
        assert.is_function(f, name)
        assert.is_true(support.same_code(f, copy(f)), name)
        assert.is_true(support.same_code(f, copy(copy(f))), name)
        sliced = sliced + (#codec.dump(f) < 8000 and 1 or 0)
      end
      -- what is left are functions whose constants the compiler has put in place of names
      assert.is_true(sliced > #names * 0.8, sliced)
    end)
  end

  it("works as the original", function()
    local t = functions_of(chunk(1000, "\n"), "@large2")
    local self = {}
    assert.same({ self, 5 }, { copy(t.method)(self, 5) })
    assert.equal(self, copy(t.method_bare)(self))
    assert.equal(self, copy(t.method_spaces)(self))
    assert.equal(self, copy(t.method_comment)(self))
    assert.same({ self, 1, 2 }, { copy(t.method_varargs)(self, 1, 2) })
    assert.same({ self, 1, 2 }, { copy(t.method_broken)(self, 1, 2) })
    assert.equal(120, copy(t.recursive)(5))
    assert.equal("a", copy(t.two_a)())
    assert.equal("b", copy(t.two_b)())
    assert.equal(1, copy(t.nested_line)()()())
    assert.equal(1, copy(t.nested_line())()())
    assert.equal(1, copy(t.nested_line()())())
    assert.same({ "end", "end", "end" }, { copy(t.end_in_string)() })
    assert.same({ 3, 1, 3 }, { copy(t.upvalues)() })
    assert.same({ 30, 10 }, { copy(t.constants)() })
    assert.same({}, copy(t.const_upvalue)())
    assert.equal(2, copy(t.shadow)())
    assert.equal(1, copy(t.local_environment)())
    assert.equal(200, copy(t.many_locals)())
    assert.equal(250 * 251 // 2, copy(t.many_upvalues)())
    assert.equal("lines\n\nlines", (copy(t.long_strings)()))
    assert.equal(0, copy(t.jumps)(3))
    assert.equal("function", copy(t.keywords)())
  end)

  it("shares variables with others of the file", function()
    local text = chunk(1000, "\n") .. [[

      local shared = 0
      function t.up() shared = shared + 1 return shared end
      function t.down() shared = shared - 1 return shared end
      function t:both(other) return self.up(), other.down(), shared end
    ]]
    local t = functions_of(text, "@large3")
    local loaded = support.round_trip { up = t.up, down = t.down, both = t.both }
    assert.same({ 1, 0, 0 }, { loaded:both(loaded) })
    assert.equal(1, loaded.up())
    assert.equal(1, t.up())
  end)

  it("is the whole chunk when it is the main function", function()
    local _, main = functions_of(chunk(500, "\n"), "@large4")
    local t = {}
    copy(main)(t)
    assert.equal("b", t.two_b())
  end)

  it("travels with its neighbours, sliced or whole", function()
    local t = functions_of(chunk(3000, "\n"), "@large5")
    local loaded = support.round_trip(t)
    for key, f in pairs(t) do
      if type(f) == "function" then
        assert.is_true(support.same_code(f, loaded[key]), key)
      end
    end
  end)

  it("goes on to a third process", function()
    local t = functions_of(chunk(1000, "\n"), "@large6")
    t.sub = nil
    local output = support.elsewhere(t, [[
      local again = codec.load(codec.dump(value))
      local third = codec.load(codec.dump(again))
      local n = 0
      for key, f in pairs(value) do
        n = n + 1
        local code = string.dump(f)
        if code ~= string.dump(again[key]) or code ~= string.dump(third[key]) then
          print("differs", key)
        end
      end
      print(n > 100, third.two_b(), third.many_upvalues(), third.recursive(5))
    ]])
    assert.equal("true\tb\t31375\t120\n", output)
  end)

  it("is found whatever the line it stands on is like", function()
    local padding = ("-- padding\n"):rep(400)
    local pieces = {
      "return (function(a) return a end)",
      "return --[[ function( ]] function(a) return a end -- function(",
      "return 'function(' and function(a) return a end",
      "return ({ function() end, function() end, function(a) return a end })[3]",
      "local x = {} function x.a.b(c) end return nil",
      ("local _ = function() end "):rep(20) .. "return function(a) return a end",
      "return function(a) return a end, 'end', 'end', 'end'" .. (", 'end'"):rep(30),
      "local f = function(a) return a end;;;; return f;",
      "return function(a)return a end",
      "local function\ta(a)\treturn a\tend return a",
      "return\nfunction\n(\na\n)\nreturn\na\nend",
      "return\nfunction--[[(]]--\n(a) return a end",
      "return function(a)\n\n\n\n\n\n\n\nreturn a end",
    }
    for i, piece in ipairs(pieces) do
      local f = load(padding .. piece, "=piece" .. i)
      if i ~= 5 then
        assert.equal("a", copy(f())("a"))
      else
        assert.is_function(copy(f))
      end
    end
  end)

  it("may stand beyond the newlines that a slice may have", function()
    local text = ("\n"):rep((1 << 22) + 10) .. "return function(x) return x + 1 end"
    local f = load(text, "@far")()
    assert.equal(2, copy(f)(1))
  end)
end)
