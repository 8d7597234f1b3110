--- Pools: Python's multiprocessing.Pool, in Lua. Run one function over many items, `workers` at a
--- time, in other processes that have a copy of the function and of all that it uses.

local arguments = require "lambdapool.arguments"
local batches = require "lambdapool.batch"
local codec = require "lambdapool.codec"
local completion = require "lambdapool.completion"
local engine = require "lambdapool.engine"
local flow = require "lambdapool.flow"
local futures = require "lambdapool.future"
local loop = require "lambdapool.loop"
local packs = require "lambdapool.packs"
local progress = require "lambdapool.progress"
local sources = require "lambdapool.source"
local streams = require "lambdapool.stream"

-- How long an invocation should take, in microseconds: results of a list come at its end, those of
-- a stream are waited for.
local LIST_US, STREAM_US = 20000, 5000

---@class lambdapool.Pool
---@field scheduler lambdapool.Scheduler
---@field options table
---@field state "open" | "closed" | "terminated"
local methods = {}
local mt = { __name = "lambdapool.Pool", __index = methods }

-- Complains, `level` levels up, when `f` cannot be run here.
local function check_call(self, where, f, level)
  if debug.getmetatable(self) ~= mt then
    error(("%s is called with a colon: %s(...)"):format(where:gsub(":", "."), where), level + 1)
  end
  if self.state ~= "open" then
    error(("%s: the pool is %s"):format(where, self.state), level + 1)
  end
  engine.check_function(where, f, level + 1)
end

-- One task --------------------------------------------------------------------------------------

-- Begins f with these arguments; returns its AsyncResult.
local function begin(self, f, args)
  local result = futures.new_async_result(self.packs)
  local n = math.type(args.n) == "integer" and args.n or #args
  local ok, refusal = pcall(self.packs.submit, self.packs, result, f, table.unpack(args, 1, n))
  if not ok then
    error(refusal, 0)
  end
  return result
end

-- Gives up a task when the wait for it is left by an error: nobody else can have its result.
local given_up = {
  __close = function(self)
    local result = self.result
    if not result.is_done then
      result.origin:cancel(result)
    end
  end,
}

--- Runs f(args[1], args[2], ...) on a worker and returns all its values. `args.n` counts nils in.
--- Keyword arguments are put where the parameters of these names are.
---@param f function
---@param args table?
---@param kwds table<string, any>?
---@return any ...
function methods:apply(f, args, kwds, ...)
  check_call(self, "pool:apply", f, 2)
  if select("#", ...) > 0 then
    error("pool:apply: the arguments must be in one table, and there are more", 2)
  end
  local result = begin(self, f, arguments.merge("pool:apply", f, args, kwds, 2))
  local guarded <close> = setmetatable({ result = result }, given_up) -- luacheck: ignore
  return result:get()
end

--- Like `apply`, but does not wait. When the task has ended, callback(values...) or
--- error_callback(error) is called, by the call that waits or polls then.
---@param f function
---@param args table?
---@param kwds table<string, any>?
---@param callback function?
---@param error_callback fun(err: lambdapool.Error)?
---@return lambdapool.AsyncResult
function methods:apply_async(f, args, kwds, callback, error_callback)
  check_call(self, "pool:apply_async", f, 2)
  if callback ~= nil then
    futures.check_callback("pool:apply_async", callback)
  end
  if error_callback ~= nil then
    futures.check_callback("pool:apply_async", error_callback)
  end
  local result = begin(self, f, arguments.merge("pool:apply_async", f, args, kwds, 2))
  futures.add_callbacks(result, callback, error_callback)
  return result
end

-- Lists ----------------------------------------------------------------------------------------

-- Every item of a `star` call is a table of arguments.
local function check_arguments(where, items, n)
  for i = 1, n do
    if type(items[i]) ~= "table" then
      error(("%s: item %d must be a table of arguments, got %s"):format(where, i,
        items[i] == nil and "nil" or "a " .. type(items[i])), 4)
    end
  end
end

-- Reads what `map` and its kin are given: a batch that is not queued yet, and the options.
local function read_list(self, where, rules, star, f, ...)
  check_call(self, where, f, 3)
  local source, given = sources.open(where, rules, 3, ...)
  local items, n = sources.collect(source)
  if star then
    check_arguments(where, items, n)
  end
  local call = self.scheduler:call(engine.call_options(where, given, {
    code = codec.code(f),
    star = star or source.star,
    target_us = LIST_US,
  }))
  local batch = batches.new(call, items, n)
  batch.total, batch.fail_fast = n, true
  return batch, given
