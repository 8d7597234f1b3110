--- The codec: prints "name microseconds" lines. limits.c measures the same values through the bare
--- Lua C API, closure.py the same closure with cloudpickle.
local system = require "lambdapool.system"
local codec = require "lambdapool.codec"

local dump, load = codec.dump, codec.load

-- The median cost of one call of each function, in microseconds. The functions take turns.
local function medians(functions, rounds, calls)
  local times = {}
  for name in pairs(functions) do
    times[name] = {}
  end
  for round = 1, rounds do
    for name, f in pairs(functions) do
      collectgarbage()
      collectgarbage "stop"
      local start = system.monotonic()
      for _ = 1, calls do
        f()
      end
      times[name][round] = (system.monotonic() - start) * 1e6 / calls
      collectgarbage "restart"
    end
  end
  for name, list in pairs(times) do
    table.sort(list)
    times[name] = list[(#list + 1) // 2]
  end
  return times
end

local function measure(name, value, rounds, calls)
  local bytes = dump(value)
  local times = medians({
    dump = function() return dump(value) end,
    load = function() return load(bytes) end,
  }, rounds, calls)
  for key, time in pairs(times) do
    print(name .. "_" .. key, time)
  end
end

local function list(n)
  local numbers = {}
  for i = 1, n do
    numbers[i] = i
  end
  return numbers
end

local function closure()
  local rate, unit, bands = 0.25, "EUR", { 1, 2, 3 }
  return function(amount)
    return amount * rate + #bands, unit
  end
end

-- 10 MB that no compressor makes smaller.
local function noise()
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return file:read(10000000)
end

-- The size of a three-line function on the wire, when its file has 10,000 lines.
local function wire_size()
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  for i = 1, 9997 do
    file:write("f", i % 100, " = function(a, b) return a * b + ", i, " end\n")
  end
  file:write "return function(x)\n  return x * 2\nend\n"
  file:close()
  return #dump(assert(loadfile(path))()), os.remove(path)
end

local f = closure()
local f_bytes = dump(f)
local times = medians({
  closure_dump = function() return dump(f) end,
  closure_load = function() return load(f_bytes) end,
}, 15, 2000)
for key, time in pairs(times) do
  print(key, time)
end
local lists, records = {}, {}
for i = 1, 10000 do
  lists[i] = list(10)
end
for i = 1, 20000 do
  records[i] = { id = i, x = i / 2, y = -i, name = "somebody", seen = true }
end
measure("list", list(10000), 15, 20)
measure("lists", lists, 15, 1)
measure("records", records, 15, 1)
measure("string", noise(), 15, 1)
print("wire", (wire_size()))
