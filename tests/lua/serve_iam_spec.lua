--- IAM and STS over a real database, called as the front does, and their answers as XML.

local answers = require "lambdapool.serve.answers"
local credentials = require "lambdapool.serve.credentials"
local fault = require "lambdapool.serve.fault"
local iam = require "lambdapool.serve.iam.operations"
local iam_store = require "lambdapool.serve.iam.store"
local stores = require "lambdapool.serve.store"
local sts = require "lambdapool.serve.iam.sts"
local xml = require "lambdapool.serve.xml"

local TRUST = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}'
local ROLE = "arn:aws:iam::123456789012:role/lp"

local folder, store, now, service, access_key

-- Runs an operation; its result as XML, or "status code: message" of the fault.
local function call(name, parameters)
  local context = { service = service, account = "123456789012", access_key = access_key }
  local operation = iam.operations[name] or sts.operations[name]
  local ok, result = pcall(operation, context, parameters or {})
  if ok then
    return result and xml.element("R", result)
  elseif not fault.is(result) then
    error(result, 0)
  end
  return ("%d %s: %s"):format(result.status, result.type, result.message)
end

local function create(more)
  local parameters = { RoleName = "lp", AssumeRolePolicyDocument = TRUST }
  for name, value in pairs(more or {}) do
    parameters[name] = value
  end
  return call("CreateRole", parameters)
end

local function open()
  store = assert(stores.open(folder))
  store:migrate("iam", iam_store.schema)
  service = { store = store, now = function() return now end }
  service.credentials = assert(credentials.open { dir = folder, access_key = "AKID",
    secret_key = "secret", now = service.now })
  access_key = "AKID"
end

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
  now = 1440938160
  open()
end)

after_each(function()
  store:close()
  os.execute(("rm -rf '%s'"):format(folder))
end)