end

local function show_progress(self, batch, given)
  local call = batch.call
  call.line = progress.start(given.progress == nil and self.options.progress or given.progress,
    batch.n, function()
      local tally = call.tally
      return tally.done, tally.running, tally.failed, tally.retried
    end)
end

local function hide_progress(batch)
  if batch.call.line then
    batch.call.line:finish()
    batch.call.line = nil
  end
end

-- Gives up a list when the wait for it is left by an error.
local function guard(self, batch)
  return setmetatable({}, {
    __close = function()
      hide_progress(batch)
      if not batch.is_done then
        self.scheduler:cancel_call(batch.call, "the wait for it was left")
      end
    end,
  })
end

local function run(self, batch, given)
  if batch.n > 0 then
    show_progress(self, batch, given)
    local guarded <close> = guard(self, batch) -- luacheck: ignore
    if flow.running() then -- others may change the list meanwhile
      batch:encode()
    end
    self.scheduler:add(batch, 1, batch.n)
    completion.await(batch)
  end
  batch:check()
  return batch:lists()
end

--- Runs f(item) for every item and returns the list of results, in order; when tasks return
--- several values, one list for each of them. Every list has `n`; a nil keeps its place. Items may
--- also come from an iterator, as in a generic `for`, whose values are the arguments then.
--- Small tasks go out many together (option `chunksize`). When a task fails, the items behind it
--- that were not sent are cancelled, those that run are waited for, and the error of the first item
--- that failed, by position, is raised. Other options: see engine.call_rules. The list must stay as
--- it is meanwhile.
---@param f function
---@param source table | function
---@return table results
---@return table ... further values
function methods:map(f, source, ...)
  return run(self, read_list(self, "pool:map", engine.call_rules, false, f, source, ...))
end

--- Like `map`, but every item is a table of arguments: runs f(item[1], item[2], ...).
---@param f function
---@param list table[]
---@param given table?
---@return table results
---@return table ... further values
function methods:starmap(f, list, given)
  return run(self, read_list(self, "pool:starmap", engine.call_rules, true, f, list, given))
end

-- Lists without waiting ---------------------------------------------------------------------------

-- What an AsyncResult of a list waits for.
local list_origin = {}

function list_origin.cancel(_, result)
  local batch = result.batch
  batch.scheduler:cancel_call(batch.call, "the call was cancelled")
  return true
end

function list_origin.running(_, result)
  return result.batch.call.tally.running > 0
end

local function settle(result, batch)
  result.attempts = 1
  for _, attempts in pairs(batch.attempts or {}) do
    result.attempts = math.max(result.attempts, attempts)
  end
  local failure = batch.refusal
  if failure == nil and batch.errors then
    failure = batch.errors[batch.first_error]
  end
  if failure ~= nil then
    futures.fail(result, failure)
  else
    futures.succeed(result, batch:lists())
  end
end

local function run_async(self, batch, given)
  local result = futures.new_async_result(list_origin, { batch = batch })
  batch.scheduler = self.scheduler
  futures.add_callbacks(result, given.callback, given.error_callback)
  if batch.n == 0 then
    settle(result, batch)
    return result
  end
  batch:encode()
  completion.watch(batch, result, function()
    hide_progress(batch)
    settle(result, batch)
  end)
  show_progress(self, batch, given)
  self.scheduler:add(batch, 1, batch.n)
  return result
end

--- Like `map`, but does not wait; `get` of the result gives what `map` returns. Further options:
--- callback(lists...) and error_callback(error), called when all is done.
---@param f function
---@param source table | function
---@return lambdapool.AsyncResult
function methods:map_async(f, source, ...)
  return run_async(self, read_list(self, "pool:map_async", engine.async_rules, false, f, source,
    ...))
end

--- Like `starmap`, but does not wait; see `map_async`.
---@param f function
---@param list table[]
---@param given table?
---@return lambdapool.AsyncResult
function methods:starmap_async(f, list, given)
  return run_async(self, read_list(self, "pool:starmap_async", engine.async_rules, true, f, list,
    given))
end

-- Streams --------------------------------------------------------------------------------------

