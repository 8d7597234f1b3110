--- The lines that Lambda writes to the log around those of the function, as text with tabs between
--- the parts, or as JSON. Both formats have these:
---
---   start(request_id, version)     an invocation begins
---   stop(request_id)               it has ended; nil where nothing is written then
---   report(invocation, peak)       how long it took and how much memory, in bytes, there was
---   init(milliseconds, phase, status, error_type)   an initialisation that failed
local json = require "lambdapool.json"
local system = require "lambdapool.system"

local function megabytes(bytes, most)
  return math.max(1, math.min(most, (bytes + 0xfffff) // 0x100000))
end

-- The initialisation is paid for, too.
local function billed(invocation)
  return math.ceil(invocation.duration + (invocation.init or 0))
end

-- Text -----------------------------------------------------------------------------------------

local text = {}

function text.start(request_id, version)
  return "START RequestId: " .. request_id .. " Version: " .. version .. "\n"
end

function text.stop(request_id)
  return "END RequestId: " .. request_id .. "\n"
end

-- How it failed, if the platform and not the function says so.
local function status_of(invocation)
  if invocation.status == "timeout" then
    return "Status: timeout"
  elseif invocation.status then
    return "Status: error\tError Type: " .. invocation.error_type
  end
  return ""
end

function text.report(invocation, peak)
  local record, init = invocation.record, invocation.init
  return ("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\t" ..
    "Max Memory Used: %d MB\t%s%s\n"):format(
    invocation.request_id, invocation.duration, billed(invocation), record.memory,
    megabytes(peak, record.memory), init and ("Init Duration: %.2f ms\t"):format(init) or "",
    status_of(invocation))
end

function text.init(milliseconds, phase, status, error_type)
  return ("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s%s\n"):format(milliseconds,
    phase, status, error_type and "\tError Type: " .. error_type or "")
end

-- JSON -----------------------------------------------------------------------------------------

local structured = {}

local function platform(kind, record)
  local now = system.now()
  return json.encode {
    time = os.date("!%Y-%m-%dT%H:%M:%S", now // 1000) .. (".%03dZ"):format(now % 1000),
    type = "platform." .. kind,
    record = record,
  } .. "\n"
end

local function rounded(milliseconds)
  return math.floor(milliseconds * 1000 + 0.5) / 1000
end

function structured.start(request_id, version)
  return platform("start", { requestId = request_id, version = version })
end

function structured.stop()
  return nil
end

function structured.report(invocation, peak)
  local record = invocation.record
  return platform("report", {
    requestId = invocation.request_id,
    status = invocation.status or invocation.failed and "error" or "success",
    errorType = invocation.error_type,
    metrics = {
      durationMs = rounded(invocation.duration),
      billedDurationMs = billed(invocation),
      memorySizeMB = record.memory,
      maxMemoryUsedMB = megabytes(peak, record.memory),
      initDurationMs = invocation.init and rounded(invocation.init),
    },
  })
end

function structured.init(milliseconds, phase, status, error_type)
  return platform("initReport", {
    initializationType = "on-demand", phase = phase, status = status, errorType = error_type,
    metrics = { durationMs = rounded(milliseconds) },
  })
end

--- The lines of a function's log format.
---@param log_format "Text"|"JSON"|nil
---@return { start: function, stop: function, report: function, init: function }
local function of(log_format)
  return log_format == "JSON" and structured or text
end

return { of = of }
