--- Every example runs, and what it makes is checked with other programs.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert.is_true(pipe:close())
  return text
end

local function example(arguments)
  return output_of(program .. " run examples/" .. arguments)
end

describe("the example", function()
  it("fibonacci counts up", function()
    local text = example "fibonacci.lua 12"
    assert.matches("^fibonacci%(1%) = 1\n", text)
    assert.matches("fibonacci%(12%) = 144\n$", text)
  end)

  it("wordcount counts as grep, sort and uniq do", function()
    local files = "/usr/share/common-licenses/GPL-2 /usr/share/common-licenses/GPL-3"
    local pipeline = "cat " .. files .. " | tr A-Z a-z | LC_ALL=C grep -oE \"[a-z][a-z'-]*\""
      .. " | sed \"s/['-]*$//\" | LC_ALL=C sort | uniq -c | LC_ALL=C sort -k1,1nr -k2,2"
    local expected = {}
    for count, word in output_of(pipeline):gmatch "(%d+) (%S+)" do
      expected[#expected + 1] = count .. " " .. word
    end
    local found, text = {}, example("wordcount.lua " .. files)
    for count, word in text:gmatch "\n +(%d+) +[%d.]+ %%  (%S+)" do
      found[#found + 1] = count .. " " .. word
    end
    assert.same(table.move(expected, 1, 20, 1, {}), found)
    assert.equal(#expected, tonumber(text:match "(%d+) different"))
    assert.matches("in 2 files", text)
  end)

  it("mandelbrot draws a PNG that others can read", function()
    local path = os.tmpname()
    assert.matches("96 x 72 pixels", example("mandelbrot.lua " .. path .. " 96"))
    local file = assert(io.open(path, "rb"))
    local png = file:read "a"
    file:close()
    os.remove(path)
    assert.equal("\x89PNG\r\n\x1a\n", png:sub(1, 8))
    local crc = output_of(("printf '%s' | gzip -c | tail -c8 | od -An -tx4 -N4"):format(
      png:sub(13, 29):gsub(".", function(c) return ("\\%03o"):format(c:byte()) end)))
    assert.equal(crc:match "%x+", ("%08x"):format((">I4"):unpack(png, 30)))
  end)

  it("says that it needs no account", function()
    for path in output_of("ls examples/*.lua"):gmatch "%S+" do
      local file <close> = assert(io.open(path))
      assert.matches("^%-%- [^\n]*\n?[^\n]*[Nn]eeds no account", file:read "a")
    end
  end)
end)
