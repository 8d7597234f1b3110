--- The local backend: agent processes on this machine, each behind its own Lambda Runtime API on
--- the loopback interface. Workers start on demand, stay warm and die with the host.
---
--- This is the interface that every backend has:
---
---   backend.workers                        how many invocations it runs at once
---   backend:invoke(request, limits, done)  starts one; limits.timeout_ms bounds each task in it.
---                                          Later, during `poll`, done(outcome) is called once.
---                                          Returns nil, message when nothing can be started.
---   backend:poll(seconds)                  as loop.poll
---   backend:close()                        ends every worker and waits until they are gone
---   backend:abandon()                      the same without waiting, for finalisers
---
--- An outcome is { worker =, request_id =, bytes = } or, when the invocation failed, { worker =,
--- request_id =, kind =, message =, log = }. `not_started` in it says that no task can have begun.

local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

-- How long an invocation may run beyond the time limit of its tasks: the agent takes no new item
-- once a second has passed, and needs a moment to answer. The host kills a little later still.
local ANSWER_MS = 1500
local GRACE_MS = 2000

-- How many lines of a worker's output are kept for the error of its crash.
local LOG_LINES = 20

---@class lambdapool.LocalBackend
local methods = {}
local mt = { __name = "lambdapool.LocalBackend", __index = methods }

local function find_agent()
  local agent = os.getenv "LAMBDAPOOL_AGENT"
  if agent then
    return agent
  end
  local folder = assert(system.executable()):match "^(.*)/"
  for _, path in ipairs { folder .. "/bootstrap", folder .. "/../libexec/lambdapool/bootstrap" } do
    if system.executable_file(path) then
      return path
    end
  end
  error(("cannot find the agent: there is no `bootstrap` in %s\n" ..
    "  build it with `make build`, or name it in LAMBDAPOOL_AGENT"):format(folder), 0)
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
  if reason then
    return "the worker was killed by the host: " .. reason
  elseif signal then
    local name = signals[signal]
    name = name and " (" .. name .. ")" or ""
    return ("the worker was killed by signal %d%s"):format(signal, name)
  end
  return ("the worker exited with code %d"):format(code)
end

-- Ends the invocation that `worker` runs, if there is one.
local function settle(worker, outcome)
  local job = worker.job
  if job then
    worker.job = nil
    outcome.worker = worker.number
    outcome.request_id = job.request_id
    job.done(outcome)
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
  io.stderr:write(text .. "\n")
end

function events.exit(self, worker, code, signal, reason, progress)
  self.alive[worker] = nil
  for i, idle in ipairs(self.idle) do
    if idle == worker then
      table.remove(self.idle, i)
      break
    end
  end
  local outcome = {
    kind = "crashed",
    not_started = progress and progress.begun == 0,
    log = table.concat(worker.log, "\n"),
  }
  if worker.timed_out then
    outcome.kind = "timeout"
    outcome.message = "the task did not end in time, and its worker was killed"
  elseif worker.complaint then
    outcome.message = "the worker could not start: " .. worker.complaint
  else
    outcome.message = how_it_ended(code, signal, reason)
  end
  settle(worker, outcome)
end

local function start_worker(self)
  local worker = { number = self.started + 1, log = {} }
  local id, message = loop.start({ agent = self.agent, memory = self.memory }, function(event, ...)
    events[event](self, worker, ...)
  end)
  if not id then
    return nil, ("cannot start the agent %s: %s"):format(self.agent, message)
  end
  worker.id = id
  self.started = worker.number
  self.alive[worker] = true
  return worker
end

-- The interface ------------------------------------------------------------------------------

-- Hands `request` to `worker`; false, and why, when it is not there any more.
local function hand_over(worker, request, limits, done)
  local patience = limits.timeout_ms + ANSWER_MS
  local job = { done = done, request_id = new_request_id() }
  local ok, message = loop.invoke(worker.id, request, {
    deadline_ms = system.now() + patience,
    kill_ms = patience + GRACE_MS,
    request_id = job.request_id,
  })
  worker.job = ok and job or nil
  return ok, message
end

function methods:invoke(request, limits, done)
  local worker = table.remove(self.idle)
  while worker do
    if hand_over(worker, request, limits, done) then
      return true
    end
    worker = table.remove(self.idle)
  end
  local complaint
  worker, complaint = start_worker(self)
  if not worker then
    return nil, complaint
  end
  return hand_over(worker, request, limits, done)
end

function methods.poll(_, seconds)
  return loop.poll(seconds)
end

function methods:abandon()
  self.idle = {}
  for worker in pairs(self.alive) do
    worker.job = nil
    loop.kill(worker.id)
  end
end

function methods:close()
  self:abandon()
  while next(self.alive) and loop.poll() do end
end

--- Raises when there is no agent to run.
---@param options { workers: integer, memory: integer, prefix: boolean }
---@return lambdapool.LocalBackend
local function new(options)
  return setmetatable({
    agent = find_agent(),
    workers = options.workers,
    memory = options.memory,
    prefix = options.prefix,
    started = 0,
    idle = {},
    alive = {},
  }, mt)
end

return { new = new }
