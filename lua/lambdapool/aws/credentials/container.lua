--- Credentials of a container (ECS, EKS, functions with SnapStart): a service beside it gives them.

local files = require "lambdapool.aws.credentials.files"
local http = require "lambdapool.http"
local refusals = require "lambdapool.aws.refusal"
local completion = require "lambdapool.completion"
local trouble = require "lambdapool.aws.credentials.trouble"

local HOST = "http://169.254.170.2"

-- The token goes over plain HTTP to nobody else.
local TRUSTED = { ["169.254.170.2"] = true, ["169.254.170.23"] = true, ["[fd00:ec2::23]"] = true,
  ["localhost"] = true, ["[::1]"] = true }

local ATTEMPTS, SECONDS, PAUSE = 3, 2, 1

-- The host of a URL; nil when there is a name or password in front of it, or no host.
local function host_of(url)
  local authority = url:match "^%a+://([^/?#@]+)%f[/?#\0]"
  return authority and (authority:match "^(%[[%x:]+%]):?%d*$"
    or authority:match "^([^:]+):?%d*$")
end

local function is_trusted(url)
  local host = host_of(url)
  return host and (url:find "^https://" or url:find "^http://"
    and (TRUSTED[host] or host:find "^127%.%d+%.%d+%.%d+$"))
end

local function url_of(world)
  local path = world:variable "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
  if path then
    return HOST .. path
  end
  local url = world:variable "AWS_CONTAINER_CREDENTIALS_FULL_URI"
  if url and not is_trusted(url) then
    trouble.failed("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither HTTPS nor a loopback address",
      "plain HTTP is for 169.254.170.2, 169.254.170.23, [fd00:ec2::23] and loopback only")
  end
  return url
end

-- The file is read anew each time: its content changes.
local function token(world)
  local path = world:variable "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
  local text = path and (files.read(path) or trouble.failed(
    ("cannot read %s (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)"):format(path)))
    or world:variable "AWS_CONTAINER_AUTHORIZATION_TOKEN"
  if text and text:find "[%c]" then
    trouble.failed("the authorization token of the container is no value for a header")
  end
  return text
end

local function ask(url, authorization)
  local response
  for attempt = 1, ATTEMPTS do
    response = http.request { method = "GET", url = url, proxy = "", seconds = SECONDS,
      connect_seconds = SECONDS, headers = { accept = "application/json",
        authorization = authorization } }
    if response.status == 200 then
      return response.body
    elseif attempt < ATTEMPTS then
      completion.await({}, PAUSE)
    end
  end
  trouble.failed(("the credentials service of the container (%s) %s"):format(url,
    response.failure and "does not answer: " .. response.message or
    ("answers %d: %s"):format(response.status, refusals.excerpt(response.body))))
end

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
local function container(world)
  local url = url_of(world)
  if not url then
    return world:looked "container (AWS_CONTAINER_CREDENTIALS_FULL_URI is not set)"
  end
  return trouble.parse(ask(url, token(world)), "the credentials service of the container")
end

return container
