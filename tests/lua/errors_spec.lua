local errors = require "lambdapool.errors"

local traceback = table.concat({
  "stack traceback:",
  "\t[C]: in function 'error'",
  "\tcrawl.lua:9: in function 'parse'",
  "\tcrawl.lua:21: in upvalue 'fetch'",
  "\t[C]: in ?",
}, "\n")

describe("errors", function()
  it("have a class that tells who failed", function()
    assert.equal("LambdaPoolError", getmetatable(errors.new("error", { message = "m" })).__name)
    for _, kind in ipairs { "timeout", "out_of_memory", "crashed", "throttled", "lost",
      "too_large", "cancelled" } do
      local e = errors.new(kind, { message = "m" })
      assert.equal("LambdaFunctionError", getmetatable(e).__name)
      assert.equal(kind, e.kind)
      assert.equal(1, e.attempts)
    end
  end)

  it("show the user's own frames", function()
    local e = errors.new("error", {
      message = "crawl.lua:9: attempt to index a nil value (field 'body')",
      traceback = traceback,
      index = 17,
      count = 200,
      worker = 2,
      milliseconds = 311.2,
    })
    assert.equal(table.concat({
      "task 17 of 200 raised on worker 2 (attempt 1 of 1, 311 ms)",
      "  crawl.lua:9: attempt to index a nil value (field 'body')",
      "    crawl.lua:9   in function 'parse'  <remote>",
      "    crawl.lua:21  in upvalue 'fetch'   <remote>",
    }, "\n"), tostring(e))
  end)

  it("show frames of any length, and C functions", function()
    local long = ("x"):rep(200) .. ".lua:1"
    local e = errors.new("error", { message = "m", traceback = "stack traceback:\n"
      .. "\t[C]: in function 'string.rep'\n\t" .. long .. ": in main chunk\n\t(...tail calls...)" })
    local lines = {}
    for line in tostring(e):gmatch "[^\n]+" do
      lines[#lines + 1] = line:gsub(" +", " ")
    end
    assert.same({ "task raised", " m", " [C] in function 'string.rep' <remote>",
      " " .. long .. " in main chunk <remote>", " (...tail calls...) <remote>" }, lines)
    assert.equal("task raised\n  m", tostring(errors.new("error", { message = "m",
      traceback = "stack traceback:\n\t[C]: in ?" })))
  end)

  it("say what is known and no more", function()
    assert.equal("task was cancelled\n  the pool was terminated",
      tostring(errors.new("cancelled", { message = "the pool was terminated", index = 1,
        count = 1 })))
    assert.equal("task 3 timed out\n  m", tostring(errors.new("timeout", { message = "m",
      index = 3 })))
  end)

  it("show the last lines of a worker that died", function()
    assert.equal("task crashed on worker 1\n  exit 3\n  the last lines it wrote:\n    a\n    b",
      tostring(errors.new("crashed", { message = "exit 3", log = "a\nb", worker = 1 })))
  end)

  it("tell a caller who stopped waiting from a task that timed out", function()
    local e = errors.waited(0.25)
    assert.equal("LambdaTimeoutError", getmetatable(e).__name)
    assert.equal("timeout", e.kind)
    assert.equal("no result within 0.25 s, and the task goes on", tostring(e))
  end)

  it("tell how often the task was started", function()
    assert.equal("task 2 of 9 was lost on worker 1 (attempt 3 of 4)\n  m",
      tostring(errors.new("lost", { message = "m", index = 2, count = 9, worker = 1, attempts = 3,
        tries = 4 })))
    assert.equal("task crashed (attempt 2 of 2)\n  m",
      tostring(errors.new("crashed", { message = "m", attempts = 2 })))
    assert.equal("task was cancelled\n  m",
      tostring(errors.new("cancelled", { message = "m", attempts = 0, tries = 3 })))
  end)

  it("tell how many futures are unfinished", function()
    local e = errors.unfinished(2, 5)
    assert.equal("LambdaTimeoutError", getmetatable(e).__name)
    assert.equal("timeout", e.kind)
    assert.equal("2 of 5 futures are unfinished", tostring(e))
  end)

  it("make tracebacks without the library's own frames", function()
    local own = load("local f = ...; local r = f() return r", "@lambdapool/pool.lua")
    local text = own(function()
      local result = errors.traceback("message", 1, "in function 'xpcall'")
      return result
    end)
    assert.matches("^message\nstack traceback:\n", text)
    assert.matches("errors_spec.lua:%d+: in ", text)
    assert.not_matches("lambdapool/pool.lua", text)
    assert.not_matches("busted", text)
    assert.matches("%[C%]: in %?$", text)
  end)
end)
