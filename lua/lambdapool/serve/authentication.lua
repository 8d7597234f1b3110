--- Nobody gets in without a valid signature: who signed a request, or the fault that AWS answers
--- with, which is named differently in JSON and in XML.

local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local uri = require "lambdapool.serve.uri"

local authentication = {}

local INVALID_TOKEN = "The security token included in the request is invalid."
local EXPIRED_TOKEN = "The security token included in the request is expired"
local MISMATCH = "The request signature we calculated does not match the signature you " ..
  "provided. Check your AWS Secret Access Key and signing method. " ..
  "Consult the service documentation for details."

-- Problem -> its name in JSON, its name in XML, and the text unless the verification has a better
-- one.
local FAULTS = {
  missing = { "MissingAuthenticationTokenException", "MissingAuthenticationToken",
    "Missing Authentication Token" },
  malformed = { "IncompleteSignatureException", "IncompleteSignature" },
  unknown_key = { "UnrecognizedClientException", "InvalidClientTokenId", INVALID_TOKEN },
  mismatch = { "InvalidSignatureException", "SignatureDoesNotMatch", MISMATCH },
  payload = { "InvalidSignatureException", "SignatureDoesNotMatch", MISMATCH },
  expired = { "InvalidSignatureException", "SignatureDoesNotMatch" },
  early = { "InvalidSignatureException", "SignatureDoesNotMatch" },
  expired_url = { "InvalidSignatureException", "SignatureDoesNotMatch", "Request has expired." },
  expired_token = { "ExpiredTokenException", "ExpiredToken", EXPIRED_TOKEN },
  scope = { "InvalidSignatureException", "SignatureDoesNotMatch" },
}

-- What the other protocols say in their own words.
local XML_TEXTS = { missing = "Request is missing Authentication Token" }

-- The detail of a wrong signature begins with the text, and says behind it how it should have been
-- made. XML does without that.
local function text_of(problem, detail, in_xml)
  if problem == "mismatch" and detail and not in_xml then
    return detail
  end
  return in_xml and XML_TEXTS[problem] or FAULTS[problem][3] or detail or MISMATCH
end

--- Raises the fault for a problem of crypto.authenticate's.
---@param problem string
---@param detail string?
---@param protocol lambdapool.serve.Protocol
function authentication.refuse(problem, detail, protocol)
  local in_xml = protocol.name == "query"
  local name = FAULTS[problem][in_xml and 2 or 1]
  fault(403, name, text_of(problem, detail, in_xml))
end

local function token_of(request)
  local token = request:header "x-amz-security-token"
  if token then
    return token
  end
  local query = request:query()
  return query and query:find("X-Amz-Security-Token=", 1, true)
    and uri.parse(query)["X-Amz-Security-Token"]
end

-- The keys of sessions are not known before somebody uses them.
local function admit(credentials, request)
  local access_key = crypto.peek(request)
  return access_key and credentials:admit(access_key, token_of(request)) and access_key
end

--- Who signed the request. The first results are those of crypto.authenticate.
---@param credentials lambdapool.serve.Credentials
---@param request userdata
---@return string? access_key nil: a problem and its detail follow
---@return string service or problem
---@return string region or detail
function authentication.verify(credentials, request)
  local key, service, region = crypto.authenticate(request, credentials.secrets)
  if not key and service == "unknown_key" then
    local admitted = admit(credentials, request)
    if not admitted then
      return key, service, region
    end
    key, service, region = crypto.authenticate(request, credentials.secrets)
    if not key then
      credentials:forget(admitted)
    end
  end
  if not key then
    return key, service, region
  end
  local token = credentials:check_token(key, token_of(request))
  if token ~= "ok" then
    return nil, token == "expired" and "expired_token" or "unknown_key"
  end
  return key, service, region
end

return authentication
