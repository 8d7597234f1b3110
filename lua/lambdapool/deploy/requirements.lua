--- The file that says which rocks a package needs: a list of ours, or a rockspec, of which the
--- dependencies count. A list has one rock a line, as LuaRocks writes dependencies:
---
---     lpeg                    # the newest
---     penlight 1.13.1-1       # this one
---     inspect >= 3.1, < 4
---     lunarmodules/luasocket

local problem = require "lambdapool.deploy.problem"

local MOST_BYTES = 1 << 20

local OPERATORS = {
  ["=="] = true, ["~="] = true, ["<"] = true, [">"] = true, ["<="] = true, [">="] = true,
  ["~>"] = true, [""] = true,
}

---@class lambdapool.deploy.Requirements
---@field path string
---@field rockspec boolean the file is one
---@field text string of the rockspec
---@field rocks string[] of a list: dependencies for a rockspec

local function read(path)
  local text
  local file, message = io.open(path, "rb")
  if file then
    text, message = file:read(MOST_BYTES + 1)
    text = text or not message and "" -- it is empty
    file:close()
  end
  if not text then
    problem.raise(problem.FAILED, "cannot read the requirements in %s: %s", path,
      (message:gsub("^.*: ", "")))
  elseif #text > MOST_BYTES then
    problem.raise(problem.FAILED,
      "cannot read the requirements in %s: it is too long for a list of rocks", path)
  end
  return text
end

-- "1.2-1" or ">= 1.0, < 2"; nil when it is neither.
local function normalize(constraints)
  local list = {}
  for constraint in (constraints .. ","):gmatch "%s*(.-)%s*," do
    local operator, version = constraint:match "^([<>=~]*)%s*(%w[%w._%-]*)$"
    if not operator or not OPERATORS[operator] then
      return nil
    end
    list[#list + 1] = (operator == "" and "==" or operator) .. " " .. version
  end
  return table.concat(list, ", ")
end

-- A line without its comment, as a dependency; nil when it cannot be understood.
local function parse_line(line)
  local name, constraints = line:match "^([%w_][%w_.%-]*)%s*(.*)$"
  local namespace, rest = line:match "^([%w_][%w_.%-]*)/(.+)$"
  if namespace then
    name, constraints = rest:match "^([%w_][%w_.%-]*)%s*(.*)$"
    name = name and namespace .. "/" .. name
  end
  local normal = name and (constraints == "" and "" or normalize(constraints))
  return normal and (normal == "" and name or name .. " " .. normal)
end

local function parse(text, path)
  local rocks, number = {}, 0
  for line in (text:gsub("^\xef\xbb\xbf", "") .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    line = line:gsub("#.*", ""):gsub("%-%-.*", ""):gsub("^%s+", ""):gsub("%s+$", "")
    if line ~= "" then
      local rock = parse_line(line)
      if not rock then
        problem.raise(problem.FAILED, "cannot understand line %d of %s: %s\n  a line is a rock, " ..
          "`lpeg`, with a version, `lpeg 1.1.0-1`, or with bounds, `lpeg >= 1.0, < 2`", number,
          path, line)
      end
      rocks[#rocks + 1] = rock
    end
  end
  return rocks
end

--- Reads such a file. Raises what is wrong with it.
---@param path string
---@return lambdapool.deploy.Requirements
local function load(path)
  local text = read(path)
  local rockspec = path:find "%.rockspec$" ~= nil
  return { path = path, rockspec = rockspec, text = text,
    rocks = rockspec and {} or parse(text, path) }
end

return { load = load }
