--- Sessions: regions, endpoints, certificates, and where they are configured.

local support = require "tests.lua.aws_support"

local home, variables

local refused = support.refused

before_each(function()
  home = support.home()
  variables = {}
end)

after_each(function()
  home:remove()
end)

local function open(options)
  options = options or {}
  options.variables = variables
  return support.session(home, options)
end

describe("regions", function()
  it("come from options, the environment, the profile", function()
    assert.is_nil(open().region)
    home:write(".aws/config", "[default]\nregion = ca-west-1\n[profile x]\nregion = sa-east-1\n")
    assert.equal("ca-west-1", open().region)
    variables.AWS_PROFILE = "x"
    assert.equal("sa-east-1", open().region)
    variables.AWS_DEFAULT_REGION = "eu-west-1"
    assert.equal("eu-west-1", open().region)
    variables.AWS_REGION = "eu-west-2"
    assert.equal("eu-west-2", open().region)
    assert.equal("us-east-2", open { region = "us-east-2" }.region)
  end)

  it("must be there when they are needed", function()
    local problem = refused("NoRegion", function() open():lambda():call "ListFunctions" end)
    assert.equal("no AWS region is set\n  set it with `--region`, AWS_REGION, or `region = ...` " ..
      "of profile default in " .. home.path .. "/.aws/config", tostring(problem))
    assert.equal("https://sts.amazonaws.com", (open():endpoint "sts"))
    assert.equal("us-east-1", open():signing_region "sts")
  end)

  it("are names", function()
    for _, region in ipairs { "us east 1", "x/../y", "a.b", "-x", "x\n", ("x"):rep(100) } do
      variables.AWS_REGION = region
      refused("InvalidRegion", open)
    end
    variables.AWS_REGION = ""
    assert.is_nil(open().region)
  end)
end)

-- Service, region, FIPS, dual stack, host, region of the signature; as botocore 1.43 has them.
local HOSTS = [[
lambda us-east-1      - - lambda.us-east-1.amazonaws.com us-east-1
lambda us-east-1      - d lambda.us-east-1.api.aws us-east-1
lambda us-east-1      f - lambda-fips.us-east-1.amazonaws.com us-east-1
lambda eu-west-3      f d lambda-fips.eu-west-3.api.aws eu-west-3
lambda cn-north-1     - - lambda.cn-north-1.amazonaws.com.cn cn-north-1
lambda cn-north-1     - d lambda.cn-north-1.api.amazonwebservices.com.cn cn-north-1
lambda us-gov-west-1  f - lambda-fips.us-gov-west-1.amazonaws.com us-gov-west-1
lambda us-iso-east-1  - - lambda.us-iso-east-1.c2s.ic.gov us-iso-east-1
lambda us-isob-east-1 - - lambda.us-isob-east-1.sc2s.sgov.gov us-isob-east-1
lambda eu-isoe-west-1 - - lambda.eu-isoe-west-1.cloud.adc-e.uk eu-isoe-west-1
lambda eusc-de-east-1 - - lambda.eusc-de-east-1.amazonaws.eu eusc-de-east-1
lambda xx-new-1       - - lambda.xx-new-1.amazonaws.com xx-new-1
sts    eu-west-3      - - sts.eu-west-3.amazonaws.com eu-west-3
sts    us-gov-west-1  f - sts.us-gov-west-1.amazonaws.com us-gov-west-1
sts    us-gov-west-1  f d sts-fips.us-gov-west-1.api.aws us-gov-west-1
logs   eu-west-3      f - logs-fips.eu-west-3.amazonaws.com eu-west-3
logs   us-gov-east-1  f - logs.us-gov-east-1.amazonaws.com us-gov-east-1
iam    eu-west-3      - - iam.amazonaws.com us-east-1
iam    eu-west-3      f - iam-fips.amazonaws.com us-east-1
iam    eu-west-3      - d iam.global.api.aws us-east-1
iam    cn-north-1     - - iam.cn-north-1.amazonaws.com.cn cn-north-1
iam    us-gov-east-1  - - iam.us-gov.amazonaws.com us-gov-west-1
iam    us-gov-west-1  f d iam.us-gov.api.aws us-gov-west-1
]]

