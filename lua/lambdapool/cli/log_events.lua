--- Reading CloudWatch Logs: all events of a time, those of one invocation, and new ones as they
--- come. Nothing is printed here.

local system = require "lambdapool.system"

-- Events may appear so much later than they say: that far back is looked for them again.
local LATE_MS = 60000

---@class lambdapool.cli.LogEvents
---@field private client lambdapool.aws.Client
---@field private group string
---@field private since integer milliseconds since 1970
---@field private finish integer? the last millisecond
---@field private grep string? what messages must contain
---@field private seen table<string, integer> when events happened that `poll` has had
---@field private from integer where `poll` begins
---@field private now fun(): integer
local methods = {}
local mt = { __name = "lambdapool.cli.LogEvents", __index = methods }

-- A pattern of CloudWatch for messages that contain a text.
local function quoted(text)
  return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
end

local function filter(self, options)
  return self.client:pages("FilterLogEvents", {
    logGroupName = self.group, startTime = options.since or self.since,
    endTime = options.finish or self.finish, logStreamNames = options.streams,
    filterPattern = options.text and quoted(options.text),
  }, "events")
end

-- All that is read becomes terminal output or JSON: events are what they should be.
local function is_event(event)
  return type(event) == "table" and type(event.message) == "string"
    and math.type(event.timestamp) == "integer"
end

--- Goes through the events in the order of their times, page by page.
---@return fun(): table? event { timestamp =, message =, logStreamName = }
function methods:all()
  local following = filter(self, { text = self.grep })
  return function()
    while true do
      local i, event = following()
      if not i then
        return nil
      elseif is_event(event) then
        return event
      end
    end
  end
end

-- One invocation -------------------------------------------------------------------------------

local function contains(message, text)
  return message:find(text, 1, true) ~= nil
end

-- Messages of the platform about an invocation, as text or as JSON.
local function marks(message, id, word, kind)
  return contains(message, word .. " RequestId: " .. id)
    or contains(message, '"platform.' .. kind .. '"') and contains(message, id)
end

-- The streams in which an invocation is named: where its events begin and, if that is known, end.
local function find_streams(self, id)
  local list, by_name = {}, {}
  for _, event in filter(self, { text = id }) do
    if is_event(event) and event.logStreamName then
      local found = by_name[event.logStreamName]
      if not found then
        found = { name = event.logStreamName, first = event.timestamp }
        by_name[found.name] = found
        list[#list + 1] = found
      end
      if marks(event.message, id, "REPORT", "report") then
        found.last = event.timestamp
      end
    end
  end
  return list
end

-- What the function writes itself does not say for which invocation. But a stream is of one
-- environment, and that does one thing at a time.
local function append_slice(events, self, stream, id)
  local inside = false
  for _, event in filter(self, { since = stream.first, finish = stream.last,
    streams = { stream.name } }) do
    if is_event(event) then
      local is_start = marks(event.message, "", "START", "start")
      inside = inside and not is_start or contains(event.message, id)
      if inside then
        events[#events + 1] = event
      end
      if inside and marks(event.message, id, "REPORT", "report") then
        return
      end
    end
  end
end

--- The events of one invocation, what its function wrote included.
---@param id string
---@return table[] events empty when there is no trace of it
function methods:request(id)
  local events = {}
  for _, stream in ipairs(find_streams(self, id)) do
    append_slice(events, self, stream, id)
  end
  return events
end

-- As they come ---------------------------------------------------------------------------------

local function key_of(event)
  return event.eventId
    or ("%s %d %s"):format(event.logStreamName or "", event.timestamp, event.message)
end

--- Calls emit(event) for each event that no earlier poll had.
---@param emit fun(event: table)
function methods:poll(emit)
  local latest = self.from
  for _, event in filter(self, { since = self.from, text = self.grep }) do
    if is_event(event) and not self.seen[key_of(event)] then
      self.seen[key_of(event)] = event.timestamp
      latest = math.max(latest, event.timestamp)
      emit(event)
    end
  end
  self.from = math.max(self.from, math.min(latest, self.now()) - LATE_MS)
  for key, timestamp in pairs(self.seen) do
    if timestamp < self.from then
      self.seen[key] = nil
    end
  end
end

---@param client lambdapool.aws.Client of "logs"
---@param options { group: string, since: integer, finish: integer?, grep: string?, now: function? }
---@return lambdapool.cli.LogEvents
local function new(client, options)
  return setmetatable({ client = client, group = options.group, since = options.since,
    finish = options.finish, grep = options.grep, seen = {}, from = options.since,
    now = options.now or system.now }, mt)
end

return { new = new }
