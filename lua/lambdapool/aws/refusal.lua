--- What AWS has refused, and requests that never got an answer: error objects with fields to test,
--- AWS's own words, and what to do about it (advice.lua).

local advice = require "lambdapool.aws.advice"
local dates = require "lambdapool.aws.dates"
local json = require "lambdapool.json"
local xml = require "lambdapool.xml"

---@class lambdapool.Refusal
---@field service string? "lambda", "iam", "sts", "logs"; nil when nothing was asked yet
---@field operation string?
---@field status integer? of the answer; nil when there was none
---@field code string such as "ResourceNotFoundException"; "NetworkFailure" without an answer
---@field message string in AWS's words
---@field detail string? of a signature that does not match: what AWS has signed
---@field hint string? what to do
---@field reason string? why invocations are throttled
---@field retry_after number? seconds that the service asks us to wait
---@field skew number? seconds that the service's clock is ahead of ours, by its answer
---@field request_id string?
---@field failure string? as in lambdapool.http: it never got an answer
---@field sent boolean? with `failure`: the service may have got the request
---@field attempts integer? how often it was sent
---@field exit integer what a program should exit with: 1, 3, 4 or 5
local mt = { __name = "lambdapool.Refusal" }

-- What of an answer that is no answer of AWS goes into a message.
local EXCERPT = 200

local function headline(self)
  if self.failure then
    return ("%s did not answer %s: %s"):format(self.service, self.operation, self.message)
  elseif not self.service then
    return self.message
  end
  local id = self.status and self.status >= 500 and self.request_id
  return ("%s refused %s: %s (%s%s)"):format(self.service, self.operation, self.message, self.code,
    id and ", request " .. id or "")
end

function mt:__tostring()
  local hint = self.hint
  return headline(self) .. (hint and "\n  " .. hint:gsub("\n", "\n  ") or "")
end

local refusal = {}

--- Makes one. Without `exit` it is 1.
---@param fields table
---@return lambdapool.Refusal
function refusal.new(fields)
  fields.exit = fields.exit or 1
  return setmetatable(fields, mt)
end

---@param value any
---@return boolean
function refusal.is(value)
  return rawequal(debug.getmetatable(value), mt)
end

--- The beginning of a text from outside, fit for a message on one line.
---@param text string
---@return string
function refusal.excerpt(text)
  text = text:sub(1, 4 * EXCERPT):gsub("[%c\127-\255]+", " "):gsub("  +", " ")
  text = text:match "^ *(.-) *$"
  return #text > EXCERPT and text:sub(1, EXCERPT) .. "..." or text
end

-- AWS's words, as far as a terminal may have them. What it has signed itself, to compare, comes
-- apart: it fills a screen, and it has the session token in it.
local function split_words(words)
  words = words:sub(1, 16384)
  local first, rest = words:match "^(.-)%s*(The Canonical String.*)$"
  return ((first or words):sub(1, 4096):gsub("%c+", " ")),
    rest and rest:gsub("([Ss]ecurity%-[Tt]oken[:=])[^%s&]+", "%1...")
end

-- What the body says -------------------------------------------------------------------------

local function text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

-- { code =, message =, reason =, request_id = }, as far as they are there.
local function read_json(body)
  local value = json.decode(body)
  if type(value) ~= "table" then
    return nil
  end
  local inner = type(value.Error) == "table" and value.Error or value
  return {
    code = text(inner.__type) or text(inner.code) or text(inner.Code),
    message = text(inner.message) or text(inner.Message) or text(inner.errorMessage)
      or text(inner.error_description),
    reason = text(inner.Reason),
  }
end

local function read_xml(body)
  local root = xml.parse((body:gsub("^%s+", "")))
  local value = root and xml.value(root)
  local inner = type(value) == "table" and (value.Error or value)
  if root and root.name:lower() ~= "html" and type(inner) == "table" then
    return { code = text(inner.Code), message = text(inner.Message),
      request_id = text(value.RequestId) }
  end
end

-- Pages of proxies say best in their title what is the matter.
local function read_other(body, headers)
  local title = body:match "<[Tt][Ii][Tt][Ll][Ee]>%s*([^<]-)%s*</"
  local kind = headers["content-type"]
  return { foreign = ("the answer is not of AWS%s: %s"):format(
    kind and " (" .. refusal.excerpt(kind) .. ")" or "",
    body == "" and "it is empty" or refusal.excerpt(title or body)) }
end

local function read_body(body, headers)
  return body:find "^%s*[{]" and read_json(body) or body:find "^%s*<" and read_xml(body)
    or read_other(body, headers)
end

-- "ResourceNotFoundException:http://internal.amazon.com/coral/..." and "com.amazon#Name".
local function bare(code)
  code = code and code:gsub("[:,].*$", ""):gsub("^.*#", "")
  return code and code:find "^[%w_.]+$" and #code <= 128 and code or nil
end

local function digits(value)
  return value and tonumber(value:match "^%d+$")
end

-- Seconds that the service asks us to wait.
local function retry_after(headers)
  local milliseconds = digits(headers["x-amz-retry-after"])
  local seconds = milliseconds and milliseconds / 1000 or digits(headers["retry-after"])
  return seconds and seconds < 86400 and seconds or nil
end

local function clock_skew(headers, now)
  local there = dates.http(headers.date)
  return there and there - now
end

---@class lambdapool.aws.Context
---@field region string?
---@field url string? of the endpoint
---@field origin string? where the endpoint comes from, when it is not AWS's own
---@field profile string?
---@field source string? of the credentials
---@field ca string? the file of certificates
---@field now number? seconds since 1970, by our clock
---@field skew number? by which that is corrected in signatures
---@field input table? of the operation

--- What an answer that is no success says.
---@param service string
---@param operation string
---@param status integer
---@param headers table<string, string> names in lower case
---@param body string
---@param context lambdapool.aws.Context? makes for better advice
---@return lambdapool.Refusal
function refusal.of_response(service, operation, status, headers, body, context)
  context = context or {}
  local said = read_body(body, headers)
  local code = bare(headers["x-amzn-errortype"]) or bare(said.code)
  local message, detail = split_words(said.message or said.foreign or "without a word")
  local self = refusal.new {
    service = service, operation = operation, status = status,
    code = code or ("HTTP %d"):format(status),
    message = message,
    detail = detail,
    reason = said.reason,
    retry_after = retry_after(headers),
    skew = clock_skew(headers, context.now or os.time()),
    request_id = headers["x-amzn-requestid"] or headers["x-amz-request-id"] or said.request_id,
  }
  self.hint, self.exit = advice.on_answer(self, context)
  return self
end

--- What the lack of an answer means; `response` is that of lambdapool.http.
---@param service string
---@param operation string
---@param response { failure: string, message: string, sent: boolean? }
---@param context lambdapool.aws.Context?
---@return lambdapool.Refusal
function refusal.of_failure(service, operation, response, context)
  local self = refusal.new {
    service = service, operation = operation, code = "NetworkFailure",
    message = response.message, failure = response.failure, sent = response.sent,
  }
  self.hint = advice.on_failure(self, context or {})
  return self
end

return refusal
