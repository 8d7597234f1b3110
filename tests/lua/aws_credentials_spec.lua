--- Where credentials come from, one source after the other, against servers on this machine.

local async = require("lambdapool.async").async
local crypto = require "lambdapool.crypto"
local http = require "lambdapool.http"
local json = require "lambdapool.json"
local loop = require "lambdapool.loop"
local serve = require "lambdapool.serve"
local support = require "tests.lua.aws_support"
local system = require "lambdapool.system"

local home, session, variables

local refused = support.refused

before_each(function()
  home = support.home()
  variables = {}
end)

after_each(function()
  http.close()
  home:remove()
end)

local function open(options)
  options = options or {}
  options.variables = options.variables or variables
  session = support.session(home, options)
  return session
end

-- The credentials of a new session, in short.
local function find(options)
  local found = open(options):credentials()
  return table.concat({ found.access_key, found.secret_key, found.token or "-" }, " ")
end

local function refuse(code, options)
  return refused(code, function() open(options):credentials() end)
end

local function iso(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(system.now() / 1000 + seconds))
end

describe("explicit credentials", function()
  it("come first", function()
    variables.AWS_ACCESS_KEY_ID, variables.AWS_SECRET_ACCESS_KEY = "env", "s"
    assert.equal("K S -", find { aws_access_key_id = "K", aws_secret_access_key = "S" })
    assert.equal("K S T", find { aws_access_key_id = "K", aws_secret_access_key = "S",
      aws_session_token = "T" })
    assert.equal("A B C", find { credentials = { access_key = "A", secret_key = "B",
      token = "C" } })
    assert.is_truthy(session:fresh_credentials())
    assert.is_false(session:forget_credentials(session:credentials()))
  end)

  it("that cannot be sent are refused before, and not shown", function()
    for _, bad in ipairs { " ", "a b", "a\r\nb", "se\0cret", "secr\xe9t", "" } do
      for name, said in pairs { aws_access_key_id = "access key", aws_session_token =
        "session token", aws_secret_access_key = "secret key" } do
        local given = { aws_access_key_id = "K", aws_secret_access_key = "S" }
        given[name] = bad
        assert.equal(("the %s from the options is empty or has a space or another character " ..
          "that no key has\n  look for spaces and line ends that were copied along"):format(said),
          tostring(refuse("InvalidCredentials", given)))
      end
    end
    variables.AWS_ACCESS_KEY_ID, variables.AWS_SECRET_ACCESS_KEY = "K", "S\r"
    assert.equal(4, refuse("InvalidCredentials").exit)
  end)

  it("come in pairs", function()
    local problem = refuse("PartialCredentials", { aws_access_key_id = "K" })
    assert.equal("aws_access_key_id is given without aws_secret_access_key", tostring(problem))
    assert.equal(4, problem.exit)
    refuse("PartialCredentials", { aws_secret_access_key = "S" })
  end)

  it("show nothing and travel nowhere", function()
    local found = open { aws_access_key_id = "AKID", aws_secret_access_key = "hush",
      aws_session_token = "quiet" }:credentials()
    assert.equal("AWS credentials AKID from the options", tostring(found))
    for _, value in ipairs { found, session } do
      local problem = support.failure(require("lambdapool.codec").dump, function() return value end)
      assert.not_matches("hush", tostring(problem))
    end
  end)
end)

