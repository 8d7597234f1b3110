--- `help(x)`: what is written about x above its definition. Of lambdapool that is the reference; of
--- the user's own files, the comment above a function.

local annotations = require "lambdapool.repl.annotations"
local futures = require "lambdapool.future"
local names = require "lambdapool.repl.names"
local printer = require "lambdapool.repl.printer"

local find, format, gmatch, gsub, lower, match, sub =
  string.find, string.format, string.gmatch, string.gsub, string.lower, string.match, string.sub
local concat, sort = table.concat, table.sort

local LUA_MANUAL = "https://www.lua.org/manual/5.4/manual.html#pdf-"

local overview = [[
help(x) tells what x is and how it is used:

  pool, executor  run functions on many workers; help(pool), help(pool.map)
  lambdapool      the library: other pools, waiting for several futures, coroutines
  a future        what apply_async, map_async and submit return
  any function    of these, of Lua, of yours

:help lists the commands of the prompt.
]]

-- Pages ----------------------------------------------------------------------------------------

local pages = {}

-- The text of one of our files: as it is on disk where the modules come from there, or what the
-- build has kept of it.
local function source_of(file)
  local folder = os.getenv "LAMBDAPOOL_LUA"
  if folder and folder ~= "" then
    local handle <close> = io.open(folder .. "/" .. file)
    return handle and handle:read "a"
  end
  return require "lambdapool.repl.pages"[file]
end

local function page_of(file)
  if not pages[file] then
    pages[file] = annotations.read(source_of(file) or "")
  end
  return pages[file]
end

local function entry_named(file, name)
  for _, entry in ipairs(page_of(file)) do
    if entry.name == name then
      return entry
    end
  end
end

-- The file of lambdapool that a function stands in, and its line there.
local function place_of(fn)
  local info = debug.getinfo(fn, "S")
  return match(info.source, "^@(lambdapool/.*)$"), info.linedefined
end

-- Names ----------------------------------------------------------------------------------------

-- What the methods of a class are called with: "pool" for `methods` in pool.lua.
local function receiver_of(file, holder)
  if holder ~= "methods" then
    return holder == "AsyncResult" and "result" or lower(holder)
  end
  for _, entry in ipairs(page_of(file)) do
    local class = entry.name == "methods" and entry.tags[1] and match(entry.tags[1][2], "[%w_]+$")
    if class then
      return lower(class)
    end
  end
  return holder
end

-- How an entry is called: "pool:map(f, source, ...)".
local function signature(file, entry)
  local holder, sign, name = match(entry.name, "^([%w_]+)([.:])([%w_]+)$")
  local call = holder and receiver_of(file, holder) .. sign .. name or entry.name
  return entry.parameters and format("%s(%s)", call, entry.parameters) or call
end

-- Text -----------------------------------------------------------------------------------------

