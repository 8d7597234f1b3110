--- Sessions: which account of AWS is meant, with whose credentials, in which region, and where its
--- services are. All of it is found as the AWS SDKs find it: options, then the environment, then
--- the files in ~/.aws.
---
---     local session = require("lambdapool.aws.session").new { region = "eu-central-1" }
---     session:lambda():call("GetFunction", { FunctionName = "algorithms" })

local chain = require "lambdapool.aws.credentials.chain"
local client = require "lambdapool.aws.client"
local endpoints = require "lambdapool.aws.endpoints"
local holder = require "lambdapool.aws.credentials.holder"
local profiles = require "lambdapool.aws.profiles"
local refusals = require "lambdapool.aws.refusal"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

-- What a refusal looks like when the clock of this machine is wrong.
local CLOCK = { InvalidSignatureException = true, SignatureDoesNotMatch = true,
  RequestTimeTooSkewed = true, RequestExpired = true, RequestInTheFuture = true }

-- Clocks may differ by five minutes; by less than this, they are not the reason.
local SKEW = 240

---@class lambdapool.aws.SessionOptions
---@field profile string?
---@field region string?
---@field aws_access_key_id string? with its secret
---@field aws_secret_access_key string?
---@field aws_session_token string?
---@field endpoint_url string? for every service
---@field credentials table? { access_key =, secret_key =, token = }
---@field proxy string? "" for none; default: HTTPS_PROXY and the like
---@field patience number? seconds to go on trying while nobody listens there: 0
---@field environment (fun(name: string): string?)? os.getenv
---@field now (fun(): number)? the clock, seconds since 1970

---@class lambdapool.aws.Session
---@field region string?
---@field profile string the name of the profile
---@field ca string? a file with the certificates to trust
---@field proxy string?
---@field endpoint_url string? of the options; may be changed, when the service moves
---@field patience number seconds to go on trying while nobody listens there
---@field skew number seconds that AWS's clock is ahead of ours, as far as that is known
---@field now fun(): number
---@field environment fun(name: string): string?
---@field profiles lambdapool.aws.Profiles
---@field max_attempts integer?
local methods = {}
local mt = { __name = "lambdapool.aws.Session", __index = methods }

function mt:__tostring()
  return ("AWS session (profile %s, %s)"):format(self.profile, self.region or "no region")
end

function mt.__lambdapool()
  error("it holds credentials, which stay on this machine\n" ..
    "  a function has those of its role", 0)
end

-- Settings ------------------------------------------------------------------------------------

--- A setting: the first of the environment's variables that is set, or the profile's.
---@param variables string[]
---@param key string? in the profile
---@return string? value
---@return string? origin
function methods:setting(variables, key)
  for _, name in ipairs(variables) do
    local value = self.environment(name)
    if value and value ~= "" then
      return value, name
    end
  end
  local value = key and self.profiles:get(self.profile)[key]
  if value and value ~= "" then
    return value, ("profile %s"):format(self.profile)
  end
end

local function is_true(text)
  return text ~= nil and text:lower() == "true"
end

---@param variable string
---@param key string
---@return boolean
function methods:flag(variable, key)
  return is_true((self:setting({ variable }, key)))
end

local function expand(self, path)
  return path and profiles.expand(path, self.environment)
end

-- The clock -----------------------------------------------------------------------------------

--- Seconds since 1970 by AWS's clock, for signatures.
---@return integer
function methods:time()
  return math.floor(self.now() + self.skew)
end

--- Sets the clock by an answer that refuses the time of a signature. True when that changes it, so
--- that it makes sense to sign once more.
---@param refusal lambdapool.Refusal
---@return boolean
function methods:correct_clock(refusal)
  if CLOCK[refusal.code] and refusal.skew and math.abs(refusal.skew - self.skew) > SKEW then
    self.skew = refusal.skew
    return true
  end
  return false
end

-- Endpoints -----------------------------------------------------------------------------------

-- How services are called in AWS_ENDPOINT_URL_NAME and in files.
local IDS = { logs = "cloudwatch_logs", oidc = "sso_oidc" }

