--- Filter patterns of CloudWatch Logs: which messages are meant. Terms, "phrases", -excluded and
--- ?alternative ones, and { $.field = "value" } for messages in JSON with comparisons, &&, || and
--- brackets. Patterns for columns ([a, b]) and regular expressions are not taken.

local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"

local function invalid(text)
  fault(400, "InvalidParameterException", "Invalid filter pattern: " .. text)
end

-- Terms ------------------------------------------------------------------------------------------

-- One term of the pattern from `position` on: its sign, its text, and where it ends.
local function read_term(pattern, position)
  local sign, start = pattern:match("^([-?]?)()", position)
  local quoted = pattern:sub(start, start) == '"'
  if quoted then
    local i = start + 1
    while pattern:sub(i, i) ~= '"' do
      if i > #pattern then
        invalid(pattern)
      end
      i = i + (pattern:sub(i, i) == "\\" and 2 or 1)
    end
    return sign, pattern:sub(start + 1, i - 1):gsub("\\(.)", "%1"), i + 1
  end
  local text, last = pattern:match("^([^%s\"]+)()", start)
  if not text or text:find "^[%%%[{]" then
    invalid(pattern)
  end
  return sign, text, last
end

local function has(message, text)
  return message:find(text, 1, true) ~= nil
end

local function has_any(message, texts)
  for _, text in ipairs(texts) do
    if has(message, text) then
      return true
    end
  end
  return false
end

local function has_all(message, texts)
  for _, text in ipairs(texts) do
    if not has(message, text) then
      return false
    end
  end
  return true
end

local function compile_terms(pattern)
  local terms = { [""] = {}, ["-"] = {}, ["?"] = {} }
  local position = pattern:match "^%s*()"
  while position <= #pattern do
    local sign, text, last = read_term(pattern, position)
    table.insert(terms[sign], text)
    position = pattern:match("^%s*()", last)
  end
  return function(message)
    return has_all(message, terms[""]) and not has_any(message, terms["-"])
      and (not terms["?"][1] or has_any(message, terms["?"]))
  end
end

-- JSON -------------------------------------------------------------------------------------------

local TOKENS = { "^&&", "^||", "^[()]", "^[<>!]?=", "^[<>]", '^"[^"]*"', '^%$[%w_.%-%[%]]*',
  "^[%w_.*%-+]+" }

local function tokens_of(text)
  local tokens, position = {}, text:match "^%s*()"
  while position <= #text do
    local found
    for _, pattern in ipairs(TOKENS) do
      found = found or text:match(pattern, position)
    end
    if not found then
      invalid(text)
    end
    tokens[#tokens + 1] = found
    position = text:match("^%s*()", position + #found)
  end
  return tokens
end

-- What $.a.b[0] leads to.
local function select_value(value, selector)
  for name, index in selector:gmatch "%.?([^.%[%]]*)%[?(%d*)%]?" do
    if name ~= "" then
      value = type(value) == "table" and value[name] or nil
    end
    if index ~= "" then
      value = type(value) == "table" and value[tonumber(index) + 1] or nil
    end
  end
  return value
end

-- A star in a text stands for anything.
local function matches_text(value, text)
  local parts = text:gsub("[^%w*]", "%%%0"):gsub("%*", ".*")
  return tostring(value):find("^" .. parts .. "$") ~= nil
end

local COMPARE = {
  ["="] = function(a, b) return a == b end,
  ["!="] = function(a, b) return a ~= b end,
  ["<"] = function(a, b) return a < b end,
  [">"] = function(a, b) return a > b end,
  ["<="] = function(a, b) return a <= b end,
  [">="] = function(a, b) return a >= b end,
}

local KEYWORDS = {
  ["TRUE"] = function(value) return value == true end,
  ["FALSE"] = function(value) return value == false end,
  ["NULL"] = function(value) return value == json.null end,
}

local function compare(selector, operator, operand)
  local path = selector:sub(2)
  local text, number = operand:match '^"(.*)"$' or operand, tonumber(operand)
  return function(document)
    local value = select_value(document, path)
    if value == nil or type(value) == "table" then
      return false
    elseif number and type(value) == "number" then
      return COMPARE[operator](value, number)
    elseif operator == "=" then
      return matches_text(value, text)
    end
    return operator == "!=" and not matches_text(value, text)
  end
end

local parse_or

-- A comparison, `$.x IS NULL`, `$.x NOT EXISTS`, or something in brackets.
local function parse_term(tokens, at)
  if tokens[at] == "(" then
    local test, last = parse_or(tokens, at + 1)
    if tokens[last] ~= ")" then
      invalid(table.concat(tokens, " "))
    end
    return test, last + 1
  end
  local selector, operator, operand = tokens[at], tokens[at + 1], tokens[at + 2]
  if not selector or selector:sub(1, 1) ~= "$" then
    invalid(table.concat(tokens, " "))
  elseif operator == "IS" and KEYWORDS[operand] then
    return function(document)
      return KEYWORDS[operand](select_value(document, selector:sub(2)))
    end, at + 3
  elseif operator == "NOT" and operand == "EXISTS" then
    return function(document)
      return select_value(document, selector:sub(2)) == nil
    end, at + 3
  elseif not COMPARE[operator] or not operand then
    invalid(table.concat(tokens, " "))
  end
  return compare(selector, operator, operand), at + 3
end

-- What `parse` reads, joined by `sign` any number of times.
local function joined(parse, sign, join)
  return function(tokens, at)
    local test, last = parse(tokens, at)
    while tokens[last] == sign do
      local right
      right, last = parse(tokens, last + 1)
      test = join(test, right)
    end
    return test, last
  end
end

local parse_and = joined(parse_term, "&&", function(a, b)
  return function(document) return a(document) and b(document) end
end)

parse_or = joined(parse_and, "||", function(a, b)
  return function(document) return a(document) or b(document) end
end)

local function compile_json(pattern)
  local tokens = tokens_of(pattern:match "^%s*{(.*)}%s*$" or invalid(pattern))
  local test, last = parse_or(tokens, 1)
  if tokens[last] then
    invalid(pattern)
  end
  return function(message)
    local document = message:find "^%s*[{%[]" and json.decode(message)
    return type(document) == "table" and test(document)
  end
end

-- Brackets nest as deep as the longest pattern has characters; Lua's stack is deeper.
local LONGEST = 1024

--- The test that a pattern stands for; raises a fault for one that cannot be understood.
---@param pattern string?
---@return fun(message: string): boolean
local function compile(pattern)
  pattern = pattern or ""
  if #pattern > LONGEST then
    fault(400, "InvalidParameterException", ("1 validation error detected: Value '%s' at " ..
      "'filterPattern' failed to satisfy constraint: Member must have length less than or equal " ..
      "to %d"):format(pattern, LONGEST))
  elseif pattern:find "^%s*{" then
    return compile_json(pattern)
  end
  return compile_terms(pattern)
end

return { compile = compile }
