--- Invoke and its kin: what is checked, what is answered, what is logged.

local serve_world = require "tests.lua.serve_world"

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"

describe("an invocation", function()
  local world

  serve_world.with_folder(setup, teardown)

  before_each(function()
    world = serve_world.new().open()
    world.define "f"
  end)

  local function call(...)
    local request = world.call("f", ...)
    world.run(1)
    return request
  end

  local function problem_of(...)
    return world.call("f", ...).problem_found
  end

  it("is answered with the response and the headers of Lambda", function()
    local request = call '{"a":[1,2]}'
    local id = request.context.request_id
    assert.equal(200, request.status)
    assert.equal('{"a":[1,2]}', request.answer)
    assert.equal(id, request.answered["x-amzn-requestid"])
    assert.equal("$LATEST", request.answered["x-amz-executed-version"])
    assert.equal("application/json", request.answered["content-type"])
    assert.is_nil(request.answered["x-amz-function-error"])
    assert.is_nil(request.answered["x-amz-log-result"])
    assert.truthy(request.answered["x-amzn-trace-id"]:find "^Root=1%-%x%x%x%x%x%x%x%x%-%x+;Parent=")
    local handed = world.processes[1].invocations[1]
    assert.equal(request.answered["x-amzn-trace-id"], handed.trace_id)
    assert.is_nil(handed.client_context)
  end)

  it("gets {} when there is no payload", function()
    assert.equal("{}", call("").answer)
  end)

  it("keeps bytes as they are", function()
    local bytes = '"\u{1F600}\\u0000"'
    assert.equal(bytes, call(bytes).answer)
  end)

  it("hands on the error of the function", function()
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("error", '{"errorMessage":"no","errorType":"E"}', "Function.E", true)
      end
    end
    local request = call()
    assert.equal(200, request.status)
    assert.equal('{"errorMessage":"no","errorType":"E"}', request.answer)
    assert.equal("Unhandled", request.answered["x-amz-function-error"])
  end)

  it("puts a streamed response together", function()
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("stream", "text/plain")
        process:emit("chunk", "a")
        process:emit("chunk", "b")
        process:emit("stream_end", nil, nil, true)
      end
    end
    assert.equal("ab", call().answer)
  end)

  it("does not put too much of it together", function()
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("stream", "text/plain")
        for _ = 1, 7 do
          process:emit("chunk", ("x"):rep(1 << 20))
        end
        process:emit("stream_end", nil, nil, true)
      end
    end
    local request = call()
    assert.equal("Unhandled", request.answered["x-amz-function-error"])
    assert.equal('{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload ' ..
      'size exceeded maximum allowed payload size (6291556 bytes)."}', request.answer)
  end)

  it("gives the error of a stream that broke off", function()
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("stream", "text/plain")
        process:emit("stream_end", '{"errorMessage":"x"}', "Function.X", true)
      end
    end
    local request = call()
    assert.equal('{"errorMessage":"x"}', request.answer)
    assert.equal("Unhandled", request.answered["x-amz-function-error"])
  end)

  it("gives the client's context to the runtime", function()
    call("1", { ["x-amz-client-context"] = crypto.base64 '{"custom":\n{"a":1}}' })
    assert.equal('{"custom": {"a":1}}', world.processes[1].invocations[1].client_context)
    for _, wrong in ipairs { "!", crypto.base64 "{", ("A"):rep(3584) } do
      local problem = problem_of("1", { ["x-amz-client-context"] = wrong })
      assert.equal("InvalidRequestContentException", problem.type)
    end
  end)

  it("keeps the client's trace", function()
    local request = call("1", { ["x-amzn-trace-id"] = "Root=1-5-6" })
    assert.equal("Root=1-5-6", request.answered["x-amzn-trace-id"])
  end)

  describe("is refused", function()
    it("when the payload is not JSON", function()
      local problem = problem_of "\x99"
      assert.equal(400, problem.status)
      assert.equal("InvalidRequestContentException", problem.type)
      assert.equal("Could not parse request body into json: Could not parse payload into json: " ..
        "Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, " ..
        "Number, Array, Object or token 'null', 'true' or 'false')", problem.message)
      assert.equal(0, #world.processes)
    end)

    it("when the payload is too large", function()
      local problem = problem_of(("1"):rep(6291457))
      assert.equal(413, problem.status)
      assert.equal("RequestEntityTooLargeException", problem.type)
      assert.equal("Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        problem.message)
      problem = problem_of(("1"):rep(1048577), { ["x-amz-invocation-type"] = "Event" })
      assert.equal(413, problem.status)
      assert.equal("1048577 byte payload is too large for the Event invocation type " ..
        "(limit 1048576 bytes)", problem.message)
    end)

    it("when the function is not there or not ready", function()
      assert.equal(404, world.call("g").problem_found.status)
      world.functions.f.state = "Pending"
      local problem = problem_of()
      assert.equal(409, problem.status)
      assert.equal("ResourceConflictException", problem.type)
      assert.equal("The operation cannot be performed at this time. The function is currently " ..
        "in the following state: Pending", problem.message)
    end)

    it("when its headers make no sense", function()
      local problem = problem_of("", { ["x-amz-invocation-type"] = "Sync" })
      assert.equal("ValidationException", problem.type)
      assert.equal("1 validation error detected: Value 'Sync' at 'invocationType' failed to " ..
        "satisfy constraint: Member must satisfy enum value set: " ..
        "[Event, RequestResponse, DryRun]", problem.message)
      assert.equal("ValidationException", problem_of("", { ["x-amz-log-type"] = "Head" }).type)
    end)
  end)

  it("can be dry", function()
    local request = call("", { ["x-amz-invocation-type"] = "DryRun" })
    assert.equal(204, request.status)
    assert.equal(0, #world.processes)
  end)

  describe("is logged", function()
    local function talkative(lines)
      return function(process, what)
        if what == "start" then
          process:emit("output", "hello")
          process:emit_after(0.25, "ready")
        else
          for i = 1, lines do
            process:emit("output", "line " .. i)
          end
          process:emit_after(0.0015, "response", "1", true)
        end
      end
    end

    it("between START and REPORT", function()
      world.behaviour = talkative(2)
      local id = call("1").context.request_id
      assert.same({
        "hello\n",
        ("START RequestId: %s Version: $LATEST\n"):format(id),
        "line 1\n",
        "line 2\n",
        ("END RequestId: %s\n"):format(id),
        ("REPORT RequestId: %s\tDuration: 1.50 ms\tBilled Duration: 252 ms\t" ..
          "Memory Size: 128 MB\tMax Memory Used: 10 MB\tInit Duration: 250.00 ms\t\n"):format(id),
      }, world.lines())
      assert.equal("/aws/lambda/f", world.logs[1].group)
      assert.equal("us-east-1", world.logs[1].region)
      world.logs = {}
      id = call("1").context.request_id
      assert.equal(1, world.logs and #world.logs)
      assert.equal(("REPORT RequestId: %s\tDuration: 1.50 ms\tBilled Duration: 2 ms\t" ..
        "Memory Size: 128 MB\tMax Memory Used: 10 MB\t\n"):format(id), world.lines()[5])
    end)

    it("as JSON when the function says so", function()
      world.define("f", { log_format = "JSON" })
      world.behaviour = talkative(1)
      local id = call("1").context.request_id
      local lines = world.lines()
      assert.equal(4, #lines)
      assert.equal("line 1\n", lines[3])
      local start, report = json.decode(lines[2]), json.decode(lines[4])
      assert.equal("platform.start", start.type)
      assert.same({ requestId = id, version = "$LATEST" }, start.record)
      assert.equal("platform.report", report.type)
      assert.same({
        durationMs = 1.5, billedDurationMs = 252, memorySizeMB = 128, maxMemoryUsedMB = 10,
        initDurationMs = 250,
      }, report.record.metrics)
      assert.equal("success", report.record.status)
      assert.equal("JSON", world.processes[1].spec.env.AWS_LAMBDA_LOG_FORMAT)
    end)

    it("in one call of the log store", function()
      call "1"
      call "2"
      assert.equal(2, world.appended)
      local events = world.logs[2].events
      assert.equal(6, #events)
      assert.equal("integer", math.type(events[1]))
      assert.equal(world.logs[1].stream, world.logs[2].stream)
    end)

    it("with its end in the answer when the client wants it", function()
      world.behaviour = talkative(1)
      local request = call("1", { ["x-amz-log-type"] = "Tail" })
      assert.equal(table.concat(world.lines()),
        crypto.unbase64(request.answered["x-amz-log-result"]))
      world.behaviour = talkative(5000)
      world.logs = {}
      request = call("1", { ["x-amz-log-type"] = "Tail" })
      local tail = crypto.unbase64(request.answered["x-amz-log-result"])
      assert.equal(4096, #tail)
      assert.equal(table.concat(world.lines()):sub(-4096), tail)
      assert.equal(5003, #world.lines())
    end)

    it("also what is printed when nothing runs", function()
      call "1"
      world.processes[1]:emit("output", "late")
      world.run(1)
      assert.equal("late\n", world.lines()[4])
    end)

    it("with the way it ended", function()
      world.behaviour = function(process, what)
        if what == "start" then
          process:emit("ready")
        else
          process:exit(2)
        end
      end
      local id = call("1").context.request_id
      local lines = world.lines()
      assert.equal(("RequestId: %s Error: Runtime exited with error: exit status 2\n" ..
        "Runtime.ExitError\n"):format(id), lines[2])
      assert.truthy(lines[4]:find "\tStatus: error\tError Type: Runtime.ExitError\n$")
    end)
  end)

  it("waits as long as the latency says", function()
    world.service.latency = 500
    local first = world.call("f", "1")
    world.run(0.3)
    local second = world.call("f", "2")
    world.run(0.1)
    assert.equal(0, #world.processes)
    world.run(0.2)
    assert.equal("1", first.answer)
    assert.is_nil(second.status)
    world.run(0.3)
    assert.equal("2", second.answer)
    local wrong = world.call("f", "x")
    world.run(1)
    assert.equal(400, wrong.status)
  end)
end)
