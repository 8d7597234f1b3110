--- Digests, random bytes and AWS signatures. What is not here stands above host/cloud/lib_crypto.c
--- and lib_sigv4.c; here are signed requests and URLs.
local cloud = require "lambdapool.cloud"

local crypto = cloud.load "crypto"

-- Proxies and HTTP libraries may change these, or they belong to one connection.
local UNSIGNED = {
  authorization = true, connection = true, expect = true, ["keep-alive"] = true,
  ["proxy-authenticate"] = true, ["proxy-authorization"] = true, te = true, trailer = true,
  ["transfer-encoding"] = true, upgrade = true, ["user-agent"] = true, ["x-amzn-trace-id"] = true,
}

local DEFAULT_PORT = { http = ":80$", https = ":443$" }

---@class lambdapool.SignOptions
---@field method string
---@field url string? or `host`, `path` and `query`; as they go over the wire
---@field host string? with the port unless it is the usual one
---@field path string?
---@field query string?
---@field headers table<string, string>? that are sent besides; all but a few are signed
---@field body string?
---@field access_key string
---@field secret_key string
---@field token string? of temporary credentials
---@field service string
---@field region string
---@field time integer? seconds since 1970
---@field expires integer? of a URL: seconds that it is good for, 900 when absent

local function split(url)
  local scheme, host, path, query = url:match "^(%a+)://([^/?#]+)([^?#]*)%??([^#]*)"
  if not scheme then
    error(("is no URL: %s"):format(url), 0)
  end
  host = host:gsub(DEFAULT_PORT[scheme:lower()] or "$", "")
  return { scheme = scheme, host = host, path = path == "" and "/" or path, query = query }
end

local function encode(text)
  return (text:gsub("[^%w%-._~]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

-- Lower case, sorted, and without those that are not signed.
local function signed_headers(headers)
  local list, names = {}, {}
  for name, value in pairs(headers) do
    if not UNSIGNED[name:lower()] then
      list[#list + 1] = { name:lower(), value }
    end
  end
  table.sort(list, function(a, b)
    return a[1] < b[1]
  end)
  for i, header in ipairs(list) do
    names[i] = header[1]
  end
  return list, table.concat(names, ";")
end

local function timestamp_and_scope(options)
  local timestamp = os.date("!%Y%m%dT%H%M%SZ", options.time) --[[@as string]]
  local scope = table.concat({ timestamp:sub(1, 8), options.region, options.service,
    "aws4_request" }, "/")
  return timestamp, scope
end

--- Signs a request. The headers that it returns have to be sent, beside `options.headers` and Host.
---@param options lambdapool.SignOptions
---@return table<string, string> headers
function crypto.sign(options)
  local target = options.url and split(options.url) or options
  local timestamp, scope = timestamp_and_scope(options)
  local payload = crypto.sha256(options.body or "")
  local added = { ["x-amz-date"] = timestamp, ["x-amz-content-sha256"] = payload,
    ["x-amz-security-token"] = options.token }
  local all = { host = target.host }
  for _, headers in ipairs { options.headers or {}, added } do
    for name, value in pairs(headers) do
      all[name:lower()] = value
    end
  end
  local list, names = signed_headers(all)
  local signature = crypto.signature(
    { method = options.method, path = target.path, query = target.query, headers = list },
    { secret_key = options.secret_key, names = names, timestamp = timestamp, scope = scope,
      region = options.region, service = options.service, payload = payload })
  added.authorization = ("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s")
    :format(options.access_key, scope, names, signature)
  return added
end

--- Signs a request without headers of its own as a URL that anybody may use until it expires. For
--- S3 the body may be any.
---@param options lambdapool.SignOptions with `url`
---@return string url
function crypto.presign(options)
  local target = split(options.url)
  local timestamp, scope = timestamp_and_scope(options)
  local query = target.query ~= "" and { target.query } or {}
  for _, pair in ipairs {
    { "X-Amz-Algorithm", "AWS4-HMAC-SHA256" },
    { "X-Amz-Credential", options.access_key .. "/" .. scope },
    { "X-Amz-Date", timestamp },
    { "X-Amz-Expires", ("%d"):format(options.expires or 900) },
    { "X-Amz-SignedHeaders", "host" },
    options.token and { "X-Amz-Security-Token", options.token },
  } do
    query[#query + 1] = pair[1] .. "=" .. encode(pair[2])
  end
  local text = table.concat(query, "&")
  local payload = options.service == "s3" and "UNSIGNED-PAYLOAD"
    or crypto.sha256(options.body or "")
  local signature = crypto.signature(
    { method = options.method or "GET", path = target.path, query = text,
      headers = { { "host", target.host } } },
    { secret_key = options.secret_key, names = "host", timestamp = timestamp, scope = scope,
      region = options.region, service = options.service, payload = payload, presigned = true })
  return ("%s://%s%s?%s&X-Amz-Signature=%s")
    :format(target.scheme, target.host, target.path, text, signature)
end

return crypto
