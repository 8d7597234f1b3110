--- What to do about a refusal: the line that stands below AWS's own words, and the exit code that
--- belongs to it. Nothing here asks anybody; it reads what the answer said.

local dates = require "lambdapool.aws.dates"

local advice = {}

-- Beyond this AWS refuses signatures.
local SKEW = 300

-- Exit codes.
local FAILED <const>, ABSENT <const>, CREDENTIALS <const>, THROTTLED <const> = 1, 3, 4, 5

-- Credentials -----------------------------------------------------------------------------------

local function source_of(context)
  return context.source and ("the credentials are from: %s"):format(context.source) or
    "check the credentials"
end

-- Whether the clock is wrong, apart from what is corrected already.
local function is_skewed(self, context)
  return self.skew and math.abs(self.skew - (context.skew or 0)) > SKEW
end

local function clock(self)
  local behind = self.skew > 0
  return ("the clock of this machine is %s %s: set it, for example with " ..
    "`sudo timedatectl set-ntp true`"):format(dates.span(self.skew),
    behind and "behind" or "ahead")
end

local function on_signature(self, context)
  if is_skewed(self, context) then
    return clock(self), CREDENTIALS
  end
  return "the secret key does not belong to the access key, or something on the way changes " ..
    "requests; " .. source_of(context), CREDENTIALS
end

local function on_unknown_key(_, context)
  local hint = "the access key is unknown there, or its session token is missing or wrong; "
  if context.origin then
    hint = ("the endpoint %s (from %s) does not know the access key; "):format(
      context.url, context.origin)
  end
  return hint .. source_of(context), CREDENTIALS
end

local function on_expired(self, context)
  if is_skewed(self, context) then
    return clock(self), CREDENTIALS
  end
  local profile = context.profile and context.profile ~= "default" and
    " --profile " .. context.profile or ""
  return ("get new ones, with `aws sso login%s` or as you got these; %s"):format(
    profile, source_of(context)), CREDENTIALS
end

local function on_unsigned(_, context)
  return "the request arrived without a signature that counts; " .. source_of(context),
    CREDENTIALS
end

-- Permissions -----------------------------------------------------------------------------------

-- What somebody needs who only runs things; all the rest is for who deploys.
local FOR_USERS = { ["lambda:InvokeFunction"] = true, ["lambda:GetFunction"] = true,
  ["lambda:GetFunctionConfiguration"] = true, ["logs:FilterLogEvents"] = true,
  ["logs:GetLogEvents"] = true }

local function on_denied(self)
  local message = self.message
  local action = message:match "not authorized to perform:? ([%w-]+:%w+)"
  if not action then
    return "ask whoever administers the account for the permission", CREDENTIALS
  elseif message:find "explicit deny" then
    return ("a policy denies %s explicitly: more permissions do not help, ask whoever " ..
      "administers the account"):format(action), CREDENTIALS
  end
  local resource = message:match "on resource: (%S+)"
  local what = action .. (resource and " on " .. resource:gsub("[.,;]$", "") or "")
  if action == "sts:AssumeRole" then
    return ("ask for %s; the trust policy of the role must allow it, too"):format(what),
      CREDENTIALS
  end
  return ("ask for %s; `lambdapool permissions policy --for %s` prints a policy"):format(what,
    FOR_USERS[action] and "user" or "deployer"), CREDENTIALS
end

-- Absent and present ----------------------------------------------------------------------------

local function in_region(context)
  return context.region and " in " .. context.region or ""
end

local function named_function(self, context)
  local name = self.message:match ":function:([%w_-]+)"
  return name or context.input and context.input.FunctionName
end

local function on_absent(self, context)
  local message = self.message
  if self.service == "logs" then
    return "the function has not run yet, or its role may not write logs", ABSENT
  elseif message:find "^Function not found" and context.input and context.input.Qualifier then
    return ("there is no function %s, or it has no version or alias %s"):format(
      named_function(self, context), context.input.Qualifier), ABSENT
  elseif message:find "^Function not found" then
    return ("create it with `lambdapool create %s PATHS`; `lambdapool list` shows what there " ..
      "is%s"):format(named_function(self, context) or "NAME", in_region(context)), ABSENT
  elseif message:find "[Ll]ayer" then
    return "`lambdapool layers list` shows the layers that there are" .. in_region(context), ABSENT
  end
  return nil, ABSENT
end

local function on_conflict(self, context)
  if self.message:find "already exist" then
    local name = self.message:match "already exist: ([%w_-]+)" or named_function(self, context)
    return self.operation == "CreateFunction" and
      ("change it with `lambdapool update %s PATHS`"):format(name or "NAME") or nil, FAILED
  elseif self.message:find "cannot be performed at this time" then
    return "the function is being made or changed: try again in a moment", FAILED
  end
  return nil, FAILED
end

local function on_parameter(self)
  if self.message:find "cannot be assumed" then
    return "the trust policy of the role must let lambda.amazonaws.com assume it; a new role " ..
      "takes up to a minute", FAILED
  elseif self.message:find "execution role does not have permissions" then
    return "give the role this permission, or use another one with `--role ARN`", FAILED
  end
  return nil, FAILED
