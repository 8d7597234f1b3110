--- Verifying AWS signatures: botocore's (sigv4_vectors.lua), a published one, and every refusal.
local crypto = require "lambdapool.crypto"
local loop = require "lambdapool.loop"
local sigv4 = require "lambdapool.aws.sigv4"

local NOW = 1440938160 -- 2015-08-30 12:36:00 UTC
local KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
local SECRETS = { [KEY] = SECRET }
local VECTORS = dofile "tests/lua/sigv4_vectors.lua"

local function copy(request)
  local headers = {}
  for i, header in ipairs(request.headers) do
    headers[i] = { header[1], header[2] }
  end
  local result = { headers = headers }
  for _, name in ipairs { "method", "path", "query", "body", "service", "region" } do
    result[name] = request[name]
  end
  return result
end

local function header_of(request, name)
  for _, header in ipairs(request.headers) do
    if header[1] == name then
      return header
    end
  end
end

-- A header vector and a URL vector with this path, for `service`.
local function vector(presigned, service, path)
  for _, request in ipairs(VECTORS) do
    if (header_of(request, "authorization") == nil) == presigned and request.service == service
      and request.path == path and not request.body then
      return copy(request)
    end
  end
end

local function signed()
  return vector(false, "lambda", "/a%3Ab")
end

local function presigned()
  return vector(true, "lambda", "/a%3Ab")
end

local function edit(request, name, pattern, replacement)
  local header = header_of(request, name)
  header[2] = header[2]:gsub(pattern, replacement)
  return request
end

local function without(request, name)
  for i, header in ipairs(request.headers) do
    if header[1] == name then
      table.remove(request.headers, i)
      return request
    end
  end
end

local function with(request, name, value)
  table.insert(request.headers, { name, value })
  return request
end

local function refused(problem, request, now)
  local key, found, detail = crypto.authenticate(request, SECRETS, now or NOW)
  assert.is_nil(key)
  assert.equal(problem, found)
  return detail
end

describe("signatures of botocore", function()
  it("are right", function()
    for i, request in ipairs(VECTORS) do
      local key, service, region, token = crypto.authenticate(request, SECRETS, NOW)
      assert.equal(KEY, key, ("vector %d, %s?%s: %s %s"):format(i, request.path, request.query,
        service, region))
      assert.same({ request.service, request.region, request.token }, { service, region, token })
    end
  end)

  it("are wrong with another secret, method, path, host or body", function()
    for _, request in ipairs(VECTORS) do
      local _, problem = crypto.authenticate(request, { [KEY] = SECRET .. "x" }, NOW)
      assert.equal("mismatch", problem)
      local changed = copy(request)
      changed.method = "OPTIONS"
      refused("mismatch", changed)
      changed = copy(request)
      changed.path = changed.path .. "/z"
      refused("mismatch", changed)
      changed = edit(copy(request), "host", "$", "x")
      refused("mismatch", changed)
    end
  end)

  it("hold for what was presigned, whatever the order of its parameters", function()
    local request = presigned()
    local parts = {}
    for part in request.query:gmatch "[^&]+" do
      table.insert(parts, 1, part)
    end
    request.query = table.concat(parts, "&&")
    assert.equal(KEY, (crypto.authenticate(request, SECRETS, NOW)))
  end)

  it("cover every parameter of the query", function()
    local request = signed()
    request.query = "a=1"
    refused("mismatch", request)
    request = presigned()
    request.query = request.query .. "&a=1"
    refused("mismatch", request)
  end)
end)

