--- The help of commands: an example first, then the usage, what the command does, what it takes.

local help = {}

local COLUMNS = 100

-- A text as lines of up to `columns`.
local function wrap(text, columns)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and #line + 1 + #word > columns then
      lines[#lines + 1], line = line, word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = line
  return lines
end

-- Appends rows of two columns, the second one where the longest of the first ends.
local function append_rows(lines, rows)
  local width = 0
  for _, row in ipairs(rows) do
    width = math.max(width, #row[1])
  end
  for _, row in ipairs(rows) do
    local label = row[1]
    for _, text in ipairs(wrap(row[2], COLUMNS - width - 4)) do
      lines[#lines + 1] = ("  %s%s%s"):format(label, (" "):rep(width - #label + 2), text)
      label = ""
    end
  end
end

local function append_example(lines, example)
  for line in (example .. "\n"):gmatch "(.-)\n" do
    lines[#lines + 1] = "  " .. line
  end
end

-- "-y --yes" -> "-y, --yes"; options without a short name are where the others' long ones are.
local function option_row(option)
  local names = option[1]:gsub("%s+", ", ")
  local value = option[2] and " " .. option[2] or ""
  return { names .. value, option[3] .. (option.repeated and "; may be repeated" or "") }
end

--- The help of one command.
---@param spec lambdapool.cli.Command
---@param options lambdapool.cli.Option[] all of them
---@return string
function help.command(spec, options)
  local lines = {}
  append_example(lines, spec.example)
  lines[#lines + 1] = ("\nusage: lambdapool %s [OPTIONS]\n\n%s\n"):format(spec.usage, spec.about)
  local rows = {}
  for _, argument in ipairs(spec.arguments or {}) do
    rows[#rows + 1] = { argument.label or argument[1]:upper(), argument[2] }
  end
  for _, option in ipairs(options) do
    rows[#rows + 1] = option_row(option)
  end
  append_rows(lines, rows)
  return table.concat(lines, "\n") .. "\n"
end

-- What a command does, as far as it is said in a few words, as the descriptions of options are.
local function summary(about)
  local words = (about:gsub("%s+", " ") .. " "):match "^(.-)[.:] "
  return words:gsub("^%u", string.lower)
end

--- The help of a group of commands.
---@param spec { name: string, about: string, example: string, commands: table<string, table> }
---@return string
function help.group(spec)
  local lines, names, rows = {}, {}, {}
  append_example(lines, spec.example)
  lines[#lines + 1] = ("\nusage: lambdapool %s COMMAND [ARGS]\n\n%s\n"):format(spec.name,
    spec.about)
  for name in pairs(spec.commands) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local inner = spec.commands[name]
    rows[#rows + 1] = { inner.usage or name, summary(inner.about) }
  end
  append_rows(lines, rows)
  lines[#lines + 1] = ("\n  `lambdapool %s COMMAND --help` for a command"):format(spec.name)
  return table.concat(lines, "\n") .. "\n"
end

return help
