--- The event loop of this Lua state: one for all pools and executors, so that waiting for one of
--- them keeps the others going. Three things happen on it, always inside a call of the user's that
--- waits or polls, never behind its back: events of workers and servers go to whoever started them,
--- timers fire, and what was put off with `later` (callbacks, coroutines that may go on) runs.
---
--- Where somebody else's loop drives this one, it is the same with smaller steps: `hold` keeps the
--- descriptor, `step` does one thing at a time and tells the descriptor when there is no more.

local interrupt = require "lambdapool.interrupt"
local progress = require "lambdapool.progress"
local system = require "lambdapool.system"
local timers = require "lambdapool.timers"
local workers = require "lambdapool.workers"

-- Workers that print without end must not keep `pump` from returning.
local EVENTS_AT_ONCE = 1000

local loop = {}

-- The descriptors behind it: opened with the first worker or server, closed with the last, unless
-- they are held.
local handle
local handlers = {}
local held = false

-- The descriptor has been told that there is nothing to do.
local resting = false

-- What was put off: functions and their arguments, in order.
local queue, head, tail = {}, 1, 0

-- What the next round puts off: flows that only yielded, which would keep this one from its end.
local yielded = {}

-- Where a flow cannot yield, its wait runs the queue, and so do the flows that go on there. So deep
-- and no deeper: beyond, waits see only events. Lua has 200 C calls, and a level takes three.
local DEEPEST = 30
local depth = 0

-- Invocations and transfers that are under way, and servers that listen.
local expected, listening = 0, 0

-- Errors of what was put off, which the next waiting call raises.
local failures = {}

-- Workers ------------------------------------------------------------------------------------

local function open()
  local message
  if not handle then
    handle, message = workers.open()
  end
  return handle, message
end

local function close_when_idle()
  if handle and not held and not next(handlers) then
    handle:close()
    handle = nil
  end
end

-- There is something to do: where somebody waits at the descriptor, he need not wait.
local function stir()
  if resting then
    resting = false
    handle:call_at(0)
  end
end

--- Starts a worker; see lambdapool.workers for `spec`. Events arrive, in calls that wait, as
--- handler(event, ...), the last of them "exit", or "not_started" of one that starts apart.
---@param spec table
---@param handler fun(event: string, ...)
---@return integer? id
---@return string? message
---@return string? code of the system, such as "ENOENT"
function loop.start(spec, handler)
  local ok, message = open()
  if not ok then
    return nil, ("cannot start the agent %s: %s"):format(spec.agent, message)
  end
  local id, code
  id, message, code = handle:start(spec)
  if id then
    handlers[id] = handler
    stir()
  end
  return id, message, code
end

--- Gives a worker that has not exited its next invocation; see lambdapool.workers.
---@return boolean?
---@return string? message
function loop.invoke(id, request, options)
  stir()
  return handle:invoke(id, request, options)
end

--- Ends the task that a worker runs, where that is Lua code: the worker answers, and lives on.
--- False when it cannot be told to.
---@return boolean
function loop.stop(id)
  return handle:stop(id)
end

--- Kills a worker that has not exited. Its "exit" follows.
function loop.kill(id)
  stir()
  handle:kill(id)
end

--- How many tasks of its invocation a worker has begun, and how many have ended.
function loop.progress(id)
  return handle:progress(id)
end

--- Takes back the tasks beyond the `n`th from a worker; returns how many it has begun.
function loop.cut(id, n)
  return handle:cut(id, n)
end

--- Stops and goes on reading a response that a worker streams.
---@param id integer
---@param stop boolean
function loop.pause(id, stop)
  stir()
  return handle:pause(id, stop)
end

--- Resident bytes of a worker's processes, now and at most; nil when that is not known.
---@return integer? current
---@return integer? peak
function loop.memory(id)
  return handle:memory(id)
end

-- Servers ------------------------------------------------------------------------------------

---@class lambdapool.Server
---@field private id integer? nil once it is closed
---@field private number integer
local methods = {}
local mt = { __name = "lambdapool.Server", __index = methods }

--- The port it listens on.
---@return integer
function methods:port()
  return self.number
end

--- Stops listening and closes every connection; its handler gets nothing more. May run twice.
function methods:close()
  if self.id then
    handle:unlisten(self.id)
    handlers[self.id] = nil
    self.id = nil
    listening = listening - 1
    close_when_idle()
  end
end

mt.__close = methods.close

--- Listens for HTTP requests; host/lib_server.c says what `options` and requests are. In calls that
--- wait arrive handler("request", request), once all of a request is there, and
--- handler("drained", request), once the client has read what request:write() left unsent.
--- Until the server is closed, there is something to wait for.
---@param options table
---@param handler fun(event: string, request: lambdapool.Request)
---@return lambdapool.Server?
---@return string? message
function loop.listen(options, handler)
  local ok, message = open()
  if not ok then
    return nil, message
  end
  local id, port = handle:listen(options)
  if not id then
    close_when_idle()
    return nil, port
  end
  handlers[id] = handler
  listening = listening + 1
  stir()
  return setmetatable({ id = id, number = port }, mt)
