--- The words and signs of Lua code that compiles: enough of a lexer to tell where statements are.

local find, match, sub = string.find, string.match, string.sub

local tokens = {}

-- The byte behind the long bracket that opens at `at`, or nil when none does.
local function behind_long(text, at)
  local level = match(text, "^%[(=*)%[", at)
  if level then
    local _, last = find(text, "]" .. level .. "]", at, true)
    return (last or #text) + 1
  end
end

-- The first byte from `at` on that is neither blank nor in a comment.
local function skip_blanks(text, at)
  at = match(text, "^%s*()", at)
  while sub(text, at, at + 1) == "--" do
    at = behind_long(text, at + 2) or match(text, "^[^\r\n]*()", at)
    at = match(text, "^%s*()", at)
  end
  return at
end

-- The byte behind the short string that the quote at `at` opens.
local function behind_string(text, at)
  local stop = "[\\" .. sub(text, at, at) .. "]"
  local i = find(text, stop, at + 1)
  while i and sub(text, i, i) == "\\" do
    i = find(text, stop, i + 2)
  end
  return (i or #text) + 1
end

-- The byte behind the number at `at`: a sign belongs to it behind the letter of an exponent.
local function behind_number(text, at)
  local exponent = find(text, "^0[xX]", at) and "[pP]" or "[eE]"
  local i = match(text, "^[%w_.]*()", at)
  if find(text, "^" .. exponent .. "[+-]", i - 1) then
    i = match(text, "^[%w_.]*()", i + 1)
  end
  return i
end

local long_signs = { "^%.%.%.", "^%.%.", "^::", "^//", "^<<", "^>>", "^[=~<>]=" }

local function behind_sign(text, at)
  for _, pattern in ipairs(long_signs) do
    local _, last = find(text, pattern, at)
    if last then
      return last + 1
    end
  end
  return at + 1
end

-- The byte behind the token at `at`, and whether it is a string or a number.
local function behind(text, at)
  if find(text, "^[%a_]", at) then
    return match(text, "^[%w_]*()", at), false
  elseif find(text, "^%.?%d", at) then
    return behind_number(text, at), true
  elseif find(text, "^[\"']", at) then
    return behind_string(text, at), true
  end
  local long = behind_long(text, at)
  return long or behind_sign(text, at), long ~= nil
end

--- The tokens of a text: what each says ("" for strings and numbers), and its last byte.
---@param text string
---@return string[] said
---@return integer[] lasts
function tokens.of(text)
  local said, lasts, count = {}, {}, 0
  local at = skip_blanks(text, 1)
  while at <= #text do
    local stop, literal = behind(text, at)
    count = count + 1
    said[count] = literal and "" or sub(text, at, stop - 1)
    lasts[count] = stop - 1
    at = skip_blanks(text, stop)
  end
  return said, lasts
end

return tokens
