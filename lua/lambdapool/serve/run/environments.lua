--- All execution environments of a service. Each version of a function has a pool of them: those
--- that are free are used again, the last one first, and a new one starts when there is none.
--- Nothing waits for a free environment as on AWS: what may run starts at once, what may not is
--- throttled. Only processes that start wait for each other, so that a burst does not bring the
--- machine to a halt; what waits takes an environment that becomes free earlier. Where invocations
--- usually end sooner than a process starts, they first wait for that alone.
local concurrency = require "lambdapool.serve.lambda.concurrency"
local delay = require "lambdapool.serve.run.delay"
local environment = require "lambdapool.serve.run.environment"
local fifo = require "lambdapool.serve.run.fifo"
local intake = require "lambdapool.serve.run.intake"
local limits = require "lambdapool.serve.run.limits"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

-- So many processes start at the same time: more would only take the processors from each other,
-- and from environments that could soon run what waits. One that takes longer waits for something
-- else, and is no burden.
local STARTS = 2 * system.cpus() + 2
local START_SECONDS = 0.1

-- Invocations of a function whose last ones took less than so many milliseconds wait so long for an
-- environment to become free before a new one starts: on AWS starting takes longer.
local BRIEF_MS = 5
local PATIENCE_SECONDS = 0.05

-- What the last invocation counts for in the usual time of all.
local NEWS = 0.1

-- A runtime that has answered asks for more at once. One that takes longer does not keep the answer
-- from the client; one that does not is free again before the client can ask for more.
local LINGER_SECONDS = 0.05

-- How often running functions are looked at, and how many of them at a time.
local TICK_SECONDS = 0.1
local LOOKS = 50

-- What those hear who come when this service is about to end, and when they have all heard it.
local NO_ROOM = "ConcurrentInvocationLimitExceeded"
local QUIET_SECONDS = 0.3

---@class lambdapool.serve.Environments
local methods = {}
local mt = { __name = "lambdapool.serve.Environments", __index = methods }

-- Pools ----------------------------------------------------------------------------------------

local function drop_if_empty(self, pool)
  if pool.busy == 0 and pool.live == 0 then
    local fn = pool.fn
    pool.dead = true
    if self.pools[pool.key] == pool then
      self.pools[pool.key] = nil
    end
    fn.pools[pool] = nil
    if not next(fn.pools) then
      self.functions[fn.key] = nil
    end
  end
end

local function kill_idle(pool)
  for i, idle in ipairs(pool.idle) do
    loop.kill(idle.id)
    pool.idle[i] = nil
  end
end

-- Its code is not current any more. What runs there ends, and nothing else begins.
local function retire(self, pool)
  pool.dead, pool.retired = true, true
  if self.pools[pool.key] == pool then
    self.pools[pool.key] = nil
  end
  kill_idle(pool)
  drop_if_empty(self, pool)
end

local function function_of(self, record)
  local key = record.region .. ":" .. record.name
  local fn = self.functions[key]
  if not fn then
    fn = { key = key, busy = 0, pools = {} }
    self.functions[key] = fn
  end
  return fn
end

local function find_pool(self, record)
  local pool = self.pools[record.pool]
  if not pool then
    local fn = function_of(self, record)
    pool = {
      key = record.pool, version = record.version, fn = fn, idle = {}, busy = 0, live = 0,
      waiting = fifo.new(),
    }
    self.pools[record.pool] = pool
    fn.pools[pool] = true
    for other in pairs(fn.pools) do
      if other ~= pool and other.version == record.version then
        retire(self, other)
      end
    end
  end
  self.pool_of[record] = pool
  return pool
end

