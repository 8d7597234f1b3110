--- The backend for functions: invocations of a Lambda function, in an AWS account or in the local
--- service. The interface is that of lambdapool.backend.local; `opaque` says that nobody can see
--- how far an invocation is, or take tasks back from it, and `overhead_us` what one takes by
--- itself.
---
--- An invocation waits here until there are credentials and pacing allows it. What certainly did
--- not run is sent again from here: it was throttled, the function was still being made, no
--- connection could be made, or credentials had expired. That goes on for a while in which nothing
--- else gets through, and then all that wait end. What may have run is lost instead; whether it is
--- tried again is for the user's retry policy to say.

local accounts = require "lambdapool.account"
local answers = require "lambdapool.backend.aws.answers"
local bags = require "lambdapool.bag"
local crypto = require "lambdapool.crypto"
local endings = require "lambdapool.backend.aws.endings"
local frames = require "lambdapool.frames"
local http = require "lambdapool.http"
local jobs = require "lambdapool.backend.aws.jobs"
local keys = require "lambdapool.backend.aws.keys"
local ledgers = require "lambdapool.backend.aws.ledger"
local loop = require "lambdapool.loop"
local output = require "lambdapool.backend.aws.output"
local pacing = require "lambdapool.backend.aws.pacing"
local reports = require "lambdapool.aws.report"
local senders = require "lambdapool.backend.aws.sender"
local settings = require "lambdapool.backend.aws.settings"
local sizer = require "lambdapool.sizer"
local system = require "lambdapool.system"
local troubles = require "lambdapool.backend.aws.trouble"

-- What every invocation of a function is refused for holds for those that come next, too.
local REFUSAL_SECONDS = 1

-- The longest that Lambda lets a function run, what starting it may take, and what sending the
-- answers may.
local MOST_SECONDS, START_SECONDS, TRANSFER_SECONDS = 900, 10, 30

-- The agent's own limit of an invocation that says none; see host/codec/call.h.
local STOP_MS = 1000

-- What an invocation takes by itself, on AWS and here, in microseconds: Lambda is some network
-- away, and asks for as much money as for some milliseconds.
local OVERHEAD_US = { aws = 20000, ["local"] = 2000 }

---@class lambdapool.AwsBackend
---@field workers integer
---@field waiting lambdapool.backend.aws.Jobs
---@field settle fun(response: table, job: lambdapool.backend.aws.Job)
---@field settings lambdapool.backend.aws.Settings
---@field trouble lambdapool.backend.aws.Trouble
---@field sent lambdapool.Bag of jobs that are under way
---@field under_way boolean whether the jobs in `sent` may have left this machine
---@field keys lambdapool.backend.aws.Keys
---@field skew number? the session's, with which the last one was signed
---@field skewed number? since when
local methods = {}
local mt = { __name = "lambdapool.AwsBackend", __index = methods }

-- Ends everything that waits to be sent.
local function finish_waiting(self, outcome)
  for _, job in ipairs(self.waiting:take_all()) do
    self.endings:add(job, outcome)
  end
end

-- No invocation can succeed, for a while at least.
local function refuse(self, outcome, seconds)
  self.refusal, self.refused_until = outcome, system.monotonic() + seconds
  finish_waiting(self, outcome)
end

-- Sending ----------------------------------------------------------------------------------------

local pump

-- Goes on after a while.
local function pump_later(self, seconds)
  if not self.timer then
    self.timer = loop.after(seconds, function()
      self.timer = nil
      pump(self)
    end)
  end
end

-- New credentials are there, or cannot be had.
local function go_on(self, ok, refusal)
  if ok then
    pump_later(self, 0)
  else
    refuse(self, { kind = "lost", message = tostring(refusal), final = true,
      code = type(refusal) == "table" and refusal.code or nil }, REFUSAL_SECONDS)
  end
end

-- Whether one more may be sent now. When only time keeps it from that, it is looked at again.
local function has_room(self, now)
  local running = self.sent.count
  if not self.pacing:allows(running, now) then
    pump_later(self, self.pacing:delay(running))
    return false
  end
  local verdict = self.ledger:allows(running)
  if verdict == "no" then
    refuse(self, { kind = "cancelled", final = true, code = "BudgetUsedUp",
      message = ("the budget of %s is used up"):format(ledgers.dollars(self.ledger.limit)) },
      math.huge)
  end
  return verdict == "yes"
end

local is_checking

-- Nothing leaves this machine before the loop runs.
local function set_out(self)
  self.under_way = false
  loop.after(0, function()
    self.under_way = true
  end)
end

-- Sends a job. What cannot be sent at all is a mistake in what it is sent with.
local function send(self, job, credentials, now)
  job.sent, job.credentials = now, credentials
  if self.skew ~= self.session.skew then
    self.skew, self.skewed = self.session.skew, now
  end
  if self.sent.count == 0 then
    set_out(self)
  end
  local ok, transfer = pcall(self.sender.send, self.sender, job, credentials, self.settle)
  if ok then
    job.transfer = transfer
    return self.sent:add(job)
  end
  refuse(self, { kind = "lost", message = tostring(transfer), final = true }, REFUSAL_SECONDS)
  self.endings:add(job, self.refusal)
