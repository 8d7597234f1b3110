--- Refusals: what answers say, what to do about them, and which exit code belongs to them.

local refusals = require "lambdapool.aws.refusal"

local function answer(status, body, headers, more)
  more = more or {}
  return refusals.of_response(more.service or "lambda", more.operation or "GetFunction", status,
    headers or {}, body, more)
end

local function typed(code, message, more)
  return answer(more and more.status or 400, ('{"Type":"User","message":%q}'):format(message),
    { ["x-amzn-errortype"] = code }, more)
end

describe("answers", function()
  it("say their code in many ways", function()
    for _, case in ipairs {
      { '{"message":"m"}', { ["x-amzn-errortype"] = "A" } },
      { '{"Message":"m"}', { ["x-amzn-errortype"] = "A:http://internal.amazon.com/coral/x/" } },
      { '{"__type":"com.amazonaws.logs#A","message":"m"}' },
      { '{"code":"A","message":"m"}' },
      { '{"Code":"A","errorMessage":"m","message":""}' },
      { ' {"Error":{"Code":"A","Message":"m"}}' },
      { "<ErrorResponse><Error><Code>A</Code><Message>m</Message></Error></ErrorResponse>" },
      { "\n<?xml version='1.0'?><Error><Code>A</Code><Message>m</Message></Error>" },
    } do
      local self = answer(400, case[1], case[2])
      assert.equal("lambda refused GetFunction: m (A)", tostring(self))
      assert.equal(1, self.exit)
      assert.is_true(refusals.is(self))
    end
  end)

  it("say more", function()
    local self = answer(429, '{"Reason":"CallerRateLimitExceeded","message":"m"}',
      { ["retry-after"] = "2", ["x-amzn-requestid"] = "id" })
    assert.equal("CallerRateLimitExceeded 2 id",
      ("%s %g %s"):format(self.reason, self.retry_after, self.request_id))
    for _, text in ipairs { "0x10", "1e3", "-1", "nan", "", " 7", "99999", ("9"):rep(400) } do
      assert.is_nil(answer(503, "", { ["retry-after"] = text }).retry_after)
    end
    assert.equal(0.25, answer(503, "", { ["x-amz-retry-after"] = "250" }).retry_after)
    assert.equal("x", answer(400, "<ErrorResponse><Error><Code>A</Code></Error>" ..
      "<RequestId>x</RequestId></ErrorResponse>").request_id)
    assert.equal("lambda refused GetFunction: m (HTTP 500, request id)\n" ..
      "  something between this machine and AWS has answered, perhaps a proxy",
      tostring(answer(500, '{"message":"m"}', { ["x-amzn-requestid"] = "id" })))
  end)

  it("may be of somebody else", function()
    local self = answer(502, "<html><head><TITLE> Bad\n Gateway </TITLE></head><body>...</body>",
      { ["content-type"] = "text/html" })
    assert.equal("lambda refused GetFunction: the answer is not of AWS (text/html): Bad Gateway " ..
      "(HTTP 502)\n  something between this machine and AWS has answered, perhaps a proxy",
      tostring(self))
    assert.equal("the answer is not of AWS: it is empty", answer(418, "").message)
    assert.matches("HTTPS_PROXY", answer(407, "").hint)
  end)

  it("keep apart what AWS has signed, without the token", function()
    local self = answer(403, '{"message":"The signature does not match.\\n\\nThe Canonical ' ..
      "String should have been\\n'POST\\nhost:x\\nx-amz-security-token:hush\\n'" .. '"}',
      { ["x-amzn-errortype"] = "InvalidSignatureException" })
    assert.equal("The signature does not match.", self.message)
    assert.matches("^The Canonical String .*x%-amz%-security%-token:%.%.%.\n'$", self.detail)
  end)

  it("cannot do harm", function()
    for _, body in ipairs { "[]", "{", '{"message":{}}', '{"message":7,"code":[]}', "<a",
      "\0\27[2J",
      '{"message":"\\u001b[2J\\n\\nx"}', ("x"):rep(1e6), '{"Error":[]}', '{"__type":"a b\\n"}',
      "<Error>" .. ("<a>"):rep(1000), '{"message":"' .. ("x"):rep(1e6) .. '"}' } do
      local self = answer(400, body, { ["x-amzn-errortype"] = "a b\27", ["retry-after"] = "-1",
        date = "yesterday" })
      assert.equal("HTTP 400", self.code)
      assert.not_matches("%c", self.message)
      assert.is_truthy(#tostring(self) < 5000)
      assert.is_nil(self.retry_after)
      assert.is_nil(self.skew)
    end
  end)
end)

describe("advice", function()
  local function check(self, exit, hint)
    assert.equal(exit, self.exit)
    assert.equal(hint, self.hint)
  end

  it("names what creates a function", function()
    check(typed("ResourceNotFoundException",
      "Function not found: arn:aws:lambda:eu-west-1:1:function:al_go-1:$LATEST",
      { region = "eu-west-1" }), 3,
      "create it with `lambdapool create al_go-1 PATHS`; `lambdapool list` shows what there is " ..
      "in eu-west-1")
    check(typed("ResourceConflictException", "Function already exist: f",
      { operation = "CreateFunction" }), 1, "change it with `lambdapool update f PATHS`")
    check(typed("ResourceConflictException", "The operation cannot be performed at this time. " ..
      "An update is in progress for resource: arn"), 1,
      "the function is being made or changed: try again in a moment")
  end)

  it("names the permission that is missing", function()
    local denied = "User: arn:aws:iam::1:user/me is not authorized to perform: %s on resource: %s"
    check(typed("AccessDeniedException", denied:format("lambda:InvokeFunction",
      "arn:aws:lambda:r:1:function:f because no identity-based policy allows it")), 4,
      "ask for lambda:InvokeFunction on arn:aws:lambda:r:1:function:f; " ..
      "`lambdapool permissions policy --for user` prints a policy")
    check(typed("AccessDenied", denied:format("iam:PassRole", "arn:aws:iam::1:role/x")), 4,
      "ask for iam:PassRole on arn:aws:iam::1:role/x; " ..
      "`lambdapool permissions policy --for deployer` prints a policy")
    check(typed("AccessDeniedException", denied:format("lambda:CreateFunction", "x") ..
      " with an explicit deny in a service control policy"), 4,
      "a policy denies lambda:CreateFunction explicitly: more permissions do not help, ask " ..
      "whoever administers the account")
    check(typed("AccessDenied", denied:format("sts:AssumeRole", "r")), 4,
      "ask for sts:AssumeRole on r; the trust policy of the role must allow it, too")
    check(typed("AccessDeniedException", "no"), 4,
      "ask whoever administers the account for the permission")
  end)

  it("is about credentials", function()
    local context = { source = "profile work", profile = "work" }
    check(typed("ExpiredTokenException", "x", context), 4, "get new ones, with `aws sso login " ..
      "--profile work` or as you got these; the credentials are from: profile work")
    check(typed("UnrecognizedClientException", "x", context), 4, "the access key is unknown " ..
      "there, or its session token is missing or wrong; the credentials are from: profile work")
    check(typed("InvalidSignatureException", "x", context), 4, "the secret key does not belong " ..
      "to the access key, or something on the way changes requests; the credentials are from: " ..
      "profile work")
    assert.equal(4, answer(403, "<html>").exit)
  end)

  it("is about the clock", function()
    local headers = { ["x-amzn-errortype"] = "InvalidSignatureException",
      date = "Sat, 21 Nov 2026 17:53:09 GMT" }
    local now = 1795283589
    check(answer(403, "{}", headers, { now = now - 1800 }), 4, "the clock of this machine is 30 " ..
      "minutes behind: set it, for example with `sudo timedatectl set-ntp true`")
    check(answer(403, "{}", headers, { now = now + 3 * 86400 }), 4, "the clock of this machine " ..
      "is 3 days ahead: set it, for example with `sudo timedatectl set-ntp true`")
    assert.matches("secret key", answer(403, "{}", headers, { now = now + 3600,
      skew = -3600 }).hint)
    assert.equal(-3600, answer(403, "{}", headers, { now = now + 3600 }).skew)
  end)

  it("is about too much", function()
    for _, reason in ipairs { "ConcurrentInvocationLimitExceeded",
      "ReservedFunctionConcurrentInvocationLimitExceeded", "Unheard" } do
      local self = answer(429, ('{"Reason":"%s","message":"m"}'):format(reason),
        { ["x-amzn-errortype"] = "TooManyRequestsException" })
      assert.equal(5, self.exit)
      assert.is_string(self.hint)
    end
    assert.equal(5, typed("CodeStorageExceededException", "m").exit)
  end)

  it("is about roles and logs", function()
    assert.matches("lambda.amazonaws.com", typed("InvalidParameterValueException",
      "The role defined for the function cannot be assumed by Lambda.").hint)
    assert.matches("%-%-role", typed("NoSuchEntity", "The role with name x cannot be found.",
      { service = "iam" }).hint)
    assert.matches("has not run yet", typed("ResourceNotFoundException", "m",
      { service = "logs" }).hint)
    check(typed("InvalidParameterValueException", "Uploaded file must be a non-empty zip"), 1, nil)
  end)

  it("is about the network", function()
    local function failed(kind, context)
      return refusals.of_failure("lambda", "Invoke", { failure = kind, message = "m",
        sent = false }, context)
    end
    local self = failed("resolve", { region = "us-esat-1" })
    assert.equal("lambda did not answer Invoke: m\n  check the region (us-esat-1) and the network",
      tostring(self))
    assert.equal(1, self.exit)
    assert.equal("the endpoint http://x is from AWS_ENDPOINT_URL",
      failed("connect", { url = "http://x", origin = "AWS_ENDPOINT_URL" }).hint)
    assert.matches("HTTPS_PROXY", failed("proxy").hint)
    assert.matches("AWS_CA_BUNDLE", failed("tls").hint)
    assert.matches("against /ca.pem", failed("tls", { ca = "/ca.pem" }).hint)
    assert.matches("^the endpoint https://x is from AWS_ENDPOINT_URL; .*AWS_CA_BUNDLE",
      failed("tls", { url = "https://x", origin = "AWS_ENDPOINT_URL" }).hint)
    assert.is_nil(failed("reset").hint)
  end)
end)
