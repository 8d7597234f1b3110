--- One execution environment: a process of the function's runtime, which is initialised once and
--- then runs one invocation after the other. What its events mean stands here; which invocation
--- runs where is decided in environments.lua.
---
--- Its phases: "init", at most 10 s; "retry", the same once more at the expense of the invocation
--- when that was not enough; "free", and "gone".
local fault = require "lambdapool.serve.fault"
local invocation = require "lambdapool.serve.run.invocation"
local journal = require "lambdapool.serve.run.journal"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"
local variables = require "lambdapool.serve.run.variables"

local INIT_SECONDS = 10

-- How often the memory of a process is looked up: short invocations share a look.
local LOOK_SECONDS = 1

---@class lambdapool.serve.Environment
---@field owner lambdapool.serve.Environments
---@field pool table
---@field record table the function that it was made for
---@field invocation lambdapool.serve.Invocation? the one that it runs
---@field id integer? of its process
---@field phase "init"|"retry"|"free"|"gone"
---@field peak integer bytes of memory
local environment = {}

-- The end of an invocation ---------------------------------------------------------------------

--- Looks up how much memory the processes have. Returns what they use now.
---@return integer
function environment.look(self, now)
  local current, peak = loop.memory(self.id)
  self.looked = now
  self.peak = math.max(self.peak, peak or 0)
  return current or 0
end

-- Writes the log of the invocation that has ended and lets go of it.
local function conclude(self)
  local ended, now = self.invocation, system.monotonic()
  ended.duration = (now - ended.started) * 1000
  if self.phase ~= "gone" and now - self.looked >= LOOK_SECONDS then
    environment.look(self, now)
  end
  if ended.note then
    self.journal:write(ended.note)
  end
  ended.log = self.journal:finish(self.peak, ended.tail)
  self.invocation = nil
  return ended
end

-- The runtime has answered and asks for more.
local function complete(self)
  local ended = conclude(self)
  self.owner:release(self, ended)
  self.owner:deliver(ended)
end

-- The runtime has answered. What it does until it asks for more may take a while.
local function answered(self, ready)
  if ready then
    complete(self)
  else
    self.owner:linger(self.invocation)
  end
end

-- The beginning --------------------------------------------------------------------------------

-- One table for all calls: it is read at once.
local options = {}

--- Hands an invocation to the runtime, which waits for one. False when it has just gone.
---@param next_one lambdapool.serve.Invocation
function environment.invoke(self, next_one)
  local now = system.monotonic()
  local ms = next_one.record.timeout * 1000
  if self.phase == "retry" then
    ms = math.max(1, ms - math.floor((now - next_one.started) * 1000))
  else
    next_one.started = now
    self.journal:start(next_one)
  end
  options.deadline_ms = system.now() + ms
  options.kill_ms = ms
  options.request_id = next_one.request_id
  options.arn = next_one.record.arn
  options.client_context = next_one.client_context
  options.trace_id = next_one.trace_id
  next_one.worker = self.id
  self.phase, self.invocation = "free", next_one
  return loop.invoke(self.id, next_one.event, options) and true or false
end

--- Takes back what `invoke` could not hand over: the process has just gone, and "exit" follows.
function environment.withdraw(self)
  self.invocation = nil
  self.journal:withdraw()
end

local function stop_timer(self)
  if self.timer then
    self.timer:cancel()
    self.timer = nil
  end
end

-- The first invocation that is asked for ends the initialisation.
local function initialised(self)
  local first = self.invocation
  stop_timer(self)
  self.owner:started(self)
  if self.phase == "init" then
    first.init = (system.monotonic() - self.init_started) * 1000
  end
  environment.invoke(self, first) -- when this fails, "exit" follows
end

-- What the runtime does ------------------------------------------------------------------------

local events = {}

function events.ready(self)
  if self.phase ~= "free" then
    initialised(self)
  elseif self.invocation then
    complete(self)
  end
end

function events.response(self, body, ready)
  invocation.respond(self.invocation, body)
  answered(self, ready)
end

events["error"] = function(self, body, error_type, ready)
  invocation.raise(self.invocation, body, error_type)
  answered(self, ready)
end

function events.stream(self, content_type)
  invocation.begin(self.invocation, content_type)
end

function events.chunk(self, bytes)
  invocation.chunk(self.invocation, bytes)
end

function events.stream_end(self, body, error_type, ready)
  invocation.stop(self.invocation, body, error_type)
  answered(self, ready)
end

function events.init_error(self, body, error_type)
  self.complaint, self.complaint_type = body, error_type
end

