--- `lambdapool run`: runs scripts as `lua` does, with the same `arg`, exit codes and messages. The
--- script's functions can be sent to workers, because the host's `load` and `loadfile` remember
--- what they loaded.

local config = require "lambdapool.config"
local errors = require "lambdapool.errors"
local interrupt = require "lambdapool.interrupt"
local progress = require "lambdapool.progress"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local help = [==[
  lambdapool run crawl.lua urls.txt
  lambdapool run -e 'print(require "lambdapool".pool{}:apply(math.max, {1, 2}))'

usage: lambdapool run [OPTIONS] [SCRIPT [ARGS]]

Runs SCRIPT as `lua` does; `-` stands for standard input. Options, in any order and number, are
carried out before it:
  -e CODE     run CODE
  -l MODULE   require MODULE into a global of its name; -l NAME=MODULE into the global NAME
  -W          turn warnings on
  --          the end of the options
  --help      this text

Where the pools of SCRIPT run, unless it says so itself:
  --backend NAME        local, on this machine (the default), or aws, on AWS Lambda
  --function-name NAME  the function of that backend that runs tasks; see `lambdapool create`.
                        Without one, local tasks run in processes of their own
  --workers N           how many invocations run at once
  --region NAME         the AWS region
  --profile NAME        the profile in ~/.aws
  --max-cost DOLLARS    once they are used up, what was not sent is cancelled; the exit code is 6

What the invocations of functions took, and about what they cost, is told at the end on stderr.
]==]

-- The exit codes of a program that Ctrl-C ended, and of one that has used up its budget.
local INTERRUPTED, BUDGET = 130, 6

local switches = { "-e", "-l", "-W", "--", "--help", "--backend", "--function-name", "--workers",
  "--region", "--profile", "--max-cost" }

-- Options that are settings, by the names that these have.
local settings = {
  ["--backend"] = "backend",
  ["--function-name"] = "function_name",
  ["--workers"] = "workers",
  ["--region"] = "region",
  ["--profile"] = "profile",
  ["--max-cost"] = "max_cost",
}

-- Reading the command line ---------------------------------------------------------------------

-- The value of an option: the rest of its word, or the next one. Returns it, and the index of the
-- last word that was used; or nil and a complaint.
local function value_of(argv, i, name, rest)
  if rest then
    return rest, i
  elseif not argv[i + 1] then
    return nil, ("'%s' needs an argument"):format(name)
  end
  return argv[i + 1], i + 1
end

-- A setting: "--workers 8" or "--workers=8". Returns the index of its last word, or nil and a
-- complaint.
local function set(argv, i, name, rest)
  local value, last = value_of(argv, i, name, rest)
  if not value then
    return nil, last
  end
  local ok, complaint = pcall(config.set_flags, { [settings[name]] = value })
  return ok and last or nil, complaint
end

local flags = {}

