--- What tasks print. It comes with the answer to their invocation, at most 4 KB of it, and goes
--- where that of local workers goes.

local progress = require "lambdapool.progress"
local reports = require "lambdapool.aws.report"

local output = {}

-- Where all of it is.
local function cut_off(name, request_id)
  return ("... what it wrote before is in `lambdapool logs %s --request %s`"):format(name,
    request_id)
end

--- The lines of a log that a task has written; the first one says so when there were more.
---@param tail string
---@param name string of the function
---@param request_id string
---@return string[]
function output.lines(tail, name, request_id)
  local lines, is_all = reports.output(tail, request_id)
  if not is_all then
    lines[1] = cut_off(name, request_id) -- it has no beginning anyway
  end
  return lines
end

--- Prints lines of one invocation; with `prefix` each says which it was.
---@param lines string[]
---@param request_id string
---@param prefix boolean
function output.print(lines, request_id, prefix)
  local head = prefix and ("[%s] "):format(request_id:sub(1, 8)) or ""
  for _, line in ipairs(lines) do
    progress.log(head .. line)
  end
end

return output
