--- The files in ~/.aws, as botocore reads them (Python's configparser): sections in brackets,
--- `name = value` or `name: value`, comments on lines of their own, indented lines that go on with
--- a value. A value that is nothing but indented lines `name = value` is a table.

local ini = {}

local function strip(text)
  return text:match "^%s*(.-)%s*$"
end

local function fail(number, message)
  return nil, ("line %d: %s"):format(number, message)
end

---@class lambdapool.aws.IniState
---@field sections table<string, table<string, any>> values are lists of lines while it is read
---@field section table<string, any>?
---@field key string?
---@field indent integer of the line with the key
---@field number integer of the line

local function begin_section(state, name)
  if state.sections[name] then
    return fail(state.number, ("section [%s] comes twice"):format(name))
  end
  state.section, state.key = {}, nil
  state.sections[name] = state.section
  return true
end

local function begin_value(state, line)
  local key, value = line:match "^%s*([^=:]-)%s*[=:]%s*(.-)%s*$"
  if not state.section then
    return fail(state.number, "there is no section yet, like [default]")
  elseif not key or key == "" then
    return fail(state.number, "it is no `name = value`")
  end
  key = key:lower()
  if state.section[key] then
    return fail(state.number, ("%s comes twice in its section"):format(key))
  end
  state.key, state.indent = key, #line:match "^%s*"
  state.section[key] = { value }
  return true
end

-- Takes one line.
local function read_line(state, line)
  if not line:find "%S" then
    if state.key then
      table.insert(state.section[state.key], "")
    end
    return true
  elseif line:find "^%s*[#;]" then
    return true
  elseif state.key and #line:match "^%s*" > state.indent then
    table.insert(state.section[state.key], strip(line))
    return true
  end
  local name = line:match "^%s*%[(.+)%]"
  if name then
    return begin_section(state, name)
  end
  return begin_value(state, line)
end

-- "name = value" lines as a table; nil when one of them is none.
local function nested(lines)
  local values = {}
  for _, line in ipairs(lines) do
    if line ~= "" then
      local key, value = line:match "^(.-)%s*=%s*(.*)$"
      if not key then
        return nil
      end
      values[key] = value
    end
  end
  return values
end

local function finish_value(lines)
  while #lines > 1 and lines[#lines] == "" do
    lines[#lines] = nil
  end
  if #lines > 1 and lines[1] == "" then
    return nested(lines)
  end
  return table.concat(lines, "\n")
end

local function finish(state)
  for name, section in pairs(state.sections) do
    for key, lines in pairs(section) do
      section[key] = finish_value(lines)
      if not section[key] then
        return nil, ("section [%s]: the lines below %s are no `name = value`"):format(name, key)
      end
    end
  end
  return state.sections
end

--- Reads a file's text.
---@param text string
---@return table<string, table<string, string|table<string, string>>>? sections
---@return string? message with the line
function ini.parse(text)
  local state = { sections = {}, section = nil, key = nil, indent = 0, number = 0 }
  text = text:gsub("^\u{FEFF}", ""):gsub("\r\n?", "\n")
  for line in (text .. "\n"):gmatch "(.-)\n" do
    state.number = state.number + 1
    local ok, message = read_line(state, line)
    if not ok then
      return nil, message
    end
  end
  return finish(state)
end

return ini
