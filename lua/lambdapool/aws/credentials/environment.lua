--- Credentials in the environment: AWS_ACCESS_KEY_ID and what belongs to it.

local dates = require "lambdapool.aws.dates"
local holder = require "lambdapool.aws.credentials.holder"
local trouble = require "lambdapool.aws.credentials.trouble"

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
local function environment(world)
  local key = world:variable "AWS_ACCESS_KEY_ID"
  if not key then
    return world:looked "environment (AWS_ACCESS_KEY_ID is not set)"
  end
  local secret = world:variable "AWS_SECRET_ACCESS_KEY"
  if not secret then
    trouble.partial("AWS_ACCESS_KEY_ID is set, but not AWS_SECRET_ACCESS_KEY")
  end
  return holder.credentials({
    access_key = key, secret_key = secret,
    token = world:variable "AWS_SESSION_TOKEN" or world:variable "AWS_SECURITY_TOKEN",
    expires = dates.iso(world:variable "AWS_CREDENTIAL_EXPIRATION"),
  }, "the environment (AWS_ACCESS_KEY_ID)")
end

return environment
