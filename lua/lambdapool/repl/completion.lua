--- What may follow what was typed: names, fields and methods of the value before the dot, modules
--- in `require "`, commands, files behind `:load`. Looking things up runs none of the user's code:
--- tables are read as they are, and `__index` is followed where it is a table.

local commands = require "lambdapool.repl.commands"

local find, match, sub = string.find, string.match, string.sub
local concat, sort = table.concat, table.sort
local min, tointeger = math.min, math.tointeger

-- How many keys are looked at, and how far along `__index`.
local KEYS, LEVELS = 200000, 16

-- A list longer than this helps nobody.
local MOST = 1000

local keywords = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function",
  "goto", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until",
  "while" }

-- Values ---------------------------------------------------------------------------------------

local function meta_of(value)
  local meta = debug.getmetatable(value)
  return meta and rawget(meta, "__index")
end

-- Calls visit(table) for each table in which fields of a value are found, until it returns true.
local function each_place(value, visit)
  for _ = 1, LEVELS do
    if type(value) == "table" and visit(value) then
      return
    end
    value = meta_of(value)
    if value == nil then
      return
    end
  end
end

local function field(value, key)
  local found
  each_place(value, function(place)
    found = rawget(place, key)
    return found ~= nil
  end)
  return found
end

-- The value of what stands at the end of `code`, when that is a chain of names and constants.
local function value_at(session, code)
  local rest, key = match(code, "^(.*[%w_%]])%s*[.:]%s*([%a_][%w_]*)%s*$")
  if rest then
    return field(value_at(session, rest), key)
  end
  rest, key = match(code, "^(.*[%w_%]])%s*%[%s*(%d+)%s*%]%s*$")
  if rest then
    return field(value_at(session, rest), tointeger(key))
  end
  local quote
  rest, quote, key = match(code, "^(.*[%w_%]])%s*%[%s*([\"'])([^\"'\\]*)%2%s*%]%s*$")
  if quote then
    return field(value_at(session, rest), key)
  elseif find(code, "[\"']%s*%)%s*$") then
    return ""
  end
  local name = match(code, "([%a_][%w_]*)%s*$")
  return name and (session:get(name))
end

-- Candidates -----------------------------------------------------------------------------------

