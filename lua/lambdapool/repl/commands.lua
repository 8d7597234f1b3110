--- The commands of the prompt: lines that begin with a colon.

local suggest = require "lambdapool.suggest"

local format, match, sub = string.format, string.match, string.sub
local concat, sort = table.concat, table.sort

local commands = {}

local help = [[
An expression prints its values, and `_` is the last one. Locals survive their line. `pool` and
`executor` are ready; `help(pool)` says what they can do, `help(x)` what any x is.

  :help        this text
  :load FILE   run a file as if it was typed; alone, the last one again
  :time CODE   run code, and say how long it took
  :tasks       the tasks that run and wait, and what has become of the others
  :clear       forget the locals of earlier lines, and clear the screen
  :quit        leave, as Ctrl-D does

Tab completes names. Ctrl-C ends what runs, and leaves pools and variables as they are.
]]

commands.names = { "help", "load", "time", "tasks", "clear", "quit" }

-- What each does with the rest of its line. They return nil when it needs more lines, else whether
-- it went well.
local actions = {}

function actions.help(console)
  console:write_text(help)
  return true
end

function actions.quit(console)
  console.left = true
  return true
end

function actions.clear(console)
  console.session:clear()
  _G._ = nil
  if console.interactive and console.colours then
    console:write "\27[H\27[2J"
  end
  return true
end

function actions.time(console, code)
  if code == "" then
    return console:report ":time needs code to run"
  end
  return console:evaluate(code, { timed = true })
end

function actions.load(console, path)
  path = path ~= "" and path or console.loaded
  if not path then
    return console:report ":load needs a file"
  end
  local home = os.getenv "HOME"
  if home and sub(path, 1, 2) == "~/" then
    path = home .. sub(path, 2)
  end
  console.loaded = path
  return console:evaluate_file(path, { quiet = true })
end

-- Tasks ----------------------------------------------------------------------------------------

local function class_of(value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  return meta and rawget(meta, "__name")
end

-- Calls visit(name, value) for the variables of the session, locals before globals.
local function each_variable(console, visit)
  for name, value in console.session:values() do
    visit(name, value)
  end
  for name, value in next, _G do
    if type(name) == "string" and name ~= "_" then
      visit(name, value)
    end
  end
end

local function count_of(n, what)
  return n > 0 and format("%d %s", n, what) or nil
end

-- What has become of the tasks of a pool, in words; nil when it never had any.
local function describe_pool(pool)
  local stats = pool:stats()
  local parts = {}
  for _, what in ipairs { "running", "queued", "done", "failed", "cancelled" } do
    parts[#parts + 1] = count_of(stats[what], what)
  end
  parts[#parts + 1] = count_of(stats.workers, stats.workers == 1 and "worker" or "workers")
  return stats.tasks > 0 and concat(parts, ", ") or nil
end

local function describe(value)
  local class = class_of(value)
  if class == "lambdapool.Pool" or class == "lambdapool.Executor" then
    return describe_pool(value)
  elseif (class == "lambdapool.Future" or class == "lambdapool.AsyncResult")
    and not value.is_done then
    return value.origin:running(value) and "running" or "waiting"
  end
end

function actions.tasks(console)
  local lines, seen = {}, {}
  each_variable(console, function(name, value)
    local text = not (type(value) == "table" and seen[value]) and describe(value)
    if text then
      seen[value] = true
      lines[#lines + 1] = format("%s: %s\n", name, text)
    end
  end)
  sort(lines)
  console:write(lines[1] and concat(lines) or "no tasks\n")
  return true
end

-- Lines ----------------------------------------------------------------------------------------

--- The command of a line, and what stands behind it; nil when it is no command.
---@param text string
---@return string? name
---@return string? rest
function commands.parse(text)
  local name, rest = match(text, "^%s*:([^%s:]*)%s*(.-)%s*$")
  return name, rest
end

--- Carries out a command.
---@param console lambdapool.repl.Console
---@param name string
---@param rest string
---@return boolean? ok nil when its code is incomplete
function commands.run(console, name, rest)
  local action = actions[name]
  if not action then
    return console:report(format("unknown command ':%s'%s\n  see :help", name,
      suggest.hint(name, commands.names)))
  end
  return action(console, rest)
end

return commands
