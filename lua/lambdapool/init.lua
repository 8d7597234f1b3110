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
