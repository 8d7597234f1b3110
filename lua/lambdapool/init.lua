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
