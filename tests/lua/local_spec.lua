--- The local backend against the fake agent of tests/host/fake_agent.c, which does what a request
--- tells it to.

local local_backend = require "lambdapool.backend.local"
local loop = require "lambdapool.loop"
local progress = require "lambdapool.progress"

local fake_agent = os.getenv "LAMBDAPOOL_BUILD" .. "/tests/fake_agent"

describe("the local backend", function()
  local backend, printed, real_write

  local function open(options)
    if backend then
      backend:close()
    end
    backend = local_backend.new(options)
    backend.agent = fake_agent
  end

  before_each(function()
    real_write, printed = progress.world.write, {}
    progress.world.write = function(text) table.insert(printed, text) end
    open { workers = 2, memory = 128, prefix = false }
  end)

  after_each(function()
    progress.world.write = real_write
    backend:close()
    backend = nil
  end)

  -- Begins a request; its outcome is put into the table that is returned with the ticket.
  local function begin(request, timeout_ms)
    local outcome = {}
    local ticket = assert(backend:invoke(request, { timeout_ms = timeout_ms or 60000 },
      function(fields)
        for name, value in pairs(fields) do
          outcome[name] = value
        end
        outcome.is_there = true
      end))
    return outcome, ticket
  end

  local function await(outcome)
    while not outcome.is_there do
      assert(loop.take_event())
    end
    return outcome
  end

  -- Runs requests at the same time; returns their outcomes in the order of the requests.
  local function invoke(...)
    local outcomes = {}
    for i, request in ipairs { ... } do
      outcomes[i] = begin(request)
    end
    for _, outcome in ipairs(outcomes) do
      await(outcome)
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
    assert.same({ 2, 2 }, { backend:started(), backend:alive() })
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
    while backend:alive() > 0 do
      assert(loop.take_event())
    end
    assert.equal("next", invoke "echo next".bytes)
    assert.same({ 2, 1 }, { backend:started(), backend:alive() })
  end)

  it("tells how far an invocation is, while it is", function()
    local outcome, ticket = begin "page 3 2 0 0 0 hang"
    repeat
      loop.take_event(0.001)
      local begun, finished = backend:progress(ticket)
    until begun == 3 and finished == 2
    assert.equal(3, backend:cut(ticket, 1))
    backend:cancel(ticket)
    await(outcome)
    assert.is_nil(backend:progress(ticket))
    assert.is_nil(backend:cut(ticket, 1))
    assert.same({ 3, 2 }, { outcome.progress.begun, outcome.progress.finished })
  end)

  it("cancels what runs, and nothing else", function()
    local outcome, ticket = begin "hang"
    local other, done = begin "echo other"
    await(other)
    backend:cancel(done)
    backend:cancel(ticket)
    await(outcome)
    assert.same({ "cancelled", "the task was cancelled" }, { outcome.kind, outcome.message })
    backend:cancel(ticket)
    assert.equal("next", invoke "echo next".bytes)
    assert.equal(1, backend:alive())
  end)

  it("kills as if by itself", function()
    local outcome, ticket = begin "hang"
    backend:kill(ticket)
    await(outcome)
    assert.same({ "crashed", "the worker was killed by signal 9 (SIGKILL)" },
      { outcome.kind, outcome.message })
  end)

  it("kills what does not end in its time", function()
    local outcome = await(begin("hang", 1))
    assert.equal("timeout", outcome.kind)
    assert.matches("the task did not end within 0.001 s, and its worker was killed",
      outcome.message)
  end)

  it("blames memory that a library did not get", function()
    local outcome = invoke "page 1 0 0 0 4096 crash"
    assert.equal("out_of_memory", outcome.kind)
    assert.equal("a library could not allocate 4096 bytes; " ..
      "the worker was killed by signal 11 (SIGSEGV)", outcome.message)
  end)

  it("says when there is no such agent", function()
    backend.agent = "/no/such/agent"
    local outcome = invoke "echo"
    assert.equal("lost", outcome.kind)
    assert.is_true(outcome.unsent)
    assert.equal("cannot start the agent /no/such/agent: No such file or directory",
      outcome.message)
    assert.same({ 0, 0 }, { backend:alive(), backend:started() })
  end)

  it("starts one worker at a time once one could not start, until one can", function()
    local function refused()
      local ticket, message = backend:invoke("echo", { timeout_ms = 60000 }, error)
      assert.is_nil(ticket)
      assert.matches("^cannot start the agent /no/such/agent: ", message)
    end
    backend.agent = "/no/such/agent"
    local first, second = begin "echo", begin "echo"
    await(first)
    refused()
    await(second)
    local third = begin "echo"
    refused()
    backend.agent = fake_agent
    await(third)
    local fourth = begin "echo x"
    assert.equal("x", await(fourth).bytes)
    local others = { begin "echo y", begin "echo z" }
    assert.equal("y", await(others[1]).bytes)
    assert.equal("z", await(others[2]).bytes)
  end)

  it("cancels what has not started", function()
    local outcome, ticket = begin "hang"
    assert.is_true(backend:cancel(ticket))
    assert.equal("cancelled", await(outcome).kind)
    backend.agent = "/no/such/agent"
    outcome, ticket = begin "hang"
    assert.is_true(backend:cancel(ticket))
    assert.equal("cancelled", await(outcome).kind)
    assert.equal(0, backend:alive())
  end)

  it("has workers that are nice", function()
    open { workers = 1, memory = 128, prefix = false, nice = 19 }
    assert.matches("^19 ", invoke "nice".bytes)
  end)

  it("leaves nothing when it closes, whatever was running", function()
    begin "hang"
    begin "fork"
    backend:close()
    assert.equal(0, backend:alive())
  end)

  it("leaves nothing when it is abandoned", function()
    local outcome = begin "hang"
    backend:abandon()
    while backend:alive() > 0 do
      assert(loop.take_event())
    end
    assert.is_nil(outcome.is_there)
  end)
end)
