--- The local pool: prints "name microseconds" lines. bench/pool.py does the same work with Python's
--- multiprocessing.Pool; both pools are warm, and chunk as they choose.
local system = require "lambdapool.system"
local lambdapool = require "lambdapool"

local pool <close> = lambdapool.pool { workers = 2 }

local function median(rounds, call)
  local times = {}
  for i = 1, rounds do
    local start = system.monotonic()
    call()
    times[i] = (system.monotonic() - start) * 1e6
  end
  table.sort(times)
  return times[(#times + 1) // 2]
end

local function square(x)
  return x * x
end

-- A new megabyte each time, that nothing can compress or send by reference.
local function megabyte(i)
  return require "noise" .. i % 10
end

local numbers, hundred = {}, {}
for i = 1, 10000 do
  numbers[i] = i
  hundred[i % 100 + 1] = i % 100
end

pool:map(square, numbers)
print("tiny", median(11, function() pool:map(square, numbers) end))
print("big", median(5, function() assert(#pool:map(megabyte, hundred)[100] == 1000000) end))
print("apply", median(2000, function() pool:apply(square, { 7 }) end))
print("streamed", median(11, function()
  for _ in pool:imap_unordered(square, numbers) do end
end))

local executor <close> = lambdapool.executor { workers = 2 }
print("submitted", median(5, function()
  local futures = {}
  for i, number in ipairs(numbers) do
    futures[i] = executor:submit(square, number)
  end
  for _, future in ipairs(futures) do
    future:result()
  end
end))
