local command = require "lambdapool.cli.command"
local interrupt = require "lambdapool.interrupt"
local support = require "tests.lua.cli_support"

local given

local function new(run, common)
  return command.new {
    name = "try", usage = "try NAME [PATHS]", example = "lambdapool try f a/ --memory 256",
    about = "Tries things.",
    arguments = { { "name", "the thing" }, { "paths", "files", args = "*" } },
    options = {
      { "-r --requirements", "FILE", "what it needs", convert = command.word },
      { "--memory", "MB", "how much", convert = command.integer(128, 10240) },
      { "--env", "K=V", "a variable", repeated = true },
      { "--pick", "ONE", "one of two", convert = command.choice("a", "b") },
      { "--share", "N", "a share", convert = command.amount(1) },
      { "--no-role", nil, "without" },
    },
    common = common or { yes = true },
    run = run or function(values) given = values end,
  }
end

local function parse(...)
  given = nil
  local out, err, code = support.run(new(), ...)
  assert.equal("", out)
  assert.equal("", err)
  assert.equal(0, code)
  return given
end

local function complaint(...)
  local out, err, code = support.run(new(), ...)
  assert.equal(2, code)
  assert.equal("", out)
  return err:match "^lambdapool try: (.*)\n  see `lambdapool try %-%-help`\n$"
end

-- Runs a command with this body in a process of its own, without a terminal. Returns what it prints
-- and its exit code behind that.
local function run_script(body)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(([[
    local command = require "lambdapool.cli.command"
    os.exit(command.new { name = "nap", usage = "nap", example = "x", about = "x",
      run = function(given, context)
        %s
      end }.main { "nap" })]]):format(body))
  file:close()
  local pipe <close> = assert(io.popen(("%s/lambdapool run %s </dev/null 2>&1; echo $?"):format(
    os.getenv "LAMBDAPOOL_BUILD", path)))
  local text = pipe:read "a"
  os.remove(path)
  return text
end