describe("the published vector get-vanilla", function()
  it("is right", function()
    local request = { method = "GET", path = "/", headers = {
      { "host", "example.amazonaws.com" }, { "x-amz-date", "20150830T123600Z" },
      { "authorization", "AWS4-HMAC-SHA256 " ..
        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " ..
        "SignedHeaders=host;x-amz-date, Signature=" ..
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    } }
    local secrets = { AKIDEXAMPLE = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }
    assert.equal(KEY, (crypto.authenticate(request, secrets, NOW)))
  end)
end)

describe("what is not signed", function()
  it("is missing a signature", function()
    assert.equal("Missing Authentication Token",
      refused("missing", { method = "GET", path = "/", headers = { { "host", "h" } } }))
    local key, problem = crypto.peek { method = "GET", path = "/", query = "a=b", headers = {} }
    assert.is_nil(key)
    assert.equal("missing", problem)
  end)
end)

describe("a malformed signature", function()
  it("is named by what it lacks", function()
    local all = "Authorization header requires 'Credential' parameter. " ..
      "Authorization header requires 'Signature' parameter. " ..
      "Authorization header requires 'SignedHeaders' parameter. " ..
      "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. " ..
      "(Hashed with SHA-256 and encoded with Base64) Authorization="
    local value = "AWS4-HMAC-SHA256 a=b"
    assert.equal(all .. crypto.sha256_base64(value),
      refused("malformed", { headers = { { "authorization", value } } }))
    for _, name in ipairs { "Credential", "Signature", "SignedHeaders" } do
      local detail = refused("malformed", edit(signed(), "authorization", name, "X"))
      assert.equal(("Authorization header requires '%s' parameter. ("):format(name),
        detail:match "^.-%(")
    end
    assert.matches("^Authorization header requires existence",
      refused("malformed", without(signed(), "x-amz-date")))
  end)

  it("may be a pair without an equal sign", function()
    assert.matches("^Invalid key=value pair %(missing equal%-sign%) in Authorization header",
      refused("malformed", edit(signed(), "authorization", "$", " x")))
  end)

  it("may have another algorithm", function()
    for _, value in ipairs { "Basic YTpi", "Bearer x", "", "AWS4-HMAC-SHA512 Credential=x" } do
      assert.matches("^Unsupported AWS 'algorithm': '" .. value:match "%S*":gsub("%p", "%%%0"),
        refused("malformed", { headers = { { "authorization", value } } }))
    end
  end)

  it("may have a credential without five parts", function()
    for _, credential in ipairs { "AK", "AK/20150830/us-east-1/lambda", "", "/", "A/K/E/Y/x/y" } do
      assert.equal("Credential must have exactly 5 slash-delimited elements, e.g. " ..
        "keyid/date/region/service/term, got '" .. credential .. "'",
        refused("malformed", edit(signed(), "authorization", "Credential=[^,]*",
          "Credential=" .. credential)))
    end
  end)

  it("may have a date that is none", function()
    for _, date in ipairs { "", "20150830", "20150830T123600", "20151330T123600Z",
      "2015083AT123600Z", "20150830T243600Z", "Sun, 99 Foo 2015 12:36:00 GMT",
      "Sun, 30 Aug 2015 12:36:00 CET", ("x"):rep(100) } do
      assert.equal("Date must be in ISO-8601 'basic format'. Got '" .. date ..
        "'. See http://en.wikipedia.org/wiki/ISO_8601",
        refused("malformed", edit(signed(), "x-amz-date", ".*", date, 1)))
    end
  end)

  it("may name its fields wrongly", function()
    local many = {}
    for i = 1, 300 do
      many[i] = ("%03d"):format(i)
    end
    for _, names in ipairs { "", "a;a", "x;host", "Host", "host;", table.concat(many, ";") } do
      assert.matches("^SignedHeaders must be names in lower case, sorted",
        refused("malformed", edit(signed(), "authorization", "SignedHeaders=[^,]*",
          "SignedHeaders=" .. names)))
    end
  end)

  it("may be a URL without all of it", function()
    for _, name in ipairs { "Algorithm", "Credential", "Signature", "SignedHeaders", "Date" } do
      local request = presigned()
      request.query = request.query:gsub("X%-Amz%-" .. name, "X")
      assert.equal("AWS query-string parameters must include 'X-Amz-" .. name ..
        "'. Re-examine the query-string parameters.", refused("malformed", request))
    end
  end)

  it("may be a URL for no time or more than a week", function()
    for _, expires in ipairs { "0", "-1", "604801", "1e3", "", "99999999999999999999" } do
      local request = presigned()
      request.query = request.query:gsub("Expires=%d+", "Expires=" .. expires)
      assert.matches("^X%-Amz%-Expires must be a number of seconds from 1 to 604800",
        refused("malformed", request))
    end
  end)
end)

describe("the scope of a signature", function()
  it("must end as AWS says, have the day of the request and sign the host", function()
    assert.equal("Credential should be scoped with a valid terminator: 'aws4_request', not 'x'.",
      refused("mismatch", edit(signed(), "authorization", "aws4_request", "x")))
    assert.equal("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of " ..
      "date from HTTP: '20150829' != '20150830', from '20150830T123600Z'.",
      refused("mismatch", edit(signed(), "authorization", "20150830", "20150829")))
    assert.equal("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
      refused("mismatch", edit(signed(), "authorization", "host;", "")))
  end)

  it("belongs to the signature", function()
    refused("mismatch", edit(signed(), "authorization", "us%-east%-1", "us-east-2"))
    refused("mismatch", edit(signed(), "authorization", "/lambda/", "/iam/"))
    refused("unknown_key", edit(signed(), "authorization", KEY, "AKIDOTHER"))
  end)
end)

describe("a signature", function()
  it("of an unknown key is not looked at", function()
    local _, problem, detail = crypto.authenticate(signed(), {}, NOW)
    assert.equal("unknown_key", problem)
    assert.equal("The security token included in the request is invalid.", detail)
  end)

  it("that does not match is shown what would", function()
    local request = signed()
    local _, _, expected = header_of(request, "authorization")[2]:find "Signature=(%x+)"
    for _, other in ipairs { expected:upper(), expected:sub(1, -2), expected .. "0", "",
      expected:reverse() } do
      local detail = refused("mismatch",
        edit(signed(), "authorization", "Signature=%x+", "Signature=" .. other))
      local canonical, to_sign = detail:match(
        "^The request signature we calculated does not match the signature you provided%. Check " ..
        "your AWS Secret Access Key and signing method%. Consult the service documentation for " ..
        "details%.\n\nThe Canonical String for this request should have been\n'(.-)'\n\n" ..
        "The String%-to%-Sign should have been\n'(.-)'\n$")
      assert.equal("GET\n/a%253Ab\n\nhost:127.0.0.1:9077\nx-amz-date:20150830T123600Z\n\n" ..
        "host;x-amz-date\n" .. crypto.sha256 "", canonical)
      assert.equal("AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/lambda/aws4_request\n" ..
        crypto.sha256(canonical), to_sign)
    end
  end)

  it("needs the fields that it names", function()
    refused("mismatch", edit(signed(), "authorization", "host;", "host;not-there;"))
    local request = vector(false, "s3", "/a%3Ab")
    refused("mismatch", without(request, "x-amz-content-sha256"))
  end)

  it("covers the order and number of fields with the same name", function()
    for _, request in ipairs(VECTORS) do
      if header_of(request, "x-amz-twice") and header_of(request, "authorization") then
        refused("mismatch", with(copy(request), "x-amz-twice", "b"))
      end
    end
  end)

  it("may have its date in the Date header", function()
    local request = edit(signed(), "authorization", "host;x%-amz%-date", "host")
    header_of(request, "x-amz-date")[1] = "date"
    header_of(request, "date")[2] = "Sun, 30 Aug 2015 12:36:00 GMT"
    local canonical = "GET\n/a%253Ab\n\nhost:127.0.0.1:9077\n\nhost\n" .. crypto.sha256 ""
    local text = "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/lambda/aws4_request\n" ..
      crypto.sha256(canonical)
    local key = "AWS4" .. SECRET
    for _, part in ipairs { "20150830", "us-east-1", "lambda", "aws4_request", text } do
      key = crypto.hmac(key, part)
    end
    local hex = key:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end)
    edit(request, "authorization", "Signature=%x+", "Signature=" .. hex)
    assert.equal(KEY, (crypto.authenticate(request, SECRETS, NOW)))
  end)
end)

