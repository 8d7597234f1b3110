--- The event loop of this Lua state: one for all pools and executors, so that waiting for one of
--- them keeps the others going. It opens with the first worker and closes with the last. Events go
--- to whoever started the worker they are about.

local workers = require "lambdapool.workers"

local loop
local handlers = {}

--- Starts a worker; see lambdapool.workers for `spec`. Events arrive, during `poll`, as
--- handler(event, ...), the last of them "exit".
---@param spec table
---@param handler fun(event: string, ...)
---@return integer? id
---@return string? message
local function start(spec, handler)
  loop = loop or workers.open()
  local id, message = loop:start(spec)
  if id then
    handlers[id] = handler
  end
  return id, message
end

--- Hands out the next event. Waits at most `seconds` for it; nil: as long as it takes.
---@param seconds number?
---@return boolean again false when there was nothing, or nothing can come any more
local function poll(seconds)
  if not loop then
    return false
  end
  local event, id, a, b, c, d = loop:poll(seconds)
  if not event then
    return false
  end
  local handler = handlers[id]
  if event == "exit" then
    handlers[id] = nil
  end
  handler(event, a, b, c, d)
  if loop and not next(handlers) then
    loop:close()
    loop = nil
  end
  return true
end

--- Gives a worker that has not exited its next invocation; see lambdapool.workers.
---@return boolean?
---@return string? message
local function invoke(id, request, options)
  return loop:invoke(id, request, options)
end

--- Kills a worker that has not exited. Its "exit" follows.
local function kill(id)
  loop:kill(id)
end

return { start = start, poll = poll, invoke = invoke, kill = kill }
