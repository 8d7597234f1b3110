--- Programs that draw frames: they give the library some hundred microseconds at a time, and it
--- stops between two pieces of work. For that no piece may be large: requests are so small that
--- they are copied quickly, unless a single task needs more, a thread receives the answers, which
--- stay where they are, and the results in an answer are read some at a time. What an answer costs
--- by itself does not depend on its size, much: a few large ones leave most frames alone. Workers
--- are looked after once in a frame: an invocation takes several, or they would be idle for most of
--- the time.

local frames = {
  --- Whether this Lua state belongs to such a program.
  kept = false,
  --- Tasks of an invocation, at most.
  tasks = 1024,
  --- Tasks of the first invocations of a call, of which nothing is known yet.
  first_tasks = 1,
  --- Bytes of a request, and of an answer from far away, which is decoded as a whole: what is
  --- known of the tasks so far suggests how many of them make so much.
  bytes = 96 << 10,
  --- Bytes of an answer that stays where a thread has received it.
  lent_bytes = 520 << 10,
  --- How long an invocation should take, in microseconds.
  target_us = 128000,
  --- The results that are read at a time: so many at most, and no further one after so many bytes.
  piece_tasks = 32,
  piece_bytes = 16 << 10,
  --- The results that are handed on at a time where nothing of them is copied.
  lent_tasks = 4,
}

-- Requests that are sent, or begun, or ended at a time.
local FEW = 4

--- How many of a number of things that may be done at once are done before others have their turn.
---@return number
function frames.few()
  return frames.kept and FEW or math.huge
end

--- From now on they are kept: to be called before anything is submitted.
function frames.keep()
  frames.kept = true
end

return frames
