--- Credentials that stand in a profile: aws_access_key_id and what belongs to it.

local holder = require "lambdapool.aws.credentials.holder"
local trouble = require "lambdapool.aws.credentials.trouble"

local static = {}

local function read(values, path, profile)
  local key, secret = values.aws_access_key_id, values.aws_secret_access_key
  if not key then
    return nil
  elseif not secret then
    trouble.partial(("profile %s in %s has aws_access_key_id, but no aws_secret_access_key")
      :format(profile, path))
  end
  return holder.credentials({ access_key = key, secret_key = secret,
    token = values.aws_session_token }, ("profile %s in %s"):format(profile, path))
end

--- Of the credentials file.
---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
function static.shared(world)
  local profiles = world.session.profiles
  return read(profiles:in_credentials(world.profile), profiles.credentials_path, world.profile)
end

--- Of the config file.
---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
function static.config(world)
  local profiles = world.session.profiles
  return read(profiles:in_config(world.profile), profiles.config_path, world.profile)
    or world:looked(("profile %s (%s)"):format(world.profile,
      profiles:has(world.profile) and "it has no credentials" or "it is in no file"))
end

return static
