--- Resource policies of functions: who besides the account may do what. Of all that they can say,
--- only what opens function URLs to everyone has an effect here.

local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local lookup = require "lambdapool.serve.lambda.lookup"
local names = require "lambdapool.serve.lambda.names"

local policies = {}

local LARGEST = 20480

-- Shared with layers ------------------------------------------------------------------------------

--- The whole policy of some statements, as text.
---@param statements table[]
---@return string
function policies.text(statements)
  return json.encode { Version = "2012-10-17", Id = "default", Statement = json.array(statements) }
end

--- Puts a statement at the end of others. Raises when its name is taken or the policy too long.
---@param statements table[]
---@param statement table
function policies.add(statements, statement)
  for _, other in ipairs(statements) do
    if other.Sid == statement.Sid then
      fault(409, "ResourceConflictException", ("The statement id (%s) provided already exists. " ..
        "Please provide a new statement id, or remove the existing statement.")
        :format(statement.Sid))
    end
  end
  statements[#statements + 1] = statement
  local size = #policies.text(statements)
  if size > LARGEST then
    fault(400, "PolicyLengthExceededException",
      ("The final policy size (%d) is bigger than the limit (%d)."):format(size, LARGEST))
  end
end

--- Takes the statement of a name away. Raises when there is none.
---@param statements table[]
---@param sid string
function policies.remove(statements, sid)
  for i, statement in ipairs(statements) do
    if statement.Sid == sid then
      table.remove(statements, i)
      return
    end
  end
  fault(404, "ResourceNotFoundException",
    ("Statement %s is not found in resource policy."):format(sid))
end

--- How a policy names a principal: "*", an AWS account or user, or a service.
---@param principal string
---@return string|table
function policies.principal(principal)
  if principal == "*" then
    return "*"
  elseif principal:find "^%d%d%d%d%d%d%d%d%d%d%d%d$" then
    return { AWS = ("arn:aws:iam::%s:root"):format(principal) }
  elseif principal:find "^arn:aws[%a-]*:" then
    return { AWS = principal }
  elseif principal:find "^[%w-]+%.[%w.-]+$" then
    return { Service = principal }
  end
  fault.invalid("The provided principal was invalid. Please check the principal and try again.")
end

-- Of functions ------------------------------------------------------------------------------------

-- The function, or version or alias of it, that the policy is about.
local function locate(context, input)
  local store = context.service.store
  local name, qualifier = names.locate(context, input.FunctionName, input.Qualifier, true)
  if not lookup.qualified(store, context.region, name, qualifier) then
    names.not_found(context.region, context.account, name, qualifier)
  end
  return name, qualifier
end

local function find(store, region, name, qualifier)
  local row = store.db:row(
    "SELECT * FROM policies WHERE region = ? AND name = ? AND qualifier = ?",
    region, name, qualifier or "")
  return row and json.decode(row.statements) or {}, row and row.revision
end

local function write(context, name, qualifier, statements)
  local db = context.service.store.db
  if statements[1] then
    db:run("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?)", context.region, name,
      qualifier or "", json.encode(json.array(statements)), crypto.uuid())
  else
    db:run("DELETE FROM policies WHERE region = ? AND name = ? AND qualifier = ?",
      context.region, name, qualifier or "")
  end
end

local function conditions(input)
  local condition = {}
  local function add(operator, key, value)
    if value ~= nil then
      condition[operator] = condition[operator] or {}
      condition[operator][key] = value
    end
  end
  add("ArnLike", "AWS:SourceArn", input.SourceArn)
  add("StringEquals", "AWS:SourceAccount", input.SourceAccount)
  add("StringEquals", "aws:PrincipalOrgID", input.PrincipalOrgID)
  add("StringEquals", "lambda:EventSourceToken", input.EventSourceToken)
  add("StringEquals", "lambda:FunctionUrlAuthType", input.FunctionUrlAuthType)
  add("Bool", "lambda:InvokedViaFunctionUrl",
    input.InvokedViaFunctionUrl and tostring(input.InvokedViaFunctionUrl))
  return next(condition) and condition
end

local operations = {}

function operations.AddPermission(context, input)
  local name, qualifier = locate(context, input)
  if qualifier == "$LATEST" then
    fault.invalid("We currently do not support adding policies for $LATEST.")
  elseif input.FunctionUrlAuthType and input.Action ~= "lambda:InvokeFunctionUrl" then
    fault.invalid("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
  end
  local statements, revision = find(context.service.store, context.region, name, qualifier)
  lookup.check_revision(input.RevisionId, revision, "GetPolicy")
  local statement = {
    Sid = input.StatementId, Effect = "Allow", Principal = policies.principal(input.Principal),
    Action = input.Action, Condition = conditions(input),
    Resource = names.function_arn(context.region, context.account, name, qualifier),
  }
  policies.add(statements, statement)
  write(context, name, qualifier, statements)
  return 201, { Statement = json.encode(statement) }
end

function operations.RemovePermission(context, input)
  local name, qualifier = locate(context, input)
  local statements, revision = find(context.service.store, context.region, name, qualifier)
  if not revision then
    fault(404, "ResourceNotFoundException", "No policy is associated with the given resource.")
  end
  lookup.check_revision(input.RevisionId, revision, "GetPolicy")
  policies.remove(statements, input.StatementId)
  write(context, name, qualifier, statements)
  return 204
end

function operations.GetPolicy(context, input)
  local name, qualifier = locate(context, input)
  local statements, revision = find(context.service.store, context.region, name, qualifier)
  if not revision then
    fault(404, "ResourceNotFoundException", "The resource you requested does not exist.")
  end
  return 200, { Policy = policies.text(statements), RevisionId = revision }
end

-- Function URLs -----------------------------------------------------------------------------------

local function is_everyone(principal)
  return principal == "*" or type(principal) == "table" and principal.AWS == "*"
end

local function matches(pattern, action)
  return pattern == action or pattern == "*" or pattern == "lambda:*"
end

-- Whether a statement lets everyone do `action` through a function URL of this kind.
local function allows(statement, action, auth)
  local condition = statement.Condition or {}
  if not is_everyone(statement.Principal) or not matches(statement.Action, action) then
    return false
  end
  for operator, tests in pairs(condition) do
    for key, value in pairs(tests) do
      local holds = operator == "StringEquals" and key == "lambda:FunctionUrlAuthType"
        and value == auth or key == "lambda:InvokedViaFunctionUrl" and value == "true"
      if not holds then
        return false
      end
    end
  end
  return true
end

--- Whether the policy lets everyone call a function URL. It takes two permissions:
--- lambda:InvokeFunctionUrl, and lambda:InvokeFunction, which may be limited to function URLs.
---@param service table
---@param region string
---@param name string
---@param qualifier string? an alias
---@param auth string "NONE" or "AWS_IAM"
---@return boolean
function policies.allows_url(service, region, name, qualifier, auth)
  local url, call = false, false
  for _, statement in ipairs((find(service.store, region, name, qualifier))) do
    url = url or allows(statement, "lambda:InvokeFunctionUrl", auth)
    call = call or allows(statement, "lambda:InvokeFunction", auth)
  end
  return url and call
end

policies.operations = operations
return policies
