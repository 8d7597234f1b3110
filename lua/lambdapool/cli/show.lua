--- `lambdapool show`: everything about a function.

local command = require "lambdapool.cli.command"
local describe = require "lambdapool.deploy.describe"
local functions = require "lambdapool.deploy.function"
local output = require "lambdapool.cli.output"
local system = require "lambdapool.system"

-- "K=V" or, without values, "K", in order.
local function pairs_of(map, with_values)
  local lines = {}
  for key, value in pairs(map or {}) do
    lines[#lines + 1] = with_values and key .. "=" .. value or key
  end
  table.sort(lines)
  return lines
end

local function version_of(item)
  if not item.version then
    return nil
  elseif item.outdated then
    return ("%s, older than this program (%s): `lambdapool update %s`"):format(item.version,
      system.version, item.name)
  end
  return item.version
end

-- "Active", or what is under way and why.
local function state_of(item)
  local words = { item.state }
  words[#words + 1] = item.state_reason
  if item.update and item.update ~= "Successful" then
    words[#words + 1] = "update " .. item.update
    words[#words + 1] = item.update_reason
  end
  return words[1] and table.concat(words, ", ")
end

local function block(item, given, now)
  local modified = describe.time(item.modified)
  return {
    { "name", item.name },
    { "arn", item.arn },
    { "description", item.description ~= "" and item.description or nil },
    { "state", state_of(item) },
    { "memory", item.memory and item.memory .. " MB" },
    { "timeout", item.timeout and item.timeout .. " s" },
    { "handler", item.handler },
    { "runtime", item.runtime and item.runtime .. ", " .. item.architecture },
    { "role", item.role },
    { "code", item.code_size and output.size(item.code_size) },
    { "digest", item.code_sha256 },
    { "version", version_of(item) },
    { "updated", modified and item.modified .. ", " .. output.age(now - modified) },
    { "layers", item.layers },
    { "environment", item.environment_error or pairs_of(item.environment, given.values) },
    { "tags", pairs_of(item.tags, true) },
    { "concurrency", item.reserved_concurrency and item.reserved_concurrency .. " reserved" },
    { "log", item.log_group },
  }
end

-- As JSON, too, values are only there when they are asked for.
local function hide_values(item)
  for name in pairs(item.environment or {}) do
    item.environment[name] = "(hidden)"
  end
end

return command.new {
  name = "show",
  usage = "show NAME",
  example = "lambdapool show algorithms",
  about = "Shows everything about a function. The values of its environment are hidden.",
  arguments = { { "name", "the function" } },
  options = { { "--values", nil, "the values of environment variables, too" } },
  common = { account = true, json = true },
  run = function(given, context)
    local item = functions.show(context:account(), given.name)
    if given.json then
      if not given.values then
        hide_values(item)
      end
      return output.json(item)
    end
    output.block(block(item, given, context.now))
    if not item.ours then
      output.say(("%s was not made by lambdapool"):format(item.name))
    end
  end,
}
