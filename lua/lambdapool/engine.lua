--- What pools and executors share: their options, and a backend with a scheduler in front of it.

local options = require "lambdapool.options"
local scheduler = require "lambdapool.scheduler"
local system = require "lambdapool.system"

local engine = {}

-- The options of pools and executors. `memory` is what one vCPU comes with on Lambda, in MB, and
-- `timeout` is the longest that Lambda offers, in seconds.
local rules = {
  workers = { "integer", min = 1, max = 10000 },
  memory = { "integer", min = 128, max = 10240, default = 1769 },
  timeout = { "seconds", default = 900 },
  chunksize = { "integer", min = 1 },
  prefix = { "boolean", default = false },
  backend = { "choice", choices = { "local" }, default = "local" },
}

--- Makes the backend and the scheduler for a pool or an executor.
---@param where string for complaints: "lambdapool.pool"
---@param given table?
---@return lambdapool.Scheduler
---@return table options checked, with defaults; `request` in it are the options of codec.request
function engine.open(where, given)
  local checked = options.check(where, given, rules, 3)
  checked.workers = checked.workers or system.cpus()
  checked.timeout_ms = math.max(1, math.ceil(checked.timeout * 1000))
  local backend = require("lambdapool.backend." .. checked.backend).new(checked)
  return scheduler.new(backend), checked
end

--- Complains when `f` is no function, at the line that called the method that called the caller.
---@param where string "pool:map"
---@param f any
function engine.check_function(where, f)
  if type(f) ~= "function" then
    error(("%s: the task must be a function, got %s"):format(where,
      f == nil and "nil" or "a " .. type(f)), 4)
  end
end

return engine