local function add_tags(lines, entry)
  local returned = {}
  for _, tag in ipairs(entry.tags) do
    local name, rest = match(tag[2], "^(%S+)%s+(.*)$")
    if tag[1] == "param" and name then
      lines[#lines + 1] = format("  %-12s %s", name, rest)
    elseif tag[1] == "return" then
      returned[#returned + 1] = tag[2]
    elseif tag[1] == "type" then
      lines[#lines + 1] = "  " .. tag[2]
    end
  end
  if returned[1] then
    lines[#lines + 1] = format("  %-12s %s", "returns", concat(returned, ", "))
  end
end

-- The options that an entry refers to, which stand elsewhere.
local function add_options(lines, text)
  local named = {}
  for name in gmatch(text, "engine%.[%w_]+") do
    named[#named + 1] = name
    named[#named + 1] = name == "engine.rules" and "engine.call_rules" or nil
  end
  for i, name in ipairs(named) do
    local entry = name ~= named[i - 1] and entry_named("lambdapool/engine.lua", name)
    if entry then
      lines[#lines + 1] = "\n" .. entry.text
    end
  end
end

local function render(file, entry)
  local lines = { signature(file, entry), "" }
  if entry.text ~= "" then
    lines[#lines + 1] = gsub(gsub(entry.text, "see engine%.[%w_]+", "see below"),
      "those of engine%.[%w_]+", "those below")
  end
  local count = #lines
  add_tags(lines, entry)
  if #lines > count and count > 2 then
    lines[count + 1] = "\n" .. lines[count + 1]
  end
  add_options(lines, entry.text)
  return concat(lines, "\n") .. "\n"
end

-- The first sentence of a text, on one line.
local function first_sentence(text)
  local line = gsub(gsub(text, "%s+", " "), ": see lambdapool/[%w_/]+%.lua", "")
  return match(line, "^(.-%.)%f[%s\0]") or line
end

-- The functions of a file that begin like `pattern`, with a sentence for each.
local function add_functions(lines, file, pattern)
  for _, entry in ipairs(page_of(file)) do
    if find(entry.name, pattern) and (entry.parameters or entry.tags[1]) then
      lines[#lines + 1] = "  " .. signature(file, entry)
      if entry.text ~= "" then
        lines[#lines + 1] = "      " .. first_sentence(entry.text)
      end
    end
  end
end

local function render_class(file, holder, name)
  local lines = { name .. "\n", page_of(file)[1].text .. "\n" }
  add_functions(lines, file, "^" .. holder .. "[.:]")
  return concat(lines, "\n") .. "\n"
end

-- Things ---------------------------------------------------------------------------------------

-- The comment above a function of the user's, where its file can be read.
local function own_comment(fn)
  local info = debug.getinfo(fn, "S")
  local file <close> = sub(info.source, 1, 1) == "@" and io.open(sub(info.source, 2))
  if not file then
    return ""
  end
  local block, number = {}, 0
  for line in file:lines() do
    number = number + 1
    if number == info.linedefined then
      break
    end
    local comment = match(line, "^%s*%-%-+ ?(.*)$")
    block[#block + 1] = comment
    block = comment and block or {}
  end
  return block[1] and "\n" .. concat(block, "\n") .. "\n" or ""
end

-- What `lambdapool.pool` and its kin hand on to, where all is said about it.
local function elaborate(entry)
  local file = match(entry.text, "see (lambdapool/[%w_/]+%.lua)%.$")
  if file then
    local name = match(entry.name, "[%w_]+$")
    local other = entry_named(file, name) or entry_named(file, "new")
    if other then
      return { line = other.line, name = entry.name, parameters = other.parameters,
        text = other.text, tags = other.tags }
    end
  end
  return entry
end

-- What is written about a function of lambdapool; nil about others.
local function help_of_own(fn)
  local file, line = place_of(fn)
  for _, entry in ipairs(file and page_of(file) or {}) do
    if entry.line == line and entry.parameters then
      return render(file, elaborate(entry))
    end
  end
  local library = require "lambdapool"
  for name, value in next, library do
    local entry = value == fn and entry_named("lambdapool/init.lua", "lambdapool." .. name)
    if entry then
      return render("lambdapool/init.lua", elaborate(entry))
    end
  end
end

local function help_of_function(fn)
  local text = help_of_own(fn)
  if text then
    return text
  end
  local name = names.new():find(fn)
  if name and debug.getinfo(fn, "S").what == "C" and not find(name, "%..*%.") then
    return format("%s is a function of Lua's own\n  %s%s\n", name, LUA_MANUAL, name)
  end
  return printer.format(fn) .. "\n" .. own_comment(fn)
end

-- The file and the table of methods of an object of lambdapool's.
local function class_of(value)
  local meta = debug.getmetatable(value)
  local class, methods = meta and rawget(meta, "__name"), meta and rawget(meta, "__index")
  if type(methods) == "table" and type(class) == "string" and find(class, "^lambdapool%.") then
    local list = {}
    for name, method in next, methods do
      if type(method) == "function" then
        list[#list + 1] = name
      end
    end
    sort(list)
    local file = list[1] and place_of(methods[list[1]])
    return file, futures.is(value) and match(class, "[%w_]+$") or "methods", class
  end
end

local function help_of_library()
  local file = "lambdapool/init.lua"
  local lines = { page_of(file)[1].text .. "\n" }
  add_functions(lines, file, "^lambdapool%.[%l_]+$")
  return concat(lines, "\n") .. "\n"
end

-- The value that a text like "pool:map" names.
local function value_named(session, text)
  local value, found
  for key in gmatch(text, "[%a_][%w_]*") do
    if not found then
      value, found = session:get(key), true
    elseif type(value) == "table" then
      local meta = debug.getmetatable(value)
      local index = meta and rawget(meta, "__index")
      local own = rawget(value, key)
      value = own ~= nil and own or type(index) == "table" and rawget(index, key) or nil
    else
      return nil
    end
  end
  return value
end

local function help_of(value)
  if type(value) == "function" then
    return help_of_function(value)
  elseif value == require "lambdapool" then
    return help_of_library()
  end
  local file, holder, class = class_of(value)
  if file then
    return render_class(file, holder, class)
  end
  return format("%s: %s\n", type(value), printer.format(value))
end

local manual = {}

--- The function `help` of a prompt.
---@param console lambdapool.repl.Console
---@return fun(...: any)
function manual.new(console)
  local function help(...)
    local value = ...
    if select("#", ...) == 0 or value == help then
      console:write_text(overview)
      return
    end
    local named = type(value) == "string" and value_named(console.session, value)
    console:write_text(help_of(named or value))
  end
  return help
end

return manual
