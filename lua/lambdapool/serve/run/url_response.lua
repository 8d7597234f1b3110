--- From what a function returned to the answer of its URL: { status, headers, body }. An object
--- with a statusCode describes the answer, everything else is the body of one.
local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"

-- A stream that begins with such an object, 8 zeros behind it, and goes on with the body.
local PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
local PRELUDE_END = ("\0"):rep(8)

local url_response = { PRELUDE_TYPE = PRELUDE_TYPE }

-- A header that HTTP can carry, or nil.
local function text_of(value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    return nil
  end
  value = tostring(value)
  return not value:find "[%z\r\n]" and value or nil
end

local function add_headers(answer, headers)
  for name, value in pairs(headers) do
    local text = text_of(value)
    if type(name) ~= "string" or not text or not name:find "^[%w!#$%%&'*+.^_`|~-]+$" then
      return nil
    end
    answer.headers[name:lower()] = text
  end
  return true
end

local function add_cookies(answer, cookies)
  local list = {}
  for i, cookie in ipairs(cookies) do
    list[i] = text_of(cookie)
    if not list[i] then
      return nil
    end
  end
  answer.headers["set-cookie"] = list[1] and list
  return true
end

-- An optional member of a description: nil when it is not there.
local function member(description, name)
  local value = description[name]
  return value ~= json.null and value or nil
end

-- Status and headers of a description, or nil when they make no sense.
local function describe(description, content_type)
  local status = math.tointeger(tonumber(member(description, "statusCode") or 200))
  local headers, cookies = member(description, "headers"), member(description, "cookies")
  local answer = { status = status, headers = { ["content-type"] = content_type } }
  if not status or status < 200 or status > 599
    or headers and (type(headers) ~= "table" or not add_headers(answer, headers))
    or cookies and (type(cookies) ~= "table" or not add_cookies(answer, cookies)) then
    return nil
  end
  return answer
end

local function body_of(description)
  local body = member(description, "body")
  if body == nil then
    return ""
  elseif type(body) ~= "string" then
    return json.encode(body)
  elseif member(description, "isBase64Encoded") then
    return crypto.unbase64(body)
  end
  return body
end

--- The answer for a buffered response; nil when it describes none that can be sent.
---@param bytes string
---@return { status: integer, headers: table, body: string }?
function url_response.from(bytes)
  local first = bytes:find "%S"
  local value = first and bytes:sub(first, first) == "{" and json.decode(bytes)
  if type(value) ~= "table" or member(value, "statusCode") == nil then
    return { status = 200, headers = { ["content-type"] = "application/json" }, body = bytes }
  end
  local answer = describe(value, "application/json")
  local body = answer and body_of(value)
  if not body then
    return nil
  end
  answer.body = body
  return answer
end

--- The answer that a stream begins with, with the part of its body that is there already; false
--- while the description is not complete, nil when it makes no sense.
---@param bytes string
---@return { status: integer, headers: table, body: string }|false?
function url_response.from_prelude(bytes)
  local last, after = bytes:find(PRELUDE_END, 1, true)
  if not last then
    return false
  end
  local value = json.decode(bytes:sub(1, last - 1))
  local answer = type(value) == "table" and describe(value, "application/octet-stream") or nil
  if answer then
    answer.body = bytes:sub(after + 1)
  end
  return answer
end

return url_response
