--- What happens with code at the prompt: it is run, its values are printed on stdout, and all else
--- is said on stderr: errors, how far it came when Ctrl-C ended it, what it took.

local efforts = require "lambdapool.repl.effort"
local errors = require "lambdapool.errors"
local flow = require "lambdapool.flow"
local interrupt = require "lambdapool.interrupt"
local paragraphs = require "lambdapool.repl.paragraphs"
local printer = require "lambdapool.repl.printer"
local progress = require "lambdapool.progress"
local system = require "lambdapool.system"
local tallies = require "lambdapool.tally"

local stdout, stderr = io.stdout, io.stderr
local format, gsub, match = string.format, string.gsub, string.match

-- Columns between a value and what it took.
local GAP = "      "

-- Wider text is hard to read.
local WIDEST = 100

---@class lambdapool.repl.Console
---@field session lambdapool.repl.Session
---@field interactive boolean a person types
---@field colours boolean
---@field loaded string? the file that was loaded last
---@field left boolean? :quit was typed
---@field failed boolean? input could not be read
---@field told_of_closed boolean?
---@field broken boolean? stdout takes nothing any more
---@field terminated boolean? SIGTERM has come
local methods = {}
local mt = { __name = "lambdapool.repl.Console", __index = methods }

-- Saying something -----------------------------------------------------------------------------

--- Says something on stderr. Returns false: a step that went wrong.
---@param text string
---@return false
function methods:report(text)
  stdout:flush()
  stderr:write(self.interactive and "" or "lambdapool: ", text, "\n")
  return false
end

--- What an error says, with the user's frames if there are some to tell of.
---@param failure any
---@param traceback string?
---@return string
function methods:explain(failure, traceback)
  local ok, text, needs_place = pcall(errors.message, failure)
  if not ok then
    text = format("(error object is a %s value)", type(failure))
  elseif self.interactive and needs_place and type(failure) == "table" then
    text = text .. "\n" .. printer.format(failure, { width = self:columns(), lines = 5 })
  end
  return needs_place and traceback and text .. "\n" .. traceback or text
end

--- Prints what was asked for.
---@param text string
function methods:write(text)
  self.broken = not stdout:write(text) or not stdout:flush() or nil
end

--- Prints a text to read, in lines that fit the screen.
---@param text string with a newline at its end
function methods:write_text(text)
  local width = math.min(WIDEST, self:columns() - 1)
  self:write(paragraphs.fill(gsub(text, "\n$", ""), width) .. "\n")
end

-- Whether both are on one screen.
local function shares_screen(self)
  return self.interactive and system.isatty(1) and system.isatty(2)
end

local function columns_of(text)
  local last = gsub(match(text, "[^\n]*$"), "\27%[[%d;]*m", "")
  return utf8.len(last) or #last
end

-- How what a line took stands on the terminal: behind its value where there is room.
local function place_note(self, text, note)
  local width = columns_of(text) + #GAP + columns_of(note)
  local apart = text ~= "" and width >= self:columns() and "\n" or text ~= "" and GAP or ""
  if self.colours then
    note = "\27[2m" .. note .. "\27[0m"
  end
  return apart .. note .. "\n"
end

local function print_values(self, values, effort, timed)
  local text = printer.values(values, {
    width = self:columns(),
    colours = self.colours,
    name_of = function(value) return self.session:name_of(value) end,
  })
  local together = shares_screen(self)
  local note = (timed or self.interactive and effort:tasks() > 0) and effort:phrase()
  if note and together then
    self:write(text)
    stderr:write(place_note(self, text, note))
    return
  elseif text ~= "" then
    self:write(text .. "\n")
  end
  if note and (timed or system.isatty(2)) then
    stderr:write(note, "\n")
  end
end

--- The width of what values are printed for.
---@return integer
function methods.columns()
  return system.columns(1) or 80
end

-- Running --------------------------------------------------------------------------------------

