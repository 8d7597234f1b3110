--- What a program in C has of lambdapool, behind lambdapool.h: the executor for its tasks, the code
--- that they run, and the loop. Tasks are known by the numbers that the host in C gives them; the
--- end of each is told to it at once (lambdapool.embed.native), and delivered by it.
---
--- A step in which memory runs out, or that fails in another way, may leave the executor half
--- changed. The host has told the end of all its tasks then, and `reset` makes another one.

local codec = require "lambdapool.codec"
local config = require "lambdapool.config"
local engine = require "lambdapool.engine"
local errors = require "lambdapool.errors"
local executors = require "lambdapool.executor"
local flow = require "lambdapool.flow"
local frames = require "lambdapool.frames"
local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local native = require "lambdapool.embed.native"
local packs = require "lambdapool.packs"
local progress = require "lambdapool.progress"
local retries = require "lambdapool.retry"
local timers = require "lambdapool.timers"

require "lambdapool.backend.local" -- now: scripts may do anything to `require`

local embed = {}

frames.keep()
config.count_while(native.is_command)
flow.report_while(native.is_command)

-- Options ------------------------------------------------------------------------------------

-- The field `options` of the configuration.
local function read_options()
  local given = native.config.options and json.decode(native.config.options) or {}
  for name, value in pairs(given) do
    if value == json.null then
      given[name] = nil
    end
  end
  engine.check("lp_config: options", given)
  return given
end

-- What the host was opened with holds for its own executor and for the pools of its scripts.
local function set_defaults()
  local defaults, fields = read_options(), native.config
  for _, name in ipairs { "workers", "memory", "retries", "nice", "agent" } do
    defaults[name] = fields[name] or defaults[name]
  end
  defaults.timeout = fields.timeout_ms and fields.timeout_ms / 1000 or defaults.timeout
  engine.set_defaults(defaults)
end

set_defaults()

-- What is printed ----------------------------------------------------------------------------

-- It goes to the host's log, unless the host runs a command, which has a terminal for itself.
local function redirect(owner, name, to)
  local original = owner[name]
  owner[name] = function(...)
    if native.is_command() then
      return original(...)
    end
    return to(...)
  end
end

local function no()
  return false
end

redirect(progress, "log", native.output)
redirect(progress.world, "write", function(text)
  native.notice((text:gsub("\n$", "")))
end)
redirect(progress.world, "is_terminal", no)
redirect(progress.world, "has_prints", no)

-- Code ---------------------------------------------------------------------------------------

-- The functions of the last sources, by name and text: what is submitted again and again is
-- compiled once, and its tasks have one code.
local MOST_CHUNKS, MOST_BYTES = 256, 4 << 20
local chunks, count, bytes = {}, 0, 0

local function keep_chunk(name, text, chunk)
  if count >= MOST_CHUNKS or bytes + #text > MOST_BYTES then
    chunks, count, bytes = {}, 0, 0
  end
  local named = chunks[name] or {}
  chunks[name] = named
  named[text] = chunk
  count, bytes = count + 1, bytes + #text
end

local function load_chunk(text, name)
  local named = chunks[name]
  local chunk = named and named[text]
  if not chunk then
    local message
    chunk, message = load(text, name, "t")
    if not chunk then
      error(message, 0)
    end
    keep_chunk(name, text, chunk)
  end
  return chunk
end

local function is_callable(value)
  local meta = type(value) == "table" and debug.getmetatable(value)
  return type(value) == "function" or meta and meta.__call ~= nil
end

-- Whether the tasks run where there may be modules that are not here.
local function is_deployed()
  return engine.place() == "aws"
end

local NO_FUNCTION = "there is no function '%s' in module '%s'"

-- Complains of a function that certainly is not there. A module is not loaded for that.
local function check_module_function(name, module, field)
  local loaded = package.loaded[module]
  if type(loaded) == "table" and not debug.getmetatable(loaded) and not is_callable(loaded[field])
    or loaded ~= nil and type(loaded) ~= "table" then
    error(NO_FUNCTION:format(field, module), 0)
  elseif loaded == nil and not package.preload[module] and not is_deployed() then
    local _, places = package.searchpath(module, package.path)
    if places then
      error(("cannot find module '%s' of function '%s':\n\t%s"):format(module, name, places), 0)
    end
  end