local function of_services(self, id)
  local name = self.profiles:get(self.profile).services
  local section = name and self.profiles:section("services", name)
  if name and not section then
    error(refusals.new { code = "InvalidConfiguration", message =
      ("profile %s names the section [services %s], which is not there"):format(self.profile, name),
      hint = "write it into " .. self.profiles.config_path }, 0)
  end
  local values = section and section[id]
  return type(values) == "table" and values.endpoint_url or nil, ("services %s"):format(name)
end

-- The URL that somebody has set, and where.
local function configured(self, service)
  if self.endpoint_url then
    return self.endpoint_url, "endpoint_url"
  elseif self:flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls") then
    return nil
  end
  local id = IDS[service] or service
  local url, origin = self:setting { "AWS_ENDPOINT_URL_" .. id:upper(), "AWS_ENDPOINT_URL" }
  if not url then
    url, origin = of_services(self, id)
  end
  if not url then
    url, origin = self:setting({}, "endpoint_url")
  end
  return url, origin
end

local DEFAULT_PORT = { http = ":80$", https = ":443$" }

-- Without a slash at its end; its host, with the port unless it is the usual one; its path.
local function split(url, origin)
  local scheme, host, path =
    url:match "^([Hh][Tt][Tt][Pp][Ss]?)://([%w%.%-_:%[%]]+)%f[/\0]([^?#%s%c]*)$"
  if not scheme then
    local shown = url:find "@" and "it" or url
    error(refusals.new { code = "InvalidEndpoint", message =
      ("cannot use the endpoint from %s: %s is no URL of a service"):format(origin, shown),
      hint = "it should look like http://127.0.0.1:9077" }, 0)
  end
  path = path:gsub("/+$", "")
  host = host:lower():gsub(DEFAULT_PORT[scheme:lower()], "")
  return { url = ("%s://%s%s"):format(scheme:lower(), host, path), host = host, path = path,
    origin = origin }
end

local function aws_endpoint(self, service)
  if service ~= "iam" and service ~= "sts" then
    self:need_region()
  end
  local host = endpoints.host(service, self.region, {
    fips = self:flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"),
    dual = self:flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"),
  })
  return { url = "https://" .. host, host = host, path = "" }
end

local function find_endpoint(self, service)
  local url, origin = configured(self, service)
  return url and split(url, origin) or aws_endpoint(self, service)
end

--- Where a service is: the URL, without a slash at its end, and the host to sign. The URL may have
--- a path, which then comes before those of operations.
---@param service string
---@return string url
---@return string host
---@return string path of the URL, mostly ""
function methods:endpoint(service)
  local found = self.endpoints[service]
  if not found or found.given ~= self.endpoint_url then
    found = find_endpoint(self, service)
    found.given = self.endpoint_url
    self.endpoints[service] = found
  end
  return found.url, found.host, found.path
end

--- The URL of a service of IAM Identity Center, which has a region of its own.
---@param service "sso"|"oidc"
---@param region string
---@return string
function methods:sso_endpoint(service, region)
  local url, origin = configured(self, service)
  return url and split(url, origin).url or ("https://%s.%s.%s"):format(
    service == "sso" and "portal.sso" or "oidc", region, endpoints.partition(region).suffix)
end

--- The region that requests for a service are signed for.
---@param service string
---@return string
function methods:signing_region(service)
  return endpoints.signing_region(service, self.region) or self:need_region()
end

--- The region, or an error that says how to set one.
---@return string
function methods:need_region()
  return self.region or error(refusals.new {
    code = "NoRegion", message = "no AWS region is set",
    hint = ("set it with `--region`, AWS_REGION, or `region = ...` of profile %s in %s"):format(
      self.profile, self.profiles.config_path or "~/.aws/config"),
  }, 0)
end

--- What is known that makes for better advice in refusals.
---@param service string
---@param credentials lambdapool.aws.Credentials?
---@param input table?
---@return lambdapool.aws.Context
function methods:context(service, credentials, input)
  local found = self.endpoints[service] or {}
  return {
    region = self.region, url = found.url, origin = found.origin, profile = self.profile,
    source = credentials and credentials.source, ca = self.ca, now = self.now(),
    skew = self.skew, input = input,
  }
