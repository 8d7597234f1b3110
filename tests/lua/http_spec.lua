--- The HTTP client and servers of this process: requests, responses, waiting, cancelling, and what
--- is left afterwards. Other peers are in tests/e2e/http_*.

local flow = require "lambdapool.flow"
local http = require "lambdapool.http"
local loop = require "lambdapool.loop"
local system = require "lambdapool.system"

local server, url, requests, answer

-- Descriptors that are open.
local function descriptors()
  local stat <close> = assert(io.open "/proc/self/stat")
  local pipe <close> = assert(io.popen(("ls /proc/%d/fd"):format(stat:read "n")))
  local count = 0
  for _ in pipe:lines() do
    count = count + 1
  end
  return count
end

local function raised(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

-- Waits for what is no event.
local function eventually(check)
  local deadline = system.monotonic() + 60
  while not check() do
    assert(system.monotonic() < deadline, "it did not happen")
    loop.pump(0.01)
  end
end

local function listen()
  local listening = assert(loop.listen({}, function(event, request)
    if event == "request" then
      requests[#requests + 1] = request
      answer(request)
    end
  end))
  return listening, "http://127.0.0.1:" .. listening:port()
end

before_each(function()
  requests = {}
  answer = function(request)
    request:respond(200, { ["X-Twice"] = { "a", "b" } }, request:body())
  end
  server, url = listen()
end)

after_each(function()
  server:close()
  http.close()
end)

describe("a request", function()
  it("arrives as it was given", function()
    local body = ("body\0\r\n"):rep(100)
    local headers = { host = "elsewhere", ["X-A"] = "1 \t2", ["x-b"] = "", ["X-C"] = 3,
      Accept = "text/x", ["Content-Type"] = "text/y", ["Content-Length"] = "7",
      Expect = "100-continue" }
    local response = http.request { method = "PUT", url = url .. "/a/../%2F?x=%20", body = body,
      headers = headers }
    local request = requests[1]
    assert.equal(body, response.body)
    assert.equal("PUT", request:method())
    assert.equal("/a/../%2F", request:path())
    assert.equal("x=%20", request:query())
    local expected = { host = "elsewhere", ["x-a"] = "1 \t2", ["x-b"] = "", ["x-c"] = "3",
      accept = "text/x", ["content-type"] = "text/y", ["content-length"] = "700" }
    local found = {}
    for _, header in ipairs(request:headers()) do
      assert.is_nil(found[header[1]:lower()])
      found[header[1]:lower()] = header[2]
    end
    assert.matches("^lambdapool/", found["user-agent"])
    found["user-agent"] = nil
    assert.same(expected, found)
  end)

  it("has nothing that nobody asked for", function()
    http.request { url = url }
    local names = {}
    for i, header in ipairs(requests[1]:headers()) do
      names[i] = header[1]:lower()
    end
    table.sort(names)
    assert.same({ "host", "user-agent" }, names)
    assert.equal("GET", requests[1]:method())
    http.request { url = url, headers = { ["User-Agent"] = "me" } }
    assert.equal("me", requests[2]:header "user-agent")
  end)

  it("tells the size of its body when its method has one", function()
    for method, size in pairs { POST = "0", PUT = "0", PATCH = "0", DELETE = false, GET = false,
      HEAD = false, OPTIONS = false } do
      http.request { url = url, method = method }
      local request = requests[#requests]
      assert.equal(method, request:method())
      assert.equal(size or nil, request:header "content-length")
    end
    http.request { url = url, method = "DELETE", body = "x" }
    assert.equal("1", requests[#requests]:header "content-length")
  end)

  it("may be large, and so may its answer", function()
    for _, size in ipairs { 65535, 65536, 65537, 6 << 20 } do
      local body = ("0123456789abcdef"):rep(size // 16 + 1):sub(1, size)
      local response = http.request { method = "POST", url = url, body = body }
      assert.is_true(response.body == body)
    end
  end)

  it("is refused for a mistake in it", function()
    for problem, fields in pairs {
      ["did you mean 'headers'"] = { header = {} },
      ["is no method"] = { method = "GET X" },
      ["not one that HTTP allows"] = { headers = { ["a b"] = "1" } },
      ["value of 'a' is not one"] = { headers = { a = "1\r\nb: 2" } },
      ["value of 'b' is not one"] = { headers = { b = true } },
      ["value of 'c' is not one"] = { headers = { c = "\0" } },
      ["no string"] = { headers = { "a: 1" } },
      ["more than 0 seconds"] = { seconds = 0 },
      ["zero in it"] = { url = url .. "\0" },
      ["string expected"] = { body = {} },
      ["not be negative"] = { max_bytes = -1 },
      ["too large"] = { headers = { a = ("x"):rep(2 << 20) } },
    } do
      fields.url = fields.url or url
      assert.matches(problem, raised(http.request, fields), 1, true)
    end
    assert.equal(0, #requests)
  end)

  it("is not sent to what is not a URL", function()
    for _, bad in ipairs { "", "x", "/x", "ftp://127.0.0.1/", "file:///etc/passwd", "http://",
      "http://u:secret@127.0.0.1/", "http://127.0.0.1:99999/", "http://127.0.0.1/a b",
      "http://127.0.0.1/\n" } do
      local response = http.request { url = bad }
      assert.equal("refused_url", response.failure, bad)
      assert.is_false(response.sent)
      assert.is_nil(response.message:find("secret", 1, true))
    end
  end)
end)

describe("a response", function()
  it("has a status, headers and a body", function()
    answer = function(request)
      request:respond(404, { ["X-Twice"] = { "a", "b" }, ["Set-Cookie"] = "c=d" }, "none")
    end
    local response = http.request { url = url }
    assert.equal(404, response.status)
    assert.equal("a,b", response.headers["x-twice"])
    assert.equal("none", response.body)
    assert.is_nil(response.failure)
    http.request { url = url }
    assert.is_nil(requests[2]:header "cookie")
  end)

  it("comes in pieces, too", function()
    answer = function(request)
      request:begin(200)
      for _ = 1, 100 do
        request:write(("x"):rep(1000))
      end
      request:finish()
    end
    assert.equal(100000, #http.request { url = url }.body)
  end)

  it("does not come from where nobody listens", function()
    local closed = url
    server:close()
    local response = http.request { url = closed }
    assert.equal("connect", response.failure)
    assert.is_false(response.sent)
    assert.matches("^cannot connect to 127%.0%.0%.1:%d+: connection refused$", response.message)
    response = http.request { url = "http://absent.invalid/secret" }
    assert.equal("resolve", response.failure)
    assert.equal("cannot find the host absent.invalid", response.message)
  end)
end)

describe("many requests", function()
  it("are under way at the same time, each with its own answer", function()
    local n, waiting, answers = 1200, {}, 0
    answer = function(request)
      waiting[#waiting + 1] = request
      if #waiting == n then
        for _, one in ipairs(waiting) do
          one:respond(200, {}, one:path() .. #one:body())
        end
      end
    end
    for i = 1, n do
      http.send({ url = url .. "/" .. i, method = "POST", body = ("x"):rep(i) }, function(response)
        assert.equal(("/%d%d"):format(i, i), response.body, response.message)
        answers = answers + 1
      end)
    end
    assert.equal(0, #requests)
    assert.is_true(loop.wait(function() return answers == n end, nil, 60))
  end)

  it("may be made while answers come", function()
    local answers = 0
    local function go(i)
      http.send({ url = url .. "/" .. i }, function(response)
        assert.equal(200, response.status)
        answers = answers + 1
        if i < 100 then
          go(i + 1)
        end
      end)
    end
    go(1)
    go(1)
    loop.wait(function() return answers == 200 end, nil, 60)
    assert.equal(200, answers)
  end)

  it("wait in flows, each for its own", function()
    local ended = 0
    for i = 1, 50 do
      flow.start(function()
        local body = ("x"):rep(i)
        assert.equal(body, http.request { url = url, method = "POST", body = body }.body)
      end, function(ok, failure)
        ended = ended + 1
        assert.is_true(ok, failure)
      end)
    end
    loop.wait(function() return ended == 50 end, nil, 60)
    assert.equal(50, ended)
  end)

  it("fail together where nobody can be reached, and the next is tried again", function()
    local second, place = listen()
    second:close()
    local failures = 0
    for _ = 1, 300 do
      http.send({ url = place }, function(response)
        assert.equal("connect", response.failure)
        failures = failures + 1
      end)
    end
    loop.wait(function() return failures == 300 end, nil, 60)
    assert.equal(300, failures)
    assert.equal("connect", http.request { url = place }.failure)
  end)

  it("do not fail with one that had too little time", function()
    local first, second
    answer = function(request)
      if request:path() == "/fast" then
        request:respond(200)
      end
    end
    http.send({ url = url .. "/slow", seconds = 0.05 }, function(response) first = response end)
    http.send({ url = url .. "/fast" }, function(response) second = response end)
    loop.wait(function() return first and second end, nil, 60)
    assert.equal("timeout", first.failure)
    assert.is_true(first.sent)
    assert.equal(200, second.status)
  end)
end)

describe("requests that wait for a connection, where frames are drawn,", function()
  local frames = require "lambdapool.frames"

  before_each(frames.keep)

  after_each(function()
    frames.kept = false
  end)

  it("are sent a few at a time, but for those that are cancelled meanwhile", function()
    local transfers, answers, most = {}, 0, 0
    for i = 1, 30 do
      transfers[i] = http.send({ url = url }, function(response)
        assert.equal(200, response.status)
        answers = answers + 1
      end)
    end
    local later = loop.later
    loop.later = function(f, argument)
      most = math.max(most, type(argument) == "table" and #argument or 0)
      transfers[30]:cancel()
      return later(f, argument)
    end
    loop.wait(function() return answers == 29 end, nil, 60)
    loop.later = later
    assert.equal(29, answers)
    assert.is_true(most > 0)
  end)
end)

describe("a cancelled transfer", function()
  local function never()
    error "it was cancelled"
  end

  it("has no end, whenever it is cancelled", function()
    local transfer = http.send({ url = url }, never)
    transfer:cancel()
    transfer:cancel()
    transfer = http.send({ url = url }, never)
    answer = function() end
    loop.wait(function() return #requests == 1 end, nil, 60)
    transfer:cancel()
    eventually(function() return requests[1]:gone() end)
    answer = function(request)
      request:respond(200)
    end
    local done = http.send({ url = url }, function() end)
    http.request { url = url }
    done:cancel()
    loop.pump(0)
  end)

  it("leaves those that wait with it for a connection", function()
    local answers = 0
    local first = http.send({ url = url }, never)
    for i = 1, 10 do
      local transfer = http.send({ url = url }, i % 2 == 0 and never or function(response)
        assert.equal(200, response.status)
        answers = answers + 1
      end)
      if i % 2 == 0 then
        transfer:cancel()
      end
    end
    first:cancel()
    loop.wait(function() return answers == 5 end, nil, 60)
    assert.equal(5, answers)
  end)

  it("may be cancelled by the answer to another", function()
    local transfers, answers = {}, 0
    for i = 1, 20 do
      transfers[i] = http.send({ url = url }, function()
        answers = answers + 1
        for _, transfer in ipairs(transfers) do
          transfer:cancel()
        end
      end)
    end
    loop.wait(function() return answers > 0 end, nil, 60)
    loop.wait(function() return false end, nil, 0.05)
    assert.equal(1, answers)
  end)

  it("is what a flow leaves that is cancelled", function()
    answer = function() end
    local waiting = flow.start(function()
      http.request { url = url }
    end, function() end)
    loop.wait(function() return #requests == 1 end, nil, 60)
    flow.cancel(waiting)
    eventually(function() return requests[1]:gone() end)
  end)
end)

describe("an error in `done`", function()
  it("is raised by whoever waits, and keeps no other from its end", function()
    local answers = 0
    for i = 1, 10 do
      http.send({ url = url }, function()
        answers = answers + 1
        if i == 3 then
          error("mine", 0)
        end
      end)
    end
    assert.equal("mine", raised(loop.wait, function() return false end, nil, 60))
    loop.wait(function() return answers == 10 end, nil, 60)
    assert.equal(10, answers)
  end)
end)

describe("what is left", function()
  it("is a connection, until it is closed", function()
    http.request { url = url }
    http.close()
    collectgarbage()
    local before = descriptors()
    for _ = 1, 5 do
      http.request { url = url }
      assert.is_true(descriptors() > before)
      http.close()
      eventually(function() return descriptors() <= before end)
    end
    http.close()
  end)

  it("is closed when the last transfer has ended, if it was told before", function()
    local response
    http.send({ url = url }, function(given) response = given end)
    http.close()
    assert.is_nil(response)
    loop.wait(function() return response end, nil, 60)
    assert.equal(200, response.status)
  end)

  it("is no reason to wait", function()
    http.request { url = url }
    server:close()
    assert.matches("nothing is going on", raised(loop.wait, function() return false end))
  end)

  it("keeps no program from its end", function()
    local function run(script)
      local command = "'%s/lambdapool' run -e '%s' 2>&1"
      local pipe = assert(io.popen(command:format(os.getenv "LAMBDAPOOL_BUILD", script)))
      local text = pipe:read "a"
      return text, select(3, pipe:close())
    end
    local script = [[
      local http, loop = require "lambdapool.http", require "lambdapool.loop"
      local server = loop.listen({}, function(event, request) request:respond(200) end)
      local url = "http://127.0.0.1:" .. server:port()
      print(http.request { url = url }.status)
      http.send({ url = url }, function() end)
      http.send({ url = "http://10.255.255.1/" }, function() end)
      http.send({ url = "http://absent.invalid/" }, function() end)]]
    assert.same({ "200\n", 0 }, { run(script) })
    assert.same({ "200\n", 0 }, { run(script .. " loop.glance() os.exit(0, true)") })
  end)
end)