end

-- Libraries ------------------------------------------------------------------------------------

--- Puts on the loop what a library beside the program watches: make(port, id, owner), see
--- lambdapool.workers for ports; `owner` is to be kept as long as the port is used. Its events
--- arrive, in calls that wait, as handler(event).
---@generic T
---@param make fun(port: lightuserdata, id: integer, owner: any): T
---@param handler fun(event: string)
---@return T? made
---@return integer|string id for `detach`, or why the loop cannot be opened
function loop.attach(make, handler)
  local ok, message = open()
  if not ok then
    return nil, message
  end
  local port, id = handle:port()
  local made = make(port, id, handle)
  handlers[id] = handler
  stir()
  return made, id
end

--- What was attached has been closed.
---@param id integer
function loop.detach(id)
  handlers[id] = nil
  close_when_idle()
end

-- Events ---------------------------------------------------------------------------------------

--- Hands out the next event, for which it waits at most `seconds`; nil: as long as it takes.
--- Nothing else happens meanwhile: for closing down.
---@param seconds number?
---@return boolean again false when there was nothing, or nothing can come any more
function loop.take_event(seconds)
  if not handle then
    return false
  end
  local event, id, a, b, c, d = handle:poll(seconds)
  if not event then
    return false
  end
  stir()
  local handler = handlers[id]
  if event == "exit" or event == "not_started" then
    handlers[id] = nil
  end
  if handler then -- of a server that was closed there may be some left
    handler(event, a, b, c, d)
  end
  close_when_idle()
  return true
end

-- What is put off ------------------------------------------------------------------------------

--- Runs f(argument) in the next call that waits or polls.
---@param f fun(argument: any)
---@param argument any
function loop.later(f, argument)
  queue[tail + 1], queue[tail + 2] = f, argument
  tail = tail + 2
  stir()
end