end

-- Credentials ---------------------------------------------------------------------------------

--- Waits for credentials that are good for a while. Raises a refusal when there are none.
---@return lambdapool.aws.Credentials
function methods:credentials()
  return self.holder:get()
end

--- Credentials that are good for another while, at once, or nil. When they are nearly over, new
--- ones are fetched meanwhile.
---@return lambdapool.aws.Credentials?
function methods:fresh_credentials()
  return self.holder:peek()
end

--- AWS says that these are over: the next ones are fetched anew. False when there are no others.
---@param stale lambdapool.aws.Credentials?
---@return boolean
function methods:forget_credentials(stale)
  return self.holder:forget(stale)
end

-- Clients -------------------------------------------------------------------------------------

for _, name in ipairs { "lambda", "iam", "sts", "logs" } do
  methods[name] = function(self)
    local made = self.clients[name]
    if not made then
      made = client.new(self, require("lambdapool.aws." .. name))
      self.clients[name] = made
    end
    return made
  end
end

-- Opening -------------------------------------------------------------------------------------

local function check_profile(self, name, origin)
  if self.profiles:has(name) then
    return
  end
  local names = self.profiles:names()
  error(refusals.new { code = "ProfileNotFound", exit = 4,
    message = ("there is no AWS profile %s (from %s)%s"):format(name, origin,
      suggest.hint(name, names)),
    hint = #names > 0 and "there are: " .. table.concat(names, ", ") or
      ("%s has none: `aws configure --profile %s` makes it"):format(
        self.profiles.config_path or "~/.aws/config", name) }, 0)
end

-- The name of the profile; the explicit one, when it is.
local function choose_profile(self, options, explicit_keys)
  local name, origin = options.profile, "the option profile"
  if not name then
    self.profile = "default"
    name, origin = self:setting { "AWS_DEFAULT_PROFILE", "AWS_PROFILE" }
  end
  self.profile = name or "default"
  if name and name ~= "default" and not explicit_keys then
    check_profile(self, name, origin)
  end
end

local function choose_region(self, options)
  local region, origin = options.region, "the option region"
  if not region then
    region, origin = self:setting({ "AWS_REGION", "AWS_DEFAULT_REGION" }, "region")
  end
  if region and not endpoints.is_region(region) then
    error(refusals.new { code = "InvalidRegion",
      message = ("%s (from %s) cannot be an AWS region"):format(refusals.excerpt(region), origin),
      hint = "regions look like us-east-1" }, 0)
  end
  self.region = region
end

local function explicit_keys(options)
  local key, secret = options.aws_access_key_id, options.aws_secret_access_key
  if (key == nil) ~= (secret == nil) then
    error(refusals.new { code = "PartialCredentials", exit = 4,
      message = ("%s is given without %s"):format(
        key and "aws_access_key_id" or "aws_secret_access_key",
        key and "aws_secret_access_key" or "aws_access_key_id") }, 0)
  end
  local given = options.credentials or key and { access_key = key, secret_key = secret,
    token = options.aws_session_token }
  return given and holder.credentials(given, given.source or "the options")
end

--- Opens a session. Nothing is asked for yet. Raises a refusal for settings that cannot be.
---@param options lambdapool.aws.SessionOptions?
---@return lambdapool.aws.Session
local function new(options)
  options = options or {}
  local keys = explicit_keys(options)
  local self = setmetatable({
    environment = options.environment or os.getenv,
    now = options.now or function() return system.now() / 1000 end,
    endpoint_url = options.endpoint_url, proxy = options.proxy,
    patience = options.patience or 0,
    skew = 0, endpoints = {}, clients = {},
  }, mt)
  self.profiles = profiles.open(self.environment)
  choose_profile(self, options, keys)
  choose_region(self, options)
  self.ca = expand(self, (self:setting({ "AWS_CA_BUNDLE" }, "ca_bundle")))
  self.max_attempts = math.tointeger(tonumber((self:setting({ "AWS_MAX_ATTEMPTS" },
    "max_attempts"))))
  self.holder = holder.new(self, keys or chain.open(self, options.profile ~= nil))
  return self
end

return { new = new }
