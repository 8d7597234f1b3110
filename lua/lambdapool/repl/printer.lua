--- Values as text for people, never more than a screen of it, and never slow: of what is large the
--- beginning is looked at. Nothing of a value's own is called but `__tostring`.
---
--- A value becomes a tree of parts that know how wide they are on one line; what does not fit there
--- takes several. What takes too many lines is made again with less in it.

local contents = require "lambdapool.repl.contents"
local interrupt = require "lambdapool.interrupt"
local literals = require "lambdapool.repl.literals"
local names = require "lambdapool.repl.names"

local max, min, math_type = math.max, math.min, math.type
local find, format, gmatch, gsub = string.find, string.format, string.gmatch, string.gsub
local match, rep, sub, offset = string.match, string.rep, string.sub, utf8.offset
local concat, status = table.concat, coroutine.status

-- How many keys of all tables are looked at, and of one; how many parts there may be.
local STEPS, TABLE_STEPS, PARTS = 400000, 100000, 3000

local styles = {
  string = "\27[32m",
  number = "\27[36m",
  word = "\27[35m",
  thing = "\27[33m",
  note = "\27[2m",
}

---@class lambdapool.repl.PrinterOptions
---@field width integer? columns; 80
---@field lines integer? at most; 20
---@field items integer? of a table, at most; 100
---@field depth integer? tables in tables, at most; 4
---@field colours boolean?
---@field name_of (fun(value: any): string?)? what a function is called that is no global

---@class lambdapool.repl.Part text, or a table: then `open` is there
---@field width integer on one line
---@field text string?
---@field style string?
---@field open string?
---@field entries { key: string, part: lambdapool.repl.Part }[]?

-- Parts ----------------------------------------------------------------------------------------

local function text_part(text, style)
  return { text = text, style = style, width = literals.width(text) }
end

