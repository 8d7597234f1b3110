--- IAM: roles, and the policies that are written into them or attached to them. Nothing is enforced
--- here; roles are what clients set up before they create a function.

local credentials = require "lambdapool.serve.credentials"
local fault = require "lambdapool.serve.fault"
local iam_store = require "lambdapool.serve.iam.store"
local json = require "lambdapool.json"
local query = require "lambdapool.serve.query"
local uri = require "lambdapool.serve.uri"
local xml = require "lambdapool.serve.xml"

local NAME = { max = 64, class = "%w_+=,.@%-", pattern = "[\\w+=,.@-]+" }
local POLICY_NAME = { max = 128, class = "%w_+=,.@%-", pattern = "[\\w+=,.@-]+" }
local ARN = { min = 20, max = 2048 }
local DOCUMENT = { max = 131072 }
local PATH = { max = 512, class = "\33-\127",
  pattern = "(\\u002F)|(\\u002F[\\u0021-\\u007F]+\\u002F)" }

local roles = {}

-- Parameters ------------------------------------------------------------------------------------

--- The parameter `Path`, "/" without it.
---@param parameters table<string, string>
---@return string
function roles.path_of(parameters)
  if not parameters.Path then
    return "/"
  end
  local path = query.required(parameters, "Path", PATH)
  if path ~= "/" and not path:find "^/.+/$" then
    fault(400, "ValidationError", "The specified value for path is invalid. It must begin and " ..
      "end with / and contain only alphanumeric characters and/or / characters.")
  end
  return path
end

--- The text of a policy, which must be JSON.
---@param parameters table<string, string>
---@param name string
---@return string
function roles.document_of(parameters, name)
  local text = query.required(parameters, name, DOCUMENT)
  local document = json.decode(text)
  if type(document) ~= "table" then
    fault(400, "MalformedPolicyDocument", "This policy contains invalid Json")
  elseif document.Statement == nil then
    fault(400, "MalformedPolicyDocument", "Syntax errors in policy.")
  end
  return text
end

local function find(db, name)
  return db:row("SELECT * FROM iam_roles WHERE name = ?", name)
end

local function role_of(context, parameters)
  local name = query.required(parameters, "RoleName", NAME)
  local role = find(context.service.store.db, name)
  if not role then
    fault(404, "NoSuchEntity", ("The role with name %s cannot be found."):format(name))
  end
  return role
end

-- Answers ---------------------------------------------------------------------------------------

--- Tags as elements.
---@param text string
---@return table
function roles.show_tags(text)
  return xml.members(iam_store.unpack_tags(text), function(tag)
    return { { "Key", tag.Key }, { "Value", tag.Value } }
  end)
end

local function show(role, with_tags)
  local elements = {
    { "Path", role.path },
    { "RoleName", role.name },
    { "RoleId", role.id },
    { "Arn", role.arn },
    { "CreateDate", query.date(role.created) },
    { "AssumeRolePolicyDocument", uri.encode(role.trust) },
    { "MaxSessionDuration", role.session_seconds },
  }
  if role.description then
    table.insert(elements, { "Description", role.description })
  end
  if with_tags and role.tags ~= "[]" then
    table.insert(elements, { "Tags", roles.show_tags(role.tags) })
  end
  return elements
end

-- Roles -----------------------------------------------------------------------------------------

local operations = {}

function operations.CreateRole(context, parameters)
  local db = context.service.store.db
  local name = query.required(parameters, "RoleName", NAME)
  local path = roles.path_of(parameters)
  local trust = roles.document_of(parameters, "AssumeRolePolicyDocument")
  local seconds = query.number(parameters, "MaxSessionDuration", 3600, 3600, 43200)
  if find(db, name) then
    fault(409, "EntityAlreadyExists", ("Role with name %s already exists."):format(name))
  end
  db:run([[INSERT INTO iam_roles (name, id, path, arn, trust, description, session_seconds, created,
    tags) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]], name, credentials.identifier("AROA", 17), path,
    ("arn:aws:iam::%s:role%s%s"):format(context.account, path, name), trust, parameters.Description,
    seconds, math.floor(context.service.now()),
    iam_store.pack_tags(query.list(parameters, "Tags", { "Key", "Value" })))
  return { { "Role", show(find(db, name), true) } }
end

function operations.GetRole(context, parameters)
  return { { "Role", show(role_of(context, parameters), true) } }
end

