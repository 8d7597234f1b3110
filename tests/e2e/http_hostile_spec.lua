--- The HTTP client against servers that lie, stall, flood and leave: every request ends, once, and
--- nothing is sent twice.

local http = require "lambdapool.http"
local loop = require "lambdapool.loop"
local support = require "tests.e2e.http_support"

local raw = support.raw
local peer

setup(function()
  peer = support.start()
end)

teardown(function()
  peer:close()
end)

local function request(path, fields)
  local all = { url = peer.plain .. path, seconds = 30 }
  for name, value in pairs(fields or {}) do
    all[name] = value
  end
  return http.request(all)
end

local function body_of(path, fields)
  local response = request(path, fields)
  assert.equal(nil, response.message)
  assert.equal(200, response.status)
  return response.body
end

local function assert_failure(failure, sent, response)
  assert.equal(failure, response.failure, response.message)
  assert.equal(sent, response.sent)
  assert.equal("string", type(response.message))
  assert.equal(nil, response.status)
end

describe("a kept connection", function()
  it("is used again", function()
    local port = body_of "/port"
    assert.equal(port, body_of "/port")
    assert.equal(port, body_of("/port", { method = "POST", body = "x" }))
  end)

  it("that dies with a request on it does not get that request sent again", function()
    for _, ending in ipairs { "reset", "close" } do
      for name, fields in pairs {
        ["a body"] = { method = "POST", body = "once" },
        ["a large body"] = { method = "POST", body = ("x"):rep(300000) },
        ["an empty body"] = { method = "POST" },
        ["no body"] = { method = "GET" },
      } do
        http.close()
        local path = ("/second/%s/%s"):format(ending, name:gsub(" ", "-"))
        body_of("/second", fields)
        assert_failure("reset", true, request(path, fields))
        assert.equal(1, peer:seen(path))
      end
    end
  end)

  it("that the server has closed is noticed before it is used", function()
    for _ = 1, 5 do
      http.close()
      body_of(raw "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      peer:await_ends()
      assert.equal("ok", body_of("/x", { method = "POST", body = "x" }))
    end
  end)

  it("has nothing of the answer before in the next one", function()
    for _, answer in ipairs {
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    } do
      assert.equal("ok", body_of(raw(answer .. "HTTP/1.1 500 Wrong\r\n\r\n", "keep")))
      assert.equal("ok", body_of "/x")
    end
  end)

  it("on which something comes that nobody asked for is given up", function()
    local port = body_of "/port"
    assert.equal("ok", body_of("/late/" .. support.hex "HTTP/1.1 500 Wrong\r\n\r\n"))
    loop.wait(function() return false end, nil, 0.3)
    assert.are_not.equal(port, body_of "/port")
  end)
end)

describe("a request", function()
  it("that was not read completely was not sent", function()
    local body = ("x"):rep(16 << 20)
    for _, ending in ipairs { "reset", "close" } do
      local path = "/unread/1000/" .. ending
      local response = request(path, { method = "POST", body = body, connect_seconds = 60 })
      assert_failure("reset", false, response)
      assert.equal(0, peer:seen(path))
    end
  end)

    it("does not suffer from one before it that died", function()
    local large = { method = "POST", body = ("x"):rep(100000) }
    for _ = 1, 10 do
      body_of("/x", large)
      assert_failure("reset", true, request("/second/reset", large))
    end
  end)

  it("takes an answer that comes early", function()
    local response = request("/early", { method = "POST", body = ("x"):rep(100000) })
    if response.status then -- or the end of the connection overtook it
      assert.equal(413, response.status)
      assert.equal("large", response.body)
    else
      assert.equal("reset", response.failure)
    end
  end)

  it("goes as it is", function()
    for _, target in ipairs { "/echo/../a/./b//c", "/echo?", "/echo?a=b&a=%2f%2F+",
      "/echo/$LATEST:x", "/echo/%61%zz", "/echo/a%00b", "/echo/'\"<>{}|\\^`[]" } do
      local body = body_of(target)
      assert.equal("GET " .. target .. " HTTP/1.1", body:match "^[^\r]*")
    end
  end)
end)

describe("an answer", function()
  -- The peer may be about to close the connection of the test before.
  before_each(http.close)

  local OK = "HTTP/1.1 200 OK\r\n"
  local CHUNKED = OK .. "Transfer-Encoding: chunked\r\n\r\n"

  it("that is cut off at any byte is no answer", function()
    local answer = OK .. "Content-Length: 10\r\n\r\n0123456789"
    local pending = 0
    for n = 0, #answer - 1 do
      for _, ending in ipairs { "close", "reset" } do
        pending = pending + 1
        local path = ("/cut/%d/%s/%s"):format(n, support.hex(answer), ending)
        http.send({ url = peer.plain .. path, seconds = 30 }, function(response)
          pending = pending - 1
          assert.is_nil(response.status)
          assert.is_true(response.sent)
          assert.is_truthy(({ reset = true, malformed = true })[response.failure], response.message)
        end)
      end
    end
    assert.is_true(loop.wait(function() return pending == 0 end, nil, 60))
  end)

  it("is read as HTTP has it", function()
    for answer, body in pairs {
      [OK .. "\r\nto the end"] = "to the end",
      [OK .. "Content-Length: 3\r\n\r\nabcd"] = "abc",
      [CHUNKED .. "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"] = "abcde",
      ["HTTP/1.1 100 Continue\r\n\r\n" .. OK .. "Content-Length: 1\r\n\r\nx"] = "x",
      ["HTTP/1.0 200 OK\r\n\r\nold"] = "old",
      ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"] = "",
    } do
      http.close()
      assert.equal(body, body_of(raw(answer)), answer)
    end
  end)

  it("has its headers by lower-case names", function()
    local response = request(raw(OK .. "X-Twice: a\r\nx-twice:b\r\nX-Long: a\r\n  b\r\n" ..
      "X-None:\r\nX-Colon: a:b \r\nContent-Length: 0\r\n\r\n"))
    assert.equal("a,b", response.headers["x-twice"])
    assert.equal("a b", response.headers["x-long"]:gsub("%s+", " "))
    assert.equal("", response.headers["x-none"])
    assert.equal("a:b", response.headers["x-colon"])
  end)

  it("has the headers of the last of several, and no trailers", function()
    local response = request(raw("HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n" .. OK ..
      "X-Late: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n"))
    assert.same({ ["x-late"] = "1", ["transfer-encoding"] = "chunked" }, response.headers)
  end)

  it("is not followed, whatever its status", function()
    for _, status in ipairs { 301, 302, 307, 401, 407, 417, 429, 500, 503 } do
      http.close()
      local answer = "HTTP/1.1 %d X\r\nLocation: /other\r\nContent-Length: 1\r\n\r\nx"
      local response = request(raw(answer:format(status)), { method = "POST", body = "x" })
      assert.equal(status, response.status, response.message)
      assert.equal("x", response.body)
    end
    assert.equal(0, peer:seen "/other")
  end)

  it("is no answer when it is not HTTP/1", function()
    for _, answer in ipairs { "hello\r\n\r\n", "SSH-2.0-x\r\n", "\0\1\2\3", "HTTP/2 200 OK\r\n\r\n",
      "HTTP/3.0 200 OK\r\n\r\n", "HTTP/1.1 OK\r\n\r\n", "HTTP/1.1 999999 OK\r\n\r\n",
      OK .. "no colon\r\n\r\n", OK .. "a: b\0c\r\n\r\n", OK .. "Content-Length: x\r\n\r\n",
      OK .. "Content-Length: -1\r\n\r\n", OK .. "Content-Length: 99999999999999999999\r\n\r\n",
      CHUNKED .. "xyz\r\n", CHUNKED .. "ffffffffffffffffff\r\nx" } do
      local response = request(raw(answer))
      assert.is_nil(response.status, answer)
      assert.is_true(response.sent)
      assert.is_truthy(({ reset = true, malformed = true, too_large = true })[response.failure],
        ("%s for %q"):format(response.message, answer))
    end
  end)

  it("may only be so large", function()
    for name, path in pairs {
      zero = raw(OK .. "Content-Length: 99999999999\r\n\r\n", "hold"),
      told = raw(OK .. "Content-Length: 1001\r\n\r\n", "hold"),
      sent = raw(OK .. "\r\n" .. ("x"):rep(1001), "hold"),
      chunked = raw(CHUNKED .. "3e9\r\n" .. ("x"):rep(1001), "hold"),
      headers = "/flood/headers", interim = "/flood/interim", continue = "/flood/continue",
      line = "/flood/line", body = "/flood/body", chunks = "/flood/chunks",
      trailers = "/flood/trailers",
    } do
      local response = request(path, { max_bytes = 1000 })
      assert.is_nil(response.status)
      assert.is_truthy(response.failure == "too_large" or response.failure == "reset", name ..
        tostring(response.message))
    end
    local path = raw(OK .. "Content-Length: 99999999999\r\n\r\n")
    assert.equal(200, request(path, { method = "HEAD", max_bytes = 1000 }).status)
    http.close()
    assert.equal(1000, #body_of(raw(OK .. "\r\n" .. ("x"):rep(1000)), { max_bytes = 1000 }))
    assert.equal("", body_of(raw(OK .. "Content-Length: 0\r\n\r\n"), { max_bytes = 0 }))
  end)

  it("has its time", function()
    for _, path in ipairs { raw("", "hold"), raw(OK, "hold"),
      raw(OK .. "Content-Length: 2\r\n\r\nx", "hold"),
      "/drip/" .. support.hex(OK .. ("X: y\r\n"):rep(100)), "/flood/extension" } do
      local response = request(path, { seconds = 0.3 })
      assert_failure("timeout", true, response)
      assert.matches("^no answer from 127%.0%.0%.1:%d+ within 0%.3 s$", response.message)
    end
  end)
end)