local function starts_with(text, prefix)
  return sub(text, 1, #prefix) == prefix
end

-- A collection of names that begin with `prefix`; those with a "_" only where it has one.
local function collection(prefix)
  local seen, names = {}, {}
  return names, function(name)
    if type(name) == "string" and not seen[name] and starts_with(name, prefix)
      and (prefix ~= "" or sub(name, 1, 1) ~= "_") then
      seen[name] = true
      names[#names + 1] = name
    end
  end
end

local function is_callable(value)
  local meta = debug.getmetatable(value)
  return type(value) == "function" or meta and rawget(meta, "__call") ~= nil
end

-- Adds the names of the fields of a value. Returns true when there may be more.
local function add_fields(value, add, only_methods)
  local left = KEYS
  each_place(value, function(place)
    for key, held in next, place do
      left = left - 1
      if left <= 0 then
        return true
      elseif type(key) == "string" and find(key, "^[%a_][%w_]*$")
        and (not only_methods or is_callable(held)) then
        add(key)
      end
    end
  end)
  return left <= 0
end

-- The names that may stand at the end of `code`, which is not in a string or comment; how long the
-- part of them is that is there; and true when there may be more.
local function names_at(session, code)
  local prefix = match(code, "[%a_]?[%w_]*$")
  if find(prefix, "^%d") then
    return nil
  end
  local before = sub(code, 1, #code - #prefix)
  local names, add = collection(prefix)
  local rest, sign = match(before, "^(.-)%s*([.:])%s*$")
  if rest and not find(rest, "[.:]$") then
    local more = add_fields(value_at(session, rest), add, sign == ":")
    return names, #prefix, more
  end
  for name in session:values() do
    add(name)
  end
  local more = add_fields(_G, add)
  for _, word in ipairs(keywords) do
    add(word)
  end
  return names, #prefix, more
end

-- Files and modules ------------------------------------------------------------------------------

-- The names in a folder, which ends in a slash or is ""; none when it cannot be read.
local function list(folder)
  local ok, files = pcall(require, "lambdapool.files")
  local names = ok and files.list(folder == "" and "." or folder) or {}
  sort(names)
  return names, ok and files
end

-- The modules that a template of package.path offers: "./?.lua" those in a folder, "./?/init.lua"
-- folders in it.
local function add_modules(template, parent, add)
  local folder, rest = match(template, "^([^?]*)%?(.*)$")
  if not folder then
    return
  end
  local path = folder .. parent:gsub("%.", "/")
  for _, name in ipairs((list(path))) do
    if starts_with(rest, "/") then
      local file <close> = not find(name, ".", 1, true) and io.open(path .. name .. rest)
      add(file and parent .. name)
    elseif #name > #rest and sub(name, -#rest) == rest and name ~= "init.lua" then
      add(parent .. sub(name, 1, -#rest - 1))
    end
  end
end

local function modules_at(prefix)
  local names, add = collection(prefix)
  local parent = match(prefix, "^(.*%.)[^.]*$") or ""
  for _, known in ipairs { package.loaded, package.preload } do
    for name in next, known do
      if not find(name, "^lambdapool%.") and name ~= "_G" then
        add(name)
      end
    end
  end
  for template in (package.path .. ";" .. package.cpath):gmatch "[^;]+" do
    add_modules(template, parent, add)
  end
  return names, #prefix
end

local function files_at(prefix)
  local folder = match(prefix, "^.*/") or ""
  local home = os.getenv "HOME"
  local place = starts_with(folder, "~/") and home and home .. sub(folder, 2) or folder
  local names, add = collection(prefix)
  local found, files = list(place)
  for _, name in ipairs(found) do
    if not starts_with(name, ".") then
      add(folder .. name .. (files.is_folder(place .. name) and "/" or ""))
    end
  end
  return names, #prefix
end

-- Where the cursor is ----------------------------------------------------------------------------

-- The first place from `at` on where something opens in which there are no names; where it closes,
-- if it does; and for a short string true.
local function next_opaque(text, at)
  while true do
    local first = find(text, "[-\"'%[]", at)
    if not first then
      return nil
    end
    local dashes, level = match(text, "^(%-?%-?)%[(=*)%[", first)
    if dashes and dashes ~= "-" then
      local _, last = find(text, "]" .. level .. "]", first, true)
      return first, last
    elseif match(text, "^%-%-", first) then
      return first, find(text, "\n", first, true)
    end
    local quote = match(text, "^[\"']", first)
    if quote then
      local last = first
      repeat
        last = find(text, "[\\" .. quote .. "]", last + 1)
        local escape = last and sub(text, last, last) == "\\"
        last = escape and last + 1 or last
      until not escape
      return first, last, true
    end
    at = first + 1
  end
end

-- Text without the strings and comments that are closed, "" in their place, and what stands open at
-- its end: nil, "other", or "string" with what is in it so far.
local function split(text)
  local parts, at = {}, 1
  while true do
    local first, last, is_string = next_opaque(text, at)
    parts[#parts + 1] = sub(text, at, (first or #text + 1) - 1)
    if not first then
      return concat(parts)
    elseif not last then
      return concat(parts), is_string and "string" or "other", sub(text, first + 1)
    end
    parts[#parts + 1] = is_string and sub(text, first, last) or " "
    at = last + 1
  end
end

-- The names that may stand at the end of a text, as names_at gives them.
local function candidates(session, text)
  local prefix = match(text, "^%s*:(%a*)$")
  if prefix then
    local names, add = collection(prefix)
    for _, name in ipairs(commands.names) do
      add(name)
    end
    return names, #prefix
  end
  prefix = match(text, "^%s*:load%s+(.*)$")
  if prefix then
    return files_at(prefix)
  end
  local code, open, inside = split(match(text, "^%s*:time%s(.*)$") or text)
  if not open then
    return names_at(session, code)
  elseif open == "string" and find(code, "%f[%w_]require%s*%(?%s*$") then
    return modules_at(inside)
  end
end

local completion = {}

--- A function for the editor: given the line and where the cursor is in it, returns where the words
--- begin that may stand there, and these; nil when there are none.
---@param session lambdapool.repl.Session
---@return fun(text: string, position: integer): integer?, { text: string }[]?
function completion.new(session)
  return function(text, position)
    local names, length, more = candidates(session, sub(text, 1, position))
    if not names or not names[1] then
      return nil
    end
    sort(names)
    local list_of, first = {}, position - length + 1
    for i = 1, min(#names, MOST) do
      list_of[i] = { text = names[i] }
    end
    if #names > MOST then -- what they begin with is what the first and the last one do
      list_of[MOST] = { text = names[#names] }
    end
    if more then
      list_of[#list_of + 1] = { text = sub(text, first, position), shown = "..." }
    end
    return first, list_of
  end
end

return completion
