--- Asynchronous invocations: stored, tried again, told to destinations, and not lost.

local serve_world = require "tests.lua.serve_world"

local json = require "lambdapool.json"
local sqlite = require "lambdapool.sqlite"

describe("asynchronous invocations", function()
  local world, db, fails

  serve_world.with_folder(setup, teardown)

  -- Functions run at once and do what `fails` says: it maps events to how often they fail.
  local function behave(process, what)
    if what == "start" then
      process:emit("ready")
    elseif (fails[what.event] or 0) > 0 then
      fails[what.event] = fails[what.event] - 1
      process:emit("error", '{"errorMessage":"no"}', "E", true)
    else
      process:emit("response", what.event, true)
    end
  end

  local function open()
    world = serve_world.new()
    world.behaviour = behave
    world.service.store.db = db
    world.service.store.migrate = function(_, _, steps)
      for _, step in ipairs(steps) do
        db:run((step:gsub("CREATE (%u+) ", "CREATE %1 IF NOT EXISTS ")))
      end
    end
    world.define "f"
    world.open()
    world.service.queue = world.load("serve.run.asynchronous").open(world.service)
  end

  local function close()
    world.service.queue:close()
    world.service.environments:close()
  end

  before_each(function()
    fails = {}
    db = assert(sqlite.open ":memory:")
    open()
  end)

  after_each(function()
    close()
    db:close()
  end)

  local function push(name, event)
    local request = world.call(name, event, { ["x-amz-invocation-type"] = "Event" })
    assert.is_nil(request.problem_found)
    assert.equal(202, request.status)
    assert.is_nil(request.answer)
    return request
  end

  local function stored()
    return db:row "SELECT count(*) AS n FROM async_events".n
  end

  -- The events that functions got, of all processes together.
  local function runs()
    local events = {}
    for _, process in ipairs(world.processes) do
      for _, invocation in ipairs(process.invocations) do
        events[#events + 1] = invocation.event
      end
    end
    table.sort(events)
    return events
  end

  it("are answered at once, stored, and run", function()
    local request = push("f", '{"a":1}')
    assert.equal(1, stored())
    assert.equal(0, #world.processes)
    world.run(1)
    assert.same({ '{"a":1}' }, runs())
    assert.equal(request.context.request_id, world.processes[1].invocations[1].request_id)
    assert.equal(0, stored())
  end)

  it("also by the old operation", function()
    local request = world.call("f", "2", nil, "async")
    assert.equal(202, request.status)
    assert.equal('{"Status":202}', request.answer)
    world.run(1)
    assert.same({ "2" }, runs())
  end)

  it("are refused when they cannot run ever", function()
    local headers = { ["x-amz-invocation-type"] = "Event" }
    assert.equal(404, world.call("g", "1", headers).problem_found.status)
    assert.equal(400, world.call("f", "{", headers).problem_found.status)
    assert.equal(0, stored())
  end)

  it("are tried again after one and two minutes", function()
    fails["1"] = 2
    push("f", "1")
    world.run(59)
    assert.equal(1, #runs())
    world.run(2)
    assert.equal(2, #runs())
    world.run(118)
    assert.equal(2, #runs())
    world.run(3)
    assert.equal(3, #runs())
    assert.equal(0, stored())
  end)

  it("are given up after two retries, or as many as the function says", function()
    fails["1"], fails["2"] = 10, 10
    push("f", "1")
    world.run(1000)
    assert.equal(3, #runs())
    world.event_configs.f = { retries = 0 }
    push("f", "2")
    world.run(1000)
    assert.equal(4, #runs())
    assert.equal(0, stored())
  end)

  it("wait when too many run", function()
    world.functions.f.reserved = 1
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit_after(1.5, "response", "1", true)
      end
    end
    for i = 1, 30 do
      push("f", tostring(i))
    end
    world.run(46)
    assert.equal(30, #runs())
    assert.equal(0, stored())
    assert.same({}, world.service.queue.throttled)
  end)

  it("are given up when they are too old", function()
    world.define("never", { reserved = 0 })
    world.define "told"
    world.event_configs.never = {
      age_seconds = 60, on_failure = "arn:aws:lambda:us-east-1:123456789012:function:told",
    }
    push("never", "1")
    world.run(30)
    assert.equal(1, stored())
    world.run(100)
    assert.equal(0, stored())
    local event = json.decode(runs()[1])
    assert.equal("EventAgeExceeded", event.requestContext.condition)
    assert.is_nil(event.responsePayload)
  end)

  it("are forgotten with their function", function()
    push("f", "1")
    world.functions.f = nil
    world.run(1)
    assert.equal(0, stored())
  end)

  it("tell destinations what became of them", function()
    world.define "good"
    world.define "bad"
    world.event_configs.f = {
      retries = 1, on_success = "arn:aws:lambda:us-east-1:123456789012:function:good",
      on_failure = "arn:aws:lambda:us-east-1:123456789012:function:bad",
    }
    fails['{"b":1}'] = 2
    local good = push("f", '{"a":1}')
    local bad = push("f", '{"b":1}')
    world.run(100)
    assert.equal(5, #runs())
    local seen = {}
    for _, text in ipairs(runs()) do
      local event = json.decode(text)
      if event.requestContext then
        seen[event.requestContext.condition] = event
      end
    end
    local event = seen.Success
    assert.equal("1.0", event.version)
    assert.truthy(event.timestamp:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$")
    assert.equal(good.context.request_id, event.requestContext.requestId)
    assert.equal(1, event.requestContext.approximateInvokeCount)
    assert.same({ a = 1 }, event.requestPayload)
    assert.same({ a = 1 }, event.responsePayload)
    assert.same({ statusCode = 200, executedVersion = "$LATEST" }, event.responseContext)
    event = seen.RetriesExhausted
    assert.equal(bad.context.request_id, event.requestContext.requestId)
    assert.equal(2, event.requestContext.approximateInvokeCount)
    assert.equal("arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",
      event.requestContext.functionArn)
    assert.equal("Unhandled", event.responseContext.functionError)
    assert.same({ errorMessage = "no" }, event.responsePayload)
  end)

  it("come to an end when a function is its own destination", function()
    world.event_configs.f = {
      on_success = "arn:aws:lambda:us-east-1:123456789012:function:f",
    }
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("response", "1", true)
      end
    end
    push("f", "1")
    world.run(100)
    assert.equal(17, #runs())
    assert.equal(0, stored())
  end)

  it("are not lost when the service ends", function()
    fails["2"] = 1
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      elseif what.event ~= "1" then
        behave(process, what)
      end
    end
    push("f", "1")
    push("f", "2")
    world.run(1)
    assert.same({ "1", "2" }, runs())
    close()
    open()
    world.run(1)
    assert.same({ "1" }, runs())
    world.run(100)
    assert.same({ "1", "2" }, runs())
    assert.equal(0, stored())
  end)

  it("run however many they are", function()
    for i = 1, 1000 do
      push("f", tostring(i))
    end
    assert.equal(1000, stored())
    world.run(20)
    assert.equal(0, stored())
    assert.equal(1000, #runs())
  end)

  it("do not all come into memory when they are large", function()
    local most = 0
    local event = ('"%s"'):format(("x"):rep(1000000))
    world.behaviour = function(process, what)
      local queue = world.service.queue
      most = math.max(most, queue.running)
      if what == "start" then
        process:emit("ready")
      else
        process:emit_after(1, "response", "1", true)
      end
    end
    for _ = 1, 150 do
      push("f", event)
    end
    world.run(10)
    assert.equal(0, stored())
    assert.is_true(most > 50 and most <= 67)
    assert.equal(0, world.service.queue.bytes)
  end)

  it("outlast a store that fails for a while", function()
    local complaints = {}
    world.service.complain = function(problem)
      table.insert(complaints, problem)
    end
    push("f", "1")
    world.service.queue.db = setmetatable({
      transaction = function() error "disk full" end,
    }, { __index = function(_, name) return function(_, ...) return db[name](db, ...) end end })
    world.run(3)
    assert.truthy(tostring(complaints[1]):find "disk full")
    world.service.queue.db = db
    world.run(2)
    assert.same({ "1" }, runs())
    assert.equal(0, stored())
  end)
end)