--- Like `later`, but lets whatever else is going on have its turn first.
---@param f fun(argument: any)
---@param argument any
function loop.next_round(f, argument)
  yielded[#yielded + 1] = { f, argument }
  stir()
end

-- Whether there is something to run that may run here.
local function has_work()
  return (head <= tail or yielded[1]) and depth < DEEPEST
end

--- Whether what is put off now will run while somebody waits here.
---@return boolean
function loop.puts_off()
  return depth < DEEPEST
end

--- Called when something that was put off has raised an error: all of that is code of ours, which
--- is in the middle of something then. Callbacks of the user's have flows of their own.
function loop.on_failure() end

-- Runs the first of the queue. Returns what pcall does.
local function run_next()
  local f, argument = queue[head], queue[head + 1]
  queue[head], queue[head + 1] = nil, nil
  head = head + 2
  stir()
  depth = depth + 1
  local ok, failure = pcall(f, argument)
  depth = depth - 1
  if not ok then
    loop.on_failure()
  end
  return ok, failure
end

-- Puts off what only yielded.
local function begin_round()
  local round <const> = yielded
  yielded = {}
  for _, entry in ipairs(round) do
    loop.later(entry[1], entry[2])
  end
end

-- Runs what was put off, and what that puts off. An error of one keeps the others from nothing; it
-- is raised when all have run. Only Ctrl-C is raised at once.
local function run_queue()
  if has_work() then
    progress.hide() -- it may print
    begin_round()
    while head <= tail do
      local ok, failure = run_next()
      if interrupt.is(failure) then
        error(failure, 0)
      elseif not ok then
        loop.raise_later(failure)
      end
    end
  end
  if failures[1] then
    error(table.remove(failures, 1)[1], 0)
  end
end

--- The next call that waits or polls raises `failure`, which has no other way to whom it concerns.
---@param failure any
function loop.raise_later(failure)
  failures[#failures + 1] = { failure }
  stir()
end

--- Errors of callbacks that no waiting call has raised. They count as raised now.
---@return any[]
function loop.unraised()
  local values = {}
  for i, failure in ipairs(failures) do
    values[i] = failure[1]
  end
  failures = {}
  return values
end

-- Time ---------------------------------------------------------------------------------------

--- Calls fn() in a call that waits or polls, `seconds` from now or as soon after as there is one.
---@param seconds number
---@param fn fun()
---@return lambdapool.Timer timer timer:cancel() forgets it
function loop.after(seconds, fn)
  stir()
  return timers.start(system.monotonic() + seconds, fn)
end

--- An invocation or a transfer began (1) or ended (-1): while there is one, waiting makes sense.
---@param change integer
function loop.expect(change)
  expected = expected + change
end

-- The progress line is drawn by a timer of this loop, which stands above it.
progress.world.after = loop.after

-- Waiting --------------------------------------------------------------------------------------

-- Seconds until the next timer or `limit`, whichever comes first; nil without either.
local function patience(limit)
  local due = timers.next()
  due = due and limit and math.min(due, limit) or due or limit
  return due and math.max(0, due - system.monotonic())
end

-- Without workers the time has to pass, too.
local function sleep(seconds)
  local sleeper <close> = workers.open()
  sleeper:poll(seconds)
end

-- One round: timers that are due and what was put off, or else the next event.
local function turn(limit)
  interrupt.check()
  if timers.next() and timers.run(system.monotonic()) or has_work() then
    loop.glance()
    return run_queue()
  end
  local seconds = patience(limit)
  if not seconds and expected == 0 and listening == 0 then
    error(depth < DEEPEST and "cannot wait: nothing is going on that could end the wait"
      or "cannot wait: too many flows wait for others where they cannot yield", 0)
  elseif handle then
    loop.take_event(seconds)
  elseif seconds then
    sleep(seconds)
  end
  return run_queue()
end

--- Keeps everything going until `ready` says true or `seconds` have passed. Returns what it says.
--- Raises errors of callbacks that ran meanwhile; what is waited for is not lost by that.
---@param ready fun(argument: any): boolean
---@param argument any passed to `ready`
---@param seconds number?
---@return boolean
function loop.wait(ready, argument, seconds)
  local limit = seconds and system.monotonic() + seconds
  while not ready(argument) do
    turn(limit)
    if limit and system.monotonic() >= limit then
      progress.hide()
      return ready(argument)
    end
  end
  progress.hide()
  run_queue()
  return true
end

--- Runs callbacks that are due and raises errors of earlier ones; nothing else.
function loop.flush()
  run_queue()
end

--- Takes in what workers have done, without waiting and without running callbacks.
function loop.glance()
  local events = 0
  while loop.take_event(0) and events < EVENTS_AT_ONCE do
    events = events + 1
  end
end

--- Takes in everything that has happened, callbacks included. When that is nothing, waits for it,
--- at most `seconds`, and never longer in all, unless a callback takes longer.
---@param seconds number
function loop.pump(seconds)
  local limit = system.monotonic() + seconds
  local events = 0
  interrupt.check()
  timers.run(system.monotonic())
  while loop.take_event(0) and events < EVENTS_AT_ONCE do
    events = events + 1
  end
  local idle = events == 0 and not has_work()
  if idle and seconds > 0 then
    turn(limit)
    timers.run(system.monotonic())
  end
  progress.hide()
  run_queue()
end

-- Steps ----------------------------------------------------------------------------------------

local function run_timer()
  local due = timers.next()
  if not due or due > system.monotonic() then
    return false
  end
  stir()
  return timers.run_one(due)
end

local function run_put_off()
  if failures[1] then
    error(table.remove(failures, 1)[1], 0)
  elseif not has_work() then
    return false
  end
  progress.hide()
  if head > tail then
    begin_round()
  end
  local ok, failure = run_next()
  if not ok then
    error(failure, 0)
  end
  return true
end

local function take_one()
  return loop.take_event(0)
end

-- They take turns, so that none of them keeps the others waiting.
local kinds, kind = { run_timer, run_put_off, take_one }, 3

--- Does one thing: calls one timer that is due or one function that was put off, or hands out one
--- event. Never waits. Raises what that raises; the next step does the next thing all the same.
--- When there is nothing to do, tells the descriptor when there is, and allocates nothing.
---@return boolean again false when there was nothing
function loop.step()
  interrupt.check()
  for _ = 1, 3 do
    kind = kind % 3 + 1
    if kinds[kind]() then
      return true
    end
  end
  if handle then
    resting = held
    handle:call_at(timers.next())
  end
  return false
end

--- Waits until `step` has something to do, at most `seconds`. True when it has taken an event in
--- itself.
---@param seconds number
---@return boolean
function loop.rest(seconds)
  local patient = patience(system.monotonic() + seconds)
  if handle then
    return loop.take_event(patient)
  end
  sleep(patient)
  return false
end

--- While there is a limit, by the clock system.monotonic, little is read at a time, and nothing
--- after it; nil: there is none any more.
---@param limit number?
function loop.set_deadline(limit)
  if handle then
    handle:set_deadline(limit)
  end
end

--- Keeps the descriptors open until the Lua state is closed.
---@return userdata? handle see lambdapool.workers
---@return string? message
function loop.hold()
  local _, message = open()
  held = handle ~= nil
  return handle, message
end

--- The descriptor for somebody else's loop: readable when `step` has something to do. Always the
--- same.
---@return integer?
---@return string? message
function loop.descriptor()
  local ok, message = loop.hold()
  if not ok then
    return nil, message
  end
  local fd
  fd, message = handle:fd()
  resting = held
  handle:call_at((head <= tail or yielded[1] or failures[1]) and 0 or timers.next())
  return fd, message
end

return loop
