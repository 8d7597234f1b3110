--- The end of an invocation's log, as Invoke hands it out: the lines that the function wrote and
--- the platform's report of what it used. Both formats of logs have them, text and JSON:
---
---     START RequestId: <id> Version: $LATEST
---     what the function wrote
---     END RequestId: <id>
---     REPORT RequestId: <id><TAB>Duration: 12.34 ms<TAB>Billed Duration: 13 ms<TAB>Memory Size: …
---
--- The parts of a report come in any order, and some only at times.

local json = require "lambdapool.json"

local report = {}

---@class lambdapool.aws.Report
---@field request_id string?
---@field duration number? milliseconds
---@field billed number milliseconds, the initialisation included where that is paid for
---@field memory integer MB that the function has
---@field peak integer MB that it used at most
---@field init number? milliseconds of the initialisation before; nil: there was none
---@field status string? "timeout" or "error"
---@field error_type string?

-- The last line of `tail` that begins with `mark`: where it begins and ends.
local function last_line(tail, mark)
  local from, at = nil, tail:find(mark, 1, true)
  while at do
    if at == 1 or tail:byte(at - 1) == 10 then
      from = at
    end
    at = tail:find(mark, at + #mark, true)
  end
  if from then
    return from, (tail:find("\n", from, true) or #tail + 1) - 1
  end
end

-- Text -----------------------------------------------------------------------------------------

local REPORT = "REPORT RequestId: "

local function read_text(line)
  return {
    request_id = line:match("^" .. REPORT .. "([%x-]+)"),
    duration = tonumber(line:match "%f[^\t]Duration: ([%d.]+) ms"),
    billed = tonumber(line:match "\tBilled Duration: ([%d.]+) ms"),
    memory = math.tointeger(line:match "\tMemory Size: (%d+) MB"),
    peak = math.tointeger(line:match "\tMax Memory Used: (%d+) MB"),
    init = tonumber(line:match "\tInit Duration: ([%d.]+) ms"),
    status = line:match "\tStatus: ([^\t]+)",
    error_type = line:match "\tError Type: ([^\t]+)",
  }
end

-- JSON -----------------------------------------------------------------------------------------

local function decoded(line)
  local value = line:sub(1, 1) == "{" and json.decode(line)
  return type(value) == "table" and value or nil
end

-- The record of a line of the platform: its type, and what is in it.
local function platform_record(line)
  if line:find('"platform.', 1, true) then
    local value = decoded(line)
    if value and type(value.type) == "string" and type(value.record) == "table" then
      return value.type:match "^platform%.(.*)$", value.record
    end
  end
end

local function number(value)
  return type(value) == "number" and value or nil
end

local function text(value)
  return type(value) == "string" and value or nil
end

local function read_record(record)
  local metrics = type(record.metrics) == "table" and record.metrics or {}
  return {
    request_id = text(record.requestId),
    duration = number(metrics.durationMs),
    billed = number(metrics.billedDurationMs),
    memory = number(metrics.memorySizeMB),
    peak = number(metrics.maxMemoryUsedMB),
    init = number(metrics.initDurationMs),
    status = record.status ~= "success" and text(record.status) or nil,
    error_type = text(record.errorType),
  }
end

-- The last line of the platform of such a type: its record.
local function find_record(tail, wanted)
  local found
  for line in tail:gmatch "[^\n]+" do
    local kind, record = platform_record(line)
    if kind == wanted then
      found = record
    end
  end
  return found
end

-- Both -----------------------------------------------------------------------------------------

-- The report of almost all invocations, behind "REPORT RequestId: ": nothing was special.
local USUAL = "^%S+\tDuration: %S+ ms\tBilled Duration: (%d+) ms\tMemory Size: (%d+) MB\t" ..
  "Max Memory Used: (%d+) MB\t?\n?$"

local END_LINE, REPORT_LINE = "\nEND RequestId: ", "\n" .. REPORT

--- What an invocation used that was like almost all of them, and wrote nothing; nil: look closer.
--- Values, and no table: there are many.
---@param tail string
---@return integer? billed milliseconds
---@return integer? memory MB
---@return integer? peak MB
function report.usual(tail)
  local first = tail:find("\n", 1, true)
  local second = first and tail:find("\n", first + 1, true)
  if second and tail:find("START RequestId: ", 1, true) == 1
    and tail:find(END_LINE, first, true) == first
    and tail:find(REPORT_LINE, second, true) == second then
    local billed, memory, peak = tail:match(USUAL, second + #REPORT_LINE)
    return tonumber(billed), tonumber(memory), tonumber(peak)
  end
end

local function complete(found)
  return found and found.billed and found.memory and found or nil
end

--- What an invocation used; nil when the log does not say.
---@param tail string
---@return lambdapool.aws.Report?
function report.parse(tail)
  local from, to = last_line(tail, REPORT)
  if from then
    return complete(read_text(tail:sub(from, to)))
  elseif tail:find('"platform.report"', 1, true) then
    local record = find_record(tail, "report")
    return complete(record and read_record(record))
  end
end

local MARKS = { START = true, END = true, REPORT = true }

-- Whether the platform wrote the line; and whether it says how the function failed, which is told
-- elsewhere.
local function is_platform(line, request_id)
  if MARKS[line:match "^(%u+) RequestId: "] or line:find "^INIT_%u+ " or line:find "^XRAY " then
    return true
  elseif line:find(request_id, 1, true) and (line:find "^RequestId: [%x-]+ Error: "
    or line:find(request_id .. " Task timed out after ", 1, true)) then
    return true, true
  end
  return platform_record(line) ~= nil
end

-- Where a text stands last.
local function last_place(tail, words)
  local place
  local at = tail:find(words, 1, true)
  while at do
    place = at
    at = tail:find(words, at + 1, true)
  end
  return place
end

-- Where the function's own lines begin and end in text: behind START, before END, which does not
-- begin a line when the function has not ended its own.
local function own_part(tail, request_id)
  local _, start = last_line(tail, "START RequestId: " .. request_id)
  local stop = last_place(tail, "END RequestId: " .. request_id) or last_line(tail, REPORT)
  return start and start + 2 or 1, stop and stop - 1 or #tail, start ~= nil
end

local function split(part)
  local lines = {}
  for line in (part:gsub("\n$", "") .. "\n"):gmatch "([^\n]*)\n" do
    lines[#lines + 1] = line
  end
  return lines
end

--- The lines that the function wrote, and whether that is all: what Invoke hands out has an end at
--- 4 KB, where it is cut off in front.
---@param tail string
---@param request_id string
---@return string[] lines
---@return boolean is_all
function report.output(tail, request_id)
  local from, to, is_all = own_part(tail, request_id)
  local kept, failed = {}, false
  if from > to then
    return kept, true
  end
  for _, line in ipairs(split(tail:sub(from, to))) do
    local drop, is_failure = is_platform(line, request_id)
    drop = drop or failed and line:find "^%a+%.%a+$" ~= nil -- the type of the error
    failed = is_failure
    if not drop then
      kept[#kept + 1] = line
    elseif line:find('"platform.start"', 1, true) then
      is_all = true
    end
  end
  return kept, is_all
end

return report
