--- The documentation in Lua files: comments of three dashes, and what they stand above. The build
--- reads it with this file, too: the program has its modules without their comments (host/embed.lua
--- puts what `reduce` leaves of the public ones beside them).

local find, match, gmatch = string.find, string.match, string.gmatch
local concat, ipairs = table.concat, ipairs

local annotations = {
  -- What is public, by the chunk names of its files.
  files = { "lambdapool/init.lua", "lambdapool/pool.lua", "lambdapool/executor.lua",
    "lambdapool/future.lua", "lambdapool/waiting.lua", "lambdapool/async.lua",
    "lambdapool/engine.lua", "lambdapool/errors.lua", "lambdapool/backend/chaos.lua" },
}

---@class lambdapool.repl.Entry
---@field line integer of what is documented
---@field name string "methods:map", "lambdapool.dump"; "" for the file itself
---@field parameters string? "f, source, ..."
---@field text string the lines without tags
---@field tags { [1]: string, [2]: string }[] "param", "f function"

-- What a line declares: its name, and the parameters of a function.
local function declaration(line)
  local name, parameters = match(line, "^function ([%w_.:]+)%((.-)%)")
  if not name then
    name, parameters = match(line, "^local function ([%w_]+)%((.-)%)")
  end
  return name or match(line, "^local ([%w_]+) =") or match(line, "^([%w_.]+) =")
    or match(line, "^  ([%w_]+) ="), parameters
end

local function split(text)
  local lines = {}
  for line in gmatch(text, "([^\n]*)\n?") do
    lines[#lines + 1] = line
  end
  return lines
end

-- The entry of a block of comments and the line below it.
local function entry_of(block, line, number)
  local name, parameters = declaration(line)
  local words, tags = {}, {}
  for _, comment in ipairs(block) do
    local tag, rest = match(comment, "^@(%w+)%s*(.*)$")
    if tag then
      tags[#tags + 1] = { tag, rest }
    elseif tags[1] then -- a tag that goes on
      tags[#tags][2] = tags[#tags][2] .. " " .. match(comment, "^%s*(.*)$")
    else
      words[#words + 1] = comment
    end
  end
  return { line = number, name = name or "", parameters = parameters, text = concat(words, "\n"),
    tags = tags }
end

--- The documentation of a file, in order; the first entry is that of the file itself.
---@param text string
---@return lambdapool.repl.Entry[]
function annotations.read(text)
  local entries, block = {}, {}
  for number, line in ipairs(split(text)) do
    local comment = match(line, "^%s*%-%-%- ?(.*)$")
    if comment then
      block[#block + 1] = comment
    elseif block[1] then
      entries[#entries + 1] = entry_of(block, line, number)
      block = {}
    end
  end
  return entries
end

--- The text with nothing in it but documentation and what it stands above, on the same lines.
---@param text string
---@return string
function annotations.reduce(text)
  local lines, kept = split(text), {}
  for i, line in ipairs(lines) do
    local is_comment = find(line, "^%s*%-%-%-")
    local is_below = i > 1 and find(lines[i - 1], "^%s*%-%-%-")
    kept[i] = (is_comment or is_below) and line or ""
  end
  return concat(kept, "\n")
end

return annotations
