--- Signing requests that have headers already which signing gives: X-Amz-Date and the others, from
--- the caller or from an earlier signing, and requests of the published suite that have them.
local crypto = require "lambdapool.crypto"
local sigv4 = require "lambdapool.aws.sigv4"
local support = require "tests.lua.aws_sigv4_support"

local NOW, KEYS = support.now, support.keys
local keys_with, options_with = support.keys_with, support.options_with
local names_of = support.names_of

local function fails(expected, request, credentials, options)
  local ok, message = pcall(sigv4.sign, request, credentials, options)
  assert.is_false(ok)
  assert.matches(expected, message, 1, true)
  for _, secret in ipairs { KEYS.secret_key, "FIRST", "SECOND" } do
    assert.is_nil(message:find(secret, 1, true))
  end
  return message
end

describe("a header of signing that is there already", function()
  local DATE = "20150830T123600Z"

  -- The request with one more header, in every form that it may have.
  local function forms(body, name, value)
    local all = {}
    for _, spelling in ipairs { name, name:upper(), name:lower() } do
      table.insert(all, { method = "POST", body = body,
        headers = { { "Host", "h" }, { spelling, value } } })
      table.insert(all, { method = "POST", body = body,
        headers = { { "Host", "h" }, { spelling, " " .. value .. "\t" } } })
    end
    for _, spelling in ipairs { name, name:upper() } do
      table.insert(all, { method = "POST", body = body,
        headers = { Host = "h", [spelling] = value } })
    end
    return all
  end

  local function plain(body)
    return { method = "POST", body = body, headers = { host = "h" } }
  end

  it("is the time", function()
    local expected = sigv4.sign(plain "x", KEYS, options_with()).authorization
    for _, request in ipairs(forms("x", "X-Amz-Date", DATE)) do
      for _, time in ipairs { NOW, NOW + 0.5, DATE, "2015-08-30T12:36:00Z", false } do
        local options = { region = "us-east-1", service = "lambda", time = time or nil }
        assert.same({ authorization = expected }, sigv4.sign(request, KEYS, options))
      end
    end
  end)

  it("stands for the body", function()
    local hash = crypto.sha256 "y"
    for _, text in ipairs { hash, hash:upper(), "UNSIGNED-PAYLOAD",
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" } do
      for _, service in ipairs { "lambda", "s3" } do
        local options = options_with { service = service }
        local expected = sigv4.sign(plain "x", KEYS,
          options_with { service = service, payload = text, sign_body = true })
        assert.equal(text, expected["x-amz-content-sha256"])
        expected["x-amz-content-sha256"] = nil
        for _, request in ipairs(forms("x", "X-Amz-Content-Sha256", text)) do
          assert.same(expected, sigv4.sign(request, KEYS, options))
          options.payload = text
          assert.same(expected, sigv4.sign(request, KEYS, options))
          options.payload = nil
        end
      end
    end
  end)

  it("is the token", function()
    local expected = sigv4.sign(plain(), keys_with "T/+=", options_with())
    local unsigned_token = sigv4.sign(plain(), KEYS, options_with())
    expected["x-amz-security-token"] = nil
    for _, request in ipairs(forms(nil, "X-Amz-Security-Token", "T/+=")) do
      assert.same(expected, sigv4.sign(request, keys_with "T/+=", options_with()))
      assert.same(expected, sigv4.sign(request, KEYS, options_with()))
      assert.same(unsigned_token, sigv4.sign(request, keys_with "T/+=",
        options_with { omit_session_token = true }))
    end
    local lower = { method = "POST", headers = { host = "h", ["x-amz-security-token"] = "T/+=" } }
    assert.same(expected, sigv4.sign(lower, KEYS, options_with()))
  end)

  it("is no signature", function()
    local expected = sigv4.sign(plain "x", KEYS, options_with())
    for _, request in ipairs(forms("x", "Authorization", "Basic 1234")) do
      assert.same(expected, sigv4.sign(request, KEYS, options_with()))
    end
  end)

  it("is replaced when an earlier signing left it", function()
    for _, service in ipairs { "lambda", "s3" } do
      local headers = { host = "h" }
      local request = { method = "POST", body = "1", headers = headers }
      local options = options_with { service = service, sign_body = true }
      sigv4.sign(request, keys_with "T", options, headers)
      request.body, options.time = "2", NOW + 60
      local expected = sigv4.sign({ method = "POST", body = "2", headers = { host = "h" } },
        keys_with "U", options, { host = "h" })
      sigv4.sign(request, keys_with "U", options, headers)
      assert.same(expected, headers)
      options.time = nil
      sigv4.sign(request, keys_with "U", options, headers)
      assert.not_equal(expected["x-amz-date"], headers["x-amz-date"])
    end
  end)

  it("is the caller's in lower case where signing gives none", function()
    local hash = crypto.sha256 "y"
    local function sign(text, more)
      return sigv4.sign({ body = "x", headers = { host = "h", ["x-amz-content-sha256"] = text } },
        KEYS, options_with(more))
    end
    local expected = sigv4.sign({ headers = { host = "h" } }, KEYS,
      options_with { sign_body = true, payload = hash }).authorization
    assert.equal(expected, sign(hash).authorization)
    assert.is_nil(sign(hash)["x-amz-content-sha256"])
    assert.equal(crypto.sha256 "x", sign(hash, { sign_body = true })["x-amz-content-sha256"])
    assert.equal(crypto.sha256 "x", sign(hash, { service = "s3" })["x-amz-content-sha256"])
    assert.equal("z", sign("UNSIGNED-PAYLOAD", { service = "s3", payload = "z" })
      ["x-amz-content-sha256"])
    assert.is_nil(sign("UNSIGNED-PAYLOAD", { service = "s3" })["x-amz-content-sha256"])
  end)

  it("stays with the others when the result goes there", function()
    local headers = { host = "h", ["X-Amz-Date"] = DATE }
    sigv4.sign({ headers = headers }, KEYS, options_with(), headers)
    assert.same({ "X-Amz-Date", "authorization", "host" }, names_of(headers))
    sigv4.sign({ headers = headers }, KEYS, options_with(), headers)
    assert.same({ "X-Amz-Date", "authorization", "host" }, names_of(headers))
  end)

  it("stands for the body in a URL, and is signed", function()
    local expected = sigv4.presign({ method = "POST",
      headers = { host = "h", ["x-amz-content-sha256"] = "p" } }, KEYS,
      options_with { payload = "p" })
    assert.matches("&X-Amz-SignedHeaders=host%3Bx-amz-content-sha256&", expected, 1, true)
    for _, request in ipairs(forms("x", "X-Amz-Content-Sha256", "p")) do
      assert.equal(expected, sigv4.presign(request, KEYS, options_with()))
    end
  end)

  it("is a number, or among many numbers", function()
    local headers = { Host = "h", ["X-Amz-Content-Sha256"] = 12 }
    for i = 1, 200 do
      headers["x-" .. i] = i
    end
    local found = sigv4.sign({ headers = headers }, keys_with "T", options_with())
    assert.matches(";x-amz-content-sha256;x-amz-date;x-amz-security-token,", found.authorization, 1,
      true)
    assert.is_nil(found["x-amz-content-sha256"])
  end)

  it("cannot be anything", function()
    local function with(name, value, more, token)
      for _, headers in ipairs { { { "host", "h" }, { name, value } },
        { host = "h", [name] = value } } do
        fails(more.expected, { headers = headers, body = "x" }, keys_with(token), more.options)
      end
    end
    for _, text in ipairs { "", "x", "20150830T123600", "20150830T123600Z,", "20150230T123600Z",
      "20150830T123660Z", "20150830T243600Z", "2015-08-30T12:36:00Z", "20150830T1236 0Z",
      "1440938160", "Sun, 30 Aug 2015 12:36:00 GMT", "20150830T123600\0" } do
      with("X-Amz-Date", text, { expected = "the header 'X-Amz-Date' is no time",
        options = options_with() })
    end
    with("X-AMZ-Date", "20150830T123601Z", { expected = "'X-Amz-Date' has another time than",
      options = options_with() })
    with("X-AMZ-Date", "20150830T123600Z", { expected = "'X-Amz-Date' has another time than",
      options = options_with { time = 0 } })
    for _, text in ipairs { "", " ", "a b", "a\nb", "é", "\0" } do
      with("X-Amz-Content-Sha256", text, { expected = "'X-Amz-Content-Sha256' is no hash",
        options = options_with() })
    end
    with("X-Amz-Content-Sha256", crypto.sha256 "x", { options = options_with { payload = "x" },
      expected = "'X-Amz-Content-Sha256' is another than options.payload" })
    with("X-Amz-Security-Token", "SECOND", { expected = "has another token than the credentials",
      options = options_with() }, "FIRST")
    with("X-Amz-Date", true, { expected = "request.headers must be", options = options_with() })
  end)

  it("cannot be there twice", function()
    local values = { ["X-Amz-Date"] = "20150830T123600Z", ["X-Amz-Security-Token"] = "T",
      ["X-Amz-Content-Sha256"] = crypto.sha256 "" }
    for name, value in pairs(values) do
      for _, headers in ipairs {
        { host = "h", [name] = value, [name:lower()] = value },
        { host = "h", [name] = value, [name:upper()] = value },
        { { "host", "h" }, { name, value }, { name, value } },
        { { "host", "h" }, { name:lower(), value }, [name:lower()] = value },
      } do
        local message = fails("is there twice", { headers = headers }, keys_with "T",
          options_with { sign_body = true })
        assert.matches(name:lower(), message:lower(), 1, true)
      end
    end
  end)
end)

-- Requests of the suite as they stand in its files, with nothing but scope and time.
describe("a published request", function()
  local function parse(text)
    local head, body = text:match "^(.-)\n\n(.*)$"
    local method, target, fields = head:match "^(%S+) (.*) HTTP/1%.1\n?(.*)$"
    local request = { method = method, path = target, body = body ~= "" and body or nil,
      headers = {} }
    for name, value in fields:gmatch "([%w-]+):([^\n]*)" do
      table.insert(request.headers, { name, value })
    end
    return request
  end

  local function check(expected, text)
    local request = parse(text)
    local options = { region = "us-east-1", service = "service", time = "2015-08-30T12:36:00Z" }
    assert.equal(expected, sigv4.sign(request, KEYS, options).authorization:match "%x+$")
    local map = {}
    for _, field in ipairs(request.headers) do
      map[field[1]:lower()] = field[2]
    end
    request.headers = map
    assert.equal(expected, sigv4.sign(request, KEYS, options).authorization:match "%x+$")
  end

  local HEAD = " HTTP/1.1\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\n\n"

  it("is signed as it is", function()
    check("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "GET /" .. HEAD)
    check("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "GET /a/../." .. HEAD)
    check("652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
      "GET /example space/" .. HEAD)
    check("8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
      "GET /\u{1234}" .. HEAD)
    check("2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
      "GET /?\u{1234}=bar" .. HEAD)
    check("b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
      "GET /?Param2=value2&Param1=value1" .. HEAD)
    check("28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
      "POST /?Param1=value1" .. HEAD)
  end)

  it("may have a body", function()
    check("ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
      "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\n" ..
      "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\n\nParam1=value1")
    check("d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
      "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\n" ..
      "Host:example.amazonaws.com\nContent-Length:13\nX-Amz-Date:20150830T123600Z\n" ..
      "X-Amz-Content-Sha256:" .. crypto.sha256 "Param1=value1" .. "\n\nParam1=value1")
  end)
end)
