--- Sizes of invocations: how many tasks go together. Small tasks travel in numbers, so that what
--- an invocation costs by itself (some 100 us; more on AWS) hardly counts, and long ones alone, so
--- that the end of a call does not wait for one worker. The time of a task is measured as answers
--- come. Until there is one, a list is cut into four pieces for each worker, and the worker is told
--- to stop early; what it did not begin comes back. Programs that draw frames have bounds of their
--- own: see lambdapool.frames.

local codec = require "lambdapool.codec"
local frames = require "lambdapool.frames"

-- What all tasks of an invocation should take at least, in microseconds, if there are so many, and
-- the backend does not say that it costs more by itself.
local LEAST_US = 200

-- How often as long as that cost an invocation should take.
local WORTH = 10

-- Items of a stream that are read ahead together, at most.
local MOST_STREAMED = 1024

-- How much a new measurement counts against those before it.
local WEIGHT = 0.5

-- A request that is so large takes no further item.
local REQUEST_BYTES = codec.limits.request // 8

local sizer = {}

local function divide_up(a, b)
  return (a + b - 1) // b
end

-- As many as the time of a task suggests.
local function timely(batch, left, workers)
  local call = batch.call
  local share = divide_up(math.max(left, batch.n // 2), 4 * workers)
  if not call.cost then
    return share
  end
  local least = math.ceil((call.overhead_us or LEAST_US) / call.cost)
  local most = math.ceil(call.target_us / call.cost)
  return math.max(1, math.min(math.max(share, least), most))
end

-- As many as a frame has time for.
local function framed(call, size)
  if not call.cost then
    return math.min(size, frames.first_tasks)
  end
  local bytes = call.overhead_us and frames.bytes or frames.lent_bytes
  local most = math.min(frames.tasks, math.floor(bytes / math.max(1, call.bytes)))
  return math.max(1, math.min(size, most))
end

--- A request that is so large takes no further item.
---@return integer
function sizer.request_bytes()
  return frames.kept and frames.bytes or REQUEST_BYTES
end

--- How many items of `range` to send together, at least 1.
---@param batch lambdapool.Batch
---@param range { first: integer, last: integer }
---@param workers integer
---@return integer
function sizer.size(batch, range, workers)
  local call, left = batch.call, range.last - range.first + 1
  if batch.whole then
    return left
  elseif call.size then
    return call.size
  end
  local size = timely(batch, left, workers)
  return frames.kept and framed(call, size) or size
end

--- How many items of a stream to read and send together.
---@param call lambdapool.Call
---@return integer
function sizer.streamed(call)
  if call.size then
    return call.size
  elseif not call.cost then
    return 1
  end
  local size = math.max(1, math.min(math.floor(call.target_us / call.cost), MOST_STREAMED))
  return frames.kept and framed(call, size) or size
end

--- After how many milliseconds a worker should begin no further task of an invocation; nil: the
--- worker's own limit.
---@param call lambdapool.Call
---@return integer?
function sizer.stop_ms(call)
  return not call.size and math.ceil(2 * call.target_us / 1000) or nil
end

--- Has a call reckon with what an invocation costs by itself on its backend.
---@param call lambdapool.Call
---@param overhead_us number? nil: hardly anything
function sizer.reckon(call, overhead_us)
  if frames.kept then
    call.target_us = call.target_us and math.max(call.target_us, frames.target_us)
  end
  if overhead_us then
    call.overhead_us = overhead_us
    call.target_us = call.target_us and math.max(call.target_us, WORTH * overhead_us)
  end
end

-- A measurement counts against what was known, which may be nothing.
local function weigh(known, measured)
  return known and known + WEIGHT * (measured - known) or measured
end

--- Takes in how long the tasks of an invocation took, and how large their answer was.
---@param call lambdapool.Call
---@param report { done: integer, run_us: integer }
---@param bytes integer
function sizer.measure(call, report, bytes)
  if report.done > 0 then
    call.cost = weigh(call.cost, math.max(report.run_us, 1) / report.done)
    call.bytes = weigh(call.bytes, bytes / report.done)
  end
end

return sizer
