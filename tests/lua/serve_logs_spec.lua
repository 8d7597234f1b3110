--- CloudWatch Logs over a real database, called as the front does.

local fault = require "lambdapool.serve.fault"
local log_store = require "lambdapool.serve.logs.store"
local logs = require "lambdapool.serve.logs.operations"
local loop = require "lambdapool.loop"

local DAY = 24 * 3600 * 1000
local NOW = 1700000000000

local path, now, store, region

-- Runs an operation; its result, or "status type: message" of the fault.
local function call(name, input)
  local context = { service = { logs = store }, region = region, account = "123456789012" }
  local ok, result = pcall(logs.operations[name], context, input or {})
  if ok then
    return result
  elseif not fault.is(result) then
    error(result, 0)
  end
  return ("%d %s: %s"):format(result.status, result.type, result.message)
end

local function open()
  store = assert(log_store.open { path = path, now = function() return now / 1000 end })
end

local function texts(result)
  local list = {}
  for i, event in ipairs(result.events) do
    list[i] = event.message
  end
  return list
end

local function names(list, field)
  local found = {}
  for i, item in ipairs(list) do
    found[i] = item[field]
  end
  return found
end

-- Events "1" to "n", a millisecond apart.
local function numbered(first, last)
  local list = {}
  for i = first, last do
    list[#list + 1] = NOW + i
    list[#list + 1] = tostring(i)
  end
  return list
end

before_each(function()
  path, now, region = os.tmpname(), NOW, "us-east-1"
  os.remove(path)
  open()
end)

after_each(function()
  store:close()
  os.execute(("rm -f '%s' '%s-wal' '%s-shm'"):format(path, path, path))
end)

describe("log groups", function()
  it("are created, listed and deleted", function()
    assert.is_nil(call("CreateLogGroup", { logGroupName = "/b", tags = { k = "v" } }))
    call("CreateLogGroup", { logGroupName = "/a" })
    local result = call "DescribeLogGroups"
    assert.same({ "/a", "/b" }, names(result.logGroups, "logGroupName"))
    assert.equal("arn:aws:logs:us-east-1:123456789012:log-group:/a:*", result.logGroups[1].arn)
    assert.equal(NOW, result.logGroups[1].creationTime)
    assert.same({ tags = { k = "v" } }, call("ListTagsLogGroup", { logGroupName = "/b" }))
    call("DeleteLogGroup", { logGroupName = "/b" })
    assert.same({ "/a" }, names(call "DescribeLogGroups".logGroups, "logGroupName"))
  end)

  it("are refused when something is wrong with them", function()
    call("CreateLogGroup", { logGroupName = "/a" })
    assert.equal("400 ResourceAlreadyExistsException: The specified log group already exists",
      call("CreateLogGroup", { logGroupName = "/a" }))
    assert.equal("400 ResourceNotFoundException: The specified log group does not exist.",
      call("DeleteLogGroup", { logGroupName = "/no" }))
    assert.equal("400 InvalidParameterException: 1 validation error detected: Value 'a b' at " ..
      "'logGroupName' failed to satisfy constraint: Member must satisfy regular expression " ..
      "pattern: [\\.\\-_/#A-Za-z0-9]+", call("CreateLogGroup", { logGroupName = "a b" }))
    assert.matches("Value null at 'logGroupName'", call "CreateLogGroup")
    assert.matches("^400 SerializationException", call("CreateLogGroup", { logGroupName = 1 }))
  end)

  it("are refused when their input is of other types", function()
    local names_of = {}
    for name in pairs(logs.operations) do
      names_of[#names_of + 1] = name
    end
    for _, name in ipairs(names_of) do
      for _, member in ipairs { "logGroupName", "logGroupIdentifier", "logStreamName", "nextToken",
        "resourceArn", "logGroupNamePrefix", "logGroupNamePattern", "logStreamNamePrefix", "tags",
        "filterPattern", "orderBy", "logEvents", "logStreamNames", "tagKeys", "limit",
        "startTime", "endTime", "retentionInDays", "startFromHead" } do
        for _, value in ipairs { 1, true, { 1 }, { { 1 } }, { x = {} }, 1.5, "", "x" } do
          local input = { logGroupName = "/g", logStreamName = "s" }
          input[member] = value
          call(name, input) -- anything but an error that is no fault
        end
      end
    end
  end)

  it("are of one region", function()
    call("CreateLogGroup", { logGroupName = "/a" })
    region = "eu-west-1"
    assert.same({}, call "DescribeLogGroups".logGroups)
    assert.is_nil(call("CreateLogGroup", { logGroupName = "/a" }))
  end)

  it("are listed in pages, by their names", function()
    for i = 1, 5 do
      call("CreateLogGroup", { logGroupName = "/p/" .. i })
    end
    call("CreateLogGroup", { logGroupName = "/q" })
    local result = call("DescribeLogGroups", { logGroupNamePrefix = "/p/", limit = 3 })
    assert.same({ "/p/1", "/p/2", "/p/3" }, names(result.logGroups, "logGroupName"))
    result = call("DescribeLogGroups", { logGroupNamePrefix = "/p/", limit = 3,
      nextToken = result.nextToken })
    assert.same({ "/p/4", "/p/5" }, names(result.logGroups, "logGroupName"))
    assert.is_nil(result.nextToken)
    result = call("DescribeLogGroups", { logGroupNamePattern = "Q" })
    assert.same({ "/q" }, names(result.logGroups, "logGroupName"))
    assert.matches("^400 InvalidParameterException", call("DescribeLogGroups", { limit = 51 }))
    assert.matches("^400 InvalidParameterException",
      call("DescribeLogGroups", { nextToken = "x" }))
  end)

  it("have tags", function()
    call("CreateLogGroup", { logGroupName = "/a" })
    local arn = "arn:aws:logs:us-east-1:123456789012:log-group:/a"
    call("TagResource", { resourceArn = arn, tags = { a = "1", b = "2" } })
    call("UntagResource", { resourceArn = arn .. ":*", tagKeys = { "a" } })
    assert.same({ tags = { b = "2" } }, call("ListTagsForResource", { resourceArn = arn }))
  end)
end)

describe("log streams", function()
  before_each(function()
    call("CreateLogGroup", { logGroupName = "/g" })
  end)

  it("are created, listed and deleted", function()
    for _, name in ipairs { "b/[$LATEST]1", "a" } do
      assert.is_nil(call("CreateLogStream", { logGroupName = "/g", logStreamName = name }))
    end
    assert.equal("400 ResourceAlreadyExistsException: The specified log stream already exists",
      call("CreateLogStream", { logGroupName = "/g", logStreamName = "a" }))
    local result = call("DescribeLogStreams", { logGroupName = "/g" })
    assert.same({ "a", "b/[$LATEST]1" }, names(result.logStreams, "logStreamName"))
    assert.is_nil(result.logStreams[1].lastEventTimestamp)
    result = call("DescribeLogStreams", { logGroupName = "/g", logStreamNamePrefix = "b" })
    assert.equal(1, #result.logStreams)
    call("DeleteLogStream", { logGroupName = "/g", logStreamName = "a" })
    assert.equal("400 ResourceNotFoundException: The specified log stream does not exist.",
      call("GetLogEvents", { logGroupName = "/g", logStreamName = "a" }))
  end)

  it("are listed by their last event", function()
    store:append(region, "/g", "old", { NOW - 10, "x" })
    store:append(region, "/g", "new", { NOW, "x" })
    local result = call("DescribeLogStreams", { logGroupName = "/g", orderBy = "LastEventTime",
      descending = true })
    assert.same({ "new", "old" }, names(result.logStreams, "logStreamName"))
    assert.equal(NOW, result.logStreams[1].lastEventTimestamp)
    assert.matches("^400 InvalidParameterException: Cannot order", call("DescribeLogStreams",
      { logGroupName = "/g", orderBy = "LastEventTime", logStreamNamePrefix = "n" }))
  end)
end)

describe("events", function()
  local function put(events, stream)
    local list = {}
    for i = 1, #events, 2 do
      list[#list + 1] = { timestamp = events[i], message = events[i + 1] }
    end
    return call("PutLogEvents", { logGroupName = "/g", logStreamName = stream or "s",
      logEvents = list })
  end

  before_each(function()
    call("CreateLogGroup", { logGroupName = "/g" })
    call("CreateLogStream", { logGroupName = "/g", logStreamName = "s" })
  end)

  it("are put and read", function()
    assert.same({ nextSequenceToken = "1" }, put { NOW - 1, "a\0b", NOW, "ü" })
    local result = call("GetLogEvents", { logGroupName = "/g", logStreamName = "s" })
    assert.same({ timestamp = NOW - 1, message = "a\0b", ingestionTime = NOW }, result.events[1])
    assert.same({ "a\0b", "ü" }, texts(result))
  end)

  it("are refused when something is wrong with them", function()
    assert.matches("chronological order", put { NOW, "a", NOW - 1, "b" })
    assert.matches("^400 InvalidParameterException", put { NOW, "" })
    assert.matches("^400 InvalidParameterException", put {})
    assert.matches("^400 InvalidParameterException: Upload too large",
      put { NOW, ("x"):rep(600000), NOW, ("x"):rep(600000) })
    assert.matches("log stream does not exist", put({ NOW, "a" }, "no"))
  end)

  it("that are too old or too new are left out", function()
    local result = put { NOW - 15 * DAY, "old", NOW, "now", NOW + DAY, "new" }
    assert.same({ tooOldLogEventEndIndex = 1, tooNewLogEventStartIndex = 2 },
      result.rejectedLogEventsInfo)
    assert.same({ "now" },
      texts(call("GetLogEvents", { logGroupName = "/g", logStreamName = "s" })))
  end)

  it("are read from the head, page by page, until the token repeats", function()
    for i = 1, 9, 2 do
      put(numbered(i, i + 1))
    end
    local input = { logGroupName = "/g", logStreamName = "s", startFromHead = true, limit = 4 }
    local seen = {}
    for _ = 1, 10 do
      local result = call("GetLogEvents", input)
      table.move(texts(result), 1, #result.events, #seen + 1, seen)
      if result.nextForwardToken == input.nextToken then
        break
      end
      input.nextToken = result.nextForwardToken
    end
    assert.equal("1 2 3 4 5 6 7 8 9 10", table.concat(seen, " "))
    put(numbered(11, 11))
    assert.same({ "11" }, texts(call("GetLogEvents", input)))
  end)

  it("are read from the tail backwards", function()
    for i = 1, 9, 2 do
      put(numbered(i, i + 1))
    end
    local input = { logGroupName = "/g", logStreamName = "s", limit = 4 }
    local result = call("GetLogEvents", input)
    assert.same({ "7", "8", "9", "10" }, texts(result))
    input.nextToken = result.nextBackwardToken
    result = call("GetLogEvents", input)
    assert.same({ "3", "4", "5", "6" }, texts(result))
    input.nextToken = result.nextForwardToken
    assert.same({ "7", "8", "9", "10" }, texts(call("GetLogEvents", input)))
    input.nextToken = result.nextBackwardToken
    result = call("GetLogEvents", input)
    assert.same({ "1", "2" }, texts(result))
    input.nextToken = "f/nonsense"
    assert.matches("nextToken is invalid", call("GetLogEvents", input))
  end)

  it("are chosen by time", function()
    put(numbered(1, 9))
    local result = call("GetLogEvents", { logGroupName = "/g", logStreamName = "s",
      startTime = NOW + 3, endTime = NOW + 6 })
    assert.same({ "3", "4", "5" }, texts(result))
    result = call("FilterLogEvents", { logGroupName = "/g", startTime = NOW + 3,
      endTime = NOW + 6 })
    assert.same({ "3", "4", "5", "6" }, texts(result))
  end)

  it("of all streams are merged by time", function()
    store:append(region, "/g", "a", { NOW, "a1", NOW + 2, "a2" })
    store:append(region, "/g", "b", { NOW + 1, "b1", NOW + 3, "b2" })
    local result = call("FilterLogEvents", { logGroupName = "/g" })
    assert.same({ "a1", "b1", "a2", "b2" }, texts(result))
    assert.equal("b", result.events[2].logStreamName)
    local ids = {}
    for _, event in ipairs(result.events) do
      assert.is_nil(ids[event.eventId])
      ids[event.eventId] = true
    end
    result = call("FilterLogEvents", { logGroupName = "/g", logStreamNames = { "a" } })
    assert.same({ "a1", "a2" }, texts(result))
    result = call("FilterLogEvents", { logGroupName = "/g", logStreamNamePrefix = "b" })
    assert.same({ "b1", "b2" }, texts(result))
    assert.matches("log stream does not exist",
      call("FilterLogEvents", { logGroupName = "/g", logStreamNames = { "no" } }))
  end)

  it("are filtered, page by page", function()
    for i = 1, 250 do
      store:append(region, "/g", "s" .. i % 7, { NOW + i, (i % 2 == 0 and "even " or "odd ") .. i })
      store:flush()
    end
    local input = { logGroupName = "/g", filterPattern = "even", limit = 30 }
    local seen, pages = {}, 0
    repeat
      local result = call("FilterLogEvents", input)
      table.move(texts(result), 1, #result.events, #seen + 1, seen)
      input.nextToken, pages = result.nextToken, pages + 1
    until not input.nextToken
    assert.equal(125, #seen)
    assert.equal("even 2", seen[1])
    assert.equal("even 250", seen[125])
    assert.is_true(pages >= 5)
    assert.matches("nextToken is invalid",
      call("FilterLogEvents", { logGroupName = "/g", nextToken = "x" }))
  end)
end)

describe("the store of logs", function()
  it("makes groups and streams as functions write to them", function()
    store:append(region, "/aws/lambda/f", "1", { NOW, "a\n" })
    local result = call("FilterLogEvents", { logGroupName = "/aws/lambda/f" })
    assert.same({ "a\n" }, texts(result))
    call("DeleteLogGroup", { logGroupName = "/aws/lambda/f" })
    store:append(region, "/aws/lambda/f", "1", { NOW, "b\n" })
    assert.same({ "b\n" }, texts(call("FilterLogEvents", { logGroupName = "/aws/lambda/f" })))
  end)

  it("writes soon without being asked, and when it is closed", function()
    store:append(region, "/g", "s", { NOW, "a" })
    loop.wait(function() return not next(store.pending) end, nil, 60)
    assert.equal(1, store.db:row "SELECT count(*) AS n FROM chunks".n)
    store:append(region, "/g", "s", { NOW, "b" })
    store:close()
    open()
    assert.same({ "a", "b" }, texts(call("FilterLogEvents", { logGroupName = "/g" })))
  end)

  it("never keeps much in memory", function()
    local event = ("x"):rep(100000)
    for i = 1, 20 do
      store:append(region, "/g", "s", { NOW + i, event })
      assert.is_true(store.pending_bytes <= 1 << 20)
    end
  end)

  it("keeps one row for what comes together", function()
    for i = 1, 10 do
      store:append(region, "/g", "s", { NOW + i, "a", NOW + i, "b" })
    end
    store:flush()
    assert.equal(1, store.db:row "SELECT count(*) AS n FROM chunks".n)
    assert.equal(20, #call("FilterLogEvents", { logGroupName = "/g" }).events)
  end)

  it("cuts what is large, and reads it page by page", function()
    local lines = {}
    for i = 1, 400 do
      lines[#lines + 1] = NOW + i
      lines[#lines + 1] = ("%d %s\n"):format(i, ("x"):rep(100000))
    end
    store:append(region, "/g", "s", lines)
    local input, count, pages = { logGroupName = "/g" }, 0, 0
    repeat
      local result = call("FilterLogEvents", input)
      for _, event in ipairs(result.events) do
        count = count + 1
        assert.equal(count, tonumber(event.message:match "^%d+"))
      end
      input.nextToken, pages = result.nextToken, pages + 1
    until not input.nextToken
    assert.equal(400, count)
    assert.is_true(pages >= 40)
    input = { logGroupName = "/g", filterPattern = "nothing" }
    assert.same({}, call("FilterLogEvents", input).events)
    assert.is_string(call("FilterLogEvents", input).nextToken)
  end)

  it("answers in UTF-8, whatever a function has printed", function()
    store:append(region, "/g", "s", { NOW, "\255ü\195", NOW, "\128" })
    assert.same({ "\u{FFFD}ü\u{FFFD}", "\u{FFFD}" },
      texts(call("FilterLogEvents", { logGroupName = "/g" })))
  end)

  it("makes again what a failure has undone", function()
    store.failed = function() end
    store.db:run "CREATE TRIGGER full BEFORE INSERT ON chunks BEGIN SELECT raise(ABORT, 'x'); END"
    store:append(region, "/new", "s", { NOW, "a" })
    assert.is_false(pcall(store.flush, store))
    store.db:run "DROP TRIGGER full"
    store:append(region, "/new", "s", { NOW, "b" })
    assert.same({ "b" }, texts(call("FilterLogEvents", { logGroupName = "/new" })))
  end)

  it("survives what cannot be written", function()
    local complaint
    store.failed = function(problem) complaint = problem end
    store:append(region, "/g", "s", { NOW, "a" })
    store.db:run "DROP TABLE chunks"
    loop.wait(function() return complaint end, nil, 60)
    assert.matches("chunks", tostring(complaint))
    assert.is_nil(next(store.pending))
  end)
end)

describe("retention", function()
  it("is kept, and carried out", function()
    store:append(region, "/g", "old", { NOW - 8 * DAY, "old" })
    store:append(region, "/g", "new", { NOW - 2 * DAY, "new" })
    store:flush()
    call("PutRetentionPolicy", { logGroupName = "/g", retentionInDays = 7 })
    assert.equal(7, call "DescribeLogGroups".logGroups[1].retentionInDays)
    assert.same({ "new" }, texts(call("FilterLogEvents", { logGroupName = "/g" })))
    local streams = call("DescribeLogStreams", { logGroupName = "/g" }).logStreams
    assert.same({ "new" }, names(streams, "logStreamName"))
    now = NOW + 6 * DAY
    store:expire()
    assert.same({}, texts(call("FilterLogEvents", { logGroupName = "/g" })))
    call("DeleteRetentionPolicy", { logGroupName = "/g" })
    assert.is_nil(call "DescribeLogGroups".logGroups[1].retentionInDays)
  end)

  it("is one of those that AWS knows", function()
    call("CreateLogGroup", { logGroupName = "/g" })
    assert.matches("^400 InvalidParameterException: .*enum value set: %[1, 3, 5, 7,",
      call("PutRetentionPolicy", { logGroupName = "/g", retentionInDays = 8 }))
  end)
end)
