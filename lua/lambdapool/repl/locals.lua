--- Which locals a chunk leaves behind, and how they are got hold of: right behind each `local`
--- statement of the chunk itself, not of blocks in it, a call is put in that hands over a closure
--- of the new variables. So the very variables are kept, also those of a chunk that fails half way,
--- and no line moves.
---
--- Where a `local` statement ends is told by two neighbours: behind an operand no expression goes
--- on with a word, but for `and` and `or`.

local tokens = require "lambdapool.repl.tokens"

local find, format, gmatch, sub = string.find, string.format, string.gmatch, string.sub
local concat = table.concat

local locals = {}

---@class lambdapool.repl.Declaration a `local` statement
---@field last integer the last byte of the statement
---@field names { name: string, attribute: string? }[]

local function set(words)
  local result = {}
  for word in gmatch(words, "%S+") do
    result[word] = true
  end
  return result
end

local openers = set "( [ { function if do repeat"
local closers = set ") ] } end until"
local operands = set ") ] } ... end nil true false"
local keywords = set [[and break do else elseif end false for function goto if in local nil not or
  repeat return then true until while]]

--- Whether a word is a name that a variable may have.
---@param word string
---@return boolean
function locals.is_name(word)
  return find(word, "^[%a_][%w_]*$") ~= nil and not keywords[word]
end

-- Whether an operand may end with the token.
local function ends_operand(token)
  return token == "" or operands[token] or locals.is_name(token)
end

-- Whether the token, behind an operand, belongs to another statement.
local function begins_statement(token)
  return find(token, "^[%a_]") and token ~= "and" and token ~= "or" or token == ";" or token == "::"
end

-- The names that the `local` at said[i] declares, and the index of the last token of theirs.
local function read_names(said, i)
  if said[i + 1] == "function" then
    return { { name = said[i + 2] } }, i
  end
  local names = {}
  repeat
    i = i + 1
    local name = { name = said[i] }
    names[#names + 1] = name
    if said[i + 1] == "<" then
      name.attribute = said[i + 2]
      i = i + 3
    end
    i = i + 1
  until said[i] ~= ","
  return names, i - 1
end

--- Reads a text that compiles.
---@param text string
---@return lambdapool.repl.Declaration[] declarations of the chunk itself
---@return table<string, boolean> words that occur
function locals.find(text)
  local said, lasts = tokens.of(text)
  local declarations, words = {}, {}
  local depth, open, operand = 0, nil, false
  local i = 1
  while said[i] do
    local token = said[i]
    words[token] = true
    if open and depth == 0 and operand and begins_statement(token) then
      open.last, open = lasts[i - 1], nil
    end
    if token == "local" and depth == 0 then
      open = {}
      declarations[#declarations + 1] = open
      open.names, i = read_names(said, i)
      operand = said[i] ~= "local" -- a function's statement goes on
    else
      depth = depth + (openers[token] and 1 or closers[token] and -1 or 0)
      operand = ends_operand(token)
    end
    i = i + 1
  end
  if open then
    open.last = lasts[#lasts]
  end
  return declarations, words
end

--- The text with calls of `keep(index, closure)` behind its declarations.
---@param text string
---@param declarations lambdapool.repl.Declaration[]
---@param keep string a name that does not occur in the text
---@return string
function locals.instrument(text, declarations, keep)
  local pieces, at = {}, 1
  for i, declaration in ipairs(declarations) do
    local names = {}
    for k, entry in ipairs(declaration.names) do
      names[k] = entry.name
    end
    pieces[#pieces + 1] = sub(text, at, declaration.last)
    local list = concat(names, ", ")
    pieces[#pieces + 1] = format(" %s(%d, function() return %s end);", keep, i, list)
    at = declaration.last + 1
  end
  pieces[#pieces + 1] = sub(text, at)
  return concat(pieces)
end

return locals
