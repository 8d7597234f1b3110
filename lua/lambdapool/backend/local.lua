--- The local backend: agent processes on this machine, each behind its own Lambda Runtime API on
--- the loopback interface. Workers start on demand, stay warm and die with the host.
---
--- This is the interface that every backend has:
---
---   backend.workers                      how many invocations it runs at once
---   backend:invoke(request, call, done, tag)
---                                        starts one; call.timeout_ms bounds each task in it.
---                                        Later, while the loop runs, done(outcome, tag) is called;
---                                        the first call counts. Returns a ticket, or nil and a
---                                        message when nothing can be started.
---   backend:progress(ticket)             how many tasks of it have begun and how many have ended;
---                                        nil when that is not known
---   backend:cut(ticket, n)               no task beyond the n-th will begin unless it has; returns
---                                        how many have begun, nil when that cannot be done
---   backend:cancel(ticket)               ends it at once; done is called all the same. False when
---                                        it has ended, or cannot be stopped
---   backend:retire(ticket)               it has ended; its worker should get no other one
---   backend:alive(), backend:started()   numbers of workers
---   backend:close()                      ends every worker and waits until they are gone
---   backend:abandon()                    the same without waiting, for finalisers
---
--- Some have more:
---
---   backend:stop(ticket)                 like cancel, but what ran it can run the next one, too
---   backend.opaque                       true: nobody knows how far an invocation is once it runs
---   backend.overhead_us                  what an invocation takes by itself, where that is much
---   backend:costs()                      fields for Pool:stats
---   backend:complain_of_module(name)     what to say of a worker that has a module of its own in
---                                        another version
---
--- An outcome is { worker =, request_id =, bytes = } or, when the invocation failed, { worker =,
--- request_id =, kind =, message =, log =, code =, progress =, final =, exhausted = }. `progress`
--- is what is known of its tasks, { begun =, finished =, kept_tasks =, kept = }, as
--- lambdapool.workers gives it. `unsent`: the request has gone nowhere; there is only the message,
--- which tells why. `final`: it is useless to try again; `exhausted`: it was throttled
--- as long as makes sense, and only the user's own policy may try again.

local frames = require "lambdapool.frames"
local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local places = require "lambdapool.places"
local progress_line = require "lambdapool.progress"
local system = require "lambdapool.system"

-- The agent ends a task in Lua when its time is up. One that sits in C is ended by killing the
-- worker so much later.
local GRACE_MS = 1000

-- What the agent is told of its deadline: it takes no new task once a second has passed, and needs
-- a moment to answer.
local ANSWER_MS = 1500

-- How many lines of a worker's output are kept for the error of its crash.
local LOG_LINES = 20

-- Seconds in which a task that is stopped has to end: one that sits in C does not.
local STOP_SECONDS = 1

---@class lambdapool.LocalBackend
local methods = {}
local mt = { __name = "lambdapool.LocalBackend", __index = methods }

--- Where the agent is. Raises when there is none.
---@return string
local function find_agent()
  local agent = os.getenv "LAMBDAPOOL_AGENT"
  if agent then
    return agent
  end
  local path, folders = places.find("bootstrap", system.executable_file)
  return path or error(("cannot find the agent: there is no `bootstrap` in %s\n" ..
    "  put it there, as `make install` does, or name it: in LAMBDAPOOL_AGENT, in the option " ..
    "`agent` of a pool, or in lp_config.agent"):format(folders), 0)
end

-- A name for each invocation, in the shape that Lambda's have. Not random: math.random belongs to
-- the user's script.
local invocations = 0
local function new_request_id()
  invocations = invocations + 1
  local now = system.now()
  return ("%08x-%04x-%04x-%04x-%012x"):format(now >> 32 & 0xffffffff, now >> 16 & 0xffff,
    now & 0xffff, invocations >> 48 & 0xffff, invocations & 0xffffffffffff)
end

-- Workers ------------------------------------------------------------------------------------

