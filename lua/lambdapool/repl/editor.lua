--- Lines that somebody types: edited on a terminal, with a history and completion, while everything
--- else goes on; or read from a pipe, as they come.
---
--- While a line is being edited the terminal belongs to it. What is printed meanwhile by whatever
--- goes on, callbacks and tasks, appears above the line: it is taken off the screen before, and
--- drawn again after. Ctrl-C gives the line up and touches nothing else; only where it meets code
--- that runs, a callback, it is the interrupt that it is everywhere.

local cloud = require "lambdapool.cloud"
local histories = require "lambdapool.repl.history"
local interrupt = require "lambdapool.interrupt"
local loop = require "lambdapool.loop"
local progress = require "lambdapool.progress"
local system = require "lambdapool.system"

local stdin, stdout, stderr = io.stdin, io.stdout, io.stderr

-- What Tab inserts where there is nothing to complete.
local INDENTATION = "  "

-- The list of candidates leaves so many rows for what is above and below it.
local OTHER_ROWS = 4

---@class lambdapool.repl.EditorOptions
---@field history string? the file that keeps what was typed
---@field complete (fun(text: string, position: integer): integer?, lambdapool.repl.Candidate[]?)?
---  what may stand in the place of text:sub(first, position): first, candidates
---@field complain (fun(failure: any))? is told what went wrong meanwhile: errors of callbacks, a
---  history that cannot be written

---@class lambdapool.repl.Candidate
---@field text string
---@field shown string? what a list shows for it; default: text

---@class lambdapool.repl.Editor
---@field interactive boolean lines are edited; false: they come from a pipe, and nothing is written
---@field private options lambdapool.repl.EditorOptions
---@field private history lambdapool.repl.History
---@field private terminal userdata? nil: lines come from a pipe
---@field private id integer? on the loop
---@field private stream file* the terminal that is written to, or stderr
---@field private complained boolean? that the history cannot be written
---@field private reading boolean
---@field private hidden boolean the line is off the screen
---@field private woken boolean there may be something to read
---@field private over boolean nothing is waited for any more: the next key is taken
---@field private interrupted boolean
local methods = {}
local mt = { __name = "lambdapool.repl.Editor", __index = methods }

-- The screen -------------------------------------------------------------------------------------

-- Takes the line off the screen, for somebody who may print.
local function hide(self)
  if self.reading and not self.hidden and not self.over then
    self.hidden = true
    self.terminal:hide()
  end
end

local function draw_again(self)
  if self.hidden then
    stdout:flush()
    self.hidden = false
    self.terminal:show()
  end
end

local function write_above(self, text)
  stdout:flush()
  self.hidden = true
  self.terminal:write(text)
end

local function complain(self, failure)
  if self.options.complain then
    hide(self)
    self.options.complain(failure)
  end
end

-- Those who print between two keys tell the progress line, which is not there while a line is being
-- edited. Returns what gives the terminal back to it.
local function take_terminal(self)
  local hide_progress, log = progress.hide, progress.log
  progress.hide = function()
    hide_progress()
    hide(self)
  end
  progress.log = function(text)
    write_above(self, text)
  end
  return setmetatable({}, { __close = function()
    progress.hide, progress.log = hide_progress, log
  end })
end

-- Waiting ----------------------------------------------------------------------------------------

-- Asked between any two things that happen on the loop.
local function is_over(self)
  self.interrupted = interrupt.dismiss()
  draw_again(self)
  self.over = self.interrupted or self.woken
  return self.over
end

-- Keeps everything going until there may be something to read. False: the line is given up.
local function wait(self)
  repeat
    self.terminal:watch()
    loop.expect(1)
    local ok, failure = pcall(loop.wait, is_over, self)
    loop.expect(-1)
    if not ok and interrupt.is(failure) then
      self.terminal:mark ""
      error(failure, 0)
    elseif not ok then
      complain(self, failure)
    end
  until ok
  self.woken, self.over = false, false
  if self.interrupted then
    self.terminal:mark "^C"
  end
  return not self.interrupted
end

-- Completion -------------------------------------------------------------------------------------

