--- IAM: every operation by its name, as function(context, parameters) -> elements of the result.

local fault = require "lambdapool.serve.fault"
local iam_policies = require "lambdapool.serve.iam.policies"
local iam_roles = require "lambdapool.serve.iam.roles"
local query = require "lambdapool.serve.query"

local operations = {}

for _, module in ipairs { iam_roles, iam_policies } do
  for name, operation in pairs(module.operations) do
    operations[name] = operation
  end
end

--- The one user that there is: the owner of the access key.
---@param account string
---@return { name: string, id: string, arn: string }
local function user_of(account)
  return { name = "lambdapool", id = "AIDALAMBDAPOOLUSERAAA",
    arn = ("arn:aws:iam::%s:user/lambdapool"):format(account) }
end

function operations.GetUser(context, parameters)
  local user = user_of(context.account)
  local name = parameters.UserName or user.name
  if name ~= user.name then
    fault(404, "NoSuchEntity", ("The user with name %s cannot be found."):format(name))
  end
  return { { "User", {
    { "Path", "/" },
    { "UserName", user.name },
    { "UserId", user.id },
    { "Arn", user.arn },
    { "CreateDate", query.date(0) },
  } } }
end

return { operations = operations, user_of = user_of, role_of_arn = iam_roles.find }
