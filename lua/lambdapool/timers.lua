--- Timers: a heap of functions to be called at a time, of the clock system.monotonic. The loop asks
--- for the next one and runs those that are due.

---@class lambdapool.Timer
---@field time number
---@field fn fun()? nil once it has fired or was cancelled
local methods = {}
local mt = { __name = "lambdapool.Timer", __index = methods }

-- A binary heap: heap[i] is not later than heap[2i] and heap[2i + 1]. Cancelled timers stay until
-- they are at the top, or until they are most of the heap.
local heap, size, cancelled = {}, 0, 0

local function sift_up(i)
  local timer = heap[i]
  while i > 1 and timer.time < heap[i // 2].time do
    heap[i] = heap[i // 2]
    i = i // 2
  end
  heap[i] = timer
end

local function sift_down(i)
  local timer = heap[i]
  while 2 * i <= size do
    local child = 2 * i
    if child < size and heap[child + 1].time < heap[child].time then
      child = child + 1
    end
    if timer.time <= heap[child].time then
      break
    end
    heap[i] = heap[child]
    i = child
  end
  heap[i] = timer
end

local function pop()
  local timer = heap[1]
  heap[1] = heap[size]
  heap[size] = nil
  size = size - 1
  if size > 0 then
    sift_down(1)
  end
  return timer
end

-- Drops the cancelled ones and puts the others in order again.
local function compact()
  local kept = {}
  for i = 1, size do
    if heap[i].fn then
      kept[#kept + 1] = heap[i]
    end
  end
  heap, size, cancelled = kept, #kept, 0
  for i = size // 2, 1, -1 do
    sift_down(i)
  end
end

--- Forgets the timer. It may have fired already.
function methods:cancel()
  if self.fn then
    self.fn = nil
    cancelled = cancelled + 1
    if cancelled > 64 and cancelled > size // 2 then
      compact()
    end
  end
end

---@param time number
---@param fn fun()
---@return lambdapool.Timer
local function start(time, fn)
  local timer = setmetatable({ time = time, fn = fn }, mt)
  heap[size + 1] = timer -- which may need memory, and fail
  size = size + 1
  sift_up(size)
  return timer
end

-- Takes cancelled timers off the top.
local function clean()
  while size > 0 and not heap[1].fn do
    pop()
    cancelled = cancelled - 1
  end
end

--- When the next timer is due; nil when there is none.
---@return number?
local function next_time()
  clean()
  return size > 0 and heap[1].time or nil
end

--- Calls the first that is due at `now`. True when there was one.
---@param now number
---@return boolean
local function run_one(now)
  clean()
  if size == 0 or heap[1].time > now then
    return false
  end
  local timer = pop()
  local fn = timer.fn
  timer.fn = nil
  fn()
  return true
end

--- Calls what is due at `now`. True when there was something.
---@param now number
---@return boolean
local function run(now)
  local any = false
  while run_one(now) do
    any = true
  end
  return any
end

return { start = start, next = next_time, run = run, run_one = run_one }
