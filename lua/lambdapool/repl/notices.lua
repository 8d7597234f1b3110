--- Results of asynchronous work, told above the prompt when they are there. Told is what has a
--- name: futures in variables. Of tasks that have none it is told when the last of them has ended.
---
--- While code runs nothing is told; what has ended meanwhile is told afterwards, unless the line
--- names it: then its result was asked for.

local completion = require "lambdapool.completion"
local flow = require "lambdapool.flow"
local futures = require "lambdapool.future"
local loop = require "lambdapool.loop"
local meters = require "lambdapool.meter"
local printer = require "lambdapool.repl.printer"
local schedulers = require "lambdapool.scheduler"

local find, format, concat, rep = string.find, string.format, table.concat, string.rep
local max, pack = math.max, table.pack

-- Seconds between two looks at the counts of tasks without names.
local TICK = 0.1

-- Lines that a result may take.
local LINES = 4

---@class lambdapool.repl.Notices
---@field console lambdapool.repl.Console
---@field editor lambdapool.repl.Editor
---@field watched table<lambdapool.Future, boolean> that have not ended
---@field ended lambdapool.Future[] that have, and nobody was told
---@field waiting boolean? the prompt is there
---@field timer lambdapool.Timer?
local methods = {}
local mt = { __name = "lambdapool.repl.Notices", __index = methods }

-- Names ----------------------------------------------------------------------------------------

-- Calls visit(name, future) for the variables that hold one.
local function each_future(self, visit)
  for name, value in self.console.session:values() do
    if futures.is(value) then
      visit(name, value)
    end
  end
  for name, value in next, _G do
    if type(name) == "string" and futures.is(value) then
      visit(name, value)
    end
  end
end

-- The variable that holds a future now: `_` only when there is no other.
local function name_of(self, future)
  local least
  each_future(self, function(name, value)
    if rawequal(value, future) and (not least or least == "_" or name ~= "_" and name < least) then
      least = name
    end
  end)
  return least
end

local function is_named_in(text, name)
  return name and find(text, "%f[%w_]" .. name .. "%f[^%w_]") ~= nil
end

-- Telling --------------------------------------------------------------------------------------

-- What a future has brought, below its name; nil when that is no news.
local function describe(self, future, name)
  if future.failed then
    flow.note_asked(future)
    if type(future.error) == "table" and future.error.kind == "cancelled" then
      return nil
    end
    return name .. ": " .. self.console:explain(future.error)
  end
  local text = printer.values(future.values or pack(future.value), {
    width = max(20, self.console:columns() - #name - 2),
    lines = LINES,
    colours = self.console.colours,
  })
  return name .. ": " .. text:gsub("\n", "\n" .. rep(" ", #name + 2))
end

local function tell(self)
  local list = self.ended
  self.ended = {}
  for _, future in ipairs(list) do
    local text = describe(self, future, name_of(self, future) or "a result")
    if text then
      self.editor:show(text)
    end
  end
end

local function watch(self, future)
  self.watched[future] = true
  completion.watch(future, self, function()
    self.watched[future] = nil
    self.ended[#self.ended + 1] = future
    if self.waiting and not self.ended[2] then
      loop.later(tell, self)
    end
  end)
end

-- Tasks without names ----------------------------------------------------------------------------

local function outstanding(tally)
  return tally.tasks - tally.done - tally.failed - tally.cancelled
end

-- How many tasks the named futures still wait for. Flows may wait for any.
local function named(self)
  local count = 0
  for future in next, self.watched do
    local batch = future.batch
    if future.flow then
      return math.huge
    end
    count = count + (future.index and 1 or batch and batch.remaining or 0)
  end
  return count
end

local function tell_of_others(self, before, count)
  local now = schedulers.totals()
  if now.cancelled > before.cancelled then
    return
  end
  local parts = { format("%s task%s done", meters.group(count), count == 1 and " is" or "s are") }
  if now.failed > before.failed then
    parts[2] = format("%s failed", meters.group(now.failed - before.failed))
  end
  self.editor:show(concat(parts, ", "))
end

local function look_at_others(self, before, count)
  self.timer = loop.after(TICK, function()
    self.timer = nil
    if outstanding(schedulers.totals()) > 0 then
      look_at_others(self, before, count)
    else
      tell_of_others(self, before, count)
    end
  end)
end

-- The prompt -----------------------------------------------------------------------------------

--- The prompt comes: results are told from now on.
function methods:begin()
  if not self.console.interactive then
    return
  end
  self:stop()
  self.waiting = true
  tell(self)
  local tally = schedulers.totals()
  local count = outstanding(tally) - named(self)
  if count > 0 then
    look_at_others(self, tally, count)
  end
end

--- Code is to run: nothing is told.
function methods:stop()
  self.waiting = false
  if self.timer then
    self.timer:cancel()
    self.timer = nil
  end
end

--- A line has run: futures that it has made are watched, those that it names need not be told of.
---@param text string
function methods:look(text)
  if not self.console.interactive then
    return
  end
  local untold = {}
  for _, future in ipairs(self.ended) do
    if not is_named_in(text, name_of(self, future)) then
      untold[#untold + 1] = future
    end
  end
  self.ended = untold
  each_future(self, function(_, future)
    if not future.is_done and not self.watched[future] then
      watch(self, future)
    end
  end)
end

---@param console lambdapool.repl.Console
---@param editor lambdapool.repl.Editor
---@return lambdapool.repl.Notices
local function new(console, editor)
  return setmetatable({
    console = console,
    editor = editor,
    watched = setmetatable({}, { __mode = "k" }),
    ended = {},
  }, mt)
end

return { new = new }
