--- Roles of functions. Each function gets one of its own that may write the function's log and
--- nothing else. Roles belong to no region but logs do, so there is a policy in the role for each
--- region in which a function of that name lives; the last of these functions takes it along.

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local plan = require "lambdapool.deploy.plan"
local policies = require "lambdapool.deploy.policies"
local problem = require "lambdapool.deploy.problem"
local settle = require "lambdapool.deploy.settle"

local roles = {}

local function is_absent(failure)
  return type(failure) == "table" and failure.code == "NoSuchEntity"
end

-- Calls an operation; nil when what it is about does not exist.
local function call(iam, operation, input)
  local ok, answer = pcall(iam.call, iam, operation, input)
  if ok then
    return answer
  elseif not is_absent(answer) then
    error(answer, 0)
  end
end

local function has_tag(role, key, value)
  for _, tag in ipairs(role.Tags or {}) do
    if tag.Key == key and tag.Value == value then
      return true
    end
  end
  return false
end

local function is_ours(role)
  return role.Path == names.PATH and has_tag(role, "creator", names.CREATOR)
end

--- The role that was made for a function; nil when there is none, and true after it when there is
--- another one of that name.
---@param account table
---@param name string of the function
---@return table? role
---@return boolean? taken
function roles.find(account, name)
  local answer = call(account.session:iam(), "GetRole", { RoleName = names.role(name) })
  if answer and not is_ours(answer.Role) then
    return nil, true
  end
  return answer and answer.Role
end

-- The role, or nil when it has to be made.
local function find_or_free(account, name)
  local role, taken = roles.find(account, name)
  if taken then
    problem.raise(problem.FAILED, "there is a role %s that lambdapool did not make\n  name " ..
      "another one with `--role ARN`", names.role(name))
  end
  return role
end

local function policy_name(region)
  return "logs-" .. region
end

-- What a role has of something; nothing when there is no such role.
local function all(iam, operation, role_name, list)
  local found = {}
  local ok, failure = pcall(function()
    for _, entry in iam:pages(operation, { RoleName = role_name }, list) do
      found[#found + 1] = entry
    end
  end)
  if not ok and not is_absent(failure) then
    error(failure, 0)
  end
  return found
end

-- Deletes a role with everything in it.
local function remove(iam, role_name)
  for _, policy in ipairs(all(iam, "ListAttachedRolePolicies", role_name, "AttachedPolicies")) do
    call(iam, "DetachRolePolicy", { RoleName = role_name, PolicyArn = policy.PolicyArn })
  end
  for _, policy in ipairs(all(iam, "ListRolePolicies", role_name, "PolicyNames")) do
    call(iam, "DeleteRolePolicy", { RoleName = role_name, PolicyName = policy })
  end
  call(iam, "DeleteRole", { RoleName = role_name })
end

local function create(iam, name, mark)
  return iam:call("CreateRole", {
    RoleName = names.role(name), Path = names.PATH,
    Description = "what the function " .. name .. " may do; made by lambdapool",
    AssumeRolePolicyDocument = json.encode(policies.trust()),
    Tags = { { Key = "creator", Value = names.CREATOR },
      { Key = "lambdapool:function", Value = name }, { Key = names.MARK, Value = mark } },
  }).Role
end

-- Somebody else may have made it in between.
local function create_or_find(account, name, mark)
  local ok, role = pcall(create, account.session:iam(), name, mark)
  if not ok and type(role) == "table" and role.code == "EntityAlreadyExists" then
    return find_or_free(account, name)
  elseif not ok then
    error(role, 0)
  end
  return role
end

-- A role that was made a moment ago may not be there yet.
local function allow_log(account, name, role, stop)
  local partition, account_id = names.split_arn(role.Arn)
  local place = { partition = partition, account = account_id, region = account.session.region }
  settle.insist(account.session:iam(), "PutRolePolicy", { RoleName = role.RoleName,
    PolicyName = policy_name(place.region),
    PolicyDocument = json.encode(policies.worker(place, name)) }, is_absent, stop)
end

-- Takes a role back, unless somebody else uses it by now. False when it was not made here.
local function take_back(account, name, mark)
  local role = roles.find(account, name)
  if not role or not has_tag(role, names.MARK, mark) then
    return false
  end
  local users = lookup.users(account, role.Arn)
  if users[1] then
    error(("%s uses it"):format(table.concat(users, ", ")), 0)
  end
  remove(account.session:iam(), role.RoleName)
  return true
end

--- Plans the role of a function. When the plan runs, `journal.role` becomes its ARN.
---@param steps lambdapool.deploy.Plan
---@param account table
---@param name string of the function
function roles.plan(steps, account, name)
  local role_name, mark = names.role(name), crypto.uuid()
  local role = find_or_free(account, name)
  if not role then
    plan.add(steps, {
      operation = "iam:CreateRole",
      about = ("create the role %s%s for Lambda"):format(names.PATH:sub(2), role_name),
      made = "the role " .. role_name,
      run = function() role = create_or_find(account, name, mark) end,
      undo = function() return take_back(account, name, mark) end,
    })
  end
  plan.add(steps, {
    operation = "iam:PutRolePolicy",
    about = ("let the role write to the log %s and nothing else"):format(names.log_group(name)),
    run = function(journal)
      allow_log(account, name, role, journal.stop)
      journal.role = role.Arn
    end,
  })
end

-- Whether the role has a policy for the log of such a function in another region.
local function used_elsewhere(iam, role_name, region)
  for _, policy in ipairs(all(iam, "ListRolePolicies", role_name, "PolicyNames")) do
    if policy:find "^logs%-" and policy ~= policy_name(region) then
      return policy:sub(6)
    end
  end
end

--- Plans what becomes of the role when its function is deleted: it goes, too, unless the function
--- lives on in another region or others use it.
---@param steps lambdapool.deploy.Plan
---@param account table
---@param name string of the function
---@param users string[] other functions with this role
function roles.plan_removal(steps, account, name, users)
  local iam, role_name = account.session:iam(), names.role(name)
  local region = account.session.region
  if users[1] then
    steps.kept = ("the role %s stays: %s uses it"):format(role_name, table.concat(users, ", "))
    return
  end
  local other = used_elsewhere(iam, role_name, region)
  if other then
    plan.add(steps, {
      operation = "iam:DeleteRolePolicy",
      about = ("delete the policy %s of the role %s, which is used in %s, too"):format(
        policy_name(region), role_name, other),
      run = function()
        call(iam, "DeleteRolePolicy", { RoleName = role_name, PolicyName = policy_name(region) })
      end,
    })
    return
  end
  plan.add(steps, {
    operation = "iam:DeleteRole", about = "delete the role " .. role_name .. " and its policies",
    run = function() remove(iam, role_name) end,
  })
end

return roles
