--- Batches: items that go to one function together, and what has become of each. A whole `map` is
--- one batch, each chunk of a stream is one, and so are tasks of one function that were submitted
--- one by one. The scheduler cuts batches into invocations; the values of item i end up in
--- columns[1][i], columns[2][i] and so on, put there by the codec, many at a time.

local codec = require "lambdapool.codec"
local completion = require "lambdapool.completion"
local errors = require "lambdapool.errors"
local tallies = require "lambdapool.tally"

--- What the batches of one call of the user's have in common.
---@class lambdapool.Call
---@field code any the encoded function
---@field star boolean items are tables of arguments
---@field timeout_ms integer for each task
---@field size integer? items in an invocation; nil: as many as their time suggests
---@field target_us integer how long an invocation should take then
---@field overhead_us number? what an invocation costs by itself, where that is much
---@field cost number? microseconds of a task, as measured
---@field bytes number? of the answer to a task, as measured
---@field retry lambdapool.Retry?
---@field json boolean? tables among the results come as JSON text
---@field tally lambdapool.Tally how far it is
---@field totals lambdapool.Tally how far all calls of the scheduler are
---@field line table? the progress line

---@class lambdapool.Batch: completion
---@field call lambdapool.Call
---@field items table items 1 to n: arguments, or with call.star tables of arguments
---@field encoded boolean? they are bodies that codec.arguments or codec.encode made
---@field records table? and what these recorded
---@field n integer
---@field remaining integer items that have not ended yet
---@field position integer? of the item before the first in its source; nil: it has no source
---@field total integer? items in the source, where it is known
---@field seeds integer the number of the item before the first, for random numbers
---@field columns table[]
---@field width integer the largest number of values that a task has returned
---@field errors table<integer, lambdapool.Error>? by item
---@field first_error integer? the lowest item in `errors`
---@field refusal any why the items could not be sent: raised as it is
---@field attempts table<integer, integer>? by item, which start is its last or its next, where it
--- is not the first
---@field dropped table<integer, boolean>? items that were cancelled one by one
---@field cancelled boolean? what has not been sent is not sent any more
---@field fail_fast boolean? the first error cancels the items behind it
---@field growing boolean? more items may come
---@field whole boolean? all items go into one invocation
---@field tail table? the last range of it that the scheduler has queued
---@field request_options table? how its requests are made, once the first was
---@field on_items fun(batch: lambdapool.Batch, first: integer, last: integer)? these have ended
local methods = {}
local mt = { __name = "lambdapool.Batch", __index = methods }

--- Encodes the items, so that what the caller does to them later makes no difference. Raises when
--- one cannot be sent.
function methods:encode()
  self.items, self.records = codec.encode(self.call.code, self.items, 1, self.n, self.call.star)
  self.encoded = true
end

-- The end of items --------------------------------------------------------------------------

--- The error of item `i`. `fields` has what is known of it.
---@return lambdapool.Error
function methods:error(i, kind, attempts, fields)
  local retry = self.call.retry
  fields.index = self.position and self.position + i
  fields.count = self.total
  fields.attempts = attempts
  fields.tries = math.max(attempts, retry and retry.times + 1 or 1)
  return errors.new(kind, fields)
end

--- Item `i` has the error `err` for good. `finish` is still to come.
function methods:note(i, err)
  self.errors = self.errors or {}
  self.errors[i] = err
  self.first_error = math.min(self.first_error or i, i)
  tallies.add(self.call, err.kind == "cancelled" and "cancelled" or "failed", 1)
  tallies.add(self.call, "done", -1) -- `finish` counts all
end

-- Calls f(first, last) for the pieces of a range without the items that were dropped.
local function without_dropped(self, first, last, f)
  local i = first
  while i <= last do
    if self.dropped[i] then
      i = i + 1
    else
      local from = i
      while i <= last and not self.dropped[i] do
        i = i + 1
      end
      f(from, i - 1)
    end
  end
end

--- Items `first` to `last` have ended; those that were dropped had already.
function methods:finish(first, last)
  if self.dropped then
    return without_dropped(self, first, last, function(from, to)
      self:finish_all(from, to)
    end)
  end
  self:finish_all(first, last)
end

function methods:finish_all(first, last)
  self.remaining = self.remaining - (last - first + 1)
  tallies.add(self.call, "done", last - first + 1)
  if self.on_items then
    self.on_items(self, first, last)
  end
  if self.remaining == 0 and not self.growing then
    completion.finish(self)
  end
end

--- No more items come.
function methods:close()
  if self.growing then
    self.growing = false
    if self.remaining == 0 then
      completion.finish(self)
    end
  end
end

--- Items `first` to `last`, of which there is one, ended in an error of the platform, for good:
--- while they waited for their start, or once they were started.
function methods:fail(first, last, kind, message, started)
  local not_yet = started and 0 or 1
  for i = first, last do
    if not (self.dropped and self.dropped[i]) then
      local attempt = self.attempts and self.attempts[i] or 1
      self:note(i, self:error(i, kind, attempt - not_yet, { message = message }))
    end
  end
  self:finish(first, last)
end

--- Items `first` to `last` need not be run any more.
function methods:skip(first, last)
  for i = first, last do
    if not (self.dropped and self.dropped[i]) then
      tallies.add(self.call, "cancelled", 1)
      tallies.add(self.call, "done", -1)
    end
  end
  self:finish(first, last)
end

--- Item `i` ends now, as cancelled; whatever comes of it is not looked at any more.
function methods:drop(i, started)
  self:fail(i, i, "cancelled", "the task was cancelled", started)
  self.dropped = self.dropped or {}
  self.dropped[i] = true
end

--- The items cannot be sent: ends with `refusal` what has not been sent yet.
function methods:refuse(first, last, refusal)
  self.refusal = self.refusal or refusal
  self.cancelled = true
  self:skip(first, last)
end

--- True when items from `first` on need not be run any more.
function methods:is_moot(first)
  return self.cancelled or (self.fail_fast and self.first_error and first > self.first_error)
end

-- Results -----------------------------------------------------------------------------------

--- Raises what went wrong first, by position, if anything did.
function methods:check()
  if self.refusal then
    error(self.refusal, 0)
  elseif self.errors then
    error(self.errors[self.first_error], 0)
  end
end

local function values(columns, i, j, n)
  if j <= n then
    local column = columns[j]
    return column and column[i], values(columns, i, j + 1, n)
  end
end

--- The values of item `i`.
function methods:values(i)
  local counts = self.columns.counts
  return values(self.columns, i, 1, counts[i] or 1)
end

--- The error of item `i`, or nil.
function methods:failure(i)
  return self.refusal or self.errors and self.errors[i]
end

--- All results, one list for each value that the tasks return, at least one; each has `n`.
function methods:lists()
  local columns = self.columns
  for j = 1, math.max(self.width, 1) do
    columns[j] = columns[j] or {}
    columns[j].n = self.n
  end
  return table.unpack(columns, 1, math.max(self.width, 1))
end

---@param call lambdapool.Call
---@param items table
---@param n integer
---@return lambdapool.Batch
local function new(call, items, n)
  return setmetatable({
    call = call,
    items = items,
    n = n,
    position = 0,
    seeds = 0,
    remaining = n,
    is_done = n == 0,
    columns = { n = n, counts = {} }, -- the codec makes room for n rows
    width = 0,
  }, mt)
end

return { new = new }
