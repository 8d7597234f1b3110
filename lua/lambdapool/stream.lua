--- Streams: `imap`, `imap_unordered` and the executor's `map`. A stream reads its source a chunk
--- at a time while there is room, at most as many chunks ahead as there are workers and two more,
--- and yields the position of an item and the values of its task. Leaving the loop gives up what
--- has not been sent.

local batches = require "lambdapool.batch"

-- How many chunks wait in the queue when every worker has one.
local READ_AHEAD = 2

---@class lambdapool.Stream
---@field open integer chunks that are read and not yet used up
---@field window lambdapool.Batch[] chunks to wait for, in source order
---@field ready lambdapool.Batch[] without order: chunks that are done, in the order they ended
local methods = {}
local mt = { __name = "lambdapool.Stream", __index = methods }

-- Reads up to `size` items; returns them and how many they are.
local function read_chunk(self)
  local items, n = {}, 0
  while n < self.size do
    local more, item = self.read()
    if not more then
      self.exhausted = true
      break
    end
    n = n + 1
    items[n] = item
  end
  return items, n
end

-- Reads the source and queues what it gives until the window is full.
local function fill(self)
  while self.open < self.scheduler.backend.workers + READ_AHEAD and not self.exhausted do
    local items, n = read_chunk(self)
    if n == 0 then
      return
    end
    local batch = batches.new(self.code, items, n, self.request)
    batch.position, batch.total = self.position, self.total
    batch.on_done = self.on_done
    self.position = self.position + n
    self.open = self.open + 1
    table.insert(self.window, batch)
    self.scheduler:add_encoded(batch)
  end
end

-- The next chunk to yield from, or nil at the end.
local function next_chunk(self)
  fill(self)
  if self.open == 0 then
    return nil
  end
  if self.ordered then
    local batch = self.window[1]
    self.scheduler:wait(function() return batch.done end)
    return table.remove(self.window, 1)
  end
  self.scheduler:wait(function() return #self.ready > 0 end)
  return table.remove(self.ready, 1)
end

--- One step of the loop: the position of an item in the source and the values of its task. Raises
--- the error of a task that failed; the next step goes on behind it.
---@return integer? index
---@return any ...
function methods:step()
  local batch = self.chunk
  if not batch then
    batch = next_chunk(self)
    if not batch then
      return nil
    end
    self.chunk, self.index = batch, 0
  end
  local i = self.index + 1
  self.index = i
  if i == batch.n then
    self.chunk = nil
    self.open = self.open - 1
  end
  return batch.position + i, batch:values(i)
end

--- Gives up everything that has not been sent, reads the source no more and closes it.
function methods:cancel()
  local closing <close> = self.closing -- luacheck: ignore
  self.exhausted, self.closing = true, nil
  for _, batch in ipairs(self.window) do
    batch.cancelled = true
  end
end

mt.__close = methods.cancel

-- Moves a chunk that has ended from the window to those that are ready.
local function make_ready(self, batch)
  for i, other in ipairs(self.window) do
    if other == batch then
      table.remove(self.window, i)
      break
    end
  end
  table.insert(self.ready, batch)
end

--- Starts a stream. Returns what a generic `for` wants: the step function, twice nothing, and a
--- closing value that cancels the rest when the loop is left early.
---@param scheduler lambdapool.Scheduler
---@param code any
---@param read fun(): boolean, any see lambdapool.source
---@param options { request: table, size: integer, ordered: boolean, total: integer?, closing: any }
---@return fun(): integer?, ...
local function start(scheduler, code, read, options)
  local self = setmetatable({
    scheduler = scheduler,
    code = code,
    read = read,
    request = options.request,
    size = options.size,
    ordered = options.ordered,
    total = options.total,
    closing = options.closing,
    position = 0,
    open = 0,
    window = {},
    ready = {},
  }, mt)
  if not self.ordered then
    self.on_done = function(batch)
      make_ready(self, batch)
    end
  end
  fill(self)
  return function() return self:step() end, nil, nil, self
end

return { start = start }
