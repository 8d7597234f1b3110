--- `lambdapool repl`: a prompt with a pool. What is typed is run line by line; from a pipe it is
--- run in the same way, up to the first error, and only values are printed.

local commands = require "lambdapool.repl.commands"
local completion = require "lambdapool.repl.completion"
local consoles = require "lambdapool.repl.console"
local editors = require "lambdapool.repl.editor"
local interrupt = require "lambdapool.interrupt"
local lambdapool = require "lambdapool"
local manual = require "lambdapool.repl.manual"
local notices = require "lambdapool.repl.notices"
local schedulers = require "lambdapool.scheduler"
local script = require "lambdapool.cli.script"
local sessions = require "lambdapool.repl.session"
local switches = require "lambdapool.cli.switches"
local system = require "lambdapool.system"

local find, unpack = string.find, table.unpack

local help = [==[
  lambdapool repl
  echo 'pool:map(math.sqrt, { 1, 4, 9 })' | lambdapool repl

usage: lambdapool repl [OPTIONS] [-i SCRIPT [ARGS]]

Runs Lua line by line. `pool` and `executor` are ready; :help tells the rest. Options, in any order
and number, are carried out before the first prompt:
  -i SCRIPT   run SCRIPT, whose locals stay; what follows are its arguments
  -e CODE     run CODE
  -l MODULE   require MODULE into a global of its name; -l NAME=MODULE into the global NAME
  -W          turn warnings on
  --no-rc     do not run the file lambdapool/repl.lua in $XDG_CONFIG_HOME (~/.config), which is run
              first otherwise
  --          the end of the options
  --help      this text

Where tasks run:
]==] .. switches.help .. [==[

From a pipe, only values are printed, and the first error ends it with exit code 1.
]==]

-- Folders --------------------------------------------------------------------------------------

-- A file of ours below the folder that a variable names, or else below one in the home.
local function place(variable, default, file)
  local folder, home = os.getenv(variable), os.getenv "HOME"
  if not folder or folder == "" then
    folder = home and home ~= "" and home .. default or nil
  end
  return folder and folder .. "/lambdapool/" .. file
end

local function exists(path)
  local file <close>, _, code = io.open(path)
  return file ~= nil or code ~= 2 and code ~= 20 -- ENOENT, ENOTDIR
end

-- What comes before the prompt -----------------------------------------------------------------

-- A pool and an executor, which cost nothing until they have a task. Where they cannot be opened,
-- because of a configuration that is wrong, that keeps nobody from the prompt.
local function offer_workers(console)
  local ok, complaint = pcall(function()
    _G.pool, _G.executor = lambdapool.pool(), lambdapool.executor()
  end)
  if not ok then
    console:report("there are no `pool` and `executor`: " .. tostring(complaint))
  end
  return ok or console.interactive
end

local function run_rc(console)
  local path = place("XDG_CONFIG_HOME", "/.config", "repl.lua")
  return not path or not exists(path) or console:evaluate_file(path, { quiet = true })
end

local actions = {
  ["-e"] = function(console, code)
    return console:evaluate(code, { quiet = true, whole = true, name = "=(command line)" })
  end,
  ["-l"] = function(_, text) return script.require_global(text) end,
  ["-W"] = function()
    warn "@on"
    return true
  end,
}

-- What the command line asks for, up to the first error.
local function prepare(console, steps, argv, index)
  local options = {}
  for _, step in ipairs(steps) do
    options[step[1]] = true
  end
  local ok = script.run_init() and offer_workers(console)
    and (options["--no-rc"] or run_rc(console))
  for _, step in ipairs(steps) do
    local action = actions[step[1]]
    ok = ok and (not action or action(console, step[2]))
  end
  if ok and argv[index] then
    script.add_folder(argv[index])
    ok = console:evaluate_file(argv[index], { quiet = true }, unpack(argv, index + 1))
  end
  return ok
end

-- The prompt -----------------------------------------------------------------------------------

local function prompt(name, default)
  local text = rawget(_G, name)
  return type(text) == "string" and not find(text, "%c") and text or default
end

