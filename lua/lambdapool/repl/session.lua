--- Compiles and runs what is typed at a prompt. Its locals survive: each input is compiled with the
--- locals of earlier ones as upvalues, joined to the variables themselves, so closures made earlier
--- see what is assigned later, and functions typed here travel as any others do.
---
--- Two names are special. `_` is the last value: a global, so that it needs no variable; a local
--- called so is gone with its line. And a variable of `local x <close>` is closed when its line
--- ends; what it held stays readable.

local errors = require "lambdapool.errors"
local locals = require "lambdapool.repl.locals"

local find, format, gmatch, gsub = string.find, string.format, string.gmatch, string.gsub
local match, rep = string.match, string.rep
local concat, insert, sort = table.concat, table.insert, table.sort
local pack, unpack, min = table.pack, table.unpack, math.min

-- The locals that one function declares for what is inside it; Lua has a limit of 200.
local GROUP = 150

---@class lambdapool.repl.Variable an upvalue of a closure
---@field closure function
---@field index integer
---@field attribute string? "const": it cannot be assigned to

---@class lambdapool.repl.Chunk what was typed, ready to run
---@field name string its chunk name
---@field closed string[] names of its variables that are closed when it ends
local chunk_methods = {}
local chunk_mt = { __name = "lambdapool.repl.Chunk", __index = chunk_methods }

---@class lambdapool.repl.Session
---@field variables table<string, lambdapool.repl.Variable>
---@field inputs integer how many there were
local methods = {}
local mt = { __name = "lambdapool.repl.Session", __index = methods }

-- Variables ------------------------------------------------------------------------------------

local function upvalue_named(closure, name)
  local index = 1
  local found = debug.getupvalue(closure, index)
  while found and found ~= name do
    index = index + 1
    found = debug.getupvalue(closure, index)
  end
  return found and index
end

-- The variable called `name` of a closure that returns several. Compile-time constants are no
-- variables: they are given one.
local function variable_of(closure, name, position)
  local index = upvalue_named(closure, name)
  if index then
    return { closure = closure, index = index }
  end
  local value = pack(closure())[position]
  return { closure = function() return value end, index = 1 }
end

-- Keeps the variables of a declaration, which replace those that had their names.
local function remember(self, declaration, closure)
  for position, entry in ipairs(declaration.names) do
    if entry.name ~= "_" then
      local variable = variable_of(closure, entry.name, position)
      variable.attribute = entry.attribute and "const"
      self.variables[entry.name] = variable
    end
  end
end

--- The locals of earlier inputs.
---@return fun(): string?, any
function methods:values()
  local name, variable
  return function()
    name, variable = next(self.variables, name)
    if name then
      local _, value = debug.getupvalue(variable.closure, variable.index)
      return name, value
    end
  end
end

--- The value of a name as the next input would see it: of a local, or of a global.
---@param name string
---@return any value
---@return boolean found
function methods:get(name)
  local variable = self.variables[name]
  if variable then
    local _, value = debug.getupvalue(variable.closure, variable.index)
    return value, true
  end
  local value = rawget(_G, name)
  return value, value ~= nil
end

--- The name of a local that holds `value`; the first of several.
---@param value any
---@return string?
function methods:name_of(value)
  local least
  for name, held in self:values() do
    if rawequal(held, value) and (not least or name < least) then
      least = name
    end
  end
  return least
end

--- Forgets all locals. Closures keep theirs.
function methods:clear()
  self.variables = {}
end

-- Compiling ------------------------------------------------------------------------------------

-- The function of a text, or nil and a message. Some errors of the compiler are for the handler of
-- who called: here that is nobody.
local function compile(text, name)
  local ok, chunk, message = pcall(load, text, name, "t")
  if not ok then
    return nil, tostring(chunk)
  end
  return chunk, message
end

-- The same for what was typed. A quoted string that Lua takes for unfinished may only go on behind
-- a backslash; the end of the line tells.
local function try(text, name)
  local chunk, message = compile(text, name)
  if message and find(message, "unfinished string near <eof>$") then
    return compile(text .. "\n", name)
  end
  return chunk, message
end

local function ends_early(message)
  return find(message, "<eof>$") ~= nil
end

-- Whether a text is one that only an expression begins like, so that what is wrong with it as a
-- statement is of no interest.
local function is_operand(text)
  return find(text, "^%s*[%d.\"'{#~-]") or find(text, "^%s*not%f[^%w_]")
end

-- Tells what was typed, by itself: code that it is compiled into could complete it. Returns the
-- text of a chunk, with a `return` if it is an expression; what it is, an "expression" or
-- "statements", or what is wrong with it, "incomplete" or "error"; and what the compiler said then.
local function read(text, name)
  local asked, signs = gsub(text, "^(%s*)=", "%1return ", 1)
  local expression = signs == 1 and asked or "return " .. text
  local is_expression, complaint = try(expression, name)
  if is_expression then
    return expression, "expression"
  end
  local are_statements, message = try(text, name)
  if are_statements then
    return text, "statements"
  elseif ends_early(message) or ends_early(complaint) then
    return text, "incomplete", ends_early(message) and message or complaint
  end
  return text, "error", (signs == 1 or is_operand(text)) and complaint or message
end

