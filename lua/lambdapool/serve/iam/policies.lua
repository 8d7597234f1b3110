--- IAM: the policies of the account. Each has one version; those of AWS are known by name only.

local credentials = require "lambdapool.serve.credentials"
local fault = require "lambdapool.serve.fault"
local iam_roles = require "lambdapool.serve.iam.roles"
local iam_store = require "lambdapool.serve.iam.store"
local query = require "lambdapool.serve.query"
local uri = require "lambdapool.serve.uri"

local NAME = { max = 128, class = "%w_+=,.@%-", pattern = "[\\w+=,.@-]+" }
local ARN = { min = 20, max = 2048 }

-- What AWS's own policies say is not known here.
local UNKNOWN_DOCUMENT = '{"Version":"2012-10-17","Statement":[]}'

local operations = {}

-- A policy of AWS: any name will do, as for AttachRolePolicy.
local function managed(arn)
  local path, name = arn:match "^arn:aws[%w-]*:iam::aws:policy(/.-)([^/]+)$"
  return name and { arn = arn, name = name, id = "ANPAIAWSMANAGEDPOLICY", path = path,
    document = UNKNOWN_DOCUMENT, created = 0, tags = "[]" }
end

local function policy_of(context, parameters)
  local arn = query.required(parameters, "PolicyArn", ARN)
  local policy = managed(arn)
    or context.service.store.db:row("SELECT * FROM iam_policies WHERE arn = ?", arn)
  if not policy then
    fault(404, "NoSuchEntity", ("Policy %s was not found."):format(arn))
  end
  return policy
end

local function attachments(db, policy)
  return db:row("SELECT count(*) AS n FROM iam_attachments WHERE arn = ?", policy.arn).n
end

local function show(db, policy, whole)
  local elements = {
    { "PolicyName", policy.name },
    { "PolicyId", policy.id },
    { "Arn", policy.arn },
    { "Path", policy.path },
    { "DefaultVersionId", "v1" },
    { "AttachmentCount", attachments(db, policy) },
    { "PermissionsBoundaryUsageCount", 0 },
    { "IsAttachable", true },
    { "CreateDate", query.date(policy.created) },
    { "UpdateDate", query.date(policy.created) },
  }
  if whole and policy.description then
    table.insert(elements, { "Description", policy.description })
  end
  if whole and policy.tags ~= "[]" then
    table.insert(elements, { "Tags", iam_roles.show_tags(policy.tags) })
  end
  return elements
end

function operations.CreatePolicy(context, parameters)
  local db = context.service.store.db
  local name = query.required(parameters, "PolicyName", NAME)
  local path = iam_roles.path_of(parameters)
  local document = iam_roles.document_of(parameters, "PolicyDocument")
  if db:row("SELECT 1 FROM iam_policies WHERE name = ?", name) then
    fault(409, "EntityAlreadyExists", ("A policy called %s already exists. Duplicate names are " ..
      "not allowed."):format(name))
  end
  local arn = ("arn:aws:iam::%s:policy%s%s"):format(context.account, path, name)
  db:run([[INSERT INTO iam_policies (arn, name, id, path, document, description, created, tags)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)]], arn, name, credentials.identifier("ANPA", 17), path,
    document, parameters.Description, math.floor(context.service.now()),
    iam_store.pack_tags(query.list(parameters, "Tags", { "Key", "Value" })))
  return { { "Policy", show(db, policy_of(context, { PolicyArn = arn }), true) } }
end

function operations.GetPolicy(context, parameters)
  local db = context.service.store.db
  return { { "Policy", show(db, policy_of(context, parameters), true) } }
end

function operations.ListPolicies(context, parameters)
  local db = context.service.store.db
  local list = parameters.Scope == "AWS" and {}
    or db:rows "SELECT * FROM iam_policies ORDER BY name"
  return query.page(parameters, "Policies", list, function(policy)
    return show(db, policy)
  end)
end

function operations.DeletePolicy(context, parameters)
  local db, policy = context.service.store.db, policy_of(context, parameters)
  if attachments(db, policy) > 0 then
    fault(409, "DeleteConflict", "Cannot delete a policy attached to entities.")
  elseif db:run("DELETE FROM iam_policies WHERE arn = ?", policy.arn) == 0 then
    fault(403, "AccessDenied", "Cannot perform the operation on an AWS managed policy.")
  end
end

local function show_version(policy, with_document)
  local elements = { { "VersionId", "v1" }, { "IsDefaultVersion", true },
    { "CreateDate", query.date(policy.created) } }
  if with_document then
    table.insert(elements, 1, { "Document", uri.encode(policy.document) })
  end
  return elements
end

function operations.GetPolicyVersion(context, parameters)
  local policy = policy_of(context, parameters)
  if parameters.VersionId ~= "v1" then
    fault(404, "NoSuchEntity", ("Policy %s version %s does not exist or is not attachable.")
      :format(policy.arn, parameters.VersionId or ""))
  end
  return { { "PolicyVersion", show_version(policy, true) } }
end

function operations.ListPolicyVersions(context, parameters)
  return query.page(parameters, "Versions", { policy_of(context, parameters) }, show_version)
end

return { operations = operations }
