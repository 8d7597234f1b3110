local aws_world = require "tests.lua.aws_world"

local success, refusal, log = aws_world.success, aws_world.refusal, aws_world.log

local function throttled(headers, reason)
  return refusal(429, "TooManyRequestsException",
    { Reason = reason or "ConcurrentInvocationLimitExceeded", message = "Rate Exceeded." }, headers)
end

describe("the backend for functions", function()
  local world

  before_each(function()
    world = aws_world.new()
  end)

  describe("sends invocations", function()
    it("signed, and hands out what comes back", function()
      world.open { qualifier = "live" }
      world.invoke()
      assert.same({}, world.outcomes)
      world.run(1)
      assert.equal(1, #world.outcomes)
      assert.equal("\xC7LP the rest", world.outcomes[1].bytes)
      assert.equal("8f3c1a2b-0000-4000-8000-000000000001", world.outcomes[1].request_id)
      local request = world.requests[1].request
      assert.equal("https://lambda.test/2015-03-31/functions/algorithms/invocations?Qualifier=live",
        request.url)
      assert.equal("POST", request.method)
      assert.equal("{}", request.body)
      assert.equal("Tail", request.headers["x-amz-log-type"])
      assert.matches("SignedHeaders=.*x%-amz%-log%-type", request.headers.authorization)
    end)

    it("to functions with an ARN, on endpoints with a path", function()
      world.endpoint = "http://127.0.0.1:1/base"
      world.open { function_name = "arn:aws:lambda:us-east-1:123456789012:function:f" }
      world.invoke()
      assert.equal("http://127.0.0.1:1/base/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1" ..
        "%3A123456789012%3Afunction%3Af/invocations", world.requests[1].request.url)
    end)

    it("to where the endpoint is now", function()
      world.open()
      world.invoke()
      world.endpoint = "http://127.0.0.1:2"
      world.invoke()
      assert.matches("^http://127%.0%.0%.1:2/", world.requests[2].request.url)
    end)

    it("for as long as tasks and function may take", function()
      world.open()
      world.invoke()
      assert.equal(60 + 0.04 + 10 + 30, world.requests[1].request.seconds)
      world.call = function() return { Configuration = { Timeout = 5, MemorySize = 128 } } end
      world.open()
      world.invoke()
      world.run(1)
      world.invoke()
      assert.equal(35, world.requests[3].request.seconds)
    end)

    it("1,000 at once and 100 more each second", function()
      function world.respond() return success(), 60 end
      world.open { workers = 2000 }
      world.invoke(2000)
      assert.equal(1000, #world.requests)
      world.run(1.05)
      assert.is_true(#world.requests >= 1099 and #world.requests <= 1106, #world.requests)
      world.run(20)
      assert.equal(2000, #world.requests)
    end)

    it("beyond 1,000 that have ended", function()
      world.open()
      world.invoke(1000)
      world.run(0.02)
      world.invoke(1000)
      assert.equal(2000, #world.requests)
    end)
  end)

  describe("with credentials", function()
    it("waits until they are there", function()
      local found = world.credentials
      world.credentials = nil
      function world.fetch()
        local completion = world.load "completion"
        completion.await({}, 3)
        world.credentials = found
        return found
      end
      world.open()
      world.invoke(3)
      assert.equal(0, #world.requests)
      world.run(2)
      assert.equal(0, #world.requests)
      world.run(2)
      assert.equal(3, #world.outcomes)
    end)

    it("ends all when there are none, and fetches once for all", function()
      local fetched = 0
      world.credentials = nil
      function world.fetch()
        fetched = fetched + 1
        error(setmetatable({ code = "NoCredentials" },
          { __tostring = function() return "no credentials\n  get some" end }))
      end
      world.open()
      world.invoke(5)
      world.run(0.1)
      assert.equal(5, #world.outcomes)
      for _, outcome in ipairs(world.outcomes) do
        assert.equal("lost", outcome.kind)
        assert.equal("NoCredentials", outcome.code)
        assert.equal("no credentials\n  get some", outcome.message)
        assert.is_true(outcome.final)
      end
      world.invoke(5)
      world.run(0.1)
      assert.equal(10, #world.outcomes)
      assert.equal(1, fetched)
      assert.equal(0, #world.requests)
      world.run(2)
      world.invoke()
      world.run(0.1)
      assert.equal(2, fetched)
    end)

    it("gets new ones when they have expired, once", function()
      local old, new = world.credentials, { access_key = "NEW", secret_key = "secret" }
      world.renewable = true
      function world.fetch()
        world.credentials = new
        return new
      end
      function world.respond(request)
        if request.headers.authorization:find "Credential=NEW/" then
          return success()
        end
        return refusal(403, "ExpiredTokenException")
      end
      world.open()
      world.invoke(3)
      world.run(1)
      assert.equal(3, #world.outcomes)
      assert.is_truthy(world.outcomes[3].bytes)
      assert.equal(6, #world.requests)
      assert.not_equal(old, world.credentials)

      function world.respond() return refusal(403, "ExpiredTokenException") end
      world.invoke()
      world.run(1)
      assert.equal(8, #world.requests)
      assert.equal("ExpiredTokenException", world.outcomes[4].code)
    end)

    it("does not wait for new ones that cannot be had", function()
      function world.respond() return refusal(403, "ExpiredTokenException") end
      world.open()
      world.invoke()
      world.run(1)
      assert.equal(1, #world.requests)
      assert.equal("ExpiredTokenException", world.outcomes[1].code)
    end)

    it("sets the clock by the service, once for all", function()
      local there = require("lambdapool.json") and 3600
      function world.respond(request)
        local stamp = request.headers["x-amz-date"]
        local now = os.date("!%Y%m%dT%H%M%SZ", math.floor(1700000000 + world.now + there))
        if stamp >= now:sub(1, 11) .. "0000Z" and stamp:sub(1, 11) == now:sub(1, 11) then
          return success()
        end
        return refusal(403, "InvalidSignatureException", { message = "Signature expired" },
          { date = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + there) })
      end
      world.open()
      world.invoke(2)
      world.run(1)
      assert.equal(4, #world.requests)
      assert.is_truthy(world.outcomes[1].bytes)
      assert.is_truthy(world.outcomes[2].bytes)
    end)
  end)

  describe("when it is throttled", function()
    it("has as many under way as the service allows", function()
      local running = 0
      function world.respond()
        if running >= 10 then
          return throttled { ["retry-after"] = "1" }
        end
        running = running + 1
        world.loop.after(0.1, function() running = running - 1 end)
        return success(), 0.1
      end
      world.open()
      world.invoke(200)
      world.run(60)
      assert.equal(200, #world.outcomes)
      for _, outcome in ipairs(world.outcomes) do
        assert.is_truthy(outcome.bytes)
      end
      assert.is_true(#world.requests < 430, #world.requests)
    end)

    it("waits as long as the service says", function()
      function world.respond(_, n)
        return n == 1 and throttled { ["retry-after"] = "7" } or success()
      end
      world.open()
      world.invoke()
      world.run(6.9)
      assert.equal(1, #world.requests)
      world.run(0.3)
      assert.equal(1, #world.outcomes)
    end)

    it("gives up after a minute in which nothing else runs", function()
      function world.respond() return throttled() end
      world.open()
      world.invoke(20)
      world.run(50)
      assert.equal(0, #world.outcomes)
      world.run(30)
      assert.equal(20, #world.outcomes)
      assert.equal("throttled", world.outcomes[1].kind)
      assert.is_true(world.outcomes[1].exhausted)
      assert.matches("Rate Exceeded", world.outcomes[1].message)
      local sent = #world.requests
      world.invoke()
      world.run(1)
      assert.equal(21, #world.outcomes)
      assert.equal(sent + 1, #world.requests)
    end)

    it("waits while others run, however long", function()
      function world.respond(_, n)
        if n == 1 then
          return success(), 300
        end
        return world.now < 1300 and throttled() or success()
      end
      world.open()
      world.invoke(2)
      world.run(299)
      assert.equal(0, #world.outcomes)
      world.run(20)
      assert.equal(2, #world.outcomes)
      assert.is_truthy(world.outcomes[2].bytes)
    end)

    it("gives up at once where nothing is allowed to run", function()
      function world.respond()
        return throttled(nil, "ReservedFunctionConcurrentInvocationLimitExceeded")
      end
      function world.call()
        return { Configuration = {}, Concurrency = { ReservedConcurrentExecutions = 0 } }
      end
      world.open()
      world.invoke(5)
      world.run(1)
      assert.equal(5, #world.outcomes)
      assert.equal("throttled", world.outcomes[1].kind)
    end)

    it("uses more again when it may", function()
      local limit = 2
      local running = 0
      function world.respond()
        if running >= limit then
          return throttled()
        end
        running = running + 1
        world.loop.after(0.1, function() running = running - 1 end)
        return success(), 0.1
      end
      world.open { workers = 50 }
      world.invoke(50)
      world.run(10)
      limit = 100
      world.outcomes = {}
      for _ = 1, 300 do
        world.invoke(math.max(0, 50 - world.pool:alive()))
        world.run(0.1)
      end
      assert.is_true(world.pool.pacing.window > 40, world.pool.pacing.window)
    end)
  end)

  describe("when a request did not get there", function()
    local function down(failure, sent)
      return { failure = failure or "connect", message = "cannot connect to lambda.test",
        sent = sent or false }
    end

    it("tries again for some seconds", function()
      function world.respond()
        return world.now < 1005 and down() or success()
      end
      world.open()
      world.invoke(3)
      world.run(20)
      assert.equal(3, #world.outcomes)
      assert.is_truthy(world.outcomes[1].bytes)
      assert.is_true(#world.requests < 60)
    end)

    it("gives up then", function()
      function world.respond() return down "resolve" end
      world.open()
      world.invoke(3)
      world.run(30)
      assert.equal(3, #world.outcomes)
      assert.equal("lost", world.outcomes[1].kind)
      assert.matches("cannot connect to lambda.test", world.outcomes[1].message)
    end)

    it("does not send again what may have run", function()
      for _, response in ipairs { down("reset", true), down("timeout", true), down("timeout"),
        refusal(500, "ServiceException"), refusal(503, nil), refusal(504, nil) } do
        local before = #world.requests
        function world.respond() return response end
        world.open()
        world.invoke()
        world.run(100)
        assert.equal(before + 1, #world.requests)
        assert.equal("lost", world.outcomes[1].kind)
        assert.is_falsy(world.outcomes[1].final)
      end
    end)

    it("has as many under way as before once it is over", function()
      for _, trouble in ipairs { down(), refusal(409, "ResourceConflictException") } do
        function world.respond()
          return trouble
        end
        world.open()
        world.invoke(500)
        world.run(3)
        function world.respond() return success(), 6 end
        world.flying, world.most = 0, 0
        world.run(8)
        assert.is_true(world.most > 400, world.most)
        world.run(30)
        assert.equal(500, #world.outcomes)
      end
    end)

    it("forgets trouble of long ago, and of another kind", function()
      local response
      function world.respond() return response end
      local pool = world.open()
      response = throttled()
      pool:cancel((world.invoke()))
      world.run(8)
      response = throttled()
      world.invoke()
      world.run(40)
      response = down()
      world.run(8)
      assert.equal(1, #world.outcomes)
      response = success()
      world.run(8)
      assert.is_truthy(world.outcomes[2].bytes)
      response = down()
      pool:cancel((world.invoke()))
      world.run(1)
      pool:cancel((world.invoke()))
      world.run(100)
      world.invoke()
      world.run(5)
      assert.equal(4, #world.outcomes)
    end)

    it("waits for a function that is being made", function()
      function world.respond(_, n)
        return n < 4 and refusal(409, "ResourceConflictException",
          { message = "The function is currently in the following state: Pending" }) or success()
      end
      world.open()
      world.invoke()
      world.run(30)
      assert.is_truthy(world.outcomes[1].bytes)
    end)
  end)

  describe("where it cannot send at all", function()
    it("says so when it is opened", function()
      world.endpoint = nil
      assert.has_error(function() world.open() end, "no such endpoint")
      assert.equal(1, world.accounts_closed)
    end)

    it("ends what waits", function()
      function world.respond() error("no descriptors", 0) end
      local pool = world.open()
      world.invoke(3)
      world.run(1)
      assert.equal(3, #world.outcomes)
      assert.equal("no descriptors", world.outcomes[3].message)
      assert.equal(0, pool:alive())
    end)
  end)

  describe("when it is refused", function()
    it("ends what waits and what comes next, with the words of AWS", function()
      function world.respond()
        return refusal(404, "ResourceNotFoundException", { Message = "Function not found: x" })
      end
      world.open { workers = 2 }
      world.invoke(2)
      world.run(0.5)
      world.invoke(10)
      world.run(0.1)
      assert.equal(12, #world.outcomes)
      assert.equal(2, #world.requests)
      assert.equal("ResourceNotFoundException", world.outcomes[12].code)
      assert.matches("Function not found: x", world.outcomes[12].message)
      assert.is_true(world.outcomes[12].final)
      world.run(2)
      world.invoke()
      assert.equal(3, #world.requests)
    end)

    it("ends only the one whose request was wrong", function()
      function world.respond(_, n)
        return n == 1 and refusal(400, "InvalidRequestContentException")
          or n == 2 and refusal(413, "RequestEntityTooLargeException") or success()
      end
      world.open()
      world.invoke(3)
      world.run(1)
      local kinds = {}
      for _, outcome in ipairs(world.outcomes) do
        kinds[outcome.kind or "answered"] = true
      end
      assert.same({ lost = true, too_large = true, answered = true }, kinds)
    end)
  end)

  describe("checks the function", function()
    local function settings()
      return { Configuration = { MemorySize = 128, Timeout = 30, Architectures = { "arm64" } } }
    end

    it("before it sends anything, when the pool wants more", function()
      world.call = settings
      world.open { wanted = { memory = 1769 } }
      world.invoke(3)
      world.run(1)
      assert.equal(0, #world.requests)
      assert.equal(3, #world.outcomes)
      assert.equal("the pool wants a memory of 1769 MB, and algorithms has 128 MB\n" ..
        "  run `lambdapool update algorithms --memory 1769`", world.outcomes[1].message)
      world.run(100)
      world.invoke()
      world.run(0.1)
      assert.equal(4, #world.outcomes)
    end)

    it("and goes on when it may not, or does not hear anything", function()
      world.open { wanted = { memory = 1769, timeout = 5 } }
      world.invoke(3)
      world.run(1)
      assert.equal(3, #world.outcomes)
      assert.is_truthy(world.outcomes[1].bytes)
      function world.call()
        world.load("completion").await({})
      end
      world.open { wanted = { timeout = 5 } }
      world.invoke(3)
      world.run(4)
      assert.equal(0, #world.outcomes)
      world.run(2)
      assert.equal(3, #world.outcomes)
    end)

    it("for nothing that it has", function()
      world.call = settings
      world.open { wanted = { memory = 128, timeout = 30 } }
      world.invoke()
      world.run(1)
      assert.is_truthy(world.outcomes[1].bytes)
    end)
  end)

  describe("counts what it costs", function()
    it("by the reports", function()
      function world.respond()
        return success { ["x-amz-log-result"] = log("", "Duration: 90 ms\tBilled Duration: 200 ms"
          .. "\tMemory Size: 1024 MB\tMax Memory Used: 35 MB\tInit Duration: 100.5 ms") }
      end
      local pool = world.open()
      world.invoke(10)
      world.run(1)
      local costs = pool:costs()
      assert.near(2, costs.billed_seconds, 1e-9)
      assert.near(2, costs.gb_seconds, 1e-9)
      assert.near(1.005, costs.init_seconds, 1e-9)
      assert.equal(35, costs.max_memory_used)
      assert.near(2 * 0.0000166667 + 10 * 2e-7, costs.cost, 1e-12)
      assert.equal(10, pool:started())
    end)

    it("and stops when the budget is used up", function()
      function world.respond()
        return success { ["x-amz-log-result"] = log("", "Duration: 1000 ms\tBilled Duration: " ..
          "1000 ms\tMemory Size: 1024 MB\tMax Memory Used: 35 MB") }, 1
      end
      local pool = world.open { max_cost = 0.001, workers = 10 }
      for _ = 1, 200 do
        world.invoke(10)
        world.run(1.5)
      end
      local answered, cancelled = 0, 0
      for _, outcome in ipairs(world.outcomes) do
        answered = answered + (outcome.bytes and 1 or 0)
        cancelled = cancelled + (outcome.kind == "cancelled" and 1 or 0)
      end
      assert.equal(2000, answered + cancelled)
      assert.is_true(pool:costs().cost <= 0.001, pool:costs().cost)
      assert.is_true(pool:costs().cost > 0.00095, pool:costs().cost)
      assert.equal("the budget of $0.0010 is used up", world.outcomes[2000].message)
      assert.is_true(world.ledger.exhausted)
    end)

    it("also of what nobody waits for any more, once it has left", function()
      function world.respond() return nil end
      local pool = world.open()
      pool:cancel((world.invoke()))
      world.run(1)
      assert.equal(0, pool:costs().cost)
      local ticket = world.invoke()
      world.run(10)
      pool:cancel(ticket)
      assert.near(10, pool:costs().billed_seconds, 0.01)
      assert.near(10 * 1769 / 1024 * 0.0000166667, pool:costs().cost, 1e-5)
    end)

    it("says so in a line", function()
      function world.respond()
        return success { ["x-amz-log-result"] = log "" }
      end
      world.open { backend = "local" }
      world.invoke(1)
      world.run(1)
      assert.same({ "0 tasks in 1 invocation of algorithms (us-east-1): 0.013 s billed at 128 MB, "
        .. "0 cold starts, would have cost about $0.00000023 (prices of 2025-08)" },
        world.ledger.summary())
    end)
  end)

  describe("prints what tasks print", function()
    it("and keeps it for errors", function()
      function world.respond()
        local response = success { ["x-amz-log-result"] = log "one\n\ntwo\n",
          ["x-amz-function-error"] = "Unhandled" }
        response.body = '{"errorType":"Runtime.ExitError","errorMessage":"RequestId: ' ..
          '8f3c1a2b-0000-4000-8000-000000000001 Error: Runtime exited with error: exit status 3"}'
        return response
      end
      world.open { prefix = true }
      world.invoke()
      world.run(1)
      assert.same({ "[8f3c1a2b] one\n", "[8f3c1a2b] \n", "[8f3c1a2b] two\n" }, world.printed)
      assert.equal("one\n\ntwo", world.outcomes[1].log)
      assert.equal("crashed", world.outcomes[1].kind)
      assert.equal("the worker ended: exit status 3", world.outcomes[1].message)
    end)
  end)

  describe("cancels", function()
    it("what waits, what is under way, and nothing else", function()
      function world.respond(_, n)
        return n == 1 and success() or n == 2 and throttled() or nil
      end
      local pool = world.open { workers = 3 }
      local a, b, c, d = world.invoke(4)
      world.run(0.1)
      assert.is_false(pool:cancel(a))
      for _, ticket in ipairs { b, c, d } do
        assert.is_true(pool:cancel(ticket))
        assert.is_false(pool:cancel(ticket))
      end
      assert.equal(1, #world.outcomes)
      world.run(10)
      assert.equal(4, #world.outcomes)
      assert.equal("cancelled", world.outcomes[4].kind)
      assert.is_true(world.requests[3].cancelled)
      assert.equal(4, #world.requests)
    end)

    it("and sends what the others have kept from it", function()
      function world.respond(_, n)
        return n > 4 and success() or nil
      end
      local pool = world.open { workers = 4, max_cost = 1.25e-5 }
      local a = world.invoke(6)
      assert.equal(4, #world.requests)
      pool:cancel(a)
      world.run(1)
      assert.equal(3, #world.outcomes)
      assert.equal(6, #world.requests)
    end)

    it("everything when it is closed", function()
      function world.respond() return nil end
      local pool = world.open { workers = 3 }
      world.invoke(4)
      pool:close()
      pool:close()
      world.run(10)
      assert.equal(0, #world.outcomes)
      assert.is_true(world.requests[3].cancelled)
      assert.equal(0, pool:alive())
      assert.equal(1, world.accounts_closed)
      assert.is_nil(pool:invoke("{}", {}, print))
    end)
  end)

  it("knows only of what waits that it has not begun", function()
    function world.respond() return nil end
    world.credentials = nil
    function world.fetch() world.load("completion").await({}) end
    local pool = world.open()
    local ticket = world.invoke()
    assert.equal(0, (pool:progress(ticket)))
    world.credentials = { access_key = "a", secret_key = "b" }
    ticket = world.invoke()
    assert.is_nil(pool:progress(ticket))
    assert.is_nil(pool:cut(ticket, 0))
  end)

  describe("where frames are drawn", function()
    before_each(function()
      world.load("frames").keep()
    end)

    -- Takes steps until there is nothing to do now; the most that count() rose in one of them.
    local function most_in_a_step(count)
      local most, before = 0, count()
      while world.loop.step() do
        most = math.max(most, count() - before)
        before = count()
      end
      return most
    end

    it("has ready what it needs before anything is submitted", function()
      world.open()
      assert.is_true(world.prepared)
    end)

    it("sends nothing while tasks are submitted, and then a few at a time", function()
      function world.respond() return nil end
      world.open()
      world.invoke(100)
      assert.equal(0, #world.requests)
      assert.equal(4, most_in_a_step(function() return #world.requests end))
      assert.equal(100, #world.requests)
    end)

    it("ends a few at a time when none can be sent", function()
      world.credentials = nil
      world.open()
      world.invoke(100)
      assert.equal(4, most_in_a_step(function() return #world.outcomes end))
      assert.equal(100, #world.outcomes)
      world.invoke(10)
      assert.equal(4, most_in_a_step(function() return #world.outcomes end))
      assert.equal(110, #world.outcomes)
    end)

    it("ends those that come while others end", function()
      world.credentials = nil
      world.open()
      world.invoke(6)
      while #world.outcomes < 4 do
        assert.is_true(world.loop.step())
      end
      world.invoke(3)
      most_in_a_step(function() return 0 end)
      assert.equal(9, #world.outcomes)
    end)
  end)
end)