end

--- Sends what waits, as far as that is possible now; some at a time.
function pump(self)
  local few = frames.few()
  while self.waiting:any() and not self.closed do
    if few == 0 then
      return pump_later(self, 0)
    end
    few = few - 1
    local now = system.monotonic()
    local credentials = self.keys:get(now)
    if not credentials or is_checking(self) or not has_room(self, now) then
      return
    end
    send(self, self.waiting:pop(), credentials, now)
  end
end

-- Trouble ----------------------------------------------------------------------------------------

-- A function that may not run at all: it is useless to wait.
local function is_hopeless(self, refusal)
  return refusal.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
    and self.settings.reserved == 0
end

-- What certainly did not run waits for another attempt, or ends, perhaps with all the others.
local function put_off(self, job, verdict, refusal)
  local now, running = system.monotonic(), self.sent.count
  if verdict == "throttled" then
    self.pacing:refuse(running, now)
  end
  local pause, all = self.trouble:pause(job, verdict, refusal, running, now)
  if pause and not is_hopeless(self, refusal) then
    return self.waiting:hold(job, pause, function()
      pump(self)
    end)
  end
  local outcome = answers.lost(refusal, verdict == "throttled" and "throttled" or nil)
  outcome.exhausted = true
  if all or pause then
    finish_waiting(self, outcome)
  end
  endings.finish(job, outcome)
end

local verdicts = { throttled = put_off, pending = put_off, unreachable = put_off }

function verdicts.refused(self, job, _, refusal)
  local outcome = answers.lost(refusal)
  outcome.final = true
  refuse(self, outcome, REFUSAL_SECONDS)
  endings.finish(job, outcome)
end

-- Sends a job once more, at once; `cure` says whether that makes sense.
local function renew(self, job, refusal, cure)
  if job.renewed or not cure() then
    return verdicts.refused(self, job, nil, refusal)
  end
  job.renewed = true
  self.waiting:push_front(job)
end

function verdicts.stale(self, job, _, refusal)
  renew(self, job, refusal, function()
    return self.keys:renew(job.credentials)
  end)
end

function verdicts.skewed(self, job, _, refusal)
  local session = self.session
  renew(self, job, refusal, function()
    return session:correct_clock(refusal) or session.skew ~= self.skew or job.sent < self.skewed
  end)
end

-- Answers ----------------------------------------------------------------------------------------

-- What the log says: prints what the task printed, and counts what it cost. Returns whether there
-- was a report, the report when it was unusual, and the lines.
local function read_log(self, headers)
  local encoded = headers["x-amz-log-result"]
  local tail = encoded and crypto.unbase64(encoded)
  if not tail then
    return false
  end
  local billed, memory, peak = reports.usual(tail)
  if billed then
    self.ledger:add(billed, memory, peak)
    return true
  end
  local request_id = headers["x-amzn-requestid"] or ""
  local lines = output.lines(tail, self.name, request_id)
  output.print(lines, request_id, self.prefix)
  local report = reports.parse(tail)
  if report then
    self.ledger:add(report.billed, report.memory, report.peak, report.init)
  end
  return report ~= nil, report, lines
end

-- Counts what an invocation without a report may have cost: nothing, when it certainly did not run.
local function estimate(self, job, verdict, response)
  local status = response.status or 500
  if verdict == "ended" and (status == 200 or status >= 500) then
    self.ledger:estimate(system.monotonic() - job.sent)
  end
end

function verdicts.ended(self, job, _, outcome)
  self.trouble:over()
  endings.finish(job, outcome)
end

-- The answer to an invocation is there.
local function settle(self, job, response)
  self.sent:remove(job)
  job.transfer = nil
  local where = self.where
  if response.status ~= 200 then
    where.context = self.session:context("lambda", job.credentials, { FunctionName = self.name })
  end
  local counted, report, lines
  if response.headers then
    counted, report, lines = read_log(self, response.headers)
  end
  local verdict, result = answers.read(response, where, report)
  if not counted then
    estimate(self, job, verdict, response)
  end
  if verdict == "ended" and result.kind and lines and lines[1] then
    result.log = table.concat(lines, "\n")
  end
  verdicts[verdict](self, job, verdict, result)
  pump(self)
end

-- The function's settings ------------------------------------------------------------------------

--- Whether invocations wait for the settings. The first one has them asked for.
function is_checking(self)
  local known = self.settings
  if known.asked then
    return known:is_awaited()
  end
  known:ask(self.session, self.qualifier, function(complaint)
    self.ledger.architecture = known.architecture
    self.ledger.memory = self.ledger.memory or known.memory
    if complaint then
      refuse(self, { kind = "lost", message = complaint, code = "Settings", final = true },
        math.huge)
    end
    pump_later(self, 0)
  end)
  return known:is_awaited() or not self.waiting:any() -- they may have come at once
