--- `make bench`: runs each measurement and what it is compared with in turn, several times over,
--- and prints one table of medians. A ratio is our time divided by the other's, and `at most` the
--- largest one allowed. arg: the build folder, the Python to compare with, the number of rounds.
local build, python, rounds = arg[1], arg[2], tonumber(arg[3])
local made = build .. "/tests/bench/"

local function file_with(name, bytes)
  local path = made .. name
  local file <close> = assert(io.open(path, "wb"))
  file:write(bytes)
  return path
end

-- A call as the host sends it: the argument is a megabyte and so is the result.
local CALL = [[
local codec = require "lambdapool.codec"
local code = codec.code(function(text) return text end)
io.write((codec.request(code, { ("lambdapool"):rep(100000) }, 1, 1, {})))]]

local function output_of(command)
  local pipe <close> = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), "this measurement failed: " .. command)
  return text
end

local host = build .. "/lambdapool run "
local small = file_with("small.json", "{}")
local large = file_with("large.json", '"' .. ("lambdapool"):rep(100000) .. '"')
local call = file_with("call.json", output_of(host .. "-e '" .. CALL .. "'"))

local server = made .. "runtime_server "
local agent = "LAMBDA_TASK_ROOT=tests/bench _HANDLER=events.%s " .. server .. "%s "
  .. build .. "/bootstrap"
local baseline = server .. "%s " .. made .. "runtime_baseline"

-- A function that answers after 50 ms, with the answer that it once gave.
local answer = made .. "distant.http"
output_of(("XDG_STATE_HOME=%sstate %stests/bench/distant.lua record %s"):format(made, host, answer))
local far = made .. "latency_server 50 " .. answer .. " "
local distant = far .. host .. "tests/bench/distant.lua invoke URL "

local function warm(count, file)
  return "warm " .. count .. " " .. file
end

-- Commands print lines of "name number", or one number, which gets the name of the command.
local COMMANDS = {
  agent_cold = agent:format("nothing", "cold 40"),
  agent_warm = agent:format("nothing", warm(4000, small)),
  agent_large = agent:format("nothing", warm(200, large)),
  agent_echo = agent:format("echo", warm(50, large)),
  agent_call = agent:format("nothing", warm(50, call)),
  c_cold = baseline:format "cold 40",
  c_warm = baseline:format(warm(4000, small)),
  c_large = baseline:format(warm(200, large)),
  c_call = baseline:format(warm(200, call)),
  codec = host .. "tests/bench/codec.lua",
  limits = made .. "limits",
  cloudpickle = python .. " tests/bench/closure.py",
  pool = host .. "tests/bench/pool.lua",
  python_pool = python .. " tests/bench/pool.py",
  faults = host .. "tests/bench/faults.lua",
  million = host .. "tests/bench/million.lua",
  serve = "/usr/bin/python3 tests/bench/serve.py " .. build,
  sign = host .. "tests/bench/sign.lua",
  botocore = "/usr/bin/python3 tests/bench/sign.py",
  distant = distant .. "256 20000",
  crowd = distant .. "1000 30000",
  boto3 = far .. "/usr/bin/python3 tests/bench/distant.py URL 256 2000",
  libcurl = far .. made .. "curl_load URL 256 20000 500",
  first = made .. "stopwatch first 20 " .. host .. "tests/bench/first.lua",
  python_first = made .. "stopwatch first 5 " .. python .. " tests/bench/first.py",
  bake = made .. "frame bake 20",
  crowded = made .. "frame crowd 20",
  burst = made .. "frame burst 20",
  host = made .. "frame start 20",
  cpu = made .. "stopwatch last 1 " .. host .. "tests/bench/cpu.lua",
  two_luas = made .. "stopwatch last 1 sh -c '"
    .. "lua5.4 tests/bench/cpu.lua 1 & lua5.4 tests/bench/cpu.lua 2; wait'",
}

