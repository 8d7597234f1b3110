--- The configuration: what holds when neither a script nor a command says otherwise. In order, the
--- first that has a value wins:
---
---   flags of the command line           config.set_flags
---   LAMBDAPOOL_NAME                     in the environment
---   lambdapool.conf.lua                 in the current folder, or the nearest one above it
---   $XDG_CONFIG_HOME/lambdapool/conf.lua  the user's own (~/.config)
---
--- The files are data in Lua's syntax, `workers = 8` or `return { workers = 8 }`. They are run with
--- nothing in reach, for a moment, and with little memory, and only what is known here is taken
--- from them. Keys to accounts are not for them: those are where AWS keeps them.

local option_kinds = require("lambdapool.options").kinds
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

-- What a setting may be: a value of Lua -> the value, or nil and what it must be. From flags and
-- the environment it comes as text.
local kinds = {}

kinds.text, kinds.choice = option_kinds.text, option_kinds.choice

function kinds.region(value)
  if type(value) ~= "string" or not value:find "^%w[%w-]*$" then
    return nil, "a region like us-east-1"
  end
  return value
end

function kinds.integer(value, rule)
  local number = math.tointeger(tonumber(value))
  if type(value) == "boolean" or not number or number < rule.min or number > rule.max then
    return nil, ("an integer from %d to %d"):format(rule.min, rule.max)
  end
  return number
end

function kinds.number(value)
  local number = tonumber(value)
  if not number or number ~= number or number <= 0 or number == math.huge then
    return nil, "a number above 0"
  end
  return number
end

local TRUTH = { ["true"] = true, ["1"] = true, yes = true, on = true,
  ["false"] = false, ["0"] = false, no = false, off = false }

function kinds.boolean(value)
  if type(value) == "string" then
    value = TRUTH[value:lower()]
  end
  return option_kinds.boolean(value)
end

