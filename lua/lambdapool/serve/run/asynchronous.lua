--- Asynchronous invocations: events are stored, and the client has its answer; they run when there
--- is room, also after a restart of the service. What fails is tried again, as often and as long as
--- the function's configuration says, and what became of it goes to the destination for that.
local destinations = require "lambdapool.serve.run.destinations"
local fault = require "lambdapool.serve.fault"
local functions = require "lambdapool.serve.lambda.functions"
local intake = require "lambdapool.serve.run.intake"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

-- An event's `due` is NULL while it runs.
local SCHEMA = {
  [[CREATE TABLE async_events (
      id INTEGER PRIMARY KEY,
      region TEXT NOT NULL,
      name TEXT NOT NULL,
      qualifier TEXT,
      request_id TEXT NOT NULL,
      event TEXT NOT NULL,
      size INTEGER NOT NULL,
      queued_ms INTEGER NOT NULL,
      due_ms INTEGER,
      attempts INTEGER NOT NULL DEFAULT 0,
      throttles INTEGER NOT NULL DEFAULT 0,
      depth INTEGER NOT NULL);
    CREATE INDEX async_events_due ON async_events (due_ms);
    CREATE INDEX async_events_throttled ON async_events (region, name, id) WHERE throttles > 0]],
}

local RETRIES = 2
local AGE_SECONDS = 21600

-- So many are taken from the table at a time, and so many bytes may run.
local BATCH = 100
local BYTES = 64 << 20

-- Throttled events wait a second, then twice as long each time, up to this; or until another event
-- of their function has run.
local LONGEST_WAIT = 300

-- Functions whose destinations are each other would go on for ever.
local DEEPEST = 16

---@class lambdapool.serve.Asynchronous
local methods = {}
local mt = { __name = "lambdapool.serve.Asynchronous", __index = methods }

local schedule

-- How an attempt ended -------------------------------------------------------------------------