describe("the clock", function()
  it("may differ by five minutes", function()
    for _, now in ipairs { NOW - 300, NOW + 300 } do
      assert.equal(KEY, (crypto.authenticate(signed(), SECRETS, now)))
    end
    assert.equal("Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z " ..
      "(20150830T124101Z - 5 min.)", refused("expired", signed(), NOW + 301))
    assert.equal("Signature not yet current: 20150830T123600Z is still later than " ..
      "20150830T123559Z (20150830T123059Z + 5 min.)", refused("early", signed(), NOW - 301))
  end)

  it("ends a URL", function()
    assert.equal(KEY, (crypto.authenticate(presigned(), SECRETS, NOW + 900)))
    assert.equal("Request has expired", refused("expired_url", presigned(), NOW + 901))
    refused("early", presigned(), NOW - 301)
  end)

  it("is that of the system otherwise", function()
    local request = { method = "GET", path = "/", headers = { { "host", "h" } } }
    for name, value in pairs(sigv4.sign(request, { access_key = KEY, secret_key = SECRET },
      { service = "iam", region = "r" })) do
      with(request, name, value)
    end
    assert.equal(KEY, (crypto.authenticate(request, SECRETS)))
    assert.equal("expired", (select(2, crypto.authenticate(signed(), SECRETS))))
  end)
end)