end

local function check_global_function(name)
  if not name:find "^[%a_][%w_]*$" then
    error(("a function must be like 'bake' or 'terrain.bake', got '%s'"):format(name), 0)
  elseif not is_callable(rawget(_G, name)) then
    error(("there is no function '%s' in the host\n  define it with lp_run, or name its module: "
      .. "'terrain.%s'"):format(name, name), 0)
  end
end

-- Modules that return nothing are `true`.
local CALL = [[
local module = require(%q)
local call = module ~= true and module.%s or error(%q, 0)
return call(...)]]

-- What runs a function that is known by its name: code that names it, so that it travels. Whether
-- a module has it may turn out where it runs.
local function load_call(name)
  local module, field = name:match "^([%w_%-]+[%w_%-.]*)%.([%a_][%w_]*)$"
  if module then
    check_module_function(name, module, field)
    return load_chunk(CALL:format(module, field, NO_FUNCTION:format(field, module)), "=" .. name)
  end
  check_global_function(name)
  return load_chunk(("return %s(...)"):format(name), "=" .. name)
end

local function load_file(path)
  local chunk, message = loadfile(path, "t")
  if not chunk then
    error(message, 0)
  end
  return chunk
end

local kinds = { source = load_chunk, file = load_file, ["function"] = load_call }

--- The function of what runs here. Raises when there is none.
---@param kind "source" | "file" | "function"
---@param text string the source, or the name of the file or function
---@param name string? of the source
---@return function
function embed.chunk(kind, text, name)
  local chunk = kinds[kind](text, name)
  if kind == "source" then
    codec.remember(name, text) -- what it defines may be sent
  end
  return chunk
end

-- The executor -------------------------------------------------------------------------------

local executor

-- What executors that were given up have done.
local past = {}

-- Packs by the limits of their tasks.
local packs_of = setmetatable({}, { __mode = "v" })

local function open_executor()
  executor = executor or executors.new()
end

--- Loads now what would otherwise be loaded with the first task, where that takes long. Raises what
--- is wrong with the options that only the backend can know.
function embed.open()
  if engine.place() == "aws" then
    open_executor()
  end
end

local function find_packs(timeout_ms, times)
  open_executor()
  local key = timeout_ms .. " " .. times
  local found = packs_of[key]
  if not found then
    found = packs.new(executor.scheduler, {
      timeout_ms = timeout_ms > 0 and timeout_ms or nil,
      retry = times >= 0 and retries.new("lp_submit", { retries = times }, 1) or nil,
      json = true, -- the workers make it: a large table would take longer than a frame
    })
    packs_of[key] = found
  end
  return found
end

-- Tasks --------------------------------------------------------------------------------------

-- Those that have not ended, by number.
local open = {}

local function message_of(failure)
  if type(failure) ~= "table" or not failure.kind then
    return (errors.message(failure))
  elseif failure.log and failure.log ~= "" then
    return failure.message .. "\nthe last lines it wrote:\n" .. failure.log
  end
  return failure.message
end

-- The error of a task that could not be sent is any value.
local function finish_failed(task, failure)
  local is_error = type(failure) == "table" and failure.kind
  local kind = is_error and failure.kind or failure == "not enough memory" and "lost" or "error"
  native.finish(task.id, kind, task.attempts, message_of(failure),
    is_error and failure.traceback or "", 0)
end

-- A task has ended: the host is told.
local function on_end(task)
  open[task.id] = nil
  if task.failed then
    finish_failed(task, task.error)
  elseif task.values then
    native.finish(task.id, "done", task.attempts, "", "", task.json or 0,
      table.unpack(task.values, 1, task.values.n))
  else
    native.finish(task.id, "done", task.attempts, "", "", task.json or 0, task.value)
  end
end

local watchers = { on_end } -- of all of them

