--- Who else may invoke a function: the statements of its resource policy.

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local plan = require "lambdapool.deploy.plan"
local policies = require "lambdapool.deploy.policies"
local problem = require "lambdapool.deploy.problem"

local permissions = { plan = {} }

local function statements(account, name)
  local lambda = account.session:lambda()
  local ok, answer = pcall(lambda.call, lambda, "GetPolicy", { FunctionName = name })
  if ok then
    return (json.decode(answer.Policy) or {}).Statement or {}
  elseif lookup.is_absent(answer) then
    return {} -- as a function has none at first
  end
  error(answer, 0)
end

-- { AWS = "arn:…" }, { Service = {…} } or "*", in one text.
local function principal(value)
  local words = {}
  if type(value) ~= "table" then
    return tostring(value)
  end
  for _, entry in pairs(value) do
    for _, word in ipairs(type(entry) == "table" and entry or { entry }) do
      words[#words + 1] = word
    end
  end
  table.sort(words)
  return table.concat(words, ", ")
end

local function item(statement)
  local sources = {}
  for _, entries in pairs(type(statement.Condition) == "table" and statement.Condition or {}) do
    for key, value in pairs(entries) do
      sources[key:lower()] = type(value) == "table" and table.concat(value, ", ") or value
    end
  end
  return {
    id = statement.Sid, effect = statement.Effect, principal = principal(statement.Principal),
    action = type(statement.Action) == "table" and table.concat(statement.Action, ", ")
      or statement.Action,
    source_arn = sources["aws:sourcearn"], source_account = sources["aws:sourceaccount"],
    condition = statement.Condition ~= json.null and statement.Condition or nil,
  }
end

--- The statements of a function's policy.
---@param account lambdapool.Account
---@param name string
---@return table[]
function permissions.list(account, name)
  lookup.get(account, name)
  local list = {}
  for i, statement in ipairs(statements(account, name)) do
    list[i] = item(statement)
  end
  return list
end

-- Granting ----------------------------------------------------------------------------------------

---@class lambdapool.deploy.Grant
---@field principal string an account, the ARN of a user or role, a service as s3.amazonaws.com, "*"
---@field source_arn string? what the service must act for
---@field source_account string?
---@field action string? "lambda:InvokeFunction"
---@field id string? of the statement; default: made of what it says

local function is_principal(text)
  return text == "*" or text:find "^%d%d%d%d%d%d%d%d%d%d%d%d$"
    or text:find "^arn:aws[%a-]*:[%w-]+:" or text:find "^[%w-]+%.[%w.-]+$"
end

local RULES = {
  { "principal", is_principal, "an account's number, the ARN of a user or role, a service like " ..
    "s3.amazonaws.com, or *" },
  { "source_arn", function(text) return text:find "^arn:aws[%w-]*:[%w-]+:" end,
    "an ARN like arn:aws:s3:::bucket" },
  { "source_account", function(text) return text:find "^%d%d%d%d%d%d%d%d%d%d%d%d$" end,
    "the 12 digits of an account" },
  { "action", function(text) return text:find "^lambda:%a+$" or text == "lambda:*" end,
    "like lambda:InvokeFunction" },
  { "id", function(text) return #text <= 100 and text:find "^[%w_-]+$" end,
    "1 to 100 letters, digits, - and _" },
}

local function check(grant)
  if not grant.principal then
    problem.raise(problem.USAGE, "the principal is missing\n  `--principal` is %s", RULES[1][3])
  end
  for _, rule in ipairs(RULES) do
    local value = grant[rule[1]]
    if value ~= nil and (type(value) ~= "string" or not rule[2](value)) then
      problem.raise(problem.USAGE, "the %s must be %s, got '%s'", rule[1]:gsub("_", " "), rule[3],
        tostring(value))
    end
  end
end

-- The same grant has the same name, so giving it twice is no mistake.
local function statement_id(grant, action)
  local word = grant.principal == "*" and "everyone" or grant.principal:gsub("[^%w]+", "-")
  local what = table.concat({ grant.principal, grant.source_arn or "", grant.source_account or "",
    action }, "\n")
  return ("lambdapool-%s-%s"):format(word:sub(1, 60), crypto.sha256(what):sub(1, 8))
end

local function find(account, name, id)
  for _, statement in ipairs(statements(account, name)) do
    if statement.Sid == id then
      return item(statement)
    end
  end
end

--- Plans a grant. With an id of its own, what is granted already is not sent again.
---@param account lambdapool.Account
---@param name string
---@param grant lambdapool.deploy.Grant
---@return lambdapool.deploy.Plan
function permissions.plan.grant(account, name, grant)
  check(grant)
  lookup.own(account, name)
  local steps = plan.new(name, "grant")
  local action = grant.action or "lambda:InvokeFunction"
  local id = grant.id or statement_id(grant, action)
  local there = find(account, name, id)
  if there and grant.id then
    problem.raise(problem.FAILED, "there is a permission %s of %s already\n  take it away first " ..
      "with `lambdapool permissions revoke %s %s`, or choose another id", id, name, name, id)
  elseif there then
    steps.action = "unchanged"
  else
    plan.add(steps, {
      operation = "lambda:AddPermission",
      about = ("let %s do %s on %s"):format(grant.principal, action, name),
      run = function()
        account.session:lambda():call("AddPermission", { FunctionName = name, StatementId = id,
          Action = action, Principal = grant.principal, SourceArn = grant.source_arn,
          SourceAccount = grant.source_account })
      end,
    })
  end
  steps.result = function()
    return { name = name, id = id, principal = grant.principal, permitted = action,
      source_arn = grant.source_arn, source_account = grant.source_account,
      action = steps.steps[1] and "granted" or "unchanged" }
  end
  return steps
end

--- Plans the end of a permission.
---@param account lambdapool.Account
---@param name string
---@param id string
---@return lambdapool.deploy.Plan
function permissions.plan.revoke(account, name, id)
  lookup.own(account, name)
  local there = find(account, name, id)
  if not there then
    problem.raise(problem.ABSENT, "%s has no permission %s\n  see those that it has with " ..
      "`lambdapool permissions list %s`", name, id, name)
  end
  local steps = plan.new(name, "revoke")
  plan.add(steps, {
    operation = "lambda:RemovePermission",
    about = ("take the permission %s (%s) from %s"):format(id, there.principal, name),
    run = function()
      account.session:lambda():call("RemovePermission", { FunctionName = name, StatementId = id })
    end,
  })
  steps.result = function()
    return { name = name, id = id, principal = there.principal, action = "revoked" }
  end
  return steps
end

-- Policies for people ----------------------------------------------------------------------------

--- The least that somebody needs, as an IAM policy with the ARNs of this account.
---@param account lambdapool.Account
---@param whom string "user", "deployer" or "worker"
---@param name string? of a function; without it, all of them
---@return table policy
function permissions.policy(account, whom, name)
  if name then
    names.check_function(name)
  end
  local identity = account.session:sts():call("GetCallerIdentity", {})
  local place = { partition = names.split_arn(identity.Arn) or "aws", account = identity.Account,
    region = account.session:need_region() or account.session.region }
  return policies[whom](place, name or "*")
end

return permissions