end

local function on_role_absent(self)
  if self.message:find "[Rr]ole" then
    return "name one that exists with `--role ARN`, or leave it out: then one is made", FAILED
  end
  return nil, FAILED
end

-- Too much --------------------------------------------------------------------------------------

local REASONS = {
  ConcurrentInvocationLimitExceeded = "as many functions run as the account may: use fewer " ..
    "workers, or ask AWS for a higher limit (Service Quotas, Lambda, concurrent executions)",
  ReservedFunctionConcurrentInvocationLimitExceeded = "the function's reserved concurrency is " ..
    "used up, or is 0: raise it, or use fewer workers",
  FunctionInvocationRateLimitExceeded = "the function is invoked too often in a second: use " ..
    "fewer workers, or larger tasks",
  ReservedFunctionInvocationRateLimitExceeded = "the function is invoked too often in a second " ..
    "for its reserved concurrency: raise it, or use larger tasks",
  CallerRateLimitExceeded = "too many requests of this account in a second: try again later",
}

local function on_throttled(self)
  return REASONS[self.reason] or "too many requests at a time: try again later", THROTTLED
end

local function on_quota()
  return "delete what is not needed any more, or ask AWS for a higher quota", THROTTLED
end

-- Everything ------------------------------------------------------------------------------------

local BY_CODE = {}

local function on(handler, codes)
  for code in codes:gmatch "%S+" do
    BY_CODE[code] = handler
  end
end

on(on_signature, "InvalidSignatureException SignatureDoesNotMatch RequestTimeTooSkewed " ..
  "RequestExpired RequestInTheFuture IncompleteSignature IncompleteSignatureException AuthFailure")
on(on_unknown_key, "UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId " ..
  "InvalidToken")
on(on_expired, "ExpiredTokenException ExpiredToken TokenRefreshRequired")
on(on_unsigned, "MissingAuthenticationTokenException MissingAuthenticationToken")
on(on_denied, "AccessDeniedException AccessDenied UnauthorizedOperation " ..
  "NotAuthorized UnauthorizedException OptInRequired KMSAccessDeniedException")
on(on_absent, "ResourceNotFoundException")
on(on_conflict, "ResourceConflictException")
on(on_parameter, "InvalidParameterValueException")
on(on_role_absent, "NoSuchEntity NoSuchEntityException")
on(on_throttled, "TooManyRequestsException Throttling ThrottlingException ThrottledException " ..
  "RequestThrottled RequestThrottledException RequestLimitExceeded BandwidthLimitExceeded " ..
  "SlowDown EC2ThrottledException ProvisionedThroughputExceededException")
on(on_quota, "CodeStorageExceededException LimitExceeded LimitExceededException " ..
  "ServiceQuotaExceededException")

local function on_status(self, context)
  local status = self.status
  if status == 403 or status == 401 then
    return source_of(context), CREDENTIALS
  elseif status == 429 then
    return on_throttled(self)
  elseif status == 407 then
    return "the proxy wants a name and a password: they go into HTTPS_PROXY", FAILED
  elseif not self.code:find "^HTTP" then
    return status >= 500 and "the fault is on the other side: try again later" or nil, FAILED
  elseif context.origin then
    return ("the endpoint %s is from %s: is it the right one"):format(context.url,
      context.origin), FAILED
  end
  return "something between this machine and AWS has answered, perhaps a proxy", FAILED
end

--- The advice for an answer.
---@param self lambdapool.Refusal
---@param context lambdapool.aws.Context
---@return string? hint
---@return integer exit
function advice.on_answer(self, context)
  local handler = BY_CODE[self.code] or on_status
  local hint, exit = handler(self, context)
  return hint, exit or FAILED
end

-- No answer -------------------------------------------------------------------------------------

local FAILURES = {}

function FAILURES.resolve(context)
  return ("check the region (%s) and the network"):format(context.region or "none is set")
end

function FAILURES.connect()
  return "check the network; behind a proxy, set HTTPS_PROXY"
end

function FAILURES.tls(context)
  if context.ca then
    return ("certificates are checked against %s (AWS_CA_BUNDLE)"):format(context.ca)
  elseif context.origin then
    return ("the endpoint %s is from %s; when its certificate is not a public one, set " ..
      "AWS_CA_BUNDLE to the file with it"):format(context.url, context.origin)
  end
  return "behind a proxy that opens TLS, set AWS_CA_BUNDLE to the file with its certificate"
end

function FAILURES.proxy()
  return "check HTTPS_PROXY; NO_PROXY names hosts that need none"
end

function FAILURES.timeout()
  return "try again; behind a proxy, set HTTPS_PROXY"
end

--- The advice for a request that got no answer.
---@param self lambdapool.Refusal
---@param context lambdapool.aws.Context
---@return string? hint
function advice.on_failure(self, context)
  local unreachable = self.failure == "resolve" or self.failure == "connect"
  if context.origin and (unreachable or self.failure == "refused_url") then
    return ("the endpoint %s is from %s"):format(context.url, context.origin)
  end
  local handler = FAILURES[self.failure]
  return handler and handler(context) or nil
end

return advice
