--- `lambdapool serve` as the AWS CLI sees it: every operation, from the command line.

local support = require "tests.e2e.serve_support"

local app = [[
local app = {}
function app.echo(event) return event end
function app.greet(event) print "greeting" return "hello " .. (event.name or "nobody") end
return app
]]

describe("the AWS CLI", function()
  local server

  setup(function()
    server = support.new()
    server:start()
    server:zip("app", app)
    server:zip("other", (app:gsub("hello", "goodbye")))
  end)

  teardown(function()
    server:remove()
  end)

  -- Runs a command that must succeed.
  local function aws(arguments, ...)
    local answer, complaint, code = server:aws(arguments:format(...))
    assert.equal("", complaint)
    assert.equal(0, code)
    return answer
  end

  -- Runs one that must be refused.
  local function refused(pattern, arguments, ...)
    local _, complaint, code = server:aws(arguments:format(...))
    assert.matches(pattern, complaint)
    assert.not_equal(0, code)
  end

  local function names(list, field)
    local found = {}
    for i, item in ipairs(list) do
      found[i] = item[field]
    end
    return found
  end

  it("creates, shows, invokes and deletes a function", function()
    local made = server:create("f", "app.zip", "app.greet", "--tags team=x")
    assert.equal("Pending", made.State)
    aws "lambda wait function-active-v2 --function-name f"
    local answer = aws([[lambda invoke --function-name f --payload '{"name":"you"}' \
      --log-type Tail out.json]])
    assert.equal(200, answer.StatusCode)
    assert.equal("$LATEST", answer.ExecutedVersion)
    assert.equal('"hello you"', server:read "out.json")
    assert.is_string(answer.LogResult)
    assert.equal("x", aws "lambda get-function --function-name f".Tags.team)
    assert.equal("app.greet", aws "lambda get-function-configuration --function-name f".Handler)
    assert.same({ "f" }, names(aws "lambda list-functions".Functions, "FunctionName"))
    assert.equal(202,
      aws "lambda invoke --function-name f --invocation-type Event out.json".StatusCode)
    assert.equal(204,
      aws "lambda invoke --function-name f --invocation-type DryRun out.json".StatusCode)
    refused("InvalidRequestContentException.*Could not parse request body into json",
      "lambda invoke --function-name f --payload '{' out.json")
    aws "lambda delete-function --function-name f"
    refused("ResourceNotFoundException.*Function not found: arn:aws:lambda:us%-east%-1:%d+:"
      .. "function:f", "lambda get-function --function-name f")
  end)

  it("updates code and configuration", function()
    server:create("f", "app.zip", "app.greet")
    assert.equal("InProgress", aws([[lambda update-function-code --function-name f \
      --zip-file fileb://other.zip]]).LastUpdateStatus)
    aws "lambda wait function-updated-v2 --function-name f"
    aws "lambda invoke --function-name f --payload '{}' out.json"
    assert.equal('"goodbye nobody"', server:read "out.json")
    assert.equal(512, aws([[lambda update-function-configuration --function-name f \
      --memory-size 512 --environment 'Variables={COLOR=red}']]).MemorySize)
    aws "lambda wait function-updated-v2 --function-name f"
    aws "lambda delete-function --function-name f"
  end)

  it("publishes versions and points aliases at them", function()
    server:create("f", "app.zip", "app.greet")
    assert.equal("1", aws "lambda publish-version --function-name f".Version)
    assert.same({ "$LATEST", "1" },
      names(aws "lambda list-versions-by-function --function-name f".Versions, "Version"))
    aws "lambda create-alias --function-name f --name live --function-version 1"
    assert.equal("1", aws "lambda invoke --function-name f:live out.json".ExecutedVersion)
    assert.equal("second", aws([[lambda update-alias --function-name f --name live \
      --description second]]).Description)
    assert.equal("1", aws "lambda get-alias --function-name f --name live".FunctionVersion)
    assert.same({ "live" }, names(aws "lambda list-aliases --function-name f".Aliases, "Name"))
    aws "lambda delete-alias --function-name f --name live"
    aws "lambda delete-function --function-name f"
  end)

  it("publishes layers", function()
    server:zip("layer", { ["text.txt"] = "text" })
    local layer = aws "lambda publish-layer-version --layer-name l --zip-file fileb://layer.zip"
    assert.equal(1, layer.Version)
    assert.same({ "l" }, names(aws "lambda list-layers".Layers, "LayerName"))
    assert.same({ 1 },
      names(aws "lambda list-layer-versions --layer-name l".LayerVersions, "Version"))
    assert.equal(layer.LayerVersionArn,
      aws "lambda get-layer-version --layer-name l --version-number 1".LayerVersionArn)
    aws "lambda delete-layer-version --layer-name l --version-number 1"
    assert.same({}, aws "lambda list-layer-versions --layer-name l".LayerVersions)
  end)

  it("tags, permits and limits", function()
    local arn = server:create("f", "app.zip", "app.echo").FunctionArn
    aws("lambda tag-resource --resource %s --tags a=1,b=2", arn)
    aws("lambda untag-resource --resource %s --tag-keys a", arn)
    assert.same({ b = "2" }, aws("lambda list-tags --resource %s", arn).Tags)
    aws([[lambda add-permission --function-name f --statement-id s --principal \
      s3.amazonaws.com --action lambda:InvokeFunction]])
    assert.matches('"Sid":"s"', aws "lambda get-policy --function-name f".Policy)
    aws "lambda remove-permission --function-name f --statement-id s"
    refused("ResourceNotFoundException", "lambda get-policy --function-name f")
    aws([[lambda put-function-concurrency --function-name f \
      --reserved-concurrent-executions 0]])
    assert.equal(0, aws "lambda get-function-concurrency --function-name f"
      .ReservedConcurrentExecutions)
    refused("TooManyRequestsException.*Rate Exceeded",
      "lambda invoke --function-name f out.json")
    aws "lambda delete-function-concurrency --function-name f"
    aws([[lambda put-function-event-invoke-config --function-name f \
      --maximum-retry-attempts 0]])
    assert.equal(0, aws "lambda get-function-event-invoke-config --function-name f"
      .MaximumRetryAttempts)
    aws "lambda delete-function-event-invoke-config --function-name f"
    assert.equal(1000, aws "lambda get-account-settings".AccountLimit.ConcurrentExecutions)
    aws "lambda delete-function --function-name f"
  end)

  it("gives functions addresses", function()
    server:create("f", "app.zip", "app.greet")
    local url = aws([[lambda create-function-url-config --function-name f \
      --auth-type NONE]]).FunctionUrl
    aws([[lambda add-permission --function-name f --statement-id url --principal '*' \
      --action lambda:InvokeFunctionUrl --function-url-auth-type NONE]])
    aws([[lambda add-permission --function-name f --statement-id call --principal '*' \
      --action lambda:InvokeFunction]])
    assert.equal('"hello nobody"', (support.run("curl -sS " .. url)))
    assert.equal("NONE", aws "lambda get-function-url-config --function-name f".AuthType)
    aws "lambda update-function-url-config --function-name f --auth-type AWS_IAM"
    assert.matches("Forbidden", (support.run("curl -sS " .. url)))
    assert.equal(1,
      #aws "lambda list-function-url-configs --function-name f".FunctionUrlConfigs)
    aws "lambda delete-function-url-config --function-name f"
    aws "lambda delete-function --function-name f"
  end)

  it("makes roles, and says who it is", function()
    server:write("trust.json", [[{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
      "Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}]])
    local arn = aws([[iam create-role --role-name r \
      --assume-role-policy-document file://trust.json]]).Role.Arn
    aws([[iam attach-role-policy --role-name r --policy-arn \
      arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]])
    aws([[iam put-role-policy --role-name r --policy-name p \
      --policy-document file://trust.json]])
    assert.same({ "p" }, aws "iam list-role-policies --role-name r".PolicyNames)
    refused("DeleteConflict", "iam delete-role --role-name r")
    assert.is_string(aws("sts assume-role --role-arn %s --role-session-name me", arn)
      .Credentials.SessionToken)
    aws "iam delete-role-policy --role-name r --policy-name p"
    aws([[iam detach-role-policy --role-name r --policy-arn \
      arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole]])
    assert.equal(arn, aws "iam get-role --role-name r".Role.Arn)
    aws "iam delete-role --role-name r"
    refused("NoSuchEntity", "iam get-role --role-name r")
    assert.equal("123456789012", aws "sts get-caller-identity".Account)
  end)

  it("reads logs", function()
    server:create("talking", "app.zip", "app.greet")
    aws "lambda invoke --function-name talking out.json"
    local group = "--log-group-name /aws/lambda/talking"
    local streams = aws("logs describe-log-streams %s", group).logStreams
    assert.equal(1, #streams)
    local events = aws("logs get-log-events %s --log-stream-name '%s' --start-from-head", group,
      streams[1].logStreamName).events
    assert.equal(4, #events)
    assert.same({ "greeting\n" },
      names(aws("logs filter-log-events %s --filter-pattern greeting", group).events, "message"))
    aws("logs put-retention-policy %s --retention-in-days 1", group)
    assert.matches("greeting", server:aws("logs tail /aws/lambda/talking --since 1h"))
    aws("logs delete-log-group %s", group)
    aws "logs create-log-group --log-group-name mine"
    refused("ResourceAlreadyExistsException", "logs create-log-group --log-group-name mine")
    aws "lambda delete-function --function-name talking"
  end)
end)