function operations.ListRoles(context, parameters)
  local prefix = parameters.PathPrefix or "/"
  local list = context.service.store.db:rows(
    "SELECT * FROM iam_roles WHERE substr(path, 1, ?) = ? ORDER BY name", #prefix, prefix)
  return query.page(parameters, "Roles", list, show)
end

function operations.UpdateRole(context, parameters)
  local role = role_of(context, parameters)
  context.service.store.db:run(
    "UPDATE iam_roles SET description = ?, session_seconds = ? WHERE name = ?",
    parameters.Description or role.description,
    query.number(parameters, "MaxSessionDuration", role.session_seconds, 3600, 43200), role.name)
  return {}
end

function operations.UpdateAssumeRolePolicy(context, parameters)
  local role = role_of(context, parameters)
  context.service.store.db:run("UPDATE iam_roles SET trust = ? WHERE name = ?",
    roles.document_of(parameters, "PolicyDocument"), role.name)
end

function operations.DeleteRole(context, parameters)
  local db, role = context.service.store.db, role_of(context, parameters)
  if db:row("SELECT 1 FROM iam_attachments WHERE role = ?", role.name) then
    fault(409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
  elseif db:row("SELECT 1 FROM iam_role_policies WHERE role = ?", role.name) then
    fault(409, "DeleteConflict", "Cannot delete entity, must delete policies first.")
  end
  db:run("DELETE FROM iam_roles WHERE name = ?", role.name)
end

function operations.TagRole(context, parameters)
  local role = role_of(context, parameters)
  context.service.store.db:run("UPDATE iam_roles SET tags = ? WHERE name = ?",
    iam_store.add_tags(role.tags, query.list(parameters, "Tags", { "Key", "Value" })), role.name)
end

function operations.UntagRole(context, parameters)
  local role = role_of(context, parameters)
  context.service.store.db:run("UPDATE iam_roles SET tags = ? WHERE name = ?",
    iam_store.remove_tags(role.tags, query.list(parameters, "TagKeys")), role.name)
end

function operations.ListRoleTags(context, parameters)
  local tags = iam_store.unpack_tags(role_of(context, parameters).tags)
  return query.page(parameters, "Tags", tags, function(tag)
    return { { "Key", tag.Key }, { "Value", tag.Value } }
  end)
end

-- Instance profiles are asked for by clients that delete a role.
function operations.ListInstanceProfilesForRole(context, parameters)
  role_of(context, parameters)
  return query.page(parameters, "InstanceProfiles", {})
end

-- Policies in a role ----------------------------------------------------------------------------

function operations.PutRolePolicy(context, parameters)
  local role = role_of(context, parameters)
  local name = query.required(parameters, "PolicyName", POLICY_NAME)
  context.service.store.db:run(
    "INSERT OR REPLACE INTO iam_role_policies (role, name, document) VALUES (?, ?, ?)",
    role.name, name, roles.document_of(parameters, "PolicyDocument"))
end

local function policy_of(context, parameters)
  local role = role_of(context, parameters)
  local name = query.required(parameters, "PolicyName", POLICY_NAME)
  local policy = context.service.store.db:row(
    "SELECT * FROM iam_role_policies WHERE role = ? AND name = ?", role.name, name)
  if not policy then
    fault(404, "NoSuchEntity", ("The role policy with name %s cannot be found."):format(name))
  end
  return policy
end

function operations.GetRolePolicy(context, parameters)
  local policy = policy_of(context, parameters)
  return {
    { "RoleName", policy.role },
    { "PolicyName", policy.name },
    { "PolicyDocument", uri.encode(policy.document) },
  }
end

function operations.ListRolePolicies(context, parameters)
  local list = context.service.store.db:rows(
    "SELECT name FROM iam_role_policies WHERE role = ? ORDER BY name",
    role_of(context, parameters).name)
  return query.page(parameters, "PolicyNames", list, function(policy)
    return policy.name
  end)
end

function operations.DeleteRolePolicy(context, parameters)
  local policy = policy_of(context, parameters)
  context.service.store.db:run("DELETE FROM iam_role_policies WHERE role = ? AND name = ?",
    policy.role, policy.name)
end

-- Policies attached to a role -------------------------------------------------------------------

-- Policies of AWS itself are not in our tables: any of them is taken for real.
local function exists(db, arn)
  return arn:find "^arn:aws[%w-]*:iam::aws:policy/."
    or db:row("SELECT 1 FROM iam_policies WHERE arn = ?", arn)
end

function operations.AttachRolePolicy(context, parameters)
  local db, role = context.service.store.db, role_of(context, parameters)
  local arn = query.required(parameters, "PolicyArn", ARN)
  if not exists(db, arn) then
    fault(404, "NoSuchEntity", ("Policy %s does not exist or is not attachable."):format(arn))
  end
  db:run("INSERT OR IGNORE INTO iam_attachments (role, arn) VALUES (?, ?)", role.name, arn)
end

function operations.DetachRolePolicy(context, parameters)
  local role = role_of(context, parameters)
  local arn = query.required(parameters, "PolicyArn", ARN)
  local changes = context.service.store.db:run(
    "DELETE FROM iam_attachments WHERE role = ? AND arn = ?", role.name, arn)
  if changes == 0 then
    fault(404, "NoSuchEntity", ("Policy %s was not found."):format(arn))
  end
end

function operations.ListAttachedRolePolicies(context, parameters)
  local list = context.service.store.db:rows(
    "SELECT arn FROM iam_attachments WHERE role = ? ORDER BY arn",
    role_of(context, parameters).name)
  return query.page(parameters, "AttachedPolicies", list, function(policy)
    return { { "PolicyName", policy.arn:match "[^/]*$" }, { "PolicyArn", policy.arn } }
  end)
end

roles.operations = operations

--- The role with this ARN, or nil.
---@param db userdata
---@param arn string
---@return table?
function roles.find(db, arn)
  return db:row("SELECT * FROM iam_roles WHERE arn = ?", arn)
end

return roles
