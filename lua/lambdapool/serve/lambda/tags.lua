--- Tags of functions.

local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"

local tags = {}

local MOST = 50

--- Raises when a function cannot have so many.
---@param labels table<string, string>
function tags.check(labels)
  local count = 0
  for _ in pairs(labels) do
    count = count + 1
  end
  if count > MOST then
    fault.invalid("Number of tags exceeds resource tag limit.")
  end
end

local function find(context, arn)
  local found = names.split(arn)
  if found and found.qualifier then
    fault.invalid("Tags on function aliases and versions are not supported. Please specify a " ..
      "function ARN.")
  end
  local name, row = lookup.existing(context, arn)
  return name, json.decode(row.tags)
end

local function write(context, name, labels)
  context.service.store.db:run("UPDATE functions SET tags = ? WHERE region = ? AND name = ?",
    json.encode(labels), context.region, name)
end

local operations = {}

function operations.ListTags(context, input)
  local _, labels = find(context, input.Resource)
  return 200, { Tags = labels }
end

function operations.TagResource(context, input)
  local name, labels = find(context, input.Resource)
  if not next(input.Tags) then
    fault.invalid("An error occurred and the request cannot be processed.")
  end
  for key, value in pairs(input.Tags) do
    labels[key] = value
  end
  tags.check(labels)
  write(context, name, labels)
  return 204
end

function operations.UntagResource(context, input)
  local name, labels = find(context, input.Resource)
  for _, key in ipairs(input.TagKeys) do
    labels[key] = nil
  end
  write(context, name, labels)
  return 204
end

tags.operations = operations
return tags
