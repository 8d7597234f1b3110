--- CloudWatch Logs: every operation by its name, as function(context, input) -> body or nothing.

local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local log_filter = require "lambdapool.serve.logs.filter"
local log_reader = require "lambdapool.serve.logs.reader"

local RETENTIONS = { 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827,
  2192, 2557, 2922, 3288, 3653 }

local MOST_EVENTS = 10000
local MOST_BYTES = 1 << 20
local EVENT_BYTES = 26
local LONGEST_MESSAGE = 1 << 20
local HOUR = 3600 * 1000

local operations = {}

-- Checking ----------------------------------------------------------------------------------------

local function invalid(message, ...)
  fault(400, "InvalidParameterException", message:format(...))
end

local function violation(name, value, rule)
  invalid("1 validation error detected: Value %sat '%s' failed to satisfy constraint: Member " ..
    "must %s", value ~= nil and ("'%s' "):format(tostring(value)) or "null ", name, rule)
end

local function text_of(input, name, class, pattern)
  local value = input[name]
  if value == nil then
    violation(name, nil, "not be null")
  elseif type(value) ~= "string" then
    fault(400, "SerializationException", ("%s is not a string"):format(name))
  elseif value == "" then
    violation(name, value, "have length greater than or equal to 1")
  elseif #value > 512 then
    violation(name, value, "have length less than or equal to 512")
  elseif value:find(class) then
    violation(name, value, "satisfy regular expression pattern: " .. pattern)
  end
  return value
end

local function integer_of(input, name, default, min, max)
  local value = input[name]
  if value == nil then
    return default
  elseif math.type(value) ~= "integer" then
    fault(400, "SerializationException", ("%s is not an integer"):format(name))
  elseif value < min then
    violation(name, value, "have value greater than or equal to " .. min)
  elseif max and value > max then
    violation(name, value, "have value less than or equal to " .. max)
  end
  return value
end

local function group_name(input, member)
  return text_of(input, member or "logGroupName", "[^%w._/#%-]", "[\\.\\-_/#A-Za-z0-9]+")
end

local function stream_name(input)
  return text_of(input, "logStreamName", "[:*]", "[^:*]*")
end

local STRINGS = { "logGroupName", "logGroupIdentifier", "logStreamName", "nextToken", "resourceArn",
  "logGroupNamePrefix", "logGroupNamePattern", "logStreamNamePrefix", "filterPattern", "orderBy" }

-- A list or a map, and what its values are.
local CONTAINERS = { logEvents = "table", logStreamNames = "string", tagKeys = "string",
  tags = "string" }

local function is_container(value, of)
  if type(value) ~= "table" then
    return false
  end
  for _, item in pairs(value) do
    if type(item) ~= of then
      return false
    end
  end
  return true
end

-- Members are of the types that the API has, whatever the operation.
local function check_types(input)
  for _, name in ipairs(STRINGS) do
    if input[name] ~= nil and type(input[name]) ~= "string" then
      fault(400, "SerializationException", ("%s is not a string"):format(name))
    end
  end
  for name, of in pairs(CONTAINERS) do
    if input[name] ~= nil and not is_container(input[name], of) then
      fault(400, "SerializationException", ("%s is not what it must be"):format(name))
    end
  end
end

-- An ARN or the name of a group.
local function name_in(identifier)
  return identifier:match "^arn:[^:]*:logs:[^:]*:[^:]*:log%-group:([^:]+)" or identifier
end

local function find_group(context, input)
  local identifier = input.logGroupName or input.logGroupIdentifier
  local name = group_name { logGroupName = identifier and name_in(identifier) }
  local group = context.service.logs:group(context.region, name)
  if not group then
    fault(400, "ResourceNotFoundException", "The specified log group does not exist.")
  end
  return group
end

local function find_stream(context, group, input)
  local stream = context.service.logs:stream(group, stream_name(input))
  if not stream then
    fault(400, "ResourceNotFoundException", "The specified log stream does not exist.")
  end
  return stream
end

