--- The errors that tasks end with. They are tables to test and strings to read:
---
---   LambdaPoolError      the task raised an error; kind is "error"
---   LambdaFunctionError  the platform failed it; kind is one of timeout, out_of_memory, crashed,
---                        throttled, lost, too_large, cancelled
---   LambdaTimeoutError   the caller waited no longer; the task goes on; kind is "timeout"
---
--- Tell them apart by `e.kind`, or by `getmetatable(e).__name`.

---@class lambdapool.Error
---@field kind string
---@field message string
---@field value any the error value that the task raised, when it could travel
---@field traceback string? the remote traceback, as debug.traceback gives it
---@field log string? the last lines that the worker wrote, for a worker that died, or on AWS
---@field index integer? position of the item in its call
---@field count integer? number of items of the call, where it is known
---@field attempts integer how many times the task was started
---@field tries integer how many times it would have been, at most
---@field worker integer? number of the worker that ran it
---@field request_id string?
---@field code string? what AWS calls it: "ResourceNotFoundException", "Runtime.ExitError"
---@field milliseconds number? how long the invocation ran, where it ran this task alone

-- The lines of a remote traceback that a user's eye wants, in columns: where, and in what. What the
-- agent adds at the bottom is "[C]: in ?".
local function remote_frames(traceback)
  local frames = {}
  for line in traceback:gmatch "\n\t([^\n]+)" do
    local where, what = line:match "^(.-): (in .*)$"
    if what ~= "in ?" and what ~= "in function 'error'" then
      frames[#frames + 1] = { where or line, what or "" }
    end
  end
  return frames
end

-- Appends a line for each row, its columns aligned.
local function append_table(lines, rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for column, text in ipairs(row) do
      widths[column] = math.max(widths[column] or 0, #text)
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for column, text in ipairs(row) do
      cells[column] = text .. (" "):rep(widths[column] - #text)
    end
    lines[#lines + 1] = "    " .. table.concat(cells, "  ") .. "  <remote>"
  end
end

local verbs = {
  error = "raised",
  timeout = "timed out",
  out_of_memory = "ran out of memory",
  crashed = "crashed",
  throttled = "was throttled",
  lost = "was lost",
  too_large = "was too large",
  cancelled = "was cancelled",
}

-- "task 17 of 200 raised on worker 2 (attempt 1 of 1, 311 ms)"
local function headline(e)
  local line = { "task" }
  if e.index and e.count and e.count > 1 then
    line[#line + 1] = ("%d of %d"):format(e.index, e.count)
  elseif e.index and not e.count then
    line[#line + 1] = ("%d"):format(e.index)
  end
  line[#line + 1] = verbs[e.kind]
  if e.worker then
    line[#line + 1] = ("on worker %d"):format(e.worker)
  end
  if e.milliseconds then
    line[#line + 1] = ("(attempt %d of %d, %.0f ms)"):format(e.attempts, e.tries, e.milliseconds)
  elseif e.tries > 1 and e.attempts > 0 then
    line[#line + 1] = ("(attempt %d of %d)"):format(e.attempts, e.tries)
  end
  return table.concat(line, " ")
end

local function append_indented(lines, text, indent)
  for line in (text .. "\n"):gmatch "(.-)\n" do
    lines[#lines + 1] = indent .. line
  end
end

local function to_string(e)
  local lines = { headline(e) }
  append_indented(lines, e.message, "  ")
  if e.traceback then
    append_table(lines, remote_frames(e.traceback))
  end
  if e.log and e.log ~= "" then
    lines[#lines + 1] = "  the last lines it wrote:"
    append_indented(lines, e.log, "    ")
  end
  return table.concat(lines, "\n")
end

local LambdaPoolError = { __name = "LambdaPoolError", __tostring = to_string }
local LambdaFunctionError = { __name = "LambdaFunctionError", __tostring = to_string }
local LambdaTimeoutError = {
  __name = "LambdaTimeoutError",
  __tostring = function(e) return e.message end,
}

--- Makes the error that a task ends with, of the class that belongs to its kind.
---@param kind string
---@param fields table message, and whatever else is known; becomes the error
---@return lambdapool.Error
local function new(kind, fields)
  fields.kind = kind
  fields.attempts = fields.attempts or 1
  fields.tries = fields.tries or fields.attempts
  return setmetatable(fields, kind == "error" and LambdaPoolError or LambdaFunctionError)
end

--- The error of a caller who waited `seconds` for something that is still going on.
---@param seconds number
---@return lambdapool.Error
local function waited(seconds)
  local message = ("no result within %g s, and the task goes on"):format(seconds)
  return setmetatable({ kind = "timeout", message = message, attempts = 1 }, LambdaTimeoutError)
end

--- The error of a caller who waited for all of `count` futures, and `left` go on.
---@param left integer
---@param count integer
---@return lambdapool.Error
local function unfinished(left, count)
  local message = ("%d of %d futures are unfinished"):format(left, count)
  return setmetatable({ kind = "timeout", message = message, attempts = 1 }, LambdaTimeoutError)
end

--- What an error object says: those that can say what they are speak for themselves. The second
--- value is true for text that does not tell where it comes from.
---@param object any
---@return string
---@return boolean?
local function message(object)
  local text = type(object) == "number" and tostring(object) or object
  if type(text) == "string" then
    return text, true
  end
  local meta = debug.getmetatable(object)
  if meta and meta.__tostring then
    return tostring(object)
  end
  return ("(error object is a %s value)"):format(type(object)), true
end

-- Frames of this library, by the names that its chunks and its functions in C have.
local function is_own(line)
  return line:find "^\tlambdapool/[%w_/]+%.lua:" or line:find "^\t%[C%]: in function 'lambdapool%."
end

--- A traceback without the frames of lambdapool itself: what stands in the user's own files. Below
--- `stop`, a pattern for the frame that ran the user's main chunk, everything is hidden.
---@param text string
---@param level integer 1 is the caller, 2 its caller, and so on
---@param stop string
---@return string
local function traceback(text, level, stop)
  local lines = {}
  for line in debug.traceback("", level + 1):gmatch "[^\n]+" do
    if line:find(stop) then
      lines[#lines + 1] = "\t[C]: in ?"
      break
    elseif not is_own(line) then
      lines[#lines + 1] = line
    end
  end
  return text .. "\n" .. table.concat(lines, "\n")
end

return {
  new = new,
  waited = waited,
  unfinished = unfinished,
  message = message,
  traceback = traceback,
}