-- The line that code ends with which Ctrl-C has ended. True when that was so.
local function settle_interrupt(self, effort)
  interrupt.take()
  if not interrupt.came() then
    return false
  elseif not self.interactive then
    return true -- the program ends, and has a line of its own
  end
  effort:stop()
  stdout:flush()
  progress.clear()
  local counts = { done = effort.done, failed = effort.failed, unfinished = effort.cancelled }
  local tasks = counts.done + counts.failed + counts.unfinished > 0
  self.terminated = interrupt.terminated()
  if not self.terminated then
    interrupt.survive()
  end
  self:report(tasks and "interrupted: " .. tallies.phrase(counts) or "interrupted")
  return true
end

-- Errors of flows and callbacks that nobody was told.
local function report_unheard(self)
  for _, failure in ipairs(self.interactive and flow.unreported() or {}) do
    if not (type(failure) == "table" and failure.kind == "cancelled") then
      self:report(self:explain(failure))
    end
  end
end

-- Variables that are closed at the end of their line surprise who has pasted them from a script.
local function tell_of_closed(self, chunk)
  local name = self.interactive and not self.told_of_closed and chunk.closed[1]
  if name then
    self.told_of_closed = true
    self:report(format("`%s` is closed, as its line has ended; leave out <close> to keep it", name))
  end
end

-- Runs a chunk and shows what comes of it. True when it went well.
local function run(self, chunk, how, ...)
  local effort = efforts.start()
  progress.automatic = true
  local ok, values, traceback = chunk:run(...)
  progress.automatic = false
  progress.stop()
  effort:stop()
  if settle_interrupt(self, effort) then
    return false
  elseif not ok then
    return self:report(self:explain(values, traceback))
  elseif not how.quiet then
    local printed, failure = pcall(print_values, self, values, effort, how.timed)
    if settle_interrupt(self, effort) then
      return false
    elseif not printed then
      return self:report(self:explain(failure))
    end
  end
  report_unheard(self)
  tell_of_closed(self, chunk)
  return true
end

--- Runs code as if it was typed. `how` may have `quiet`, to print no values, `timed`, to say what
--- it took in any case, `name`, the chunk name of code that was not typed, and `whole`, when
--- nothing comes behind it. What follows are its arguments.
---@param text string
---@param how { quiet: boolean?, timed: boolean?, name: string?, whole: boolean? }
---@param ... any
---@return boolean? ok nil when it is incomplete
function methods:evaluate(text, how, ...)
  local chunk, problem, message = self.session:compile(text, how.name)
  if chunk then
    return run(self, chunk, how, ...)
  elseif problem == "incomplete" and not how.whole then
    return nil
  end
  return self:report(message)
end

--- Runs a file; the locals of its main chunk survive.
---@param path string
---@param how { quiet: boolean?, timed: boolean? }
---@param ... any its arguments
---@return boolean ok
function methods:evaluate_file(path, how, ...)
  local file <close>, message = io.open(path, "rb")
  local text
  if file then
    text, message = file:read "a"
  end
  if not text then
    message = message or "cannot be read"
    return self:report(match(message, "^" .. gsub(path, "%W", "%%%0")) and message
      or path .. ": " .. message)
  end
  text = gsub(gsub(text, "^\239\187\191", ""), "^#[^\n]*", "")
  return self:evaluate(text, { name = "@" .. path, whole = true, quiet = how.quiet,
    timed = how.timed }, ...)
end

local function is_set(name)
  return (os.getenv(name) or "") ~= ""
end

--- Whether a person types, and so sees what is said.
---@param interactive boolean
function methods:open(interactive)
  local term = os.getenv "TERM" or ""
  self.interactive = interactive
  self.colours = interactive and system.isatty(1) and not is_set "NO_COLOR" and term ~= ""
    and term ~= "dumb"
end

---@param session lambdapool.repl.Session
---@return lambdapool.repl.Console
local function new(session)
  return setmetatable({ session = session, interactive = false, colours = false }, mt)
end

return { new = new }
