--- Functions as they are now: found by name, and told apart from those of others by their tags.

local async = require("lambdapool.async").async
local names = require "lambdapool.deploy.names"
local problem = require "lambdapool.deploy.problem"

-- Questions that are under way at a time.
local AT_ONCE = 8

local lookup = {}

---@class lambdapool.deploy.Found
---@field configuration table as GetFunction gives it
---@field tags table<string, string>
---@field hidden string? why the tags are not known
---@field concurrency integer? reserved for it
---@field location string? where its code can be fetched for some minutes

--- Where an account's functions are, in messages: "us-east-1".
---@param account table
---@return string
function lookup.place(account)
  return account.session.region or account.name
end

--- Whether a call of Lambda or the logs failed because what it is about is not there.
---@param failure any
---@return boolean
function lookup.is_absent(failure)
  return type(failure) == "table" and failure.code == "ResourceNotFoundException"
end

--- A function of any maker; nil when there is none.
---@param account table
---@param name string
---@return lambdapool.deploy.Found?
function lookup.find(account, name)
  local lambda = account.session:lambda()
  local ok, answer = pcall(lambda.call, lambda, "GetFunction", { FunctionName = name })
  if lookup.is_absent(answer) then
    return nil
  elseif not ok then
    error(answer, 0)
  end
  local concurrency = answer.Concurrency
  local failure = not answer.Tags and type(answer.TagsError) == "table" and answer.TagsError
  return {
    configuration = answer.Configuration, tags = answer.Tags or {},
    hidden = failure and (failure.Message or failure.ErrorCode) or nil,
    concurrency = concurrency and concurrency.ReservedConcurrentExecutions,
    location = answer.Code and answer.Code.Location,
  }
end

--- A function of any maker; raises when there is none.
---@param account table
---@param name string
---@return lambdapool.deploy.Found
function lookup.get(account, name)
  local found = lookup.find(account, names.check_function(name))
  if not found then
    problem.raise(problem.ABSENT, "there is no function %s in %s\n  create it with " ..
      "`lambdapool create %s PATHS`, or see what there is with `lambdapool list`", name,
      lookup.place(account), name)
  end
  return found
end

--- Whether lambdapool made it.
---@param tags table<string, string>
---@return boolean
function lookup.is_ours(tags)
  return tags.creator == names.CREATOR
end

--- A function that lambdapool made; raises when there is none, or when somebody else made it.
---@param account table
---@param name string
---@param hint string? what to do then
---@return lambdapool.deploy.Found
function lookup.own(account, name, hint)
  local found = lookup.get(account, name)
  if lookup.is_ours(found.tags) then
    return found
  elseif found.hidden then
    problem.raise(problem.FAILED, "cannot tell whether lambdapool made the function %s: its " ..
      "tags are not to be read\n  %s", name, found.hidden)
  end
  problem.raise(problem.FAILED, "the function %s was not made by lambdapool%s", name,
    hint and "\n  " .. hint or "")
end

--- The names of the functions in the region that have a role. Lists know for a while what is gone,
--- so those that they name are looked at.
---@param account table
---@param arn string of the role
---@return string[]
function lookup.users(account, arn)
  local users = {}
  for _, configuration in ipairs(lookup.all(account)) do
    local name = configuration.FunctionName
    if configuration.Role == arn and lookup.find(account, name) then
      users[#users + 1] = name
    end
  end
  return users
end

-- Runs f on every item of a list, several at a time where it waits.
local function each(list, f)
  local i, flows = 0, {}
  local function work()
    while i < #list do
      i = i + 1
      f(list[i])
    end
  end
  for n = 1, math.min(AT_ONCE, #list) do
    flows[n] = async(work)
  end
  for _, flow in ipairs(flows) do
    flow:result()
  end
end

--- All functions in a region, of any maker, as lists show them.
---@param account table
---@return table[]
function lookup.all(account)
  local list = {}
  for _, configuration in account.session:lambda():pages("ListFunctions", {}, "Functions") do
    list[#list + 1] = configuration
  end
  return list
end

--- The functions that lambdapool made, in the order of their names. Lists of AWS have no tags, so
--- these are asked for one by one, of those functions only that have a runtime like ours.
---@param account table
---@return { configuration: table, tags: table<string, string> }[]
function lookup.ours(account)
  local lambda, candidates, found = account.session:lambda(), {}, {}
  for _, configuration in ipairs(lookup.all(account)) do
    if tostring(configuration.Runtime):find "^provided" then
      candidates[#candidates + 1] = configuration
    end
  end
  each(candidates, function(configuration)
    local ok, answer = pcall(lambda.call, lambda, "ListTags",
      { Resource = configuration.FunctionArn })
    if ok and lookup.is_ours(answer.Tags or {}) then
      found[#found + 1] = { configuration = configuration, tags = answer.Tags }
    elseif not ok and not lookup.is_absent(answer) then -- deleted in between
      error(answer, 0)
    end
  end)
  table.sort(found, function(a, b)
    return a.configuration.FunctionName < b.configuration.FunctionName
  end)
  return found
end

return lookup
