--- Function URLs: the event that a request becomes, and the answer that a response becomes.

local serve_world = require "tests.lua.serve_world"

local crypto = require "lambdapool.crypto"
local json = require "lambdapool.json"

describe("a function URL", function()
  local world, urls

  serve_world.with_folder(setup, teardown)

  before_each(function()
    world = serve_world.new().open()
    world.define "f"
    urls = world.load "serve.run.function_urls"
    world.urls.abc = { region = "us-east-1", name = "f", auth = "NONE", mode = "BUFFERED" }
  end)

  -- Requests the URL; `options` are fields of the request and `path`.
  local function get(options, id)
    options = options or {}
    local request = serve_world.request(options.body, options.headers, {
      method = options.method or "GET", search = options.search,
    })
    urls.handle(world.service, request, id or "abc", options.path or "/")
    world.run(1)
    return request
  end

  -- What its function returns.
  local function returns(text)
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("response", text, true)
      end
    end
  end

  -- A stream of the function, in pieces.
  local function streams(content_type, pieces, body, error_type)
    world.behaviour = function(process, what)
      if what == "start" then
        process:emit("ready")
      else
        process:emit("stream", content_type)
        for _, piece in ipairs(pieces) do
          process:emit("chunk", piece)
        end
        process:emit("stream_end", body, error_type, true)
      end
    end
  end

  describe("makes an event", function()
    it("of everything in the request", function()
      local event = json.decode(get {
        path = "/a%20b/c", search = "x=1&y=%26&x=2", headers = {
          host = "localhost:9077", cookie = "a=1; b=2", ["user-agent"] = "curl",
        },
      }.answer)
      assert.equal("2.0", event.version)
      assert.equal("$default", event.routeKey)
      assert.equal("/a%20b/c", event.rawPath)
      assert.equal("x=1&y=%26&x=2", event.rawQueryString)
      assert.same({ x = "1,2", y = "&" }, event.queryStringParameters)
      assert.same({ "a=1", "b=2" }, event.cookies)
      assert.equal("localhost:9077", event.headers.host)
      assert.equal("127.0.0.1", event.headers["x-forwarded-for"])
      assert.is_false(event.isBase64Encoded)
      assert.is_nil(event.body)
      local context = event.requestContext
      assert.equal("anonymous", context.accountId)
      assert.equal("abc", context.apiId)
      assert.equal("abc.lambda-url.us-east-1.on.aws", context.domainName)
      assert.same({ method = "GET", path = "/a%20b/c", protocol = "HTTP/1.1",
        sourceIp = "127.0.0.1", userAgent = "curl" }, context.http)
      assert.equal("$default", context.stage)
      assert.truthy(context.time:find "^%d%d/%a%a%a/%d%d%d%d:%d%d:%d%d:%d%d %+0000$")
      assert.equal("integer", math.type(context.timeEpoch))
    end)

    it("of a text as it is, of other bytes in base64", function()
      local function body_of(content_type, body)
        local event = json.decode(get { method = "POST", body = body,
          headers = { ["content-type"] = content_type } }.answer)
        return event.body, event.isBase64Encoded
      end
      assert.same({ "a", false }, { body_of("text/plain", "a") })
      assert.same({ "{}", false }, { body_of("application/json; charset=utf-8", "{}") })
      assert.same({ "YQ==", true }, { body_of("image/png", "a") })
      assert.same({ "YT0x", true }, { body_of("application/x-www-form-urlencoded", "a=1") })
      assert.same({ "/w==", true }, { body_of("text/plain", "\xff") })
    end)

    it("with who signed it", function()
      world.urls.abc.auth, world.caller, world.url_allowed = "AWS_IAM", "AKIA1", false
      local context = json.decode(get().answer).requestContext
      assert.equal("123456789012", context.accountId)
      assert.equal("AKIA1", context.authorizer.iam.accessKey)
    end)
  end)

  describe("answers", function()
    it("with JSON as it is", function()
      for _, text in ipairs { '{"a":1}', '"text"', "[1]", "null" } do
        returns(text)
        local request = get()
        assert.equal(200, request.status)
        assert.equal("application/json", request.answered["content-type"])
        assert.equal(text, request.answer)
        world.service.environments:forget("us-east-1", "f")
      end
    end)

    it("as the response describes it", function()
      returns('{"statusCode":201,"headers":{"Content-Type":"text/html","X-N":5},' ..
        '"body":"<p>","cookies":["a=1","b=2"]}')
      local request = get()
      assert.equal(201, request.status)
      assert.equal("text/html", request.answered["content-type"])
      assert.equal("5", request.answered["x-n"])
      assert.same({ "a=1", "b=2" }, request.answered["set-cookie"])
      assert.equal("<p>", request.answer)
    end)

    it("with bytes that came in base64", function()
      returns(('{"statusCode":200,"isBase64Encoded":true,"body":"%s"}'):format(
        crypto.base64 "\0\xff"))
      assert.equal("\0\xff", get().answer)
    end)

    it("that something is wrong", function()
      local wrong = {
        '{"statusCode":"x"}', '{"statusCode":99}', '{"statusCode":200,"headers":[{}]}',
        '{"statusCode":200,"headers":{"a":"b\\r\\nc: d"}}',
        '{"statusCode":200,"headers":{"a b":"c"}}', '{"statusCode":200,"cookies":["a\\n"]}',
        '{"statusCode":200,"isBase64Encoded":true,"body":"!"}',
      }
      for _, text in ipairs(wrong) do
        returns(text)
        local request = get()
        assert.equal(502, request.status, text)
        assert.equal("Internal Server Error", request.answer)
      end
    end)

    it("502 when the function fails", function()
      world.behaviour = function(process)
        process:exit(1)
      end
      assert.equal(502, get().status)
    end)

    it("403 to those who may not", function()
      assert.equal(403, get({}, "other").status)
      world.url_allowed = false
      local request = get()
      assert.equal(403, request.status)
      assert.equal('{"Message":"Forbidden"}', request.answer)
      world.url_allowed, world.urls.abc.auth = true, "AWS_IAM"
      assert.equal(403, get().status)
      world.caller, world.scope = "AKIA1", "execute-api"
      assert.equal(403, get().status)
    end)

    it("429 when too many run", function()
      world.functions.f.reserved = 0
      local request = get()
      assert.equal(429, request.status)
      assert.equal("1", request.answered["retry-after"])
    end)

    it("413 to too much", function()
      assert.equal(413, get({ method = "POST", body = ("x"):rep(6291457) }).status)
    end)
  end)

  describe("that streams", function()
    local PRELUDE = "application/vnd.awslambda.http-integration-response"

    before_each(function()
      world.urls.abc.mode = "RESPONSE_STREAM"
    end)

    it("sends what comes", function()
      streams("text/plain", { "a", "b" })
      local request = get()
      assert.equal(200, request.status)
      assert.equal("text/plain", request.answered["content-type"])
      assert.equal("ab", request.answer)
      assert.is_true(request.complete)
    end)

    it("begins with what the description in front says, however it is cut", function()
      local bytes = '{"statusCode":202,"headers":{"x-a":"1"},"cookies":["c=1"]}' ..
        ("\0"):rep(8) .. "body"
      for cut = 1, #bytes - 1, 7 do
        streams(PRELUDE, { bytes:sub(1, cut), bytes:sub(cut + 1) })
        local request = get()
        assert.equal(202, request.status)
        assert.equal("1", request.answered["x-a"])
        assert.same({ "c=1" }, request.answered["set-cookie"])
        assert.equal("body", request.answer)
      end
    end)

    it("says so when the answer cannot be sent", function()
      streams("text/\1plain", { "a" })
      assert.equal(502, get().status)
      world.urls.abc.mode = "BUFFERED"
      returns '{"statusCode":200,"headers":{"a":"\\u0001"}}'
      world.service.environments:forget("us-east-1", "f")
      assert.equal(502, get().status)
    end)

    it("says so when the description never ends", function()
      streams(PRELUDE, { '{"statusCode":202' })
      assert.equal(502, get().status)
    end)

    it("breaks off when the function does", function()
      streams("text/plain", { "a" }, '{"errorMessage":"x"}', "Function.X")
      local request = get()
      assert.is_true(request.aborted)
      assert.is_nil(request.complete)
    end)

    it("takes buffered responses, too", function()
      returns '{"statusCode":204}'
      assert.equal(204, get().status)
    end)

    it("is put together for a buffered URL", function()
      world.urls.abc.mode = "BUFFERED"
      streams(PRELUDE, { '{"statusCode":202}', ("\0"):rep(8), "body" })
      local request = get()
      assert.equal(202, request.status)
      assert.equal("body", request.answer)
    end)
  end)

  describe("for browsers", function()
    before_each(function()
      world.urls.abc.cors = {
        AllowOrigins = { "https://a.example" }, AllowMethods = { "GET", "POST" },
        AllowHeaders = { "x-mine" }, MaxAge = 60, AllowCredentials = true,
      }
    end)

    it("says what other pages may do", function()
      local request = get { method = "OPTIONS", headers = {
        origin = "https://a.example", ["access-control-request-method"] = "POST",
      } }
      assert.equal(200, request.status)
      assert.equal("https://a.example", request.answered["access-control-allow-origin"])
      assert.equal("GET,POST", request.answered["access-control-allow-methods"])
      assert.equal("x-mine", request.answered["access-control-allow-headers"])
      assert.equal("60", request.answered["access-control-max-age"])
      assert.equal("true", request.answered["access-control-allow-credentials"])
      assert.equal(0, #world.processes)
    end)

    it("marks answers to those that it knows", function()
      local request = get { headers = { origin = "https://a.example" } }
      assert.equal("https://a.example", request.answered["access-control-allow-origin"])
      request = get { headers = { origin = "https://b.example" } }
      assert.is_nil(request.answered["access-control-allow-origin"])
      world.urls.abc.cors = { AllowOrigins = { "*" } }
      request = get { headers = { origin = "https://b.example" } }
      assert.equal("*", request.answered["access-control-allow-origin"])
    end)
  end)
end)
