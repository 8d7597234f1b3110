--- What invocations cost: by what Lambda reports of each, where it does; where it does not, by how
--- long we waited, which is more. Every pool has a ledger; `accounts` are those of the whole
--- program, one for each function.

local prices = require "lambdapool.aws.prices"

-- What an invocation is taken for before one has ended.
local GUESS_MS, GUESS_MB = 100, 1769

---@class lambdapool.backend.aws.Totals
---@field invocations integer
---@field billed_ms number
---@field gb_seconds number
---@field init_ms number
---@field cold_starts integer
---@field max_memory integer MB

---@class lambdapool.backend.aws.Ledger: lambdapool.backend.aws.Totals
---@field region string
---@field architecture string? as soon as it is known
---@field memory integer? MB of the function, as soon as that is known
---@field limit number? dollars that may be spent
---@field account table that of the function, into which it goes at the end
---@field tally lambdapool.Tally? the tasks of the pool
local methods = {}
local mt = { __name = "lambdapool.backend.aws.Ledger", __index = methods }

local ledger = {
  --- The totals of the program: lists { name, region, simulated, … }, in the order of first use.
  accounts = {},
  --- Whether a budget was reached.
  exhausted = false,
}

local function new_totals(fields)
  fields.invocations, fields.billed_ms, fields.gb_seconds = 0, 0, 0
  fields.init_ms, fields.cold_starts, fields.max_memory = 0, 0, 0
  return fields
end

--- An invocation has ended.
---@param billed number milliseconds
---@param memory integer? MB that it had, where that is known
---@param peak integer? MB that it used
---@param init number? milliseconds of its initialisation, when there was one
function methods:add(billed, memory, peak, init)
  memory = memory or self.memory or GUESS_MB
  self.memory = memory
  self.invocations = self.invocations + 1
  self.billed_ms = self.billed_ms + billed
  self.gb_seconds = self.gb_seconds + billed * memory / 1024000
  if peak and peak > self.max_memory then
    self.max_memory = peak
  end
  if init then
    self.init_ms = self.init_ms + init
    self.cold_starts = self.cold_starts + 1
  end
end

--- Dollars so far.
---@return number
function methods:cost()
  return prices.cost(self.region, self.architecture, self.gb_seconds, self.invocations)
end

--- An invocation has ended, or is not waited for any more, of which there is no report.
---@param seconds number since it was sent
function methods:estimate(seconds)
  self:add(seconds * 1000)
end

-- What the next invocation should cost.
local function expected(self)
  if self.invocations > 0 then
    return self:cost() / self.invocations
  end
  local memory = self.memory or GUESS_MB
  return prices.cost(self.region, self.architecture, GUESS_MS * memory / 1024000, 1)
end

--- Whether the budget allows one more invocation while so many are under way: "yes", "no", or
--- "wait" when that depends on what those cost.
---@param running integer
---@return "yes"|"no"|"wait"
function methods:allows(running)
  local limit = self.limit
  if not limit then
    return "yes"
  end
  local cost = self:cost()
  if cost + (running + 1) * expected(self) <= limit then
    return "yes"
  elseif running > 0 and cost < limit then
    return "wait"
  end
  ledger.exhausted = true
  return "no"
end

--- The numbers for Pool:stats.
---@return table
function methods:stats()
  return {
    billed_seconds = self.billed_ms / 1000,
    gb_seconds = self.gb_seconds,
    init_seconds = self.init_ms / 1000,
    max_memory_used = self.max_memory,
    cost = self:cost(),
    prices_of = prices.date,
  }
end

-- What the pools of one function have spent.
local function account_of(options)
  for _, account in ipairs(ledger.accounts) do
    if account.name == options.name and account.region == options.region
      and account.simulated == options.simulated then
      return account
    end
  end
  local account = new_totals { name = options.name, region = options.region,
    simulated = options.simulated, tasks = 0, cost = 0, open = {} }
  ledger.accounts[#ledger.accounts + 1] = account
  return account
end

--- Has the tasks of a pool counted, too.
---@param tally lambdapool.Tally
function methods:count_tasks(tally)
  self.tally = tally
end

-- Adds a ledger to the account.
local function enter(account, self)
  for _, name in ipairs { "invocations", "billed_ms", "gb_seconds", "init_ms", "cold_starts" } do
    account[name] = account[name] + self[name]
  end
  account.cost = account.cost + self:cost()
  account.max_memory = math.max(account.max_memory, self.max_memory)
  account.memory = self.memory or account.memory
  if self.tally then
    account.tasks = account.tasks + self.tally.done + self.tally.failed
  end
end

--- The pool has ended.
function methods:close()
  if self.account.open[self] then
    self.account.open[self] = nil
    enter(self.account, self)
  end
end

--- Opens the ledger of a pool. `silent`: nothing is to be said of what it costs at the end.
---@param options { name: string, region: string, simulated: boolean, limit: number?,
---  silent: boolean? }
---@return lambdapool.backend.aws.Ledger
function ledger.new(options)
  local account = account_of(options)
  local self = setmetatable(new_totals { region = options.region, limit = options.limit,
    account = account }, mt)
  account.told = account.told or not options.silent
  account.open[self] = true
  return self
end

-- The end of a program -----------------------------------------------------------------------

local function plural(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

--- An amount of money, with two digits that count.
---@param cost number
---@return string
function ledger.dollars(cost)
  local places = cost > 0 and cost < 0.1 and 1 - math.floor(math.log(cost, 10)) or 2
  return ("$%%.%df"):format(places):format(cost)
end

local function seconds(milliseconds)
  return (milliseconds < 1000 and "%.3f s" or "%.1f s"):format(milliseconds / 1000)
end

local function line_of(account)
  return ("%s in %s of %s (%s): %s billed at %d MB, %s, %s %s (prices of %s)"):format(
    plural(account.tasks, "task"), plural(account.invocations, "invocation"), account.name,
    account.region, seconds(account.billed_ms), account.memory,
    plural(account.cold_starts, "cold start"),
    account.simulated and "would have cost about" or "about", ledger.dollars(account.cost),
    prices.date)
end

--- One line for each function that was used: what that took. For the end of a program.
---@return string[]
function ledger.summary()
  local lines = {}
  for _, account in ipairs(ledger.accounts) do
    for self in pairs(account.open) do
      self:close()
    end
    if account.told and account.invocations > 0 then
      lines[#lines + 1] = line_of(account)
    end
  end
  return lines
end

return ledger
