--- The progress line on stderr:
---
---     37%  3,700/10,000  412/s  2 running  1 failed  3 retried  eta 0:15
---
--- On a terminal it is drawn over itself, with a bar where there is room, and is gone at the end.
--- A timer of the loop draws it, so it is never drawn while the script's own code runs.
--- Elsewhere, and where TERM is "dumb", it is a plain line every 10 seconds or 10 %. It never hides
--- the cursor, so nothing has to be restored however the program ends. One call has it at a time.

local meters = require "lambdapool.meter"
local system = require "lambdapool.system"

local progress = {
  -- Whether calls that nobody asked about show it, when they take longer than a second and stderr
  -- is a terminal. Programs set it; a library is silent.
  automatic = false,
}

-- Seconds before those show.
local AUTOMATIC_AFTER = 1

-- Seconds between two looks at the counts.
local TICK = 0.1

-- Plain lines come every so many seconds and every so many percent.
local PLAIN_SECONDS, PLAIN_PERCENT = 10, 10

-- Columns of the bar: the first that there is room for. Few, so that it does not change its length
-- with every digit beside it.
local BARS = { 24, 16, 10 }

local CLEAR = "\r\27[K"

--- What is asked of the world; specs have one of their own.
progress.world = {
  now = system.monotonic,
  getenv = os.getenv,
  is_terminal = function() return system.isatty(2) end,
  has_prints = function() return system.isatty(1) end, -- what the script prints is there, too
  columns = function() return system.columns(2) end,
  write = function(text) io.stderr:write(text) end,
  after = function() end, -- the loop puts its own here
}

-- The line that shows or will show. A call that is given up without an end gives it up, too.
local shown = setmetatable({}, { __mode = "v" })

-- What the terminal can do ---------------------------------------------------------------------

local function is_set(name)
  return (progress.world.getenv(name) or "") ~= ""
end

--- Whether what is written may have more than ASCII in it.
---@return boolean
function progress.uses_utf8()
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    if is_set(name) then
      return progress.world.getenv(name):lower():find "utf%-?8" ~= nil
    end
  end
  return false
end

-- Whether lines can be drawn over: a terminal that knows control sequences.
local function can_redraw()
  local term = progress.world.getenv "TERM" or "dumb"
  return progress.world.is_terminal() and term ~= "dumb" and term ~= ""
end

local function uses_color(redraws)
  local force = progress.world.getenv "CLICOLOR_FORCE" or "0"
  return not is_set "NO_COLOR" and (redraws or force ~= "0" and force ~= "")
end

local function width()
  local columns = progress.world.columns() or tonumber(progress.world.getenv "COLUMNS") or 80
  return math.max(1, columns - 1) -- a full last column would wrap
end

-- Text -----------------------------------------------------------------------------------------

