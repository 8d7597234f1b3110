--- Credentials for a token of somebody else (Kubernetes, GitHub): AssumeRoleWithWebIdentity.

local client = require "lambdapool.aws.client"
local files = require "lambdapool.aws.credentials.files"
local role = require "lambdapool.aws.credentials.role"
local sts = require "lambdapool.aws.sts"
local trouble = require "lambdapool.aws.credentials.trouble"

local function setting(world, variable, key)
  return world:variable(variable) or world:get()[key]
end

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
local function web_identity(world)
  local path = setting(world, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file")
  if not path then
    return nil
  end
  local arn = setting(world, "AWS_ROLE_ARN", "role_arn")
  if not arn then
    trouble.partial("there is a web identity token file, but no role: set AWS_ROLE_ARN or role_arn")
  end
  local token = files.read(path)
  if not token or token == "" then
    trouble.failed(("cannot read the web identity token in %s"):format(path))
  end
  local output = client.new(world.session, sts, false):call("AssumeRoleWithWebIdentity", {
    RoleArn = arn, WebIdentityToken = token,
    RoleSessionName = setting(world, "AWS_ROLE_SESSION_NAME", "role_session_name")
      or role.session_name(world),
  })
  return trouble.read(output.Credentials, ("role %s (web identity)"):format(arn))
end

return web_identity
