--- What a program in C has of lambdapool, behind lambdapool.h: the executor for its tasks, the code
--- that they run, and the loop. Tasks are known by the numbers that the host in C gives them; the
--- end of each is told to it at once (lambdapool.embed.native), and delivered by it.

local errors = require "lambdapool.errors"
local executors = require "lambdapool.executor"
local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local native = require "lambdapool.embed.native"
local packs = require "lambdapool.packs"
local progress = require "lambdapool.progress"
local retries = require "lambdapool.retry"

local embed = {}

-- What workers print goes to the host's log.
progress.world.write = function(text)
  native.output((text:gsub("\n$", "")))
end
progress.world.is_terminal = function() return false end
progress.world.has_prints = function() return false end

-- Chunks -------------------------------------------------------------------------------------

-- The functions of the last sources, by kind, name and text: what is submitted again and again is
-- compiled once, and its tasks have one code.
local MOST_CHUNKS, MOST_BYTES = 256, 4 << 20
local chunks, count, bytes = {}, 0, 0

local function forget_chunks()
  chunks, count, bytes = {}, 0, 0
end

local function keep_chunk(name, text, chunk)
  if count >= MOST_CHUNKS or bytes + #text > MOST_BYTES then
    forget_chunks()
  end
  chunks[name] = chunks[name] or {}
  chunks[name][text] = chunk
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

local kinds = {}

kinds.source = load_chunk

function kinds.file(path)
  local chunk, message = loadfile(path, "t")
  if not chunk then
    error(message, 0)
  end
  return chunk
end

kinds["function"] = function(name)
  local module, field = name:match "^([%w_%-.]+)%.([%a_][%w_]*)$"
  if module then
    return load_chunk(("return require(%q).%s(...)"):format(module, field), "=" .. name)
  end
  return load_chunk(("return %s(...)"):format(name), "=" .. name)
end

--- The function of a task.
---@param kind "source" | "file" | "function"
---@param text string
---@param name string?
---@return function
function embed.chunk(kind, text, name)
  return kinds[kind](text, name)
end

-- The executor -------------------------------------------------------------------------------

local executor

-- What the host was opened with, as options of executors.
local function options()
  local config = native.config
  local given = config.options and json.decode(config.options) or {}
  for name, value in pairs(given) do
    if value == json.null then
      given[name] = nil
    end
  end
  for _, name in ipairs { "workers", "memory", "retries" } do
    given[name] = config[name] or given[name]
  end
  given.timeout = config.timeout_ms and config.timeout_ms / 1000 or given.timeout
  return given
end

local function open_executor()
  executor = executor or executors.new(options())
  return executor
end

-- Packs by the limits of their tasks.
local packs_of = setmetatable({}, { __mode = "v" })

local function find_packs(scheduler, timeout_ms, times)
  local key = timeout_ms .. " " .. times
  local found = packs_of[key]
  if not found then
    found = packs.new(scheduler, {
      timeout_ms = timeout_ms > 0 and timeout_ms or nil,
      retry = times >= 0 and retries.new("lp_submit", { retries = times }, 1) or nil,
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
  end
  local message = failure.message
  if failure.log and failure.log ~= "" then
    message = message .. "\nthe last lines it wrote:\n" .. failure.log
  end
  return message
end

-- A task has ended: the host is told.
local function on_end(task)
  local id, attempts = task.id, task.attempts
  open[id] = nil
  if task.failed then
    local failure = task.error
    local is_error = type(failure) == "table"
    native.finish(id, is_error and failure.kind or "error", attempts, message_of(failure),
      is_error and failure.traceback or "")
  elseif task.values then
    native.finish(id, "done", attempts, "", "", table.unpack(task.values, 1, task.values.n))
  else
    native.finish(id, "done", attempts, "", "", task.value)
  end
end

local watchers = { on_end } -- of all of them

--- Hands f(...) to a worker; its end will be told as that of number `id`.
---@param id integer
---@param timeout_ms integer 0: that of the host
---@param times integer retries, -1: those of the host
---@param f function
---@param ... any
function embed.submit(id, timeout_ms, times, f, ...)
  local owner = find_packs(open_executor().scheduler, timeout_ms, times)
  local task = { id = id, origin = owner, watchers = watchers }
  owner:submit(task, f, ...)
  open[id] = task
end

--- Cancels the task, if that is possible.
---@param id integer
function embed.cancel(id)
  local task = open[id]
  if task then
    task.origin:cancel(task)
  end
end

--- 0: it waits, 1: it runs.
---@param id integer
---@return integer
function embed.state(id)
  local task = open[id]
  return task and task.origin:running(task) and 1 or 0
end

--- What lp_stats tells, but for what the host counts itself.
---@return table
function embed.stats()
  return executor and executor:stats() or {}
end

-- The loop -----------------------------------------------------------------------------------

--- Does one piece of work; false when there was none.
---@return boolean
function embed.step()
  loop.pump(0)
  return false
end

--- Waits until there is a piece of work.
---@param seconds number at most
function embed.wait(seconds)
  if executor and not executor.scheduler:is_idle() then
    loop.pump(seconds)
  end
end

--- A descriptor that is readable while there is a piece of work.
---@return integer
function embed.descriptor()
  error "not yet"
end

return embed