flags["-W"] = function(steps, _, i)
  steps[#steps + 1] = { "-W" }
  return i
end

flags["-e"] = function(steps, argv, i)
  local flag, rest = argv[i]:sub(1, 2), argv[i]:sub(3)
  local value, last = value_of(argv, i, flag, rest ~= "" and rest or nil)
  steps[#steps + 1] = { flag, value }
  return value and last or nil, last
end

flags["-l"] = flags["-e"]

-- One option. Returns the index of its last word, or nil and a complaint.
local function parse_option(steps, argv, i)
  local word = argv[i]
  local name, rest = word:match "^(%-%-[^=]+)=?(.*)$"
  if settings[name] then
    return set(argv, i, name, #word > #name and rest or nil)
  end
  local flag = word == "-W" and word or word:match "^%-[el]"
  if flag then
    return flags[flag](steps, argv, i)
  end
  return nil, ("unknown option '%s'%s"):format(word, suggest.hint(word, switches))
end

-- Takes the options from argv[2] on. Returns what they ask for, in order, and the index of the
-- script, which is behind the last argument when there is none; or nil and a complaint.
local function parse(argv)
  local steps, i = {}, 2
  while argv[i] and argv[i]:sub(1, 1) == "-" and argv[i] ~= "-" do
    if argv[i] == "--" then
      return steps, i + 1
    elseif argv[i] == "--help" or argv[i] == "-h" then
      return { { "help" } }, #argv + 1
    end
    local last, complaint = parse_option(steps, argv, i)
    if not last then
      return nil, complaint
    end
    i = last + 1
  end
  return steps, i
end

-- The table `arg` as `lua` makes it: the script at 0, its arguments behind, the rest before.
-- Without a script the command itself is at 0, as the interpreter is in `lua`.
local function make_arg(argv, script)
  local origin = argv[script] and script or 1
  local arg = {}
  for i = 0, #argv do
    arg[i - origin] = argv[i]
  end
  return arg
end

-- Modules that lie beside the script are found first, wherever it is called from.
local function add_folder(script)
  local folder = script:match "^(.*/)" or "./"
  package.path = ("%s?.lua;%s?/init.lua;%s"):format(folder, folder, package.path)
end

-- Running --------------------------------------------------------------------------------------

-- Errors that Ctrl-C brought about; one line at the end stands for all of them. A system call that
-- it broke off fails before anybody has looked for the interrupt.
local function is_interrupt(object)
  return interrupt.is(object) or interrupt.take()
    or interrupt.came() and type(object) == "table" and object.kind == "cancelled"
end

local function report(message)
  io.stderr:write("lambdapool: ", message, "\n")
  return false
end

-- What an error object says: those that can say what they are speak for themselves. The second
-- value is true for text that does not tell where it comes from.
local function message_of(object)
  local message = type(object) == "number" and tostring(object) or object
  if type(message) == "string" then
    return message, true
  end
  local meta = debug.getmetatable(object)
  if meta and meta.__tostring then
    return tostring(object)
  end
  return ("(error object is a %s value)"):format(type(object)), true
end

-- The message of an error object and where it was raised, as `lua` prints it. Nil: not to be
-- printed.
local function describe(object)
  if is_interrupt(object) then
    return nil
  end
  local message, needs_place = message_of(object)
  if not needs_place then
    return message
  end
  local text = errors.traceback(message, 2, "^\t%[C%]: in function 'xpcall'$")
  return text -- no tail call: it would be one level less
end

-- Runs a chunk that `load` gave, or reports why there is none. True when it went well.
local function run(chunk, message, ...)
  if not chunk then
    return not is_interrupt(message) and report(message)
  end
  local ok, description = xpcall(chunk, describe, ...)
  return ok or description ~= nil and report(description)
end

local function require_global(text)
  local name, module = text:match "^([^=]*)=(.*)$"
  _G[name or text] = require(module or text)
end

local actions = {
  ["-e"] = function(code) return run(load(code, "=(command line)")) end,
  ["-l"] = function(text) return run(function() require_global(text) end) end,
  ["-W"] = function()
    warn "@on"
    return true
  end,
  ["help"] = function()
    io.stdout:write(help)
    return true
  end,
}

-- LUA_INIT, as in `lua`: code, or a file behind an "@".
local function run_init()
  local name = "LUA_INIT_5_4"
  local init = os.getenv(name)
  if not init then
    name = "LUA_INIT"
    init = os.getenv(name)
  end
  if not init then
    return true
  elseif init:sub(1, 1) == "@" then
    return run(loadfile(init:sub(2)))
  end
  return run(load(init, "=" .. name))
end

local function run_script(argv, index)
  local script = argv[index]
  if script == "-" and argv[index - 1] ~= "--" then
    return run(loadfile(), nil, table.unpack(argv, index + 1))
  end
  add_folder(script)
  local chunk, message = loadfile(script)
  return run(chunk, message, table.unpack(argv, index + 1))
end

-- Coroutines of lambdapool.async that have not ended when the script has are driven to their end,
-- and so are tasks of executors; errors that nobody asked them for are printed. True when there are
-- none.
local function finish_flows(ok)
  local flow = package.loaded["lambdapool.flow"]
  if not flow then
    return ok
  end
  ok = ok and run(flow.drain)
  local scheduler = package.loaded["lambdapool.scheduler"]
  ok = (not scheduler or run(scheduler.finish)) and ok
  for _, failure in ipairs(flow.unreported()) do
    ok = false
    if not is_interrupt(failure) then
      report((message_of(failure)))
    end
  end
  return ok
end

-- The one line that an interrupted run ends with. The terminal shows "^C", and may show more, in
-- the line that the cursor is in.
local function report_interrupt()
  local scheduler = package.loaded["lambdapool.scheduler"]
  local counts = scheduler and scheduler.counts()
  local line = "interrupted"
  if counts then
    line = ("interrupted: %d task%s done, %d failed, %d not done"):format(counts.done,
      counts.done == 1 and "" or "s", counts.failed, counts.unfinished)
  end
  io.stdout:flush()
  progress.clear()
  report(line)
end

-- What functions took. True when a budget was used up.
local function report_costs()
  local ledgers = package.loaded["lambdapool.backend.aws.ledger"]
  for _, line in ipairs(ledgers and ledgers.summary() or {}) do
    report(line)
  end
  return ledgers and ledgers.exhausted
end

-- Pools that nobody has closed may have left something open.
local function close_accounts()
  local accounts = package.loaded["lambdapool.account"]
  if accounts then
    accounts.close_all()
  end
end

local function carry_out(steps, argv, script)
  if not run_init() then
    return false
  end
  for _, step in ipairs(steps) do
    if not actions[step[1]](step[2]) then
      return false
    end
  end
  if argv[script] then
    return run_script(argv, script)
  elseif #steps == 0 then
    return run(loadfile())
  end
  return true
end

---@param argv string[]
---@return integer exit code
local function main(argv)
  local steps, script = parse(argv)
  if not steps then
    io.stderr:write("lambdapool run: ", script, "\n  see `lambdapool run --help`\n")
    return 2
  elseif #steps == 0 and not argv[script] and system.isatty(0) then
    io.stderr:write(help)
    return 2
  end
  _G.arg = make_arg(argv, script)
  progress.automatic = true
  assert(interrupt.catch())
  local ok = finish_flows(carry_out(steps, argv, script))
  interrupt.take()
  interrupt.release()
  close_accounts()
  if interrupt.came() then
    report_interrupt()
    return INTERRUPTED
  end
  return report_costs() and BUDGET or ok and 0 or 1
end

return { main = main }
