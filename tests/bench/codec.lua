--- The codec against the bare Lua C API, side by side: prints "name microseconds" lines. A closure
--- has no counterpart there; bench/closure.py measures the same one with cloudpickle.
local limits = require "limits"
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
      local start = limits.clock()
      for _ = 1, calls do
        f()
      end
      times[name][round] = (limits.clock() - start) * 1e6 / calls
      collectgarbage "restart"
    end
  end
  for name, list in pairs(times) do
    table.sort(list)
    times[name] = list[(#list + 1) // 2]
  end
  return times
end

local function measure(name, value, build, rounds, calls)
  local bytes = dump(value)
  local read = type(value) == "string" and limits.copy or limits.walk
  local times = medians({
    dump = function() return dump(value) end,
    dump_limit = function() return read(value) end,
    load = function() return load(bytes) end,
    load_limit = build,
  }, rounds, calls)
  for key, time in pairs(times) do
    print(name .. "_" .. key, time)
  end
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
  for i = 1, 4999 do
    file:write("local function f", i % 100, "(a, b) return a * b + ", i, " end\n")
    file:write("f", i % 100, "(", i, ", 2)\n")
    if i % 100 == 0 then
      file:write "do end\n"
    end
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
measure("list", limits.list(10000), function() return limits.list(10000) end, 15, 20)
measure("lists", limits.lists(10000, 10), function() return limits.lists(10000, 10) end, 15, 1)
measure("records", limits.records(20000), function() return limits.records(20000) end, 15, 1)
local text = noise()
measure("string", text, function() return limits.copy(text) end, 15, 1)
print("wire", (wire_size()))