-- The beginning of a text of somebody else's, as much as a screen has room for.
local function harmless(maker, text)
  local limit = maker.width * maker.lines
  return literals.plain(#text > limit and literals.beginning(text, limit) .. "…" or text)
end

-- What a value says of itself: its __tostring, or what is wrong with that.
local function own_text(maker, value)
  local ok, text = pcall(tostring, value)
  if ok then
    return harmless(maker, text)
  elseif interrupt.is(text) then
    error(text, 0)
  end
  local is_text, message = pcall(tostring, text)
  return format("<error in __tostring: %s>", harmless(maker, is_text and message or type(text)))
end

-- The first line of a text, and no more than `limit` columns of it.
local function one_line(text, limit)
  local line = match(text, "^[^\n]*")
  if literals.width(line) > limit then
    line = sub(line, 1, (offset(line, limit) or limit + 1) - 1)
  end
  return line == text and text or line .. "…"
end

-- What a value says of itself, in one line when it is inside a table.
local function own_part(maker, value, level)
  local text = own_text(maker, value)
  if level > 0 then
    text = one_line(text, maker.text_limit)
  end
  return text_part(text, not find(text, "\n", 1, true) and "thing" or nil)
end

-- The field of a metatable, read without asking anybody.
local function meta_field(value, field)
  local meta = debug.getmetatable(value)
  return meta and rawget(meta, field)
end

local function table_head(maker, value)
  local name = meta_field(value, "__name")
  return type(name) == "string" and one_line(harmless(maker, name), 40) .. " " or ""
end

local makers = {}

makers["nil"] = function()
  return text_part("nil", "word")
end

function makers.boolean(_, value)
  return text_part(tostring(value), "word")
end

function makers.number(_, value)
  return text_part(literals.number(value), "number")
end

function makers.string(maker, value, level)
  local limit = level == 0 and maker.width * maker.lines // 2 or maker.text_limit
  return text_part(literals.string(value, limit), "string")
end

makers["function"] = function(maker, value)
  local info = debug.getinfo(value, "S")
  local name = maker.name_of and maker.name_of(value) or maker.names:find(value)
  local text
  if info.what == "C" then
    text = "builtin " .. (name or format("%p", value))
  else
    local place = literals.plain(format("%s:%d", info.short_src, info.linedefined))
    text = name and format("%s (%s)", name, place) or place
  end
  return text_part("function: " .. text, "thing")
end

function makers.thread(_, value)
  return text_part(format("thread: %p (%s)", value, status(value)), "thing")
end

makers.userdata = own_part

local make

-- A key of a table that is neither a string nor a number.
local function other_key(maker, key)
  local part = type(key) == "table" and not meta_field(key, "__tostring") and text_part "{…}"
    or make(maker, key, 1)
  return "[" .. part.text .. "]"
end

local function key_text(maker, key)
  local plain = type(key) == "string" or math_type(key)
  return (plain and literals.key(key) or other_key(maker, key)) .. " = "
end

local function add_entry(part, key, value)
  part.entries[#part.entries + 1] = { key = key, part = value }
  part.width = part.width + literals.width(key) + value.width + 2
end

local function add_rest(part, count, exact)
  if count > 0 then
    local text = format("… %s%s more", exact and "" or "over ", literals.count(count))
    add_entry(part, "", text_part(text, "note"))
  end
end

-- What is known of a table; it is read once, however often it is shown.
local function contents_of(maker, value)
  local found = maker.found[value]
  if not found then
    local steps = min(TABLE_STEPS, max(maker.items, maker.steps))
    found = contents.of(value, maker.items + 2, steps)
    maker.steps = maker.steps - min(steps, found.listed + found.count)
    maker.found[value] = found
  end
  return found
end

-- How many of so many are shown: nothing is left out where telling that takes as much room.
local function shown_of(count, limit)
  return count <= limit + 2 and count or limit
end

local function fill(maker, part, value, level)
  local found = contents_of(maker, value)
  local limit = level == 0 and maker.shown or maker.shown_inside
  local items = shown_of(found.length, limit)
  local keys = min(shown_of(found.count, limit), #found.keys)
  for i = 1, items do
    add_entry(part, "", make(maker, rawget(value, i), level + 1))
  end
  add_rest(part, found.length - items, true)
  for i = 1, keys do
    local key = found.keys[i]
    add_entry(part, key_text(maker, key), make(maker, rawget(value, key), level + 1))
  end
  add_rest(part, found.count - keys, found.exact)
end

local function table_part(maker, value, level)
  local head = table_head(maker, value)
  if next(value) == nil then
    return text_part(head .. "{}")
  elseif level >= maker.shown_depth then
    return text_part(head .. "{…}")
  end
  local part = { open = head .. "{", entries = {}, width = literals.width(head) + 2 }
  maker.path[value] = true
  fill(maker, part, value, level)
  maker.path[value] = nil
  return part
end

function makers.table(maker, value, level)
  local name = meta_field(value, "__name")
  if meta_field(value, "__tostring") or type(name) == "string" and find(name, "^lambdapool%.") then
    return own_part(maker, value, level)
  elseif maker.path[value] then
    return text_part("<cycle>", "note")
  end
  return table_part(maker, value, level)
end

function make(maker, value, level)
  maker.parts = maker.parts + 1
  if maker.parts > PARTS then
    return text_part "…"
  end
  return makers[type(value)](maker, value, level)
end

-- Lines ----------------------------------------------------------------------------------------

---@class lambdapool.repl.Page the lines so far
---@field lines string[]
---@field pieces string[] of the last line
---@field column integer that it has reached

local function put(page, text, columns)
  page.pieces[#page.pieces + 1] = text
  page.column = page.column + (columns or literals.width(text))
end

local function new_line(page, indent)
  page.lines[#page.lines + 1] = concat(page.pieces)
  page.pieces, page.column = { rep(" ", indent) }, indent
end

local function put_text(page, part)
  local style = page.colours and part.style and styles[part.style]
  put(page, style and style .. part.text .. "\27[0m" or part.text, part.width)
end

local function put_flat(page, part)
  if not part.open then
    put_text(page, part)
    return
  end
  put(page, part.open)
  for i, entry in ipairs(part.entries) do
    put(page, i > 1 and ", " or " ")
    put(page, entry.key)
    put_flat(page, entry.part)
  end
  put(page, " }")
end

-- Puts a part from where the page is; `behind` columns are needed behind its last line. Several
-- items without keys share a line, and everything else has lines of its own.
local function put_part(page, part, indent, behind)
  if not part.open or page.column + part.width + behind <= page.width then
    put_flat(page, part)
    return
  end
  put(page, part.open)
  local inside, shares = indent + 2, false
  for i, entry in ipairs(part.entries) do
    local comma = part.entries[i + 1] and 1 or 0
    local short = entry.key == "" and not entry.part.open
    if shares and short and page.column + 1 + entry.part.width + comma <= page.width then
      put(page, " ")
    else
      new_line(page, inside)
    end
    shares = short
    put(page, entry.key)
    put_part(page, entry.part, inside, comma)
    put(page, comma == 1 and "," or "")
  end
  new_line(page, indent)
  put(page, "}")
end

-- The lines of the value with so many items and levels of tables, and as long texts in them as goes
-- with that; nil when it has too many parts.
local function lines_of(maker, value, shown, depth)
  maker.shown, maker.shown_inside = shown, min(maker.items, max(4, shown // 4))
  maker.shown_depth, maker.parts = depth, 0
  maker.text_limit = max(20, (maker.width - 20) * shown // maker.items)
  local part = make(maker, value, 0)
  if maker.parts > PARTS then
    return nil
  end
  local page = { lines = {}, pieces = {}, column = 0, width = maker.width, colours = maker.colours }
  put_part(page, part, 0, 0)
  new_line(page, 0)
  return page.lines
end

-- How many levels of tables go with so many items: what is in the items of a list is of more
-- interest than what is in the fields of a record.
local function fitting_depth(maker, value, shown)
  local found = maker.found[value]
  local is_list = found and found.length > 0
  return shown > 50 and 4 or shown > 25 and 3 or (is_list or shown > 20) and 2 or 1
end

-- Text of several lines, as __tostring may give it, without those that are too many.
local function cut_lines(lines, limit)
  local all = {}
  for line in gmatch(concat(lines, "\n") .. "\n", "(.-)\n") do
    all[#all + 1] = line
  end
  local left = #all - limit
  if left > 0 then
    all[limit] = format("… %s more lines", literals.count(left + 1))
  end
  return concat(all, "\n", 1, min(#all, limit))
end

-- Printing -------------------------------------------------------------------------------------

local printer = {}

---@param options lambdapool.repl.PrinterOptions
local function new_maker(options)
  return {
    width = max(20, options.width or 80),
    lines = max(1, options.lines or 20),
    items = max(1, options.items or 100),
    depth = options.depth or 4,
    colours = options.colours,
    name_of = options.name_of,
    names = names.new(),
    steps = STEPS,
    found = {},
    path = {},
  }
end

--- A value as text, without a newline at its end.
---@param value any
---@param options lambdapool.repl.PrinterOptions?
---@return string
function printer.format(value, options)
  local maker = new_maker(options or {})
  local shown, depth = maker.items, maker.depth
  local lines = lines_of(maker, value, shown, depth)
  while (not lines or #lines > maker.lines) and (shown > 1 or depth > 1) do
    depth = min(depth, shown > 1 and fitting_depth(maker, value, shown) or 1)
    shown = max(1, shown * 3 // 4)
    lines = lines_of(maker, value, shown, depth)
  end
  return cut_lines(lines, maker.lines)
end

-- The options with another number of lines.
local function with_lines(options, lines)
  local changed = { lines = lines }
  for key, value in next, options do
    changed[key] = changed[key] or value
  end
  return changed
end

-- How wide a line of the texts is, with tabs between them; nil when one has several lines.
local function tabbed_width(texts)
  local column = 0
  for i, text in ipairs(texts) do
    if find(text, "\n", 1, true) then
      return nil
    end
    column = i > 1 and column // 8 * 8 + 8 or 0
    column = column + literals.width((gsub(text, "\27%[%d*m", "")))
  end
  return column
end

--- Several values, as table.pack has them: on one line with tabs between them, where they fit
--- there, or below each other. "" when there are none.
---@param values { n: integer }
---@param options lambdapool.repl.PrinterOptions?
---@return string
function printer.values(values, options)
  options = options or {}
  local lines, texts = options.lines or 20, {}
  local shown = values.n > lines and lines - 1 or values.n
  for i = 1, shown do
    texts[i] = printer.format(values[i], with_lines(options, max(1, lines // values.n)))
  end
  if shown < values.n then
    texts[#texts + 1] = format("… %s more values", literals.count(values.n - shown))
  end
  local width = tabbed_width(texts)
  return concat(texts, width and width <= (options.width or 80) and "\t" or "\n")
end

return printer
