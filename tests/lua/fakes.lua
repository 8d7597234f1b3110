--- A world for tests of what lies above the workers. `fakes.world()` loads copies of lambdapool's
--- modules that share nothing with the real ones and see, in place of the rest of the machine,
---
---   a clock, world.now, that moves when somebody waits, as far as he waits;
---   a descriptor that is told when to be readable, world.call: a time, 0 at once, or "never";
---   a codec that encodes nothing: an item "unsendable" cannot be sent, "large" is too large;
---   backends (world.backend) whose workers do what the test says.
---
--- world.loop, world.scheduler and so on are these modules.

local fakes = {}

-- A wait that makes no progress for so many turns would last for ever.
local PATIENCE = 100000

local function fake_system(world)
  local turns = 0
  return setmetatable({
    monotonic = function()
      return world.now
    end,
    interrupted = function()
      turns = turns + 1
      if turns > PATIENCE then
        error "nothing happens any more, and somebody waits"
      end
      local interrupted = world.interrupted
      world.interrupted = nil
      return interrupted or false
    end,
  }, { __index = require "lambdapool.system" })
end

local function fake_workers(world)
  local sleeper = setmetatable({}, { __close = function() end })
  function sleeper.poll(_, seconds)
    world.now = world.now + seconds
  end
  function sleeper.fd()
    return 42
  end
  function sleeper.call_at(_, seconds)
    world.call = seconds or "never"
  end
  return { open = function() return sleeper end }
end

-- The codec ------------------------------------------------------------------------------------
-- A request is { code =, items =, first =, options = }; an answer { done =, values =, errors =,
-- run_us = }, whose lists count from the first item of the request.

local codec = { limits = { request = 800 } }

function codec.code(f)
  return f
end

local function check(item, i)
  if item == "unsendable" then
    error(("cannot send item %s"):format(i), 0)
  end
end

function codec.arguments(_, ...)
  for i = 1, select("#", ...) do
    check(select(i, ...), i)
  end
  return { ... }
end

function codec.encode(_, list, first, last)
  local bodies = {}
  for i = first, last do
    check(list[i], i)
    bodies[i] = { list[i] }
  end
  return bodies
end

