--- Environments of functions through all that can happen to them, with processes that do what the
--- test says and a clock that moves when somebody waits.

local serve_world = require "tests.lua.serve_world"

describe("environments", function()
  local world

  serve_world.with_folder(setup, teardown)

  before_each(function()
    world = serve_world.new().open()
    world.define "f"
  end)

  -- A runtime that starts and answers when the test says so.
  local function silent(process, what)
    if what == "start" then
      process:emit_after(0.01, "ready")
    end
  end

  local function error_text(kind, request, text)
    return ('{"errorType":"%s","errorMessage":"RequestId: %s Error: %s"}'):format(kind,
      request.context.request_id, text)
  end

  local function assert_failed(request, kind, text)
    assert.equal(200, request.status)
    assert.equal("Unhandled", request.answered["x-amz-function-error"])
    assert.equal(error_text(kind, request, text), request.answer)
  end

  it("start with the first invocation and are used again", function()
    local first = world.call("f", '{"a":1}')
    world.run(1)
    local second = world.call("f", '{"a":2}')
    world.run(1)
    assert.equal('{"a":1}', first.answer)
    assert.equal('{"a":2}', second.answer)
    assert.equal(1, #world.processes)
    local spec = world.processes[1].spec
    assert.equal("/var/task/bootstrap", spec.agent)
    assert.same({ task = serve_world.task, tmp_mb = 512, isolated = true }, spec.lambda)
    local handed = world.processes[1].invocations[2]
    assert.equal(second.context.request_id, handed.request_id)
    assert.equal(3000, handed.kill_ms)
    assert.equal(world.functions.f.arn, handed.arn)
  end)

  it("are as many as invocations that run at the same time", function()
    world.behaviour = silent
    local requests = {}
    for i = 1, 5 do
      requests[i] = world.call("f", tostring(i))
    end
    world.run(1)
    assert.equal(5, #world.processes)
    for _, process in ipairs(world.processes) do
      process:emit("response", process.invocation.event, true)
    end
    world.run(1)
    for i = 1, 5 do
      assert.equal(tostring(i), requests[i].answer)
    end
    assert.equal(5, world.service.environments:alive())
  end)

  it("get the variables that Lambda sets", function()
    world.define("v", { environment = { MINE = "1", LANG = "C" }, version = "7" })
    world.call("v")
    world.run(1)
    local env = world.processes[1].spec.env
    assert.equal("1", env.MINE)
    assert.equal("C", env.LANG)
    assert.equal("7", env.AWS_LAMBDA_FUNCTION_VERSION)
    assert.equal("128", env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE)
    assert.equal("ASIArole", env.AWS_ACCESS_KEY_ID)
    assert.equal("/var/task", env.LAMBDA_TASK_ROOT)
    assert.equal("handler", env._HANDLER)
    assert.is_nil(env.HOME)
    assert.is_nil(env.AWS_LAMBDA_FUNCTION_TIMEOUT)
    assert.truthy(env.AWS_LAMBDA_LOG_STREAM_NAME:find "^%d+/%d%d/%d%d/%[7%]%x+$")
    assert.equal(world.logs[1].stream, env.AWS_LAMBDA_LOG_STREAM_NAME)
  end)

  it("are told where their folders are when they have none of their own", function()
    world.folders["a+b"] = "/a%1b"
    world.service.environments.isolated = false
    world.define("v", { layer_hashes = { "a", "b" } })
    world.call("v")
    world.run(1)
    local spec = world.processes[1].spec
    assert.equal(serve_world.task .. "/bootstrap", spec.agent)
    assert.same({ task = serve_world.task, layers = "/a%1b", tmp_mb = 512, isolated = false },
      spec.lambda)
    assert.equal(serve_world.task, spec.env.LAMBDA_TASK_ROOT)
    assert.equal("/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/a%1b/bin", spec.env.PATH)
    assert.truthy(spec.env.LD_LIBRARY_PATH:find(serve_world.task .. "/lib", 1, true))
  end)

  it("end after a while without work", function()
    world.call "f"
    world.run(200)
    world.call "f"
    world.run(299)
    assert.equal(1, world.alive)
    world.run(2)
    assert.equal(0, world.alive)
    assert.equal(0, world.service.environments:alive())
    assert.same({}, world.service.environments.pools)
    assert.same({}, world.service.environments.functions)
  end)

  it("make room for those of other functions", function()
    world.service.environments.limits.concurrency = 2
    for _, name in ipairs { "f", "g", "h" } do
      world.define(name)
      world.call(name)
      world.run(1)
    end
    assert.equal(2, world.alive)
    assert.is_false(world.processes[1].alive)
  end)

  describe("when something goes wrong", function()
    it("are killed at the timeout of the function", function()
      world.behaviour = silent
      local request = world.call("f")
      world.run(10)
      assert_failed(request, "Sandbox.Timedout", "Task timed out after 3.00 seconds")
      assert.equal(0, world.service.environments:alive())
      local lines = world.lines()
      assert.equal(4, #lines)
      assert.equal(request.context.request_id .. " Task timed out after 3.00 seconds\n", lines[2])
      assert.truthy(lines[4]:find "\tDuration: 3000.00 ms\tBilled Duration: 3010 ms\t")
      assert.truthy(lines[4]:find "\tInit Duration: 10.00 ms\tStatus: timeout\n$")
    end)

    local ends = {
      { 3, nil, "Runtime exited with error: exit status 3" },
      { 0, nil, "Runtime exited without providing a reason" },
      { nil, 9, "Runtime exited with error: signal: killed" },
      { nil, 11, "Runtime exited with error: signal: segmentation fault" },
    }
    for _, case in ipairs(ends) do
      it("report that the runtime ended: " .. case[3], function()
        world.behaviour = function(process, what)
          silent(process, what)
          if what ~= "start" then
            process:exit(case[1], case[2])
          end
        end
        local request = world.call "f"
        world.run(1)
        assert_failed(request, "Runtime.ExitError", case[3])
        world.behaviour = nil
        assert.equal(0, world.alive)
      end)
    end

    it("start anew after a crash", function()
      world.behaviour = silent
      local first = world.call "f"
      world.run(1)
      world.processes[1]:exit(1)
      local second = world.call "f"
      world.run(1)
      world.processes[2]:emit("response", "2", true)
      world.run(1)
      assert_failed(first, "Runtime.ExitError", "Runtime exited with error: exit status 1")
      assert.equal("2", second.answer)
    end)

    it("keep the response of a runtime that ends after it", function()
      world.behaviour = silent
      local request = world.call "f"
      world.run(1)
      world.processes[1]:emit("response", "1", false)
      world.processes[1]:exit(1)
      world.run(1)
      assert.equal("1", request.answer)
      assert.is_nil(request.answered["x-amz-function-error"])
      assert.equal(0, world.service.environments:alive())
    end)

    it("go to somebody else when a free one has just ended", function()
      world.call "f"
      world.run(1)
      world.processes[1]:exit(1)
      local request = world.call("f", "7")
      world.run(1)
      assert.equal("7", request.answer)
      assert.equal(1, world.service.environments:alive())
    end)

    it("give the error of an initialisation that failed", function()
      world.behaviour = function(process)
        process:emit("init_error", '{"errorMessage":"no"}', "Runtime.NoModule")
        process:exit(1)
      end
      local request = world.call "f"
      world.run(1)
      assert.equal('{"errorMessage":"no"}', request.answer)
      assert.equal("Unhandled", request.answered["x-amz-function-error"])
      assert.truthy(world.lines()[1]:find("^INIT_REPORT Init Duration: .*\tPhase: init\t" ..
        "Status: error\tError Type: Runtime.NoModule\n$"))
    end)

    it("initialise a second time at the expense of the invocation", function()
      local starts = 0
      world.define("slow", { timeout = 20 })
      world.behaviour = function(process, what)
        if what == "start" then
          starts = starts + 1
          process:emit_after(12, "ready")
        else
          process:emit("response", "1", true)
        end
      end
      local request = world.call "slow"
      world.run(30)
      assert.equal(2, starts)
      assert.equal("1", request.answer)
      assert.equal(8000, world.processes[2].invocations[1].kill_ms)
      local lines = world.lines()
      assert.equal("INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n",
        lines[1])
      assert.truthy(lines[4]:find "\tDuration: 12000.00 ms\t")
      assert.falsy(lines[4]:find "Init Duration")
    end)

    it("time out in the second initialisation", function()
      world.behaviour = function() end
      local request = world.call "f"
      world.run(20)
      assert_failed(request, "Sandbox.Timedout", "Task timed out after 3.00 seconds")
      assert.equal(2, #world.processes)
    end)

    it("say why a program cannot be executed", function()
      world.start_problem, world.start_code = "cannot start", "ENOEXEC"
      local request = world.call "f"
      world.run(1)
      assert_failed(request, "Runtime.InvalidEntrypoint",
        "fork/exec /var/task/bootstrap: exec format error")
      assert.equal(0, world.service.environments:alive())
      world.start_code = nil
      request = world.call "f"
      world.run(1)
      assert.equal(500, request.status)
    end)

    it("say that there is no program", function()
      world.folders.empty = "/proc/self/fdinfo"
      world.define("e", { code_hash = "empty" })
      local request = world.call "e"
      world.run(1)
      assert_failed(request, "Runtime.InvalidEntrypoint",
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
    end)

    it("end when they use more memory than they have", function()
      world.behaviour = silent
      local request = world.call "f"
      world.run(1)
      world.processes[1].memory = 129 << 20
      world.run(1)
      assert_failed(request, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
      assert.truthy(world.lines()[4]:find "\tMax Memory Used: 128 MB\t")
    end)

    it("end when they use too much while they initialise", function()
      world.behaviour = function(process)
        process.memory = 129 << 20
      end
      local request = world.call "f"
      world.run(1)
      assert_failed(request, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
    end)
  end)

  describe("of functions that change", function()
    it("end when they are free, and new ones take over", function()
      world.behaviour = silent
      world.call "f"
      world.call "f"
      world.run(1)
      world.processes[1]:emit("response", "1", true)
      world.run(0.1)
      world.define "f"
      world.service.environments:forget("us-east-1", "f")
      world.call "f"
      world.run(1)
      assert.is_false(world.processes[1].alive)
      assert.is_true(world.processes[2].alive)
      world.processes[2]:emit("response", "2", true)
      world.processes[3]:emit("response", "3", true)
      world.run(1)
      assert.is_false(world.processes[2].alive)
      assert.equal(1, world.alive)
    end)

    it("end when the new code is first invoked", function()
      world.call "f"
      world.run(1)
      world.define "f"
      world.call "f"
      world.run(1)
      assert.is_false(world.processes[1].alive)
      assert.is_true(world.processes[2].alive)
    end)

    it("run to their end when the function is deleted", function()
      world.behaviour = silent
      local request = world.call "f"
      world.run(1)
      world.functions.f = nil
      world.service.environments:forget("us-east-1", "f")
      assert.equal(404, world.call("f").problem_found.status)
      world.processes[1]:emit("response", "1", true)
      world.run(1)
      assert.equal("1", request.answer)
      assert.equal(0, world.alive)
      assert.same({}, world.service.environments.functions)
    end)

    it("are shared by an alias and what it names", function()
      local record = world.define "f"
      local alias = {}
      for name, value in pairs(record) do
        alias[name] = value
      end
      alias.arn = record.arn .. ":live"
      world.functions.alias = alias
      world.call "f"
      world.run(1)
      world.call "alias"
      world.run(1)
      assert.equal(1, #world.processes)
      assert.equal(alias.arn, world.processes[1].invocations[2].arn)
    end)
  end)

  describe("when many are wanted", function()
    it("are refused beyond the concurrency of the account", function()
      world.service.environments.limits.concurrency = 3
      world.reserved_total = 1
      world.behaviour = silent
      world.call "f"
      world.call "f"
      local problem = world.call("f").problem_found
      assert.equal(429, problem.status)
      assert.equal("TooManyRequestsException", problem.type)
      assert.equal("ConcurrentInvocationLimitExceeded", problem.fields.Reason)
      assert.equal("1", problem.headers["retry-after"])
      world.run(1)
      world.processes[1]:emit("response", "1", true)
      world.run(0.1)
      assert.is_nil(world.call("f").problem_found)
    end)

    it("are refused beyond what the function has reserved", function()
      world.define("r", { reserved = 1 })
      world.define("never", { reserved = 0 })
      world.behaviour = silent
      assert.is_nil(world.call("r").problem_found)
      for _, name in ipairs { "r", "never" } do
        assert.equal("ReservedFunctionConcurrentInvocationLimitExceeded",
          world.call(name).problem_found.fields.Reason)
      end
      world.run(1)
      world.processes[1]:emit("response", "1", true)
      world.run(0.1)
      assert.is_nil(world.call("r").problem_found)
    end)

    it("do not start all at once", function()
      world.behaviour = function() end
      for _ = 1, 200 do
        world.call "f"
      end
      world.run(0.05)
      assert.equal(64, #world.processes)
      world.run(4)
      assert.equal(200, #world.processes)
    end)

    it("are waited for where invocations are brief, but not for long", function()
      world.call "f"
      world.run(1)
      world.behaviour = silent
      world.call("f", "1")
      local second = world.call("f", "2")
      world.run(0.04)
      world.processes[1]:emit("response", "1", true)
      world.run(0.04)
      assert.equal(1, #world.processes)
      assert.equal("2", world.processes[1].invocation.event)
      world.call("f", "3")
      world.run(0.06)
      assert.equal(2, #world.processes)
      world.processes[1]:emit("response", "2", true)
      world.run(1)
      assert.equal("2", second.answer)
      assert.equal("3", world.processes[2].invocation.event)
    end)

    it("give what waits for a start the first that is free", function()
      world.behaviour = silent
      for _ = 1, 100 do
        world.call "f"
        world.run(0)
      end
      assert.equal(64, #world.processes)
      world.processes[1]:emit("ready")
      world.processes[1]:emit("response", "1", true)
      world.run(0.005)
      assert.equal(65, #world.processes)
      assert.equal(2, #world.processes[1].invocations)
    end)
  end)

  it("answer before the runtime asks for more, when that takes long", function()
    world.behaviour = silent
    local request = world.call "f"
    local with_log = world.call("f", nil, { ["x-amz-log-type"] = "Tail" })
    world.run(1)
    for _, process in ipairs(world.processes) do
      process:emit("response", "1", false)
      process:emit_after(1, "ready")
    end
    world.run(0.04)
    assert.is_nil(request.status)
    world.run(0.02)
    assert.equal("1", request.answer)
    assert.is_nil(with_log.status)
    world.run(2)
    assert.equal("1", with_log.answer)
    assert.equal(2, world.service.environments:alive())
  end)

  it("end with the service", function()
    world.behaviour = silent
    local requests = {}
    for i = 1, 100 do
      requests[i] = world.call "f"
    end
    world.run(0.001)
    world.service.environments:close()
    assert.equal(0, world.alive)
    for i = 1, 100 do
      assert.is_nil(requests[i].status)
    end
  end)

  it("remember nothing of invocations that have ended", function()
    world.forgetful = true
    local request = serve_world.request "1"
    local context = { service = world.service, region = "us-east-1", request_id = ("0"):rep(36) }
    local function invoke(count)
      for _ = 1, count do
        request.status = nil
        world.invoke.handle(context, request, "f")
        while not request.status do
          world.run(0.01)
        end
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    local before = invoke(2000)
    assert.is_true(invoke(20000) < before + 100)
    assert.equal(1, #world.processes)
  end)
end)
