--- Tallies: how many tasks there are and how they ended, of one call and, in `totals`, of all calls
--- of a pool or executor.

---@class lambdapool.Tally
---@field tasks integer how many there are so far
---@field done integer that returned
---@field failed integer that ended in an error
---@field cancelled integer
---@field retried integer starts beyond the first of each
---@field running integer in invocations that are under way

---@return lambdapool.Tally
local function new()
  return { tasks = 0, done = 0, failed = 0, cancelled = 0, retried = 0, running = 0 }
end

---@param call { tally: lambdapool.Tally, totals: lambdapool.Tally }
---@param name string
---@param n integer
local function add(call, name, n)
  local tally, totals = call.tally, call.totals
  tally[name] = tally[name] + n
  totals[name] = totals[name] + n
end

--- Adds up: all of `tally` is added to `sum`, which is returned.
---@param sum lambdapool.Tally
---@param tally lambdapool.Tally
---@return lambdapool.Tally sum
local function add_all(sum, tally)
  for name, n in pairs(tally) do
    sum[name] = sum[name] + n
  end
  return sum
end

--- How far an interrupted program came, in words.
---@param counts { done: integer, failed: integer, unfinished: integer }
---@return string
local function phrase(counts)
  return ("%d task%s done, %d failed, %d not done"):format(counts.done,
    counts.done == 1 and "" or "s", counts.failed, counts.unfinished)
end

return { new = new, add = add, sum = add_all, phrase = phrase }
