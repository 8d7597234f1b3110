--- The three protocols that the services here answer in: REST with JSON for Lambda, JSON with a
--- target for CloudWatch Logs, and XML for IAM and STS. Each says how results and faults look.

local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local xml = require "lambdapool.serve.xml"

---@class lambdapool.serve.Protocol
---@field name "rest"|"target"|"query"
---@field result fun(context: table, request: userdata, status: integer, output: any)
---@field fault fun(context: table, request: userdata, fault: lambdapool.serve.Fault)

local REST, TARGET, QUERY = "application/json", "application/x-amz-json-1.1", "text/xml"

local NAMESPACES = {
  iam = "https://iam.amazonaws.com/doc/2010-05-08/",
  sts = "https://sts.amazonaws.com/doc/2011-06-15/",
}

local function headers_of(context, content_type, more)
  local headers = { ["content-type"] = content_type, ["x-amzn-requestid"] = context.request_id }
  for name, value in pairs(more or {}) do
    headers[name:lower()] = value
  end
  return headers
end

local rest = { name = "rest" }

function rest.result(context, request, status, output)
  if status == 204 then
    return request:respond(status, headers_of(context))
  end
  request:respond(status, headers_of(context, REST), output and json.encode(output) or "")
end

function rest.fault(context, request, problem)
  local headers = headers_of(context, REST, problem.headers)
  headers["x-amzn-errortype"] = problem.type
  request:respond(problem.status, headers, json.encode(fault.body(problem)))
end

local target = { name = "target" }

function target.result(context, request, status, output)
  request:respond(status, headers_of(context, TARGET), output and json.encode(output) or "")
end

function target.fault(context, request, problem)
  local body = { __type = problem.type, message = problem.message }
  for name, value in pairs(problem.fields or {}) do
    body[name] = value
  end
  local headers = headers_of(context, TARGET, problem.headers)
  headers["x-amzn-errortype"] = problem.type
  request:respond(problem.status, headers, json.encode(body))
end

local query = { name = "query" }

-- Operations without a result have only the metadata.
function query.result(context, request, status, output)
  local content = { { "ResponseMetadata", { { "RequestId", context.request_id } } } }
  if output then
    table.insert(content, 1, { context.operation .. "Result", output })
  end
  request:respond(status, headers_of(context, QUERY),
    xml.element(context.operation .. "Response", content, NAMESPACES[context.scope]))
end

function query.fault(context, request, problem)
  request:respond(problem.status, headers_of(context, QUERY, problem.headers),
    xml.element("ErrorResponse", {
      { "Error", {
        { "Type", problem.status < 500 and "Sender" or "Receiver" },
        { "Code", problem.type },
        { "Message", problem.message },
      } },
      { "RequestId", context.request_id },
    }, NAMESPACES[context.scope]))
end

return { rest = rest, target = target, query = query }