-- What is compared: ours, the other, and the largest ratio allowed. Those of a group take turns.
local GROUPS = {
  { title = "agent / static C program",
    { "exec to first /next", "agent_cold", "c_cold", 2 },
    { "no-op round trip", "agent_warm", "c_warm", 1.5 },
    { "1 MB event, no-op", "agent_large", "c_large", 2 },
    { "1 MB JSON echo", "agent_echo", "c_large", 2 },
    { "1 MB closure call", "agent_call", "c_call", 2 },
  },
  { title = "codec / cloudpickle",
    { "closure, 3 upvalues: dump", "codec.closure_dump", "cloudpickle.closure_dump", 1 / 4 },
    { "closure, 3 upvalues: load", "codec.closure_load", "cloudpickle.closure_load", 1 / 2 },
  },
  { title = "codec / bare Lua C API",
    { "10,000 integers: dump", "codec.list_dump", "limits.list_walk", 1.5 },
    { "10,000 integers: load", "codec.list_load", "limits.list_build", 1.5 },
    { "10,000 lists of 10: dump", "codec.lists_dump", "limits.lists_walk", 1.5 },
    { "10,000 lists of 10: load", "codec.lists_load", "limits.lists_build", 1.5 },
    { "20,000 records of 5: dump", "codec.records_dump", "limits.records_walk", 1.5 },
    { "20,000 records of 5: load", "codec.records_load", "limits.records_build", 1.5 },
    { "10 MB string: dump", "codec.string_dump", "limits.string_build", 2 },
    { "10 MB string: load", "codec.string_load", "limits.string_build", 2 },
  },
  { title = "pool / multiprocessing.Pool",
    { "map, 10,000 tiny tasks", "pool.tiny", "python_pool.tiny", 1 },
    { "map, 100 results of 1 MB", "pool.big", "python_pool.big", 1 / 2 },
    { "one apply", "pool.apply", "python_pool.apply", 1 },
    { "imap_unordered, 10,000 tiny tasks", "pool.streamed", "python_pool.streamed", 1 / 2 },
    { "submit, 10,000 tiny tasks", "pool.submitted", "python_pool.submitted", 1 / 10 },
    { "start to first result", "first", "python_first", 1 },
  },
  { title = "20 % of calls fail / none does",
    { "100,000 tasks, retried", "faults.with", "faults.without", 3 },
  },
  { title = "AWS / botocore, boto3 with threads",
    { "signing 1 KB", "sign", "botocore", 1 / 14 },
    { "invoke, 256 in flight, 50 ms away", "distant.time", "boto3.time", 1 / 4 },
    { "  processor time", "distant.cpu", "boto3.cpu", 1 / 8 },
  },
  { title = "AWS / libcurl alone",
    { "invoke, 256 in flight, 50 ms away", "distant.time", "libcurl.time", 1.05 },
    { "  processor time", "distant.cpu", "libcurl.cpu", 10 / 3 },
  },
  { title = "a game's frame with lambdapool / alone",
    { "baking, 1,000 in flight: p50", "bake.with.p50", "bake.without.p50", 1.05 },
    { "  p99.9", "bake.with.p999", "bake.without.p999", 1.2 },
  },
  { title = "pool / two lua5.4 processes",
    { "work for the processor", "cpu", "two_luas", 1.03 },
  },
}

