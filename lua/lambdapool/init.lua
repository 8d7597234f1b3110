--- lambdapool: run Lua functions on many workers.
---
---   local lambdapool = require "lambdapool"
---   local pool <close> = lambdapool.pool { workers = 4 }
---   local squares = pool:map(function(x) return x * x end, { 1, 2, 3 })
---
--- The parts are loaded when they are first used.

local codec = require "lambdapool.codec"

local lambdapool = { version = require "lambdapool.system".version }

--- Opens a pool: see lambdapool/pool.lua.
---@param options table?
---@return lambdapool.Pool
function lambdapool.pool(options)
  return require "lambdapool.pool".new(options)
end

--- Opens an executor: see lambdapool/executor.lua.
---@param options table?
---@return lambdapool.Executor
function lambdapool.executor(options)
  return require "lambdapool.executor".new(options)
end

--- Waits for several futures: see lambdapool/waiting.lua.
---@param futures lambdapool.Future[]
---@param options { timeout: number?, return_when: string | number | nil }?
---@return lambdapool.Future[] done
---@return lambdapool.Future[] not_done
function lambdapool.wait(futures, options)
  return require "lambdapool.waiting".wait(futures, options)
end

--- Goes through futures as they end: see lambdapool/waiting.lua.
---@param futures lambdapool.Future[]
---@param options { timeout: number? }?
---@return fun(): lambdapool.Future?
function lambdapool.as_completed(futures, options)
  return require "lambdapool.waiting".as_completed(futures, options)
end

--- Runs fn(...) as a flow: a coroutine in which waiting for a future yields: see
--- lambdapool/async.lua.
---@param fn function
---@param ... any
---@return lambdapool.Future of what the function returns
function lambdapool.async(fn, ...)
  return require "lambdapool.async".async(fn, ...)
end

--- Keeps everything going in a program with a loop of its own: see lambdapool/polling.lua.
---@param seconds number? to wait, when there is nothing to do; default 0
---@param budget number? seconds to work, about; default 0.001
---@return boolean busy whether there was something to do
function lambdapool.poll(seconds, budget)
  return require "lambdapool.polling".poll(seconds, budget)
end

--- A descriptor for that loop, readable while `poll` has something to do.
---@return integer?
---@return string? message
function lambdapool.descriptor()
  return require "lambdapool.polling".descriptor()
end

--- Tells the text of a chunk whose functions are to be sent and that lambdapool cannot find: one
--- that was loaded from memory, under a name, in a Lua of somebody else's.
---@param name string the chunk name, as it was given to load
---@param text string
---@param module string? the name of the module that it is: then workers have that, too
function lambdapool.remember(name, text, module)
  codec.remember(name, text, module)
end

--- Values for `return_when`.
lambdapool.ALL_COMPLETED = "ALL_COMPLETED"
lambdapool.FIRST_COMPLETED = "FIRST_COMPLETED"
lambdapool.FIRST_EXCEPTION = "FIRST_EXCEPTION"

--- Turns any value that can travel into bytes, functions with all that they use included. Raises
--- an error that names the path to what cannot travel.
---@type fun(value: any): string
lambdapool.dump = codec.dump

--- Rebuilds the value from the bytes of `dump`. Runs no code that came with them: a module must be
--- loaded here, and a value with a `__lambdapool` hook is rebuilt only by a function that such a
--- hook returned here. With `trusted` modules are required and any rebuild function is called, as
--- on a worker. Raises on malformed bytes.
---@type fun(bytes: string, options: { trusted: boolean }?): any
lambdapool.load = codec.load

return lambdapool