-- Declares names, a function for each group of them around the next, and opens the function that
-- is to see them. Returns what opens all of these, and what closes them.
local function enclosure(names)
  local heads = {}
  for first = 1, #names, GROUP do
    local group = concat(names, ", ", first, min(first + GROUP - 1, #names))
    heads[#heads + 1] = format("local %s return ", group)
  end
  return concat(heads, "(function() ") .. "function(...) ", " end" .. rep(" end)()", #heads - 1)
end

-- The names of `variables` that occur among the words, as they are declared.
local function declared(variables, words)
  local names = {}
  for name, variable in next, variables do
    if words[name] or name == "_ENV" then
      names[#names + 1] = variable.attribute and name .. " <const>" or name
    end
  end
  sort(names)
  return names
end

-- A name that does not occur in the text.
local function unused(text)
  local name = "_keep"
  while find(text, name, 1, true) do
    name = "_" .. name
  end
  return name
end

-- The text in the middle of all that it needs: a chunk that returns it as a function, whose upvalue
-- `keep` is called with each declaration.
local function weave(self, text, kind, declarations, words, keep)
  local names = declared(self.variables, words)
  insert(names, 1, keep)
  local head, foot = enclosure(names)
  -- Nothing is a tail call where a variable must be closed: the frame of the expression stays.
  local held = kind == "expression" and format("local %s <close> = nil ", keep) or ""
  -- A comment may be the last of it. Else no line is added: variables are closed in the last one.
  local apart = find(text, "--", 1, true) and "\n" or ""
  return concat { head, held, locals.instrument(text, declarations, keep), apart, foot }
end

-- Gives the function that the chunk returned its upvalues.
local function join(self, main, declarations, keep)
  local index = 1
  local name = debug.getupvalue(main, index)
  while name do
    local variable = self.variables[name]
    if name == keep then
      debug.setupvalue(main, index, function(i, closure)
        remember(self, declarations[i], closure)
      end)
    elseif variable then
      debug.upvaluejoin(main, index, variable.closure, variable.index)
    end
    index = index + 1
    name = debug.getupvalue(main, index)
  end
end

local function closed_names(declarations)
  local names = {}
  for _, declaration in ipairs(declarations) do
    for _, entry in ipairs(declaration.names) do
      if entry.attribute == "close" then
        names[#names + 1] = entry.name
      end
    end
  end
  return names
end

--- Compiles what was typed: an expression, with or without a "=" before it, or statements. Nothing
--- has changed when it is refused.
---@param text string
---@param name string? the chunk name of a text that was not typed: "@job.lua"
---@return lambdapool.repl.Chunk?
---@return "incomplete" | "error" | nil what is wrong: more text may complete it, or none can
---@return string? message
function methods:compile(text, name)
  local chunk_name = name or format("=repl:%d", self.inputs + 1)
  local source, kind, message = read(text, chunk_name)
  if kind == "incomplete" then
    return nil, kind, message
  end
  self.inputs = self.inputs + (name and 0 or 1)
  if kind == "error" then
    return nil, kind, message
  end
  local declarations, words = locals.find(source)
  local keep = unused(source)
  local chunk, complaint = compile(weave(self, source, kind, declarations, words, keep), chunk_name)
  if not chunk then
    return nil, "error", complaint
  end
  local main = chunk()
  join(self, main, declarations, keep)
  local fields = { name = chunk_name, main = main, closed = closed_names(declarations) }
  return setmetatable(fields, chunk_mt)
end

-- Running --------------------------------------------------------------------------------------

-- Frames that tell nothing: that an error was raised, and what ran the whole. What was tail called
-- first is a frame of ours.
local nobodys = { ["\t[C]: in function 'error'"] = true, ["\t[C]: in ?"] = true }

-- A traceback of the user's frames. The last value at the prompt is no name of a function.
local function traceback_of(level)
  local last = rawget(_G, "_")
  rawset(_G, "_", nil)
  local text = errors.traceback("", level + 1, "^\t%[C%]: in %l+ 'xpcall'$")
  rawset(_G, "_", last)
  return text
end

-- The frames of a traceback between an error and what was typed, which is the last of them; nil
-- when there are no others.
local function frames_of(main)
  local text = traceback_of(4)
  local place = debug.getinfo(main, "S").short_src
  local lines, count = {}, 0
  for line in gmatch(text, "\n(\t[^\n]*)") do
    if not nobodys[line] and not (count == 0 and line == "\t(...tail calls...)") then
      count = count + 1
      lines[count] = line
    end
  end
  local where, what = match(lines[count] or "", "^(\t.*:%d+: )in function <(.*):%d+>$")
  if what == place then
    lines[count] = where .. "in main chunk"
  end
  if count > 1 then
    return "stack traceback:\n" .. concat(lines, "\n")
  end
end

--- Runs it, with the arguments as its `...`. The locals that it has declared by its end, or by its
--- error, survive.
---@param ... any
---@return boolean ok
---@return any values as of table.pack, or what was raised
---@return string? traceback of an error: the user's frames, where there are others than the line
function chunk_methods:run(...)
  local traceback
  local results = pack(xpcall(self.main, function(failure)
    local ok, text = pcall(frames_of, self.main)
    traceback = ok and text or nil
    return failure
  end, ...))
  if not results[1] then
    return false, results[2], traceback
  end
  local values = pack(unpack(results, 2, results.n))
  if values[1] ~= nil then
    rawset(_G, "_", values[1])
  end
  return true, values
end

---@return lambdapool.repl.Session
local function new()
  return setmetatable({ variables = {}, inputs = 0 }, mt)
end

return { new = new }
