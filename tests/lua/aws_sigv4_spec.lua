--- Signing: AWS's published suite, AWS's examples for S3, botocore's signatures, round trips
--- through the verifier of the service, and what callers get wrong.
local crypto = require "lambdapool.crypto"
local sigv4 = require "lambdapool.aws.sigv4"
local support = require "tests.lua.aws_sigv4_support"

local NOW, KEYS = support.now, support.keys
local keys_with, options_with = support.keys_with, support.options_with
local names_of = support.names_of
local SECRETS = { [KEYS.access_key] = KEYS.secret_key }

-- What signing adds.
local ADDED = { authorization = true, ["x-amz-date"] = true, ["x-amz-content-sha256"] = true,
  ["x-amz-security-token"] = true }

describe("the published suite", function()
  local suite = dofile "tests/lua/aws_sigv4_suite.lua"

  local function request_of(case)
    local headers = { { "Host", "example.amazonaws.com" } }
    table.move(case.headers or {}, 1, #(case.headers or {}), 2, headers)
    return { method = case.method or "GET", path = case.path or "/", query = case.query,
      headers = headers, body = case.body }
  end

  local function options_of(case)
    return { region = "us-east-1", service = "service", time = NOW, normalize = case.normalize,
      omit_session_token = case.omit_session_token }
  end

  it("has 38 cases, signed in a header", function()
    assert.equal(38, #suite)
    for _, case in ipairs(suite) do
      local options = options_of(case)
      options.sign_body = case.sign_body
      local headers = sigv4.sign(request_of(case), keys_with(case.token), options)
      assert.equal(case.header, headers.authorization:match "Signature=(%x+)$", case.name)
      assert.equal(case.token, headers["x-amz-security-token"])
    end
  end)

  it("is signed in the query", function()
    local count = 0
    for _, case in ipairs(suite) do
      local options, request = options_of(case), request_of(case)
      options.expires = 3600
      if case.sign_body then
        table.insert(request.headers, { "x-amz-content-sha256", crypto.sha256(case.body) })
      end
      local query = sigv4.presign(request, keys_with(case.token), options)
      if case.presigned then
        count = count + 1
        assert.equal(case.presigned, query:match "X%-Amz%-Signature=(%x+)$", case.name)
      end
    end
    assert.is_true(count > 20)
  end)
end)

-- https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
describe("AWS's examples for S3", function()
  local keys = { access_key = "AKIAIOSFODNN7EXAMPLE",
    secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }
  local time = 1369353600 -- 2013-05-24
  local host = "examplebucket.s3.amazonaws.com"

  local function check(expected, request, more)
    request.headers = request.headers or {}
    request.headers.host = host
    local options = { region = "us-east-1", service = "s3", time = time }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    assert.equal(expected, sigv4.sign(request, keys, options).authorization:match "%x+$")
  end

  it("are right in a header", function()
    check("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
      { path = "/test.txt", headers = { Range = "bytes=0-9" } })
    check("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
      { method = "PUT", path = "/test%24file.text",
        headers = { Date = "Fri, 24 May 2013 00:00:00 GMT",
          ["x-amz-storage-class"] = "REDUCED_REDUNDANCY" } },
      { payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" })
    check("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
      { path = "/?lifecycle" })
    check("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
      { path = "/", query = "max-keys=2&prefix=J" })
  end)

  it("are right in the query", function()
    local query = sigv4.presign({ path = "/test.txt", headers = { host = host } }, keys,
      { region = "us-east-1", service = "s3", time = time, expires = 86400 })
    assert.equal("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F" ..
      "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&" ..
      "X-Amz-SignedHeaders=host&X-Amz-Signature=" ..
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", query)
  end)
end)

-- The request of a vector as it was before botocore signed it.
local function unsigned(vector)
  local request = { method = vector.method, path = vector.path, query = vector.query,
    body = vector.body, headers = {} }
  local authorization
  for _, header in ipairs(vector.headers) do
    if header[1] == "authorization" then
      authorization = header[2]
    end
    if not ADDED[header[1]] then
      table.insert(request.headers, header)
    end
  end
  if not authorization then
    request.query = vector.query:match "^(.-)&?X%-Amz%-Algorithm="
  end
  return request, authorization
end

-- Signs what botocore has signed, which must give the same, and with our own header for the body,
-- which must be verified.
local function compare(vectors)
  for i, vector in ipairs(vectors) do
    local request, authorization = unsigned(vector)
    local keys = keys_with(vector.token)
    local options = options_with { service = vector.service, region = vector.region }
    local message = ("vector %d: %s %s?%s"):format(i, vector.method, vector.path, vector.query)
    if authorization then
      assert.equal(authorization, sigv4.sign(request, keys, options).authorization, message)
      options.sign_body = true
      for name, value in pairs(sigv4.sign(request, keys, options)) do
        table.insert(request.headers, { name, value })
      end
    else
      request.query = sigv4.presign(request, keys, options)
      assert.equal(vector.query, request.query, message)
    end
    request.headers[1][1] = "host"
    assert.same({ KEYS.access_key, vector.service, vector.region, vector.token },
      { crypto.authenticate(request, SECRETS, NOW) }, message)
  end
end

describe("botocore", function()
  it("signs as we do", function()
    compare(dofile "tests/lua/sigv4_vectors.lua")
  end)

  it("signs what nobody would send as we do", function()
    local pipe <close> = assert(io.popen "/usr/bin/python3 tests/lua/sigv4_vectors.py 400 1")
    local text = pipe:read "a"
    compare(assert(load(text))())
  end)
end)

-- Numbers from a seed, the same everywhere.
local function generator(seed)
  return function(n)
    seed = (seed * 6364136223846793005 + 1442695040888963407)
    return (seed >> 33) % n + 1
  end
end

local function text_of(random, alphabet, most)
  local parts = {}
  for i = 1, random(most + 1) - 1 do
    parts[i] = alphabet[random(#alphabet)]
  end
  return table.concat(parts)
end

describe("whatever is signed", function()
  local PATH = { "/", "//", "/.", "/..", "a", "%2F", "%", "%4", "+", "~", "é", "\u{1234}", " ", ":",
    "%00", ";", "=", "&", "*" }
  local QUERY = { "&", "&&", "=", "a", "a-", "%41", "%", "%zz", "+", "%2B", "%20", "é", "?", "/",
    "~", "x-amz", "X-Amz-Signature", "!", "*", "'" }
  local VALUE = { " ", "  ", "\t", "a", '"', ",", "é", "\n ", ";", "=" }

  it("is verified", function()
    local random = generator(7)
    for round = 1, 3000 do
      local request = {
        method = ({ "GET", "post", "PUT", "DELETE" })[random(4)],
        path = "/" .. text_of(random, PATH, 8), query = text_of(random, QUERY, 8),
        body = ({ "", "x", ("\0"):rep(70) })[random(3)], headers = { { "Host", "h:1" } },
      }
      for i = 2, random(5) do
        request.headers[i] = { "X-" .. text_of(random, { "a", "B", "-" }, 3) .. "z",
          text_of(random, VALUE, 6) }
      end
      local token = ({ false, ("T/+="):rep(5) })[random(2)] or nil
      local service = ({ "lambda", "s3" })[random(2)]
      local options = options_with { service = service }
      local sent = { method = request.method:upper(), path = request.path, query = request.query,
        body = request.body, headers = {} }
      for i, header in ipairs(request.headers) do
        sent.headers[i] = { header[1]:lower(), header[2] }
      end
      local presigned = random(2) == 1 and not request.query:find "Signature"
      if presigned then
        sent.query = sigv4.presign(request, keys_with(token), options)
      else
        for name, value in pairs(sigv4.sign(request, keys_with(token), options)) do
          table.insert(sent.headers, { name, value })
        end
      end
      local key, problem, detail = crypto.authenticate(sent, SECRETS, NOW)
      assert.equal(KEYS.access_key, key, ("round %d: %s: %s"):format(round, problem, detail))
    end
  end)
end)

describe("sign", function()
  local request = { path = "/", headers = { host = "h" } }

  it("gives what is to be sent besides, and nothing else", function()
    assert.same({ "authorization", "x-amz-date" },
      names_of(sigv4.sign(request, KEYS, options_with())))
    local headers = sigv4.sign(request, keys_with "T", options_with { sign_body = true })
    assert.same({ "authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token" },
      names_of(headers))
    assert.same({ "20150830T123600Z", crypto.sha256 "", "T" }, { headers["x-amz-date"],
      headers["x-amz-content-sha256"], headers["x-amz-security-token"] })
    assert.same({ host = "h" }, request.headers)
  end)

  it("gives the hash of the body for S3, which wants it, or when it is told to", function()
    for service, expected in pairs { s3 = true, s3express = true, ["s3-object-lambda"] = true,
      lambda = false, iam = false, s = false, s33 = false } do
      for _, wish in ipairs { "default", true, false } do
        local options = options_with { service = service }
        if wish ~= "default" then
          options.sign_body, expected = wish, wish
        end
        local found = sigv4.sign(request, KEYS, options)
        assert.equal(expected and crypto.sha256 "" or nil, found["x-amz-content-sha256"])
        assert.equal(expected, not not found.authorization:find("x-amz-content-sha256", 1, true))
      end
    end
  end)

  it("may put it into the headers, again and again", function()
    local again = { method = "POST", path = "/x", body = "1", headers = { host = "h" } }
    assert.equal(again.headers, sigv4.sign(again, keys_with "T", options_with(), again.headers))
    again.body = "2"
    sigv4.sign(again, keys_with "U", options_with { time = NOW + 60 }, again.headers)
    assert.same(sigv4.sign({ method = "POST", path = "/x", body = "2", headers = { host = "h" } },
      keys_with "U", options_with { time = NOW + 60 }, { host = "h" }), again.headers)
  end)

  it("does not sign what belongs to a connection or may change on the way", function()
    local headers = { host = "h" }
    for _, name in ipairs { "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding",
      "Upgrade", "Expect", "User-Agent", "X-Amzn-Trace-Id", "Proxy-Authorization" } do
      headers[name] = "x"
    end
    assert.same(sigv4.sign(request, KEYS, options_with()),
      sigv4.sign({ path = "/", headers = headers }, KEYS, options_with()))
  end)

  it("takes requests as they come", function()
    local expected = sigv4.sign({ method = "GET", path = "/a", query = "b=c",
      headers = { host = "h", ["content-length"] = "12" } }, KEYS, options_with())
    for _, other in ipairs {
      { path = "/a?b=c", headers = { Host = "h", ["Content-Length"] = 12 } },
      { method = "get", path = "/a", query = "b=c",
        headers = { { "HOST", " h " }, { "content-length", 12 } } },
      { path = "/a?&b=c", headers = { ["content-length"] = "12", { "host", "h" } } },
      { path = "/./a", query = "b=c&", body = "",
        headers = { host = "h", ["content-length"] = 12 } },
    } do
      assert.same(expected, sigv4.sign(other, KEYS, options_with()))
    end
    assert.same(sigv4.sign(request, KEYS, options_with()),
      sigv4.sign({ headers = { host = "h" } }, KEYS, options_with { time = NOW + 0.75 }))
    assert.same(sigv4.sign(request, KEYS, options_with()),
      sigv4.sign({ path = "", headers = { host = "h" } }, KEYS, options_with()))
  end)

  it("asks tables with metamethods", function()
    local lazy = setmetatable({}, { __index = function(_, name)
      return KEYS[name] and (KEYS[name] .. " "):sub(1, -2)
    end })
    assert.same(sigv4.sign(request, KEYS, options_with()),
      sigv4.sign(setmetatable({}, { __index = request }), lazy, options_with()))
  end)

  it("takes the clock", function()
    local before = os.date "!%Y%m%dT%H%M%SZ"
    local found = sigv4.sign(request, KEYS, { region = "r", service = "s" })["x-amz-date"]
    assert.is_true(before <= found and found <= os.date "!%Y%m%dT%H%M%SZ")
  end)

  it("takes a time as a number or a text", function()
    for time, text in pairs { [0] = "19700101T000000Z", [253402300799] = "99991231T235959Z",
      [253402300799.5] = "99991231T235959Z", [NOW + 0.999] = "20150830T123600Z",
      ["20150830T123600Z"] = "20150830T123600Z", ["2015-08-30T12:36:00Z"] = "20150830T123600Z",
      ["2016-02-29T23:59:59Z"] = "20160229T235959Z" } do
      local options = options_with { time = time }
      assert.equal(text, sigv4.sign(request, KEYS, options)["x-amz-date"])
      assert.matches("&X-Amz-Date=" .. text .. "&", sigv4.presign(request, KEYS, options), 1, true)
    end
  end)

  it("takes credentials under the names that others use", function()
    local expected = sigv4.sign(request, keys_with "T", options_with())
    for _, names in ipairs { { "access_key_id", "secret_access_key", "session_token" },
      { "aws_access_key_id", "aws_secret_access_key", "aws_session_token" },
      { "access_key", "secret_access_key", "aws_session_token" } } do
      local keys = { [names[1]] = KEYS.access_key, [names[2]] = KEYS.secret_key }
      assert.same(sigv4.sign(request, KEYS, options_with()),
        sigv4.sign(request, keys, options_with()))
      keys[names[3]] = "T"
      assert.same(expected, sigv4.sign(request, keys, options_with()))
      assert.equal(sigv4.presign(request, keys_with "T", options_with()),
        sigv4.presign(request, keys, options_with()))
      keys.access_key, keys.secret_key, keys.token = "A", "S", "U"
      assert.same(sigv4.sign(request, { access_key = "A", secret_key = "S", token = "U" },
        options_with()), sigv4.sign(request, keys, options_with()))
    end
  end)

  it("may be done by finalisers while others sign", function()
    local expected = sigv4.sign({ body = "x", headers = { host = "h" } }, keys_with "T",
      options_with { sign_body = true })
    local done = 0
    local mt = { __gc = function()
      done = done + 1
      sigv4.sign({ body = "y", headers = { host = "i", ["x-a"] = "1" } }, keys_with "U",
        options_with { sign_body = true, time = done })
    end }
    while done < 3000 do
      setmetatable({}, mt)
      assert.same(expected, sigv4.sign({ body = "x", headers = { host = "h" } }, keys_with "T",
        options_with { sign_body = true }))
    end
  end)

  it("gives a key for every secret, day, region and service", function()
    local seen = {}
    for _, secret in ipairs { "a", "b", ("a"):rep(60), ("a"):rep(61), ("a"):rep(300) } do
      for _, region in ipairs { "r", "rs" } do
        for _, service in ipairs { "s", "ss" } do
          for _, time in ipairs { NOW, NOW + 86400 } do
            local keys = { access_key = "AKIDEXAMPLE", secret_key = secret }
            local headers = sigv4.sign(request, keys,
              { region = region, service = service, time = time })
            local sent = { method = "GET", path = "/", headers = { { "host", "h" } } }
            for name, value in pairs(headers) do
              table.insert(sent.headers, { name, value })
            end
            assert.equal("AKIDEXAMPLE",
              (crypto.authenticate(sent, { AKIDEXAMPLE = secret }, time)))
            local signature = headers.authorization:match "%x+$"
            assert.is_nil(seen[signature])
            seen[signature] = true
          end
        end
      end
    end
  end)
end)

describe("presign", function()
  local request = { path = "/a", headers = { host = "h" } }

  it("keeps the query as it was", function()
    for _, query in ipairs { "b=c&a", "b=%41+", "&", "a&&b" } do
      local signed = sigv4.presign({ path = "/a", query = query, headers = { host = "h" } }, KEYS,
        options_with())
      assert.equal(query .. "&X-Amz-Algorithm=", signed:sub(1, #query + 17))
    end
    assert.matches("^X%-Amz%-Algorithm=.*&X%-Amz%-Expires=900&.*&X%-Amz%-Signature=%x+$",
      sigv4.presign(request, KEYS, options_with()))
  end)

  it("has the token, signed or behind", function()
    local signed = sigv4.presign(request, keys_with "a/b", options_with())
    assert.matches("&X-Amz-Security-Token=a%2Fb&X-Amz-Signature=", signed, 1, true)
    local behind = sigv4.presign(request, keys_with "a/b",
      options_with { omit_session_token = true })
    assert.not_equal(signed, behind)
    assert.equal(sigv4.presign(request, KEYS, options_with()):match "%x+$", behind:match "%x+$")
    assert.matches("&X-Amz-Security-Token=a%2Fb&", behind, 1, true)
  end)

  it("leaves the body of S3 open, unless it is said", function()
    local function presign(body, payload, service)
      return sigv4.presign({ path = "/a", headers = { host = "h" }, body = body }, KEYS,
        options_with { service = service or "s3", payload = payload })
    end
    assert.equal(presign "1", presign "2")
    assert.equal(presign("1", "UNSIGNED-PAYLOAD"), presign "2")
    assert.not_equal(presign("1", crypto.sha256 "1"), presign "1")
    assert.equal(presign("1", nil, "lambda"), presign("", crypto.sha256 "1", "lambda"))
    assert.not_equal(presign("1", nil, "lambda"), presign("2", nil, "lambda"))
  end)
end)

describe("what cannot be signed", function()
  local good = { headers = { host = "h" } }

  local function fails(expected, request, credentials, options, sign)
    local ok, message = pcall(sign or sigv4.sign, request, credentials, options)
    assert.is_false(ok)
    assert.matches(expected, message, 1, true)
    assert.is_nil(message:find(KEYS.secret_key, 1, true))
    return message
  end

  it("is a request without a host, or that is none", function()
    for _, headers in ipairs { {}, { hosts = "h" }, { { "x-host", "h" } } } do
      fails("the request has no header 'host'", { headers = headers }, KEYS, options_with())
    end
    fails("the request has no header 'host'", {}, KEYS, options_with())
    fails("bad argument #1", nil, KEYS, options_with())
    fails("bad argument #1", "GET /", KEYS, options_with())
    for _, headers in ipairs { "host: h", { "host" }, { { "host" } }, { { 1, 2 } },
      { host = true }, { host = {} }, { [1.5] = "x" }, { [true] = "x" } } do
      fails("request.headers must be", { headers = headers }, KEYS, options_with())
    end
  end)

  it("is a path, a query or a method that cannot be sent", function()
    fails("request.path must begin with '/'", { path = "a", headers = good.headers }, KEYS,
      options_with())
    fails("must not have a '#'", { path = "/a#b", headers = good.headers }, KEYS, options_with())
    fails("in request.path and in request.query",
      { path = "/?a", query = "b", headers = good.headers }, KEYS, options_with())
    for _, method in ipairs { "", "GET /", "G\nT", ("G"):rep(40) } do
      fails("request.method is no method", { method = method, headers = good.headers }, KEYS,
        options_with())
    end
    for _, name in ipairs { "path", "query", "method", "body" } do
      fails("request." .. name .. " must be a string, not table",
        { [name] = {}, headers = good.headers }, KEYS, options_with())
    end
  end)

  it("are names that no header has", function()
    for _, name in ipairs { "", "a b", "a:", "a\n", "é", "a;b", "a\0b", "a=b" } do
      fails("cannot be the name of a header", { headers = { host = "h", [name] = "x" } }, KEYS,
        options_with())
    end
    fails("the header 'x-a' is there twice",
      { headers = { host = "h", ["x-a"] = "1", ["X-A"] = "1" } }, KEYS, options_with())
    local many = { host = "h" }
    for i = 1, 300 do
      many["x-" .. i] = "x"
    end
    fails("more than 256 headers", { headers = many }, KEYS, options_with())
  end)

  it("has a signed query already", function()
    local query = sigv4.presign(good, KEYS, options_with())
    fails("the query has 'X-Amz-Signature' already", { query = query, headers = good.headers },
      KEYS, options_with(), sigv4.presign)
  end)

  it("has credentials that are none", function()
    fails("bad argument #2", good, nil, options_with())
    fails("credentials.access_key is missing", good, {}, options_with())
    fails("credentials.access_key is missing", good, { secret_key = "S" }, options_with())
    fails("credentials.secret_key is missing", good, { access_key = "A" }, options_with())
    fails("credentials.secret_key is missing", good, { aws_access_key_id = "A" }, options_with())
    fails("credentials.access_key_id must be a string, not number", good, { access_key_id = 1 },
      options_with())
    fails("credentials.aws_secret_access_key is empty", good,
      { access_key = "A", aws_secret_access_key = "" }, options_with())
    fails("credentials.session_token must be a string, not boolean", good,
      { access_key = "A", secret_key = "S", session_token = false }, options_with())
    fails("credentials.aws_session_token is empty or has", good,
      { access_key = "A", secret_key = "S", aws_session_token = "a\nb" }, options_with())
    fails("credentials.token must be a string, not table", good, keys_with {}, options_with())
    for _, text in ipairs { "", "a\n", " a", "a b", "a\r\nx: y", "é" } do
      for _, name in ipairs { "access_key", "secret_key", "token" } do
        local keys = keys_with "T"
        keys[name] = text
        local message = fails("credentials." .. name .. " is empty or has", good, keys,
          options_with())
        assert.is_nil(text ~= "" and message:find("'" .. text, 1, true) or nil)
      end
    end
  end)

  it("has options that are none", function()
    fails("bad argument #3", good, KEYS, nil)
    fails("options.region is missing", good, KEYS, { service = "s" })
    fails("options.service is missing", good, KEYS, { region = "r" })
    fails("unknown option 'regoin', did you mean 'region'?", good, KEYS,
      { regoin = "r", service = "s" })
    fails("unknown option '1'", good, KEYS, { "us-east-1", "lambda" })
    for _, time in ipairs { "now", "", "1440938160", -1, -0.5, 0 / 0, 1 / 0, 253402300800, true, {},
      "20150830T123600", "20150830T123600z", "20150830T123600Z ", "20150230T123600Z",
      "20150830T246000Z", "20150830T123660Z", "19690830T123600Z", "2015-08-30T12:36:00",
      "2015-08-30 12:36:00Z", "2015-08-30T12:36:00+00:00", "2015-08-30T12:36:00.5Z",
      "2015-0830T123600Z", "2015-13-30T12:36:00Z", "2015-02-29T12:36:00Z", "2015:08:30T12-36-00Z",
      "2015-08-30T12:36:0\0Z" } do
      fails("options.time must be seconds", good, KEYS, options_with { time = time })
    end
    for _, name in ipairs { "region", "service" } do
      for _, text in ipairs { "", "a/b", "a b", "a\n" } do
        fails("options." .. name .. " is not the name", good, KEYS, options_with { [name] = text })
      end
    end
    fails("options.normalize must be true or false, not string", good, KEYS,
      options_with { normalize = "no" })
    fails("options.expires is for presign()", good, KEYS, options_with { expires = 60 })
    for _, seconds in ipairs { 0, -1, 604801, "x", 1.5 } do
      fails("options.expires must be seconds", good, KEYS, options_with { expires = seconds },
        sigv4.presign)
    end
    fails("options.payload must be", good, KEYS, options_with { payload = "" })
    assert.has_error(function()
      sigv4.sign(good, KEYS, options_with(), "x")
    end)
  end)
end)
