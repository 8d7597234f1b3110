--- Where logs are kept: a database of their own, so that what functions print never waits for, nor
--- holds up, what is written about functions.
---
--- Events are appended in memory and written at most 20 ms later, those of one stream together in
--- one row, a chunk: an invocation appends a few lines, and a row for each would cost more than the
--- invocation does. Whatever reads writes first. A chunk is found by the times of its events and
--- says in `events` for each: 8 bytes of milliseconds, the length, the text.

local loop = require "lambdapool.loop"
local sqlite = require "lambdapool.sqlite"

local SCHEMA = [[
  CREATE TABLE IF NOT EXISTS groups (
    id INTEGER PRIMARY KEY, region TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
    retention INTEGER, tags TEXT NOT NULL DEFAULT '{}', bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (region, name));
  CREATE TABLE IF NOT EXISTS streams (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    name TEXT NOT NULL, created INTEGER NOT NULL,
    first INTEGER, last INTEGER, ingested INTEGER, UNIQUE (log, name));
  CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL,
    stream INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
    first INTEGER NOT NULL, last INTEGER NOT NULL, ingested INTEGER NOT NULL,
    events BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS chunks_of_log ON chunks (log, first, id);
  CREATE INDEX IF NOT EXISTS chunks_of_stream ON chunks (stream, first, id);
]]

local FLUSH_SECONDS = 0.02
local FLUSH_BYTES = 1 << 20
local CHUNK_BYTES = 1 << 16
local RETENTION_SECONDS = 3600
local DAY = 24 * 3600 * 1000

-- Streams whose ids are remembered.
local MOST_KNOWN = 4096

---@class lambdapool.serve.LogStore
---@field db userdata
local methods = {}
local mt = { __name = "lambdapool.serve.LogStore", __index = methods }

-- Names to ids -----------------------------------------------------------------------------------

--- The row of a group, or nil.
function methods:group(region, name)
  return self.db:row("SELECT * FROM groups WHERE region = ? AND name = ?", region, name)
end

--- The row of a stream, or nil. `group` is a row.
function methods:stream(group, name)
  return self.db:row("SELECT * FROM streams WHERE log = ? AND name = ?", group.id, name)
end

--- Makes a group; it must not be there.
function methods:create_group(region, name)
  self.db:run("INSERT INTO groups (region, name, created) VALUES (?, ?, ?)", region, name,
    self:milliseconds())
end

--- Makes a stream; it must not be there. `group` is a row.
function methods:create_stream(group, name)
  self.db:run("INSERT INTO streams (log, name, created) VALUES (?, ?, ?)", group.id, name,
    self:milliseconds())
end

-- What is deleted may be appended to again: then it is made anew.
function methods:delete_group(group)
  self:flush()
  self.db:run("DELETE FROM groups WHERE id = ?", group.id)
  self.known, self.known_count = {}, 0
end

function methods:delete_stream(stream)
  self:flush()
  self.db:run("DELETE FROM streams WHERE id = ?", stream.id)
  self.known, self.known_count = {}, 0
end

function methods:milliseconds()
  return math.floor(self.now() * 1000)
end

-- Appending --------------------------------------------------------------------------------------

local function flush_or_tell(self)
  local ok, problem = pcall(self.flush, self)
  if not ok then
    self.failed(problem)
  end
end

local function schedule(self)
  self.timer = self.timer or loop.after(FLUSH_SECONDS, function()
    self.timer = nil
    flush_or_tell(self)
  end)
end

