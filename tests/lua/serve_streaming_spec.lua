--- InvokeWithResponseStream: event stream messages, checked here byte by byte, and the pace of the
--- client.

local serve_world = require "tests.lua.serve_world"

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"

-- The message at `at`: its headers, its payload and where the next one begins.
local function read_message(bytes, at)
  local total, size, crc = string.unpack(">I4I4I4", bytes, at)
  assert.equal(crypto.crc32(bytes:sub(at, at + 7)), crc)
  assert.equal(crypto.crc32(bytes:sub(at, at + total - 5)),
    (string.unpack(">I4", bytes, at + total - 4)))
  local headers, i = {}, at + 12
  while i < at + 12 + size do
    local name, kind, value
    name, kind, value, i = string.unpack(">s1Bs2", bytes, i)
    assert.equal(7, kind)
    headers[name] = value
  end
  return { headers = headers, payload = bytes:sub(i, at + total - 5) }, at + total
end

local function read_messages(bytes)
  local messages, at = {}, 1
  while at <= #bytes do
    messages[#messages + 1], at = read_message(bytes, at)
  end
  return messages
end

describe("a response stream", function()
  local world

  serve_world.with_folder(setup, teardown)

  before_each(function()
    world = serve_world.new().open()
    world.define "f"
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      end
    end
  end)

  local function call(headers)
    local request = world.call("f", "1", headers, "stream")
    world.run(0.05)
    return request, world.processes[#world.processes]
  end

  it("is made of messages of the event stream", function()
    local request, process = call()
    process:emit("stream", "text/plain")
    process:emit("chunk", "a")
    process:emit("chunk", "\0b")
    process:emit("stream_end", nil, nil, true)
    world.run(1)
    assert.equal(200, request.status)
    assert.equal("application/vnd.amazon.eventstream", request.answered["content-type"])
    assert.equal("$LATEST", request.answered["x-amz-executed-version"])
    assert.is_true(request.complete)
    local messages = read_messages(request.answer)
    assert.equal(3, #messages)
    assert.same({
      headers = {
        [":event-type"] = "PayloadChunk", [":content-type"] = "application/octet-stream",
        [":message-type"] = "event",
      },
      payload = "a",
    }, messages[1])
    assert.equal("\0b", messages[2].payload)
    assert.equal("InvokeComplete", messages[3].headers[":event-type"])
    assert.equal("{}", messages[3].payload)
  end)

  it("arrives as it is made", function()
    local request, process = call()
    process:emit("stream", "text/plain")
    process:emit("chunk", "a")
    world.run(0.05)
    assert.equal("a", read_messages(request.answer)[1].payload)
    assert.is_nil(request.complete)
  end)

  it("has the response of a function that does not stream", function()
    local request, process = call()
    process:emit("response", "[1]", true)
    world.run(1)
    local messages = read_messages(request.answer)
    assert.equal("[1]", messages[1].payload)
    assert.equal("InvokeComplete", messages[2].headers[":event-type"])
  end)

  it("ends with the error and the log", function()
    local request, process = call { ["x-amz-log-type"] = "Tail" }
    process:emit("stream", "text/plain")
    process:emit("chunk", "a")
    process:emit("stream_end", '{"errorMessage":"x"}', "Function.X", true)
    world.run(1)
    local messages = read_messages(request.answer)
    local last = json.decode(messages[2].payload)
    assert.equal("Unhandled", last.ErrorCode)
    assert.equal('{"errorMessage":"x"}', last.ErrorDetails)
    assert.truthy(crypto.unbase64(last.LogResult):find "^START .*\nREPORT ")
  end)

  it("says that the runtime ended or took too long in the middle", function()
    local request, process = call()
    process:emit("stream", "text/plain")
    process:emit("chunk", "a")
    process:emit("stream_end", nil, "Runtime.TruncatedResponse", false)
    process:exit(1)
    world.run(1)
    local messages = read_messages(request.answer)
    assert.truthy(json.decode(messages[2].payload).ErrorDetails:find "exit status 1")
    request, process = call()
    process:emit("stream", "text/plain")
    world.run(10)
    messages = read_messages(request.answer)
    assert.truthy(json.decode(messages[1].payload).ErrorDetails:find "Sandbox.Timedout")
  end)

  it("waits for the client", function()
    local request, process = call()
    local streaming = world.load "serve.run.streaming"
    process:emit("stream", "text/plain")
    request.unsent = 2 << 20
    process:emit("chunk", "a")
    process:emit("chunk", "b")
    world.run(0.05)
    assert.same({ true }, process.pauses)
    request.unsent = 0
    streaming.drained(request)
    streaming.drained(request)
    assert.same({ true, false }, process.pauses)
    process:emit("stream_end", nil, nil, true)
    world.run(1)
    assert.is_true(request.complete)
  end)

  it("goes on without a client that is gone", function()
    local request, process = call()
    process:emit("stream", "text/plain")
    request.is_gone = true
    process:emit("chunk", "a")
    process:emit("stream_end", nil, nil, true)
    world.run(1)
    assert.same({}, process.pauses)
    assert.equal(1, world.service.environments:alive())
  end)

  it("is refused as other invocations are", function()
    local request = world.call("f", "{", nil, "stream")
    assert.equal("InvalidRequestContentException", request.problem_found.type)
    world.functions.f.reserved = 0
    request = world.call("f", "1", nil, "stream")
    assert.equal(429, request.problem_found.status)
    request = world.call("f", "1", { ["x-amz-invocation-type"] = "DryRun" }, "stream")
    assert.equal(204, request.status)
  end)
end)