local function stream(self, where, how, f, ...) -- tail-called: the user is right above
  check_call(self, where, f, 2)
  local source, given = sources.open(where, engine.call_rules, 2, ...)
  local call = self.scheduler:call(engine.call_options(where, given, {
    code = codec.code(f),
    star = source.star,
    target_us = STREAM_US,
  }))
  how.progress = given.progress == nil and self.options.progress or given.progress
  return streams.start(self.scheduler, call, source, how)
end

--- `for i, result in pool:imap(f, source) do`: runs f over a source that may be long or endless,
--- and yields, in order, the position of each item and all values of its task. The source is a
--- list, or an iterator as in a generic `for` (function, state, first value, closing value), whose
--- values at each step are the arguments. It is read only as workers free up. An options table may
--- come last (see engine.call_rules). The error of a task is raised when its turn comes; leaving
--- the loop cancels what is outstanding.
---@param f function
---@param source table | function
---@return fun(): integer?, ...
function methods:imap(f, source, ...)
  return stream(self, "pool:imap", { ordered = true }, f, source, ...)
end

--- Like `imap`, but yields results as they come.
---@param f function
---@param source table | function
---@return fun(): integer?, ...
function methods:imap_unordered(f, source, ...)
  return stream(self, "pool:imap_unordered", { ordered = false }, f, source, ...)
end

--- `for i, value, err in pool:each(f, source) do`: like `imap_unordered`, but the error of a task
--- is a value, and one failing item does not end the loop. Yields the first value of each task.
---@param f function
---@param source table | function
---@return fun(): integer?, any, lambdapool.Error?
function methods:each(f, source, ...)
  return stream(self, "pool:each", { ordered = false, errors = true }, f, source, ...)
end

-- The pool itself ---------------------------------------------------------------------------------

--- Takes no more calls. What was begun goes on; `join` waits for it.
function methods:close()
  if self.state == "open" then
    self.state = "closed"
    self.scheduler:close()
  end
end

--- Kills the workers at once; tasks that have not ended are cancelled.
function methods:terminate()
  self.state = "terminated"
  self.scheduler:terminate "the pool was terminated"
end

--- Waits until every task has ended and every worker is gone. Close or terminate the pool before.
function methods:join()
  if self.state == "open" then
    error("pool:join: close or terminate the pool first", 2)
  end
  self.scheduler:drain()
end

--- Keeps things going: takes in results, runs callbacks, hands out tasks. Waits at most `seconds`
--- (default 0) for something to happen. Returns true while there are tasks that have not ended.
---@param seconds number?
---@return boolean
function methods:poll(seconds)
  seconds = seconds == nil and 0 or seconds
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    error("pool:poll: seconds must be a number, 0 or more", 2)
  end
  loop.pump(seconds)
  return not self.scheduler:is_idle()
end

--- Numbers of this pool so far: `tasks` = `done` + `failed` + `cancelled` + `running` + `queued`;
--- `attempts` (starts of tasks), `retried` (starts after the first), `duplicates` (late answers
--- that were dropped), `invocations`, `cold_starts`, `workers` (alive), `workers_started`,
--- `bytes_sent`, `bytes_received`, `run_seconds` (of all workers together), `peak_memory` (bytes,
--- of one worker), `seconds` (since the pool was opened), `seed`.
--- Pools on functions also have what Lambda reports: `billed_seconds`, `gb_seconds`, `init_seconds`
--- (of cold starts, which are in `workers_started`), `max_memory_used` (MB, of one worker), `cost`
--- (about so many US dollars) by the prices of the month `prices_of`; there `workers` is how many
--- invocations are under way.
---@return table
function methods:stats()
  return self.scheduler:stats()
end

--- Leaving the scope of a pool terminates it, as leaving `with Pool()` does in Python.
function mt:__close()
  self:terminate()
end

function mt:__tostring()
  return ("lambdapool.Pool (%d workers, %s)"):format(self.options.workers, self.state)
end

function mt.__lambdapool()
  error("a pool cannot be sent to a worker: a task cannot use pools", 0)
end

--- Opens a pool; the options are those of engine.rules. Workers start when there is work for them,
--- and stay.
---@param given table?
---@return lambdapool.Pool
local function new(given)
  local scheduler, checked = engine.open("lambdapool.pool", given)
  return setmetatable({
    scheduler = scheduler,
    packs = packs.new(scheduler),
    options = checked,
    state = "open",
  }, mt)
end

return { new = new }