local signals = {
  [2] = "SIGINT", [4] = "SIGILL", [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL",
  [11] = "SIGSEGV", [13] = "SIGPIPE", [15] = "SIGTERM", [24] = "SIGXCPU",
}

local function how_it_ended(code, signal, reason)
  if reason and not code then
    return "the worker was killed by the host: " .. reason
  elseif signal then
    local name = signals[signal]
    name = name and " (" .. name .. ")" or ""
    return ("the worker was killed by signal %d%s"):format(signal, name)
  end
  local text = code and ("the worker exited with code %d"):format(code)
    or "the worker has ended, and somebody else knows how"
  return reason and text .. ": " .. reason or text
end

-- Ends the invocation that `worker` runs, if there is one.
local function settle(worker, outcome)
  local job = worker.job
  if job then
    worker.job = nil
    outcome.worker = worker.number
    outcome.request_id = job.request_id
    job.done(outcome, job.tag)
  end
end

local events = {}

function events.response(self, worker, bytes)
  table.insert(self.idle, worker)
  settle(worker, { bytes = bytes })
end

-- The text in the error that an agent posts.
local function error_message(body)
  local fields = json.decode(body)
  return type(fields) == "table" and fields.errorMessage or body
end

local error_kinds = {
  ["Function.Timeout"] = "timeout",
  ["Function.OutOfMemory"] = "out_of_memory",
  ["Function.ResponseSizeTooLarge"] = "too_large",
}

-- The agent answers with an error only when it could not run the call at all.
function events.error(self, worker, body, error_type)
  table.insert(self.idle, worker)
  settle(worker, { kind = error_kinds[error_type] or "error", message = error_message(body) })
end

function events.init_error(_, worker, body)
  worker.complaint = error_message(body)
end

function events.timeout(_, worker)
  worker.timed_out = true
end

function events.output(self, worker, text)
  worker.log[#worker.log + 1] = text
  if #worker.log > LOG_LINES then
    table.remove(worker.log, 1)
  end
  if self.prefix then
    text = ("[worker %d] %s"):format(worker.number, text)
  end
  progress_line.log(text)
end

-- Why a worker is gone: the kind of error that its task ends with, and the words for it.
local function cause_of_death(worker, code, signal, reason, progress)
  if worker.killed then
    reason = nil
  end
  if worker.cancelled then
    return "cancelled", "the task was cancelled"
  elseif worker.timed_out then
    return "timeout", ("the task did not end within %g s, and its worker was killed"):format(
      worker.job and worker.job.timeout_ms / 1000 or 0)
  elseif worker.complaint then
    return "crashed", "the worker could not start: " .. worker.complaint
  elseif progress and progress.no_memory then
    return "out_of_memory", ("a library could not allocate %d bytes; %s"):format(
      progress.no_memory, how_it_ended(code, signal, reason))
  end
  return reason and "lost" or "crashed", how_it_ended(code, signal, reason)
end

function events.exit(self, worker, code, signal, reason, progress)
  self.alive_workers[worker] = nil
  self.count = self.count - 1
  for i, idle in ipairs(self.idle) do
    if idle == worker then
      table.remove(self.idle, i)
      break
    end
  end
  local kind, message = cause_of_death(worker, code, signal, reason, progress)
  if worker.timed_out and progress and progress.begun == 0 then
    progress = nil -- what the code needs could not be loaded in time: it is no use to try again
  end
  settle(worker, {
    kind = kind,
    message = message,
    log = table.concat(worker.log, "\n"),
    progress = progress,
  })
end

-- The task goes where it came from.
function events.not_started(self, worker, message)
  self.alive_workers[worker] = nil
  self.count = self.count - 1
  self.not_started = self.not_started + 1
  self.trouble = ("cannot start the agent %s: %s"):format(self.agent, message)
  if worker.cancelled then
    settle(worker, { kind = "cancelled", message = "the task was cancelled" })
  else
    settle(worker, { kind = "lost", message = self.trouble, unsent = true })
  end
end

-- Whatever comes from a worker first says that it has started, or has not.
local function on_event(self, worker, event, ...)
  if worker.new then
    worker.new, self.trouble = nil, nil
    self.new = self.new - 1
  end
  events[event](self, worker, ...)
end

-- Once a start has failed, there is one at a time, until one does not.
local function start_worker(self)
  if self.trouble and self.new > 0 then
    return nil, self.trouble
  end
  local worker = { number = self.last_number + 1, log = {}, new = true }
  local id, message = loop.start({
    agent = self.agent, memory = self.memory, nice = self.nice, apart = true,
    received = frames.kept,
  }, function(...)
    on_event(self, worker, ...)
  end)
  if not id then
    return nil, message
  end
  worker.id = id
  self.new = self.new + 1
  self.last_number = worker.number
  self.count = self.count + 1
  self.alive_workers[worker] = true
  return worker
end

-- The interface ------------------------------------------------------------------------------

-- Hands `request` to `worker`. Returns the ticket; nil, and why, when it is not there any more.
local function hand_over(worker, request, call, done, tag)
  local job = {
    worker = worker,
    done = done,
    tag = tag,
    request_id = new_request_id(),
    timeout_ms = call.timeout_ms,
  }
  local ok, message = loop.invoke(worker.id, request, {
    deadline_ms = system.now() + call.timeout_ms + ANSWER_MS,
    kill_ms = call.timeout_ms + GRACE_MS,
    request_id = job.request_id,
  })
  if not ok then
    return nil, message
  end
  worker.job = job
  return job
end

function methods:invoke(request, call, done, tag)
  local worker = table.remove(self.idle)
  while worker do
    local ticket
    if worker.retired then
      loop.kill(worker.id)
    else
      ticket = hand_over(worker, request, call, done, tag)
    end
    if ticket then
      return ticket
    end
    worker = table.remove(self.idle)
  end
  local complaint
  worker, complaint = start_worker(self)
  if not worker then
    return nil, complaint
  end
  return hand_over(worker, request, call, done, tag)
end

-- False when the invocation has ended, and the worker may have another one.
local function is_current(ticket)
  return ticket.worker.job == ticket
end

function methods.progress(_, ticket)
  if is_current(ticket) then
    return loop.progress(ticket.worker.id)
  end
end

function methods.cut(_, ticket, n)
  if is_current(ticket) then
    return loop.cut(ticket.worker.id, n)
  end
end

-- For chaos: the worker of a ticket dies as if by itself.
function methods.kill(_, ticket)
  if is_current(ticket) then
    ticket.worker.killed = true
    loop.kill(ticket.worker.id)
  end
end

function methods.cancel(_, ticket)
  if not is_current(ticket) then
    return false
  end
  ticket.worker.cancelled = true
  loop.kill(ticket.worker.id)
  return true
end

--- Like `cancel`, but the worker lives on when it can end its task.
function methods:stop(ticket)
  if not is_current(ticket) then
    return false
  end
  loop.cut(ticket.worker.id, 0)
  if not loop.stop(ticket.worker.id) then
    return self:cancel(ticket)
  end
  loop.after(STOP_SECONDS, function()
    loop.glance() -- its answer may be there
    self:cancel(ticket)
  end)
  return true
end

function methods.retire(_, ticket)
  ticket.worker.retired = true
end

function methods:alive()
  return self.count
end

function methods:started()
  return self.last_number - self.not_started
end

function methods:abandon()
  self.idle = {}
  for worker in pairs(self.alive_workers) do
    worker.job = nil
    loop.kill(worker.id)
  end
end

function methods:close()
  self:abandon()
  while next(self.alive_workers) and loop.take_event() do end
end

--- Raises when there is no agent to run.
---@param options { workers: integer, memory: integer, prefix: boolean, nice: integer? }
---@return lambdapool.LocalBackend
local function new(options)
  return setmetatable({
    agent = options.agent or find_agent(),
    workers = options.workers,
    memory = options.memory,
    prefix = options.prefix,
    nice = options.nice,
    last_number = 0,
    not_started = 0,
    new = 0, -- workers that nothing has come from yet
    count = 0,
    idle = {},
    alive_workers = {},
  }, mt)
end

return { new = new, find_agent = find_agent }
