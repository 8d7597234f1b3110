--- What can be set of a function: the options of create and update are checked here before anything
--- is sent, in words that say what is allowed.

local json = require "lambdapool.json"
local names = require "lambdapool.deploy.names"
local problem = require "lambdapool.deploy.problem"
local suggest = require "lambdapool.suggest"

local LARGEST_ENVIRONMENT = 4096
local MOST_LAYERS = 5
local MOST_TAGS, OWN_TAGS = 50, 4

local ARCHITECTURES = { x86_64 = true, arm64 = true }

-- Lambda sets these itself.
local RESERVED = {}
for name in ([[
  AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_ACCESS_KEY AWS_ACCESS_KEY_ID
  AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_FUNCTION_NAME
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE
  AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_LAMBDA_RUNTIME_API
  LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR]]):gmatch "%S+" do
  RESERVED[name] = true
end

-- What a function has for a handler that is for calls of pools only.
local NO_HANDLER = "lambdapool"

local settings = {
  --- What a new function has. The memory gives it a whole processor, and the timeout is that of
  --- Lambda, because tasks bring limits of their own.
  DEFAULTS = { memory = 1769, timeout = 900, handler = NO_HANDLER, architecture = "x86_64" },
}

local function refuse(text, ...)
  problem.raise(problem.USAGE, text, ...)
end

-- Single values -------------------------------------------------------------------------------

local function integer(what, unit, min, max)
  return function(value)
    local whole = math.type(value) and math.tointeger(value)
    if not whole or whole < min or whole > max then
      refuse("the %s must be a whole number of %s from %d to %d, got %s", what, unit, min, max,
        tostring(value))
    end
    return whole
  end
end

local function handler(value)
  if type(value) ~= "string" or #value > 128
    or value ~= NO_HANDLER and not value:find "^%S+%.[^%s.]+$" then
    refuse("the handler must be MODULE.FUNCTION like app.greet, without spaces and of at most " ..
      "128 characters, got '%s'\n  `%s` is for functions that only pools use", tostring(value),
      NO_HANDLER)
  end
  return value
end

local function description(value)
  local length = type(value) == "string" and utf8.len(value)
  if not length or length > 256 then
    refuse "the description must be a text of at most 256 characters"
  end
  return value
end

local function role(value)
  if not names.is_role_arn(value) then
    refuse("'%s' is not the ARN of a role\n  it looks like arn:aws:iam::123456789012:role/name",
      tostring(value))
  end
  return value
end

local function architecture(value)
  if not ARCHITECTURES[value] then
    refuse("the architecture must be x86_64 or arm64, got '%s'", tostring(value))
  end
  return value
end

-- Layers --------------------------------------------------------------------------------------

