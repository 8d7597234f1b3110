--- lambdapool.workers: what Lua sees of local workers. The many ways in which a worker can end are
--- tested in tests/host/worker_test.c; here it is about arguments, values and lifetimes.
local workers = require "lambdapool.workers"

local BUILD = os.getenv "LAMBDAPOOL_BUILD" or "build"
local FAKE = BUILD .. "/tests/fake_agent"

local function start(loop, how)
  return assert(loop:start { agent = FAKE, env = { FAKE_START = how } })
end

-- What became of an invocation of which no task began.
local NOTHING = { begun = 0, finished = 0, kept_tasks = 0, kept = "" }

--- The message that the call raises.
local function raised(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("lambdapool.workers", function()
  local loop

  before_each(function()
    loop = workers.open()
  end)

  after_each(function()
    loop:close()
  end)

  it("hands a request over and gives the response", function()
    local id = start(loop)
    assert.is_true(loop:invoke(id, "echo hello", {
      deadline_ms = 1, kill_ms = 60000, request_id = "8a-1",
    }))
    assert.same({ "response", id, "hello" }, { loop:poll() })
    assert.is_true(loop:invoke(id, "echo again"))
    assert.same({ "response", id, "again" }, { loop:poll(60) })
  end)

  it("carries any bytes", function()
    local id = start(loop)
    assert(loop:invoke(id, "echo a\200b\1c"))
    assert.same({ "response", id, "a\200b\1c" }, { loop:poll() })
    assert(loop:invoke(id, "size 0"))
    assert.same({ "response", id, "" }, { loop:poll() })
  end)

  it("keeps a request alive until it is sent", function()
    local id = start(loop)
    assert(loop:invoke(id, "echo " .. ("x"):rep(3000000)))
    collectgarbage()
    collectgarbage()
    local _, _, bytes = loop:poll()
    assert.equal(3000000, #bytes)
  end)

  it("reports errors with their type", function()
    local id = start(loop)
    assert(loop:invoke(id, "error Runtime.Oh"))
    assert.same({ "error", id, '{"errorMessage":"oh"}', "Runtime.Oh" }, { loop:poll() })
  end)

  it("reports a failed start", function()
    local id = start(loop, "init")
    assert.same({ "output", id, "starting" }, { loop:poll() })
    assert.same({ "init_error", id, '{"errorMessage":"no"}', "Runtime.InitError" },
      { loop:poll() })
    assert.same({ "exit", id, 3 }, { loop:poll() })
  end)

  it("gives output before the response", function()
    local id = start(loop)
    assert(loop:invoke(id, "print 2"))
    assert.same({ "output", id, "line 1" }, { loop:poll() })
    assert.same({ "output", id, "line 2" }, { loop:poll() })
    assert.same({ "response", id, "printed" }, { loop:poll() })
  end)

  it("reports exit codes and signals", function()
    local first = start(loop, "exit")
    assert.same({ "exit", first, 7 }, { loop:poll() })
    local second = start(loop)
    assert(loop:invoke(second, "crash"))
    assert.same({ "exit", second, nil, 11, nil, NOTHING }, { loop:poll() })
  end)

  it("kills what takes too long", function()
    local id = start(loop)
    assert(loop:invoke(id, "hang", { kill_ms = 20 }))
    assert.same({ "timeout", id }, { loop:poll() })
    assert.same({ "exit", id, nil, 9, "it took too long", NOTHING }, { loop:poll() })
  end)

  it("kills what takes too long without beginning another task", function()
    local id = start(loop)
    assert(loop:invoke(id, "tasks 6 200", { kill_ms = 1000 }))
    assert.same({ "response", id, "6" }, { loop:poll() })
  end)

  it("tells what became of the tasks of a worker that died", function()
    local id = start(loop)
    assert(loop:invoke(id, "page 3 2 2 5 4096 crash"))
    assert.same({ "exit", id, nil, 11, nil, {
      begun = 3, finished = 2, kept_tasks = 2, kept = "kkkkk", no_memory = 4096,
    } }, { loop:poll() })
    assert.is_nil(loop:progress(id))
    assert.is_nil(loop:cut(id, 1))
  end)

  it("makes the page of a worker consistent", function()
    local id = start(loop)
    assert(loop:invoke(id, "page 4294967295 4294967295 4294967295 4294967295 18446744073709551615 "
      .. "crash"))
    local progress = select(6, loop:poll())
    assert.equal(640 * 1024, #progress.kept)
    progress.kept = nil
    assert.same({
      begun = 0xffffffff, finished = 0xffffffff, kept_tasks = 640 * 1024,
      no_memory = math.maxinteger,
    }, progress)
  end)

  it("tells how far a worker is, and takes tasks back", function()
    local id = start(loop)
    assert.same({ 0, 0 }, { loop:progress(id) })
    assert.is_nil(loop:cut(id, 1))
    assert(loop:invoke(id, "tasks 100 50"))
    local begun, finished
    repeat
      assert.is_nil(loop:poll(0.001))
      begun, finished = loop:progress(id)
    until begun > 0
    assert.is_true(finished <= begun)
    assert.is_true(loop:cut(id, 3) <= 3)
    assert.is_true(loop:cut(id, 50) <= 3)
    assert.same({ "response", id, "3" }, { loop:poll() })
    assert.same({ 3, 3 }, { loop:progress(id) })
    assert.is_nil(loop:cut(id, 1))
    assert(loop:invoke(id, "tasks 4 0"))
    assert.same({ "response", id, "4" }, { loop:poll() })
  end)

  it("counts the call of a worker without a page as begun", function()
    local id = start(loop, "no page")
    assert(loop:invoke(id, "crash"))
    assert.same({ begun = 1, finished = 0, kept_tasks = 0, kept = "" },
      select(6, loop:poll()))
    assert.is_nil(loop:cut(id, 1))
  end)

  it("kills on request", function()
    local id = start(loop)
    assert.is_true(loop:kill(id))
    assert.same({ "exit", id, nil, 9, "it was killed by the host" }, { loop:poll() })
    assert.is_false(loop:kill(id))
    assert.same({ nil, "there is no such worker any more" }, { loop:invoke(id, "echo x") })
  end)

  it("takes one invocation at a time", function()
    local id = start(loop)
    assert(loop:invoke(id, "echo 1"))
    local ok, message = loop:invoke(id, "echo 2")
    assert.is_nil(ok)
    assert.equal("string", type(message))
    assert.same({ "response", id, "1" }, { loop:poll() })
  end)

  it("does not wait when told so, or when nothing is alive", function()
    assert.is_nil(loop:poll())
    local id = start(loop)
    assert(loop:invoke(id, "hang"))
    for _ = 1, 100 do
      assert.is_nil(loop:poll(0))
    end
    assert.is_nil(loop:poll(0.01))
    assert.equal("integer", math.type(loop:fd()))
  end)

  it("says why an agent cannot start", function()
    local id, message = loop:start { agent = "/missing/agent" }
    assert.is_nil(id)
    assert.equal("cannot start the agent /missing/agent: No such file or directory", message)
  end)

  it("checks its options", function()
    assert.matches("option 'agent' is missing", raised(loop.start, loop, {}))
    assert.matches("option 'agent' must be a string", raised(loop.start, loop, { agent = 1 }))
    assert.matches("option 'memmory' is not known",
      raised(loop.start, loop, { agent = FAKE, memmory = 1 }))
    assert.matches("option 'memory' must be an integer",
      raised(loop.start, loop, { agent = FAKE, memory = "x" }))
    assert.matches("option 'memory' is out of range",
      raised(loop.start, loop, { agent = FAKE, memory = 0 }))
    for _, env in ipairs { { AWS_LAMBDA_RUNTIME_API = "x" }, { ["A=B"] = "x" }, { [""] = "x" },
      { ["1"] = "x" }, { ["A\0"] = "x" } } do
      assert.matches("option 'env' has a name that cannot be set",
        raised(loop.start, loop, { agent = FAKE, env = env }))
    end
    assert.matches("option 'env' must map names to strings",
      raised(loop.start, loop, { agent = FAKE, env = { "x" } }))
    assert.matches("option 'env' must not contain a zero byte",
      raised(loop.start, loop, { agent = FAKE, env = { A = "\0" } }))
    assert.matches("table expected", raised(loop.start, loop))
    local id = start(loop)
    assert.matches("option 'request_id'",
      raised(loop.invoke, loop, id, "x", { request_id = "a b" }))
    assert.matches("option 'kill_ms' is out of range",
      raised(loop.invoke, loop, id, "x", { kill_ms = 0 }))
    assert.matches("option 'later' is not known", raised(loop.invoke, loop, id, "x", { later = 1 }))
    assert.matches("must not be negative", raised(loop.poll, loop, -1))
    assert.matches("out of range", raised(loop.cut, loop, id, -1))
    assert.matches("out of range", raised(loop.cut, loop, id, 1 << 32))
    assert.matches("has a name that cannot be set",
      raised(loop.start, loop, { agent = FAKE, env = { LAMBDAPOOL_PROGRESS = "4" } }))
  end)

  it("passes the environment and the memory on", function()
    local id = assert(loop:start {
      agent = FAKE, memory = 300, handler = "mod.f", env = { EXTRA = "1", TZ = "Mars" },
    })
    assert(loop:invoke(id, "env"))
    local _, _, text = loop:poll()
    assert.matches("\nEXTRA=1\n", text)
    assert.matches("\nTZ=Mars\n", text)
    assert.matches("\n_HANDLER=mod%.f\n", text)
    assert.matches("\nAWS_LAMBDA_FUNCTION_MEMORY_SIZE=300\n", text)
    assert.is_nil(text:find("HOME=", 1, true))
  end)

  it("ends everything when it is closed, left or collected", function()
    do
      local inner <close> = workers.open()
      assert(inner:invoke(start(inner), "hang"))
    end
    local forgotten = workers.open()
    start(forgotten, "never")
    forgotten = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    start(loop)
    loop:close()
    loop:close()
    assert.is_nil(loop:poll())
    assert.matches("the loop is closed", raised(loop.start, loop, { agent = FAKE }))
    assert.matches("the loop is closed", raised(loop.fd, loop))
  end)
end)
