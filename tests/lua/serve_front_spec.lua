--- The front of the service as its clients see it: signed and unsigned requests over HTTP, sent by
--- curl beside this process, which serves them.

local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local serve = require "lambdapool.serve"
local sigv4 = require "lambdapool.aws.sigv4"
local system = require "lambdapool.system"

local INVALID = "The security token included in the request is invalid."
local MISMATCH = "The request signature we calculated does not match the signature you " ..
  "provided. Check your AWS Secret Access Key and signing method. Consult the service " ..
  "documentation for details."

local folder, service, now, entries, problems

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

local function write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- Waits until a file is there; the loop goes on meanwhile.
local function wait_for(path)
  local deadline = system.monotonic() + 60
  while not read(path) do
    assert(system.monotonic() < deadline, "no answer")
    loop.wait(function() return false end, nil, 0.005)
  end
end

local function parse(text)
  local head, body = text:match "^(.-)\r\n\r\n(.*)$"
  local headers = {}
  for name, value in head:gmatch "\r\n([^:\r]+): ([^\r]*)" do
    headers[name:lower()] = value
  end
  return math.tointeger(tonumber(head:match "^HTTP/1.1 (%d+)")), headers, body
end

-- Sends a request. Returns its status, headers and body.
local function send(method, path, headers, body)
  write(folder .. "/body", body or "")
  local words = { "curl -sS -m 50 -i -X", method, quote(service.url .. path), "-H 'Expect:'" }
  for name, value in pairs(headers or {}) do
    words[#words + 1] = "-H " .. quote(name .. ": " .. value)
  end
  if body then
    words[#words + 1] = "--data-binary @" .. folder .. "/body"
  end
  os.remove(folder .. "/answer")
  os.execute(("{ %s >%s/part; mv %s/part %s/answer; } 2>/dev/null &"):format(
    table.concat(words, " "), folder, folder, folder))
  wait_for(folder .. "/answer")
  return parse(read(folder .. "/answer"))
end

-- Signs a request and returns its headers; `options` may also have `headers` and the credentials.
local function sign(method, path, body, options)
  local headers = options.headers or {}
  if body then
    headers["content-type"] = headers["content-type"] or "application/json"
  end
  headers.host = service.url:match "//(.*)$"
  return sigv4.sign({ method = method, path = path, headers = headers, body = body },
    { access_key = options.access_key or "AKID", secret_key = options.secret_key or "secret",
      token = options.token },
    { service = options.service or "lambda", region = options.region or "us-east-1",
      time = options.time or now() }, headers)
end

local function signed(method, path, body, options)
  return send(method, path, sign(method, path, body, options or {}), body)
end

-- A path with a signature for a minute in its query.
local function presigned(path)
  return path .. "?" .. sigv4.presign(
    { path = path, headers = { host = service.url:match "//(.*)$" } },
    { access_key = "AKID", secret_key = "secret" },
    { service = "lambda", region = "us-east-1", time = now(), expires = 60 })
end

local function query(scope, text, options)
  options = options or {}
  options.service, options.headers = scope,
    { ["content-type"] = "application/x-www-form-urlencoded; charset=utf-8" }
  return signed("POST", "/", text, options)
end

local function logs(operation, body)
  return signed("POST", "/", body, { service = "logs",
    headers = { ["x-amz-target"] = "Logs_20140328." .. operation,
      ["content-type"] = "application/x-amz-json-1.1" } })
end

setup(function()
  folder = os.tmpname()
  os.remove(folder)
  entries, problems = {}, {}
  now = function() return system.now() / 1000 end
  service = assert(serve.open {
    dir = folder, port = 0, access_key = "AKID", secret_key = "secret",
    now = function() return now() end,
    log = function(entry) entries[#entries + 1] = entry end,
    complain = function(problem) problems[#problems + 1] = problem end,
  })
end)

teardown(function()
  service:close()
  os.execute("rm -rf " .. folder)
end)

before_each(function()
  entries, problems = {}, {}
  now = function() return system.now() / 1000 end
end)

describe("who did not sign", function()
  it("is told so by Lambda", function()
    local status, headers, body = send("GET", "/2015-03-31/functions")
    assert.equal(403, status)
    assert.equal("MissingAuthenticationTokenException", headers["x-amzn-errortype"])
    assert.equal("application/json", headers["content-type"])
    assert.matches("^%x+%-%x+%-4%x+%-%x+%-%x+$", headers["x-amzn-requestid"])
    assert.equal('{"message":"Missing Authentication Token"}', body)
    status = send("POST", "/2015-03-31/functions/f/invocations", {}, "{}")
    assert.equal(403, status)
  end)

  it("is told so by IAM and STS", function()
    local status, headers, body = send("POST", "/", {}, "Action=ListRoles&Version=2010-05-08")
    assert.equal(403, status)
    assert.equal("text/xml", headers["content-type"])
    assert.equal('<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>' ..
      "<Type>Sender</Type><Code>MissingAuthenticationToken</Code><Message>Request is missing " ..
      "Authentication Token</Message></Error><RequestId>" .. headers["x-amzn-requestid"] ..
      "</RequestId></ErrorResponse>", body)
    body = select(3, send("POST", "/", {}, "Action=GetCallerIdentity&Version=2011-06-15"))
    assert.matches("https://sts.amazonaws.com/doc/2011-06-15/", body, 1, true)
  end)

  it("is told so by CloudWatch Logs", function()
    local status, _, body = send("POST", "/", { ["X-Amz-Target"] = "Logs_20140328.X",
      ["Content-Type"] = "application/x-amz-json-1.1" }, "{}")
    assert.equal(403, status)
    assert.same({ __type = "MissingAuthenticationTokenException",
      message = "Missing Authentication Token" }, json.decode(body))
  end)
end)

describe("who signed wrongly", function()
  local function lambda(options)
    local status, headers, body = signed("GET", "/2015-03-31/functions", nil, options)
    return status, headers["x-amzn-errortype"], json.decode(body).message
  end

  it("with an unknown key", function()
    local status, kind, message = lambda { access_key = "AKOTHER" }
    assert.same({ 403, "UnrecognizedClientException", INVALID }, { status, kind, message })
    local _, _, body = query("iam", "Action=ListRoles", { access_key = "AKOTHER" })
    assert.matches("<Code>InvalidClientTokenId</Code><Message>" .. INVALID, body, 1, true)
  end)

  it("with a wrong secret", function()
    local status, kind, message = lambda { secret_key = "wrong" }
    assert.same({ 403, "InvalidSignatureException" }, { status, kind })
    assert.equal(MISMATCH .. "\n\nThe Canonical String for this request should have been\n'GET\n",
      message:sub(1, #MISMATCH + 62))
    local _, _, body = query("sts", "Action=GetCallerIdentity", { secret_key = "wrong" })
    assert.matches("<Code>SignatureDoesNotMatch</Code><Message>" .. MISMATCH .. "<", body, 1, true)
  end)

  it("at another time", function()
    local status, kind, message = lambda { time = math.floor(now()) - 400 }
    assert.same({ 403, "InvalidSignatureException" }, { status, kind })
    assert.matches("^Signature expired: %d+T%d+Z is now earlier than %d+T%d+Z " ..
      "%(%d+T%d+Z %- 5 min%.%)", message)
    message = select(3, lambda { time = math.floor(now()) + 400 })
    assert.matches("^Signature not yet current: %d+T%d+Z is still later than %d+T%d+Z", message)
  end)

  it("incompletely", function()
    local status, headers, body = send("GET", "/2015-03-31/functions", {
      Authorization = "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/lambda/aws4_request" })
    assert.equal(403, status)
    assert.equal("IncompleteSignatureException", headers["x-amzn-errortype"])
    assert.matches("Authorization header requires 'Signature' parameter.", body, 1, true)
  end)

  it("for another service", function()
    local status, kind, message = lambda { service = "s3" }
    assert.same({ 403, "InvalidSignatureException",
      "Credential should be scoped to correct service: 'lambda'. " }, { status, kind, message })
    local _, _, body = query("ec2", "Action=DescribeInstances")
    assert.matches("<Code>SignatureDoesNotMatch</Code><Message>Credential should be", body, 1, true)
    status = signed("POST", "/2015-03-31/functions/f/invocations", "{}", { service = "iam" })
    assert.equal(400, status)
  end)

  it("another body than the one that was sent", function()
    local headers = sign("POST", "/2015-03-31/functions", "{}", {})
    local status, answered = send("POST", "/2015-03-31/functions", headers, '{"x":1}')
    assert.equal(403, status)
    assert.equal("InvalidSignatureException", answered["x-amzn-errortype"])
  end)

  it("never reaches a function", function()
    local status = signed("POST", "/2015-03-31/functions/f/invocations", "{}",
      { secret_key = "wrong" })
    assert.equal(403, status)
  end)
end)

describe("temporary credentials", function()
  local function list(issued, token)
    local status, headers = signed("GET", "/2015-03-31/functions", nil, {
      access_key = issued.access_key, secret_key = issued.secret_key, token = token })
    return status, headers["x-amzn-errortype"]
  end

  it("are good with their token only", function()
    local issued = service.credentials:issue("arn", "id", 900)
    assert.equal(200, (list(issued, issued.token)))
    assert.same({ 403, "UnrecognizedClientException" }, { list(issued, nil) })
    assert.same({ 403, "UnrecognizedClientException" }, { list(issued, "other") })
    local other = service.credentials:issue("arn", "id", 900)
    assert.same({ 403, "UnrecognizedClientException" }, { list(other, issued.token) })
  end)

  it("are not known with a wrong secret", function()
    local issued = service.credentials:issue("arn", "id", 900)
    assert.same({ 403, "InvalidSignatureException" }, { list({ access_key = issued.access_key,
      secret_key = "wrong" }, issued.token) })
    assert.is_nil(service.credentials.sessions[issued.access_key])
  end)

  it("expire", function()
    local issued = service.credentials:issue("arn", "id", -1)
    assert.same({ 403, "ExpiredTokenException" }, { list(issued, issued.token) })
  end)

  it("of a role are the same for hours", function()
    local role = "arn:aws:iam::123456789012:role/x"
    local issued = service.credentials_for(role)
    assert.equal(issued.token, service.credentials_for(role).token)
    assert.equal(200, (list(issued, issued.token)))
    local _, _, body = query("sts", "Action=GetCallerIdentity&Version=2011-06-15", {
      access_key = issued.access_key, secret_key = issued.secret_key, token = issued.token })
    assert.matches("arn:aws:sts::123456789012:assumed-role/x/lambda", body, 1, true)
  end)
end)

describe("requests", function()
  it("are told apart by the scope of their signature", function()
    local status, headers, body = signed("GET", "/2015-03-31/functions/")
    assert.same({ 200, "application/json", '{"Functions":[]}' },
      { status, headers["content-type"], body })
    status, headers, body = query("iam", "Action=ListRoles&Version=2010-05-08")
    assert.same({ 200, "text/xml" }, { status, headers["content-type"] })
    assert.matches("^<ListRolesResponse .*<ListRolesResult><Roles></Roles>", body)
    status, headers, body = query("sts", "Action=GetCallerIdentity&Version=2011-06-15")
    assert.same({ 200, "text/xml" }, { status, headers["content-type"] })
    assert.matches("<Account>123456789012</Account>", body)
    status, headers, body = logs("DescribeLogGroups", "{}")
    assert.same({ 200, "application/x-amz-json-1.1", '{"logGroups":[]}' },
      { status, headers["content-type"], body })
  end)

  it("may be signed in the query", function()
    local status, _, body = send("GET", presigned "/2015-03-31/functions")
    assert.same({ 200, '{"Functions":[]}' }, { status, body })
    now = function() return system.now() / 1000 - 100 end
    local path = presigned "/2015-03-31/functions"
    now = function() return system.now() / 1000 end
    status = send("GET", path)
    assert.equal(403, status)
  end)

  it("for what is unknown are refused", function()
    local status, headers = signed("GET", "/2015-03-31/nothing")
    assert.same({ 404, "UnknownOperationException" }, { status, headers["x-amzn-errortype"] })
    local body
    status, headers, body = query("iam", "Action=Nothing&Version=2010-05-08")
    assert.same({ 400, "text/xml" }, { status, headers["content-type"] })
    assert.matches("<Code>InvalidAction</Code><Message>Could not find operation Nothing for " ..
      "version 2010-05-08<", body, 1, true)
    body = select(3, query("iam", "Version=2010-05-08"))
    assert.matches("<Code>MissingAction</Code>", body)
    body = select(3, logs("Nothing", "{}"))
    assert.equal("UnknownOperationException", json.decode(body).__type)
  end)

  it("must be JSON where they have to", function()
    for _, body in ipairs { "{", "1", '"x"', "{} x" } do
      local status, headers = signed("POST", "/2015-03-31/functions", body)
      assert.same({ 400, "SerializationException" }, { status, headers["x-amzn-errortype"] }, body)
    end
    local status, _, body = logs("CreateLogGroup", "{")
    assert.same({ 400, "SerializationException" }, { status, json.decode(body).__type })
  end)

  it("have faults of their protocol", function()
    local status, headers, body = signed("GET", "/2015-03-31/functions/no")
    assert.same({ 404, "ResourceNotFoundException" }, { status, headers["x-amzn-errortype"] })
    assert.same({ Type = "User",
      Message = "Function not found: arn:aws:lambda:us-east-1:123456789012:function:no" },
      json.decode(body))
    status, headers, body = query("iam", "Action=GetRole&RoleName=no&Version=2010-05-08")
    assert.same({ 404, "text/xml" }, { status, headers["content-type"] })
    assert.matches("<Code>NoSuchEntity</Code>", body)
    status, headers, body = logs("DeleteLogGroup", '{"logGroupName":"/no"}')
    assert.equal("ResourceNotFoundException", headers["x-amzn-errortype"])
    assert.same({ 400, { __type = "ResourceNotFoundException",
      message = "The specified log group does not exist." } }, { status, json.decode(body) })
  end)

  it("that find a mistake of ours get a 500, and go on", function()
    local operations = require("lambdapool.serve.logs.operations").operations
    operations.Broken = function() error "oops" end
    local status, headers, body = logs("Broken", "{}")
    operations.Broken = nil
    assert.same({ 500, "ServiceException" }, { status, headers["x-amzn-errortype"] })
    assert.is_nil(body:find "oops")
    assert.matches("oops\nstack traceback:", problems[1])
    assert.equal(200, (signed("GET", "/2015-03-31/functions")))
  end)

  it("belong to the region of their signature", function()
    local _, _, body = signed("GET", "/2015-03-31/functions/no", nil, { region = "eu-west-3" })
    assert.matches("arn:aws:lambda:eu-west-3:123456789012:function:no", body, 1, true)
  end)

  it("are logged", function()
    signed("GET", "/2015-03-31/functions/no")
    local entry = entries[1]
    assert.same({ "GET", "/2015-03-31/functions/no", 404, "GetFunction", "no", "us-east-1",
      "ResourceNotFoundException" }, { entry.method, entry.path, entry.status, entry.operation,
      entry.subject, entry.region, entry.error })
    assert.is_true(entry.milliseconds >= 0)
    assert.equal(1, #entries)
  end)
end)

describe("what is too large", function()
  it("is refused before it is looked at", function()
    local body = ("x"):rep(70167212)
    for path, where in pairs {
      ["/2015-03-31/functions"] = "70167211 bytes for the CreateFunction operation",
      ["/2015-03-31/functions/f/invocations"] = "6291456 bytes for the InvokeFunction operation",
      ["/"] = "70167211 bytes",
    } do
      local status, headers, answer = send("POST", path, nil, body)
      assert.same({ 413, "RequestEntityTooLargeException",
        ('{"message":"Request must be smaller than %s"}'):format(where) },
        { status, headers["x-amzn-errortype"], answer })
    end
  end)

  it("is less for IAM and STS", function()
    local status, _, body = query("iam", "Action=GetUser&X=" .. ("x"):rep(1 << 20))
    assert.equal(413, status)
    assert.matches("<Message>Request must be smaller than 1048576 bytes</Message>", body)
  end)
end)

describe("the code of functions", function()
  it("is behind the URL that GetFunction gives", function()
    local hash, size = service.store.blobs:put "zip\0bytes", 9
    local path = "/_lambdapool/code/" .. hash
    local status, headers, body = send("GET", presigned(path))
    assert.same({ 200, "application/zip", "zip\0bytes" }, { status, headers["content-type"], body })
    assert.equal(9, size)
    assert.equal(403, (send("GET", path)))
    assert.equal(404, (signed("GET", "/_lambdapool/code/" .. ("0"):rep(64))))
  end)
end)

describe("function URLs that are not there", function()
  it("answer as AWS does", function()
    local status, _, body = send("GET", "/lambda-url/abc/x")
    assert.same({ 403, '{"Message":"Forbidden"}' }, { status, body })
    status = send("GET", "/", { Host = "abc.lambda-url.us-east-1.localhost" })
    assert.equal(403, status)
  end)
end)