describe("endpoints", function()
  it("are those of AWS", function()
    for service, region, fips, dual, host, signed in
      HOSTS:gmatch "(%S+) +(%S+) +(%S) (%S) (%S+) (%S+)\n" do
      variables.AWS_USE_FIPS_ENDPOINT = fips == "f" and "true" or nil
      variables.AWS_USE_DUALSTACK_ENDPOINT = dual == "d" and "True" or nil
      local session = open { region = region }
      assert.same({ "https://" .. host, host, "" }, { session:endpoint(service) })
      assert.equal(signed, session:signing_region(service))
    end
  end)

  it("may be set in many places, from the last to the first", function()
    home:write(".aws/config", [[
[default]
endpoint_url = http://a
services = mine
[services mine]
lambda =
  endpoint_url = http://b
cloudwatch_logs =
  endpoint_url = http://logs
]])
    local function endpoint(service, options)
      options = options or {}
      options.region = "us-east-1"
      return (open(options):endpoint(service or "lambda"))
    end
    assert.equal("http://a", endpoint "iam")
    assert.equal("http://logs", endpoint "logs")
    assert.equal("http://b", endpoint())
    variables.AWS_ENDPOINT_URL = "http://c"
    assert.equal("http://c", endpoint())
    variables.AWS_ENDPOINT_URL_LAMBDA = "http://d"
    variables.AWS_ENDPOINT_URL_CLOUDWATCH_LOGS = "http://e"
    assert.equal("http://d", endpoint())
    assert.equal("http://e", endpoint "logs")
    assert.equal("http://f", endpoint("lambda", { endpoint_url = "http://f" }))
    variables.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS = "true"
    assert.equal("https://lambda.us-east-1.amazonaws.com", endpoint())
    assert.equal("http://f", endpoint("lambda", { endpoint_url = "http://f" }))
  end)

  it("have ports and paths, and may move", function()
    local session = open { endpoint_url = "HTTP://LocalHost:80/a/b/" }
    assert.same({ "http://localhost/a/b", "localhost", "/a/b" }, { session:endpoint "lambda" })
    session.endpoint_url = "https://[::1]:443"
    assert.same({ "https://[::1]", "[::1]", "" }, { session:endpoint "lambda" })
    session.endpoint_url = "https://x:80"
    assert.same({ "https://x:80", "x:80", "" }, { session:endpoint "lambda" })
  end)

  it("must be URLs", function()
    for _, url in ipairs { "x", "ftp://x", "http://", "http:///x", "http://x?y", "http://x#y",
      "http://x y", "http://me:hush@x", "http://x\r\ny" } do
      local problem = refused("InvalidEndpoint", function()
        open { region = "x", endpoint_url = url }:endpoint "lambda"
      end)
      assert.not_matches("hush", tostring(problem))
    end
    variables.AWS_ENDPOINT_URL = "localhost:80"
    assert.equal("cannot use the endpoint from AWS_ENDPOINT_URL: localhost:80 is no URL of a " ..
      "service\n  it should look like http://127.0.0.1:9077",
      tostring(refused("InvalidEndpoint", function() open():endpoint "iam" end)))
  end)

  it("need the section that the profile names", function()
    home:write(".aws/config", "[default]\nservices = gone\n")
    assert.matches("names the section %[services gone%]",
      tostring(refused("InvalidConfiguration", function() open():endpoint "iam" end)))
  end)
end)

describe("sessions", function()
  it("know the certificates to trust", function()
    home:write(".aws/config", "[default]\nca_bundle = ~/ca.pem\n")
    assert.equal(home.path .. "/ca.pem", open().ca)
    variables.AWS_CA_BUNDLE = "/x.pem"
    assert.equal("/x.pem", open().ca)
  end)

  it("touch no files without a home", function()
    local session = require("lambdapool.aws.session").new { environment = function() end,
      region = "r", aws_access_key_id = "K", aws_secret_access_key = "S" }
    assert.is_nil(session.profiles.config_path)
    assert.equal("K", session:credentials().access_key)
    assert.equal("AWS session (profile default, r)", tostring(session))
  end)

  it("have each client once", function()
    local session = open { region = "r" }
    assert.equal(session:lambda(), session:lambda())
    assert.equal("iam", session:iam().service.name)
  end)

  it("do not mind what is for other programs", function()
    home:write(".aws/config", "[default]\nregion =\n  a = b\ncredential_process =\n  c = d\n" ..
      "sso_account_id =\n  e = f\ns3 =\n  addressing_style = path\n")
    assert.is_nil(open().region)
    refused("NoCredentials", function() open():credentials() end)
  end)

  it("do not mind files that are none", function()
    os.execute(("mkdir -p '%s/.aws/config' '%s/.aws/credentials'"):format(home.path, home.path))
    assert.is_nil(open().region)
  end)
end)