--- The function, or one of its versions, has changed or is gone: old environments end.
function methods:forget(region, name)
  local fn = self.functions[region .. ":" .. name]
  local pools = {}
  for pool in pairs(fn and fn.pools or {}) do
    pools[#pools + 1] = pool
  end
  for _, pool in ipairs(pools) do
    retire(self, pool)
  end
end

-- Where the code of a function lies: { bootstrap =, task =, layers =, isolated = } -------------

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

local function find_bootstrap(place)
  if exists(place.task .. "/bootstrap") then
    return (place.isolated and "/var/task" or place.task) .. "/bootstrap"
  elseif place.layers and exists(place.layers .. "/bootstrap") then
    return (place.isolated and "/opt" or place.layers) .. "/bootstrap"
  end
end

--- The program of a function and its folders; unpacks them when need be.
---@return table? place
---@return string? problem
function methods:place(record)
  local blobs = self.service.store.blobs
  local task, problem, message = blobs:unpacked(record.code_hash)
  if not task then
    return nil, message or problem
  end
  local layers
  if record.layer_hashes and record.layer_hashes[1] then
    layers, problem, message = blobs:layered(record.layer_hashes)
    if not layers then
      return nil, message or problem
    end
  end
  local place = { task = task, layers = layers, isolated = self.isolated }
  place.bootstrap = find_bootstrap(place)
  return place
end

-- Starts ---------------------------------------------------------------------------------------

-- The environment that nobody has needed for the longest time makes room.
local function evict(self)
  local oldest
  for _, pool in pairs(self.pools) do
    local idle = pool.idle[1]
    if idle and (not oldest or idle.since < oldest.since) then
      oldest = idle
    end
  end
  if oldest then
    table.remove(oldest.pool.idle, 1)
    loop.kill(oldest.id)
  end
end

local start_some

local function start_one(self)
  self.scheduled = false
  if self.closing then
    return
  end
  local asked = self.starts_for:pop()
  local pool = asked and asked.waits_in
  local first = pool and pool.waiting:pop()
  if first then
    first.waits_in = nil
    if self.count >= self.limits.concurrency then
      evict(self)
    end
    local new = environment.new(self, pool, first)
    self.all[new] = true
    self.count = self.count + 1
    pool.live = pool.live + 1
    environment.launch(new)
  end
  start_some(self)
end

-- One at a time: starting a process takes as long as many events.
function start_some(self)
  if not self.scheduled and self.starts_for.size > 0 and self.starting < STARTS
    and not self.closing then
    self.scheduled = true
    loop.next_round(start_one, self)
  end
end

-- Asks for an environment for an invocation, unless it has found one.
local function request_start(self, invocation)
  if invocation.waits_in then
    self.starts_for:push(invocation)
    start_some(self)
  end
end

--- Called by an environment whose process starts.
function methods:starts(env)
  env.starting = true
  self.starting = self.starting + 1
  self.burdens:push(env)
end

--- It has started, as far as it concerns the others.
function methods:started(env)
  if env.starting then
    env.starting = false
    self.starting = self.starting - 1
    start_some(self)
  end
end

-- Watching -------------------------------------------------------------------------------------

local function check_memory(env, now)
  if environment.look(env, now) > env.record.memory << 20 and not env.greedy then
    env.greedy = true
    loop.kill(env.id)
  end
end

-- Looks at what has been initialising or running for a while.
local function tick(self)
  local now, long = system.monotonic(), {}
  for env in pairs(self.all) do
    local running = env.invocation
    if running and env.id and now - (running.started or env.init_started) >= TICK_SECONDS then
      long[#long + 1] = env
    end
  end
  self.turn = self.turn + 1
  for i = 1 + self.turn % math.max(1, #long // LOOKS), #long, math.max(1, #long // LOOKS) do
    check_memory(long[i], now)
  end
end

local function start_ticking(self)
  self.ticking = true
  loop.after(TICK_SECONDS, self.tick)
end

-- Ends the environments that nobody has needed for long. Says when the next ones are due.
local function reap(self)
  local now, next_due = system.monotonic(), nil
  for _, pool in pairs(self.pools) do
    local idle = pool.idle
    while idle[1] and idle[1].since + self.idle_seconds <= now do
      loop.kill(table.remove(idle, 1).id)
    end
    if idle[1] then
      next_due = math.min(next_due or math.huge, idle[1].since + self.idle_seconds)
    end
  end
  self.reaper = next_due and loop.after(next_due - now, self.reap)
end

-- Invocations ----------------------------------------------------------------------------------

--- Runs an invocation; its sink hears what became of it. Nil and the reason when too many run.
---@param invocation lambdapool.serve.Invocation
---@return boolean?
---@return string? reason
function methods:run(invocation)
  local record = invocation.record
  local pool = self.pool_of[record]
  if not pool or pool.dead then
    pool = find_pool(self, record)
  end
  local counted, reason = self.limits:take(pool.fn, record, invocation)
  if not counted then
    drop_if_empty(self, pool)
    return nil, reason
  end
  pool.busy = pool.busy + 1
  self.busy = self.busy + 1
  if not self.ticking then
    start_ticking(self)
  end
  local idle = pool.idle
  for i = #idle, 1, -1 do
    local env = idle[i]
    idle[i] = nil
    if environment.invoke(env, invocation) then
      return true
    end
    environment.withdraw(env)
  end
  pool.waiting:push(invocation)
  invocation.waits_in = pool
  if pool.live > 0 and pool.usual_ms and pool.usual_ms < BRIEF_MS then
    self.patience:push(invocation)
  else
    request_start(self, invocation)
  end
  return true
end

local function uncount(self, pool, ended)
  self.limits:give(pool.fn, ended)
  pool.busy = pool.busy - 1
  self.busy = self.busy - 1
end

--- Called by an environment that is free again.
function methods:release(env, ended)
  local pool = env.pool
  uncount(self, pool, ended)
  local usual = pool.usual_ms or ended.duration
  pool.usual_ms = usual + (ended.duration - usual) * NEWS
  if pool.retired or self.closing then
    loop.kill(env.id)
    return
  end
  local waiting = pool.waiting:pop()
  if waiting then
    waiting.waits_in = nil
    environment.invoke(env, waiting) -- when this fails, "exit" follows
    return
  end
  pool.idle[#pool.idle + 1] = env
  env.since = system.monotonic()
  if not self.reaper then
    self.reaper = loop.after(self.idle_seconds, self.reap)
  end
end

--- Called by an environment whose process has ended, with the invocation that ended with it.
function methods:lose(env, ended)
  local pool = env.pool
  self.all[env] = nil
  self.count = self.count - 1
  pool.live = pool.live - 1
  for i, idle in ipairs(pool.idle) do
    if idle == env then
      table.remove(pool.idle, i)
      break
    end
  end
  if ended then
    uncount(self, pool, ended)
  end
  drop_if_empty(self, pool)
end

--- What became of an invocation is known.
function methods:deliver(ended)
  if not ended.answered and not self.closing then
    ended.answered = true
    ended.sink.finish(ended)
  end
end

--- The response is there, but its environment is not free yet.
function methods:linger(ended)
  if not ended.tail then
    self.lingering:push(ended)
  end
end

--- Takes no more invocations. They are throttled, as are those that wait: their clients come again,
--- perhaps to somebody else.
function methods:retire()
  self.sent_away = system.monotonic()
  self.run = function()
    self.sent_away = system.monotonic()
    return nil, NO_ROOM
  end
  for _, pool in pairs(self.pools) do
    for waiting in pool.waiting.pop, pool.waiting do
      waiting.waits_in, waiting.fault = nil, intake.throttled(NO_ROOM)
      uncount(self, pool, waiting)
      self:deliver(waiting)
    end
  end
end

--- Whether those who are told to come again have understood: no client waits for an answer, and
--- nobody has asked for a while.
---@return boolean
function methods:is_quiet()
  for env in pairs(self.all) do
    local request = env.invocation and env.invocation.request
    if request and not request:gone() then
      return false
    end
  end
  return system.monotonic() - self.sent_away >= QUIET_SECONDS
end

--- How many environments there are.
---@return integer
function methods:alive()
  return self.count
end

--- Ends them all and waits until they are gone. Invocations that run are not heard of any more.
function methods:close()
  self.closing = true
  self.lingering:close()
  self.burdens:close()
  self.patience:close()
  for env in pairs(self.all) do
    if env.id then
      loop.kill(env.id)
    end
  end
  while self.count > 0 and loop.take_event(5) do
    self.closing = true
  end
  if self.reaper then
    self.reaper:cancel()
  end
end

---@param service table
---@return lambdapool.serve.Environments
local function open(service)
  local self
  local function reserved(region)
    return concurrency.reserved_total(service, region)
  end
  self = setmetatable({
    service = service,
    isolated = service.isolated,
    idle_seconds = service.idle_seconds or 300,
    limits = limits.new(service.concurrency or 1000, reserved),
    functions = {}, -- by region and name: { key, busy, pools }
    pools = {}, -- by record.pool: the current ones
    pool_of = setmetatable({}, { __mode = "k" }), -- by record
    all = {}, count = 0, busy = 0, turn = 0,
    starts_for = fifo.new(), -- invocations that waited when they asked for a start
    starting = 0,
    tick = function()
      self.ticking = false
      tick(self)
      if self.busy > 0 and not self.closing then
        start_ticking(self)
      end
    end,
    reap = function()
      reap(self)
    end,
    lingering = delay.new(LINGER_SECONDS, function(ended)
      self:deliver(ended)
    end),
    patience = delay.new(PATIENCE_SECONDS, function(invocation)
      request_start(self, invocation)
    end),
    burdens = delay.new(START_SECONDS, function(env)
      self:started(env)
    end),
  }, mt)
  return self
end

return { open = open }
