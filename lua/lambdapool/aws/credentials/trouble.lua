--- What goes wrong on the way to credentials, and reading those that come as JSON. Nothing of what
--- was read appears in a message: it may be secret.

local dates = require "lambdapool.aws.dates"
local holder = require "lambdapool.aws.credentials.holder"
local json = require "lambdapool.json"
local refusals = require "lambdapool.aws.refusal"

local trouble = {}

--- A source of credentials was found, and fails.
---@param message string
---@param hint string?
function trouble.failed(message, hint)
  error(refusals.new { code = "CredentialsFailed", message = message, hint = hint, exit = 4 }, 0)
end

--- One half of a pair is missing.
---@param message string
function trouble.partial(message)
  error(refusals.new { code = "PartialCredentials", message = message, exit = 4 }, 0)
end

local function word(value)
  return type(value) == "string" and value ~= "" and not value:find "[%c ]" and value or nil
end

-- Milliseconds since 1970, or a text.
local function expiration(value)
  if type(value) == "number" then
    return value > 1e11 and value / 1000 or value
  end
  return type(value) == "string" and dates.iso(value) or nil
end

--- Credentials as AWS writes them in JSON, in capitals or not. Raises when they are incomplete.
---@param value any
---@param source string where they are from
---@return lambdapool.aws.Credentials
function trouble.read(value, source)
  local function member(name)
    return value[name] or value[name:sub(1, 1):lower() .. name:sub(2)]
  end
  if type(value) ~= "table" then
    trouble.failed(source .. " gave no JSON object")
  end
  local key, secret = word(member "AccessKeyId"), word(member "SecretAccessKey")
  if not key or not secret then
    trouble.failed(("%s gave no %s"):format(source, key and "SecretAccessKey" or "AccessKeyId"))
  end
  local until_when = member "Expiration"
  local expires = expiration(until_when)
  if until_when and until_when ~= json.null and not expires then
    trouble.failed(source .. " gave an Expiration that is no time")
  end
  local token = member "SessionToken" or member "Token"
  return holder.credentials({ access_key = key, secret_key = secret, expires = expires,
    token = token ~= json.null and token ~= "" and token or nil }, source)
end

--- The same from a text.
---@param text string
---@param source string
---@return lambdapool.aws.Credentials
function trouble.parse(text, source)
  return trouble.read(json.decode(text), source)
end

return trouble