-- Runs what was read so far. True, or false when it went wrong; nil when it is incomplete.
local function evaluate(console, text, whole)
  local name, rest = commands.parse(text)
  if name and not find(text, "^%s*::") then
    return commands.run(console, name, rest)
  elseif not find(text, "%S") then
    return true
  end
  return console:evaluate(text, { whole = whole })
end

-- Reads one input, perhaps of several lines, and runs it. Returns whether it went well, or nil at
-- the end.
local function take_input(console, editor)
  local text
  while true do
    console.notices:begin()
    local line, why = editor:read(text and prompt("_PROMPT2", ">> ") or prompt("_PROMPT", "> "))
    if not line and why == "interrupt" then
      return true
    elseif not line and not text then
      return nil
    end
    text = line and (text and text .. "\n" .. line or line) or text
    console.notices:stop()
    local ok = evaluate(console, text, not line)
    if ok ~= nil then
      editor:add(text)
      console.notices:look(text)
      return ok
    end
  end
end

-- Until the end of input, :quit, SIGTERM or, without a person, an error.
local function converse(console, editor)
  while not (console.left or console.terminated or console.broken) do
    local read, ok = pcall(take_input, console, editor)
    if not read and interrupt.is(ok) then
      console.terminated = interrupt.terminated()
      interrupt.survive()
      console:report(console.terminated and "terminated" or "interrupted")
    elseif not read then
      error(ok, 0)
    elseif ok == nil or not ok and not console.interactive then
      return ok == nil and not console.failed
    end
  end
  return not console.broken
end

-- The end --------------------------------------------------------------------------------------

-- A person who leaves does not wait for what still runs.
local function say_goodbye(console)
  local tally = schedulers.totals()
  local left = tally.tasks - tally.done - tally.failed - tally.cancelled
  if left > 0 then
    console:report(left == 1 and "1 task had not ended, and is cancelled"
      or ("%d tasks had not ended, and are cancelled"):format(left))
  end
  return true
end

local function close(console, editor, ok)
  if console.interactive then
    ok = say_goodbye(console)
  else
    ok = script.finish_flows(ok)
  end
  editor:close()
  interrupt.take()
  interrupt.release()
  script.close_accounts()
  if console.terminated then
    return script.TERMINATED
  elseif interrupt.came() then
    script.report_interrupt()
    return script.INTERRUPTED
  end
  return script.report_costs() and script.BUDGET or ok and 0 or 1
end

local function open_editor(console)
  return editors.open {
    history = place("XDG_STATE_HOME", "/.local/state", "history"),
    complete = completion.new(console.session),
    complain = function(failure)
      console.failed = not console.interactive
      console:report(console:explain(failure))
    end,
  }
end

local function run(steps, argv, index)
  local session = sessions.new()
  local console = consoles.new(session)
  console:open(system.isatty(0) and (system.isatty(1) or system.isatty(2)))
  local editor = open_editor(console)
  console.notices = notices.new(console, editor)
  _G.arg, _G.lambdapool, _G.help = script.make_arg(argv, index), lambdapool,
    manual.new(console)
  assert(interrupt.catch(console.interactive))
  if console.interactive then
    interrupt.survive()
    schedulers.survive_interrupts()
  end
  local ok = prepare(console, steps, argv, index)
  if ok or console.interactive then
    ok = converse(console, editor)
  end
  return close(console, editor, ok)
end

---@param argv string[]
---@return integer exit code
local function main(argv)
  local steps, index = switches.parse(argv, { "-i", "--no-rc" })
  local has_script = false
  for _, step in ipairs(steps or {}) do
    if step[1] == "help" then
      io.stdout:write(help)
      return 0
    end
    has_script = has_script or step[1] == "-i"
  end
  local complaint = not steps and index
    or has_script and not argv[index] and "'-i' needs an argument"
    or not has_script and argv[index] and "a script comes behind '-i'"
  if complaint then
    io.stderr:write("lambdapool repl: ", complaint, "\n  see `lambdapool repl --help`\n")
    return 2
  end
  return run(steps, argv, index)
end

return { main = main }