describe("roles", function()
  it("are created and shown", function()
    local text = create { Path = "/a/", Description = "<&>", ["Tags.member.1.Key"] = "k",
      ["Tags.member.1.Value"] = "v" }
    assert.matches("<Role><Path>/a/</Path><RoleName>lp</RoleName><RoleId>AROA%w+</RoleId>" ..
      "<Arn>arn:aws:iam::123456789012:role/a/lp</Arn><CreateDate>2015%-08%-30T12:36:00Z" ..
      "</CreateDate><AssumeRolePolicyDocument>%%7B%%22Version%%22", text)
    assert.matches("<Description>&lt;&amp;&gt;</Description>", text)
    assert.matches("<Tags><member><Key>k</Key><Value>v</Value></member></Tags>", text)
    assert.equal(text, call("GetRole", { RoleName = "lp" }))
    assert.equal(text, call("GetRole", { RoleName = "LP" }))
  end)

  it("survive the end of the service", function()
    local text = create()
    store:close()
    open()
    assert.equal(text, call("GetRole", { RoleName = "lp" }))
  end)

  it("exist once", function()
    create()
    assert.equal("409 EntityAlreadyExists: Role with name lp already exists.", create())
  end)

  it("are refused when something is wrong with them", function()
    assert.equal("404 NoSuchEntity: The role with name no cannot be found.",
      call("GetRole", { RoleName = "no" }))
    assert.equal("400 MalformedPolicyDocument: This policy contains invalid Json",
      create { AssumeRolePolicyDocument = "{" })
    assert.equal("400 MalformedPolicyDocument: Syntax errors in policy.",
      create { AssumeRolePolicyDocument = "{}" })
    assert.matches("^400 ValidationError: 1 validation error detected: Value 'a/b' at 'roleName'",
      create { RoleName = "a/b" })
    assert.matches("^400 ValidationError: .*'assumeRolePolicyDocument'",
      call("CreateRole", { RoleName = "x" }))
    assert.matches("^400 ValidationError: The specified value for path is invalid",
      create { Path = "a" })
    assert.matches("^400 ValidationError: .*'maxSessionDuration'",
      create { MaxSessionDuration = "10" })
  end)

  it("are listed in pages, by their path", function()
    for _, name in ipairs { "c", "a", "b" } do
      create { RoleName = name, Path = "/p/" }
    end
    create { RoleName = "d" }
    local text = call("ListRoles", { PathPrefix = "/p/", MaxItems = "2" })
    assert.matches("<RoleName>a</RoleName>.*<RoleName>b</RoleName>", text)
    assert.matches("<IsTruncated>true</IsTruncated><Marker>3</Marker>", text)
    text = call("ListRoles", { PathPrefix = "/p/", MaxItems = "2", Marker = "3" })
    assert.matches("<RoleName>c</RoleName>", text)
    assert.matches("<IsTruncated>false</IsTruncated></R>$", text)
  end)

  it("change", function()
    create()
    call("UpdateRole", { RoleName = "lp", Description = "new", MaxSessionDuration = "7200" })
    call("UpdateAssumeRolePolicy", { RoleName = "lp", PolicyDocument = '{"Statement":[]}' })
    local text = call("GetRole", { RoleName = "lp" })
    assert.matches("<AssumeRolePolicyDocument>%%7B%%22Statement%%22%%3A%%5B%%5D%%7D<", text)
    assert.matches("<MaxSessionDuration>7200<.*<Description>new<", text)
  end)

  it("have tags", function()
    create()
    call("TagRole", { RoleName = "lp", ["Tags.member.1.Key"] = "a", ["Tags.member.1.Value"] = "1",
      ["Tags.member.2.Key"] = "b", ["Tags.member.2.Value"] = "2" })
    call("TagRole", { RoleName = "lp", ["Tags.member.1.Key"] = "a", ["Tags.member.1.Value"] = "3" })
    call("UntagRole", { RoleName = "lp", ["TagKeys.member.1"] = "b" })
    assert.equal("<R><Tags><member><Key>a</Key><Value>3</Value></member></Tags>" ..
      "<IsTruncated>false</IsTruncated></R>", call("ListRoleTags", { RoleName = "lp" }))
  end)

  it("have policies of their own", function()
    create()
    call("PutRolePolicy", { RoleName = "lp", PolicyName = "p", PolicyDocument = TRUST })
    call("PutRolePolicy", { RoleName = "lp", PolicyName = "p",
      PolicyDocument = '{"Statement":[]}' })
    assert.equal("<R><RoleName>lp</RoleName><PolicyName>p</PolicyName><PolicyDocument>" ..
      "%7B%22Statement%22%3A%5B%5D%7D</PolicyDocument></R>",
      call("GetRolePolicy", { RoleName = "lp", PolicyName = "p" }))
    assert.matches("<member>p</member>", call("ListRolePolicies", { RoleName = "lp" }))
    assert.equal("409 DeleteConflict: Cannot delete entity, must delete policies first.",
      call("DeleteRole", { RoleName = "lp" }))
    call("DeleteRolePolicy", { RoleName = "lp", PolicyName = "p" })
    assert.equal("404 NoSuchEntity: The role policy with name p cannot be found.",
      call("DeleteRolePolicy", { RoleName = "lp", PolicyName = "p" }))
  end)

  it("have policies attached to them", function()
    create()
    local basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    assert.matches("404 NoSuchEntity: Policy arn:aws:iam::123456789012:policy/no does not exist " ..
      "or is not attachable.", call("AttachRolePolicy", { RoleName = "lp",
      PolicyArn = "arn:aws:iam::123456789012:policy/no" }))
    for _ = 1, 2 do
      call("AttachRolePolicy", { RoleName = "lp", PolicyArn = basic })
    end
    assert.equal("<R><AttachedPolicies><member><PolicyName>AWSLambdaBasicExecutionRole" ..
      "</PolicyName><PolicyArn>" .. basic .. "</PolicyArn></member></AttachedPolicies>" ..
      "<IsTruncated>false</IsTruncated></R>", call("ListAttachedRolePolicies", { RoleName = "lp" }))
    assert.equal("409 DeleteConflict: Cannot delete entity, must detach all policies first.",
      call("DeleteRole", { RoleName = "lp" }))
    call("DetachRolePolicy", { RoleName = "lp", PolicyArn = basic })
    assert.equal(("404 NoSuchEntity: Policy %s was not found."):format(basic),
      call("DetachRolePolicy", { RoleName = "lp", PolicyArn = basic }))
    assert.is_nil(call("DeleteRole", { RoleName = "lp" }))
    assert.matches("^404", call("GetRole", { RoleName = "lp" }))
  end)
end)

describe("policies", function()
  local arn = "arn:aws:iam::123456789012:policy/p"

  it("are created, attached and deleted", function()
    local text = call("CreatePolicy", { PolicyName = "p", PolicyDocument = TRUST })
    assert.matches("<Policy><PolicyName>p</PolicyName><PolicyId>ANPA%w+</PolicyId><Arn>" .. arn,
      text)
    assert.equal(text, call("GetPolicy", { PolicyArn = arn }))
    assert.matches("^409 EntityAlreadyExists: A policy called p already exists",
      call("CreatePolicy", { PolicyName = "p", PolicyDocument = TRUST }))
    assert.matches(arn, call("ListPolicies", { Scope = "Local" }), 1, true)
    assert.matches("<Document>%%7B", call("GetPolicyVersion", { PolicyArn = arn,
      VersionId = "v1" }))
    create()
    call("AttachRolePolicy", { RoleName = "lp", PolicyArn = arn })
    assert.matches("<AttachmentCount>1<", call("GetPolicy", { PolicyArn = arn }))
    assert.equal("409 DeleteConflict: Cannot delete a policy attached to entities.",
      call("DeletePolicy", { PolicyArn = arn }))
    call("DetachRolePolicy", { RoleName = "lp", PolicyArn = arn })
    assert.is_nil(call("DeletePolicy", { PolicyArn = arn }))
    assert.equal("404 NoSuchEntity: Policy " .. arn .. " was not found.",
      call("GetPolicy", { PolicyArn = arn }))
  end)

  it("of AWS are there", function()
    local text = call("GetPolicy", { PolicyArn = "arn:aws:iam::aws:policy/ReadOnlyAccess" })
    assert.matches("<PolicyName>ReadOnlyAccess</PolicyName>", text)
  end)
end)

