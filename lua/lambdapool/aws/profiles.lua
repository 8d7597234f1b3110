--- The profiles in ~/.aws/config and ~/.aws/credentials, or where AWS_CONFIG_FILE and
--- AWS_SHARED_CREDENTIALS_FILE say. The files are read when the first of them is asked for.

local files = require "lambdapool.aws.credentials.files"
local ini = require "lambdapool.aws.ini"
local refusals = require "lambdapool.aws.refusal"

---@class lambdapool.aws.Profiles
---@field config_path string? nil when there is no home folder
---@field credentials_path string?
---@field private config table<string, table> by kind and name: "profile x", "services x"
---@field private shared table<string, table> the sections of the credentials file
local methods = {}
local mt = { __name = "lambdapool.aws.Profiles" }

local profiles = {}

--- A path with ~ and $NAME replaced. What cannot be replaced stays.
---@param path string
---@param environment fun(name: string): string?
---@return string
function profiles.expand(path, environment)
  path = path:gsub("%$(%b{})", function(name) return environment(name:sub(2, -2)) end)
  path = path:gsub("%$([%a_][%w_]*)", environment)
  if path:find "^~/" or path == "~" then
    path = (environment "HOME" or "~") .. path:sub(2)
  end
  return path
end

local function locate(environment, variable, default)
  local path = environment(variable)
  if not path or path == "" then
    path = environment "HOME" and default
  end
  return path and profiles.expand(path, environment) or nil
end

-- The sections of a file; none when it cannot be read.
local function load(path)
  local text = path and files.read(path)
  if not text then
    return {}
  end
  local sections, message = ini.parse(text)
  return sections or error(refusals.new { code = "InvalidConfiguration", exit = 4,
    message = ("cannot read %s: %s"):format(path, message) }, 0)
end

-- Settings are texts; tables are for other programs.
local function texts(values)
  local kept = {}
  for key, value in pairs(values) do
    kept[key] = type(value) == "string" and value or nil
  end
  return kept
end

local KINDS = { profile = true, services = true, ["sso-session"] = true }

-- The words of a section's name; quotes may stand around one.
local function split(name)
  local kind, rest = name:match "^(%S+)%s+(.-)%s*$"
  rest = rest and (rest:match '^"(.*)"$' or rest:match "^'(.*)'$" or not rest:find "%s" and rest)
  return kind, rest
end

local function sort_config(sections)
  local sorted = {}
  for name, values in pairs(sections) do
    local kind, rest = split(name)
    if name == "default" then
      sorted["profile default"] = sorted["profile default"] or values
    elseif KINDS[kind] and rest then
      sorted[kind .. " " .. rest] = values
    end
  end
  return sorted
end

-- The fields come with the files.
local LAZY = {}

function LAZY.config(self)
  return sort_config(load(self.config_path))
end

function LAZY.shared(self)
  return load(self.credentials_path)
end

function mt.__index(self, name)
  local make = LAZY[name]
  if make then
    rawset(self, name, make(self))
    return rawget(self, name)
  end
  return methods[name]
end

--- The files are read again when they are next asked for.
function methods:reload()
  self.config, self.shared = nil, nil
end

--- What the credentials file says of a profile.
---@param name string
---@return table<string, string>
function methods:in_credentials(name)
  return texts(self.shared[name] or {})
end

--- What the config file says of a profile.
---@param name string
---@return table<string, string>
function methods:in_config(name)
  return texts(self.config["profile " .. name] or {})
end

--- What both say; the credentials file wins.
---@param name string
---@return table<string, string>
function methods:get(name)
  local merged = {}
  for _, values in ipairs { self:in_config(name), self:in_credentials(name) } do
    for key, value in pairs(values) do
      merged[key] = value
    end
  end
  return merged
end

---@param name string
---@return boolean
function methods:has(name)
  return self.config["profile " .. name] ~= nil or self.shared[name] ~= nil
end

--- The names of all profiles, sorted.
---@return string[]
function methods:names()
  local seen, names = {}, {}
  for section in pairs(self.config) do
    seen[section:match "^profile (.*)$" or false] = true
  end
  for section in pairs(self.shared) do
    seen[section] = true
  end
  seen[false] = nil
  for name in pairs(seen) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

--- A section [services NAME], which has tables, or [sso-session NAME], which has texts; or nil.
---@param kind "services"|"sso-session"
---@param name string
---@return table<string, any>?
function methods:section(kind, name)
  local values = self.config[kind .. " " .. name]
  return values and kind ~= "services" and texts(values) or values
end

---@param environment fun(name: string): string?
---@return lambdapool.aws.Profiles
function profiles.open(environment)
  return setmetatable({
    config_path = locate(environment, "AWS_CONFIG_FILE", "~/.aws/config"),
    credentials_path = locate(environment, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
  }, mt)
end

return profiles
