-- Counts lines, by what the names of files end in: a script for tool.c. Needs no account: the
-- workers are local processes.
--
--   ./tool lines.lua FOLDER...
--
-- `tree` comes from tool.c. Tasks do not have it, and need not: they are given the names.

local lambdapool = require "lambdapool"

local folders = { ... }
if #folders == 0 then
  io.stderr:write "usage: tool lines.lua FOLDER...\n"
  return 2
end

-- The largest first: what is left for the end is small then.
local files = {}
for _, folder in ipairs(folders) do
  for size, path in tree.files(folder):gmatch "(%d+) (%Z+)" do
    files[#files + 1] = { path = path, size = math.tointeger(size) }
  end
end
table.sort(files, function(a, b)
  return a.size > b.size
end)

-- The task: how many lines a file has, and how many of them are blank.
local function count_lines(entry)
  local file <close>, message = io.open(entry.path, "rb")
  if not file then
    return nil, message
  end
  local lines, blank = 0, 0
  for line in file:lines() do
    lines = lines + 1
    blank = blank + (line:find "%S" and 0 or 1)
  end
  return lines, blank
end

local rows, by_name, unreadable = {}, {}, 0

local function add(name, lines, blank)
  local row = by_name[name]
  if not row then
    row = { name = name, files = 0, lines = 0, blank = 0 }
    by_name[name], rows[#rows + 1] = row, row
  end
  row.files, row.lines, row.blank = row.files + 1, row.lines + lines, row.blank + blank
end

-- Small files travel many at a time; the pool sees to that.
local pool <close> = lambdapool.pool {}
for i, lines, blank in pool:imap_unordered(count_lines, files) do
  if lines then
    add(files[i].path:match "[^/](%.%w+)$" or "other", lines, blank)
  else
    unreadable = unreadable + 1
    io.stderr:write(blank, "\n")
  end
end

table.sort(rows, function(a, b)
  if a.lines ~= b.lines then
    return a.lines > b.lines
  end
  return a.name < b.name
end)

print(("%-12s %8s %10s %10s"):format("", "files", "lines", "blank"))
for _, row in ipairs(rows) do
  print(("%-12s %8d %10d %10d"):format(row.name, row.files, row.lines, row.blank))
end
return unreadable > 0 and 1 or 0