local function drop(self, row)
  self.ended[#self.ended + 1] = row.id
end

local function put_off(self, row, seconds)
  row.due_ms = system.now() + math.floor(seconds * 1000)
  self.delayed[#self.delayed + 1] = row
end

local function key_of(row)
  return row.region .. ":" .. row.name
end

-- It could not run now: that is no attempt.
local function wait(self, row)
  row.throttles = row.throttles + 1
  self.throttled[key_of(row)] = true
  put_off(self, row, math.min(2 ^ (row.throttles - 1), LONGEST_WAIT))
end

-- Nothing more will be done for it, other than to tell its destination.
local function settle(self, row, condition, config, invocation)
  drop(self, row)
  local target = condition == "Success" and config.on_success
  if condition ~= "Success" then
    target = config.on_failure
  end
  if target and row.depth < DEEPEST then
    destinations.send(self, target, row, condition, invocation)
  end
end

local function finish(invocation)
  local self, row, config = invocation.queue, invocation.row, invocation.config
  self.running, self.bytes = self.running - 1, self.bytes - row.size
  if self.throttled[key_of(row)] then
    self.wakes[#self.wakes + 1] = row
  end
  if invocation.fault then
    wait(self, row)
  elseif not invocation.failed then
    row.attempts = row.attempts + 1
    settle(self, row, "Success", config, invocation)
  else
    row.attempts = row.attempts + 1
    if row.attempts <= (config.retries or RETRIES) then
      put_off(self, row, self.retry_seconds * row.attempts)
    else
      settle(self, row, "RetriesExhausted", config, invocation)
    end
  end
  schedule(self)
end

local sink = { finish = finish }

-- Attempts -------------------------------------------------------------------------------------

local function attempt(self, row)
  local service = self.service
  local record = functions.resolve(service, row.region, row.name, row.qualifier)
  local config = functions.event_config(service, row.region, row.name, row.qualifier) or {}
  if system.now() - row.queued_ms > (config.age_seconds or AGE_SECONDS) * 1000 then
    return settle(self, row, "EventAgeExceeded", config, { record = record })
  end
  local ok = record.state == "Active" and service.environments:run {
    record = record, event = row.event, request_id = row.request_id, sink = sink,
    trace_id = intake.trace(row.request_id), queue = self, row = row, config = config,
  }
  if ok then
    self.running, self.bytes = self.running + 1, self.bytes + row.size
  else
    wait(self, row)
  end
end

-- Starts an attempt, unless the function is gone. Should the store fail, it is made later.
local function start(self, row)
  local ok, failure = pcall(attempt, self, row)
  if not ok and fault.is(failure) then
    drop(self, row)
  elseif not ok then
    self.service.complain(failure)
    wait(self, row)
  end
end

-- The table ------------------------------------------------------------------------------------

-- There is room for one more event of the same function.
local function wake(self, row)
  local now = system.now()
  local changes = self.db:run([[UPDATE async_events SET due_ms = ? WHERE id = (SELECT id FROM
    async_events WHERE region = ? AND name = ? AND throttles > 0 AND due_ms > ? ORDER BY id
    LIMIT 1)]], now, row.region, row.name, now)
  if changes == 0 then
    self.throttled[key_of(row)] = nil
  end
end

-- Writes down how attempts ended, and takes as many events as may run. `due_ms` may lie behind us.
local function exchange(self, room)
  local db = self.db
  for _, id in ipairs(self.ended) do
    db:run("DELETE FROM async_events WHERE id = ?", id)
  end
  for _, row in ipairs(self.delayed) do
    db:run("UPDATE async_events SET due_ms = ?, attempts = ?, throttles = ? WHERE id = ?",
      row.due_ms, row.attempts, row.throttles, row.id)
  end
  for _, row in ipairs(self.wakes) do
    wake(self, row)
  end
  if room <= 0 then
    return {}
  end
  return db:rows([[UPDATE async_events SET due_ms = NULL WHERE id IN
    (SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY due_ms, id) AS bytes FROM
      (SELECT id, due_ms, size FROM async_events WHERE due_ms <= ? ORDER BY due_ms, id LIMIT ?))
      WHERE bytes <= ?)
    RETURNING *]], system.now(), room, BYTES - self.bytes)
end

-- When there is nothing to do now, wakes up for the next event. Those that are due already wait for
-- one that runs, which will wake up, too.
local function sleep(self)
  local due = self.db:row("SELECT min(due_ms) AS due FROM async_events").due
  if self.alarm then
    self.alarm:cancel()
    self.alarm = nil
  end
  if due and (due > system.now() or self.running == 0) then
    self.alarm = loop.after(math.max(0, (due - system.now()) / 1000), function()
      self.alarm = nil
      schedule(self)
    end)
  end
end

local function pump(self)
  local rows = self.db:transaction(exchange, self, math.min(BATCH, self.most - self.running))
  self.ended, self.delayed, self.wakes = {}, {}, {}
  for _, row in ipairs(rows) do
    start(self, row)
  end
  if self.ended[1] or self.delayed[1] or #rows == BATCH then
    schedule(self)
  else
    sleep(self)
  end
end

-- The disk may be full: then it is tried again, and nothing is lost.
local function run(self)
  self.scheduled = false
  if self.closed then
    return
  end
  local ok, failure = pcall(pump, self)
  if not ok then
    self.service.complain(failure)
    self.alarm = loop.after(1, function()
      schedule(self)
    end)
  end
end

function schedule(self)
  if not self.scheduled and not self.closed then
    self.scheduled = true
    loop.next_round(run, self)
  end
end

-- The interface --------------------------------------------------------------------------------

--- Stores an event; it is safe when this returns.
---@param record table the function, as functions.resolve gives it
---@param event string
---@param request_id string
---@param depth integer? how many destinations it has come through
function methods:push(record, event, request_id, depth)
  local now = system.now()
  self.db:run([[INSERT INTO async_events (region, name, qualifier, request_id, event, size,
    queued_ms, due_ms, depth) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]], record.region, record.name,
    record.qualifier, request_id, event, #event, now, now, depth or 0)
  schedule(self)
end

--- Whether nothing runs and nothing is due. What failed may wait to be tried again.
---@return boolean
function methods:is_idle()
  return self.running == 0 and not self.db:row(
    "SELECT id FROM async_events WHERE due_ms <= ? LIMIT 1", system.now())
end

--- What runs is not heard of any more and will run again.
function methods:close()
  self.closed = true
  if self.alarm then
    self.alarm:cancel()
  end
end

---@param service table
---@return lambdapool.serve.Asynchronous
local function open(service)
  local store = service.store
  store:migrate("asynchronous", SCHEMA)
  store.db:run [[UPDATE async_events SET due_ms = 0, throttles = 0
    WHERE due_ms IS NULL OR throttles > 0]]
  local self = setmetatable({
    service = service,
    db = store.db,
    retry_seconds = service.retry_seconds or 60,
    most = service.concurrency or 1000,
    running = 0, bytes = 0,
    ended = {}, -- ids that are to be deleted
    delayed = {}, -- rows that are to be tried again
    wakes = {}, -- rows that have ended while others of their function waited
    throttled = {}, -- functions with events that wait because too many ran
  }, mt)
  schedule(self)
  return self
end

return { open = open }
