--- Streams: `imap`, `imap_unordered`, `each` and the executor's `map`. A stream reads its source a
--- chunk at a time while there is room, at most as many chunks ahead as there are workers and two
--- more, and yields the position of an item and what became of its task. Leaving the loop cancels
--- what is outstanding. An error in the source is raised behind the results of what was read
--- before.

local batches = require "lambdapool.batch"
local codec = require "lambdapool.codec"
local completion = require "lambdapool.completion"
local errors = require "lambdapool.errors"
local progress = require "lambdapool.progress"
local sizer = require "lambdapool.sizer"
local sources = require "lambdapool.source"
local system = require "lambdapool.system"

-- How many chunks wait in the queue when every worker has one.
local READ_AHEAD = 2

---@class lambdapool.Stream
---@field open integer chunks that are read and not yet used up
---@field window lambdapool.Batch[] with order: chunks to yield from
---@field ready table[] without order: { batch, first, last } that have ended
---@field position integer items read so far
---@field trouble table? { error value }: why the source gives no more
local methods = {}
local mt = { __name = "lambdapool.Stream", __index = methods }

-- Reading ------------------------------------------------------------------------------------

local function try_encode(call, item)
  if call.star then
    return codec.arguments(call.code, table.unpack(item, 1, sources.count(item)))
  end
  return codec.arguments(call.code, item)
end

-- Encodes item `i`, as it is now: the source may use the same table again. The error of one that
-- cannot be sent says which it is.
local function encode(call, item, i)
  local ok, body, record = pcall(try_encode, call, item)
  if not ok then
    codec.encode(call.code, { [i] = item }, i, i, call.star)
    error(body, 0)
  end
  return body, record
end

-- Reads up to `size` items into a batch; what the source or an item raises is kept for the end.
local function read_chunk(self, size)
  local items, records, n = {}, {}, 0
  while n < size and not self.exhausted do
    local ok, more, item = pcall(self.source.read)
    local body, record
    if ok and more then
      ok, body, record = pcall(encode, self.call, item, self.position + n + 1)
      more = ok and more or body
    end
    if ok and more then
      n = n + 1
      items[n], records[n] = body, record
    else
      self.exhausted, self.trouble = true, not ok and { more } or nil
    end
  end
  local batch = batches.new(self.call, items, n)
  batch.encoded, batch.records = true, records
  return batch
end

local function add_chunk(self, batch)
  batch.position, batch.seeds, batch.total = self.position, self.position, self.source.total
  batch.whole, batch.unread = true, batch.n
  self.position = self.position + batch.n
  self.open = self.open + 1
  if self.ordered then
    table.insert(self.window, batch)
  else
    batch.on_items = self.on_items
  end
  self.scheduler:add(batch, 1, batch.n)
end

-- Reads the source and queues what it gives until the window is full.
local function fill(self)
  while self.open < self.scheduler.backend.workers + READ_AHEAD and not self.exhausted do
    local batch = read_chunk(self, sizer.streamed(self.call))
    if batch.n > 0 then
      add_chunk(self, batch)
    end
  end
end

-- Yielding -----------------------------------------------------------------------------------

local function await(self, what)
  local seconds = self.limit and math.max(0, self.limit - system.monotonic())
  if not completion.await(what, seconds) then
    local failure = errors.waited(self.timeout)
    self:cancel()
    error(failure, 0)
  end
end

-- The next items to yield, a range { batch, first, last }; nil at the end.
local function next_range(self)
  fill(self)
  if self.open == 0 then
    return nil
  elseif self.ordered then
    local batch = self.window[1]
    await(self, batch)
    table.remove(self.window, 1)
    return { batch = batch, first = 1, last = batch.n }
  end
  if not self.ready[self.taken + 1] then
    self.arrival = {}
    await(self, self.arrival)
  end
  self.taken = self.taken + 1
  local range = self.ready[self.taken]
  self.ready[self.taken] = nil
  return range
end

-- The end of the source, or of all that came before an error in it.
local function finish(self)
  local trouble = self.trouble
  self:cancel()
  if trouble then
    error(trouble[1], 0)
  end
end

-- Takes one item off the current range; returns its batch and index.
local function take(self)
  local range = self.range or next_range(self)
  if not range then
    return finish(self)
  end
  local batch, i = range.batch, range.first
  range.first = i + 1
  self.range = i < range.last and range or nil
  batch.unread = batch.unread - 1
  if batch.unread == 0 then
    self.open = self.open - 1
  end
  return batch, i
end

-- Passes the values of item `i` on; the batch keeps them no longer.
local function forget(batch, i, ...)
  for _, column in ipairs(batch.columns) do
    column[i] = nil
  end
  return ...
end

--- One step of the loop: the position of an item in the source and the values of its task. Raises
--- the error of a task that failed; the next step goes on behind it.
---@return integer? index
---@return any ...
function methods:step()
  local batch, i = take(self)
  if not batch then
    return nil
  end
  local failure = batch:failure(i)
  if failure ~= nil then
    error(failure, 0)
  end
  return batch.position + i, forget(batch, i, batch:values(i))
end

--- One step of the loop, errors as values: position, first value, error.
---@return integer? index
---@return any value
---@return any failure
function methods:step_with_error()
  local batch, i = take(self)
  if not batch then
    return nil
  end
  local failure = batch:failure(i)
  if failure ~= nil then
    return batch.position + i, nil, failure
  end
  return batch.position + i, (forget(batch, i, batch:values(i)))
end

--- Cancels everything that has not ended, reads the source no more and closes it.
function methods:cancel()
  local closing <close> = self.source.closing -- luacheck: ignore
  self.exhausted, self.source.closing, self.trouble = true, nil, nil
  if self.call.line then
    self.call.line:finish()
    self.call.line = nil
  end
  if self.open > 0 then
    self.open, self.window, self.range = 0, {}, nil
    self.scheduler:cancel_call(self.call, "the loop over the results was left")
  end
end

mt.__close = methods.cancel

-- Keeps what has ended for the loop.
local function note_ready(self)
  return function(batch, first, last)
    self.known = self.known + 1
    self.ready[self.known] = { batch = batch, first = first, last = last }
    local arrival = self.arrival
    if arrival then
      self.arrival = nil
      completion.finish(arrival)
    end
  end
end

--- Starts a stream. Returns what a generic `for` wants: the step function, twice nothing, and a
--- closing value that cancels the rest when the loop is left early.
---@param scheduler lambdapool.Scheduler
---@param call lambdapool.Call
---@param source lambdapool.Source
---@param how { ordered: boolean, errors: boolean?, progress: boolean?, timeout: number? }
---@return fun(): integer?, ...
local function start(scheduler, call, source, how)
  local self = setmetatable({
    scheduler = scheduler,
    call = call,
    source = source,
    ordered = how.ordered,
    timeout = how.timeout,
    limit = how.timeout and system.monotonic() + how.timeout,
    position = 0,
    open = 0,
    window = {},
    ready = {}, -- from taken + 1 to known
    taken = 0,
    known = 0,
  }, mt)
  self.on_items = note_ready(self)
  call.line = progress.start(how.progress, source.total, function()
    local tally = call.tally
    return tally.done, tally.running, tally.failed, tally.retried
  end)
  fill(self)
  local step = how.errors and methods.step_with_error or methods.step
  return function() return step(self) end, nil, nil, self
end

return { start = start }