-- The parts of a line, each { text, rank, color }. Where there is no room, those of the highest
-- rank go first.
local function parts_of(self, counts, rate)
  local parts, total = {}, self.total
  local function add(rank, color, format, ...)
    parts[#parts + 1] = { text = format:format(...), rank = rank, color = color }
  end
  if total then
    add(2, nil, "%5s", counts.done * 100 // total .. "%")
    add(1, nil, "%s/%s", meters.group(counts.done), meters.group(total))
  else
    add(1, nil, "  %s done", meters.group(counts.done))
  end
  if rate then
    add(5, nil, "%s", meters.rate(rate))
  end
  if counts.running > 0 then
    add(7, nil, "%s running", meters.group(counts.running))
  end
  if counts.failed > 0 then
    add(3, "31", "%s failed", meters.group(counts.failed))
  end
  if counts.retried > 0 then
    add(6, "33", "%s retried", meters.group(counts.retried))
  end
  if rate and total and counts.done < total and not self.ended then
    add(4, nil, "eta %s", meters.duration((total - counts.done) / rate))
  end
  return parts
end

-- Columns that the parts take, two spaces between them.
local function columns_of(parts)
  local columns = -2
  for _, part in ipairs(parts) do
    columns = columns + 2 + #part.text
  end
  return columns
end

local function drop_least(parts)
  local least = 1
  for i, part in ipairs(parts) do
    if part.rank > parts[least].rank then
      least = i
    end
  end
  table.remove(parts, least)
end

local function bar(self, columns, fraction)
  if self.utf8 then
    local full = math.floor(columns * fraction)
    return ("━"):rep(full) .. ("─"):rep(columns - full)
  end
  local full = math.floor((columns - 2) * fraction)
  return ("[%s%s]"):format(("#"):rep(full), (" "):rep(columns - 2 - full))
end

local function paint(self, part)
  if self.color and part.color then
    return ("\27[%sm%s\27[0m"):format(part.color, part.text)
  end
  return part.text
end

local function paint_all(self, parts)
  local texts = {}
  for i, part in ipairs(parts) do
    texts[i] = paint(self, part)
  end
  return texts
end

-- One line of text for a terminal, no wider than it is.
local function compose(self, counts, rate)
  local parts, room = parts_of(self, counts, rate), width()
  while #parts > 1 and columns_of(parts) > room do
    drop_least(parts)
  end
  parts[1].text = parts[1].text:sub(1, room)
  local texts = paint_all(self, parts)
  for _, columns in ipairs(self.total and BARS or {}) do
    if columns_of(parts) + 2 + columns <= room then
      table.insert(texts, 2, bar(self, columns, counts.done / self.total))
      break
    end
  end
  return table.concat(texts, "  ")
end

-- Lines ----------------------------------------------------------------------------------------

---@class lambdapool.ProgressLine
local methods = {}
local mt = { __name = "lambdapool.ProgressLine", __index = methods }

local function take_counts(self, now)
  local returned, running, failed, retried = self.counts()
  local done = returned + failed
  self.meter:add(now, done)
  return { done = done, running = running, failed = failed, retried = retried }
end

local function hide(self)
  if self.visible then
    progress.world.write(CLEAR)
    self.visible = false
  end
end

local function draw(self, now)
  local counts = take_counts(self, now)
  local text = compose(self, counts, self.meter:rate())
  if text ~= self.text or not self.visible then
    progress.world.write("\r" .. text .. "\27[K")
    self.text, self.visible = text, true
  end
end

local function print_plain(self, now, counts, rate)
  local text = table.concat(paint_all(self, parts_of(self, counts, rate)), "  ")
  if text ~= self.text then
    progress.world.write(text .. "\n")
  end
  self.text, self.printed = text, now
end

-- The last multiple of PLAIN_PERCENT that was reached.
local function mark(self, counts)
  return self.total and counts.done * 100 // self.total // PLAIN_PERCENT or 0
end

local function print_when_due(self, now)
  local counts = take_counts(self, now)
  if now - self.printed >= PLAIN_SECONDS or mark(self, counts) > self.mark then
    self.mark = mark(self, counts)
    print_plain(self, now, counts, self.meter:rate())
  end
end

-- What is done in every tick, and no sooner.
local function look(self, now)
  self.due = now + TICK
  if self.redraws then
    draw(self, now)
  else
    print_when_due(self, now)
  end
end

--- An answer has come. Plain lines may be due, also where nobody waits; it costs one look at the
--- clock.
function methods:update()
  if self.redraws or self.ended then
    return
  end
  local now = progress.world.now()
  if now >= self.due then
    look(self, now)
  end
end

-- The timer knows no line: one that nobody else holds is to be collected.
local function tick()
  local line = shown.line
  if line then
    look(line, progress.world.now())
    line.timer = progress.world.after(TICK, tick)
  end
end

local function finish(self)
  self.ended = true
  self.timer:cancel()
  shown.line = nil
end

--- The call has ended: the line goes, or the last plain one is printed.
function methods:finish()
  if self.ended then
    return
  end
  finish(self)
  local now = progress.world.now()
  if self.redraws then
    hide(self)
  elseif now >= self.began then
    local counts = take_counts(self, now)
    counts.running = 0
    print_plain(self, now, counts, self.meter:average())
  end
end

--- Begins a line for a call, which is to `update` it often and to `finish` it.
---@param mode boolean? true: show it; false: do not; nil: as progress.automatic says
---@param total integer? how many tasks there are, where that is known
---@param counts fun(): integer, integer, integer, integer tasks that have returned, that run, that
---  have failed, that were retried; the line says how many have returned or failed
---@return lambdapool.ProgressLine? line nil when there is nothing to show, or another one shows
function progress.start(mode, total, counts)
  local automatic = mode == nil and progress.automatic and progress.world.is_terminal()
  if shown.line or total == 0 or not (mode or automatic) then
    return nil
  end
  local now = progress.world.now()
  local began = automatic and now + AUTOMATIC_AFTER or now
  local redraws = can_redraw()
  local line = setmetatable({
    total = total,
    counts = counts,
    meter = meters.new(now),
    redraws = redraws,
    utf8 = progress.uses_utf8(),
    color = uses_color(redraws),
    began = began,
    due = began + TICK,
    visible = false,
    printed = began,
    mark = 0,
  }, mt)
  line.timer = progress.world.after(began + TICK - now, tick)
  shown.line = line
  return line
end

-- What else is on the terminal -------------------------------------------------------------------

--- Writes a line that a task printed to stderr, above the progress line.
---@param text string
function progress.log(text)
  local line = shown.line
  if line and line.visible then
    progress.world.write(CLEAR .. text .. "\n" .. line.text)
  else
    progress.world.write(text .. "\n")
  end
end

--- Takes the line off the terminal until the timer draws it again: whoever lets the script's own
--- code run, which may print there, calls it before.
function progress.hide()
  local line = shown.line
  if line and line.visible and progress.world.has_prints() then
    hide(line)
  end
end

--- Ends the line for good: somebody else needs its place. The call goes on.
function progress.stop()
  if shown.line then
    hide(shown.line)
    finish(shown.line)
  end
end

--- Ends the line for good, and clears what the terminal has in its current one: "^C".
function progress.clear()
  if shown.line then
    finish(shown.line)
  end
  if can_redraw() then
    progress.world.write(CLEAR)
  end
end

return progress
