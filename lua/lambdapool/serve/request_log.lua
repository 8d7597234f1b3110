--- One line for each request: for people, or as JSON for machines.

local json = require "lambdapool.json"

---@class lambdapool.serve.Entry
---@field time number seconds since 1970
---@field method string
---@field path string
---@field status integer
---@field milliseconds number
---@field request_id string
---@field operation string? "Invoke", "CreateRole", …
---@field region string?
---@field subject string? the function it is about
---@field error string? the name of the exception

local request_log = {}

-- Paths are the client's: nothing in them may write to a terminal.
local function printable(text)
  return (text:gsub("[^\32-\126]", function(byte)
    return ("\\x%02x"):format(byte:byte())
  end))
end

local function clock(time)
  return os.date("%H:%M:%S", math.floor(time)) --[[@as string]]
end

--- 15:04:05 200    3.1 ms Invoke crawl 6f8b…
---@param entry lambdapool.serve.Entry
---@return string
function request_log.line(entry)
  local what = entry.operation or entry.method .. " " .. entry.path
  local words = { ("%s %d %7.1f ms %s"):format(clock(entry.time), entry.status, entry.milliseconds,
    printable(what)) }
  if entry.subject then
    words[#words + 1] = printable(entry.subject)
  end
  if entry.error then
    words[#words + 1] = entry.error
  end
  words[#words + 1] = entry.request_id
  return table.concat(words, " ")
end

-- Bytes that are no UTF-8 have no place in JSON.
local function valid(text)
  return text and (utf8.len(text) and text or printable(text))
end

---@param entry lambdapool.serve.Entry
---@return string
function request_log.json(entry)
  return json.encode {
    time = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(entry.time)) .. ("%.3fZ")
      :format(entry.time % 1):sub(2),
    method = entry.method, path = valid(entry.path), status = entry.status,
    milliseconds = math.floor(entry.milliseconds * 1000) / 1000, request_id = entry.request_id,
    operation = entry.operation, region = valid(entry.region), subject = valid(entry.subject),
    error = entry.error,
  }
end

return request_log
