--- The layer rule: a lower layer never names a higher one, and the top level of the tree stays what
--- it is. Read from the #include lines of the C files and the `require`s of the Lua files.

local function lines_of(command)
  local pipe <close> = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do
    lines[#lines + 1] = line
  end
  return lines
end

local function files(patterns)
  return lines_of("ls " .. patterns .. " 2>/dev/null")
end

local function read(path)
  local file <close> = io.open(path)
  return file and file:read "a"
end

local function set(words)
  local names = {}
  for word in words:gmatch "%S+" do
    names[word] = true
  end
  return names
end

-- The path of a header of ours, as `path` names it, or nil.
local function find_header(path, name)
  for _, folder in ipairs { path:match "^.*/", "", "host/" } do
    if read(folder .. name) then
      return folder .. name
    end
  end
end

--- Every header that a C file includes, directly or through headers of ours, by its base name.
local function headers(path, found)
  found = found or {}
  for quote, name in ("\n" .. read(path)):gmatch '\n%s*#%s*include%s*(["<])([^">]+)' do
    local base = name:match "[^/]+$"
    local ours = quote == '"' and find_header(path, name)
    if not found[base] then
      found[base] = true
      if ours then
        headers(ours, found)
      end
    end
  end
  return found
end

--- "file includes header" for every header that `forbidden(name)` names.
local function offences(paths, forbidden)
  local found = {}
  for _, path in ipairs(paths) do
    for name in pairs(headers(path)) do
      if forbidden(name, path) then
        found[#found + 1] = path .. " includes " .. name
      end
    end
  end
  table.sort(found)
  return found
end

local LUA = set "lua.h lauxlib.h lualib.h lua.hpp lua-cjson.h"
local EVENTS = set "uv.h http_parser.h"

-- What the codec may see: bytes, also those that are lent, the sources and fresh globals of its
-- state, the result codes, and the page on which it tells how far it is.
local BELOW_CODEC = set("buffer.h base64.h block.h hash.h json.h lent.h state.h own.h " ..
  "lambdapool.h progress.h")

local ours, codec = {}, {}
for _, path in ipairs(files "host/*.h host/codec/*.h agent/*.h") do
  local name = path:match "[^/]+$"
  ours[name] = true
  codec[name] = path:find("/codec/", 1, true) and true
end

-- In host/, mechanism is what is not named here; in agent/, it is what is.
local border = set("host/collect.c host/coroutine.c host/host.c host/json_read.c " ..
  "host/json_write.c host/lent.c host/main.c host/own_modules.c host/part.c host/port.c " ..
  "host/state.c")
local mechanism = { "agent/http.c", "agent/lifeline.c", "agent/runtime.c" }
for _, path in ipairs(files "host/*.c host/cloud/*.c host/terminal/*.c") do
  if not border[path] and not path:find "/lib_" and not path:find "/host_" then
    mechanism[#mechanism + 1] = path
  end
end

describe("the layers in C", function()
  it("keep Lua out of the mechanism", function()
    assert.same({}, offences(mechanism, function(name)
      return LUA[name] or codec[name]
    end))
  end)

  it("keep the codec on bytes, Lua and its state", function()
    assert.same({}, offences(files "host/codec/*.[ch]", function(name)
      return EVENTS[name] or ours[name] and not codec[name] and not BELOW_CODEC[name]
    end))
  end)

  it("show the program the public header only", function()
    assert.same({}, offences({ "host/main.c" }, function(name)
      return ours[name] and name ~= "lambdapool.h" or LUA[name]
    end))
  end)
end)

-- From the bottom up; a module may require its own layer and those below it.
local LAYERS = {
  "lambdapool%.argparse lambdapool%.codec lambdapool%.workers lambdapool%.system " ..
    "lambdapool%.parts lambdapool%.json%.native lambdapool%.command%.native " ..
    "lambdapool%.embed%.native",
  "lambdapool%.errors lambdapool%.frames lambdapool%.json lambdapool%.options " ..
    "lambdapool%.suggest lambdapool%.places",
  "lambdapool%.cloud",
  "lambdapool%.arguments lambdapool%.bag lambdapool%.interrupt lambdapool%.meter " ..
    "lambdapool%.retry lambdapool%.sizer lambdapool%.source lambdapool%.tally " ..
    "lambdapool%.timers lambdapool%.archive lambdapool%.command lambdapool%.crypto " ..
    "lambdapool%.files lambdapool%.sqlite lambdapool%.xml lambdapool%.config",
  "lambdapool%.loop lambdapool%.progress lambdapool%.aws%.sigv4",
  "lambdapool%.flow lambdapool%.completion lambdapool%.serve%..+",
  "lambdapool%.http lambdapool%.serve",
  "lambdapool%.aws%..+",
  "lambdapool%.account lambdapool%.account%.place",
  "lambdapool%.backend%..+",
  "lambdapool%.future lambdapool%.batch lambdapool%.queue lambdapool%.outcome " ..
    "lambdapool%.scheduler lambdapool%.packs",
  "lambdapool%.engine lambdapool%.stream lambdapool%.waiting lambdapool%.async " ..
    "lambdapool%.polling",
  "lambdapool%.pool lambdapool%.executor lambdapool%.deploy%..+",
  "lambdapool lambdapool%.embed",
  "lambdapool%.repl%..+",
  "lambdapool%.cli lambdapool%.cli%..+",
}

local function layer_of(module)
  for i, patterns in ipairs(LAYERS) do
    for pattern in patterns:gmatch "%S+" do
      if module:find("^" .. pattern .. "$") then
        return i
      end
    end
  end
end

local function requires(path)
  local names = {}
  local code = read(path):gsub("%-%-[^\n]*", "")
  for name in code:gmatch "require%s*%(?%s*[\"'](lambdapool[%w_.]*)[\"']" do
    names[#names + 1] = name:gsub("%.$", ".any")
  end
  return names
end

describe("the layers in Lua", function()
  local modules = {}
  for _, path in ipairs(lines_of "find lua -name '*.lua'") do
    local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    modules[name] = path
  end

  it("have a place for every module", function()
    for name in pairs(modules) do
      assert.is_truthy(layer_of(name), name .. " has no layer")
    end
  end)

  it("never require a higher one", function()
    local found = {}
    for name, path in pairs(modules) do
      for _, required in ipairs(requires(path)) do
        if (layer_of(required) or math.huge) > layer_of(name) then
          found[#found + 1] = path .. " requires " .. required
        end
      end
    end
    assert.same({}, found)
  end)
end)

describe("the tree", function()
  it("has the top level of the design", function()
    if not read ".git/HEAD" then
      return -- a copy of the files, without their list
    end
    local allowed = set "host lua agent examples tests Makefile README.md LICENSE"
    local found = {}
    for _, name in ipairs(lines_of "git ls-files | cut -d/ -f1 | sort -u") do
      if not allowed[name] and name:sub(1, 1) ~= "." then
        found[#found + 1] = name
      end
    end
    assert.same({}, found)
  end)
end)
