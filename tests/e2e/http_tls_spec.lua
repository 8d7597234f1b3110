--- The HTTP client over TLS and through proxies. Environment variables of proxies are read by
--- programs of their own.

local http = require "lambdapool.http"
local loop = require "lambdapool.loop"
local support = require "tests.e2e.http_support"

local peer

setup(function()
  peer = support.start()
end)

teardown(function()
  peer:close()
end)

before_each(http.close)

local function request(url, fields)
  local all = { url = url, seconds = 30, ca = peer.folder .. "/ca.pem" }
  for name, value in pairs(fields or {}) do
    all[name] = value
  end
  return http.request(all)
end

local function assert_failure(failure, response, pattern)
  assert.equal(failure, response.failure, response.message)
  assert.is_false(response.sent)
  assert.matches(pattern, response.message)
end

-- Answers of `n` requests at the same time.
local function many(n, url)
  local responses = {}
  for _ = 1, n do
    http.send({ url = url, seconds = 30, ca = peer.folder .. "/ca.pem" }, function(response)
      responses[#responses + 1] = response
    end)
  end
  assert.is_true(loop.wait(function() return #responses == n end, nil, 60))
  return responses
end

describe("TLS", function()
  it("is trusted when its authority is", function()
    assert.equal("ok", request(peer.tls .. "/x").body)
    assert.equal("ok", request(peer.tls:gsub("127.0.0.1", "localhost") .. "/x").body)
    local body = ("x"):rep(3 << 20)
    local echo = request(peer.tls .. "/echo", { method = "POST", body = body }).body
    assert.equal(body, echo:sub(-#body))
  end)

  it("is not trusted otherwise, and says why", function()
    local host = "^cannot connect to 127%.0%.0%.1:%d+ securely: "
    assert_failure("tls", request(peer.tls .. "/x", { ca = peer.folder .. "/other.pem" }),
      host .. ".*certificate")
    assert_failure("tls", http.request { url = peer.tls .. "/x" }, host .. ".*certificate")
    assert_failure("tls", request(peer.tls .. "/x", { ca = peer.folder .. "/absent.pem" }),
      "absent%.pem")
    assert_failure("tls", request(peer.tls .. "/x", { ca = peer.folder .. "/names" }), "names")
    assert_failure("tls", request((peer.tls:gsub("127.0.0.1", "other.localhost")) .. "/x"),
      "other%.localhost:%d+ securely: .*name")
  end)

  it("has its time to begin", function()
    local url = peer.plain:gsub("http:", "https:")
    assert_failure("connect", request(url, { connect_seconds = 0.2 }), ": no answer within 0.2 s$")
    assert_failure("timeout", request(url, { seconds = 0.2 }), "^no answer .* within 0.2 s$")
  end)

  it("resumes sessions", function()
    for connections = 1, 5 do
      local again = 0
      for _, response in ipairs(many(connections, peer.tls .. "/tls")) do
        again = again + (response.body == "again" and 1 or 0)
      end
      assert.equal(connections - 1, again)
    end
  end)

  it("that fails fails for all who wait for it, at once", function()
    local url = peer.tls:gsub("127.0.0.1", "other.localhost")
    for _, response in ipairs(many(200, url)) do
      assert.equal("tls", response.failure)
    end
  end)
end)

describe("a proxy", function()
  it("has a tunnel for HTTPS", function()
    local response = request(peer.tls .. "/x", { proxy = peer.proxy })
    assert.equal("ok", response.body)
    assert.is_nil(response.headers["x-of-proxy"])
  end)

  it("gets the whole URL otherwise", function()
    local url = "http://example.invalid/a/../b?c"
    local response = request(url, { proxy = peer.proxy, method = "POST", body = "x" })
    assert.equal("proxy: " .. url, response.body)
  end)

  it("that refuses, cannot be reached or is none is named", function()
    assert_failure("proxy", request("https://no.invalid/x", { proxy = peer.proxy }),
      "^cannot connect to no%.invalid through the proxy: .*407")
    assert_failure("proxy", request("https://broken.invalid/x", { proxy = peer.proxy }), "proxy")
    assert_failure("proxy", request("https://x.invalid/x", { proxy = "http://127.0.0.1:1" }),
      "^cannot connect to x%.invalid through the proxy: connection refused$")
    for _, proxy in ipairs { "http://nobody.invalid", "gopher://x" } do
      assert_failure("proxy", request("http://x.invalid/x", { proxy = proxy }), "proxy")
    end
  end)

  it("comes from the environment unless there is to be none", function()
    local script = peer.folder .. "/script.lua"
    local file <close> = assert(io.open(script, "w"))
    file:write [[
      local http = require "lambdapool.http"
      for _, proxy in ipairs { false, "" } do
        print(http.request { url = arg[1], ca = arg[2], proxy = proxy or nil, seconds = 30 }.body)
      end]]
    file:close()
    local function run(environment, url)
      local command = ("env %s '%s/lambdapool' run '%s' %s '%s/ca.pem'"):format(environment,
        os.getenv "LAMBDAPOOL_BUILD", script, url, peer.folder)
      local pipe <close> = assert(io.popen(command))
      return (pipe:read "a")
    end
    local url = peer.plain .. "/x"
    assert.equal("ok\nok\n", run("", url))
    assert.equal("proxy: " .. url .. "\nok\n", run("http_proxy=" .. peer.proxy, url))
    assert.equal("ok\nok\n", run("http_proxy=" .. peer.proxy .. " NO_PROXY=127.0.0.1", url))
    assert.equal("nil\nok\n", run("HTTPS_PROXY=http://127.0.0.1:1", peer.tls .. "/x"))
    assert.equal("ok\nok\n", run("HTTPS_PROXY=" .. peer.proxy, peer.tls .. "/x"))
  end)
end)
