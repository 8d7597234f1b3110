--- What programs that run the user's code have in common: how it is run and what is said of its
--- errors, as `lua` does both, and what is to be done at the end.

local errors = require "lambdapool.errors"
local interrupt = require "lambdapool.interrupt"
local progress = require "lambdapool.progress"
local tallies = require "lambdapool.tally"

local script = {}

--- The exit codes of a program that has used up its budget, and of those that a signal ended.
script.BUDGET, script.INTERRUPTED, script.TERMINATED = 6, 130, 143

--- Says something on stderr. Returns false: a step that went wrong.
---@param message string
---@return false
function script.report(message)
  io.stderr:write("lambdapool: ", message, "\n")
  return false
end

-- The message of an error object and where it was raised, as `lua` prints it. Nil: not to be
-- printed.
local function describe(object)
  if interrupt.caused(object) then
    return nil
  end
  local message, needs_place = errors.message(object)
  if not needs_place then
    return message
  end
  local text = errors.traceback(message, 2, "^\t%[C%]: in function 'xpcall'$")
  return text -- no tail call: it would be one level less
end

--- Runs a chunk that `load` gave, or reports why there is none. True when it went well.
---@param chunk function?
---@param message any
---@param ... any
---@return boolean
function script.run(chunk, message, ...)
  if not chunk then
    return not interrupt.caused(message) and script.report(message)
  end
  local ok, description = xpcall(chunk, describe, ...)
  return ok or description ~= nil and script.report(description)
end

--- `-l`: requires a module into a global.
---@param text string "MODULE" or "NAME=MODULE"
---@return boolean
function script.require_global(text)
  local name, module = text:match "^([^=]*)=(.*)$"
  return script.run(function()
    _G[name or text] = require(module or text)
  end)
end

--- LUA_INIT, as in `lua`: code, or a file behind an "@".
---@return boolean
function script.run_init()
  local name = "LUA_INIT_5_4"
  local init = os.getenv(name)
  if not init then
    name = "LUA_INIT"
    init = os.getenv(name)
  end
  if not init then
    return true
  elseif init:sub(1, 1) == "@" then
    return script.run(loadfile(init:sub(2)))
  end
  return script.run(load(init, "=" .. name))
end

--- The table `arg` as `lua` makes it: the script at 0, its arguments behind, the rest before.
--- Without a script the command itself is at 0, as the interpreter is in `lua`.
---@param argv string[]
---@param index integer of the script
---@return string[]
function script.make_arg(argv, index)
  local origin = argv[index] and index or 1
  local arg = {}
  for i = 0, #argv do
    arg[i - origin] = argv[i]
  end
  return arg
end

--- Modules that lie beside the script are found first, wherever it is called from.
---@param path string
function script.add_folder(path)
  local folder = path:match "^(.*/)" or "./"
  package.path = ("%s?.lua;%s?/init.lua;%s"):format(folder, folder, package.path)
end

--- Coroutines of lambdapool.async that have not ended when the script has are driven to their end,
--- and so are tasks of executors; errors that nobody asked them for are printed. True when there
--- are none, and `ok` is true.
---@param ok boolean
---@return boolean
function script.finish_flows(ok)
  local flow = package.loaded["lambdapool.flow"]
  if not flow then
    return ok
  end
  ok = ok and script.run(flow.drain)
  local scheduler = package.loaded["lambdapool.scheduler"]
  ok = (not scheduler or script.run(scheduler.finish)) and ok
  for _, failure in ipairs(flow.unreported()) do
    ok = false
    if not interrupt.caused(failure) then
      script.report((errors.message(failure)))
    end
  end
  return ok
end

--- The one line that an interrupted program ends with. The terminal shows "^C", and may show more,
--- in the line that the cursor is in.
function script.report_interrupt()
  local scheduler = package.loaded["lambdapool.scheduler"]
  local counts = scheduler and scheduler.counts()
  io.stdout:flush()
  progress.clear()
  script.report(counts and "interrupted: " .. tallies.phrase(counts) or "interrupted")
end

--- Tells what functions took. True when a budget was used up.
---@return boolean?
function script.report_costs()
  local ledgers = package.loaded["lambdapool.backend.aws.ledger"]
  for _, line in ipairs(ledgers and ledgers.summary() or {}) do
    script.report(line)
  end
  return ledgers and ledgers.exhausted
end

--- Pools that nobody has closed may have left something open.
function script.close_accounts()
  local accounts = package.loaded["lambdapool.account"]
  if accounts then
    accounts.close_all()
  end
end

return script
