--- lambdapool: run Lua functions on many workers.
---
---   local lambdapool = require "lambdapool"
---   local pool <close> = lambdapool.pool { workers = 4 }
---   local squares = pool:map(function(x) return x * x end, { 1, 2, 3 })
---
--- The parts are loaded when they are first used.

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
---@param value any
---@return string
function lambdapool.dump(value)
  return require "lambdapool.codec".dump(value)
end

--- Rebuilds the value from the bytes of `dump`. Runs no code of it. Raises on malformed bytes.
---@param bytes string
---@return any
function lambdapool.load(bytes)
  return require "lambdapool.codec".load(bytes)
end

return lambdapool
