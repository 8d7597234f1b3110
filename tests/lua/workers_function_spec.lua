--- lambdapool.workers with `lambda`: workers of functions, behind which any runtime may be. What
--- they may do is tested in tests/host/worker_function_test.c; here it is about what Lua sees of
--- it, and about runtimes as others write them.
local system = require "lambdapool.system"
local workers = require "lambdapool.workers"

local BUILD = os.getenv "LAMBDAPOOL_BUILD" or "build"
local FOLDER = BUILD .. "/tests/host"

-- The classic tutorial.
local SHELL = [[
#!/bin/sh
set -eu
API="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -LD "$HEADERS" "$API/next")
  ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  rm -f "$HEADERS"
  echo "event: $EVENT"
  curl -sS -o /dev/null "$API/$ID/response" -d "shell: $EVENT"
done
]]

local PYTHON = [[
#!/usr/bin/env python3
import os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as answer:
        event, id = answer.read(), answer.headers["Lambda-Runtime-Aws-Request-Id"]
        context = answer.headers["Lambda-Runtime-Client-Context"] or ""
    print("event:", event.decode(), flush=True)
    body = b"python: " + event + context.encode()
    urllib.request.urlopen(urllib.request.Request(api + id + "/response", body)).close()
]]

local function has(command)
  return (os.execute("command -v " .. command .. " >/dev/null 2>&1"))
end

