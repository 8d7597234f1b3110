local command = require "lambdapool.command"
local interrupt = require "lambdapool.interrupt"
local system = require "lambdapool.system"

local function sh(script, options)
  return command.run({ "sh", "-c", script }, options)
end

local function is_alive(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  return file ~= nil and file:read("a"):match "%) (%a)" ~= "Z"
end

local function wait_for(condition)
  for _ = 1, 1000 do
    if condition() then
      return true
    end
    assert(command.run { "sleep", "0.01" })
  end
  return false
end

describe("command.run", function()
  it("gives the exit code and what was written", function()
    assert.same({ code = 3, output = "out\n", errors = "err\n" },
      sh "echo out; echo err >&2; exit 3")
    assert.same({ code = 0, output = "", errors = "" }, (command.run { "true" }))
    assert.equal(9, sh("kill -9 $$").signal)
    assert.is_nil(sh("kill -9 $$").code)
  end)

  it("passes words on as they are", function()
    local words = { "printf", "%s|", "a b", "$HOME", "'\"", "*", "", "\n", "é" }
    assert.equal("a b|$HOME|'\"|*||\n|é|", command.run(words).output)
  end)

  it("gives it a standard input, which it need not read", function()
    local text = ("\0\n\255 line\r\n"):rep(100000)
    assert.equal(text, command.run({ "cat" }, { input = text }).output)
    assert.equal("", command.run({ "cat" }).output)
    assert.equal(0, command.run({ "true" }, { input = text }).code)
  end)

  it("changes the environment and the folder", function()
    local result = sh("echo $A-${HOME-none}-$PATH; pwd",
      { env = { A = "x=y", HOME = false }, cwd = "/usr" })
    assert.equal("x=y-none-" .. os.getenv "PATH" .. "\n/usr\n", result.output)
  end)

  it("says what cannot be run", function()
    local function failure(words, options)
      return { command.run(words, options) }
    end
    assert.same({ [2] = "cannot run /none: No such file or directory", [3] = "ENOENT" },
      failure { "/none" })
    -- A folder of PATH that may not be searched makes it "Permission denied".
    assert.matches("^cannot run no%-such%-program: ", failure({ "no-such-program" })[2])
    assert.same({ [2] = "cannot run /etc: Permission denied", [3] = "EACCES" }, failure { "/etc" })
    assert.same({ [2] = "cannot run true in /none: No such file or directory", [3] = "ENOENT" },
      failure({ "true" }, { cwd = "/none" }))
    assert.same({ [2] = "cannot run true in /etc/passwd: Not a directory", [3] = "ENOTDIR" },
      failure({ "true" }, { cwd = "/etc/passwd" }))
  end)

  it("refuses what is no command", function()
    assert.error_matches(function() command.run {} end, "there is no program")
    assert.error_matches(function() command.run { "true", 1 } end, "without zero bytes")
    assert.error_matches(function() command.run { "tr\0ue" } end, "without zero bytes")
    assert.error_matches(function() sh("", { secs = 1 }) end, "unknown option 'secs'")
    assert.error_matches(function() sh("", { cwd = 1 }) end, "'cwd' must be a string")
    assert.error_matches(function() sh("", { env = { ["A=B"] = "" } }) end, "'A=B' has a name")
    assert.error_matches(function() sh("", { env = { A = 1 } }) end, "'A' must be a string")
    assert.error_matches(function() sh("", { env = { A = "\0" } }) end, "without zero bytes")
  end)

  it("hands out lines as they come", function()
    local lines = {}
    local result = sh("printf 'a\\r\\n\\nb' && sleep 0.05 && printf 'c\nd'",
      { output = function(line) lines[#lines + 1] = line end })
    assert.same({ "a", "", "bc", "d" }, lines)
    assert.equal("a\r\n\nbc\nd", result.output)
  end)

  it("bounds what it keeps", function()
    local kept, message, code = sh "yes"
    assert.is_nil(kept)
    assert.equal("sh was stopped: it wrote more than 16777216 bytes", message)
    assert.equal("EFBIG", code)
    local result = sh "head -c 1000000 /dev/zero | tr '\\0' x >&2; echo end >&2"
    assert.is_true(#result.errors >= 65536 and #result.errors <= 131072)
    assert.matches("xend\n$", result.errors)
    local longest = 0
    sh("head -c 1000000 /dev/zero >&2", { output = function(line)
      longest = math.max(longest, #line)
    end })
    assert.is_true(longest > 0 and longest < 100000)
  end)

  it("ends it and all that it started at the limit", function()
    local pids = {}
    local result, message, code = sh("sleep 1000 & echo $!; echo $$; wait", {
      seconds = 0.5, output = function(line) pids[#pids + 1] = tonumber(line) end })
    assert.is_nil(result)
    assert.equal("sh was stopped: it did not end within 0.5 s", message)
    assert.equal("ETIMEDOUT", code)
    assert.equal(2, #pids)
    assert.is_true(wait_for(function() return not is_alive(pids[1]) and not is_alive(pids[2]) end))
  end)

  it("does not wait for those that it leaves behind", function()
    local started = system.monotonic()
    local result = sh "sleep 1000 & echo $!"
    assert.is_true(system.monotonic() - started < 500)
    local pid = tonumber(result.output)
    assert.is_true(wait_for(function() return not is_alive(pid) end))
  end)

  it("ends it when the function that gets its lines raises", function()
    local pid
    assert.has_error(function()
      sh("echo $$; exec sleep 1000", { output = function(line)
        pid = tonumber(line)
        error("enough", 0)
      end })
    end, "enough")
    assert.is_false(is_alive(pid))
  end)

  it("gives it no other descriptors and no terminal", function()
    local listing = command.run({ "ls", "/proc/self/fd" }).output
    assert.equal("0\n1\n2\n3\n", listing) -- the last is of ls itself
    assert.is_not.equal(0, sh("exec 2>/dev/null; : < /dev/tty").code)
  end)

  it("sees the end of one that has closed its output", function()
    assert.equal(7, sh("exec >&- 2>&-; sleep 0.1; exit 7").code)
  end)
end)

describe("a command in a flow", function()
  local completion = require "lambdapool.completion"
  local flow = require "lambdapool.flow"

  local function wait(seconds)
    completion.await({}, seconds)
  end

  it("lets others go on", function()
    local codes, base = {}, os.tmpname()
    finally(function() os.execute("rm " .. base .. "*") end)
    for i = 1, 3 do
      flow.start(function()
        -- Each waits for the file that the next one makes.
        local result = command.run({ "sh", "-c", [[
          test $0 = 3 || while [ ! -e $1$(($0 + 1)) ]; do sleep 0.01; done; : > $1$0
        ]], tostring(i), base }, { wait = wait })
        codes[i] = result.code
      end, function(ok, problem) assert(ok, problem) end)
    end
    flow.drain()
    assert.same({ 0, 0, 0 }, codes)
  end)

  it("ends with the flow", function()
    local pid
    local running = flow.start(function()
      sh("echo $$; exec sleep 1000", { wait = wait, output = function(line)
        pid = tonumber(line)
      end })
    end, function() end)
    require("lambdapool.loop").wait(function() return pid end)
    assert.is_true(flow.cancel(running))
    assert.is_false(is_alive(pid))
  end)
end)

describe("Ctrl-C", function()
  it("ends a command and what it started", function()
    local script = os.tmpname()
    finally(function() os.remove(script) end)
    do
      local file <close> = assert(io.open(script, "w"))
      file:write [[
        local command = require "lambdapool.command"
        command.run({ "sh", "-c", "sleep 1000 & echo $!; echo $$; wait" },
          { output = function(line) io.stdout:write(line, "\n"):flush() end })
      ]]
    end
    local host = assert(system.executable())
    local pids = {}
    -- The shell that pipes into `while` tells which process is ours.
    local result = command.run({ "sh", "-c", [[
        { "$0" run "$1" & echo pid $!; wait $!; echo code $?; } | while read -r a b; do
          echo "$a $b"
          case $a in pid) host=$b ;; [0-9]*) n=$((n + 1)); [ $n = 2 ] && kill -INT $host ;; esac
        done
      ]], host, script }, { seconds = 100 })
    for pid in result.output:gmatch "(%d+) \n" do
      pids[#pids + 1] = tonumber(pid)
    end
    assert.equal(2, #pids)
    assert.matches("code 130\n$", result.output)
    assert.is_true(wait_for(function() return not is_alive(pids[1]) and not is_alive(pids[2]) end))
    assert.is_false(interrupt.came())
  end)
end)
