--- Clients of AWS services: what they send, what they make of answers, when they try again.

local async = require("lambdapool.async").async
local crypto = require "lambdapool.crypto"
local http = require "lambdapool.http"
local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local retries = require "lambdapool.aws.retries"
local serve = require "lambdapool.serve"
local support = require "tests.lua.aws_support"
local system = require "lambdapool.system"

local server, answers, session

local refused = support.refused

-- What will do for every operation here.
local ANY = [[{"Configuration":{"FunctionName":"f","FunctionArn":"a"},"FunctionName":"f",
  "FunctionArn":"a","LayerVersionArn":"l","Version":1}]]

-- Opens a server that gives these answers one after the other, the last one for ever, and a session
-- for it.
local function open(...)
  answers = { ... }
  server = support.server(function(_, count)
    return table.unpack(answers[math.min(count, #answers)])
  end)
  session = support.session(nil, { region = "us-east-1", endpoint_url = server.url,
    credentials = { access_key = "AKID", secret_key = "secret" } })
  return session
end

local random = retries.random

before_each(function()
  retries.random = function() return 0 end
end)

after_each(function()
  retries.random = random
  http.close()
  if server then
    server:close()
    server = nil
  end
end)

local function lambda(operation, input)
  return session:lambda():call(operation, input)
end

describe("requests", function()
  it("have names in their paths as AWS wants them", function()
    open { 200, {}, ANY }
    lambda("GetFunction", { FunctionName = "arn:aws:lambda:us-east-1:123456789012:function:f",
      Qualifier = "$LATEST" })
    lambda("GetLayerVersion", { LayerName = "l/../x y", VersionNumber = 3 })
    lambda("UntagResource", { Resource = "arn:x", TagKeys = { "a b", "c&d" } })
    lambda("GetLayerVersionByArn", { Arn = "arn:y:1" })
    lambda "GetAccountSettings"
    local seen = {}
    for i, request in ipairs(server.requests) do
      seen[i] = ("%s %s?%s"):format(request.method, request.path, request.query or "")
    end
    assert.same({
      "GET /2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af?" ..
        "Qualifier=%24LATEST",
      "GET /2018-10-31/layers/l%2F..%2Fx%20y/versions/3?",
      "DELETE /2017-03-31/tags/arn%3Ax?tagKeys=a%20b&tagKeys=c%26d",
      "GET /2018-10-31/layers?find=LayerVersion&Arn=arn%3Ay%3A1",
      "GET /2016-08-19/account-settings?",
    }, seen)
  end)

  it("have the rest of the input as JSON, blobs as base64", function()
    open { 201, {}, (ANY:gsub("Version", "_")) }
    local input = { FunctionName = "f", Code = { ZipFile = "\0\xFFzip" }, Layers = {},
      Environment = { Variables = {} }, MemorySize = 128 }
    lambda("CreateFunction", input)
    assert.equal('{"Code":{"ZipFile":"' .. crypto.base64 "\0\xFFzip" .. '"},' ..
      '"Environment":{"Variables":{}},"FunctionName":"f","Layers":[],"MemorySize":128}',
      server.requests[1].body)
    assert.equal("application/json", server.requests[1].headers["content-type"])
    assert.equal("\0\xFFzip", input.Code.ZipFile)
    lambda("UpdateFunctionConfiguration", { FunctionName = "f" })
    assert.equal("{}", server.requests[2].body)
    lambda("DeleteFunction", { FunctionName = "f" })
    assert.equal("", server.requests[3].body)
  end)

  it("invoke with payloads as they are", function()
    open { 200, { ["x-amz-function-error"] = "Unhandled", ["x-amz-executed-version"] = "3",
      ["x-amz-log-result"] = crypto.base64 "START\nEND\n", ["x-amzn-requestid"] = "id" },
      "\xFFnot JSON" }
    assert.same({ StatusCode = 200, FunctionError = "Unhandled", ExecutedVersion = "3",
      LogResult = "START\nEND\n", RequestId = "id", Payload = "\xFFnot JSON" },
      lambda("Invoke", { FunctionName = "f", Payload = "[1]", InvocationType = "Event",
        LogType = "Tail", ClientContext = "{}", Qualifier = "3" }))
    local request = server.requests[1]
    assert.equal("/2015-03-31/functions/f/invocations", request.path)
    assert.equal("Qualifier=3", request.query)
    assert.equal("[1]", request.body)
    assert.equal("Event Tail e30=", table.concat({ request.headers["x-amz-invocation-type"],
      request.headers["x-amz-log-type"], request.headers["x-amz-client-context"] }, " "))
  end)

  it("are forms for IAM", function()
    open { 200, {}, "<TagRoleResponse/>" }
    session:iam():call("TagRole", { RoleName = "a b", Tags = { { Key = "k", Value = "v=&" },
      { Key = "l", Value = "" } } })
    assert.equal("Action=TagRole&Version=2010-05-08&RoleName=a%20b&Tags.member.1.Key=k&" ..
      "Tags.member.1.Value=v%3D%26&Tags.member.2.Key=l&Tags.member.2.Value=",
      server.requests[1].body)
    assert.matches("/us%-east%-1/iam/aws4_request", server.requests[1].headers.authorization)
  end)

  it("name their target for logs", function()
    open { 200, {}, '{"events":[]}' }
    assert.same({}, session:logs():call("FilterLogEvents", { logGroupName = "g",
      logStreamNames = {} }).events)
    local request = server.requests[1]
    assert.equal("Logs_20140328.FilterLogEvents", request.headers["x-amz-target"])
    assert.equal("application/x-amz-json-1.1", request.headers["content-type"])
    assert.equal('{"logGroupName":"g","logStreamNames":[]}', request.body)
  end)

  it("may go below a path, which is signed", function()
    open { 200, {}, ANY }
    session.endpoint_url = server.url .. "/proxy/aws/"
    lambda("GetFunction", { FunctionName = "f" })
    local request = server.requests[1]
    assert.equal("/proxy/aws/2015-03-31/functions/f", request.path)
    assert.equal("AKID", (crypto.authenticate({ method = "GET", path = request.path,
      headers = (function()
        local list = {}
        for name, value in pairs(request.headers) do
          list[#list + 1] = { name, value }
        end
        return list
      end)() }, { AKID = "secret" })))
  end)

  it("cannot be of operations that there are not, or without what they need", function()
    open { 200, {}, "{}" }
    assert.matches("unknown operation GetFunktion, did you mean 'GetFunction'",
      support.failure(lambda, "GetFunktion"))
    assert.matches("FunctionName is missing", support.failure(lambda, "GetFunction"))
    assert.matches("FunctionName is missing",
      support.failure(lambda, "Invoke", { FunctionName = "" }))
    assert.matches("unknown operation", support.failure(function()
      session:iam():call "CreateRolle"
    end))
    assert.equal(0, #server.requests)
  end)
end)

describe("answers", function()
  it("are decoded, without nulls", function()
    open { 200, {}, '{"Functions":[],"NextMarker":null,"A":{"B":null,"C":1}}' }
    assert.same({ Functions = {}, A = { C = 1 } }, lambda "ListFunctions")
  end)

  it("of IAM have their types", function()
    open { 200, {}, [[<GetRoleResponse><GetRoleResult><Role><RoleName>r</RoleName>
      <Arn>a</Arn><MaxSessionDuration> 3600
      </MaxSessionDuration><AssumeRolePolicyDocument>%7B%22a%22%3A1%7D</AssumeRolePolicyDocument>
      <Tags/></Role></GetRoleResult></GetRoleResponse>]] }
    assert.same({ Role = { RoleName = "r", Arn = "a", MaxSessionDuration = 3600,
      AssumeRolePolicyDocument = '{"a":1}', Tags = {} } },
      session:iam():call("GetRole", { RoleName = "r" }))
  end)

  it("may be empty", function()
    open({ 204, {}, "" }, { 202, {}, "" })
    assert.same({}, lambda("DeleteFunction", { FunctionName = "f" }))
    assert.same({}, lambda("DeleteFunction", { FunctionName = "f" }))
  end)

  it("that make no sense are refusals", function()
    for _, body in ipairs { "<html>", '{"a":', "[", "null", "7", '"x"', "\0", "{}{}" } do
      open { 200, {}, body }
      local problem = refused("MalformedAnswer", lambda, "ListFunctions")
      assert.equal(1, problem.exit)
      assert.equal(1, #server.requests)
      http.close()
      server:close()
    end
    for _, body in ipairs { "{}", "", "<a>", "<html/>", "<GetUserResponse/>",
      "<!DOCTYPE a [<!ENTITY b 'c'>]><GetCallerIdentityResponse/>" } do
      open { 200, {}, body }
      refused("MalformedAnswer", function() session:sts():call "GetCallerIdentity" end)
      http.close()
      server:close()
    end
    server = nil
  end)
end)

describe("answers of another shape", function()
  local FUNCTION = '"FunctionName":"f","FunctionArn":"a"'

  it("are refusals that say what is wrong", function()
    for _, case in ipairs {
      { "ListFunctions", '{"Functions":7}', "output.Functions is no list" },
      { "ListFunctions", '{"Functions":{"a":1}}', "output.Functions is no list" },
      { "ListFunctions", '{"Functions":[7]}', "output.Functions.1 is no object" },
      { "ListFunctions", '{"Functions":[{}]}', "output.Functions.1.Function%a+ is missing" },
      { "ListFunctions", '{"Functions":[null,{' .. FUNCTION .. "}]}",
        "output.Functions has gaps" },
      { "ListFunctions", '{"NextMarker":{}}', "output.NextMarker is no text" },
      { "GetFunction", "{}", "output.Configuration is missing" },
      { "GetFunction", '[{"a":1}]', "it is a list" },
      { "GetFunction", '{"Configuration":[]}', "output.Configuration.Function%a+ is missing" },
      { "GetFunctionConfiguration", "{" .. FUNCTION .. ',"MemorySize":"big"}',
        "output.MemorySize is no integer" },
      { "GetFunctionConfiguration", "{" .. FUNCTION .. ',"MemorySize":1.5}',
        "output.MemorySize is no integer" },
      { "GetFunctionConfiguration", "{" .. FUNCTION .. ',"Layers":[{"Arn":1}]}',
        "output.Layers.1.Arn is no text" },
      { "GetFunctionConfiguration", "{" .. FUNCTION .. ',"Environment":{"Variables":{"a":[]}}}',
        "output.Environment.Variables.a is no text" },
      { "GetFunctionConfiguration", "{" .. FUNCTION .. ',"Environment":{"Variables":["a"]}}',
        "output.Environment.Variables is no object" },
    } do
      open { 200, {}, case[2] }
      local problem = refused("MalformedAnswer", lambda, case[1], { FunctionName = "f" })
      assert.matches("^the answer makes no sense: " .. case[3] .. "$", problem.message)
      http.close()
      server:close()
    end
    server = nil
  end)

  it("of XML are, too", function()
    for _, body in ipairs { "<GetRoleResponse/>",
      "<GetRoleResponse><GetRoleResult><Role>x</Role>" .. "</GetRoleResult></GetRoleResponse>",
      "<GetRoleResponse><GetRoleResult><Role><RoleName>" ..
      "<a/></RoleName><Arn>b</Arn></Role></GetRoleResult></GetRoleResponse>" } do
      open { 200, {}, body }
      refused("MalformedAnswer", function() session:iam():call("GetRole", { RoleName = "r" }) end)
      http.close()
      server:close()
    end
    server = nil
  end)
end)

describe("retries", function()
  local BUSY = { 503, {}, '{"message":"busy"}' }
  local THROTTLED = { 429, { ["x-amzn-errortype"] = "TooManyRequestsException" },
    '{"Reason":"CallerRateLimitExceeded","message":"Rate exceeded"}' }
  local FINE = { 200, {}, "{}" }

  it("come after trouble that may pass", function()
    open(BUSY, THROTTLED, FINE)
    assert.same({}, lambda "ListFunctions")
    local ids = {}
    for i, request in ipairs(server.requests) do
      ids[request.headers["amz-sdk-invocation-id"]] = true
      assert.equal("attempt=" .. i, request.headers["amz-sdk-request"])
    end
    assert.equal(3, #server.requests)
    assert.is_nil(next(ids, next(ids)))
  end)

  it("are two at most", function()
    open(THROTTLED)
    local problem = refused("TooManyRequestsException", lambda, "ListFunctions")
    assert.equal(3, #server.requests)
    assert.equal("3 5 CallerRateLimitExceeded", ("%d %d %s"):format(problem.attempts, problem.exit,
      problem.reason))
  end)

  it("are as many as the environment says", function()
    open(BUSY)
    session = support.session(nil, { region = "x-1", endpoint_url = server.url,
      variables = { AWS_MAX_ATTEMPTS = "1" },
      credentials = { access_key = "AKID", secret_key = "secret" } })
    refused("HTTP 503", lambda, "ListFunctions")
    assert.equal(1, #server.requests)
  end)

  it("come after connections that break", function()
    open({}, {}, FINE)
    assert.same({}, lambda "ListFunctions")
    assert.equal(3, #server.requests)
  end)

  it("do not come after refusals", function()
    for _, status in ipairs { 400, 403, 404, 409, 413, 415 } do
      open { status, {}, '{"message":"no","__type":"SomeException"}' }
      refused("SomeException", lambda, "ListFunctions")
      assert.equal(1, #server.requests)
      http.close()
      server:close()
    end
    server = nil
  end)

  it("never send an invocation twice that may have run", function()
    for _, answer in ipairs { BUSY, { 500, {}, "" }, { 502, {}, "<html>" }, {} } do
      open(answer)
      support.failure(lambda, "Invoke", { FunctionName = "f", Payload = "1" })
      assert.equal(1, #server.requests)
      http.close()
      server:close()
    end
    open(THROTTLED, FINE)
    lambda("Invoke", { FunctionName = "f" })
    assert.equal(2, #server.requests)
  end)

  it("wait as long as the service asks", function()
    open({ 429, { ["retry-after"] = "1" }, "{}" }, { 503, { ["x-amz-retry-after"] = "200" }, "{}" },
      FINE)
    local before = system.monotonic()
    lambda "ListFunctions"
    assert.is_truthy(system.monotonic() - before >= 1.2)
  end)

  it("end when everything fails", function()
    open(BUSY)
    for _ = 1, 18 do
      support.failure(lambda, "ListFunctions")
    end
    local before = #server.requests
    support.failure(lambda, "ListFunctions")
    assert.equal(before + 1, #server.requests)
  end)

  it("come after no answer at all", function()
    open(FINE)
    server:close()
    local problem = refused("NetworkFailure", lambda, "ListFunctions")
    assert.equal("connect", problem.failure)
    assert.is_false(problem.sent)
    assert.matches("^lambda did not answer ListFunctions: ", tostring(problem))
    assert.matches("\n  the endpoint http://127.0.0.1:%d+ is from endpoint_url$", tostring(problem))
    server = nil
  end)
end)

describe("tokens", function()
  it("that have ended are replaced once", function()
    local given, over = 0, 1
    server = support.server(function(request)
      if request.path == "/credentials" then
        given = given + 1
        return 200, {}, ('{"AccessKeyId":"K%d","SecretAccessKey":"S","Token":"T"}'):format(given)
      elseif given <= over then
        return 403, { ["x-amzn-errortype"] = "ExpiredTokenException" }, '{"message":"It is over"}'
      end
      return 200, {}, "{}"
    end)
    session = support.session(nil, { region = "us-east-1", endpoint_url = server.url,
      variables = { AWS_CONTAINER_CREDENTIALS_FULL_URI = server.url .. "/credentials" } })
    assert.same({}, lambda "ListFunctions")
    assert.equal(2, given)
    over = 9
    local problem = refused("ExpiredTokenException", lambda, "ListFunctions")
    assert.equal(3, given)
    assert.equal(4, problem.exit)
    assert.matches("^get new ones, .*the credentials service of the container$", problem.hint)
  end)

  it("that were given are not", function()
    open { 403, { ["x-amzn-errortype"] = "ExpiredTokenException" }, '{"message":"It is over"}' }
    refused("ExpiredTokenException", lambda, "ListFunctions")
    assert.equal(1, #server.requests)
  end)
end)

describe("services that move", function()
  it("are waited for", function()
    open { 200, {}, "{}" }
    local gone = support.server(function() end)
    session = support.session(nil, { region = "r", endpoint_url = gone.url, patience = 60,
      credentials = { access_key = "AKID", secret_key = "secret" } })
    gone:close()
    local waiting = async(function() return lambda "ListFunctions" end)
    loop.wait(function() return false end, nil, 0.3)
    assert.is_false(waiting:done())
    session.endpoint_url = server.url
    assert.same({}, waiting:result())
  end)
end)

describe("pages", function()
  it("follow each other", function()
    open({ 200, {}, '{"Functions":[{"FunctionName":"1","FunctionArn":"a"},' ..
      '{"FunctionName":"2","FunctionArn":"b"}],"NextMarker":"a b"}' },
      { 200, {}, '{"Functions":[],"NextMarker":"c"}' },
      { 200, {}, '{"NextMarker":"d"}' },
      { 200, {}, '{"Functions":[{"FunctionName":"3","FunctionArn":"a"}],"NextMarker":""}' })
    local seen = {}
    for i, item in session:lambda():pages("ListFunctions", { MaxItems = 2 }, "Functions") do
      seen[i] = item.FunctionName
    end
    assert.same({ "1", "2", "3" }, seen)
    assert.equal("Marker=a%20b&MaxItems=2", server.requests[2].query)
    assert.equal("Marker=d&MaxItems=2", server.requests[4].query)
    assert.equal(4, #server.requests)
  end)

  it("are asked for when they are needed", function()
    open { 200, {}, '{"Functions":[{"FunctionName":"1","FunctionArn":"a"}],"NextMarker":"a"}' }
    local following = session:lambda():pages("ListFunctions", nil, "Functions")
    assert.equal(0, #server.requests)
    assert.equal(1, (following()))
    assert.equal(1, #server.requests)
  end)

  it("that do not end are refused", function()
    open { 200, {}, '{"Functions":[],"NextMarker":"a"}' }
    refused("MalformedAnswer", function()
      for _ in session:lambda():pages("ListFunctions", {}, "Functions") do
        error "there is nothing"
      end
    end)
    assert.equal(2, #server.requests)
  end)

  it("of log events end when they repeat themselves", function()
    open({ 200, {}, '{"events":[{"message":"1"}],"nextForwardToken":"a"}' },
      { 200, {}, '{"events":[{"message":"2"}],"nextForwardToken":"b"}' },
      { 200, {}, '{"events":[],"nextForwardToken":"b"}' })
    local seen = {}
    for i, event in session:logs():pages("GetLogEvents", { logGroupName = "g" }, "events") do
      seen[i] = event.message
    end
    assert.same({ "1", "2" }, seen)
    assert.equal("b", json.decode(server.requests[3].body).nextToken)
  end)

  it("of IAM say whether they go on", function()
    open { 200, {}, [[<ListRolesResponse><ListRolesResult><IsTruncated>false</IsTruncated>
      <Marker>x</Marker><Roles><member><RoleName>r</RoleName><Arn>a</Arn></member></Roles>
      </ListRolesResult></ListRolesResponse>]] }
    for i, role in session:iam():pages("ListRoles", {}, "Roles") do
      assert.equal("1 r", i .. " " .. role.RoleName)
    end
    assert.equal(1, #server.requests)
  end)
end)

describe("against a service", function()
  local state, service

  before_each(function()
    state = support.home()
    service = assert(serve.open { dir = state.path .. "/s", port = 0, access_key = "AKID",
      secret_key = "secret" })
  end)

  after_each(function()
    http.close()
    service:close()
    state:remove()
  end)

  local function connect(options)
    options.region, options.endpoint_url = "eu-west-1", service.url
    options.credentials = options.credentials or { access_key = "AKID", secret_key = "secret" }
    session = support.session(nil, options)
    return session
  end

  it("the clock is set once", function()
    for _, skew in ipairs { -7200, 100000 } do
      connect { now = function() return system.now() / 1000 + skew end }
      assert.same({}, lambda "ListFunctions".Functions)
      assert.is_truthy(math.abs(session.skew + skew) < 60)
      assert.same({}, lambda "ListFunctions".Functions)
    end
  end)

  it("a wrong secret is refused once", function()
    connect { credentials = { access_key = "AKID", secret_key = "wrong" } }
    local problem = refused("InvalidSignatureException", lambda, "ListFunctions")
    assert.equal(4, problem.exit)
    assert.matches("the secret key does not belong to the access key", problem.hint)
    assert.not_matches("Canonical", problem.message)
    assert.equal(0, session.skew)
  end)

  it("an unknown key is refused", function()
    connect { credentials = { access_key = "OTHER", secret_key = "hush" } }
    local problem = refused("UnrecognizedClientException", lambda, "ListFunctions")
    assert.matches("%(from endpoint_url%) does not know the access key; the credentials are from",
      problem.hint)
    assert.not_matches("hush", tostring(problem))
  end)

  it("many flows ask at the same time", function()
    connect {}
    local futures = {}
    for i = 1, 50 do
      futures[i] = async(function() return lambda "ListFunctions".Functions end)
    end
    for _, future in ipairs(futures) do
      assert.same({}, future:result())
    end
  end)
end)