describe("the user", function()
  it("is the owner of the access key", function()
    assert.matches("<UserName>lambdapool</UserName>.*:123456789012:user/lambdapool</Arn>",
      call "GetUser")
    assert.equal("404 NoSuchEntity: The user with name x cannot be found.",
      call("GetUser", { UserName = "x" }))
  end)
end)

describe("STS", function()
  it("tells who one is", function()
    assert.equal("<R><Arn>arn:aws:iam::123456789012:user/lambdapool</Arn><UserId>" ..
      "AIDALAMBDAPOOLUSERAAA</UserId><Account>123456789012</Account></R>", call "GetCallerIdentity")
  end)

  it("lets assume roles", function()
    create()
    local text = call("AssumeRole", { RoleArn = ROLE, RoleSessionName = "me" })
    assert.matches("<AssumedRoleUser><AssumedRoleId>AROA%w+:me</AssumedRoleId><Arn>" ..
      "arn:aws:sts::123456789012:assumed%-role/lp/me</Arn></AssumedRoleUser>", text)
    assert.matches("<Expiration>2015%-08%-30T13:36:00Z</Expiration>", text)
    local key, token = text:match "<AccessKeyId>(ASIA%w+)<.*<SessionToken>([^<]+)<"
    assert.is_true(service.credentials:admit(key, token))
    access_key = key
    assert.matches("<Arn>arn:aws:sts::123456789012:assumed%-role/lp/me</Arn>",
      call "GetCallerIdentity")
  end)

  it("refuses roles that are not there, and what is too long", function()
    assert.equal("403 AccessDenied: User: arn:aws:iam::123456789012:user/lambdapool is not " ..
      "authorized to perform: sts:AssumeRole on resource: " .. ROLE,
      call("AssumeRole", { RoleArn = ROLE, RoleSessionName = "me" }))
    create()
    assert.matches("^400 ValidationError: The requested DurationSeconds exceeds",
      call("AssumeRole", { RoleArn = ROLE, RoleSessionName = "me", DurationSeconds = "7200" }))
    assert.matches("^400 ValidationError: .*'roleSessionName'",
      call("AssumeRole", { RoleArn = ROLE, RoleSessionName = "m" }))
  end)

  it("gives the user a session", function()
    local text = call("GetSessionToken", { DurationSeconds = "900" })
    assert.matches("<Expiration>2015%-08%-30T12:51:00Z</Expiration>", text)
  end)
end)

describe("every operation", function()
  it("takes any parameters", function()
    create()
    local all = {}
    for _, operations in ipairs { iam.operations, sts.operations } do
      for name in pairs(operations) do
        all[#all + 1] = name
      end
    end
    for _, name in ipairs(all) do
      for _, member in ipairs { "RoleName", "PolicyName", "PolicyArn", "Path", "PathPrefix",
        "PolicyDocument", "AssumeRolePolicyDocument", "Marker", "MaxItems", "DurationSeconds",
        "Tags.member.1", "Tags.member.1.Key", "Tags.member.1.Value", "TagKeys.member.1", "RoleArn",
        "RoleSessionName", "MaxSessionDuration", "Description", "UserName", "VersionId" } do
        for _, value in ipairs { "", "x", "\0\255", "99999999999999999999", "9223372036854775807",
          "-1", "null", "[]", "arn:aws:iam::aws:policy/", "arn:aws:iam::123456789012:role/lp" } do
          local parameters = { RoleName = "lp", PolicyName = "p", RoleSessionName = "me",
            PolicyArn = "arn:aws:iam::123456789012:policy/p", PolicyDocument = TRUST,
            AssumeRolePolicyDocument = TRUST, RoleArn = ROLE }
          parameters[member] = value
          call(name, parameters) -- anything but an error that is no fault
        end
      end
    end
  end)
end)

describe("answers in XML", function()
  local function answered(f)
    local got
    f({ request_id = "id", operation = "GetRole", scope = "iam" },
      { respond = function(_, status, headers, body) got = { status, headers, body } end })
    return table.unpack(got)
  end

  it("have the result and the request id", function()
    local status, headers, body = answered(function(context, request)
      answers.query.result(context, request, 200, { { "A", "b" } })
    end)
    assert.equal(200, status)
    assert.same({ ["content-type"] = "text/xml", ["x-amzn-requestid"] = "id" }, headers)
    assert.equal('<GetRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">' ..
      "<GetRoleResult><A>b</A></GetRoleResult><ResponseMetadata><RequestId>id</RequestId>" ..
      "</ResponseMetadata></GetRoleResponse>", body)
  end)

  it("have the error", function()
    local status, _, body = answered(function(context, request)
      answers.query.fault(context, request, fault.new(404, "NoSuchEntity", "no <x>"))
    end)
    assert.equal(404, status)
    assert.equal('<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>' ..
      "<Type>Sender</Type><Code>NoSuchEntity</Code><Message>no &lt;x&gt;</Message></Error>" ..
      "<RequestId>id</RequestId></ErrorResponse>", body)
  end)
end)
