--- The event that a function gets when its URL is requested: payload format 2.0.
local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"
local system = require "lambdapool.system"
local uri = require "lambdapool.serve.uri"

-- Bodies of other types come in base64.
local TEXTS = {
  ["application/json"] = true,
  ["application/xml"] = true,
  ["application/javascript"] = true,
}

local function is_text(content_type, body)
  local kind = (content_type or "application/json"):lower():match "^%s*([^;%s]*)"
  return (kind:find "^text/" or kind:find "%+json$" or kind:find "%+xml$" or TEXTS[kind])
    and utf8.len(body) ~= nil
end

-- Values of headers that come several times are joined, as AWS does.
local function headers_of(request, trace_id)
  local headers = {}
  for _, header in ipairs(request:headers()) do
    local name, value = header[1], header[2]
    value = utf8.len(value) and value or value:gsub("[\x80-\xff]", "?")
    headers[name] = headers[name] and headers[name] .. "," .. value or value
  end
  headers["x-forwarded-for"] = request:address()
  headers["x-forwarded-proto"] = "http"
  headers["x-forwarded-port"] = headers.host and headers.host:match ":(%d+)$" or "80"
  headers["x-amzn-trace-id"] = trace_id
  return headers
end

local function cookies_of(headers)
  local cookies = json.array {}
  for cookie in (headers.cookie or ""):gmatch "[^;,%s][^;]*" do
    cookies[#cookies + 1] = cookie
  end
  return cookies[1] and cookies
end

local function parameters_of(query)
  local _, lists = uri.parse(query)
  local parameters = {}
  for name, list in pairs(lists) do
    parameters[name] = table.concat(list, ",")
  end
  return next(parameters) and parameters
end

local function domain_of(id, region, host)
  if host and host:find(id .. ".lambda-url.", 1, true) == 1 then
    return (host:gsub(":%d+$", ""))
  end
  return ("%s.lambda-url.%s.on.aws"):format(id, region)
end

-- Who signed the request, when the URL wants to know.
local function authorizer_of(caller, account)
  return caller and {
    iam = {
      accessKey = caller,
      accountId = account,
      callerId = caller,
      cognitoIdentity = json.null,
      principalOrgId = json.null,
      userArn = ("arn:aws:iam::%s:root"):format(account),
      userId = account,
    },
  }
end

local function context_of(request, path, headers, options)
  local now = system.now()
  return {
    accountId = options.caller and options.account or "anonymous",
    apiId = options.id,
    authorizer = authorizer_of(options.caller, options.account),
    domainName = domain_of(options.id, options.region, headers.host),
    domainPrefix = options.id,
    http = {
      method = request:method(),
      path = path,
      protocol = "HTTP/1.1",
      sourceIp = request:address(),
      userAgent = headers["user-agent"],
    },
    requestId = options.request_id,
    routeKey = "$default",
    stage = "$default",
    time = os.date("!%d/%b/%Y:%H:%M:%S +0000", now // 1000),
    timeEpoch = now,
  }
end

local url_event = {}

---@param request userdata
---@param path string what follows the URL's own part
---@param options { id: string, region: string, account: string, request_id: string,
---  trace_id: string, caller: string? } of the URL, and of this request
---@return string
function url_event.make(request, path, options)
  local headers = headers_of(request, options.trace_id)
  local body = request:body()
  local text = is_text(headers["content-type"], body)
  local event = {
    version = "2.0",
    routeKey = "$default",
    rawPath = path,
    rawQueryString = request:query() or "",
    cookies = cookies_of(headers),
    headers = headers,
    queryStringParameters = parameters_of(request:query()),
    requestContext = context_of(request, path, headers, options),
    isBase64Encoded = body ~= "" and not text,
  }
  if body ~= "" then
    event.body = text and body or crypto.base64(body)
  end
  return json.encode(event)
end

return url_event
