--- What pools and executors share: their options, and a backend with a scheduler in front of it.

local config = require "lambdapool.config"
local options = require "lambdapool.options"
local retries = require "lambdapool.retry"
local schedulers = require "lambdapool.scheduler"
local system = require "lambdapool.system"

local engine = {}

-- A copy of `rules` with some more.
local function with(rules, more)
  local all = {}
  for name, rule in pairs(rules) do
    all[name] = rule
  end
  for name, rule in pairs(more) do
    all[name] = rule
  end
  return all
end

--- Options of single calls; those of the pool hold where they are absent:
---   chunksize  items that are sent together; default: as many as their time suggests
---   timeout    seconds that a single task may run
---   retries    how often a task is started again that the platform failed (it crashed, took too
---              long, ran out of memory, was throttled or lost); default 0
---   retry      how: { times = retries, base = 0.02, cap = 20, on = function(err) }: `base` and
---              `cap` are the seconds of the backoff; `on` says true for errors to retry, errors
---              of the task included
---   progress   true shows how far the call is on stderr, false never does; default: `lambdapool
---              run` shows long calls on a terminal
engine.call_rules = {
  chunksize = { "integer", min = 1 },
  timeout = { "seconds" },
  retries = { "integer", min = 0 },
  retry = { "table" },
  progress = { "boolean" },
}

--- Options of calls that do not wait: callback(values...) and error_callback(error), too.
engine.async_rules = with(engine.call_rules, {
  callback = { "function" },
  error_callback = { "function" },
})

--- Options of an executor's map: `wait`, in seconds, too.
engine.map_rules = with(engine.call_rules, { wait = { "seconds" } })

--- Options of pools and executors: those of calls, and
---   workers    how many tasks run at once; default: the processors of this machine
---   memory     MB for each worker, 128 to 10240; default 1769, what one vCPU comes with on Lambda
---   timeout    default 900, the longest that Lambda offers
---   seed       an integer that all random numbers of tasks depend on; default: another each time
---   prefix     true puts "[worker 2] " before each line that tasks print; default false
---   nice       how nice local workers are to other processes, 0 to 19; default 0. With 19 they run
---              only on processors that nobody else wants: hardly ever while all of them are busy
---   agent      the program that local workers run; default: `bootstrap`, where it was installed
---   chaos      faults on purpose: see lambdapool.backend.chaos
---
--- Where tasks run, which the configuration may say as well (lambdapool.config):
---   backend        "local", the default: on this machine; "aws": on AWS Lambda
---   function_name  the function that runs them, in the account of the backend; for AWS its default
---                  is "lambdapool". The local backend without one has processes of its own
---   qualifier      a version of the function, or an alias
---   max_cost       US dollars: once they are used up, what was not sent is cancelled
---   region, profile, endpoint_url, aws_access_key_id, aws_secret_access_key, aws_session_token
---                  as in the SDKs of AWS, whose files and environment hold otherwise
---
--- With a function, `workers` is how many invocations are under way at once, by default 1000 on
--- AWS; and `memory` and `timeout`, where they are given, are what the function must have at least.
engine.rules = with(engine.call_rules, {
  workers = { "integer", min = 1, max = 10000 },
  memory = { "integer", min = 128, max = 10240 },
  timeout = { "seconds" },
  seed = { "integer", min = math.mininteger },
  prefix = { "boolean" },
  nice = { "integer", min = 0, max = 19 },
  agent = { "text" },
  backend = { "choice", choices = { "local", "aws" } },
  function_name = { "text" },
  qualifier = { "text" },
  region = { "text" },
  profile = { "text" },
  endpoint_url = { "text" },
  aws_access_key_id = { "text" },
  aws_secret_access_key = { "text", secret = true },
  aws_session_token = { "text", secret = true },
  aws_region_name = { "text" },
  max_cost = { "amount" },
  chaos = { "table" },
})

-- What one vCPU comes with on Lambda, the longest that a function may run there, and how many
-- invocations an account may have at once unless AWS was asked for more.
local MEMORY, TIMEOUT, CONCURRENCY = 1769, 900, 1000

local function milliseconds(seconds)
  return seconds and math.max(1, math.ceil(seconds * 1000))
end

-- Not from math.random, which belongs to the user's script. 53 bits: easy to copy.
local function new_seed()
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return string.unpack("<I8", file:read(8)) >> 11
end

-- What a program in C wants for all of them.
local defaults = {}

--- Sets what holds for pools and executors that do not say otherwise.
---@param wanted table checked
function engine.set_defaults(wanted)
  defaults = wanted
end

-- A stack level to blame that is never there: complaints name no line.
local NOWHERE = 1000000

--- Checks options of pools and executors that do not come from Lua code.
---@param where string for complaints
---@param given table?
function engine.check(where, given)
  retries.new(where, options.check(where, given, engine.rules, NOWHERE), NOWHERE)
end

-- What the script does not say the program may, and then the configuration.
local function configured(checked)
  for name, value in pairs(defaults) do
    if checked[name] == nil then
      checked[name] = value
    end
  end
  for name, value in pairs(config.pool()) do
    if engine.rules[name] and checked[name] == nil then
      checked[name] = value
    end
  end
  checked.backend = checked.backend or "local"
  checked.region = checked.region or checked.aws_region_name
  if checked.backend == "aws" then
    checked.function_name = checked.function_name or "lambdapool"
  end
end

--- Where the pools run that say nothing else: their backend.
---@return string
function engine.place()
  local checked = {}
  configured(checked)
  return checked.function_name and "aws" or checked.backend
end

-- The defaults, which depend on where tasks run.
local function complete(checked)
  if checked.function_name then
    checked.wanted = { memory = checked.memory, timeout = checked.timeout }
  end
  checked.workers = checked.workers or checked.backend == "aws" and CONCURRENCY or system.cpus()
  checked.memory = checked.memory or MEMORY
  checked.timeout = checked.timeout or TIMEOUT
  checked.seed = checked.seed or new_seed()
end

--- Makes the backend and the scheduler for a pool or an executor.
---@param where string for complaints: "lambdapool.pool"
---@param given table?
---@return lambdapool.Scheduler
---@return table options checked, with defaults
function engine.open(where, given)
  local checked = options.check(where, given, engine.rules, 3)
  configured(checked)
  complete(checked)
  local retry = retries.new(where, checked, 3)
  local kind = checked.function_name and "aws" or "local"
  local backend = require("lambdapool.backend." .. kind).new(checked)
  if checked.chaos then
    backend = require "lambdapool.backend.chaos".new(backend, where, checked.chaos, 3)
  end
  return schedulers.new(backend, {
    timeout_ms = milliseconds(checked.timeout),
    seed = checked.seed,
    retry = retry,
    chunksize = checked.chunksize,
  }), checked
end

--- Adds to `call` what the checked options of a call say.
---@param where string
---@param checked table
---@param call table
---@return table call
function engine.call_options(where, checked, call)
  call.timeout_ms = milliseconds(checked.timeout)
  call.size = checked.chunksize
  call.retry = retries.new(where, checked, 4)
  return call
end

--- Complains when `f` is no function.
---@param where string "pool:map"
---@param f any
---@param level integer stack level to blame, as for `error`
function engine.check_function(where, f, level)
  if type(f) ~= "function" then
    error(("%s: the task must be a function, got %s"):format(where,
      f == nil and "nil" or "a " .. type(f)), level + 1)
  end
end

return engine