end

-- The interface ----------------------------------------------------------------------------------

-- The longest that the transfer of an invocation may take.
local function transfer_seconds(self, call)
  local most = self.settings.timeout or MOST_SECONDS
  local needed = ((sizer.stop_ms(call) or STOP_MS) + call.timeout_ms) / 1000 + START_SECONDS
  return math.min(most, needed) + TRANSFER_SECONDS
end

function methods:invoke(request, call, done, tag)
  if self.closed then
    return nil, "the pool is closed"
  end
  local job = jobs.job(request, transfer_seconds(self, call), done, tag)
  self.ledger:count_tasks(call.totals)
  if self.refusal and system.monotonic() < self.refused_until then
    self.endings:add(job, self.refusal)
    return job
  end
  self.waiting:push_back(job)
  if frames.kept then
    pump_later(self, 0) -- sending takes a while, too
  else
    pump(self)
  end
  return job
end

--- Known only until it is sent: nothing has begun.
function methods.progress(_, ticket)
  if not ticket.sent then
    return 0, 0
  end
end

function methods.cut()
  return nil
end

-- Takes a job out of whatever it is in.
local function withdraw(self, job)
  self.waiting:withdraw(job)
  if job.place then
    job.transfer:cancel()
    self.sent:remove(job)
    if self.under_way then
      self.ledger:estimate(system.monotonic() - job.sent)
    end
  end
end

--- Nobody waits for it any more. What runs on AWS already runs to its end there.
function methods:cancel(ticket)
  if not ticket.done or ticket.withdrawn then
    return false
  end
  withdraw(self, ticket)
  pump_later(self, 0)
  self.endings:add(ticket, { kind = "cancelled", message = "the task was cancelled" })
  return true
end

--- For chaos: as if the worker of a ticket had died.
function methods:kill(ticket)
  if ticket.place then
    withdraw(self, ticket)
    pump_later(self, 0)
    self.endings:add(ticket, { kind = "crashed", message = "killed on purpose" })
  end
end

--- Nobody can say which environment gets the next invocation.
function methods.retire()
end

function methods:alive()
  return self.sent.count
end

function methods:started()
  return self.ledger.cold_starts
end

--- The function has a module of its own that is not what stands here.
---@param module string
---@return string
function methods:complain_of_module(module)
  return ("%s has another version of module '%s' than this program\n" ..
    "  run `lambdapool update %s PATHS`"):format(self.name, module, self.name)
end

--- What the invocations cost so far; see Pool:stats.
function methods:costs()
  return self.ledger:stats()
end

function methods:abandon()
  for _, job in ipairs(self.waiting:take_all()) do
    job.done = nil
  end
  while self.sent.count > 0 do
    local job = self.sent[self.sent.count]
    job.done = nil
    withdraw(self, job)
  end
end

function methods:close()
  if self.closed then
    return
  end
  self.closed = true
  self:abandon()
  self.ledger:close()
  self.keys:close()
  self.settings:close()
  if self.timer then
    self.timer:cancel()
    self.timer = nil
  end
  self.account:close()
end

---@class lambdapool.AwsBackend.Options
---@field workers integer
---@field function_name string
---@field qualifier string?
---@field backend "local"|"aws" where the function lives
---@field region string? and what else lambdapool.account takes
---@field wanted { memory: number?, timeout: number? } what the function must have at least
---@field max_cost number? dollars
---@field prefix boolean
---@field progress boolean?

-- Raises when the account has no region, or an endpoint that cannot be.
local function check(account)
  local ok, refusal = pcall(function()
    account.session:need_region()
    account.session:endpoint "lambda"
  end)
  if not ok then
    account:close()
    error(refusal, 0)
  end
end

--- Raises when there is no account or region.
---@param options lambdapool.AwsBackend.Options
---@return lambdapool.AwsBackend
local function new(options)
  if frames.kept then
    http.prepare()
  end
  local account = accounts.open(options)
  check(account)
  local session = account.session
  local self = setmetatable({
    opaque = true,
    overhead_us = OVERHEAD_US[account.backend],
    workers = options.workers,
    name = options.function_name,
    qualifier = options.qualifier,
    prefix = options.prefix,
    account = account,
    session = session,
    sender = senders.new(session, options.function_name, options.qualifier),
    pacing = pacing.new(options.workers, system.monotonic()),
    ledger = ledgers.new { name = options.function_name, region = session.region,
      simulated = account.backend == "local", limit = options.max_cost,
      silent = options.progress == false },
    where = { name = options.function_name },
    settings = settings.new(options.function_name, options.wanted or {}),
    waiting = jobs.new(),
    trouble = troubles.new(),
    sent = bags.new(),
    under_way = false,
    endings = endings.new(),
  }, mt)
  self.keys = keys.new(session, function(ok, refusal)
    go_on(self, ok, refusal)
  end)
  self.settle = function(response, job) -- one for all invocations
    settle(self, job, response)
  end
  return self
end

return { new = new }
