--- Waiting for several futures: `lambdapool.wait` and `lambdapool.as_completed`, as in Python's
--- concurrent.futures.

local completion = require "lambdapool.completion"
local errors = require "lambdapool.errors"
local futures = require "lambdapool.future"
local loop = require "lambdapool.loop"
local options = require "lambdapool.options"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local rules = {
  timeout = { "timeout" },
  return_when = { "any", default = "ALL_COMPLETED" },
}

-- The futures of a list, each once, in order.
local function distinct(where, list)
  if type(list) ~= "table" or futures.is(list) then
    error(("%s: the futures must be in a list"):format(where), 3)
  end
  local seen, unique = {}, {}
  for i, future in ipairs(list) do
    if not futures.is(future) then
      error(("%s: item %d is no future but a %s"):format(where, i, type(future)), 3)
    elseif not seen[future] then
      seen[future] = true
      unique[#unique + 1] = future
    end
  end
  return unique
end

-- wait --------------------------------------------------------------------------------------------

local names = { "ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION" }

-- How many futures have to be done, and whether one that failed will do.
local function goal(return_when, n)
  if type(return_when) == "number" then
    return math.ceil(return_when * n - 1e-9), false -- 0.07 of 100 are 7
  elseif return_when == "FIRST_COMPLETED" then
    return math.min(1, n), false
  end
  return n, return_when == "FIRST_EXCEPTION"
end

local function check_return_when(value)
  if type(value) == "number" and value >= 0 and value <= 1 then
    return value
  end
  for _, name in ipairs(names) do
    if value == name then
      return value
    end
  end
  local hint = type(value) == "string" and suggest.hint(value, names) or ""
  error(("lambdapool.wait: return_when must be '%s' or a number from 0 to 1, got %s%s"):format(
    table.concat(names, "', '"), type(value) == "string" and ("'%s'"):format(value)
    or tostring(value), hint), 3)
end

local function is_failure(future)
  return future.failed and not (type(future.error) == "table" and future.error.kind == "cancelled")
end

--- Waits until as many of the futures have ended as `return_when` says: "ALL_COMPLETED" (the
--- default), "FIRST_COMPLETED", "FIRST_EXCEPTION" (all, or one that failed), or a number from 0 to
--- 1, the share of them; or until `timeout` seconds have passed. Returns those that have ended and
--- those that have not, both in the order of the list.
---@param list lambdapool.Future[]
---@param given { timeout: number?, return_when: string | number | nil }?
---@return lambdapool.Future[] done
---@return lambdapool.Future[] not_done
local function wait(list, given)
  local unique = distinct("lambdapool.wait", list)
  local checked = options.check("lambdapool.wait", given, rules)
  local wanted, failure_will_do = goal(check_return_when(checked.return_when), #unique)
  local reached = {}
  local function count(future)
    wanted = wanted - 1
    if wanted <= 0 or failure_will_do and is_failure(future) then
      if not reached.is_done then
        completion.finish(reached)
      end
    end
  end
  loop.glance()
  if wanted <= 0 then
    completion.finish(reached)
  end
  for _, future in ipairs(unique) do
    if future.is_done then
      count(future)
    else
      completion.watch(future, reached, count)
    end
  end
  completion.await(reached, checked.timeout)
  local done, not_done = {}, {}
  for _, future in ipairs(unique) do
    completion.unwatch(future, reached)
    table.insert(future.is_done and done or not_done, future)
  end
  return done, not_done
end

-- as_completed ----------------------------------------------------------------------------------

--- `for future in lambdapool.as_completed(futures) do`: yields each future once it has ended, those
--- that had ended before first. Raises a LambdaTimeoutError when some have not `timeout` seconds
--- after the call.
---@param list lambdapool.Future[]
---@param given { timeout: number? }?
---@return fun(): lambdapool.Future?
local function as_completed(list, given)
  local unique = distinct("lambdapool.as_completed", list)
  local checked = options.check("lambdapool.as_completed", given, { timeout = rules.timeout })
  local limit = checked.timeout and system.monotonic() + checked.timeout
  local ready, first, last = {}, 1, 0
  local arrival
  local key = {}
  local function add(future)
    last = last + 1
    ready[last] = future
    if arrival then
      local waiting = arrival
      arrival = nil
      completion.finish(waiting)
    end
  end
  loop.glance()
  for _, future in ipairs(unique) do
    if future.is_done then
      add(future)
    else
      completion.watch(future, key, add)
    end
  end
  local count = #unique -- all that is kept of futures that were yielded
  return function()
    if first > count then
      return nil
    elseif first > last then
      arrival = {}
      if not completion.await(arrival, limit and math.max(0, limit - system.monotonic())) then
        error(errors.unfinished(count - first + 1, count), 0)
      end
    end
    first = first + 1
    local future = ready[first - 1]
    ready[first - 1] = nil
    return future
  end
end

return { wait = wait, as_completed = as_completed }
