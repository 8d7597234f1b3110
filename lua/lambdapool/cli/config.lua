--- `lambdapool config`: what is configured, and where.

local command = require "lambdapool.cli.command"
local config = require "lambdapool.config"
local json = require "lambdapool.json"
local output = require "lambdapool.cli.output"

local function shown(value)
  return type(value) == "table" and table.concat(value, ", ") or value
end

local function as_json(settings)
  local document = {}
  for _, setting in ipairs(settings) do
    local value = setting.value
    if value == nil then
      value = json.null
    end
    document[setting.name] = { value = type(value) == "table" and json.array(value) or value,
      origin = setting.origin }
  end
  return document
end

local function show(given)
  local settings = config.all()
  if given.json then
    return output.json(as_json(settings))
  end
  local rows = {}
  for i, setting in ipairs(settings) do
    local value = setting.value
    rows[i] = { setting.name, value == nil and "-" or tostring(shown(value)),
      given.origin and setting.origin or nil }
  end
  output.table(given.origin and { "NAME", "VALUE", "ORIGIN" } or { "NAME", "VALUE" }, rows)
end

return command.group {
  name = "config",
  example = "lambdapool config show --origin",
  about = [[
Settings of pools and commands. What wins, in this order: flags of the command line, LAMBDAPOOL_NAME
in the environment, `lambdapool.conf.lua` in this folder or the nearest one above it, and
~/.config/lambdapool/conf.lua. The files have lines like `region = "eu-central-1"`.]],
  commands = {
    show = command.new {
      name = "show",
      usage = "config show",
      example = "lambdapool config show --origin",
      about = "Prints every setting. Those without a value have no default here.",
      options = { { "--origin", nil, "also where each value comes from" } },
      common = { account = true, json = true },
      run = show,
    },
  },
}
