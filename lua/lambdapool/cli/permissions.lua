--- `lambdapool permissions`: who may invoke a function, and what people need to be allowed.

local change = require "lambdapool.cli.change"
local command = require "lambdapool.cli.command"
local json = require "lambdapool.json"
local output = require "lambdapool.cli.output"
local permissions = require "lambdapool.deploy.permissions"

local list = command.new {
  name = "permissions list",
  usage = "permissions list FUNCTION",
  example = "lambdapool permissions list algorithms",
  about = "Lists who else may invoke a function. The users of its account are allowed by IAM.",
  arguments = { { "function", "the function" } },
  common = { account = true, json = true },
  run = function(given, context)
    local found = permissions.list(context:account(), given["function"])
    if given.json then
      return output.json(json.array(found))
    end
    local rows = {}
    for i, item in ipairs(found) do
      rows[i] = { item.id, item.principal, item.action, item.source_arn or item.source_account }
    end
    output.table({ "ID", "PRINCIPAL", "ACTION", "SOURCE" }, rows)
  end,
}

local grant = command.new {
  name = "permissions grant",
  usage = "permissions grant FUNCTION --principal WHO",
  example = "lambdapool permissions grant algorithms --principal 111122223333",
  about = "Lets others invoke a function: an account, a user or role of one, a service.",
  arguments = { { "function", "the function" } },
  options = {
    { "--principal", "WHO", "an account, the ARN of a user or role, a service, or *" },
    { "--source-arn", "ARN", "what a service must act for" },
    { "--source-account", "NUMBER", "the account that a service must act for" },
    { "--action", "NAME", "what is allowed (lambda:InvokeFunction)" },
    { "--id", "NAME", "the permission's name; made of what it says" },
  },
  common = { account = true, json = true, dry_run = true },
  run = function(given, context)
    local plan = permissions.plan.grant(context:account(), given["function"], {
      principal = given.principal, source_arn = given.source_arn,
      source_account = given.source_account, action = given.action, id = given.id,
    })
    change.carry_out(plan, given, function(result)
      return ("%s: %s may do %s\n  %s"):format(result.name, result.principal, result.permitted,
        result.id .. (result.action == "unchanged" and " (unchanged)" or ""))
    end)
  end,
}

local revoke = command.new {
  name = "permissions revoke",
  usage = "permissions revoke FUNCTION ID",
  example = "lambdapool permissions revoke algorithms lambdapool-s3-amazonaws-com-1a2b3c4d",
  about = "Takes a permission away.",
  arguments = { { "function", "the function" }, { "id", "the permission's name" } },
  common = { account = true, json = true, dry_run = true },
  run = function(given, context)
    local plan = permissions.plan.revoke(context:account(), given["function"], given.id)
    change.carry_out(plan, given, function(result)
      return ("%s: the permission %s of %s is taken away"):format(result.name, result.id,
        result.principal)
    end)
  end,
}

-- Policies are read by people, who expect their members in this order.
local ORDER = { "Version", "Sid", "Effect", "Action", "Resource", "Condition", "Statement" }

local function is_list(value)
  return type(value) == "table" and value[1] ~= nil
end

-- JSON on several lines; `indent` is what the lines of the value begin with.
local function indented(value, indent)
  local inner, parts = indent .. "  ", {}
  if type(value) ~= "table" then
    return json.encode(value)
  elseif is_list(value) then
    for i, item in ipairs(value) do
      parts[i] = inner .. indented(item, inner)
    end
    return "[\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "]"
  end
  for _, key in ipairs(ORDER) do
    if value[key] ~= nil then
      parts[#parts + 1] = ('%s"%s": %s'):format(inner, key, key == "Condition"
        and json.encode(value[key]) or indented(value[key], inner))
    end
  end
  return "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

local policy = command.new {
  name = "permissions policy",
  usage = "permissions policy --for WHOM [FUNCTION]",
  example = "lambdapool permissions policy --for user algorithms > policy.json",
  about = [[
Prints a policy for IAM. It holds the least that somebody needs: a `user` runs pools on functions,
a `deployer` creates and deletes them, a `worker` is a function's own role.]],
  arguments = { { "function", "one function; all of them without it", args = "?" } },
  options = { { "--for", "WHOM", "user, deployer or worker",
    convert = command.choice("user", "deployer", "worker") } },
  common = { account = true, json = true },
  run = function(given, context)
    local whom = given["for"] or command.usage "'--for' is missing: user, deployer or worker"
    local document = permissions.policy(context:account(), whom, given["function"])
    if given.json then
      return output.json(document)
    end
    print(indented(document, ""))
  end,
}

return command.group {
  name = "permissions",
  about = "Who may invoke a function, and what people need to be allowed.",
  example = "lambdapool permissions policy --for user algorithms",
  commands = { list = list, grant = grant, revoke = revoke, policy = policy },
}