describe("the environment", function()
  it("has credentials", function()
    variables.AWS_ACCESS_KEY_ID, variables.AWS_SECRET_ACCESS_KEY = "K", "S"
    assert.equal("K S -", find())
    variables.AWS_SECURITY_TOKEN = "old"
    assert.equal("K S old", find())
    variables.AWS_SESSION_TOKEN = "new"
    assert.equal("K S new", find())
    assert.equal("the environment (AWS_ACCESS_KEY_ID)", session:credentials().source)
  end)

  it("lacks the secret", function()
    variables.AWS_ACCESS_KEY_ID = "K"
    assert.matches("AWS_SECRET_ACCESS_KEY", tostring(refuse "PartialCredentials"))
  end)

  it("has credentials that have ended", function()
    variables.AWS_ACCESS_KEY_ID, variables.AWS_SECRET_ACCESS_KEY = "K", "S"
    variables.AWS_CREDENTIAL_EXPIRATION = iso(-7300)
    assert.matches("ended 2 hours ago", tostring(refuse "ExpiredToken"))
  end)

  it("counts for nothing when the program chose a profile", function()
    variables.AWS_ACCESS_KEY_ID, variables.AWS_SECRET_ACCESS_KEY = "env", "s"
    home:write(".aws/credentials", "[work]\naws_access_key_id=K\naws_secret_access_key=S\n")
    assert.equal("K S -", find { profile = "work" })
    variables.AWS_PROFILE = "work"
    assert.equal("env s -", find())
  end)
end)

describe("profiles", function()
  it("have credentials in either file", function()
    home:write(".aws/config", "[profile a]\naws_access_key_id=C\naws_secret_access_key=S\n" ..
      "[profile b]\naws_access_key_id=C\naws_secret_access_key=S\naws_session_token=T\n")
    home:write(".aws/credentials", "[a]\naws_access_key_id=K\naws_secret_access_key=S\n")
    variables.AWS_PROFILE = "a"
    assert.equal("K S -", find())
    assert.matches("^profile a in .*/.aws/credentials$", session:credentials().source)
    variables.AWS_PROFILE = "b"
    assert.equal("C S T", find())
  end)

  it("may be in other files", function()
    variables.AWS_SHARED_CREDENTIALS_FILE = home:write("x y/c",
      "[default]\naws_access_key_id=K\naws_secret_access_key=S\n")
    variables.AWS_CONFIG_FILE = "~/conf"
    home:write("conf", "[default]\nregion = eu-north-1\n")
    assert.equal("K S -", find())
    assert.equal("eu-north-1", session.region)
  end)

  it("that are half there are errors", function()
    home:write(".aws/credentials", "[default]\naws_access_key_id=K\n")
    assert.matches("no aws_secret_access_key", tostring(refuse "PartialCredentials"))
  end)

  it("that are not there are errors", function()
    home:write(".aws/credentials", "[work]\naws_access_key_id=K\naws_secret_access_key=S\n")
    local problem = refuse("ProfileNotFound", { profile = "wrok" })
    assert.equal("there is no AWS profile wrok (from the option profile), did you mean 'work'?\n" ..
      "  there are: work", tostring(problem))
    variables.AWS_PROFILE = "x"
    assert.matches("from AWS_PROFILE", tostring(refuse "ProfileNotFound"))
    assert.equal("K S -", find { aws_access_key_id = "K", aws_secret_access_key = "S" })
  end)

  it("in a broken file are errors with their place", function()
    home:write(".aws/config", "[default]\nregion\n")
    assert.matches("cannot read .*/.aws/config: line 2: ", tostring(refuse "InvalidConfiguration"))
  end)

  it("of `aws login` are refused with what helps", function()
    home:write(".aws/config", "[default]\nlogin_session = x\n")
    assert.matches("export%-credentials", refuse "CredentialsFailed".hint)
  end)
end)

describe("no credentials", function()
  it("is an error that says where they were looked for", function()
    local problem = refuse "NoCredentials"
    assert.equal("no AWS credentials were found\n" ..
      "  looked at: environment (AWS_ACCESS_KEY_ID is not set), profile default (it is in no " ..
      "file), container (AWS_CONTAINER_CREDENTIALS_FULL_URI is not set), " ..
      "EC2 instance (AWS_EC2_METADATA_DISABLED is set)\n" ..
      "  choose a profile with `--profile` or AWS_PROFILE, or make one with `aws configure` or " ..
      "`aws configure sso`", tostring(problem))
    assert.equal(4, problem.exit)
    assert.is_nil(session:fresh_credentials())
  end)
end)

