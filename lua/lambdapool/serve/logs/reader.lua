--- Reads pages of log events, of one stream or of all streams of a group, forwards or backwards.
---
--- Chunks are read in the order of their first event, then of their ids, and the events in a chunk
--- in their own order; a position is these three numbers. It is what the tokens of pages hold.

local ASCENDING = [[
  SELECT chunks.*, streams.name AS stream_name
  FROM chunks JOIN streams ON streams.id = chunks.stream
  WHERE chunks.%s = ? AND (chunks.first, chunks.id) >= (?, ?)
    AND chunks.first < ? AND chunks.last >= ?
  ORDER BY chunks.first, chunks.id LIMIT ?]]

local DESCENDING = ASCENDING:gsub(">= %(", "<= ("):gsub("first, chunks.id LIMIT",
  "first DESC, chunks.id DESC LIMIT")

-- A page ends at so many bytes, as AWS counts them, or when so many chunks or bytes of them have
-- been looked at, whatever it has found.
local PAGE_BYTES = 1 << 20
local EVENT_BYTES = 26
local PAGE_CHUNKS = 2000
local PAGE_LOOKED_AT = 8 << 20
local CHUNKS_AT_ONCE = 100

---@class lambdapool.serve.LogPosition
---@field first integer
---@field chunk integer
---@field index integer

---@class lambdapool.serve.LogEvent: lambdapool.serve.LogPosition
---@field ms integer
---@field message string
---@field ingested integer
---@field stream string name of the stream

local log_reader = {}

--- Before everything, and behind it.
log_reader.HEAD = { first = math.mininteger, chunk = 0, index = 0 }
log_reader.TAIL = { first = math.maxinteger, chunk = math.maxinteger, index = math.maxinteger }

---@param position lambdapool.serve.LogPosition
---@return string
function log_reader.token(position)
  return ("%d.%d.%d"):format(position.first, position.chunk, position.index)
end

---@param token string
---@return lambdapool.serve.LogPosition? position nil when it is no token of ours
function log_reader.position(token)
  local first, chunk, index = token:match "^(%-?%d+)%.(%d+)%.(%d+)$"
  first, chunk, index = math.tointeger(tonumber(first)), math.tointeger(tonumber(chunk)),
    math.tointeger(tonumber(index))
  return first and chunk and index and { first = first, chunk = chunk, index = index }
end

-- Functions print any bytes, but the answers to clients are UTF-8.
local function repair(text)
  local parts, from = {}, 1
  local length, bad = utf8.len(text)
  while not length do
    parts[#parts + 1] = text:sub(from, bad - 1) .. "\u{FFFD}"
    from = bad + 1
    length, bad = utf8.len(text, from)
  end
  return table.concat(parts) .. text:sub(from)
end

--- The events of a chunk, in order.
---@param row table
---@return lambdapool.serve.LogEvent[]
local function unpack_chunk(row)
  local list, position, index = {}, 1, 0
  while position <= #row.events do
    local ms, message
    ms, message, position = string.unpack("<i8s4", row.events, position)
    index = index + 1
    message = utf8.len(message) and message or repair(message)
    list[index] = { ms = ms, message = message, chunk = row.id, index = index, first = row.first,
      ingested = row.ingested, stream = row.stream_name }
  end
  return list
end

local function is_beyond(event, position, backwards)
  if event.chunk ~= position.chunk or event.first ~= position.first then
    return true
  elseif backwards then
    return event.index < position.index
  end
  return event.index > position.index
end

-- Takes what is wanted of a chunk. Returns whether the page is full.
local function take(page, row, query)
  local events, position = unpack_chunk(row), page.position
  local from, to, step = 1, #events, 1
  if query.backwards then
    from, to, step = to, from, -1
  end
  for i = from, to, step do
    local event = events[i]
    if is_beyond(event, position, query.backwards) then
      if event.ms >= query.start and event.ms < query.finish and query.test(event.message) then
        if #page.events >= query.limit or page.bytes + #event.message > PAGE_BYTES
          and page.events[1] then
          return true
        end
        table.insert(page.events, event)
        page.bytes = page.bytes + #event.message + EVENT_BYTES
      end
      page.position = event
    end
  end
  return false
end

local function reverse(list)
  for i = 1, #list // 2 do
    list[i], list[#list + 1 - i] = list[#list + 1 - i], list[i]
  end
end

---@class lambdapool.serve.LogQuery
---@field column "stream"|"log" whose chunks are read: those of a stream or of a group
---@field id integer of the stream or the group
---@field position lambdapool.serve.LogPosition where to begin; the event there is not read
---@field backwards boolean?
---@field start integer milliseconds: no earlier events
---@field finish integer milliseconds: events before
---@field limit integer
---@field test fun(message: string): boolean
---@field wants (fun(stream: string): boolean)? which streams

--- Reads a page: { events = in the order of time, position = up to where everything was looked at,
--- done = whether there is nothing more }.
---@param store lambdapool.serve.LogStore
---@param query lambdapool.serve.LogQuery
---@return { events: lambdapool.serve.LogEvent[], position: table, done: boolean }
function log_reader.read(store, query)
  store:flush()
  local page = { events = {}, bytes = 0, position = query.position, done = false }
  local sql = (query.backwards and DESCENDING or ASCENDING):format(query.column)
  local full, chunks, bytes = false, 0, 0
  repeat
    local rows = store.db:rows(sql, query.id, page.position.first, page.position.chunk,
      query.finish, query.start, CHUNKS_AT_ONCE)
    for _, row in ipairs(rows) do
      bytes = bytes + #row.events
      if not full and (not query.wants or query.wants(row.stream_name)) then
        full = take(page, row, query)
      end
      if not full then
        local index = query.backwards and 0 or math.maxinteger
        page.position = { first = row.first, chunk = row.id, index = index }
      end
    end
    chunks = chunks + #rows
    page.done = not full and #rows < CHUNKS_AT_ONCE
  until full or page.done or chunks >= PAGE_CHUNKS or bytes >= PAGE_LOOKED_AT
  if query.backwards then
    reverse(page.events)
  end
  return page
end

return log_reader