--- Raises unless `value` is a list of at most five ARNs of different layers.
---@param value any
---@return string[]
function settings.check_layers(value)
  if type(value) ~= "table" then
    refuse "the layers must be a list of ARNs"
  elseif #value > MOST_LAYERS then
    refuse("a function has at most %d layers, got %d", MOST_LAYERS, #value)
  end
  local seen = {}
  for _, arn in ipairs(value) do
    local parts = names.split_layer(arn)
    if not parts then
      refuse("'%s' is not the ARN of a version of a layer\n  it looks like " ..
        "arn:aws:lambda:us-east-1:123456789012:layer:name:1; see `lambdapool layers list`",
        tostring(arn))
    elseif seen[parts.layer] then
      refuse("the layer %s is there twice: %s and %s", parts.name, seen[parts.layer], arn)
    end
    seen[parts.layer] = arn
  end
  return value
end

-- Environment ---------------------------------------------------------------------------------

local function check_variable(name, value)
  if type(name) ~= "string" or not name:find "^%a[%w_]+$" then
    refuse("'%s' cannot be the name of an environment variable\n  a name begins with a letter " ..
      "and has at least two letters, digits and _", tostring(name))
  elseif RESERVED[name] then
    refuse("the environment variable %s is set by Lambda itself", name)
  elseif type(value) ~= "string" or not utf8.len(value) or value:find "\0" then
    refuse("the value of the environment variable %s must be text in UTF-8", name)
  end
end

--- Raises unless `value` can be the environment of a function. Values are never in the message.
---@param value any
---@return table<string, string>
function settings.check_environment(value)
  if type(value) ~= "table" then
    refuse "the environment must be a table of names and values"
  end
  for name, text in pairs(value) do
    check_variable(name, text)
  end
  local size = #json.encode(value)
  if size > LARGEST_ENVIRONMENT then
    refuse("the environment is %d bytes as JSON, and %d are allowed\n  read large values from " ..
      "files in the package", size, LARGEST_ENVIRONMENT)
  end
  return value
end

-- Tags ----------------------------------------------------------------------------------------

local function is_tag_text(text, min, max)
  local length = type(text) == "string" and utf8.len(text)
  return length and length >= min and length <= max and not text:find "[^%w%s_.:/=+@\x80-\xff-]"
end

-- Tells by whom, and from what, a function was made.
local function is_own_tag(key)
  return key == "creator" or key:find "^lambdapool:" ~= nil
end

local function check_tag(key, value)
  if not is_tag_text(key, 1, 128) then
    refuse("'%s' cannot be the key of a tag\n  a key has 1 to 128 letters, digits, spaces " ..
      "and _ . : / = + - @", tostring(key))
  elseif key:find "^[Aa][Ww][Ss]:" then
    refuse("'%s' cannot be the key of a tag: those that begin with aws: are AWS's own", key)
  elseif is_own_tag(key) then
    refuse("the tag '%s' is set by lambdapool itself", key)
  elseif not is_tag_text(value, 0, 256) then
    refuse("the value of the tag '%s' may have at most 256 letters, digits, spaces and " ..
      "_ . : / = + - @", key)
  end
end

local function tags(value)
  if type(value) ~= "table" then
    refuse "the tags must be a table of keys and values"
  end
  local count = 0
  for key, text in pairs(value) do
    check_tag(key, text)
    count = count + 1
  end
  if count > MOST_TAGS - OWN_TAGS then
    refuse("a function has at most %d tags besides those of lambdapool, got %d",
      MOST_TAGS - OWN_TAGS, count)
  end
  return value
end

-- All of them ---------------------------------------------------------------------------------

local function removed_names(value)
  if type(value) ~= "table" then
    refuse "what is to be removed must be a list of names"
  end
  for _, name in ipairs(value) do
    if type(name) ~= "string" then
      refuse("what is to be removed must be names, got a %s", type(name))
    end
  end
  return value
end

local function removed_tags(value)
  for _, key in ipairs(removed_names(value)) do
    if is_own_tag(key) then
      refuse("the tag '%s' is lambdapool's own", key)
    end
  end
  return value
end

local CHECKS = {
  memory = integer("memory", "megabytes", 128, 10240),
  timeout = integer("timeout", "seconds", 1, 900),
  handler = handler,
  description = description,
  role = role,
  architecture = architecture,
  layers = settings.check_layers,
  environment = settings.check_environment,
  tags = tags,
  remove_environment = removed_names,
  remove_tags = removed_tags,
}

-- What else create and update take, and its type.
local OTHERS = { paths = "table", requirements = "string", agent = "string", adopt = "boolean",
  defaults = "table", log = "function", stop = "function" }

local function complain_of(name)
  local known = {}
  for _, list in ipairs { CHECKS, OTHERS } do
    for other in pairs(list) do
      known[#known + 1] = other
    end
  end
  table.sort(known)
  refuse("unknown option '%s'%s", tostring(name), suggest.hint(tostring(name), known))
end

--- The settings of a new function: those of the options, then those that are to hold where the
--- options say nothing, then our own.
---@param options lambdapool.deploy.Options
---@return table settings
function settings.complete(options)
  local complete = {}
  local defaults = options.defaults and settings.check(options.defaults) or {}
  for _, source in ipairs { settings.DEFAULTS, defaults, settings.check(options) } do
    for name, value in pairs(source) do
      complete[name] = value
    end
  end
  return complete
end

--- Checks the options of create or update. Returns the settings among them.
---@param options table
---@return table settings
function settings.check(options)
  local checked = {}
  for name, value in pairs(options) do
    local check = CHECKS[name]
    if check then
      checked[name] = check(value)
    elseif not OTHERS[name] then
      complain_of(name)
    elseif type(value) ~= OTHERS[name] then
      refuse("the option '%s' must be a %s, got a %s", name, OTHERS[name], type(value))
    end
  end
  return checked
end

return settings
