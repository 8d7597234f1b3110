--- IAM policies as tables: what a function's role may do, and the least that people need who invoke
--- functions or deploy them.

local json = require "lambdapool.json"
local names = require "lambdapool.deploy.names"

local policies = {}

---@class lambdapool.deploy.Place where the ARNs of a policy lie
---@field partition string
---@field region string
---@field account string

local function arn(place, service, resource, region)
  return ("arn:%s:%s:%s:%s:%s"):format(place.partition, service, region or place.region,
    place.account, resource)
end

local function document(statements)
  return { Version = "2012-10-17", Statement = json.array(statements) }
end

local function allow(sid, actions, resources, condition)
  return { Sid = sid, Effect = "Allow", Action = json.array(actions),
    Resource = type(resources) == "table" and json.array(resources) or resources,
    Condition = condition }
end

--- Who may take the role of a function: Lambda.
---@return table
function policies.trust()
  return document { { Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" },
    Action = "sts:AssumeRole" } }
end

-- IAM compares CreateLogGroup with the group itself and the others with what is in it.
local function log_group(place, name)
  local group = arn(place, "logs", "log-group:" .. names.log_group(name))
  return { group, group .. ":*" }
end

--- What a function itself needs: to write its own log.
---@param place lambdapool.deploy.Place
---@param name string
---@return table
function policies.worker(place, name)
  return document { allow("WriteOwnLog",
    { "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents" },
    log_group(place, name)) }
end

--- What somebody needs whose scripts run on a function.
---@param place lambdapool.deploy.Place
---@param name string a function, or "*"
---@return table
function policies.user(place, name)
  local target = arn(place, "lambda", "function:" .. name)
  return document {
    allow("RunTasks", { "lambda:InvokeFunction", "lambda:GetFunction",
      "lambda:GetFunctionConfiguration" }, { target, target .. ":*" }),
    allow("ReadLogs", { "logs:FilterLogEvents" }, log_group(place, name)),
  }
end

local DEPLOY = { "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:GetFunction",
  "lambda:GetFunctionConfiguration", "lambda:UpdateFunctionCode",
  "lambda:UpdateFunctionConfiguration", "lambda:InvokeFunction", "lambda:ListTags",
  "lambda:TagResource", "lambda:UntagResource", "lambda:GetPolicy", "lambda:AddPermission",
  "lambda:RemovePermission" }

local LAYERS = { "lambda:PublishLayerVersion", "lambda:GetLayerVersion",
  "lambda:DeleteLayerVersion", "lambda:ListLayerVersions" }

local ROLES = { "iam:CreateRole", "iam:GetRole", "iam:DeleteRole", "iam:TagRole",
  "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:ListRolePolicies",
  "iam:ListAttachedRolePolicies", "iam:DetachRolePolicy" }

local function role(place, name)
  local last = name == "*" and "lambdapool-*" or names.role(name)
  return arn(place, "iam", "role" .. names.PATH .. last, "")
end

--- What somebody needs who creates, updates and deletes functions.
---@param place lambdapool.deploy.Place
---@param name string a function, or "*"
---@return table
function policies.deployer(place, name)
  local layer = arn(place, "lambda", "layer:*")
  return document {
    allow("Deploy", DEPLOY, { arn(place, "lambda", "function:" .. name) }),
    allow("SeeFunctions", { "lambda:ListFunctions", "lambda:ListLayers" }, "*"),
    allow("Layers", LAYERS, { layer, layer .. ":*" }),
    allow("Roles", ROLES, role(place, name)),
    allow("PassRoles", { "iam:PassRole" }, role(place, name),
      { StringEquals = { ["iam:PassedToService"] = "lambda.amazonaws.com" } }),
    allow("Logs", { "logs:FilterLogEvents", "logs:DeleteLogGroup" }, log_group(place, name)),
  }
end

return policies
