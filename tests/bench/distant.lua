--- A pool on a function that is far away. arg: what to do, and with what.
---
---   record FILE                   makes a function in the local service, has it run a task, and
---                                 writes the service's answer, headers included, to FILE
---   invoke URL INFLIGHT TASKS     has the service at URL, which gives that answer to everything
---                                 (latency_server), run so many invocations of one task each
---
--- `invoke` prints lines of "name number": microseconds for each invocation and microseconds of
--- processor time, and the bytes of memory in use at most.
local system = require "lambdapool.system"
local lambdapool = require "lambdapool"

-- What every task gives; latency_server always sends this one's answer.
local function task()
  return { 42, "forty-two" }
end

-- The head of a response, as it may have been on the wire, and its body.
local function encode(response)
  local lines = { "HTTP/1.1 200 OK" }
  for name, value in pairs(response.headers) do
    if name ~= "content-length" and name ~= "connection" then
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  lines[#lines + 1] = "content-length: " .. #response.body
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. response.body
end

local function record(path)
  local http = require "lambdapool.http"
  local send, answer = http.send, nil
  http.send = function(request, done, argument)
    local url = request.url
    return send(request, function(response)
      if url:find "/invocations$" then
        answer = response
      end
      done(response, argument)
    end)
  end
  local account <close> = require "lambdapool.account".open { backend = "local" }
  require "lambdapool.deploy.function".deploy(account, "distant")
  local pool <close> = lambdapool.pool { function_name = "distant", progress = false }
  for _ = 1, 2 do -- the second has no cold start
    assert(pool:apply(task)[1] == 42)
  end
  local file <close> = assert(io.open(path, "wb"))
  file:write(encode(answer))
end

-- Bytes of a line of /proc/self/status.
local function status(name)
  for line in io.lines "/proc/self/status" do
    local amount = line:match("^" .. name .. ":%s*(%d+)")
    if amount then
      return tonumber(amount) * 1024
    end
  end
end

local function invoke(url, in_flight, count)
  local items = {}
  for i = 1, count do
    items[i] = i
  end
  local pool <close> = lambdapool.pool {
    backend = "aws", function_name = "distant", endpoint_url = url, region = "us-east-1",
    aws_access_key_id = "AKIDEXAMPLE", aws_secret_access_key = "secret", workers = in_flight,
    progress = false,
  }
  local warm = table.move(items, 1, 2 * in_flight, 1, {})
  pool:map(task, warm, { chunksize = 1 })
  local start, cpu = system.monotonic(), os.clock()
  local results = pool:map(task, items, { chunksize = 1 })
  local took, used = system.monotonic() - start, os.clock() - cpu
  assert(#results == count and results[count][2] == "forty-two")
  print("time", took / count * 1e6)
  print("cpu", used / count * 1e6)
  print("memory", status "VmHWM")
end

local commands = { record = record, invoke = invoke }
commands[arg[1]](arg[2], tonumber(arg[3]), tonumber(arg[4]))