-- A list of texts; as text, with commas between them.
function kinds.list(value)
  local list, count = {}, 0
  if type(value) == "string" then
    for item in value:gmatch "[^,%s]+" do
      list[#list + 1] = item
    end
    return list
  end
  for _ in next, type(value) == "table" and value or {} do
    count = count + 1
  end
  for i = 1, count do
    list[i] = kinds.text(value[i])
  end
  if type(value) ~= "table" or #list ~= count then
    return nil, "a list of texts"
  end
  return list
end

-- Everything that can be configured, in the order in which it is shown. `pool`: an option of pools.
---@type { name: string, [1]: string, default: any, pool: boolean? }[]
local SETTINGS = {
  { name = "backend", "choice", choices = { "local", "aws" }, default = "local", pool = true },
  { name = "function_name", "text", pool = true },
  { name = "qualifier", "text", pool = true },
  { name = "region", "region", pool = true },
  { name = "profile", "text", pool = true },
  { name = "endpoint_url", "text", pool = true },
  { name = "workers", "integer", min = 1, max = 10000, pool = true },
  { name = "memory", "integer", min = 128, max = 10240, default = 1769, pool = true },
  { name = "timeout", "number", default = 900, pool = true },
  { name = "retries", "integer", min = 0, max = 1000000, default = 0, pool = true },
  { name = "max_cost", "number", pool = true },
  { name = "progress", "boolean", pool = true },
  { name = "role", "text" },
  { name = "layers", "list" },
}

local RULES, NAMES = {}, {}
for i, rule in ipairs(SETTINGS) do
  RULES[rule.name], NAMES[i] = rule, rule.name
end

local FILE = "lambdapool.conf.lua"

-- How far up a file is looked for. Above the root is the root again.
local HIGHEST = 32

-- Files ----------------------------------------------------------------------------------------

-- What a file may have, and what running it may take.
local MOST_BYTES, MOST_STEPS, MOST_KILOBYTES = 1 << 20, 100000, 16384

-- Strings have no methods while it lives: ("x"):rep(1 << 40) is a single step.
local function without_methods()
  local meta = debug.getmetatable ""
  local index <const> = meta.__index
  meta.__index = nil
  return setmetatable({}, { __close = function() meta.__index = index end })
end

-- Runs a chunk that may not take much. Texts grow by at most their own size in a step, so looking
-- after each step is often enough.
local function run_limited(chunk)
  local _ <close> = without_methods()
  local steps, most = 0, collectgarbage "count" + MOST_KILOBYTES
  local thread = coroutine.create(chunk)
  debug.sethook(thread, function()
    steps = steps + 1
    if steps > MOST_STEPS or collectgarbage "count" > most then
      error("it takes too long or too much memory for a configuration", 0)
    end
  end, "", 1)
  return coroutine.resume(thread)
end

-- The line of a file that sets a name, as a person would write it.
local function line_of(text, name)
  local number = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    local code = line:gsub("%-%-.*", "")
    if ((" " .. code):gsub("[%[%]\"']", "")):find("[^%w_.]" .. name .. "%s*=[^=]") then
      return number
    end
  end
end

local function place(path, text, name)
  local line = type(name) == "string" and name:find "^[%a_][%w_]*$" and line_of(text, name)
  return line and ("%s:%d"):format(path, line) or path
end

local function looks_secret(name)
  name = tostring(name):lower()
  return name:find "access_key" or name:find "secret" or name:find "token" or name:find "password"
end

local function refuse_name(origin, name)
  if looks_secret(name) then
    error(("%s: '%s' does not belong into a configuration\n  keys are kept in ~/.aws: make a " ..
      "profile with `aws configure`, and set `profile` here"):format(origin, name), 0)
  end
  local shown = type(name) == "string" and "'" .. name .. "'" or "[" .. tostring(name) .. "]"
  error(("%s: unknown setting %s%s"):format(origin, shown,
    suggest.hint(tostring(name), NAMES)), 0)
end

-- Says what is wrong with a value. Values of an unexpected kind are shown by their type.
local function refuse_value(origin, name, wanted, value)
  local kind = type(value)
  local shown = kind == "string" and ("'%s'"):format((value:gsub("%c", "?")))
    or (kind == "number" or kind == "boolean") and tostring(value) or "a " .. kind
  local subject = origin:find "^%-%-" and ("'%s'"):format(origin)
    or ("%s: '%s'"):format(origin, name)
  error(("%s must be %s, got %s"):format(subject, wanted, shown), 0)
end

local function check(name, value, origin)
  local rule = RULES[name]
  local checked, wanted = kinds[rule[1]](value, rule)
  if checked == nil then
    refuse_value(origin, name, wanted, value)
  end
  return { value = checked, origin = origin }
end

-- What Lua says of a file; mostly it has its place already.
local function refuse_file(path, message)
  error(message:find(path, 1, true) == 1 and message or path .. ": " .. message, 0)
end

-- What a file sets: values by name, from its globals and from the table that it returns.
local function evaluate(path, text)
  local globals = {}
  local chunk, message = load(text:gsub("^\xef\xbb\xbf", ""), "=" .. path, "t", globals)
  if not chunk then
    refuse_file(path, message)
  end
  local ok, result = run_limited(chunk)
  if not ok then
    refuse_file(path, tostring(result))
  elseif result ~= nil and type(result) ~= "table" then
    error(("%s: it must return a table, got a %s"):format(path, type(result)), 0)
  end
  for name, value in next, result or {} do
    globals[name] = value
  end
  return globals
end

-- Reads an open file into `entries`, where what is there already stays.
local function read_file(entries, file, path)
  local text <const>, message = file:read(MOST_BYTES)
  if message then
    error(("%s: %s"):format(path, message), 0)
  elseif text and file:read(0) then
    error(("%s: it is too large for a configuration"):format(path), 0)
  end
  for name, value in next, evaluate(path, text or "") do
    local origin = place(path, text, name)
    if not RULES[name] then
      refuse_name(origin, name)
    end
    entries[name] = entries[name] or check(name, value, origin)
  end
end

-- A file that is there and cannot be opened must not be passed over.
local function try_file(entries, path)
  local file <close>, message, code = io.open(path)
  if file then
    read_file(entries, file, path)
    return true
  elseif code ~= 2 and code ~= 20 then -- ENOENT, ENOTDIR
    error(message, 0)
  end
end

-- Configurations -------------------------------------------------------------------------------

---@class lambdapool.Config
---@field private flags table<string, any>
---@field private environment fun(name: string): string?
---@field private folder string where files are looked for from, with a slash, or ""
---@field private counts fun(): boolean
---@field private entries table<string, { value: any, origin: string }>? of the files, once read
local methods = {}
local mt = { __name = "lambdapool.Config", __index = methods }

local function variable(self, name)
  local value = self.environment(name)
  return value ~= "" and value or nil
end

-- The user's own file, or nil where there is no home.
local function user_file(self)
  local folder, home = variable(self, "XDG_CONFIG_HOME"), variable(self, "HOME")
  folder = folder or home and home .. "/.config"
  return folder and folder .. "/lambdapool/conf.lua"
end

local function read_files(self)
  local entries = {}
  for level = 0, HIGHEST do
    if try_file(entries, self.folder .. ("../"):rep(level) .. FILE) then
      break
    end
  end
  local own = user_file(self)
  if own then
    try_file(entries, own)
  end
  return entries
end

--- Sets what the command line says: values by the names of settings.
---@param values table<string, any>
function methods:set_flags(values)
  for name, value in pairs(values) do
    self.flags[name] = check(name, value, "--" .. name:gsub("_", "-"))
  end
end

--- The value of a setting and where it comes from; nil when nobody has set it, and where
--- configurations do not count.
---@param name string
---@return any value
---@return string? origin "--region", "LAMBDAPOOL_REGION", "lambdapool.conf.lua:3"
function methods:get(name)
  if not self.counts() then
    return nil
  end
  local entry = self.flags[name]
  if not entry then
    local upper = "LAMBDAPOOL_" .. name:upper()
    local value = variable(self, upper)
    entry = value and check(name, value, upper)
  end
  if not entry then
    self.entries = self.entries or read_files(self)
    entry = self.entries[name]
  end
  if entry then
    return entry.value, entry.origin
  end
end

--- What is configured of the options of pools.
---@return table<string, any>
function methods:pool()
  local options = {}
  for _, rule in ipairs(SETTINGS) do
    if rule.pool then
      options[rule.name] = self:get(rule.name)
    end
  end
  return options
end

---@class lambdapool.config.Setting
---@field name string
---@field value any nil: not set, and there is no default
---@field origin string "default" when nobody has set it

--- Every setting, set or not.
---@return lambdapool.config.Setting[]
function methods:all()
  local list = {}
  for i, rule in ipairs(SETTINGS) do
    local value, origin = self:get(rule.name)
    if not origin then
      value, origin = rule.default, "default"
    end
    list[i] = { name = rule.name, value = value, origin = origin }
  end
  return list
end

--- A configuration of its own, which reads another environment or starts in another folder.
---@param options { environment: (fun(name: string): string?)?, folder: string? }?
---@return lambdapool.Config
local function new(options)
  options = options or {}
  return setmetatable({
    flags = {},
    environment = options.environment or os.getenv,
    folder = options.folder and options.folder .. "/" or "",
    counts = function() return true end,
  }, mt)
end

-- The configuration of this process; its files are read once. In a Lua of somebody else's there is
-- none.
local ours = new()
if system.guest then
  ours.counts = function() return false end
end

return {
  new = new,

  --- Configurations are for programs: in somebody else's, nothing is read while this says false.
  ---@param counts fun(): boolean
  count_while = function(counts) ours.counts = counts end,

  ---@type fun(values: table<string, any>)
  set_flags = function(values) ours:set_flags(values) end,

  ---@type fun(name: string): any, string?
  get = function(name) return ours:get(name) end,

  ---@type fun(): table<string, any>
  pool = function() return ours:pool() end,

  ---@type fun(): lambdapool.config.Setting[]
  all = function() return ours:all() end,
}
