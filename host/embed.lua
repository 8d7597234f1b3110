--- Compiles the Lua library into C: `lua5.4 host/embed.lua lua/lambdapool FILE...` prints the
--- source of the table that host/embed.h declares. The bytecode keeps its debug information, so
--- tracebacks stay readable, and its chunks are named `@lambdapool/pool.lua`, wherever the tree
--- lies. The same files in any order give the same bytes. A file of a library elsewhere is given as
--- MODULE=FILE. What the public files say in comments is a module, too: `lambdapool.repl.pages`.

local parent = assert(arg[1], "usage: embed.lua FOLDER FILE..."):gsub("[^/]*/*$", "")

-- "lua/lambdapool/backend/local.lua" -> "lambdapool/backend/local.lua", "lambdapool.backend.local"
local function names(path)
  local module = path:match "^(.-)="
  if module then
    return module:gsub("%.", "/") .. ".lua", module
  end
  assert(path:sub(1, #parent) == parent, path .. " is not in " .. parent)
  local chunk = path:sub(#parent + 1)
  return chunk, (chunk:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

local function read(path)
  local file <close> = assert(io.open((path:gsub("^.-=", "")), "rb"))
  return file:read "a"
end

local function compile(path)
  local chunk, name = names(path)
  return { name = name, bytes = string.dump(assert(load(read(path), "@" .. chunk, "t"))) }
end

-- What `help` shows: a table from chunk names to texts.
local function compile_pages()
  local annotations = dofile(parent .. "lambdapool/repl/annotations.lua")
  local lines = { "return {" }
  for _, chunk in ipairs(annotations.files) do
    lines[#lines + 1] = ("[%q] = %q,"):format(chunk, annotations.reduce(read(parent .. chunk)))
  end
  lines[#lines + 1] = "}"
  local chunk = assert(load(table.concat(lines, "\n"), "@lambdapool/repl/pages.lua", "t"))
  return { name = "lambdapool.repl.pages", bytes = string.dump(chunk, true) }
end

local octets = {}
for byte = 0, 255 do
  octets[string.char(byte)] = byte .. ","
end

local modules = { compile_pages() }
for i = 2, #arg do
  modules[#modules + 1] = compile(arg[i])
end
table.sort(modules, function(a, b) return a.name < b.name end)

print '/* Made by host/embed.lua; changes here are lost. */\n#include "embed.h"\n'
for i, module in ipairs(modules) do
  print(("static const unsigned char module_%d[] = {"):format(i))
  for first = 1, #module.bytes, 1024 do
    print((module.bytes:sub(first, first + 1023):gsub(".", octets)))
  end
  print "};"
end
print "\nconst struct lp__module lp__modules[] = {"
for i, module in ipairs(modules) do
  print(('  {"%s", module_%d, sizeof module_%d},'):format(module.name, i, i))
end
print "  {0, 0, 0},\n};"
