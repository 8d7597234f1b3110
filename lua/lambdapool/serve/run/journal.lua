--- The log stream of one environment. Lines are kept while an invocation runs and handed to the
--- logs together with its report, so that a short invocation costs one call.
local limits = require "lambdapool.serve.run.limits"
local reports = require "lambdapool.serve.run.report"
local system = require "lambdapool.system"

-- So much is kept of an invocation that prints more.
local LINES = 1000
local BYTES = 262144

---@class lambdapool.serve.Journal
---@field lines any[]? times and messages in turn
---@field invocation lambdapool.serve.Invocation? the one that runs
---@field begun boolean? whether its START stands in the log
---@field before string the end of what was handed on while it ran
local methods = {}
local mt = { __name = "lambdapool.serve.Journal", __index = methods }

-- The end of what was logged, of which `lines` is the last part.
local function tail_of(before, lines)
  local first, size = #lines + 2, 0
  while first > 2 and size < limits.LOG_TAIL do
    first = first - 2
    size = size + #lines[first]
  end
  local parts = { before }
  for i = first, #lines, 2 do
    parts[#parts + 1] = lines[i]
  end
  return table.concat(parts):sub(-limits.LOG_TAIL)
end

--- Hands on what is kept.
function methods:flush()
  local lines = self.lines
  if lines then
    self.lines, self.bytes = nil, 0
    self.logs:append(self.region, self.group, self.stream, lines)
  end
end

local function add(self, time, message)
  local lines = self.lines
  if not lines then
    lines = {}
    self.lines = lines
  end
  local n = #lines
  lines[n + 1], lines[n + 2] = time, message
  self.bytes = self.bytes + #message
  if n > 2 * LINES or self.bytes > BYTES then
    self.before = tail_of(self.before, lines)
    self:flush()
  end
end

local function begin(self)
  local invocation = self.invocation
  self.begun = true
  add(self, self.started, self.report.start(invocation.request_id, invocation.record.version))
end

--- An invocation begins. Its START may wait for its first line.
---@param invocation lambdapool.serve.Invocation
function methods:start(invocation)
  self.invocation = invocation
  self.started = system.now()
  if self.lines then
    begin(self)
  end
end

--- An initialisation has failed.
function methods:write_init(milliseconds, phase, status, error_type)
  self:write(self.report.init(milliseconds, phase, status, error_type))
end

--- Adds lines, of the function or of the platform.
---@param message string
function methods:write(message)
  if self.invocation and not self.begun then
    begin(self)
  end
  add(self, system.now(), message)
end

--- The invocation that was to begin runs elsewhere.
function methods:withdraw()
  self.invocation, self.begun = nil, nil
end

--- The invocation has ended. Returns the end of its log when `tail`.
---@param peak integer bytes of memory
---@param tail boolean?
---@return string?
function methods:finish(peak, tail)
  local invocation, report, now = self.invocation, self.report, system.now()
  local id = invocation.request_id
  local lines = self.lines
  if not lines then
    lines = self.begun and {} or { self.started, report.start(id, invocation.record.version) }
    self.lines = lines
  end
  local stop = report.stop(id)
  if stop then
    local n = #lines
    lines[n + 1], lines[n + 2] = now, stop
  end
  local n = #lines
  lines[n + 1], lines[n + 2] = now, report.report(invocation, peak)
  local text = tail and tail_of(self.before, lines)
  self.invocation, self.begun, self.before = nil, nil, ""
  self:flush()
  return text
end

---@param logs table the log store
---@param record lambdapool.serve.Record
---@param stream string
---@return lambdapool.serve.Journal
local function new(logs, record, stream)
  return setmetatable({
    logs = logs, region = record.region, group = record.log_group, stream = stream,
    report = reports.of(record.log_format), bytes = 0, before = "",
  }, mt)
end

return { new = new }
