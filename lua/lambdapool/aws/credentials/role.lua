--- Credentials of a role that a profile assumes (role_arn), with those of another profile
--- (source_profile) or of the surroundings (credential_source). Chains of roles work; rings do not.

local client = require "lambdapool.aws.client"
local sts = require "lambdapool.aws.sts"
local trouble = require "lambdapool.aws.credentials.trouble"

local role = {}

--- How a session is called that nobody has given a name.
---@param world lambdapool.aws.World
---@return string
function role.session_name(world)
  return ("lambdapool-%d"):format(world.session:time())
end

local function has_keys(values)
  return values.aws_access_key_id ~= nil or values.aws_secret_access_key ~= nil
end

local function is_role(values)
  return values.role_arn ~= nil and values.web_identity_token_file == nil
end

local function from_surroundings(world, name)
  local provider = world.named[name]
  if not provider then
    trouble.failed(("profile %s: credential_source cannot be %s"):format(world.profile, name),
      "it is Environment, Ec2InstanceMetadata or EcsContainer")
  end
  return provider(world) or trouble.failed(
    ("profile %s: there are no credentials in %s"):format(world.profile, name))
end

-- A profile may name itself, for the keys that it has; otherwise nobody may come twice.
local function check_source(world, name, values, visited)
  if not world.session.profiles:has(name) then
    trouble.failed(("the source_profile %s of profile %s is in no file"):format(name,
      world.profile))
  elseif visited[name] and not (name == world.profile and has_keys(values)) then
    trouble.failed(("profile %s assumes a role with itself, through source_profile"):format(name))
  end
  visited[name] = true
end

local assume

local function from_profile(world, name, visited)
  local source = world:of(name)
  local values = source:get()
  check_source(world, name, values, visited)
  if is_role(values) and not has_keys(values) then
    return assume(source, values, visited)
  end
  return source:in_profile() or trouble.failed(
    ("the source_profile %s of profile %s has no credentials"):format(name, world.profile))
end

local function source_of(world, values, visited)
  local profile, surroundings = values.source_profile, values.credential_source
  if profile and surroundings then
    trouble.failed(("profile %s has both source_profile and credential_source"):format(
      world.profile))
  elseif surroundings then
    return from_surroundings(world, surroundings)
  elseif profile then
    return from_profile(world, profile, visited)
  end
  trouble.partial(("profile %s has role_arn, but neither source_profile nor credential_source")
    :format(world.profile))
end

local function refuse_code(world)
  trouble.failed(("profile %s needs a code of a device (mfa_serial)"):format(world.profile),
    ("get credentials with `eval \"$(aws configure export-credentials --profile %s " ..
      "--format env)\"`"):format(world.profile))
end

function assume(world, values, visited)
  if values.mfa_serial then
    refuse_code(world)
  end
  local source = source_of(world, values, visited)
  local output = client.new(world.session, sts, source):call("AssumeRole", {
    RoleArn = values.role_arn,
    RoleSessionName = values.role_session_name or role.session_name(world),
    ExternalId = values.external_id,
    DurationSeconds = math.tointeger(tonumber(values.duration_seconds)),
  })
  return trouble.read(output.Credentials, ("profile %s (role %s)"):format(world.profile,
    values.role_arn))
end

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
function role.provide(world)
  local values = world:get()
  if is_role(values) then
    return assume(world, values, { [world.profile] = true })
  end
end

return role
