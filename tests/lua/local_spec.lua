--- The local backend against the fake agent of tests/host/fake_agent.c, which does what a request
--- tells it to.

local local_backend = require "lambdapool.backend.local"

local fake_agent = os.getenv "LAMBDAPOOL_BUILD" .. "/tests/fake_agent"

describe("the local backend", function()
  local backend, printed, real_stderr

  local function open(options)
    backend = local_backend.new(options)
    backend.agent = fake_agent
  end

  before_each(function()
    real_stderr, printed = io.stderr, {}
    io.stderr = { write = function(_, text) table.insert(printed, text) end } -- luacheck: ignore
    open { workers = 2, memory = 128, prefix = false }
  end)

  after_each(function()
    io.stderr = real_stderr -- luacheck: ignore
    backend:close()
  end)

  -- Runs requests at the same time; returns their outcomes in the order of the requests.
  local function invoke(...)
    local requests, outcomes, left = { ... }, {}, select("#", ...)
    for i, request in ipairs(requests) do
      assert(backend:invoke(request, { timeout_ms = 60000 }, function(outcome)
        outcomes[i], left = outcome, left - 1
      end))
    end
    while left > 0 do
      assert(backend:poll())
    end
    return table.unpack(outcomes)
  end

  it("gives the answer, the worker and the request id", function()
    local outcome = invoke "echo hello"
    assert.equal("hello", outcome.bytes)
    assert.equal(1, outcome.worker)
    assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", outcome.request_id)
    assert.equal(36, #outcome.request_id)
    assert.not_equal(outcome.request_id, invoke "echo again".request_id)
  end)

  it("uses a warm worker before it starts another", function()
    assert.equal(1, invoke "echo a".worker)
    assert.equal(1, invoke "echo b".worker)
    local one, two = invoke("echo a", "echo b")
    assert.same({ 1, 2 }, { one.worker, two.worker })
    assert.equal(2, backend.started)
  end)

  it("passes lines on before the answer", function()
    open { workers = 1, memory = 128, prefix = true }
    invoke "print 2"
    assert.equal(2, #printed)
    assert.matches("^%[worker 1%] [^\n]*\n$", printed[1])
  end)

  it("tells how a worker ended", function()
    local crash, exit = invoke("crash", "exit 3")
    assert.equal("crashed", crash.kind)
    assert.equal("the worker was killed by signal 11 (SIGSEGV)", crash.message)
    assert.equal("crashed", exit.kind)
    assert.equal("the worker exited with code 3", exit.message)
    assert.equal("on", invoke "echo on".bytes)
  end)

  it("keeps the last lines of a worker that died", function()
    invoke "print 50"
    local outcome = invoke "exit 3"
    local _, breaks = outcome.log:gsub("\n", "")
    assert.equal(19, breaks)
    assert.equal(table.concat(printed, "", 32), outcome.log .. "\n")
  end)

  it("sorts the errors that an agent posts", function()
    assert.equal("timeout", invoke "error Function.Timeout".kind)
    assert.equal("out_of_memory", invoke "error Function.OutOfMemory".kind)
    assert.equal("error", invoke "error Runtime.InvalidCall".kind)
    assert.is_string(invoke "error Runtime.InvalidCall".message)
  end)

  it("passes over idle workers that are gone", function()
    invoke "last words"
    repeat
      local again = backend:poll()
    until not again or not next(backend.alive)
    assert.equal("next", invoke "echo next".bytes)
    assert.equal(1, #backend.idle)
  end)

  it("says when there is no such agent", function()
    backend.agent = "/no/such/agent"
    local ok, message = backend:invoke("echo", { timeout_ms = 1 }, error)
    assert.is_nil(ok)
    assert.matches("^cannot start the agent /no/such/agent: ", message)
  end)

  it("leaves nothing when it closes, whatever was running", function()
    assert(backend:invoke("hang", { timeout_ms = 60000 }, error))
    assert(backend:invoke("fork", { timeout_ms = 60000 }, error))
    backend:close()
    assert.is_nil(next(backend.alive))
  end)
end)