function events.timeout(self)
  self.timed_out = true
end

function events.output(self, line)
  if self.owner.closing and not self.invocation then
    return -- it says that the service goes away
  end
  self.journal:write(line .. "\n")
  if not self.invocation then
    self.journal:flush()
  end
end

-- Why the invocation has no answer and will get none.
local function explain(self, ended, code, signal)
  if self.timed_out then
    invocation.time_out(ended)
  elseif self.greedy then
    invocation.run_out(ended)
  elseif self.complaint then
    invocation.raise(ended, self.complaint, self.complaint_type)
    ended.status = "error"
  else
    invocation.exit(ended, code, signal)
  end
end

-- It ended before it was initialised. True when it may try again.
local function init_failed(self, code, signal)
  local first, now = self.invocation, system.monotonic()
  local again = self.slow and self.phase == "init"
  if self.phase == "init" then
    if not again then
      explain(self, first, code, signal)
    end
    self.journal:write_init((now - self.init_started) * 1000, "init",
      again and "timeout" or "error", not again and first.error_type or nil)
    first.started = now
    self.journal:start(first)
  else
    explain(self, first, code, signal)
  end
  return again
end

function events.exit(self, code, signal)
  local last = self.invocation
  stop_timer(self)
  self.owner:started(self)
  if last and self.phase ~= "free" then
    if init_failed(self, code, signal) then
      self.phase = "retry"
      return environment.launch(self)
    end
  elseif last and (not last.body or last.truncated and not last.answered) then
    explain(self, last, code, signal)
  end
  self.phase = "gone"
  if last then
    conclude(self)
    self.owner:lose(self, last)
    self.owner:deliver(last)
  else
    self.owner:lose(self)
  end
end

-- The start ------------------------------------------------------------------------------------

-- There is no process: this was it.
local function give_up(self)
  local first = self.invocation
  if not first.started then
    first.started = system.monotonic()
    self.journal:start(first)
  end
  self.phase = "gone"
  conclude(self)
  self.owner:lose(self, first)
  self.owner:deliver(first)
end

-- The words of the system for why a program could not be executed.
local exec_errors = {
  ENOENT = "no such file or directory",
  EACCES = "permission denied",
  ENOEXEC = "exec format error",
}

local function cannot_start(self, message, code, program)
  if code and exec_errors[code] then
    invocation.no_entrypoint(self.invocation,
      ("fork/exec %s: %s"):format(program, exec_errors[code]))
  else
    self.invocation.fault = fault.new(500, "ServiceException",
      "cannot start the function: " .. tostring(message))
  end
  give_up(self)
end

-- The initialisation takes too long, or the whole invocation when this is the second try.
local function watch(self)
  local seconds = INIT_SECONDS
  if self.phase == "retry" then
    local record = self.invocation.record
    seconds = self.invocation.started + record.timeout - system.monotonic()
  end
  self.timer = loop.after(math.max(0, seconds), function()
    self.timer = nil
    self.slow, self.timed_out = true, self.phase == "retry"
    loop.kill(self.id)
  end)
end

--- Starts the process. Whatever comes of it, the invocation hears of it.
function environment.launch(self)
  local pool = self.pool
  local place, problem = pool.place, nil
  if not place then
    place, problem = self.owner:place(self.record)
    pool.place = place
  end
  if not place then
    return cannot_start(self, problem)
  elseif not place.bootstrap then
    invocation.no_entrypoint(self.invocation,
      "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
    return give_up(self)
  end
  self.init_started, self.looked = system.monotonic(), -math.huge
  local id, message, code = loop.start({
    agent = place.bootstrap,
    memory = self.record.memory,
    handler = self.record.handler,
    env = variables.of(self, place, self.owner.service),
    lambda = {
      task = place.task, layers = place.layers, tmp_mb = self.record.tmp_mb,
      isolated = place.isolated,
    },
  }, function(event, ...)
    return events[event](self, ...)
  end)
  if not id then
    return cannot_start(self, message, code, place.bootstrap)
  end
  self.id = id
  self.owner:starts(self)
  watch(self)
end

--- An environment that has not begun to start, for its first invocation.
---@param owner lambdapool.serve.Environments
---@param pool table
---@param first lambdapool.serve.Invocation
---@return lambdapool.serve.Environment
function environment.new(owner, pool, first)
  local record = first.record
  local stream = variables.stream(record)
  return {
    owner = owner, pool = pool, record = record, invocation = first, phase = "init", peak = 0,
    looked = -math.huge, stream = stream,
    journal = journal.new(owner.service.logs, record, stream),
  }
end

return environment