local function prepare(owner, kind, text, name, ...)
  return owner:prepare(kinds[kind](text, name), ...)
end

--- Makes ready what runs a task on a worker. Raises when something of it cannot be sent; nothing
--- has happened then. A source that nobody runs here is known only for as long as that takes: there
--- may be any number of them.
---@param timeout_ms integer 0: that of the host
---@param times integer retries, -1: those of the host
---@param kind "source" | "file" | "function"
---@param text string the source, or the name of the file or function
---@param name string? of the source
---@param ... any arguments
---@return table prepared
function embed.prepare(timeout_ms, times, kind, text, name, ...)
  local owner = find_packs(timeout_ms, times)
  local passing = kind == "source" and codec.remember(name, text)
  local prepared = table.pack(pcall(prepare, owner, kind, text, name, ...))
  if passing then
    codec.forget(name, text)
  end
  if not prepared[1] then
    error(prepared[2], 0)
  end
  prepared[1] = owner
  return prepared
end

--- Hands to a worker what was prepared; its end will be told as that of number `id`.
---@param id integer
---@param prepared table
function embed.submit(id, prepared)
  local task = { id = id, origin = prepared[1], watchers = watchers }
  open[id] = task
  task.origin:add(task, prepared[2], prepared[3], prepared[4])
end

--- Cancels the task, if that is possible.
---@param id integer
function embed.cancel(id)
  local task = open[id]
  if task then
    task.origin:cancel(task)
  end
end

--- Whether a worker runs the task.
---@param id integer
---@return boolean
function embed.state(id)
  local task = open[id]
  return task ~= nil and task.origin:running(task)
end

-- Numbers ------------------------------------------------------------------------------------

-- What an executor has done so far, added to `sum`.
local function add_up(sum, scheduler)
  local function add(name, value)
    sum[name] = (sum[name] or 0) + value
  end
  add("attempts", scheduler.counts.attempts)
  add("bytes_sent", scheduler.counts.bytes_sent)
  add("bytes_received", scheduler.counts.bytes_received)
  add("run_seconds", scheduler.counts.run_us / 1e6)
  add("retried", scheduler.tally.retried)
  add("workers_started", scheduler.backend:started())
  local costs = scheduler.backend.costs and scheduler.backend:costs()
  add("cost", costs and costs.cost or 0)
end

--- What lp_get_stats tells, but for what the host counts itself.
---@return table
function embed.stats()
  local stats = { running = 0, workers = 0 }
  for name, value in pairs(past) do
    stats[name] = value
  end
  if executor then
    add_up(stats, executor.scheduler)
    stats.running = executor.scheduler.tally.running
    stats.workers = executor.scheduler.backend:alive()
  end
  return stats
end

-- The loop -----------------------------------------------------------------------------------

-- What workers have done, what is due and what was put off is for code of ours alone: when that
-- raises an error, it is in the middle of something. The host is told, and gives the executor up.
local function guard(owner, name)
  local original = owner[name]
  owner[name] = function(argument)
    local ok, result = pcall(original, argument)
    if not ok then
      native.damaged()
      error(result, 0)
    end
    return result
  end
end

guard(loop, "take_event")
guard(timers, "run_one")
loop.on_failure = native.damaged

embed.step = loop.step
embed.hold = loop.hold
embed.descriptor = loop.descriptor

-- Seconds that the clock can be asked for.
local LONGEST = 86400

--- Waits until there is something to do.
---@param seconds number at most
function embed.rest(seconds)
  loop.rest(math.min(seconds, LONGEST))
end

--- Gives up the executor, with all that it does. May have to be called again when memory runs out
--- in it.
function embed.reset()
  open = {}
  if executor then
    local scheduler = executor.scheduler
    scheduler.backend.workers = 0 -- what is queued stays there
    scheduler.backend:abandon()
    local sum = {}
    add_up(sum, scheduler)
    for name, value in pairs(past) do
      sum[name] = sum[name] + value
    end
    packs_of = setmetatable({}, { __mode = "v" })
    loop.expect(-scheduler.busy)
    past, executor = sum, nil
  end
end

return embed
