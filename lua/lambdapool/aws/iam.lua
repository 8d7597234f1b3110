--- The API of IAM: roles and their policies. Policy documents are texts in both directions.

local query = require "lambdapool.aws.query"

local types = query.types

return query.service {
  name = "iam",
  version = "2010-05-08",
  operations = [[CreateRole GetRole ListRoles UpdateRole DeleteRole TagRole UntagRole ListRoleTags
    UpdateAssumeRolePolicy PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy
    AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies GetUser]],
  types = {
    IsTruncated = types.boolean, MaxSessionDuration = types.integer, Roles = types.list,
    Tags = types.list, PolicyNames = types.list, AttachedPolicies = types.list,
    PolicyDocument = types.document, AssumeRolePolicyDocument = types.document,
  },
}
