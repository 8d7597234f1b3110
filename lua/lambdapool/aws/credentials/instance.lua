--- Credentials of an EC2 instance, from its metadata service (IMDSv2, and the first version where
--- there is no other).

local http = require "lambdapool.http"
local json = require "lambdapool.json"
local trouble = require "lambdapool.aws.credentials.trouble"

local IPV4, IPV6 = "http://169.254.169.254", "http://[fd00:ec2::254]"
local PATH = "/latest/meta-data/iam/security-credentials/"

-- What the service gives out while it cannot renew them is accepted for longer than it says.
local EXTENSION = 15 * 60

-- More seconds or attempts than this are not meant.
local MOST = 3600

local function base_url(world)
  local session = world.session
  local url = session:setting({ "AWS_EC2_METADATA_SERVICE_ENDPOINT" },
    "ec2_metadata_service_endpoint")
  if url then
    return (url:gsub("/+$", ""))
  end
  local mode = session:setting({ "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE" },
    "ec2_metadata_service_endpoint_mode")
  return (mode or ""):lower() == "ipv6" and IPV6 or IPV4
end

---@class lambdapool.aws.Metadata
---@field url string
---@field seconds number
---@field attempts integer
---@field token string?

local function send(service, method, path, headers)
  local response
  for _ = 1, service.attempts do
    response = http.request { method = method, url = service.url .. path, headers = headers,
      seconds = service.seconds, connect_seconds = service.seconds, proxy = "" }
    if response.status == 200 and response.body ~= "" then
      return response
    end
  end
  return response
end

local OLD = { [403] = true, [404] = true, [405] = true }

-- A token for what follows. Without one the first version may do, unless nobody is there at all.
local function get_token(world, service)
  local response = send(service, "PUT", "/latest/api/token",
    { ["x-aws-ec2-metadata-token-ttl-seconds"] = "21600" })
  if response.status == 200 then
    service.token = response.body:match "^[%g]+$"
    return service.token ~= nil
  end
  local old = OLD[response.status] or response.failure == "timeout" and response.sent
  return old and not world.session:flag("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled")
end

local function get(service, path)
  local response = send(service, "GET", path, { ["x-aws-ec2-metadata-token"] = service.token })
  return response.status == 200 and response.body or nil
end

-- A number that is set, if it is one that makes sense: 1 otherwise, as with the SDKs.
local function number(session, variable, key, least)
  local value = tonumber((session:setting({ variable }, key)))
  return value and value >= least and value <= MOST and value or 1
end

local function open(world)
  local session = world.session
  return {
    url = base_url(world),
    seconds = number(session, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout", 0.001),
    attempts = number(session, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
      "metadata_service_num_attempts", 1),
  }
end

local function extend(world, found)
  local soonest = world.session:time() + EXTENSION
  if found.expires and found.expires < soonest then
    found.expires = soonest
  end
  return found
end

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
local function instance(world)
  if (world:variable "AWS_EC2_METADATA_DISABLED" or ""):lower() == "true" then
    return world:looked "EC2 instance (AWS_EC2_METADATA_DISABLED is set)"
  end
  local service = open(world)
  local role = get_token(world, service) and get(service, PATH)
  role = role and role:match "^%s*([^\r\n]*)"
  local text = role and role:find "^[%w+=,.@_-]+$" and get(service, PATH .. role)
  local value = text and json.decode(text)
  if type(value) ~= "table" or not value.AccessKeyId then
    return world:looked(("EC2 instance (no metadata service with a role at %s)"):format(
      service.url))
  end
  return extend(world, trouble.read(value, ("role %s of the EC2 instance"):format(role)))
end

return instance
