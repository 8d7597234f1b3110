--- What commands print: aligned tables and blocks for people, JSON for programs, both on stdout.
--- What is only said goes to stderr.

local json = require "lambdapool.json"
local system = require "lambdapool.system"

-- How many files of a package people are shown.
local MOST_FILES = 20

local output = {}

-- Terminals obey control characters, and names or log lines of others may hold some.
local function plain(value)
  return (tostring(value):gsub("[%c\127]", function(byte)
    return ("\\x%02x"):format(byte:byte())
  end))
end

--- A text of others as it may be printed: on a terminal without control characters, except for
--- those that lay it out; files get all of it.
---@param text string
---@param stream integer 1: standard output, 2: standard error
---@return string
function output.visible(text, stream)
  if not system.isatty(stream) then
    return text
  end
  return (text:gsub("[%c\127]", function(byte)
    return byte:find "[\t\n]" and byte or plain(byte)
  end))
end

-- How wide a text is on a terminal: characters, where it is UTF-8.
local function width(text)
  return utf8.len(text) or #text
end

local function pad(text, columns)
  return text .. (" "):rep(columns - width(text))
end

-- Rows of texts as lines in which their columns are below each other. Nothing stands behind the
-- last text of a row, so it may be longer.
local function align(rows)
  local lines, widths = {}, {}
  for _, cells in ipairs(rows) do
    for column = 1, #cells - 1 do
      widths[column] = math.max(widths[column] or 0, width(cells[column]))
    end
  end
  for i, cells in ipairs(rows) do
    local line = {}
    for column, text in ipairs(cells) do
      line[column] = column < #cells and pad(text, widths[column]) or text
    end
    lines[i] = table.concat(line, "  ")
  end
  return lines
end

--- Prints rows below a line of column names, aligned. Rows are lists; nil and "" become "-".
---@param columns string[]
---@param rows any[][]
function output.table(columns, rows)
  local all = { columns }
  for i, row in ipairs(rows) do
    local cells = {}
    for column = 1, #columns do
      local value = row[column]
      cells[column] = (value == nil or value == "") and "-" or plain(value)
    end
    all[i + 1] = cells
  end
  io.write(table.concat(align(all), "\n"), "\n")
end

--- The files of a package as lines: "bootstrap  1.1 MB". Of many, the first ones.
---@param entries { name: string, size: integer }[]
---@return string[]
function output.files(entries)
  local rows = {}
  for i, entry in ipairs(entries) do
    if i > MOST_FILES then
      rows[i] = { ("and %d more"):format(#entries - MOST_FILES) }
      break
    end
    rows[i] = { plain(entry.name), output.size(entry.size) }
  end
  return align(rows)
end

--- Prints a block of names and values, a line each: entries are { name, value }. Those without a
--- value are left out, and a list takes a line for each item.
---@param entries { [1]: string, [2]: any }[]
function output.block(entries)
  local widest = 0
  for _, entry in ipairs(entries) do
    widest = math.max(widest, width(entry[1]))
  end
  for _, entry in ipairs(entries) do
    local label, values = entry[1], entry[2]
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      io.write(pad(label, widest), "  ", plain(value), "\n")
      label = ""
    end
  end
end

--- Prints one JSON document. Lists that may be empty need json.array.
---@param value any
function output.json(value)
  io.write(json.encode(value), "\n")
end

--- Prints one object of a stream, at once.
---@param value any
function output.jsonl(value)
  io.write(json.encode(value), "\n")
  io.stdout:flush()
end

local UNITS = { "kB", "MB", "GB", "TB" }

--- "812 B", "1.4 MB"
---@param bytes number
---@return string
function output.size(bytes)
  local value, unit = bytes, "B"
  for _, next_unit in ipairs(UNITS) do
    if value < 999.5 then
      break
    end
    value, unit = value / 1000, next_unit
  end
  local format = (unit == "B" or value >= 99.95) and "%.0f %s" or "%.1f %s"
  return format:format(value, unit)
end

local AGES = { { 86400 * 365, "year" }, { 86400 * 30, "month" }, { 86400, "day" }, { 3600, "hour" },
  { 60, "minute" }, { 1, "second" } }

--- "3 hours ago"; what lies ahead by the clocks of others is "now".
---@param seconds number
---@return string
function output.age(seconds)
  for _, step in ipairs(AGES) do
    local count = seconds // step[1]
    if count >= 1 then
      return ("%d %s%s ago"):format(count, step[2], count == 1 and "" or "s")
    end
  end
  return "now"
end

--- Says something on stderr: "lambdapool: text".
---@param text string
function output.say(text)
  io.stdout:flush()
  io.stderr:write("lambdapool: ", text, "\n")
end

local COLOURS = { red = 31, green = 32, yellow = 33 }

local function is_coloured()
  local function is_set(name)
    local value = os.getenv(name)
    return value ~= nil and value ~= ""
  end
  if is_set "NO_COLOR" then
    return false
  elseif is_set "CLICOLOR_FORCE" and os.getenv "CLICOLOR_FORCE" ~= "0" then
    return true
  end
  return system.isatty(1) and os.getenv "TERM" ~= "dumb"
end

--- A text in a colour, where stdout shows colours.
---@param text string
---@param colour "red"|"green"|"yellow"
---@return string
function output.coloured(text, colour)
  return is_coloured() and ("\27[%dm%s\27[m"):format(COLOURS[colour], text) or text
end

output.plain = plain

return output
