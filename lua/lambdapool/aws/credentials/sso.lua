--- Credentials of IAM Identity Center: for the token that `aws sso login` left in its cache, which
--- is renewed here when that is possible.

local crypto = require "lambdapool.crypto"
local dates = require "lambdapool.aws.dates"
local files = require "lambdapool.aws.credentials.files"
local http = require "lambdapool.http"
local json = require "lambdapool.json"
local profiles = require "lambdapool.aws.profiles"
local refusals = require "lambdapool.aws.refusal"
local trouble = require "lambdapool.aws.credentials.trouble"
local uri = require "lambdapool.serve.uri"

-- Tokens are renewed this long before their end.
local EARLY = 15 * 60

---@class lambdapool.aws.SsoSettings
---@field region string
---@field start_url string
---@field account string
---@field role string
---@field session string? the name of its [sso-session]

local sso = {}

-- Settings ------------------------------------------------------------------------------------

local function missing(world, what)
  trouble.partial(("profile %s is one of IAM Identity Center, but %s is missing"):format(
    world.profile, what))
end

-- The section that has the region and the start URL: one of its own, or the profile.
local function section_of(world, values)
  local name = values.sso_session
  if not name then
    return values
  end
  return world.session.profiles:section("sso-session", name) or
    trouble.failed(("profile %s names the section [sso-session %s], which is not there"):format(
      world.profile, name))
end

local function read_settings(world)
  local values = world:get()
  if not values.sso_account_id and not values.sso_role_name then
    return nil
  end
  local section = section_of(world, values)
  return {
    region = section.sso_region or missing(world, "sso_region"),
    start_url = section.sso_start_url or missing(world, "sso_start_url"),
    account = values.sso_account_id or missing(world, "sso_account_id"),
    role = values.sso_role_name or missing(world, "sso_role_name"),
    session = values.sso_session,
  }
end

-- The token -----------------------------------------------------------------------------------

local function log_in(world, message)
  trouble.failed(("profile %s: %s"):format(world.profile, message),
    ("log in with `aws sso login --profile %s`"):format(world.profile))
end

local function cache_path(world, settings)
  local name = crypto.sha1(settings.session or settings.start_url)
  return profiles.expand("~/.aws/sso/cache/" .. name .. ".json", world.session.environment)
end

local function load_token(world, path)
  local text = files.read(path)
  local token = text and json.decode(text)
  if type(token) ~= "table" or type(token.accessToken) ~= "string"
    or not dates.iso(token.expiresAt) then
    log_in(world, text and "the token in the SSO cache makes no sense" or "nobody has logged in")
  end
  return token
end

local function left(world, text)
  return (dates.iso(text) or 0) - world.session:time()
end

local function post(world, settings, body)
  return http.request {
    method = "POST", url = world.session:sso_endpoint("oidc", settings.region) .. "/token",
    headers = { ["content-type"] = "application/json" }, body = json.encode(body),
    seconds = 30, ca = world.session.ca, proxy = world.session.proxy,
  }
end

-- A new token for the old one, or nil when that is not to be had.
local function renew(world, settings, token)
  if not token.refreshToken or not token.clientId or not token.clientSecret
    or left(world, token.registrationExpiresAt) <= 0 then
    return nil
  end
  local response = post(world, settings, { grantType = "refresh_token",
    clientId = token.clientId, clientSecret = token.clientSecret,
    refreshToken = token.refreshToken })
  local value = response.status == 200 and json.decode(response.body)
  if type(value) ~= "table" or type(value.accessToken) ~= "string" then
    return nil
  end
  local seconds = tonumber(value.expiresIn) or 0
  token.accessToken, token.refreshToken = value.accessToken, value.refreshToken
  token.expiresAt = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(world.session:time() + seconds))
  return token
end

-- The token, renewed when it ends soon. Others look into the cache, too.
local function get_token(world, settings)
  local path = cache_path(world, settings)
  local token = load_token(world, path)
  if settings.session and left(world, token.expiresAt) < EARLY then
    local renewed = renew(world, settings, token)
    if renewed then
      files.replace(path, json.encode(renewed))
      token = renewed
    end
  end
  if left(world, token.expiresAt) <= 0 then
    log_in(world, "the SSO login has ended")
  end
  return token.accessToken
end

-- Credentials ---------------------------------------------------------------------------------

local function ask(world, settings, token)
  local session = world.session
  local response = http.request {
    method = "GET", seconds = 30, ca = session.ca, proxy = session.proxy,
    url = ("%s/federation/credentials?account_id=%s&role_name=%s"):format(
      session:sso_endpoint("sso", settings.region), uri.encode(settings.account),
      uri.encode(settings.role)),
    headers = { ["x-amz-sso_bearer_token"] = token },
  }
  if response.failure then
    error(refusals.of_failure("sso", "GetRoleCredentials", response, session:context "sso"), 0)
  elseif response.status == 401 then
    log_in(world, "the SSO login is no longer accepted")
  elseif response.status ~= 200 then
    local refusal = refusals.of_response("sso", "GetRoleCredentials", response.status,
      response.headers, response.body, session:context "sso")
    refusal.exit = 4
    error(refusal, 0)
  end
  return response.body
end

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
function sso.provide(world)
  local settings = read_settings(world)
  if not settings then
    return nil
  end
  local value = json.decode(ask(world, settings, get_token(world, settings)))
  return trouble.read(type(value) == "table" and value.roleCredentials,
    ("profile %s (SSO, role %s)"):format(world.profile, settings.role))
end

return sso