--- Appends events to a stream, which is made if it is not there, as its group is. They are written
--- soon; that they cannot be is told to `failed`. The table is the store's from now on.
---@param region string
---@param group string
---@param stream string
---@param events (integer|string)[] milliseconds, message, milliseconds, message, …
function methods:append(region, group, stream, events)
  local key = region .. "\0" .. group .. "\0" .. stream
  local batch = self.pending[key]
  if batch then
    table.move(events, 1, #events, #batch + 1, batch)
  else
    self.pending[key] = events
  end
  for i = 2, #events, 2 do
    self.pending_bytes = self.pending_bytes + #events[i] + 16
  end
  if self.pending_bytes > FLUSH_BYTES then
    flush_or_tell(self)
  else
    schedule(self)
  end
end

local function identify(self, key)
  local known = self.known[key]
  if known then
    return known
  end
  local region, group_name, stream_name = key:match "^(.-)%z(.-)%z(.*)$"
  local group = self:group(region, group_name)
  if not group then
    self:create_group(region, group_name)
    group = self:group(region, group_name)
  end
  if not self:stream(group, stream_name) then
    self:create_stream(group, stream_name)
  end
  if self.known_count >= MOST_KNOWN then
    self.known, self.known_count = {}, 0
  end
  known = { log = group.id, stream = self:stream(group, stream_name).id }
  self.known[key], self.known_count = known, self.known_count + 1
  return known
end

-- The format of so many events. They are packed together: a call for each would take longer.
local PACKED = 64
local formats = setmetatable({}, { __index = function(self, count)
  self[count] = "<" .. ("i8s4"):rep(count)
  return self[count]
end })

-- Where the chunk ends that begins at `from`. Chunks stay small, so that reading a few of them
-- never takes long.
local function end_of_chunk(events, from)
  local bytes = 0
  for i = from + 1, #events, 2 do
    bytes = bytes + #events[i]
    if bytes > CHUNK_BYTES then
      return i
    end
  end
  return #events
end

-- The text of a chunk, and the first and the last time in it.
local function pack(events, from, last_one)
  local first, last, out = math.maxinteger, math.mininteger, {}
  for i = from, last_one, 2 do
    local ms = events[i]
    if ms < first then
      first = ms
    end
    if ms > last then
      last = ms
    end
  end
  for i = from, last_one, 2 * PACKED do
    local to = math.min(i + 2 * PACKED - 1, last_one)
    out[#out + 1] = string.pack(formats[(to - i + 1) // 2], table.unpack(events, i, to))
  end
  return table.concat(out), first, last
end

local function write_chunk(self, ids, events, from, to)
  local ingested = self:milliseconds()
  local text, first, last = pack(events, from, to)
  self.db:run([[INSERT INTO chunks (log, stream, first, last, ingested, events)
    VALUES (?, ?, ?, ?, ?, CAST(? AS BLOB))]], ids.log, ids.stream, first, last, ingested, text)
  self.db:run([[UPDATE streams SET first = min(coalesce(first, ?), ?),
    last = max(coalesce(last, ?), ?), ingested = ? WHERE id = ?]], first, first, last, last,
    ingested, ids.stream)
  self.db:run("UPDATE groups SET bytes = bytes + ? WHERE id = ?", #text, ids.log)
end

local function write_all(self, pending)
  for key, events in pairs(pending) do
    local from = 1
    while from < #events do
      local to = end_of_chunk(events, from)
      write_chunk(self, identify(self, key), events, from, to)
      from = to + 1
    end
  end
end

--- Writes what was appended. Raises when the database cannot be written; what could not be written
--- is given up then, so that it does not fill the memory.
function methods:flush()
  if not next(self.pending) then
    return
  end
  local pending = self.pending
  self.pending, self.pending_bytes = {}, 0
  local ok, problem = pcall(self.db.transaction, self.db, write_all, self, pending)
  if not ok then
    self.known, self.known_count = {}, 0 -- they may not be there
    error(problem, 0)
  end
end

-- Retention --------------------------------------------------------------------------------------

--- Removes what is older than its group's retention says.
function methods:expire()
  self:flush()
  for _, group in ipairs(self.db:rows "SELECT * FROM groups WHERE retention IS NOT NULL") do
    local limit = self:milliseconds() - group.retention * DAY
    self.db:run("DELETE FROM chunks WHERE log = ? AND last < ?", group.id, limit)
    self.db:run([[DELETE FROM streams WHERE log = ? AND last < ?
      AND NOT EXISTS (SELECT 1 FROM chunks WHERE chunks.stream = streams.id)]], group.id, limit)
  end
  self.known, self.known_count = {}, 0
end

local function expire_regularly(self)
  self.retention = loop.after(RETENTION_SECONDS, function()
    local ok, problem = pcall(self.expire, self)
    if not ok then
      self.failed(problem)
    end
    expire_regularly(self)
  end)
end

function methods:close()
  if not self.db then
    return
  end
  for _, timer in pairs { self.timer, self.retention } do
    timer:cancel()
  end
  flush_or_tell(self)
  self.db:close()
  self.db = nil
end

---@param options { path: string, now: fun(): number, failed: fun(problem: any)? }
---@return lambdapool.serve.LogStore?
---@return string? message
local function open(options)
  local db, message = sqlite.open(options.path)
  if not db then
    return nil, message
  end
  db:run(SCHEMA)
  local self = setmetatable({
    db = db, now = options.now, failed = options.failed or function() end,
    pending = {}, pending_bytes = 0, known = {}, known_count = 0,
  }, mt)
  self:expire()
  expire_regularly(self)
  return self
end

return { open = open }
