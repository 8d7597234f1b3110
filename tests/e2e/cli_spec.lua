--- The command line around the commands: help, versions and complaints.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"

-- What the program prints on both streams, and its exit code.
local function lambdapool(arguments)
  local pipe = assert(io.popen(program .. " " .. arguments .. " 2>&1 </dev/null"))
  local text = pipe:read "a"
  local _, _, code = pipe:close()
  return text, code
end

describe("the command line", function()
  it("shows help on stdout, starting with an example", function()
    for _, arguments in ipairs { "--help", "-h", "help" } do
      local text, code = lambdapool(arguments)
      assert.equal(0, code)
      assert.matches("^  lambdapool run crawl.lua", text)
      assert.matches("\nusage: lambdapool COMMAND", text)
    end
    local text, code = lambdapool "run --help"
    assert.equal(0, code)
    assert.matches("usage: lambdapool run %[OPTIONS%]", text)
  end)

  it("shows the help of commands in either way", function()
    for _, name in ipairs { "create", "run", "layers", "layers list" } do
      assert.same({ lambdapool(name .. " --help") }, { lambdapool("help " .. name) })
    end
    assert.matches("^lambdapool: unknown command 'creat', did you mean 'create'%?\n",
      (lambdapool "help creat"))
  end)

  it("without a command shows help and fails", function()
    local text, code = lambdapool ""
    assert.equal(2, code)
    assert.matches("usage:", text)
  end)

  it("tells its version and Lua's", function()
    local text, code = lambdapool "--version"
    assert.equal(0, code)
    assert.matches("^lambdapool %d+%.%d+%.%d+ %(Lua 5%.4%)\n$", text)
  end)

  it("suggests the nearest command and option", function()
    for arguments, complaint in pairs {
      ["rnu"] = "lambdapool: unknown command 'rnu', did you mean 'run'?",
      ["--hlep"] = "lambdapool: unknown option '--hlep', did you mean '--help'?",
      ["run --hlep"] = "lambdapool run: unknown option '--hlep', did you mean '--help'?",
      ["run -e"] = "lambdapool run: '-e' needs an argument",
      ["deploi"] = "lambdapool: unknown command 'deploi', did you mean 'deploy'?",
      ["xyz"] = "lambdapool: unknown command 'xyz'",
    } do
      local text, code = lambdapool(arguments)
      assert.equal(2, code)
      assert.equal(complaint, text:match "^[^\n]*")
    end
  end)
end)

describe("every command", function()
  local help = lambdapool "--help"

  it("is in the help of the program, and has help of its own", function()
    local count = 0
    for name in help:gmatch "\n  (%l+) +%l" do
      count = count + 1
      local text, code = lambdapool(name .. " --help")
      assert.equal(0, code, name)
      assert.matches("^  lambdapool " .. name, text)
      assert.matches("\nusage: lambdapool " .. name, text)
      for line in text:gmatch "[^\n]+" do
        assert.is_true(#line <= 100, line)
      end
    end
    assert.equal(17, count)
  end)

  it("refuses what it does not know", function()
    for name in help:gmatch "\n  (%l+) +%l" do
      local text, code = lambdapool(name .. " --no-such-option")
      assert.equal(2, code, name)
      assert.equal(("lambdapool %s: unknown option '--no-such-option'"):format(name),
        text:match "^[^\n]*")
      assert.matches(("\n  see `lambdapool %s --help`\n$"):format(name):gsub("%-", "%%-"), text)
    end
  end)
end)
