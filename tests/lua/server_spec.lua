--- Servers on the loop, as Lua sees them: arguments, values and lifetimes. What is HTTP and what is
--- not is tested in tests/host. Clients are processes that write to a file, for to read from a pipe
--- would stop the server.
local loop = require "lambdapool.loop"
local workers = require "lambdapool.workers"

local server, folder

-- Waits until the shell command has ended; what it printed.
local function run(command)
  local out = folder .. "/out"
  local function has_ended()
    local file <close> = io.open(out .. ".done")
    return file ~= nil
  end
  os.remove(out .. ".done")
  assert(os.execute(("{ (%s) > %s 2>&1 </dev/null; touch %s.done; } &"):format(command, out, out)))
  while not has_ended() do
    loop.pump(0.01)
  end
  local file <close> = assert(io.open(out))
  return (file:read "a")
end

local function listen(handler, options)
  server = assert(loop.listen(options or {}, handler))
  return server
end

local function url(path)
  return ("'http://127.0.0.1:%d%s'"):format(server:port(), path)
end

local function curl(path, options)
  return run("curl -s -m 60 " .. (options or "") .. " " .. url(path))
end

-- Sends bytes, as `printf` writes them, and gives what comes back.
local function raw(bytes)
  return run(("bash -c 'exec 3<>/dev/tcp/127.0.0.1/%d; printf \"%s\" >&3; cat <&3'")
    :format(server:port(), bytes))
end