-- What all candidates begin with, in whole characters.
local function common_start(candidates)
  local start = candidates[1].text
  for _, candidate in ipairs(candidates) do
    while candidate.text:sub(1, #start) ~= start do
      start = start:sub(1, (utf8.offset(start, -1) or #start) - 1)
    end
  end
  return start
end

-- Control characters would do something to the terminal.
local function shown(candidate)
  return (candidate.shown or candidate.text):gsub("%c", " "):gsub("\xc2[\x80-\x9f]", " ")
end

local function columns_of(text)
  return utf8.len(text) or #text
end

-- Names below each other, in as many columns as there is room for; those that go into `most` rows.
local function in_columns(names, columns, most)
  local width = 0
  for _, name in ipairs(names) do
    width = math.max(width, columns_of(name) + 2)
  end
  local across = math.max(1, columns // width)
  local count = math.min(#names, across * math.max(1, most))
  local rows = (count + across - 1) // across
  local lines = {}
  for row = 1, rows do
    local cells = {}
    for i = row, count, rows do
      cells[#cells + 1] = names[i] .. (" "):rep(width - columns_of(names[i]))
    end
    lines[row] = (table.concat(cells):gsub(" +$", ""))
  end
  if count < #names then
    lines[rows + 1] = ("… %d more"):format(#names - count)
  end
  return table.concat(lines, "\n")
end

local function list(self, candidates)
  local rows, columns = self.terminal:size()
  local names = {}
  for i, candidate in ipairs(candidates) do
    names[i] = shown(candidate)
  end
  write_above(self, in_columns(names, columns, rows - OTHER_ROWS))
end

-- Answers Tab: the bytes before the cursor that go, and what comes in their place; nil: nothing can
-- be done.
local function complete(self, text, position)
  local before = text:sub(1, position)
  if not before:match "[^\n]*$":find "%S" then
    return 0, INDENTATION
  elseif not self.options.complete then
    return nil
  end
  local ok, first, candidates = pcall(self.options.complete, text, position)
  if not ok then
    return complain(self, first)
  elseif not first or #candidates == 0 then
    return nil
  end
  local start = common_start(candidates)
  if #candidates > 1 and #start <= position - first + 1 then
    list(self, candidates)
    return 0, ""
  end
  return position - first + 1, start
end

-- Reading ----------------------------------------------------------------------------------------

local function edit(self, prompt)
  stdout:flush()
  self.reading, self.hidden, self.woken, self.over = true, false, false, false
  local guard <close> = take_terminal(self) -- luacheck: ignore guard
  local results = table.pack(pcall(self.terminal.read, self.terminal, prompt,
    function() return wait(self) end,
    function(text, position) return complete(self, text, position) end))
  self.reading = false
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

-- A system call that Ctrl-C broke off fails; nothing else does.
local function read_pipe(self)
  local line, message = stdin:read "l"
  if not line and message and interrupt.dismiss() then
    return nil, "interrupt"
  elseif not line and message then
    complain(self, ("cannot read standard input: %s"):format(message))
  end
  return line, not line and "end" or nil
end

--- Reads what is typed behind `prompt`, a line of plain text: one line, or what was pasted or taken
--- from the history with all its lines. While it waits the loop goes on. Raises nothing but
--- interrupts that are not meant for the line.
---@param prompt string
---@return string? text without the newline at its end
---@return nil|"end"|"interrupt"
function methods:read(prompt)
  if not self.terminal then
    return read_pipe(self)
  end
  local text, reason = edit(self, prompt)
  if reason == "given up" then
    reason = "interrupt"
  end
  return text, reason
end

--- Prints text above the line that is being edited; else on the terminal, or to stderr.
---@param text string
function methods:show(text)
  if self.reading then
    write_above(self, text)
  else
    stdout:flush()
    self.stream:write(text, text:sub(-1) == "\n" and "" or "\n")
  end
end

--- Adds to the history what was typed, all of its lines as one entry. Lines of a pipe are not kept.
---@param entry string
function methods:add(entry)
  if not self.terminal then
    return
  end
  local added, message = self.history:add(entry)
  if added then
    self.terminal:remember(entry)
  end
  if message and not self.complained then
    self.complained = true
    complain(self, ("cannot keep the history: %s"):format(message))
  end
end

--- Gives the terminal back. May run twice, but not while a line is being read.
function methods:close()
  if self.terminal then
    self.terminal:close()
    loop.detach(self.id)
    self.terminal, self.id = nil, nil
  end
end

mt.__close = methods.close

-- Opening ----------------------------------------------------------------------------------------

-- The terminal to write to: the results of what is typed may go elsewhere.
local function find_output()
  if system.isatty(0) then
    return system.isatty(1) and 1 or system.isatty(2) and 2 or nil
  end
end

local function open_terminal(self, output)
  local made, id = loop.attach(function(port, id, owner)
    return assert(cloud.load "terminal".open(port, id, owner, 0, output))
  end, function()
    self.woken = true
  end)
  if not made then
    error(("cannot edit lines: %s"):format(id), 0)
  end
  self.terminal, self.id = made, id
end

local function load_history(self)
  local entries, message = self.history:load()
  for _, entry in ipairs(entries) do
    self.terminal:remember(entry)
  end
  if message then
    complain(self, ("cannot read the history: %s"):format(message))
  end
end

---@param options lambdapool.repl.EditorOptions?
---@return lambdapool.repl.Editor
local function open(options)
  options = options or {}
  local output = find_output()
  local self = setmetatable({
    interactive = output ~= nil,
    options = options,
    history = histories.new(options.history),
    stream = output == 1 and stdout or stderr,
    reading = false,
    hidden = false,
  }, mt)
  if output then
    open_terminal(self, output)
    load_history(self)
  end
  return self
end

return { open = open }