-- Lists in pages: the token is the place in the list.
local function page(input, name, list, default, most, convert)
  local first = 1
  if input.nextToken ~= nil then
    first = math.tointeger(tonumber(input.nextToken))
    if not first or first < 1 then
      invalid "The specified nextToken is invalid."
    end
    first = math.min(first, #list + 1)
  end
  local last = math.min(#list, first + integer_of(input, "limit", default, 1, most) - 1)
  local items = {}
  for i = first, last do
    items[#items + 1] = convert(list[i])
  end
  return { [name] = json.array(items), nextToken = last < #list and tostring(last + 1) or nil }
end

-- Groups ------------------------------------------------------------------------------------------

local function group_arn(context, name)
  return ("arn:aws:logs:%s:%s:log-group:%s"):format(context.region, context.account, name)
end

function operations.CreateLogGroup(context, input)
  local name = group_name(input)
  local logs = context.service.logs
  if logs:group(context.region, name) then
    fault(400, "ResourceAlreadyExistsException", "The specified log group already exists")
  end
  logs:create_group(context.region, name)
  if input.tags then
    operations.TagLogGroup(context, input)
  end
end

function operations.DeleteLogGroup(context, input)
  context.service.logs:delete_group(find_group(context, input))
end

local function show_group(context)
  return function(group)
    local arn = group_arn(context, group.name)
    return { logGroupName = group.name, creationTime = group.created, arn = arn .. ":*",
      retentionInDays = group.retention, metricFilterCount = 0, storedBytes = group.bytes,
      logGroupClass = "STANDARD", logGroupArn = arn }
  end
end

function operations.DescribeLogGroups(context, input)
  local logs = context.service.logs
  logs:flush()
  local prefix, part = input.logGroupNamePrefix, input.logGroupNamePattern
  if prefix and part then
    invalid "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
  end
  local list = logs.db:rows([[SELECT * FROM groups WHERE region = ? AND substr(name, 1, ?) = ?
    AND instr(lower(name), lower(?)) ORDER BY name]], context.region, #(prefix or ""), prefix or "",
    part or "")
  return page(input, "logGroups", list, 50, 50, show_group(context))
end

function operations.PutRetentionPolicy(context, input)
  local group = find_group(context, input)
  local days = integer_of(input, "retentionInDays", nil, 1)
  for _, allowed in ipairs(RETENTIONS) do
    if days == allowed then
      context.service.logs.db:run("UPDATE groups SET retention = ? WHERE id = ?", days, group.id)
      return context.service.logs:expire()
    end
  end
  violation("retentionInDays", days, ("satisfy enum value set: [%s]")
    :format(table.concat(RETENTIONS, ", ")))
end

function operations.DeleteRetentionPolicy(context, input)
  context.service.logs.db:run("UPDATE groups SET retention = NULL WHERE id = ?",
    find_group(context, input).id)
end

-- Tags --------------------------------------------------------------------------------------------

local function tagged(context, input)
  if input.resourceArn ~= nil then
    return find_group(context, { logGroupName = name_in(tostring(input.resourceArn)) })
  end
  return find_group(context, input)
end

local function change_tags(context, input, change)
  local group = tagged(context, input)
  local tags = json.decode(group.tags)
  change(tags)
  context.service.logs.db:run("UPDATE groups SET tags = ? WHERE id = ?", json.encode(tags),
    group.id)
end

function operations.TagResource(context, input)
  change_tags(context, input, function(tags)
    for key, value in pairs(input.tags or {}) do
      tags[tostring(key)] = value
    end
  end)
end

function operations.UntagResource(context, input)
  change_tags(context, input, function(tags)
    for _, key in ipairs(input.tagKeys or input.tags or {}) do
      tags[key] = nil
    end
  end)
end

function operations.ListTagsForResource(context, input)
  return { tags = json.decode(tagged(context, input).tags) }
end

operations.TagLogGroup = operations.TagResource
operations.UntagLogGroup = operations.UntagResource
operations.ListTagsLogGroup = operations.ListTagsForResource

-- Streams -----------------------------------------------------------------------------------------

function operations.CreateLogStream(context, input)
  local group, logs = find_group(context, input), context.service.logs
  local name = stream_name(input)
  if logs:stream(group, name) then
    fault(400, "ResourceAlreadyExistsException", "The specified log stream already exists")
  end
  logs:create_stream(group, name)
end

function operations.DeleteLogStream(context, input)
  local logs = context.service.logs
  logs:flush()
  logs:delete_stream(find_stream(context, find_group(context, input), input))
end

local function show_stream(arn)
  return function(stream)
    return { logStreamName = stream.name, creationTime = stream.created,
      firstEventTimestamp = stream.first, lastEventTimestamp = stream.last,
      lastIngestionTime = stream.ingested, uploadSequenceToken = "1", storedBytes = 0,
      arn = arn .. ":log-stream:" .. stream.name }
  end
end

function operations.DescribeLogStreams(context, input)
  local logs = context.service.logs
  logs:flush()
  local group, prefix = find_group(context, input), input.logStreamNamePrefix or ""
  local by_time = input.orderBy == "LastEventTime"
  if by_time and prefix ~= "" then
    invalid "Cannot order by LastEventTime with a logStreamNamePrefix."
  elseif input.orderBy and not by_time and input.orderBy ~= "LogStreamName" then
    violation("orderBy", input.orderBy, "satisfy enum value set: [LogStreamName, LastEventTime]")
  end
  local list = logs.db:rows(("SELECT * FROM streams WHERE log = ? AND substr(name, 1, ?) = ? " ..
    "ORDER BY %s %s"):format(by_time and "coalesce(last, created)" or "name",
    input.descending == true and "DESC" or "ASC"), group.id, #prefix, prefix)
  return page(input, "logStreams", list, 50, 50, show_stream(group_arn(context, group.name)))
end

-- Writing -----------------------------------------------------------------------------------------

-- The events as a list for the store. Raises when one is not as it must be.
local function check_events(list)
  local events, bytes, latest = {}, 0, math.mininteger
  if type(list) ~= "table" or not list[1] then
    violation("logEvents", nil, "have length greater than or equal to 1")
  elseif #list > MOST_EVENTS then
    violation("logEvents", nil, "have length less than or equal to " .. MOST_EVENTS)
  end
  for _, event in ipairs(list) do
    local ms, message = event.timestamp, event.message
    if math.type(ms) ~= "integer" or ms < 0 or type(message) ~= "string" or message == "" then
      invalid "A log event must have a timestamp, and a message of at least one character."
    elseif ms < latest then
      invalid "Log events in a single PutLogEvents request must be in chronological order."
    elseif #message > LONGEST_MESSAGE then
      invalid("Log event too large: %d bytes exceeds limit of %d", #message, LONGEST_MESSAGE)
    end
    latest, bytes = ms, bytes + #message + EVENT_BYTES
    events[#events + 1] = ms
    events[#events + 1] = message
  end
  if bytes > MOST_BYTES then
    invalid("Upload too large: %d bytes exceeds limit of %d", bytes, MOST_BYTES)
  end
  return events
end

-- Takes out what is too old or too new, and says where the rest begins and ends.
local function reject(events, now, retention)
  local kept, rejected = {}, {}
  for i = 1, #events, 2 do
    local ms, index = events[i], i // 2
    if retention and ms < now - retention * 24 * HOUR then
      rejected.expiredLogEventEndIndex = index + 1
    elseif ms < now - 14 * 24 * HOUR then
      rejected.tooOldLogEventEndIndex = index + 1
    elseif ms > now + 2 * HOUR then
      rejected.tooNewLogEventStartIndex = rejected.tooNewLogEventStartIndex or index
    else
      table.move(events, i, i + 1, #kept + 1, kept)
    end
  end
  return kept, next(rejected) and rejected
end

function operations.PutLogEvents(context, input)
  local logs = context.service.logs
  local group = find_group(context, input)
  local stream = find_stream(context, group, input)
  local kept, rejected = reject(check_events(input.logEvents), logs:milliseconds(), group.retention)
  if kept[1] then
    logs:append(context.region, group.name, stream.name, kept)
    logs:flush()
  end
  return { nextSequenceToken = "1", rejectedLogEventsInfo = rejected or nil }
end

-- Reading -----------------------------------------------------------------------------------------

local function always()
  return true
end

-- Where a page of GetLogEvents begins, and in which direction it goes.
local function start_of(input)
  if input.nextToken == nil then
    local from_head = input.startFromHead == true
    return from_head and log_reader.HEAD or log_reader.TAIL, not from_head
  end
  local direction, token = tostring(input.nextToken):match "^([fb])/(.*)$"
  local position = token and log_reader.position(token)
  if not position then
    invalid "The specified nextToken is invalid."
  end
  return position, direction == "b"
end

function operations.GetLogEvents(context, input)
  local logs = context.service.logs
  logs:flush()
  local stream = find_stream(context, find_group(context, input), input)
  local position, backwards = start_of(input)
  local found = log_reader.read(logs, {
    column = "stream", id = stream.id, position = position, backwards = backwards, test = always,
    start = integer_of(input, "startTime", math.mininteger, 0),
    finish = integer_of(input, "endTime", math.maxinteger, 0),
    limit = integer_of(input, "limit", MOST_EVENTS, 1, MOST_EVENTS),
  })
  local events = {}
  for i, event in ipairs(found.events) do
    events[i] = { timestamp = event.ms, message = event.message, ingestionTime = event.ingested }
  end
  local list = found.events
  return { events = json.array(events),
    nextForwardToken = "f/" .. log_reader.token(list[#list] or position),
    nextBackwardToken = "b/" .. log_reader.token(list[1] or position) }
end

-- Which streams are meant: those named, those that begin like that, or all.
local function stream_test(input)
  local names, prefix = input.logStreamNames, input.logStreamNamePrefix
  if names and prefix then
    invalid "logStreamNames and logStreamNamePrefix cannot both be given."
  elseif names then
    local set = {}
    for _, name in ipairs(names) do
      set[name] = true
    end
    return function(name) return set[name] end
  end
  return prefix and function(name) return name:sub(1, #prefix) == prefix end
end

local function check_streams(context, group, input)
  for _, name in ipairs(input.logStreamNames or {}) do
    find_stream(context, group, { logStreamName = name })
  end
end

local function show_event(event)
  return { logStreamName = event.stream, timestamp = event.ms, message = event.message,
    ingestionTime = event.ingested, eventId = ("%040d%016d"):format(event.chunk, event.index) }
end

local function earlier(a, b)
  if a.ms ~= b.ms then
    return a.ms < b.ms
  elseif a.chunk ~= b.chunk then
    return a.chunk < b.chunk
  end
  return a.index < b.index
end

function operations.FilterLogEvents(context, input)
  local logs = context.service.logs
  logs:flush()
  local group = find_group(context, input)
  check_streams(context, group, input)
  local position = log_reader.HEAD
  if input.nextToken ~= nil then
    position = log_reader.position(tostring(input.nextToken))
      or invalid "The specified nextToken is invalid."
  end
  local last = integer_of(input, "endTime", math.maxinteger, 0)
  local found = log_reader.read(logs, {
    column = "log", id = group.id, position = position, wants = stream_test(input),
    test = log_filter.compile(input.filterPattern),
    start = integer_of(input, "startTime", math.mininteger, 0),
    finish = last < math.maxinteger and last + 1 or last,
    limit = integer_of(input, "limit", MOST_EVENTS, 1, MOST_EVENTS),
  })
  table.sort(found.events, earlier)
  local events = {}
  for i, event in ipairs(found.events) do
    events[i] = show_event(event)
  end
  return { events = json.array(events), searchedLogStreams = json.array {},
    nextToken = not found.done and log_reader.token(found.position) or nil }
end

-- Every operation looks at the types first.
for name, operation in pairs(operations) do
  operations[name] = function(context, input)
    check_types(input)
    return operation(context, input)
  end
end

return { operations = operations }