-- Figures that stand alone: what, where, the limit, its unit and how many of it make one.
local LIMITS = {
  { "start to first result", "first", 5, "ms", 1000 },
  { "a million tasks: memory", "million", 64, "MB", 1e6 },
  { "3-line function of a large file", "codec.wire", 2, "KB", 1000 },
  { "signing 1 KB", "sign", 2.5, "us", 1 },
  { "256 in flight, 50 ms away", "distant.time", 205.6, "us", 1 }, -- 95 % of what that allows
  { "1,000 in flight, 50 ms away", "crowd.time", 55.6, "us", 1 }, -- 90 %
  { "  processor time", "crowd.cpu", 100, "us", 1 },
  { "  memory", "crowd.memory", 64, "MB", 1e6 },
  { "serve: Invoke, 64 connections", "serve.invoke", 200, "us", 1 },
  { "serve: 1,000, 50 ms away", "serve.distant", 1e6 / 18000, "us", 1 },
  { "serve: start to first answer", "serve.first", 50, "ms", 1000 },
  { "serve: 100,000 invocations: memory", "serve.growth", 8, "MB", 1e6 },
  { "share of a frame, baking: p50", "bake.share.p50", 100, "us", 1 },
  { "  p99.9", "bake.share.p999", 500, "us", 1 },
  { "  p99.9, by the thread's clock", "bake.cost.p999", 500, "us", 1 },
  { "  a worker on each processor: p50", "crowded.share.p50", 100, "us", 1 },
  { "lp_poll(300), bursts: p99.9", "burst.poll.p999", 500, "us", 1 },
  { "  by the thread's clock", "burst.work.p999", 500, "us", 1 },
  { "lp_poll with nothing to do", "host.idle", 2, "us", 1 },
  { "  allocations", "host.allocations", 0, "", 1 },
  { "lp_open", "host.open", 1, "ms", 1000 },
  { "lp_open to first result", "host.first", 10, "ms", 1000 },
}

local samples = {}

local function note(name, value)
  samples[name] = samples[name] or {}
  table.insert(samples[name], value)
end

local function run(name)
  local text = output_of(COMMANDS[name])
  if tonumber(text) then
    return note(name, tonumber(text))
  end
  for key, value in text:gmatch "(%S+)%s+(%S+)\n" do
    note(name .. "." .. key, tonumber(value))
  end
end

-- What a group compares, unless it was `seen` in this round, in the order of its rows.
local function run_group(group, seen)
  for _, row in ipairs(group) do
    for column = 2, 3 do
      local name = row[column]:match "^[^.]+"
      if not seen[name] then
        seen[name] = true
        run(name)
      end
    end
  end
end

local function median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  return sorted[(#sorted + 1) // 2]
end

-- The ratio of each round, then their median: what slows the machine down slows both sides.
local function median_ratio(ours, other)
  local ratios = {}
  for i, value in ipairs(ours) do
    ratios[i] = value / other[i]
  end
  return median(ratios)
end

local function time(microseconds)
  if microseconds < 1000 then
    return ("%.1f us"):format(microseconds)
  end
  return ("%.2f ms"):format(microseconds / 1000)
end

local LINE = "%-34s %11s %11s %7s %8s  %s"

local function print_row(name, ours_name, other_name, limit)
  local ours, other = samples[ours_name], samples[other_name]
  local ratio = median_ratio(ours, other)
  print(LINE:format(name, time(median(ours)), time(median(other)), ("%.2f"):format(ratio),
    ("%.2f"):format(limit), ratio <= limit and "ok" or "MISSED"))
end

for round = 1, rounds do
  local seen = {}
  for _, group in ipairs(GROUPS) do
    io.stderr:write(("round %d of %d: %s\n"):format(round, rounds, group.title))
    run_group(group, seen)
  end
  for _, row in ipairs(LIMITS) do
    local name = row[2]:match "^[^.]+"
    if not seen[name] then
      seen[name] = true
      run(name)
    end
  end
end
for _, group in ipairs(GROUPS) do
  print(LINE:format(group.title, "ours", "other", "ratio", "at most", ""))
  for _, row in ipairs(group) do
    print_row("  " .. row[1], row[2], row[3], row[4])
  end
end
print(LINE:format("absolute", "ours", "", "", "at most", ""))
for _, row in ipairs(LIMITS) do
  local name, key, limit, unit, divisor = table.unpack(row)
  local value = median(samples[key]) / divisor
  print(LINE:format("  " .. name, ("%.2f %s"):format(value, unit), "", "",
    ("%g %s"):format(limit, unit), value <= limit and "ok" or "MISSED"))
end