describe("credential_process", function()
  local function use(line)
    home:write(".aws/config", "[default]\ncredential_process = " .. line .. "\n")
  end

  local function prints(text)
    local path = home:write("p r", "#!/bin/sh\ncat <<'E'\n" .. text .. "\nE\n")
    os.execute(("chmod +x '%s'"):format(path))
    use(('"%s" \'a b\' c\\ d'):format(path))
  end

  it("prints credentials", function()
    prints '{"Version":1,"AccessKeyId":"K","SecretAccessKey":"S","SessionToken":"T"}'
    assert.equal("K S T", find())
    assert.equal("credential_process of profile default", session:credentials().source)
  end)

  it("gets its arguments as they are quoted, and no shell looks at them", function()
    local path = home:write("q", [[
printf '{"Version":1,"AccessKeyId":"K","SecretAccessKey":"'
for word in "$@"; do printf '<%s>' "$word" | tr '\\\\' /; done
printf '"}'
]])
    use("/bin/sh " .. path .. [[ 'a$HOME'"b'c"\'d\;e ""  "*" f'_'g "h\\"]])
    assert.equal([[K <a$HOMEb'c'd;e><><*><f_g><h/> -]], find())
  end)

  it("may fail in many ways, and nothing of its output is shown", function()
    for text, message in pairs {
      ["hush"] = "gave no JSON object",
      ['{"AccessKeyId":"hush"}'] = "gave another Version than 1",
      ['{"Version":2,"AccessKeyId":"hush"}'] = "gave another Version than 1",
      ['{"Version":1,"AccessKeyId":"K"}'] = "gave no SecretAccessKey",
      ['{"Version":1,"SecretAccessKey":"hush"}'] = "gave no AccessKeyId",
      ['{"Version":1,"AccessKeyId":"K","SecretAccessKey":"hush\\r\\nX: y"}'] =
        "gave no SecretAccessKey",
      ['{"Version":1,"AccessKeyId":"K","SecretAccessKey":"hush","Expiration":"soon"}'] =
        "gave an Expiration that is no time",
      ['["hush"]'] = "gave another Version than 1",
    } do
      prints(text)
      local problem = refuse "CredentialsFailed"
      assert.matches(message, tostring(problem), 1, true)
      assert.not_matches("hush", tostring(problem))
      assert.equal(4, problem.exit)
    end
  end)

  it("may be no program", function()
    use "/nowhere/at all"
    assert.matches("cannot be run", tostring(refuse "CredentialsFailed"))
    use "'unclosed"
    assert.matches("is no command line", tostring(refuse "CredentialsFailed"))
    use "/bin/sh -c 'echo no luck >&2; exit 3'"
    assert.matches("failed %(exit code 3%): no luck", tostring(refuse "CredentialsFailed"))
    use "/bin/sh -c 'exit 3'"
    assert.matches("failed %(exit code 3%)$", tostring(refuse "CredentialsFailed"))
  end)

  it("lets everything else go on in a flow", function()
    local path = home:write("slow", "sleep 0.3; echo '{\"Version\":1,\"AccessKeyId\":\"K\"," ..
      "\"SecretAccessKey\":\"S\"}'")
    use("/bin/sh " .. path)
    local turns, asking = 0, async(function() return find() end)
    while not asking:done() do
      turns = turns + 1
      loop.pump(0.02)
    end
    assert.equal("K S -", asking:result())
    assert.is_truthy(turns > 3)
  end)

  it("gives credentials that end, and is asked again", function()
    home:write("n", "0")
    local path = home:write("p", ([[
#!/bin/sh
n=$(($(cat %s/n) + 1)); echo $n > %s/n
echo '{"Version":1,"AccessKeyId":"K'$n'","SecretAccessKey":"S","Expiration":"%s"}'
]]):format(home.path, home.path, iso(3600)))
    use("/bin/sh " .. path)
    local now = system.now() / 1000
    open { now = function() return now end, variables = variables }
    assert.is_nil(session:fresh_credentials()) -- which has begun to fetch them
    assert.equal("K1", session:credentials().access_key)
    now = now + 3600 - 14 * 60
    assert.equal("K1", session:credentials().access_key)
    assert.is_true(loop.wait(function()
      return session:fresh_credentials().access_key == "K2"
    end, nil, 60))
  end)
end)

-- Roles ----------------------------------------------------------------------------------------

describe("roles", function()
  local service, state

  before_each(function()
    state = support.home()
    service = assert(serve.open { dir = state.path .. "/s", port = 0, access_key = "AKID",
      secret_key = "secret" })
    variables.AWS_ENDPOINT_URL, variables.AWS_REGION = service.url, "us-east-1"
    open { aws_access_key_id = "AKID", aws_secret_access_key = "secret" }
    for _, name in ipairs { "one", "two" } do
      session:iam():call("CreateRole", { RoleName = name, AssumeRolePolicyDocument =
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow"}]}' })
    end
    home:write(".aws/credentials", "[keys]\naws_access_key_id=AKID\naws_secret_access_key=secret\n")
  end)

  after_each(function()
    http.close()
    service:close()
    state:remove()
  end)

  local function arn_of(config, profile)
    home:write(".aws/config", config)
    variables.AWS_PROFILE = profile or "r"
    return open():sts():call("GetCallerIdentity").Arn
  end

  local ROLE = "role_arn = arn:aws:iam::123456789012:role/"

  it("are assumed with another profile", function()
    assert.equal("arn:aws:sts::123456789012:assumed-role/one/me",
      arn_of("[profile r]\n" .. ROLE .. "one\nsource_profile = keys\nrole_session_name = me\n" ..
        "duration_seconds = 900\nexternal_id = x y&z\n"))
    local found = session:credentials()
    assert.equal("profile r (role arn:aws:iam::123456789012:role/one)", found.source)
    assert.is_truthy(math.abs(found.expires - system.now() / 1000 - 900) < 60)
  end)

  it("are assumed with another role", function()
    assert.matches("assumed%-role/two/lambdapool%-%d+$",
      arn_of("[profile r]\n" .. ROLE .. "two\nsource_profile = m\n" ..
        "[profile m]\n" .. ROLE .. "one\nsource_profile = keys\n"))
  end)

  it("are assumed with the keys beside them", function()
    assert.matches("/one/", arn_of("[profile r]\n" .. ROLE .. "one\nsource_profile = r\n" ..
      "aws_access_key_id = AKID\naws_secret_access_key = secret\n"))
  end)

  it("are assumed with the environment", function()
    home:write(".aws/config", "[profile r]\n" .. ROLE .. "one\ncredential_source = Environment\n")
    variables.AWS_ACCESS_KEY_ID, variables.AWS_SECRET_ACCESS_KEY = "AKID", "secret"
    assert.matches("/one/", open { profile = "r" }:sts():call("GetCallerIdentity").Arn)
  end)

  it("may be refused", function()
    local problem = support.failure(arn_of,
      "[profile r]\n" .. ROLE .. "none\nsource_profile = keys\n")
    assert.equal("AccessDenied", problem.code)
    assert.equal(4, problem.exit)
    assert.matches("ask for sts:AssumeRole on arn:aws:iam::123456789012:role/none", problem.hint)
  end)

  it("have sources that can be", function()
    for config, message in pairs {
      ["source_profile = gone"] = "source_profile gone of profile r is in no file",
      ["source_profile = r"] = "assumes a role with itself",
      ["source_profile = m\n[profile m]\n" .. ROLE .. "one\nsource_profile = r"] =
        "assumes a role with itself",
      ["source_profile = m\n[profile m]\nregion = x"] = "profile m of profile r has no credentials",
      ["credential_source = Nowhere"] = "credential_source cannot be Nowhere",
      ["credential_source = Environment"] = "there are no credentials in Environment",
      ["credential_source = Environment\nsource_profile = keys"] = "has both",
      ["mfa_serial = arn:aws:iam::1:mfa/me\nsource_profile = keys"] = "needs a code of a device",
    } do
      local problem = support.failure(arn_of, "[profile r]\n" .. ROLE .. "one\n" .. config .. "\n")
      assert.equal("CredentialsFailed", problem.code)
      assert.matches(message, tostring(problem), 1, true)
    end
    refused("PartialCredentials", arn_of, "[profile r]\n" .. ROLE .. "one\n")
  end)
end)

describe("web identities", function()
  local server

  local ANSWER = [[<AssumeRoleWithWebIdentityResponse
    xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
    <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>K</AccessKeyId>
    <SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>
    <Expiration>2126-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
    </AssumeRoleWithWebIdentityResponse>]]

  before_each(function()
    server = support.server(function() return 200, {}, ANSWER end)
    variables.AWS_ENDPOINT_URL_STS = server.url
  end)

  after_each(function()
    http.close()
    server:close()
  end)

  it("are exchanged, without a signature", function()
    variables.AWS_WEB_IDENTITY_TOKEN_FILE = home:write("token", "a.b-c_d=")
    variables.AWS_ROLE_ARN = "arn:aws:iam::123456789012:role/web"
    variables.AWS_ROLE_SESSION_NAME = "me"
    assert.equal("K S T", find())
    local request = server.requests[1]
    assert.is_nil(request.headers.authorization)
    assert.equal("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&" ..
      "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fweb&RoleSessionName=me&" ..
      "WebIdentityToken=a.b-c_d%3D", request.body)
  end)

  it("may stand in a profile", function()
    home:write(".aws/config", ("[default]\nweb_identity_token_file = %s\nrole_arn = arn:r\n")
      :format(home:write("token", "x")))
    assert.equal("K S T", find())
    assert.equal("role arn:r (web identity)", session:credentials().source)
  end)

  it("need a role and a file", function()
    variables.AWS_WEB_IDENTITY_TOKEN_FILE = home.path .. "/none"
    refuse "PartialCredentials"
    variables.AWS_ROLE_ARN = "arn:r"
    assert.matches("cannot read", tostring(refuse "CredentialsFailed"))
  end)
end)

-- Identity Center -------------------------------------------------------------------------------

describe("IAM Identity Center", function()
  local server, answers

  before_each(function()
    answers = {}
    server = support.server(function(request)
      local answer = answers[request.path] or { 404, {}, "" }
      return answer[1], answer[2], answer[3]
    end)
    answers["/federation/credentials"] = { 200, {}, json.encode { roleCredentials = {
      accessKeyId = "K", secretAccessKey = "S", sessionToken = "T",
      expiration = (system.now() // 1000 + 3600) * 1000 } } }
    variables.AWS_ENDPOINT_URL_SSO, variables.AWS_ENDPOINT_URL_SSO_OIDC = server.url, server.url
    home:write(".aws/config", "[default]\nsso_session = my sso\nsso_account_id = 123456789012\n" ..
      "sso_role_name = Ad min\n[sso-session \"my sso\"]\nsso_region = eu-west-1\n" ..
      "sso_start_url = https://x.awsapps.com/start\n")
  end)

  after_each(function()
    http.close()
    server:close()
  end)

  local function path_of(name)
    return ".aws/sso/cache/" .. crypto.sha1(name) .. ".json"
  end

  local function cache(name, token)
    return home:write(path_of(name), json.encode(token))
  end

  it("gives credentials for the token of a login", function()
    cache("my sso", { accessToken = "token", expiresAt = iso(7200) })
    assert.equal("K S T", find())
    local request = server.requests[1]
    assert.equal("account_id=123456789012&role_name=Ad%20min", request.query)
    assert.equal("token", request.headers["x-amz-sso_bearer_token"])
    assert.is_nil(request.headers.authorization)
    assert.is_truthy(session:credentials().expires > system.now() / 1000 + 3000)
  end)

  it("gives them without a section of its own", function()
    home:write(".aws/config", "[default]\nsso_account_id = 1\nsso_role_name = r\n" ..
      "sso_region = eu-west-1\nsso_start_url = https://x/\n")
    cache("https://x/", { accessToken = "old", expiresAt = "2126-01-01T00:00:00UTC" })
    assert.equal("K S T", find())
  end)

  it("renews its token", function()
    cache("my sso", { accessToken = "old", expiresAt = iso(60), refreshToken = "again",
      clientId = "c", clientSecret = "s", registrationExpiresAt = iso(86400) })
    answers["/token"] = { 200, {}, '{"accessToken":"new","expiresIn":28800,"refreshToken":"x"}' }
    assert.equal("K S T", find())
    assert.same({ clientId = "c", clientSecret = "s", grantType = "refresh_token",
      refreshToken = "again" }, json.decode(server.requests[1].body))
    assert.equal("new", server.requests[2].headers["x-amz-sso_bearer_token"])
    local kept = json.decode(home:read(path_of "my sso"))
    assert.equal("new x", kept.accessToken .. " " .. kept.refreshToken)
  end)

  it("uses a token that holds still when it cannot be renewed", function()
    cache("my sso", { accessToken = "old", expiresAt = iso(60), refreshToken = "again",
      clientId = "c", clientSecret = "s", registrationExpiresAt = iso(86400) })
    answers["/token"] = { 400, {}, '{"error":"invalid_grant"}' }
    assert.equal("K S T", find())
    assert.equal("old", server.requests[2].headers["x-amz-sso_bearer_token"])
  end)

  it("wants a login", function()
    local function wants(message)
      local problem = refuse "CredentialsFailed"
      assert.matches(message, problem.message, 1, true)
      assert.equal("log in with `aws sso login --profile default`", problem.hint)
    end
    wants "nobody has logged in"
    home:write(path_of "my sso", "{")
    wants "makes no sense"
    cache("my sso", { accessToken = "token", expiresAt = iso(-1) })
    wants "has ended"
    cache("my sso", { accessToken = "token", expiresAt = iso(7200) })
    answers["/federation/credentials"] = { 401, {}, '{"message":"Session token not found"}' }
    wants "no longer accepted"
  end)

  it("may refuse", function()
    cache("my sso", { accessToken = "token", expiresAt = iso(7200) })
    answers["/federation/credentials"] = { 403, { ["x-amzn-errortype"] = "ForbiddenException" },
      '{"message":"No access"}' }
    local problem = refuse "ForbiddenException"
    assert.matches("^sso refused GetRoleCredentials: No access", tostring(problem))
    answers["/federation/credentials"] = { 200, {}, "[]" }
    refuse "CredentialsFailed"
    home:write(".aws/config", "[default]\nsso_session = x\nsso_account_id = 1\nsso_role_name = r\n")
    assert.matches("%[sso%-session x%], which is not there", tostring(refuse "CredentialsFailed"))
    home:write(".aws/config", "[default]\nsso_account_id = 1\nsso_role_name = r\n")
    assert.matches("sso_region is missing", tostring(refuse "PartialCredentials"))
  end)
end)

-- Surroundings ----------------------------------------------------------------------------------

describe("containers", function()
  local server, answer

  before_each(function()
    answer = { 200, {}, '{"AccessKeyId":"K","SecretAccessKey":"S","Token":"T",' ..
      '"Expiration":"2126-01-01T00:00:00Z"}' }
    server = support.server(function() return table.unpack(answer) end)
    variables.AWS_CONTAINER_CREDENTIALS_FULL_URI = server.url .. "/v2/credentials?a=b"
  end)

  after_each(function()
    http.close()
    server:close()
  end)

  it("give credentials", function()
    variables.AWS_CONTAINER_AUTHORIZATION_TOKEN = "Basic x"
    assert.equal("K S T", find())
    assert.equal("Basic x", server.requests[1].headers.authorization)
    assert.equal("/v2/credentials", server.requests[1].path)
  end)

  it("read the token anew from its file", function()
    variables.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = home:write("t", "one")
    assert.equal("K S T", find())
    home:write("t", "two")
    assert.is_true(session:forget_credentials(session:credentials()))
    session:credentials()
    assert.equal("two", server.requests[2].headers.authorization)
    home:write("t", "three\r\nx: y")
    assert.matches("no value for a header", tostring(refuse "CredentialsFailed"))
    assert.equal(2, #server.requests)
  end)

  it("are trusted on this machine only", function()
    for _, url in ipairs { "http://example.com/", "http://169.254.170.3/", "ftp://127.0.0.1/", "x",
      "http://127.0.0.1.example.com/", "http://localhost@example.com/", "http://1270.0.0.1/" } do
      variables.AWS_CONTAINER_CREDENTIALS_FULL_URI = url
      assert.matches("neither HTTPS nor a loopback", tostring(refuse "CredentialsFailed"))
    end
  end)

  it("are asked three times", function()
    answer = { 500, {}, "<html>busy</html>" }
    assert.matches("answers 500", tostring(refuse "CredentialsFailed"))
    assert.equal(3, #server.requests)
    answer = { 200, {}, "{}" }
    assert.matches("gave no AccessKeyId", tostring(refuse "CredentialsFailed"))
  end)
end)

describe("EC2 instances", function()
  local server, answers

  local ROLE = "/latest/meta-data/iam/security-credentials/"

  before_each(function()
    answers = {
      ["/latest/api/token"] = { 200, {}, "tok" },
      [ROLE] = { 200, {}, "my-role" },
      [ROLE .. "my-role"] = { 200, {}, '{"Code":"Success","AccessKeyId":"K",' ..
        '"SecretAccessKey":"S","Token":"T","Expiration":"2126-01-01T00:00:00Z"}' },
    }
    server = support.server(function(request)
      return table.unpack(answers[request.path] or { 404, {}, "" })
    end)
    variables.AWS_EC2_METADATA_DISABLED = "false"
    variables.AWS_EC2_METADATA_SERVICE_ENDPOINT = server.url .. "/"
  end)

  after_each(function()
    http.close()
    server:close()
  end)

  it("give credentials of their role", function()
    assert.equal("K S T", find())
    assert.equal("PUT", server.requests[1].method)
    assert.equal("21600", server.requests[1].headers["x-aws-ec2-metadata-token-ttl-seconds"])
    assert.equal("tok", server.requests[2].headers["x-aws-ec2-metadata-token"])
    assert.equal("tok", server.requests[3].headers["x-aws-ec2-metadata-token"])
    assert.equal("role my-role of the EC2 instance", session:credentials().source)
  end)

  it("of the first version give them, too, unless that is off", function()
    answers["/latest/api/token"] = { 405, {}, "" }
    assert.equal("K S T", find())
    assert.is_nil(server.requests[2].headers["x-aws-ec2-metadata-token"])
    variables.AWS_EC2_METADATA_V1_DISABLED = "true"
    refuse "NoCredentials"
  end)

  it("give credentials that have ended when they have no others", function()
    answers[ROLE .. "my-role"][3] = answers[ROLE .. "my-role"][3]:gsub("2126", "2020")
    assert.equal("K S T", find())
    assert.is_truthy(session:credentials().expires > system.now() / 1000)
  end)

  it("are asked once, for a second, when the settings make no sense", function()
    for _, value in ipairs { "0", "-1", "1e400", "nan", "x" } do
      variables.AWS_METADATA_SERVICE_NUM_ATTEMPTS = value
      variables.AWS_METADATA_SERVICE_TIMEOUT = value
      assert.equal("K S T", find())
    end
  end)

  it("may have no role, or lie", function()
    for path, answer in pairs {
      [ROLE] = { 404, {}, "" },
      ["/latest/api/token"] = { 200, {}, "a\nb" },
      [ROLE .. "my-role"] = { 200, {}, '{"Code":"AssumeRoleUnauthorizedAccess","Message":"m"}' },
    } do
      local before = answers[path]
      answers[path] = answer
      assert.matches("no metadata service with a role", tostring(refuse "NoCredentials"))
      answers[path] = before
    end
    answers[ROLE] = { 200, {}, "../../x" }
    refuse "NoCredentials"
    answers[ROLE .. "my-role"] = { 200, {}, '{"AccessKeyId":"K"}' }
    answers[ROLE] = { 200, {}, "my-role\nother" }
    refuse "CredentialsFailed"
  end)
end)

-- Renewal ----------------------------------------------------------------------------------------

describe("renewal", function()
  local server, now, lifetime, failing

  before_each(function()
    now, lifetime, failing = system.now() / 1000, 3600, false
    server = support.server(function(_, count)
      if failing then
        return 500, {}, ""
      end
      return 200, {}, json.encode { AccessKeyId = "K" .. count, SecretAccessKey = "S",
        Expiration = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(now + lifetime)) }
    end)
    variables.AWS_CONTAINER_CREDENTIALS_FULL_URI = server.url
    open { now = function() return now end }
  end)

  after_each(function()
    http.close()
    server:close()
  end)

  it("is one for all who wait", function()
    local futures = {}
    for i = 1, 20 do
      futures[i] = async(function() return session:credentials().access_key end)
    end
    assert.equal("K1", session:credentials().access_key)
    for _, future in ipairs(futures) do
      assert.equal("K1", future:result())
    end
    assert.equal(1, #server.requests)
  end)

  it("begins a quarter of an hour before the end", function()
    session:credentials()
    now = now + 3600 - 16 * 60
    assert.equal("K1", session:credentials().access_key)
    assert.equal(1, #server.requests)
    now = now + 2 * 60
    assert.equal("K1", session:credentials().access_key)
    now = now + 5 * 60
    assert.equal("K2", session:credentials().access_key)
    assert.equal(2, #server.requests)
  end)

  it("is not for ever asked of credentials that live shortly", function()
    lifetime = 60
    session:credentials()
    now = now + 40
    assert.equal("K1", session:credentials().access_key)
    assert.equal("K1", session:fresh_credentials().access_key)
    assert.equal(1, #server.requests)
    now = now + 15
    assert.is_nil(session:fresh_credentials())
    assert.equal("K2", session:credentials().access_key)
  end)

  it("that fails leaves those that hold still", function()
    session:credentials()
    failing = true
    now = now + 3600 - 5 * 60
    assert.equal("K1", session:credentials().access_key)
    assert.equal(4, #server.requests)
    assert.equal("K1", session:credentials().access_key)
    assert.equal(4, #server.requests)
    now = now + 6 * 60
    assert.is_nil(session:fresh_credentials())
    refused("CredentialsFailed", session.credentials, session)
    failing = false
    assert.matches("^K%d", session:credentials().access_key)
  end)

  it("follows when AWS says that they are over", function()
    local first = session:credentials()
    assert.is_true(session:forget_credentials(first))
    assert.is_true(session:forget_credentials(first))
    assert.equal("K2", session:credentials().access_key)
    assert.is_true(session:forget_credentials(first))
    assert.equal("K2", session:credentials().access_key)
  end)
end)
