--- One invocation: what is to be run, and what became of it. Whoever makes it gives it a sink:
---
---   sink.finish(invocation)               it has ended; called once
---   sink.begin(invocation, content_type)  a streamed response begins
---   sink.chunk(invocation, bytes)         and goes on
---
--- Without the last two a streamed response is put together first. The texts of errors are those of
--- AWS, to the letter.
local json = require "lambdapool.json"
local limits = require "lambdapool.serve.run.limits"

---@class lambdapool.serve.Invocation
---@field record table the function, as functions.resolve gives it
---@field event string
---@field request_id string
---@field sink table
---@field tail boolean? whether the end of the log is wanted
---@field client_context string?
---@field trace_id string?
---@field body string? the response, or the error as JSON
---@field failed boolean? it is an error
---@field error_type string?
---@field content_type string? of a streamed response
---@field fault table? nothing ran: the service itself has failed
---@field status "timeout"|"error"|nil the platform says that it failed, not the function
---@field note string? the line of the log that says how
---@field log string? the end of the log
---@field streaming boolean? a streamed response has begun and not ended
---@field truncated boolean? it broke off
---@field answered boolean? the sink has it
---@field started number? when it was handed to the runtime, on the monotonic clock
---@field worker integer? the process that runs it
---@field waits_in table? the pool in which it waits for an environment that becomes free
---@field duration number? milliseconds
---@field init number? milliseconds of the initialisation before it
local invocation = {}

--- The response is there.
function invocation.respond(self, body)
  self.body = body
end

--- The function has failed and says how.
function invocation.raise(self, body, error_type)
  self.body, self.error_type = body, error_type or "Runtime.Unknown"
  self.failed, self.streaming = true, false
end

local function fail(self, error_type, message)
  invocation.raise(self, ('{"errorType":%s,"errorMessage":%s}'):format(
    json.encode(error_type), json.encode(message)), error_type)
end

-- The platform has seen it fail.
local function break_off(self, error_type, message, status)
  message = ("RequestId: %s Error: %s"):format(self.request_id, message)
  fail(self, error_type, message)
  self.status = status or "error"
  self.note = ("%s\n%s\n"):format(message, error_type)
end

function invocation.time_out(self)
  local text = ("Task timed out after %.2f seconds"):format(self.record.timeout)
  break_off(self, "Sandbox.Timedout", text, "timeout")
  self.note = ("%s %s\n"):format(self.request_id, text)
end

function invocation.too_large(self)
  fail(self, "Function.ResponseSizeTooLarge",
    ("Response payload size exceeded maximum allowed payload size (%d bytes)."):format(
      limits.RESPONSE))
end

-- As Go prints them, in which Lambda is written.
local signals = {
  "hangup", "interrupt", "quit", "illegal instruction", "trace/breakpoint trap", "aborted",
  "bus error", "floating point exception", "killed", "user defined signal 1", "segmentation fault",
  "user defined signal 2", "broken pipe", "alarm clock", "terminated",
  [24] = "CPU time limit exceeded", [25] = "file size limit exceeded", [31] = "bad system call",
}

--- The runtime has exited without an answer.
---@param code integer?
---@param signal integer?
function invocation.exit(self, code, signal)
  if signal then
    break_off(self, "Runtime.ExitError",
      "Runtime exited with error: signal: " .. (signals[signal] or "signal " .. signal))
  elseif code and code ~= 0 then
    break_off(self, "Runtime.ExitError", "Runtime exited with error: exit status " .. code)
  else
    break_off(self, "Runtime.ExitError", "Runtime exited without providing a reason")
  end
end

--- It has used more memory than it has.
function invocation.run_out(self)
  break_off(self, "Runtime.OutOfMemory", "Runtime exited with error: signal: killed")
end

--- There is nothing to start.
---@param why string
function invocation.no_entrypoint(self, why)
  break_off(self, "Runtime.InvalidEntrypoint", why)
end

-- Streamed responses ---------------------------------------------------------------------------

function invocation.begin(self, content_type)
  self.streaming, self.content_type = true, content_type
  if self.sink.begin then
    self.sink.begin(self, content_type)
  else
    self.parts, self.size = {}, 0
  end
end

function invocation.chunk(self, bytes)
  if self.sink.chunk then
    self.sink.chunk(self, bytes)
  elseif self.size <= limits.RESPONSE then
    self.parts[#self.parts + 1] = bytes
    self.size = self.size + #bytes
  end
end

--- The stream has ended, with an error or without.
---@param body string?
---@param error_type string?
function invocation.stop(self, body, error_type)
  local parts = self.parts
  self.streaming, self.parts = false, nil
  if error_type and body then
    invocation.raise(self, body, error_type)
  elseif error_type then
    self.truncated = true
    fail(self, error_type, "Response body truncated")
  elseif parts and self.size > limits.RESPONSE then
    invocation.too_large(self)
  else
    self.body = parts and table.concat(parts) or ""
  end
end

return invocation
