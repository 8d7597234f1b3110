--- What the specs of faults share: a C module that goes wrong, and a look at what is left behind.
local lfs = require "lfs"

local loop = require "lambdapool.loop"
local system = require "lambdapool.system"
local timers = require "lambdapool.timers"

local support = {}

--- Where the tests find the programs, see tests/run.
support.program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"

--- The sanitizers make everything slower: 1 of so many tasks will do then.
support.share = os.getenv "ASAN_OPTIONS" and 10 or 1

--- No result comes later than its deadline and so many seconds.
support.GRACE = 5

--- A new empty folder, whose path has no odd characters.
function support.folder()
  local path = os.tmpname()
  os.remove(path)
  assert(lfs.mkdir(path))
  return path
end

--- Builds the C module `faulty` in `folder`.
function support.build(folder)
  assert(os.execute("gcc -shared -fPIC -O1 -I/usr/include/lua5.4 -o " .. folder ..
    "/faulty.so tests/e2e/faulty.c"))
end

--- Runs f(...); fails when it takes longer than `seconds` and the grace. Returns what it returns.
function support.within(seconds, f, ...)
  local start = system.monotonic()
  local values = table.pack(f(...))
  local took = system.monotonic() - start
  assert(took < seconds + support.GRACE, ("it took %.1f s"):format(took))
  return table.unpack(values, 1, values.n)
end

local function count(folder, pattern)
  local n = 0
  for name in lfs.dir(folder) do
    if name:find(pattern) then
      n = n + 1
    end
  end
  return n
end

--- The processes that this one started and that have not been waited for.
function support.children()
  local file <close> = assert(io.open "/proc/thread-self/children")
  local pids = {}
  for pid in file:read "a":gmatch "%d+" do
    pids[#pids + 1] = math.tointeger(pid)
  end
  return pids
end

--- What is in use: descriptors, child processes, and whether there is a timer.
function support.in_use()
  return {
    descriptors = count("/proc/self/fd", "^%d"),
    children = #support.children(),
    timer = timers.next() ~= nil,
  }
end

--- Waits until faults on purpose that come late have come, a second at most.
function support.settle()
  local limit = system.monotonic() + 1
  repeat
    loop.pump(0.02)
  until not timers.next() or system.monotonic() > limit
end

--- True when a process of this number is alive.
function support.is_alive(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  local state = file and file:read "a":match "%) (%a)"
  return state ~= nil and state ~= "Z"
end

--- Waits until condition() is true, or much too long: then it fails.
function support.await(condition, what)
  local limit = system.monotonic() + 20
  while not condition() do
    assert(system.monotonic() < limit, what)
    os.execute "sleep 0.02"
  end
end

--- The most memory that this process has had, in bytes.
function support.peak_memory()
  local file <close> = assert(io.open "/proc/self/status")
  return file:read "a":match "VmHWM:%s*(%d+) kB" * 1024
end

return support
