local answers = require "lambdapool.backend.aws.answers"
local aws_world = require "tests.lua.aws_world"
local json = require "lambdapool.json"

local refusal = aws_world.refusal
local WHERE = { name = "algorithms", context = {} }

-- The outcome of a function error.
local function failed(body, report)
  local response = aws_world.success { ["x-amz-function-error"] = "Unhandled" }
  response.body = type(body) == "table" and json.encode(body) or body
  local verdict, outcome = answers.read(response, WHERE, report)
  assert.equal("ended", verdict)
  assert.is_nil(outcome.bytes)
  assert.equal("8f3c1a2b-0000-4000-8000-000000000001", outcome.request_id)
  return outcome
end

local function platform(error_type, message, report)
  return failed({ errorType = error_type,
    errorMessage = "RequestId: 8f3c1a2b-0000-4000-8000-000000000001 Error: " .. message }, report)
end

describe("answers of functions that failed", function()
  it("tell timeouts, in all the forms there were", function()
    for _, outcome in ipairs {
      platform("Sandbox.Timedout", "Task timed out after 900.00 seconds"),
      failed { errorMessage =
        "2024-05-01T00:00:00.000Z 8f3c1a2b Task timed out after 900.00 seconds" },
      failed "Task timed out after 900.00 seconds",
    } do
      assert.equal("timeout", outcome.kind)
      assert.equal("algorithms ended the worker when its time was up, after 900 s",
        outcome.message)
      assert.is_nil(outcome.final)
    end
  end)

  it("tell want of memory", function()
    local full = { memory = 256, peak = 256 }
    for _, outcome in ipairs {
      platform("Runtime.OutOfMemory", "Runtime exited with error: signal: killed", full),
      platform("Runtime.ExitError", "Runtime exited with error: signal: killed", full),
    } do
      assert.equal("out_of_memory", outcome.kind)
      assert.equal("the worker ran out of memory, of which it has 256 MB\n" ..
        "  run `lambdapool update algorithms --memory 512`", outcome.message)
    end
    assert.equal("out_of_memory",
      platform("Runtime.ExitError", "Runtime exited with error: signal: killed").kind)
  end)

  it("tell crashes", function()
    local outcome = platform("Runtime.ExitError", "Runtime exited with error: exit status 3")
    assert.equal("crashed", outcome.kind)
    assert.equal("the worker ended: exit status 3", outcome.message)
    assert.equal("Runtime.ExitError", outcome.code)
    outcome = platform("Runtime.ExitError", "Runtime exited with error: signal: killed",
      { memory = 256, peak = 30 })
    assert.equal("crashed", outcome.kind)
    outcome = platform("Runtime.ExitError", "Runtime exited without providing a reason")
    assert.equal("the worker ended: exited without providing a reason", outcome.message)
    assert.equal("crashed", platform("Runtime.SomethingNew", "what").kind)
  end)

  it("tell results that are too large", function()
    local outcome = failed { errorType = "Function.ResponseSizeTooLarge",
      errorMessage = "Response payload size exceeded maximum allowed payload size " ..
        "(6291556 bytes)." }
    assert.equal("too_large", outcome.kind)
    assert.matches("6291556 bytes", outcome.message)
  end)

  it("tell agents of another version", function()
    for _, outcome in ipairs {
      failed { errorType = "Lambdapool.CallVersion",
        errorMessage = "the agent is older than the client: it runs calls of version 1, not 2" },
      failed { errorType = "Lambdapool.InvalidCall",
        errorMessage = "this worker understands calls of version 1, not 2" },
    } do
      assert.equal("lost", outcome.kind)
      assert.is_true(outcome.final)
      assert.matches("calls of version 1", outcome.message)
      assert.matches("\n  run `lambdapool update algorithms`$", outcome.message)
    end
    assert.equal("lost", failed { errorType = "Lambdapool.InvalidCall",
      errorMessage = "malformed call" }.kind)
  end)

  it("tell functions that cannot start", function()
    local outcome = platform("Runtime.InvalidEntrypoint",
      "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
    assert.equal("crashed", outcome.kind)
    assert.is_true(outcome.final)
    assert.matches("^the worker of algorithms could not start: Couldn't find valid bootstrap",
      outcome.message)
  end)

  it("tell errors that are not ours", function()
    local outcome = failed { errorType = "KeyError", errorMessage = "'call'",
      stackTrace = { "x" } }
    assert.equal("crashed", outcome.kind)
    assert.equal("algorithms failed by itself: KeyError: 'call'", outcome.message)
  end)

  it("take any body", function()
    for _, body in ipairs { "", "null", "[]", "{}", '"text"', "17", "{", "<html>", "\0\255",
      '{"errorMessage":17,"errorType":{}}', ("x"):rep(100000) } do
      local outcome = failed(body)
      assert.equal("crashed", outcome.kind)
      assert.is_true(#outcome.message < 1000)
      assert.is_nil(outcome.message:find "[%c\128-\255]")
    end
  end)
end)

describe("answers without an error", function()
  it("are those of workers, or not", function()
    local _, outcome = answers.read(aws_world.success(), WHERE)
    assert.equal("\xC7LP the rest", outcome.bytes)

    local response = aws_world.success()
    response.body = '{"statusCode":200}'
    _, outcome = answers.read(response, WHERE)
    assert.equal("lost", outcome.kind)
    assert.is_true(outcome.final)
    assert.equal('algorithms is no function of lambdapool\'s; it answered {"statusCode":200}\n' ..
      "  make one with `lambdapool create NAME`", outcome.message)
  end)

  it("may come from something in between", function()
    local verdict, outcome = answers.read({ status = 200, headers = {
      ["content-type"] = "text/html" }, body = "<html>Please log in</html>" }, WHERE)
    assert.equal("ended", verdict)
    assert.equal("lost", outcome.kind)
    assert.equal("what answered is not AWS Lambda (text/html): <html>Please log in</html>",
      outcome.message)
    outcome = select(2, answers.read({ status = 200, headers = {}, body = "" }, WHERE))
    assert.equal("what answered is not AWS Lambda: it is empty", outcome.message)
  end)
end)

describe("refusals", function()
  local function verdict(...)
    return (answers.read(refusal(...), WHERE))
  end

  it("that let us try again", function()
    assert.equal("throttled", verdict(429, "TooManyRequestsException"))
    assert.equal("throttled", verdict(429, nil))
    assert.equal("pending", verdict(409, "ResourceConflictException"))
    assert.equal("pending", verdict(502, "ResourceNotReadyException"))
    assert.equal("stale", verdict(403, "ExpiredTokenException"))
    assert.equal("skewed", verdict(403, "InvalidSignatureException"))
    assert.equal("skewed", verdict(403, "RequestTimeTooSkewed"))
  end)

  it("that hold for every request", function()
    for _, code in ipairs { "ResourceNotFoundException", "AccessDeniedException",
      "UnrecognizedClientException", "ValidationException" } do
      assert.equal("refused", verdict(404, code))
    end
  end)

  it("that hold for one", function()
    for _, response in ipairs { refusal(500, "ServiceException"), refusal(503, nil),
      refusal(400, "InvalidRequestContentException"), refusal(302, nil), refusal(204, nil) } do
      local answer, outcome = answers.read(response, WHERE)
      assert.equal("ended", answer)
      assert.equal("lost", outcome.kind)
    end
  end)

  it("keep AWS's words and what to do", function()
    local _, found = answers.read(refusal(404, "ResourceNotFoundException",
      { Message = "Function not found: arn:aws:lambda:us-east-1:1:function:algorithms" }), WHERE)
    local outcome = answers.lost(found)
    assert.equal("lost", outcome.kind)
    assert.equal("ResourceNotFoundException", outcome.code)
    assert.matches("Function not found: arn", outcome.message)
    assert.matches("lambdapool create", outcome.message)
    assert.is_true(outcome.final)
  end)
end)

describe("no answers", function()
  it("mean that nothing ran, or that it may have", function()
    local function verdict(failure, sent)
      local found, outcome = answers.read({ failure = failure, message = "no", sent = sent }, WHERE)
      return found, outcome.kind
    end
    for _, failure in ipairs { "resolve", "connect", "tls", "proxy", "reset" } do
      assert.equal("unreachable", (verdict(failure, false)))
    end
    for _, failure in ipairs { "timeout", "reset", "malformed", "too_large" } do
      assert.same({ "ended", "lost" }, { verdict(failure, true) })
    end
    assert.same({ "ended", "lost" }, { verdict("timeout", false) })
    assert.equal("refused", (verdict("refused_url", false)))
    for _, failure in ipairs {
      { "tls", "cannot connect to x securely: SSL certificate problem: self-signed certificate" },
      { "proxy", "cannot connect to x through the proxy: response 407 from proxy after CONNECT" },
    } do
      assert.equal("refused", (answers.read({ failure = failure[1], message = failure[2],
        sent = false }, WHERE)))
    end
  end)
end)
