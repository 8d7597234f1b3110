--- The lines that Lambda writes to the log around those of the function. Tabs separate the parts.
local report = {}

function report.start(request_id, version)
  return "START RequestId: " .. request_id .. " Version: " .. version .. "\n"
end

function report.stop(request_id)
  return "END RequestId: " .. request_id .. "\n"
end

local function megabytes(bytes, most)
  return math.max(1, math.min(most, (bytes + 0xfffff) // 0x100000))
end

-- How it failed, if the platform and not the function says so.
local function status(invocation)
  if invocation.status == "timeout" then
    return "Status: timeout"
  elseif invocation.status then
    return "Status: error\tError Type: " .. invocation.error_type
  end
  return ""
end

--- Times are in milliseconds. The initialisation is there for the first invocation only.
---@param invocation lambdapool.serve.Invocation
---@param peak integer bytes
function report.report(invocation, peak)
  local record, duration, init = invocation.record, invocation.duration, invocation.init
  return ("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\t" ..
    "Max Memory Used: %d MB\t%s%s\n"):format(
    invocation.request_id, duration, math.ceil(duration + (init or 0)), record.memory,
    megabytes(peak, record.memory), init and ("Init Duration: %.2f ms\t"):format(init) or "",
    status(invocation))
end

--- An initialisation that failed.
function report.init(milliseconds, phase, how)
  return ("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s\n"):format(
    milliseconds, phase, how)
end

return report
