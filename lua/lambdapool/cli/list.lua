--- `lambdapool list`: the functions that lambdapool made.

local command = require "lambdapool.cli.command"
local describe = require "lambdapool.deploy.describe"
local functions = require "lambdapool.deploy.function"
local json = require "lambdapool.json"
local names = require "lambdapool.deploy.names"
local output = require "lambdapool.cli.output"

-- "numpy:3, tools:1"
local function short_layers(arns)
  local words = {}
  for i, arn in ipairs(arns) do
    local parts = names.split_layer(arn)
    words[i] = parts and parts.name .. ":" .. parts.version or arn
  end
  return table.concat(words, ", ")
end

local function row(item, now)
  local modified = describe.time(item.modified)
  return {
    item.name, item.memory and item.memory .. " MB", item.timeout and item.timeout .. " s",
    item.code_size and output.size(item.code_size), modified and output.age(now - modified),
    item.version and item.version .. (item.outdated and " (old)" or ""), short_layers(item.layers),
  }
end

return command.new {
  name = "list",
  usage = "list",
  example = "lambdapool list",
  about = "Lists the functions that lambdapool made. In those marked (old) there is an older " ..
    "version of it.",
  common = { account = true, json = true },
  run = function(given, context)
    local list = functions.list(context:account())
    if given.json then
      return output.json(json.array(list))
    end
    local rows = {}
    for i, item in ipairs(list) do
      rows[i] = row(item, context.now)
    end
    output.table({ "NAME", "MEMORY", "TIMEOUT", "CODE", "UPDATED", "VERSION", "LAYERS" }, rows)
  end,
}
