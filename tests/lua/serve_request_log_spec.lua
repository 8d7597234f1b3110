local json = require "lambdapool.json"
local request_log = require "lambdapool.serve.request_log"

local function entry(more)
  local all = { time = 1440938160.25, method = "POST", path = "/x", status = 200,
    milliseconds = 3.14159, request_id = "id" }
  for name, value in pairs(more or {}) do
    all[name] = value
  end
  return all
end

describe("the request log", function()
  it("has a line for people", function()
    assert.matches("^%d%d:%d%d:%d%d 200     3.1 ms Invoke crawl id$",
      request_log.line(entry { operation = "Invoke", subject = "crawl" }))
    assert.matches(" 403     3.1 ms POST /x AccessDenied id$",
      request_log.line(entry { status = 403, error = "AccessDenied" }))
  end)

  it("never writes to the terminal what a client sent", function()
    local line = request_log.line(entry { path = "/\27[2J\r\n", subject = "a\7b" })
    assert.is_nil(line:find "[^\32-\126]")
    assert.matches("/\\x1b%[2J\\x0d\\x0a", line)
  end)

  it("has a line for machines", function()
    local line = request_log.json(entry { operation = "Invoke", subject = "f", region = "us-x" })
    assert.is_nil(line:find "\n")
    assert.same({ time = "2015-08-30T12:36:00.250Z", method = "POST", path = "/x", status = 200,
      milliseconds = 3.141, request_id = "id", operation = "Invoke", subject = "f",
      region = "us-x" }, json.decode(line))
    assert.same("/\\xff", json.decode(request_log.json(entry { path = "/\255" })).path)
  end)
end)