describe("the body", function()
  local detail = "The provided 'x-amz-content-sha256' header does not match what was computed."

  it("must have the hash that the request names", function()
    local request = vector(false, "s3", "/a%3Ab")
    request.body = "x"
    assert.equal(detail, refused("payload", request))
    request = signed()
    request.body = "x"
    refused("mismatch", request)
    refused("payload", with(signed(), "x-amz-content-sha256", crypto.sha256 "x"))
  end)

  it("must be signed in a header", function()
    for _, value in ipairs { "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "" } do
      local request = edit(vector(false, "s3", "/a%3Ab"), "x-amz-content-sha256", ".*", value)
      assert.equal(detail, refused("payload", request))
    end
  end)

  it("may be any for a URL of S3, and for those that say so", function()
    local request = vector(true, "s3", "/a%3Ab")
    request.body = "x"
    assert.equal(KEY, (crypto.authenticate(request, SECRETS, NOW)))
    refused("payload", with(request, "x-amz-content-sha256", crypto.sha256 ""))
    request = presigned()
    request.body = "x"
    refused("mismatch", request)
    refused("mismatch", with(request, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
  end)
end)

describe("peek", function()
  it("says who claims to have signed", function()
    assert.same({ KEY, "lambda", "us-east-1" }, { crypto.peek(signed()) })
    assert.same({ KEY, "s3", "us-east-1" }, { crypto.peek(vector(true, "s3", "/a%3Ab")) })
    assert.equal("malformed", (select(2, crypto.peek { headers = { { "authorization", "x" } } })))
  end)
end)

describe("a request of the server", function()
  it("is verified as it came", function()
    local found
    local server <close> = setmetatable({ assert(loop.listen({}, function(_, request)
      found = found or table.pack(crypto.authenticate(request, SECRETS))
      request:respond(200)
    end)) }, { __close = function(self)
      self[1]:close()
    end })
    local host = "127.0.0.1:" .. server[1]:port()
    local headers = { host = host, ["content-type"] = "text/plain", ["x-amz-a"] = "1  2" }
    local path = "/a%3Ab//c?y=%20&x"
    sigv4.sign({ method = "POST", path = path, body = "a=b", headers = headers },
      { access_key = KEY, secret_key = SECRET, token = "T" },
      { service = "lambda", region = "eu-west-1" }, headers)
    local command = { "curl -s -m 60 -d a=b" }
    for name, value in pairs(headers) do
      command[#command + 1] = ("-H '%s: %s'"):format(name, value)
    end
    command[#command + 1] = ("'http://%s%s' > /dev/null 2>&1 &"):format(host, path)
    os.execute(table.concat(command, " "))
    loop.wait(function()
      return found
    end)
    assert.same(table.pack(KEY, "lambda", "eu-west-1", "T"), found)
  end)
end)

describe("a request that is no request", function()
  it("is an error", function()
    for _, request in ipairs { false, 1, "x" } do
      assert.has_error(function()
        crypto.peek(request)
      end)
    end
    for _, request in ipairs { {}, { headers = 1 }, { headers = { 1 } }, { headers = { { "a" } } },
      { headers = {}, path = {} }, { headers = {}, path = "/\0" } } do
      assert.has_error(function()
        crypto.peek(request)
      end)
    end
  end)
end)