local function raised(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("a server", function()
  before_each(function()
    local pipe <close> = io.popen "mktemp -d"
    folder = pipe:read "l"
  end)

  after_each(function()
    if server then
      server:close()
      server = nil
    end
    os.execute("rm -r " .. folder)
  end)

  it("hands requests over", function()
    local seen
    listen(function(event, request)
      seen = {
        event, request:method(), request:path(), request:query() or "none", request:body(),
        request:size(), request:problem() or "none", request:header "x-a",
        request:header "X-A" or "none", (request:address()),
        math.type(select(2, request:address())), request:gone(),
      }
      request:respond(200)
    end)
    curl("/a%2fb?c=%20&d", "-X PATCH -H 'X-A: 1' -H 'X-A: 2' -d text")
    assert.same({ "request", "PATCH", "/a%2fb", "c=%20&d", "text", 4, "none", "1,2", "none",
      "127.0.0.1", "integer", false }, seen)
    curl "/"
    assert.same({ "/", "none", "", 0 }, { seen[3], seen[4], seen[5], seen[6] })
  end)

  it("gives all headers in order", function()
    local headers
    listen(function(_, request)
      headers = request:headers()
      request:respond(200)
    end)
    raw "GET / HTTP/1.0\\r\\nB: 1\\r\\nA: 2\\r\\nb:\\r\\n\\r\\n"
    assert.same({ { "b", "1" }, { "a", "2" }, { "b", "" } }, headers)
  end)

  it("carries any bytes", function()
    listen(function(_, request)
      request:respond(200, nil, request:body():reverse())
    end)
    local bytes = {}
    for i = 0, 255 do
      bytes[#bytes + 1] = string.char(i):rep(20000)
    end
    local text = table.concat(bytes)
    local file <close> = assert(io.open(folder .. "/in", "w"))
    assert(file:write(text))
    file:flush()
    local back = curl("/", "--data-binary @" .. folder .. "/in")
    assert.equal(#text, #back)
    assert.is_true(text:reverse() == back)
  end)

  it("writes the headers it is given", function()
    listen(function(_, request)
      request:respond(201, {
        ["content-type"] = "text/plain", ["x-n"] = 12, ["set-cookie"] = { "a=1", "b=2" },
        ["content-length"] = "99", Date = "never",
      }, "body")
    end)
    local reply = curl("/", "-i"):gsub("\r", "")
    local head, body = reply:match "^(.-\n)\n(.*)$"
    assert.equal("body", body)
    assert.truthy(head:find("HTTP/1.1 201 Created\n", 1, true))
    assert.truthy(head:find("\nContent-Length: 4\n", 1, true))
    assert.truthy(head:find("\ncontent-type: text/plain\n", 1, true))
    assert.truthy(head:find("\nx-n: 12\n", 1, true))
    assert.truthy(head:find("\nset-cookie: a=1\nset-cookie: b=2\n", 1, true))
    assert.falsy(head:find("99", 1, true))
    assert.falsy(head:find("never", 1, true))
  end)

  it("takes any number of headers", function()
    listen(function(_, request)
      local headers = {}
      for i = 1, 500 do
        headers["x-" .. i] = i
      end
      request:respond(200, headers)
    end)
    local _, count = curl("/", "-i"):gsub("x%-(%d+): %1\r\n", "")
    assert.equal(500, count)
  end)

  it("raises about answers that cannot be", function()
    local messages = {}
    listen(function(_, request)
      local function try(...)
        messages[#messages + 1] = raised(request.respond, request, ...)
      end
      try(99)
      try(600)
      try("x")
      try(200, { ["a b"] = "" })
      try(200, { a = "1\r\nb: 2" })
      try(200, { a = "\0" })
      try(200, { a = {} , b = { 1 } })
      try(200, { a = true })
      try(200, { "x" })
      try(200, nil, {})
      request:respond(200)
      try(200)
      messages[#messages + 1] = raised(request.begin, request, 200)
    end)
    assert.truthy(curl("/", "-i"):find "^HTTP/1.1 200 OK")
    local wanted = { "not a status", "not a status", "number expected", "'a b' is not one",
      "'a' is not one", "'a' is not one", "'b' must be a list of strings", "'a' must be a string",
      "must be strings", "string expected", "has an answer", "has an answer" }
    assert.equal(#wanted, #messages)
    for i, text in ipairs(wanted) do
      assert.truthy(messages[i]:find(text, 1, true), messages[i])
    end
  end)

  it("is answered later, and in any order", function()
    local requests = {}
    listen(function(_, request)
      requests[request:path()] = request
      if requests["/1"] and requests["/2"] then
        requests["/2"]:respond(200, nil, "second ")
        requests["/1"]:respond(200, nil, "first ")
      end
    end)
    local reply = run(("curl -s %s & curl -s %s; wait"):format(url "/1", url "/2"))
    assert.truthy(reply:find "first " and reply:find "second ")
  end)

  it("streams, and says when to go on", function()
    local block, sent, drains, streamed = ("x"):rep(100000), 0, 0, nil
    local function go_on(request)
      while sent < 200 do
        sent = sent + 1
        if request:write(block) > 0 then
          return
        end
      end
      request:finish()
    end
    listen(function(event, request)
      if event == "request" then
        streamed = request
        request:begin(200, { ["content-type"] = "text/plain" })
      else
        drains = drains + 1
        assert.is_true(rawequal(streamed, request))
      end
      go_on(request)
    end)
    assert.equal("20000000\n", run("curl -sN " .. url "/" .. " | (sleep 0.2; wc -c)"))
    assert.is_true(drains > 0)
  end)

  it("lets a stream be broken off", function()
    listen(function(_, request)
      request:begin(200)
      request:write "some"
      request:abort()
    end)
    assert.truthy(curl("/", "-w '%{exitcode}'"):find "some18$")
  end)

  it("knows who has gone, and drops the answer", function()
    local kept
    listen(function(_, request)
      kept = request
    end)
    local command = [[bash -c 'printf "GET / HTTP/1.0\r\n\r\n" > /dev/tcp/127.0.0.1/%d']]
    run(command:format(server:port()))
    while not (kept and kept:gone()) do
      loop.pump(0.01)
    end
    kept:respond(200, nil, "nobody reads this")
    assert.equal("/", kept:path())
  end)

  it("closes the connection of a request that is forgotten", function()
    listen(function() end)
    local collector
    local function collect()
      collectgarbage()
      collector = loop.after(0.05, collect)
    end
    collect()
    assert.equal("52", curl("/", "-w '%{exitcode}'"))
    collector:cancel()
  end)

  it("says that a body was too large", function()
    local seen
    listen(function(_, request)
      seen = { request:problem(), request:body() }
      request:respond(413, nil, "too large")
    end, { body_bytes = 10 })
    assert.equal("too large", curl("/", "-d 12345678901"))
    assert.same({ "body_too_large", "" }, seen)
  end)

  it("answers nonsense by itself", function()
    local called = false
    listen(function()
      called = true
    end)
    assert.truthy(raw "\\r\\nwhat?\\r\\n\\r\\n":find '^HTTP/1.1 400 .*{"message":"')
    assert.is_false(called)
  end)

  it("can be closed by its handler", function()
    listen(function(_, request)
      request:respond(200, nil, "bye")
      server:close()
      server:close()
    end)
    assert.equal("bye", curl "/")
    assert.equal("7", curl("/", "-w '%{exitcode}'"))
  end)

  it("leaves requests readable when it is closed", function()
    local kept
    listen(function(_, request)
      kept = request
      server:close()
    end)
    curl("/path", "-d body")
    assert.equal("/path", kept:path())
    assert.equal("body", kept:body())
    assert.is_true(kept:gone())
    kept:begin(200)
    assert.equal(0, kept:write "x")
    kept:finish()
    assert.equal("", kept:body())
  end)

  it("is something to wait for, and one of many", function()
    local count = 0
    local function handler(_, request)
      count = count + 1
      request:respond(200)
    end
    listen(handler)
    local other <close> = assert(loop.listen({}, handler))
    assert.is_true(other:port() ~= server:port())
    assert(os.execute(("(curl -s %s; curl -s http://127.0.0.1:%d) >/dev/null </dev/null &")
      :format(url "/", other:port())))
    assert.is_true(loop.wait(function()
      return count == 2
    end))
  end)

  it("is not something to wait for any more, once it is closed", function()
    listen(function() end)
    server:close()
    assert.truthy(raised(loop.wait, function() return false end):find "nothing is going on")
  end)

  it("says why it cannot listen", function()
    listen(function() end)
    local other, message = loop.listen({ port = server:port() }, function() end)
    assert.is_nil(other)
    assert.equal(("cannot listen on 127.0.0.1, port %d: Address already in use")
      :format(server:port()), message)
    other, message = loop.listen({ host = "192.0.2.1" }, function() end)
    assert.is_nil(other)
    assert.truthy(message:find("cannot listen on 192.0.2.1, port 0: ", 1, true))
  end)

  it("takes addresses of both kinds", function()
    local address
    server = loop.listen({ host = "::1" }, function(_, request)
      address = request:address()
      request:respond(200)
    end)
    if not server then
      return -- this machine has addresses of one kind only
    end
    run(("curl -sg http://[::1]:%d/"):format(server:port()))
    assert.equal("::1", address)
  end)

  it("raises about its options", function()
    local handle <close> = workers.open()
    local wrong = {
      [{ prot = 1 }] = "option 'prot' is not known",
      [{ port = "1" }] = "option 'port' must be an integer",
      [{ port = 65536 }] = "option 'port' is out of range",
      [{ port = -1 }] = "option 'port' is out of range",
      [{ connections = 0 }] = "option 'connections' is out of range",
      [{ body_bytes = 1.5 }] = "option 'body_bytes' must be an integer",
      [{ body_seconds = "1" }] = "option 'body_seconds' must be a number",
      [{ idle_seconds = 0 }] = "option 'idle_seconds' is out of range",
      [{ idle_seconds = 0 / 0 }] = "option 'idle_seconds' is out of range",
      [{ host = 1 }] = "option 'host' must be a string",
    }
    for options, message in pairs(wrong) do
      assert.truthy(raised(handle.listen, handle, options):find(message, 1, true))
    end
    assert.truthy(raised(handle.listen, handle):find "table expected")
  end)
end)
