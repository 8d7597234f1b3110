--- `lambdapool serve`: the Lambda service as a program, until Ctrl-C or SIGTERM.

local command = require "lambdapool.cli.command"
local interrupt = require "lambdapool.interrupt"
local system = require "lambdapool.system"

-- The exit code of a program that Ctrl-C ended.
local INTERRUPTED = 130

local function region(text)
  if not text:find "^%l[%l%d-]*%-%d+$" then
    return nil, "a region like us-east-1"
  end
  return text
end

local OPTIONS = {
  { "--port", "N", "where to listen; 0: any free port (9077)",
    convert = command.integer(0, 65535) },
  { "--host", "ADDRESS", "the address to listen on (127.0.0.1)", convert = command.word },
  { "--dir", "DIR", "the folder that keeps everything (~/.local/state/lambdapool/serve)",
    convert = command.word },
  { "--access-key", "KEY", "the access key that requests must be signed with,",
    convert = command.word },
  { "--secret-key", "KEY", "and its secret", convert = command.word },
  { "--region", "NAME", "the region that is named in what is printed (us-east-1)",
    convert = region },
  { "--latency", "MS", "how long every invocation is under way before it is looked at (0)",
    convert = command.amount(60000) },
  { "--concurrency", "N", "how many invocations may run at a time (1000)",
    convert = command.integer(1, 100000) },
  { "--idle", "SECONDS", "how long an idle environment is kept (300)",
    convert = command.amount(86400) },
  { "--retry", "SECONDS", "how long failed asynchronous invocations wait to be tried again (60)",
    convert = command.amount(86400) },
  { "--json", nil, "log requests as JSON, one object a line" },
  { "--quiet", nil, "log no requests" },
}

-- What is printed ------------------------------------------------------------------------------

local function say(...)
  io.stderr:write("lambdapool: ", ...)
  io.stderr:write "\n"
end

local function is_loopback(host)
  return host:find "^127%." or host == "::1" or host == "localhost"
end

local function warn_of_host(host)
  if not is_loopback(host) then
    say("warning: others can reach the service on ", host,
      ", and have it run programs if they have a key")
  end
end

-- What is printed is pasted into shells that are elsewhere.
local function absolute(path)
  if path:sub(1, 1) == "/" then
    return path
  end
  local pwd <close> = assert(io.popen "pwd")
  return pwd:read "l" .. "/" .. path
end

local function greet(service, options)
  if not service.isolated then
    say "warning: functions are not isolated: this user may not make namespaces"
  end
  say("serving Lambda on ", service.url)
  if not options.access_key then
    say("  export AWS_SHARED_CREDENTIALS_FILE=", absolute(options.dir), "/credentials")
  end
  say("  export AWS_ENDPOINT_URL=", service.url, " AWS_REGION=", service.region)
end

local function logger(options)
  if options.quiet then
    return nil
  end
  local request_log = require "lambdapool.serve.request_log"
  local format = options.json and request_log.json or request_log.line
  return function(entry)
    io.stderr:write(format(entry), "\n")
  end
end

-- Running --------------------------------------------------------------------------------------

-- Serves until somebody ends it. What a callback raises is reported and stops nothing.
local function serve()
  local loop = require "lambdapool.loop"
  while true do
    local _, problem = pcall(loop.wait, interrupt.came)
    if interrupt.came() then
      return
    end
    say("internal error: ", tostring(problem))
  end
end

local function options_of(given)
  if (given.access_key == nil) ~= (given.secret_key == nil) then
    command.usage "'--access-key' and '--secret-key' go together"
  end
  local dir = given.dir or require("lambdapool.serve").folder()
  if not dir then
    command.fail("there is no HOME to keep things in; choose with `--dir`", 2)
  end
  return {
    dir = dir, host = given.host, port = given.port, region = given.region,
    access_key = given.access_key, secret_key = given.secret_key,
    latency = given.latency, concurrency = given.concurrency,
    idle_seconds = given.idle, retry_seconds = given.retry,
    log = logger(given),
    complain = function(problem)
      say("internal error: ", tostring(problem))
    end,
  }
end

local function run(given)
  local options = options_of(given)
  warn_of_host(options.host or "127.0.0.1")
  system.raise_descriptors() -- a connection and its environment take five
  local service, message = require("lambdapool.serve").open(options)
  if not service then
    say(message)
    return 1
  end
  greet(service, options)
  serve()
  service:close()
  say(interrupt.terminated() and "terminated" or "interrupted")
  return interrupt.terminated() and 0 or INTERRUPTED
end

return command.new {
  name = "serve",
  usage = "serve",
  example = "lambdapool serve\naws --endpoint-url http://127.0.0.1:9077 lambda list-functions",
  about = [[
A Lambda service on this machine, for the AWS CLI and SDKs. It runs functions as AWS Lambda does and
keeps them in a folder. Requests must be signed; without --access-key there is a key in the file
`credentials` of the folder, made the first time.]],
  options = OPTIONS,
  run = run,
}
