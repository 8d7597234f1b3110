--- Files, environments and what comes of them: the same as in botocore.

local http = require "lambdapool.http"
local ini = require "lambdapool.aws.ini"
local json = require "lambdapool.json"
local support = require "tests.lua.aws_support"

local home

before_each(function()
  home = support.home()
end)

after_each(function()
  http.close()
  home:remove()
end)

-- What botocore says to each case.
local function ask(cases)
  local path = home:write("cases.json", json.encode(json.array(cases)))
  local pipe <close> = assert(io.popen("/usr/bin/python3 tests/lua/aws_boto.py " .. path))
  return assert(json.decode(pipe:read "a"))
end

-- Files ----------------------------------------------------------------------------------------

-- Lines of a file, @ being a name that was not there yet; and what makes most lines wrong.
local LINES = { "[s @]", "k@ = v", "K@:v=w:x", "k@=", "k@ =", "  indented", "\tmore = 1",
  "  n@ = 1", "", "  ", "# c", "  ; c", "k@ = 'q' # no \u{E9}", " k@ = v", "    [s]", "k@ = \r",
  "[s @] x" }
local JUNK = { "[", "]", "k", "[s]", "= v", ":", "[]", "k = v", "x [y]" }

local function random_file()
  local text = { math.random() < 0.95 and "[first]" or nil }
  for i = 1, math.random(1, 9) do
    local lines = math.random() < 0.03 and JUNK or LINES
    text[#text + 1] = lines[math.random(#lines)]:gsub("@", i)
  end
  return table.concat(text, math.random() < 0.1 and "\r\n" or "\n")
end

describe("files", function()
  it("are read as botocore reads them", function()
    math.randomseed(42)
    local cases = {}
    for i = 1, 1500 do
      cases[i] = { ini = random_file() }
    end
    local wrong = {}
    for i, expected in ipairs(ask(cases)) do
      local sections = ini.parse(cases[i].ini) or json.null
      if json.encode(sections) ~= json.encode(expected) then
        wrong[#wrong + 1] = ("%q: %s, not %s"):format(cases[i].ini, json.encode(sections),
          json.encode(expected))
      end
    end
    assert.same({}, wrong)
  end)
end)

-- Credentials ------------------------------------------------------------------------------------

local KEYS = "aws_access_key_id = %s\naws_secret_access_key = S\n"

local function keys(name)
  return KEYS:format(name)
end

local ENV = { AWS_ACCESS_KEY_ID = "env", AWS_SECRET_ACCESS_KEY = "S" }
local PROCESS = "credential_process = /bin/sh -c \"echo '{\\\"Version\\\":1," ..
  "\\\"AccessKeyId\\\":\\\"proc\\\",\\\"SecretAccessKey\\\":\\\"S\\\"}'\"\n"
local CONTAINER = { AWS_CONTAINER_CREDENTIALS_FULL_URI = "@URL@/container" }
local INSTANCE = { AWS_EC2_METADATA_SERVICE_ENDPOINT = "@URL@/",
  AWS_EC2_METADATA_DISABLED = "false" }

-- What is in the files, the environment, and the profile that the program chooses.
local CASES = {
  {},
  { env = ENV },
  { env = { AWS_ACCESS_KEY_ID = "env" } },
  { env = { AWS_SECRET_ACCESS_KEY = "S" } },
  { env = { AWS_ACCESS_KEY_ID = "", AWS_SECRET_ACCESS_KEY = "S" } },
  { env = { AWS_ACCESS_KEY_ID = "env", AWS_SECRET_ACCESS_KEY = "S", AWS_SESSION_TOKEN = "T",
    AWS_DEFAULT_REGION = "eu-west-1" } },
  { env = ENV, credentials = "[default]\n" .. keys "file" },
  { credentials = "[default]\n" .. keys "file", config = "[default]\nregion = eu-west-2\n" },
  { credentials = "[default]\n" .. keys "file", config = "[default]\n" .. keys "conf" },
  { config = "[default]\n" .. keys "conf" },
  { config = "[profile default]\n" .. keys "conf" },
  { config = "[a]\n" .. keys "conf", env = { AWS_PROFILE = "a" } },
  { config = "[profile a]\n" .. keys "conf", env = { AWS_PROFILE = "a" } },
  { config = '[profile "a b"]\n' .. keys "conf", env = { AWS_PROFILE = "a b" } },
  { config = "[profile a]\n" .. keys "conf" .. "region=x-1\n", env = { AWS_PROFILE = "a",
    AWS_ACCESS_KEY_ID = "env", AWS_SECRET_ACCESS_KEY = "S" } },
  { credentials = "[a]\n" .. keys "file", env = ENV, profile = "a" },
  { credentials = "[a]\n" .. keys "file", env = { AWS_PROFILE = "b" } },
  { credentials = "[a]\n" .. keys "file", env = { AWS_PROFILE = "b" }, profile = "a" },
  { credentials = "[a]\n" .. keys "a" .. "[b]\n" .. keys "b",
    env = { AWS_PROFILE = "a", AWS_DEFAULT_PROFILE = "b" } },
  { credentials = "[default]\naws_access_key_id = file\n" },
  { credentials = "[default]\naws_secret_access_key = S\n" },
  { credentials = "[default]\nAWS_ACCESS_KEY_ID: upper\nAws_Secret_Access_Key : S\n" ..
    "aws_session_token = T=T\n" },
  { credentials = "[default]\n" .. keys "file" .. "region = us-west-1\n" },
  { credentials = "[default]\nregion = us-west-1\n", config = "[default]\nregion = us-west-2\n" ..
    keys "conf" },
  { credentials = "[default\n" .. keys "file" },
  { config = "[default]\n" .. keys "conf", credentials = "nothing" },
  { config = "[default]\n" .. PROCESS },
  { config = "[default]\n" .. PROCESS .. keys "conf" },
  { config = "[default]\n" .. PROCESS, credentials = "[default]\n" .. keys "file" },
  { credentials = "[default]\n" .. PROCESS },
  { config = "[default]\ncredential_process = false\n" },
  { config = "[default]\ncredential_process = /nowhere/at/all\n" },
  { config = "[default]\ncredential_process = echo {}\n" },
  { config = "[default]\ncredential_process = false\n" .. keys "conf" },
  { env = CONTAINER },
  { env = CONTAINER, credentials = "[default]\n" .. keys "file" },
  { env = { AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://example.com/x" } },
  { env = { AWS_CONTAINER_CREDENTIALS_FULL_URI = "@URL@/container",
    AWS_CONTAINER_AUTHORIZATION_TOKEN = "a\nb" } },
  { env = INSTANCE },
  { env = INSTANCE, config = "[default]\nregion = x-1\n" },
  { env = { AWS_CONTAINER_CREDENTIALS_FULL_URI = "@URL@/container",
    AWS_EC2_METADATA_SERVICE_ENDPOINT = "@URL@", AWS_EC2_METADATA_DISABLED = "false" } },
  { config = "[default]\nrole_arn = arn:r\n" },
  { config = "[default]\nrole_arn = arn:r\nsource_profile = none\n" },
  { config = "[default]\nrole_arn = arn:r\nsource_profile = default\n" },
  { config = "[default]\nrole_arn = arn:r\nsource_profile = a\n[profile a]\nrole_arn = arn:r\n" ..
    "source_profile = default\n" },
  { config = "[default]\nrole_arn = arn:r\ncredential_source = Nowhere\n" },
  { config = "[default]\nrole_arn = arn:r\ncredential_source = Environment\n" },
  { config = "[default]\nrole_arn = arn:r\ncredential_source = Environment\n" .. keys "conf" },
  { config = "[default]\nrole_arn = arn:r\nsource_profile = a\ncredential_source = Environment\n" ..
    "[profile a]\n" .. keys "a" },
  { config = "[default]\nrole_arn = arn:r\nsource_profile = a\n[profile a]\nregion = x-1\n" },
  { config = "[default]\nrole_arn = arn:r\nweb_identity_token_file = /nowhere\n" },
  { config = "[default]\nweb_identity_token_file = /nowhere\n" },
  { env = { AWS_WEB_IDENTITY_TOKEN_FILE = "/nowhere" } },
  { config = "[default]\nsso_role_name = r\nsso_account_id = 1\n" .. keys "conf" },
  { config = "[default]\nsso_start_url = x\nsso_region = y\n" .. keys "conf" },
  { env = { AWS_CONFIG_FILE = "~/other" }, other = "[default]\n" .. keys "other" },
  { env = { AWS_SHARED_CREDENTIALS_FILE = "$HOME/other" }, other = "[default]\n" .. keys "other" },
  { env = { AWS_SHARED_CREDENTIALS_FILE = "${HOME}/other" }, other = "[default]\n" ..
    keys "other" },
  { env = { AWS_SHARED_CREDENTIALS_FILE = "~/none", AWS_CONFIG_FILE = "" } },
}

local FILES = { config = ".aws/config", credentials = ".aws/credentials", other = "other" }

-- The folder and the variables of a case.
local function prepare(case, i)
  local name = "home" .. i
  for kind, path in pairs(FILES) do
    if case[kind] then
      home:write(name .. "/" .. path, case[kind])
    end
  end
  local variables = { AWS_EC2_METADATA_DISABLED = "true", PATH = "/usr/bin:/bin" }
  for variable, value in pairs(case.env or {}) do
    variables[variable] = value
  end
  return { path = home.path .. "/" .. name }, variables
end

local GIVEN = '{"Code":"Success","AccessKeyId":"net","SecretAccessKey":"S","Token":"T",' ..
  '"Expiration":"2126-01-01T00:00:00Z"}'
local ROLES = "/latest/meta-data/iam/security-credentials/"
local ANSWERS = { ["/container"] = GIVEN, ["/latest/api/token"] = "token", [ROLES] = "role",
  [ROLES .. "role"] = GIVEN }

local function resolve(folder, variables, profile)
  local session
  local ok, found = pcall(function()
    session = support.session(folder, { variables = variables, profile = profile })
    return session:credentials()
  end)
  if not ok then
    assert(type(found) == "table", found)
    return found.code == "NoCredentials" and "none" or "error"
  end
  return table.concat({ found.access_key, found.secret_key, found.token or "-",
    session.region or "-" }, " ")
end

describe("credentials", function()
  it("are those that botocore finds", function()
    local server <close> = support.server(function(request)
      return ANSWERS[request.path] and 200 or 404, {}, ANSWERS[request.path]
    end)
    local cases, ours = {}, {}
    for i, case in ipairs(CASES) do
      local folder, variables = prepare(case, i)
      cases[i] = { home = folder.path, environment = {}, profile = case.profile }
      for name, value in pairs(variables) do
        cases[i].environment[name] = value
        variables[name] = value:gsub("@URL@", server.url)
      end
      ours[i] = ("%d %s"):format(i, resolve(folder, variables, case.profile))
    end
    http.close()
    local theirs = {}
    for i, result in ipairs(ask(cases)) do
      theirs[i] = ("%d %s"):format(i, result)
    end
    assert.same(theirs, ours)
  end)
end)
