--- Packs: tasks that are submitted one by one, each with a future of its own. Those that run the
--- same code gather in a batch, so that many small ones fit one invocation; the arguments are
--- encoded when they are submitted, and results move to the futures as they come.

local batches = require "lambdapool.batch"
local codec = require "lambdapool.codec"
local completion = require "lambdapool.completion"

-- A batch takes no more than so many tasks and bytes.
local MOST, MOST_BYTES = 1024, 256 * 1024

-- How long an invocation of packed tasks should take, in microseconds.
local TARGET_US = 5000

---@class lambdapool.Packs
local methods = {}
local mt = { __name = "lambdapool.Packs", __index = methods }

-- Results ---------------------------------------------------------------------------------------

-- What could not be sent may have any value for its error; it was never started.
local function settle_failure(future, failure, is_refused)
  future.failed, future.error = true, failure
  future.attempts = is_refused and 0 or failure.attempts
end

local function settle_values(future, columns, i, attempts)
  local n = columns.counts[i] or 1
  future.attempts, future.json = attempts, columns.json and columns.json[i]
  if n == 1 then
    future.value = columns[1][i]
    columns[1][i] = nil
    return
  end
  local values = { n = n }
  for j = 1, n do
    values[j] = columns[j][i]
    columns[j][i] = nil
  end
  future.values = values
end

-- Hands results and errors over to the futures.
local function deliver(batch, first, last)
  local futures, columns = batch.futures, batch.columns
  local attempts = batch.attempts or {}
  for i = first, last do
    local future, failure = futures[i], batch:failure(i)
    futures[i], batch.items[i], batch.records[i] = nil, nil, nil
    future.batch = nil
    if failure ~= nil then
      settle_failure(future, failure, batch.refusal ~= nil)
    else
      settle_values(future, columns, i, attempts[i] or 1)
    end
    completion.finish(future)
  end
end

-- Submitting ------------------------------------------------------------------------------------

-- The code of `f`, as it is now. Code that has not changed is the same object again.
local function encode(self, f)
  local code = codec.code(f, self.codes[f] or self.last.code)
  self.codes[f], self.last.code = code, code
  return code
end

-- Tasks that are submitted one by one have no place in a source: their random numbers depend on
-- the order of submission.
local function new_batch(self, code)
  local call = self.calls[code]
  if not call then
    call = self.scheduler:call {
      code = code,
      star = true,
      target_us = TARGET_US,
      timeout_ms = self.defaults.timeout_ms,
      retry = self.defaults.retry,
      json = self.defaults.json,
    }
    call.size = nil
    self.calls[code] = call
  end
  local batch = batches.new(call, {}, 0)
  self.scheduler.packed = self.scheduler.packed + 1
  batch.columns.n = nil
  batch.seeds = self.scheduler.packed << 32
  batch.position = nil
  batch.encoded, batch.growing = true, true
  batch.records, batch.futures, batch.bytes = {}, {}, 0
  batch.on_items = deliver
  return batch
end

local function is_full(batch)
  return batch.n >= MOST or batch.bytes >= MOST_BYTES
end

-- The batch that the next task of this code goes to.
local function open_batch(self, code)
  local batch = self.open[code]
  if batch and is_full(batch) then
    batch:close()
    batch = nil
  end
  if not batch then
    batch = new_batch(self, code)
    self.open[code] = batch
  end
  return batch
end

--- What is to be sent for f(...). Raises when something of it cannot be; nothing has happened then.
---@param f function
---@param ... any
---@return any code
---@return string body
---@return any record
function methods:prepare(f, ...)
  local code = encode(self, f)
  return code, codec.arguments(code, ...)
end

--- Queues for `future` what was prepared.
---@param future table
---@param code any
---@param body string
---@param record any
function methods:add(future, code, body, record)
  local batch = open_batch(self, code)
  local i = batch.n + 1
  batch.n, batch.remaining = i, batch.remaining + 1
  batch.items[i], batch.records[i] = body, record
  batch.bytes = batch.bytes + #body
  batch.futures[i] = future
  future.batch, future.index = batch, i
  self.scheduler:add(batch, i, i)
end

--- Queues f(...) for `future`. Raises when something of it cannot be sent.
---@param future table
---@param f function
---@param ... any
function methods:submit(future, f, ...)
  self:add(future, self:prepare(f, ...))
end

--- Cancels the task of a future.
---@return boolean
function methods:cancel(future)
  return self.scheduler:cancel(future.batch, future.index)
end

--- Whether a worker runs it.
---@return boolean
function methods:running(future)
  return self.scheduler:is_running(future.batch, future.index)
end

---@param scheduler lambdapool.Scheduler
---@param defaults { timeout_ms: integer?, retry: lambdapool.Retry? }? where they differ
---@return lambdapool.Packs
local function new(scheduler, defaults)
  local weak = { __mode = "k" }
  scheduler.packed = scheduler.packed or 0 -- batches, of all its packs
  return setmetatable({
    scheduler = scheduler,
    defaults = defaults or {},
    codes = setmetatable({}, weak), -- function -> code
    calls = setmetatable({}, weak), -- code -> call
    open = setmetatable({}, weak), -- code -> batch
    last = setmetatable({}, { __mode = "v" }),
  }, mt)
end

return { new = new }
