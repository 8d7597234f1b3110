local log_events = require "lambdapool.cli.log_events"

-- CloudWatch as far as it is needed: events in the order of their times, in pages of two.
local function fake(list)
  local client = { asked = {}, list = list }
  function client:pages(operation, input, name)
    assert.equal("FilterLogEvents", operation)
    assert.equal("events", name)
    table.insert(self.asked, input)
    local found = {}
    for _, event in ipairs(self.list) do
      local text = input.filterPattern
      text = text and text:match '^"(.*)"$':gsub("\\(.)", "%1")
      if event.timestamp >= (input.startTime or 0)
        and event.timestamp <= (input.endTime or math.huge)
        and (not input.logStreamNames or input.logStreamNames[1] == event.logStreamName)
        and (not text or event.message:find(text, 1, true)) then
        found[#found + 1] = event
      end
    end
    table.sort(found, function(a, b)
      return a.timestamp < b.timestamp or a.timestamp == b.timestamp and a.order < b.order
    end)
    local i = 0
    return function()
      i = i + 1
      if found[i] then
        return i, found[i]
      end
    end
  end
  return client
end

local function events(lines)
  local list = {}
  for i, line in ipairs(lines) do
    list[i] = { timestamp = line[1], message = line[2], logStreamName = line[3] or "s",
      eventId = "e" .. i, order = i }
  end
  return list
end

local function messages(list)
  local texts = {}
  for i, event in ipairs(list) do
    texts[i] = event.message
  end
  return texts
end

describe("events of a time", function()
  it("come in order, as they are", function()
    local client = fake(events { { 10, "a" }, { 20, "b" }, { 30, "c" } })
    local found = {}
    for event in log_events.new(client, { group = "g", since = 15, finish = 25 }):all() do
      found[#found + 1] = event
    end
    assert.same({ "b" }, messages(found))
    assert.equal("g", client.asked[1].logGroupName)
  end)

  it("are looked for by a text, whatever is in it", function()
    local client = fake(events { { 1, 'say "hi\\"' }, { 2, "say hi" } })
    local reader = log_events.new(client, { group = "g", since = 0, grep = '"hi\\"' })
    assert.equal('say "hi\\"', reader:all()().message)
    assert.equal('"\\"hi\\\\\\""', client.asked[1].filterPattern)
  end)

  it("that are none are passed over", function()
    local client = fake {}
    client.pages = function()
      local list, i = { {}, { message = "x" }, "x", { timestamp = 1, message = "y" },
        { timestamp = "2", message = "z" } }, 0
      return function()
        i = i + 1
        if list[i] then
          return i, list[i]
        end
      end
    end
    local following = log_events.new(client, { group = "g", since = 0 }):all()
    assert.equal("y", following().message)
    assert.is_nil(following())
  end)
end)

describe("events of an invocation", function()
  local list = events {
    { 10, "START RequestId: aaaa-1 Version: $LATEST" }, { 11, "what a wrote" },
    { 11, "START RequestId: cccc-3 Version: $LATEST", "t" }, { 12, "what c wrote", "t" },
    { 12, "END RequestId: aaaa-1" }, { 12, "REPORT RequestId: aaaa-1\tDuration: 2 ms" },
    { 12, "START RequestId: bbbb-2 Version: $LATEST" }, { 13, "what b wrote" },
    { 14, "REPORT RequestId: bbbb-2\tDuration: 2 ms" },
    { 20, "START RequestId: dddd-4 Version: $LATEST" }, { 21, "what d wrote" },
  }

  local function of(id)
    return messages(log_events.new(fake(list), { group = "g", since = 0 }):request(id))
  end

  it("are all that was written between its start and its report", function()
    assert.same({ "START RequestId: aaaa-1 Version: $LATEST", "what a wrote",
      "END RequestId: aaaa-1", "REPORT RequestId: aaaa-1\tDuration: 2 ms" }, of "aaaa-1")
    assert.same({ "START RequestId: bbbb-2 Version: $LATEST", "what b wrote",
      "REPORT RequestId: bbbb-2\tDuration: 2 ms" }, of "bbbb-2")
  end)

  it("end with what there is, or the next start, when it goes on", function()
    assert.same({ "START RequestId: dddd-4 Version: $LATEST", "what d wrote" }, of "dddd-4")
    assert.same({ "START RequestId: cccc-3 Version: $LATEST", "what c wrote" }, of "cccc-3")
  end)

  it("are none for another name", function()
    assert.same({}, of "eeee-5")
  end)

  it("are found in logs in JSON, too", function()
    local json = events {
      { 1, '{"type":"platform.start","record":{"requestId":"aaaa-1"}}' }, { 2, '{"message":"x"}' },
      { 3, '{"type":"platform.report","record":{"requestId":"aaaa-1"}}' }, { 4, '{"message":"y"}' },
    }
    local found = log_events.new(fake(json), { group = "g", since = 0 }):request "aaaa-1"
    assert.equal(3, #found)
  end)
end)

describe("following", function()
  it("gives each event once, late ones too", function()
    local list = events { { 100000, "a" }, { 101000, "b" } }
    local client = fake(list)
    local reader = log_events.new(client, { group = "g", since = 0, now = function()
      return 1000000
    end })
    local got = {}
    local function poll()
      reader:poll(function(event) got[#got + 1] = event.message end)
    end
    poll()
    poll()
    assert.same({ "a", "b" }, got)
    table.insert(list, { timestamp = 99000, message = "late", eventId = "l", order = 9 })
    table.insert(list, { timestamp = 101000, message = "b", eventId = "same time", order = 10 })
    poll()
    poll()
    assert.same({ "a", "b", "late", "b" }, got)
  end)

  it("does not ask for everything again, and forgets what is long past", function()
    local list = events { { 100000, "a" }, { 500000, "b" } }
    local client = fake(list)
    local reader = log_events.new(client, { group = "g", since = 0, now = function()
      return 1000000
    end })
    reader:poll(function() end)
    reader:poll(function() end)
    assert.equal(440000, client.asked[2].startTime)
    assert.same({ e2 = 500000 }, reader.seen)
  end)

  it("is not led astray by events of the future", function()
    local list = events { { 9000000, "future" } }
    local reader = log_events.new(fake(list), { group = "g", since = 0, now = function()
      return 1000000
    end })
    local count = 0
    local function emit() count = count + 1 end
    reader:poll(emit)
    table.insert(list, { timestamp = 1000500, message = "now", eventId = "n", order = 2 })
    reader:poll(emit)
    reader:poll(emit)
    assert.equal(2, count)
  end)
end)

describe("the command", function()
  local logs = require "lambdapool.cli.logs"
  local loop = require "lambdapool.loop"
  local refusals = require "lambdapool.aws.refusal"
  local support = require "tests.lua.cli_support"

  local answers, accounts, wait

  -- An account whose log group has what `answers` say, one after the other: events or an error.
  local function session()
    local lambda = { call = function() return { LoggingConfig = { LogGroup = "/own" } } end }
    local client = { pages = function(_, _, input)
      assert.equal("/own", input.logGroupName)
      local answer = table.remove(answers, 1)
      if not answer or answer.__name or getmetatable(answer) then
        error(answer or "the end", 0)
      end
      local i = 0
      return function()
        i = i + 1
        if answer[i] then
          return i, answer[i]
        end
      end
    end }
    return { lambda = function() return lambda end, logs = function() return client end }
  end

  before_each(function()
    accounts, wait = package.loaded["lambdapool.account"], loop.wait
    package.loaded["lambdapool.account"] = { open = function()
      return { session = session(), backend = "aws", close = function() end }
    end }
    loop.wait = function() end
  end)

  after_each(function()
    package.loaded["lambdapool.account"], loop.wait = accounts, wait
  end)

  local function refusal(code, status)
    return refusals.new { service = "logs", operation = "FilterLogEvents", code = code,
      status = status, message = "no", exit = 4 }
  end

  local now = os.time() * 1000
  local a = { timestamp = now, message = "a", eventId = "1" }
  local b = { timestamp = now, message = "b\n", eventId = "2" }

  it("goes on following when there is trouble, and says so once", function()
    answers = { { a }, refusal("ThrottlingException", 400), refusal("x", 503), { a, b },
      refusal("x", 503), { a, b } }
    local out, err, code = support.run(logs, "f", "-f")
    assert.equal(1, code)
    assert.same({ "a", "b" }, { out:match "^%S+ %S+ (a)\n%S+ %S+ (b)\n$" })
    local refused = "lambdapool: going on: logs refused FilterLogEvents: no (%s)\n"
    assert.equal(refused:format "ThrottlingException" .. refused:format "x" ..
      "lambdapool try: the end\n", err)
  end)

  it("ends when that would not help", function()
    answers = { { a }, refusal("AccessDeniedException", 400) }
    local _, err, code = support.run(logs, "f", "-f")
    assert.equal(4, code)
    assert.matches("^lambdapool try: logs refused FilterLogEvents: no %(AccessDenied", err)
  end)

  it("waits for a log group that is not there yet", function()
    answers = { refusal("ResourceNotFoundException", 400), { a } }
    local out = support.run(logs, "f", "-f")
    assert.matches(" a\n$", out)
  end)
end)
