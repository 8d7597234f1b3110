--- STS: who am I, and temporary credentials.

local fault = require "lambdapool.serve.fault"
local iam = require "lambdapool.serve.iam.operations"
local query = require "lambdapool.serve.query"

local ARN = { min = 20, max = 2048 }
local SESSION_NAME = { min = 2, max = 64, class = "%w_+=,.@%-", pattern = "[\\w+=,.@-]*" }

local operations = {}

-- The ARN and the id of whoever signed the request.
local function caller_of(context)
  local session = context.service.credentials.sessions[context.access_key]
  local who = session or iam.user_of(context.account)
  return who.arn, who.id
end

function operations.GetCallerIdentity(context)
  local arn, id = caller_of(context)
  return { { "Arn", arn }, { "UserId", id }, { "Account", context.account } }
end

local function show_credentials(issued)
  return { "Credentials", {
    { "AccessKeyId", issued.access_key },
    { "SecretAccessKey", issued.secret_key },
    { "SessionToken", issued.token },
    { "Expiration", query.date(issued.expires) },
  } }
end

-- Roles elsewhere cannot be looked up; those of this account must exist, as on AWS.
local function find_role(context, arn)
  local role = iam.role_of_arn(context.service.store.db, arn)
  if not role then
    fault(403, "AccessDenied", ("User: %s is not authorized to perform: sts:AssumeRole on " ..
      "resource: %s"):format(caller_of(context), arn))
  end
  return role
end

function operations.AssumeRole(context, parameters)
  local arn = query.required(parameters, "RoleArn", ARN)
  local name = query.required(parameters, "RoleSessionName", SESSION_NAME)
  local seconds = query.number(parameters, "DurationSeconds", 3600, 900, 43200)
  local role = find_role(context, arn)
  if seconds > role.session_seconds then
    fault(400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration " ..
      "set for this role.")
  end
  local id = role.id .. ":" .. name
  local session = ("arn:aws:sts::%s:assumed-role/%s/%s"):format(context.account, role.name, name)
  return {
    { "AssumedRoleUser", { { "AssumedRoleId", id }, { "Arn", session } } },
    show_credentials(context.service.credentials:issue(session, id, seconds)),
  }
end

function operations.GetSessionToken(context, parameters)
  local arn, id = caller_of(context)
  local seconds = query.number(parameters, "DurationSeconds", 43200, 900, 129600)
  return { show_credentials(context.service.credentials:issue(arn, id, seconds)) }
end

return { operations = operations }