describe("a command line", function()
  it("gives arguments and options by their names", function()
    assert.same({ name = "f", paths = {}, env = {} }, parse "f")
    assert.same({ name = "f", paths = { "a", "b" }, env = { "A=1", "B=-2" }, memory = 256,
      requirements = "r.txt", no_role = true, yes = true, pick = "b", share = 0.5 },
      parse("--memory", "256", "f", "-r", "r.txt", "a", "--env", "A=1", "b", "--env=B=-2",
        "--no-role", "-y", "--pick", "b", "--share", "0.5"))
    assert.equal("x", parse("f", "-rx").requirements)
  end)

  it("takes values that begin with a dash, and all behind --", function()
    assert.equal("-x", parse("f", "--requirements", "-x").requirements)
    assert.equal("-x", parse("f", "-r", "-x").requirements)
    assert.equal("--yes", parse("f", "--requirements", "--yes").requirements)
    assert.same({ "--yes", "--", "-1" }, parse("f", "--", "--yes", "--", "-1").paths)
    assert.equal("-", parse "-".name)
    assert.equal("", parse "".name)
  end)

  it("has the last value of an option that is given twice", function()
    assert.equal(512, parse("f", "--memory", "256", "--memory=512").memory)
  end)

  it("is refused in plain words", function()
    for arguments, message in pairs {
      [""] = "NAME is missing",
      ["f --memroy 1"] = "unknown option '--memroy', did you mean '--memory'?",
      ["f --memroy=1"] = "unknown option '--memroy', did you mean '--memory'?",
      ["f -x"] = "unknown option '-x'",
      ["f --memory"] = "'--memory' needs a value",
      ["f --memory 127"] = "'--memory' must be an integer from 128 to 10240, got '127'",
      ["f --memory=1e3"] = "'--memory' must be an integer from 128 to 10240, got '1e3'",
      ["f --memory -1"] = "'--memory' must be an integer from 128 to 10240, got '-1'",
      ["f --yes=no"] = "'--yes' takes no value",
      ["f --pick c"] = "'--pick' must be 'a' or 'b', got 'c'",
      ["f --share 2"] = "'--share' must be a number from 0 to 1, got '2'",
      ["f --requirements="] = "'--requirements' must be a text, got ''",
    } do
      local words = {}
      for word in arguments:gmatch "%S+" do
        words[#words + 1] = word
      end
      assert.equal(message, complaint(table.unpack(words)))
    end
  end)

  it("names what is too much", function()
    local module = command.new { name = "try", usage = "try", example = "lambdapool try",
      about = "Tries.", run = function() end }
    local _, err, code = support.run(module, "x")
    assert.equal(2, code)
    assert.matches("^lambdapool try: unknown argument 'x'\n", err)
  end)

  it("has help that starts with the example", function()
    for _, flag in ipairs { "--help", "-h" } do
      local out, err, code = support.run(new(nil, { account = true, json = true, dry_run = true,
        jsonl = true, yes = true }), "f", flag)
      assert.equal(0, code)
      assert.equal("", err)
      assert.equal("  lambdapool try f a/ --memory 256", out:match "^[^\n]*")
      assert.matches("\nusage: lambdapool try NAME %[PATHS%] %[OPTIONS%]\n\nTries things.\n", out)
      for _, option in ipairs { "-r, --requirements FILE", "--memory MB", "-y, --yes", "--json",
        "--jsonl", "--dry-run", "--backend NAME", "--region NAME", "--profile NAME",
        "--endpoint-url URL", "-h, --help", "PATHS" } do
        assert.is_truthy(out:find("\n  " .. option, 1, true), option)
      end
      for line in out:gmatch "[^\n]+" do
        assert.is_true(#line <= 100, line)
      end
    end
  end)
end)

describe("what a command raises", function()
  local function ends(run)
    local out, err, code = support.run(new(run), "f")
    return err, code, out
  end

  it("is a message and an exit code", function()
    local err, code, out = ends(function()
      io.write "data\n"
      command.fail("it cannot be done\n  do this", 3)
    end)
    assert.same({ "lambdapool try: it cannot be done\n  do this\n", 3, "data\n" },
      { err, code, out })
    err, code = ends(function() command.fail "no" end)
    assert.same({ "lambdapool try: no\n", 1 }, { err, code })
    err, code = ends(function() error("a text of somebody\n  with a hint", 0) end)
    assert.same({ "lambdapool try: a text of somebody\n  with a hint\n", 1 }, { err, code })
    err, code = ends(function() command.usage "not like this" end)
    assert.same({ "lambdapool try: not like this\n  see `lambdapool try --help`\n", 2 },
      { err, code })
  end)

  it("has the exit code of objects that know theirs", function()
    local mt = { __tostring = function() return "refused" end }
    for _, exit in ipairs { 1, 3, 4, 5 } do
      local err, code = ends(function() error(setmetatable({ exit = exit }, mt)) end)
      assert.same({ "lambdapool try: refused\n", exit }, { err, code })
    end
    local _, code = ends(function() error(setmetatable({ exit = "x" }, mt)) end)
    assert.equal(1, code)
  end)

  it("has a traceback when it is our own mistake", function()
    local err, code = ends(function() require("lambdapool.suggest").nearest() end)
    assert.equal(1, code)
    assert.matches("^lambdapool try: internal error: lambdapool/suggest.lua:%d+: .*\nstack", err)
  end)

  it("may be the exit code itself", function()
    local err, code = ends(function() return 7 end)
    assert.same({ "", 7 }, { err, code })
  end)

  it("does not hide an interrupt", function()
    for signal, expected in pairs { INT = "interrupted\n130", TERM = "terminated\n143" } do
      assert.equal(("lambdapool: %s\n"):format(expected), run_script(([[
        pcall(require("lambdapool.command").run, { "sh", "-c", "kill -%s $PPID" })
        require("lambdapool.loop").wait(function() return false end, nil, 60)]]):format(signal)))
    end
    assert.is_false(interrupt.came())
  end)
end)

describe("a command's context", function()
  it("asks nobody who is not there", function()
    assert.equal("lambdapool nap: really?\n  there is nobody to ask: answer with `--yes`\n2\n",
      run_script 'context:confirm "really?"')
    local _, err, code = support.run(new(function(_, context)
      return context:confirm "really?" and 0 or 9
    end), "f", "--yes")
    assert.same({ "", 0 }, { err, code })
  end)

  it("knows the time", function()
    local now
    support.run(new(function(_, context) now = context.now end), "f")
    assert.is_true(math.abs(now - os.time()) < 60)
  end)
end)

describe("a group of commands", function()
  local group = command.group { name = "try", about = "Tries.", example = "lambdapool try list",
    commands = { list = command.new { name = "list", usage = "try list", example = "x",
      about = "Lists. And more.", options = { { "--all", nil, "everything" } },
      run = function(values) io.write(tostring(values.all)) end } } }

  it("passes on what is for its commands", function()
    local out, _, code = support.run(group, "list", "--all")
    assert.same({ "true", 0 }, { out, code })
    local _, err
    _, err, code = support.run(group, "list", "--al")
    assert.equal(2, code)
    assert.equal("lambdapool try list: unknown option '--al', did you mean '--all'?\n" ..
      "  see `lambdapool try list --help`\n", err)
  end)

  it("has help, and suggests", function()
    local out, _, code = support.run(group, "--help")
    assert.equal(0, code)
    assert.matches("^  lambdapool try list\n\nusage: lambdapool try COMMAND", out)
    assert.matches("\n  try list  lists\n", out)
    local _, err
    _, err, code = support.run(group, "lits")
    assert.same({ "lambdapool try: unknown command 'lits', did you mean 'list'?\n" ..
      "  see `lambdapool try --help`\n", 2 }, { err, code })
    _, err, code = support.run(group, "--x")
    assert.same({ "lambdapool try: unknown option '--x'\n  see `lambdapool try --help`\n", 2 },
      { err, code })
    _, err, code = support.run(group)
    assert.equal(2, code)
    assert.matches("usage: lambdapool try COMMAND", err)
  end)
end)