local function raised(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("lambdapool.workers of functions", function()
  local loop, folders

  before_each(function()
    loop, folders = workers.open(), {}
  end)

  after_each(function()
    loop:close()
    for _, folder in ipairs(folders) do
      os.execute("rm -rf " .. folder)
    end
  end)

  --- Starts a runtime of the C test and waits until it asks for an event.
  local function start(name)
    local id = assert(loop:start {
      agent = FOLDER .. "/worker_function_test", env = { RUNTIME = name },
      lambda = { task = FOLDER },
    })
    assert.same({ "ready", id }, { loop:poll(60) })
    return id
  end

  --- What the next events are, up to the one that says that the environment is free.
  local function events(id)
    local list = {}
    repeat
      local event = table.pack(loop:poll(60))
      assert.equal(id, event[2])
      local ready = event[1] == "ready" or event[event.n] == true
      if event[event.n] == true then
        event[event.n] = nil
      end
      if event[1] ~= "ready" then
        table.remove(event, 2)
        event.n = nil
        list[#list + 1] = event
      end
    until ready
    return list
  end

  local function script(text)
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir -m 755 " .. folder))
    folders[#folders + 1] = folder
    local path = folder .. "/bootstrap"
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    assert(os.execute("chmod 755 " .. path))
    return folder
  end

  it("hand over events with what is told about them", function()
    local id = start "head"
    assert(loop:invoke(id, "{}", {
      request_id = "a-1", deadline_ms = 12, kill_ms = 60000, arn = "arn:f", trace_id = "Root=1",
      client_context = '{"a":1}', cognito_identity = '{"b":2}',
    }))
    collectgarbage()
    local response = events(id)[1]
    assert.equal("response", response[1])
    for _, line in ipairs {
      "Lambda-Runtime-Aws-Request-Id: a-1", "Lambda-Runtime-Deadline-Ms: 12",
      "Lambda-Runtime-Invoked-Function-Arn: arn:f", "Lambda-Runtime-Trace-Id: Root=1",
      'Lambda-Runtime-Client-Context: {"a":1}', 'Lambda-Runtime-Cognito-Identity: {"b":2}',
    } do
      assert.truthy((response[2] .. "\r\n"):find("\r\n" .. line .. "\r\n", 1, true), line)
    end
    assert(loop:invoke(id, "{}", { trace_id = "Root=2" }))
    response = events(id)[1]
    assert.truthy(response[2]:find("Trace%-Id: Root=2"))
    assert.falsy(response[2]:find("Arn", 1, true))
  end)

  it("say when they are ready", function()
    local id = start "echo"
    for i = 1, 5 do
      assert(loop:invoke(id, "e" .. i))
      assert.same({ { "output", "<e" .. i .. ">" }, { "response", "e" .. i } }, events(id))
    end
  end)

  it("fail with the type of the error", function()
    local id = start "error"
    assert(loop:invoke(id, "{}"))
    assert.same({ { "error", '{"errorMessage":"oh"}', "Function.Oh" } }, events(id))
  end)

  it("stream responses", function()
    local id = start "stream"
    assert(loop:invoke(id, "typed"))
    local list = events(id)
    assert.same({ "stream", "text/html" }, list[1])
    assert.same({ "stream_end" }, list[#list])
    local text = ""
    for i = 2, #list - 1 do
      assert.equal("chunk", list[i][1])
      text = text .. list[i][2]
    end
    assert.equal("firstsecond", text)
    assert(loop:invoke(id, "fails"))
    list = events(id)
    assert.same({ "stream_end", '{"error":1}', "Runtime.Late" }, list[#list])
    assert(loop:invoke(id, "cut"))
    list = events(id)
    assert.same({ "stream_end", nil, "Runtime.TruncatedResponse" }, list[#list])
  end)

  it("stop streaming while they are paused", function()
    local id = start "stream"
    assert(loop:invoke(id, "much"))
    assert.equal("stream", (loop:poll(60)))
    assert.is_true(loop:pause(id, true))
    while loop:poll(0.2) do end
    assert.is_true(loop:pause(id, false))
    local list = events(id)
    assert.same({ "stream_end" }, list[#list])
    assert.is_false(loop:pause(id + 1, true))
  end)

  it("tell their memory", function()
    local id = start "memory"
    local now, peak = loop:memory(id)
    assert.is_true(now >= 64 << 20 and peak >= now)
    assert.is_nil((loop:memory(id + 1)))
  end)

  it("say why they cannot start", function()
    local folder = script "nonsense"
    for path, code in pairs {
      ["/missing/bootstrap"] = "ENOENT", ["/etc/passwd"] = "EACCES",
      [folder .. "/bootstrap"] = "ENOEXEC",
    } do
      local id, message, found = loop:start { agent = path, lambda = { task = folder } }
      assert.is_nil(id)
      assert.matches("^cannot start the agent " .. path .. ": ", message)
      assert.equal(code, found)
    end
  end)

  it("check their options", function()
    local function starting(lambda)
      return raised(loop.start, loop, { agent = "x", lambda = lambda })
    end
    assert.matches("table expected", starting(1))
    assert.matches("option 'task' is missing", starting {})
    assert.matches("option 'tasks' is not known", starting { tasks = "/" })
    assert.matches("option 'tmp_mb' is out of range", starting { task = "/", tmp_mb = 0 })
    assert.matches("option 'isolated' must be a boolean", starting { task = "/", isolated = 1 })
    local id = start "echo"
    assert.matches("option 'client_context' must not contain line breaks",
      raised(loop.invoke, loop, id, "{}", { client_context = "a\r\nb" }))
    assert.matches("option 'arn' must be a string",
      raised(loop.invoke, loop, id, "{}", { arn = 1 }))
  end)

  local function run(text, name, isolated)
    local folder = script(text)
    local id = assert(loop:start {
      agent = (isolated and "/var/task" or folder) .. "/bootstrap",
      env = { PATH = "/usr/local/bin:/usr/bin:/bin", LANG = "C.UTF-8" },
      lambda = { task = folder, isolated = isolated },
    })
    assert.same({ "ready", id }, { loop:poll(60) })
    for i = 1, 3 do
      assert(loop:invoke(id, "e" .. i, { kill_ms = 60000 }))
      assert.same({ { "output", "event: e" .. i }, { "response", name .. ": e" .. i } },
        events(id))
    end
  end

  for _, isolated in ipairs { false, true } do
    local where = isolated and " in a sandbox" or ""
    it("run shell scripts with curl" .. where, function()
      if has "curl" and (not isolated or system.can_isolate()) then
        run(SHELL, "shell", isolated)
      end
    end)

    it("run Python with urllib" .. where, function()
      if has "python3" and (not isolated or system.can_isolate()) then
        run(PYTHON, "python", isolated)
      end
    end)
  end
end)
