local fault = require "lambdapool.serve.fault"
local routes = require "lambdapool.serve.routes"

local function match(line)
  local method, path, query = line:match "^(%u+) ([^?]*)%??(.*)$"
  return routes.match(method, path, query ~= "" and query or nil)
end

describe("the routes of Lambda", function()
  it("lead to every operation", function()
    for line, operation in pairs {
      ["POST /2015-03-31/functions"] = "CreateFunction",
      ["GET /2015-03-31/functions"] = "ListFunctions",
      ["GET /2015-03-31/functions/f"] = "GetFunction",
      ["DELETE /2015-03-31/functions/f"] = "DeleteFunction",
      ["GET /2015-03-31/functions/f/configuration"] = "GetFunctionConfiguration",
      ["PUT /2015-03-31/functions/f/configuration"] = "UpdateFunctionConfiguration",
      ["PUT /2015-03-31/functions/f/code"] = "UpdateFunctionCode",
      ["POST /2015-03-31/functions/f/versions"] = "PublishVersion",
      ["GET /2015-03-31/functions/f/versions"] = "ListVersionsByFunction",
      ["POST /2015-03-31/functions/f/aliases"] = "CreateAlias",
      ["GET /2015-03-31/functions/f/aliases"] = "ListAliases",
      ["PUT /2015-03-31/functions/f/aliases/a"] = "UpdateAlias",
      ["POST /2015-03-31/functions/f/policy"] = "AddPermission",
      ["DELETE /2015-03-31/functions/f/policy/s"] = "RemovePermission",
      ["POST /2015-03-31/functions/f/invocations"] = "Invoke",
      ["POST /2014-11-13/functions/f/invoke-async/"] = "InvokeAsync",
      ["POST /2021-11-15/functions/f/response-streaming-invocations"] = "InvokeWithResponseStream",
      ["PUT /2017-10-31/functions/f/concurrency"] = "PutFunctionConcurrency",
      ["GET /2019-09-30/functions/f/concurrency"] = "GetFunctionConcurrency",
      ["GET /2019-09-30/functions/f/provisioned-concurrency"] = "GetProvisionedConcurrencyConfig",
      ["GET /2019-09-30/functions/f/provisioned-concurrency?List=ALL"] =
        "ListProvisionedConcurrencyConfigs",
      ["GET /2018-10-31/layers"] = "ListLayers",
      ["GET /2018-10-31/layers?find=LayerVersion&Arn=a"] = "GetLayerVersionByArn",
      ["POST /2018-10-31/layers/l/versions"] = "PublishLayerVersion",
      ["GET /2018-10-31/layers/l/versions/1"] = "GetLayerVersion",
      ["POST /2021-10-31/functions/f/url"] = "CreateFunctionUrlConfig",
      ["GET /2021-10-31/functions/f/urls"] = "ListFunctionUrlConfigs",
      ["POST /2019-09-25/functions/f/event-invoke-config"] = "UpdateFunctionEventInvokeConfig",
      ["GET /2019-09-25/functions/f/event-invoke-config/list"] = "ListFunctionEventInvokeConfigs",
      ["GET /2016-08-19/account-settings"] = "GetAccountSettings",
    } do
      assert.equal(operation, (match(line)), line)
    end
  end)

  it("may end with a slash", function()
    assert.equal("ListFunctions", (match "GET /2015-03-31/functions/"))
    assert.equal("GetAccountSettings", (match "GET /2016-08-19/account-settings/"))
  end)

  it("lead nowhere when the method or the path is another", function()
    for _, line in ipairs { "PATCH /2015-03-31/functions", "GET /", "GET /2015-03-31",
      "GET /2015-03-31/functions/f/nothing", "GET /2015-03-31/functions/f/aliases/a/b",
      "GET /2016-03-31/functions" } do
      assert.is_nil((match(line)), line)
    end
  end)

  it("give what is in the path, decoded once", function()
    local _, input = match "GET /2017-03-31/tags/arn%3Aaws%3Alambda%3A%2541"
    assert.same({ Resource = "arn:aws:lambda:%41" }, input)
    _, input = match "DELETE /2015-03-31/functions/f:1/policy/a%20b"
    assert.same({ FunctionName = "f:1", StatementId = "a b" }, input)
  end)

  it("give what is in the query, but for what the path says", function()
    local _, input = match "GET /2015-03-31/functions?Marker=a%2Bb&MaxItems=5&FunctionVersion=ALL"
    assert.same({ Marker = "a+b", MaxItems = 5, FunctionVersion = "ALL" }, input)
    _, input = match "GET /2015-03-31/functions/f?FunctionName=g&Qualifier=1"
    assert.same({ FunctionName = "f", Qualifier = "1" }, input)
  end)

  it("give the keys of tags as a list", function()
    local operation, input = match "DELETE /2017-03-31/tags/x?tagKeys=a&tagKeys=b"
    assert.equal("UntagResource", operation)
    assert.same({ Resource = "x", TagKeys = { "a", "b" } }, input)
  end)

  it("refuse numbers that are none", function()
    for _, number in ipairs { "x", "1.5", "0x10", "" } do
      local ok, problem = pcall(match, "GET /2015-03-31/functions?MaxItems=" .. number)
      assert.is_false(ok)
      assert.is_true(fault.is(problem))
      assert.equal("SerializationException", problem.type)
    end
  end)
end)
