--- The progress line of `lambdapool run`, on a terminal of its own and on a pipe.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
local folder

-- A pool and, in `list`, 20 times `seconds`, for which `sleep` sleeps.
local prelude = [[
  local pool <close> = require "lambdapool".pool { workers = 2 }
  local function sleep(s) os.execute("sleep " .. s) return s end
  local function list(seconds) local l = {} for i = 1, 20 do l[i] = seconds end return l end
]]

local function run(script, how)
  local file <close> = assert(io.open(folder .. "/script.lua", "w"))
  file:write((prelude:gsub("\n", " ")), script)
  file:close()
  local ok, _, code = os.execute(("cd %s && (%s) >out 2>&1"):format(folder, how:format(program)))
  assert.is_true(ok, code)
  local out <close> = assert(io.open(folder .. "/out", "rb"))
  return out:read "a"
end

local function on_terminal(script, environment)
  return run(script, "TERM=xterm LC_ALL=C " .. (environment or "")
    .. " script -qec 'stty cols 60 2>/dev/null; %s run script.lua' /dev/null")
end

local function on_pipe(script)
  return run(script, "%s run script.lua | cat")
end

-- Whether the terminal has `text` as a line of its own: where a line begins or was cleared.
local function has_line(out, text)
  out = "\n" .. out
  return out:find("\n" .. text .. "\r\n", 1, true) ~= nil
    or out:find("\r\27[K" .. text .. "\r\n", 1, true) ~= nil
end

describe("progress", function()
  setup(function()
    folder = os.tmpname()
    os.execute(("rm %s && mkdir %s"):format(folder, folder))
  end)

  teardown(function()
    os.execute("rm -rf " .. folder)
  end)

  local slow = "print(#pool:map(sleep, list(0.12), { chunksize = 1%s }))"

  it("shows on a terminal by itself, and goes", function()
    local out = on_terminal(slow:format "")
    assert.matches("\r +%d+%%  [^\r\n]*%d+/20  [%d.]+/s  %d running  eta %d:%d%d\27%[K", out)
    assert.matches("\r\27%[K20\r\n$", out)
    for line in out:gmatch "[^\r\n]+" do
      assert.is_true(#line:gsub("\27%[%d*%a", "") < 60, line)
    end
  end)

  it("is silent for short calls, when told so, and on a pipe", function()
    assert.equal("20\r\n", on_terminal "print(#pool:map(sleep, list(0)))")
    assert.equal("20\r\n", on_terminal(slow:format ", progress = false"))
    assert.equal("20\n", on_pipe(slow:format ""))
  end)

  it("is plain lines on a pipe when asked for", function()
    local out = on_pipe "print(#pool:map(sleep, list(0.01), { progress = true, chunksize = 1 }))"
    assert.matches("^ +%d+%%  %d+/20  ", out)
    assert.matches("\n 100%%  20/20  [%d.]+/s\n20\n$", out)
    assert.is_nil(out:find "[\r\27]")
  end)

  it("is plain lines on a dumb terminal", function()
    local out = on_terminal(slow:format ", progress = true", "TERM=dumb")
    assert.matches("^ +%d+%%  %d+/20[^\n]*\r\n", out)
    assert.is_nil(out:find "\27")
  end)

  it("stays below what tasks print", function()
    local out = on_terminal [[
      local numbers = {}
      for i = 1, 20 do numbers[i] = i end
      pool:map(function(i) print("task " .. i) sleep(0.05) end, numbers,
        { chunksize = 1, progress = true })]]
    for i = 1, 20 do
      assert.is_true(has_line(out, "task " .. i), out)
    end
  end)

  it("leaves what the script prints alone", function()
    local out = on_terminal [[
      for i in pool:imap(sleep, list(0.1), { chunksize = 1, progress = true }) do
        print("item " .. i)
      end]]
    for i = 1, 20 do
      assert.is_true(has_line(out, "item " .. i), out)
    end
  end)

  it("tells what failed", function()
    local out = on_pipe [[
      pcall(pool.map, pool, error, { 1, 2, 3 }, { progress = true, chunksize = 1 })]]
    assert.matches("%d failed\n$", out)
  end)
end)
