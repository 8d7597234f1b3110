--- 100,000 small tasks with and without faults on purpose: prints "name microseconds" lines. Every
--- fifth invocation crashes, is throttled, loses its answer or has it held back.
local lambdapool = require "lambdapool"
local system = require "lambdapool.system"

local TASKS = 100000

local function count()
  local i = 0
  return function()
    i = i + 1
    return i <= TASKS and i or nil
  end
end

local function work(x)
  local sum = 0
  for i = 1, 100 do
    sum = sum + i % x
  end
  return x
end

local function run(chaos)
  local pool <close> = lambdapool.pool { workers = 2, retries = 20, chaos = chaos }
  local start, ended = system.monotonic(), 0
  for i, value, err in pool:each(work, count()) do
    assert(not err and i == value, err)
    ended = ended + 1
  end
  assert(ended == TASKS)
  return (system.monotonic() - start) * 1e6
end

print("without", run())
print("with", run { crash = 0.05, throttle = 0.05, lose = 0.05, delay = 0.05, seed = 1 })
