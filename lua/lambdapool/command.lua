--- Runs other programs, without a shell, and waits for them. Nothing else happens meanwhile, unless
--- the caller has a way to wait of its own. The program has a session and process group of its own,
--- which ends with it, at its limit, at Ctrl-C and when an error passes through.

local interrupt = require "lambdapool.interrupt"
local native = require "lambdapool.command.native"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

-- More output than this is no answer to anything.
local MOST_OUTPUT = 16 << 20

-- Of what goes to standard error, this much of the end is kept, at least.
local MOST_ERRORS = 64 << 10

local LONGEST_LINE = 64 << 10

-- How long a wait lasts at most. Ctrl-C ends it earlier.
local PATIENCE = 60

-- How often to look when the caller waits.
local GLANCE = 0.02

---@class lambdapool.CommandOptions
---@field env table<string, string|false>? variables beside those of this process; false: not set
---@field cwd string? the folder to run in
---@field input string? what it reads from standard input; else that is empty
---@field seconds number? how long it may take
---@field output fun(line: string)? called with each line of standard output and error as it comes
---@field wait fun(seconds: number)? lets other things go on for so long: for flows

---@class lambdapool.CommandResult
---@field code integer? exit code; nil when a signal ended it
---@field signal integer?
---@field output string standard output
---@field errors string standard error; of a lot, the end

local OPTIONS = {
  env = "table", cwd = "string", input = "string", seconds = "number", output = "function",
  wait = "function",
}

local function check_options(options)
  local names = {}
  for name in pairs(OPTIONS) do
    names[#names + 1] = name
  end
  for name, value in pairs(options) do
    if not OPTIONS[name] then
      error(("unknown option '%s'%s"):format(name, suggest.hint(tostring(name), names)), 3)
    elseif type(value) ~= OPTIONS[name] then
      error(("option '%s' must be a %s, not a %s"):format(name, OPTIONS[name], type(value)), 3)
    end
  end
end

local function check_variables(env)
  for name, value in pairs(env) do
    if type(name) ~= "string" or not name:find "^[^=%z]+$" then
      error(("variable '%s' has a name that cannot be set"):format(tostring(name)), 3)
    elseif value ~= false and type(value) ~= "string" then
      error(("variable '%s' must be a string or false"):format(name), 3)
    end
  end
end

-- Calls handle(line) for lines, and for parts of very long ones. The function that is returned
-- takes more bytes, or nil at the end.
local function line_reader(handle)
  local rest = ""
  return function(bytes)
    rest = rest .. (bytes or "")
    local start, stop = 1, rest:find("\n", 1, true)
    while stop do
      handle((rest:sub(start, stop - 1):gsub("\r$", "")))
      start = stop + 1
      stop = rest:find("\n", start, true)
    end
    rest = rest:sub(start)
    if #rest > LONGEST_LINE or not bytes and rest ~= "" then
      handle(rest)
      rest = ""
    end
  end
end

local function ignore() end

-- What a program has written: shown as it comes, joined at the end.
local function collect(handle)
  return { pieces = {}, size = 0, show = handle and line_reader(handle) or ignore }
end

local function add(written, bytes)
  written.pieces[#written.pieces + 1] = bytes
  written.size = written.size + #bytes
  written.show(bytes)
end

local function keep_end(written, most)
  if written.size > 2 * most then
    written.pieces = { table.concat(written.pieces):sub(-most) }
    written.size = most
  end
end

-- What happens next, within `seconds`; nil when that is nothing.
local function next_event(child, options, seconds)
  if not options.wait then
    return child:next(math.min(seconds, PATIENCE))
  end
  local event, bytes = child:next(0)
  if not event then
    options.wait(math.min(seconds, GLANCE))
  end
  return event, bytes
end

-- Reads until it has ended. True, or nil, a message and a code.
local function read(child, options, output, errors)
  local limit = options.seconds and system.monotonic() + options.seconds
  while true do
    interrupt.check()
    local left = limit and math.max(0, limit - system.monotonic()) or PATIENCE
    local event, bytes = next_event(child, options, left)
    if event == "end" then
      return true
    elseif event == "output" then
      add(output, bytes)
    elseif event == "errors" then
      add(errors, bytes)
      keep_end(errors, MOST_ERRORS)
    end
    if output.size > MOST_OUTPUT then
      return nil, ("it wrote more than %d bytes"):format(MOST_OUTPUT), "EFBIG"
    elseif limit and system.monotonic() >= limit then
      return nil, ("it did not end within %g s"):format(options.seconds), "ETIMEDOUT"
    end
  end
end

local function describe_failure(words, options, blamed, message)
  if blamed == "folder" then
    return ("cannot run %s in %s: %s"):format(words[1], options.cwd, message)
  end
  return ("cannot run %s: %s"):format(words[1], message)
end

--- Runs a program to its end. What it says with its exit code is for the caller to judge.
---@param words string[] the program, looked for on PATH when it has no slash, and its arguments
---@param options lambdapool.CommandOptions?
---@return lambdapool.CommandResult?
---@return string? message
---@return string? code "ENOENT" and the like; "ETIMEDOUT" at the limit, "EFBIG" for too much output
local function run(words, options)
  options = options or {}
  check_options(options)
  check_variables(options.env or {})
  interrupt.check()
  local started, blamed, message, code =
    native.start(words, options.env or {}, options.cwd, options.input or "")
  if not started then
    return nil, describe_failure(words, options, blamed, message), code
  end
  local child <close> = started
  local output, errors = collect(options.output), collect(options.output)
  local ended
  ended, message, code = read(child, options, output, errors)
  if not ended then
    return nil, ("%s was stopped: %s"):format(words[1], message), code
  end
  output.show()
  errors.show()
  local exit_code, signal = child:finish()
  return { code = exit_code, signal = signal, output = table.concat(output.pieces),
    errors = table.concat(errors.pieces) }
end

return { run = run }