function codec.request(code, list, first, last, options)
  local items = {}
  for i = first, last do
    check(list[i], i)
    if list[i] == "large" then
      if i == first then
        return nil, 1000
      end
      last = i - 1
      break
    end
    items[#items + 1] = list[i]
  end
  return { code = code, items = items, first = first, options = options }, "origins", last
end

local function report(answer, done)
  return {
    done = done,
    max_values = 1,
    run_us = answer.run_us or 0,
    peak_memory = 0,
    stale = answer.stale,
  }
end

local function check_bytes(answer)
  return assert(answer ~= "damaged" and answer, "bad magic")
end

-- The values of tasks `from` + 1 to `from` + `done`.
local function read(answer, from, done, columns, base)
  columns[1] = columns[1] or {}
  local errors
  for k = 1, done do
    columns[1][base + k] = answer.values and answer.values[from + k]
    local failure = answer.errors and answer.errors[from + k]
    if failure then
      errors = errors or {}
      errors[k] = failure
    end
  end
  return report(answer, done), errors
end

function codec.response(answer, _, origins, columns, base)
  assert(origins == "origins")
  return read(check_bytes(answer), 0, answer.done, columns, base)
end

function codec.answer(answer)
  if not check_bytes(answer).compressed then
    return report(answer, answer.done), 0
  end
end

-- A position is a number of tasks.
function codec.kept(answer, tasks, _, columns, base, position)
  position = position or 0
  local done = math.min(check_bytes(answer).done - position, tasks)
  if answer.broken and position + done >= answer.broken then
    done = answer.broken - 1 - position
  end
  local its, errors = read(answer, position, done, columns, base)
  return its, errors, position + done
end

-- An answer knows how often it was given back.
function codec.release(answer)
  if type(answer) == "table" then
    answer.released = (answer.released or 0) + 1
  end
end

-- The backend ----------------------------------------------------------------------------------

local backend = {}
local backend_mt = { __index = backend }

--- The ticket has its number, the request, `call`, `done` and what else happens to it: `limit`,
--- `cancelled`.
function backend:invoke(request, call, finish, tag)
  if self.broken then
    return nil, self.broken
  end
  local function done(outcome)
    finish(outcome, tag)
  end
  local ticket = { request = request, call = call, done = done, begun = 0, finished = 0 }
  table.insert(self.tickets, ticket)
  ticket.number = #self.tickets
  if self.script then
    local outcome, seconds = self.script(ticket)
    self.loop.after(seconds or 0, function() done(outcome) end)
  end
  return ticket
end

function backend.progress(_, ticket)
  return ticket.begun, ticket.finished
end

function backend.cut(_, ticket, n)
  ticket.limit = n
  return ticket.begun
end

function backend:cancel(ticket)
  ticket.cancelled = true
  self.loop.later(ticket.done, { kind = "cancelled", message = "the task was cancelled" })
  return true
end

function backend:alive()
  return self.closed and 0 or math.min(self.workers, #self.tickets)
end

function backend:started()
  return math.min(self.workers, #self.tickets)
end

function backend:close()
  self.closed = true
end

backend.abandon = backend.close

--- An answer to all items of a request: what `f` makes of each; itself, if there is none. With
--- `task_us`, each took so long.
function fakes.answer(ticket, f, task_us)
  local answer = { done = #ticket.request.items, values = {} }
  for k, item in ipairs(ticket.request.items) do
    if f then
      item = f(item)
    end
    answer.values[k] = item
  end
  answer.run_us = answer.done * (task_us or 0)
  return { bytes = answer, worker = 1 }
end

-- The world --------------------------------------------------------------------------------------

local copied = {
  "timers", "interrupt", "loop", "flow", "completion", "batch", "retry", "frames", "sizer",
  "scheduler", "stream", "packs", "future", "waiting", "async",
}

function fakes.world()
  local world = { now = 1000 }
  local kept = {}
  for name, module in pairs(package.loaded) do
    if name:find "^lambdapool%." and not name:find "^lambdapool%.cli" then
      kept[name] = module
    end
  end
  local system, workers = fake_system(world), fake_workers(world)
  for name in pairs(kept) do
    package.loaded[name] = nil
  end
  package.loaded["lambdapool.errors"] = kept["lambdapool.errors"]
  package.loaded["lambdapool.system"] = system
  package.loaded["lambdapool.workers"] = workers
  package.loaded["lambdapool.codec"] = codec
  for _, name in ipairs(copied) do
    world[name] = require("lambdapool." .. name)
  end
  world.chaos = require "lambdapool.backend.chaos"
  for name in pairs(package.loaded) do
    if name:find "^lambdapool%." and not name:find "^lambdapool%.cli" then
      package.loaded[name] = nil
    end
  end
  for name, module in pairs(kept) do
    package.loaded[name] = module
  end

  --- A backend of `workers`. script(ticket), if there is one, gives the outcome of an invocation
  --- and after how many seconds; without, the test calls ticket.done(outcome).
  function world.backend(count, script)
    return setmetatable({
      workers = count,
      script = script,
      tickets = {},
      loop = world.loop,
    }, backend_mt)
  end

  --- A scheduler on such a backend.
  function world.open(count, script)
    local fake = world.backend(count, script)
    return world.scheduler.new(fake, { timeout_ms = 1000, seed = 1 }), fake
  end

  return world
end

--- The items of each invocation of a backend so far, as texts.
---@return string[]
function fakes.sent(on)
  local lists = {}
  for i, ticket in ipairs(on.tickets) do
    lists[i] = table.concat(ticket.request.items, " ")
  end
  return lists
end

--- What became of each item: its value, or the kind of its error.
---@return table
function fakes.kinds(batch)
  local list = {}
  for i = 1, batch.n do
    local failure = batch:failure(i)
    list[i] = failure and failure.kind or batch:values(i)
  end
  return list
end

return fakes
