--- `lambdapool serve`: the Lambda service as a program, until Ctrl-C or SIGTERM.

local interrupt = require "lambdapool.interrupt"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local help = [==[
  lambdapool serve
  aws --endpoint-url http://127.0.0.1:9077 lambda list-functions

usage: lambdapool serve [OPTIONS]

A Lambda service on this machine, for the AWS CLI and SDKs. It runs functions as AWS Lambda does and
keeps them in a folder. Requests must be signed; without --access-key there is a key in the file
`credentials` of the folder, made the first time.

  --port N           where to listen; 0: any free port (9077)
  --host ADDRESS     the address to listen on (127.0.0.1)
  --dir DIR          the folder that keeps everything (~/.local/state/lambdapool/serve)
  --access-key KEY   the access key that requests must be signed with,
  --secret-key KEY   and its secret
  --region NAME      the region that is named in what is printed (us-east-1)
  --latency MS       how long every invocation is under way before it is looked at (0)
  --concurrency N    how many invocations may run at a time (1000)
  --idle SECONDS     how long an idle environment is kept (300)
  --retry SECONDS    how long failed asynchronous invocations wait to be tried again (60)
  --json             log requests as JSON, one object a line
  --quiet            log no requests
  --help             this text
]==]

-- The exit code of a program that Ctrl-C ended.
local INTERRUPTED = 130

-- Reading the command line ---------------------------------------------------------------------

local function integer(min, max)
  return function(text)
    local number = text:find "^%d+$" and math.tointeger(tonumber(text))
    if number and number >= min and number <= max then
      return number
    end
    return nil, ("a number from %d to %d"):format(min, max)
  end
end

local function amount(max)
  return function(text)
    local number = text:find "^[%d.]+$" and tonumber(text)
    if number and number <= max then
      return number
    end
    return nil, ("a number from 0 to %d"):format(max)
  end
end

local function word(text)
  if text == "" then
    return nil, "a text"
  end
  return text
end

local function region(text)
  if not text:find "^%l[%l%d-]*%-%d+$" then
    return nil, "a region like us-east-1"
  end
  return text
end

-- Option -> its name in lambdapool.serve, and what its value must be; without that it has none.
local OPTIONS = {
  ["--port"] = { "port", integer(0, 65535) },
  ["--host"] = { "host", word },
  ["--dir"] = { "dir", word },
  ["--access-key"] = { "access_key", word },
  ["--secret-key"] = { "secret_key", word },
  ["--region"] = { "region", region },
  ["--latency"] = { "latency", amount(60000) },
  ["--concurrency"] = { "concurrency", integer(1, 100000) },
  ["--idle"] = { "idle_seconds", amount(86400) },
  ["--retry"] = { "retry_seconds", amount(86400) },
  ["--json"] = { "json" },
  ["--quiet"] = { "quiet" },
  ["--help"] = { "help" },
  ["-h"] = { "help" },
}

local function names()
  local list = {}
  for name in pairs(OPTIONS) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

-- Reads the option at argv[i]. Returns the index of the next one, or nil and a complaint.
local function read_option(options, argv, i)
  local name, value = argv[i]:match "^(%-%-[^=]+)=(.*)$"
  name = name or argv[i]
  local rule = OPTIONS[name]
  if not rule then
    local kind = name:sub(1, 1) == "-" and "option" or "argument"
    return nil, ("unknown %s '%s'%s"):format(kind, name, suggest.hint(name, names()))
  elseif not rule[2] then
    options[rule[1]] = true
    return not value and i + 1, ("'%s' takes no value"):format(name)
  end
  if not value then
    i = i + 1
    value = argv[i]
  end
  if not value then
    return nil, ("'%s' needs a value"):format(name)
  end
  local checked, wanted = rule[2](value)
  if checked == nil then
    return nil, ("'%s' must be %s, got '%s'"):format(name, wanted, value)
  end
  options[rule[1]] = checked
  return i + 1
end

-- Returns the options, or nil and a complaint.
local function parse(argv)
  local options, i = {}, 2
  while argv[i] do
    local following, complaint = read_option(options, argv, i)
    if not following then
      return nil, complaint
    end
    i = following
  end
  if (options.access_key == nil) ~= (options.secret_key == nil) then
    return nil, "'--access-key' and '--secret-key' go together"
  end
  return options
end

local function default_dir()
  local home = os.getenv "HOME"
  local state = os.getenv "XDG_STATE_HOME"
  if not state or state == "" then
    state = home and home .. "/.local/state"
  end
  return state and state .. "/lambdapool/serve"
end

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

local function run(options)
  options.log = logger(options)
  options.complain = function(problem)
    say("internal error: ", tostring(problem))
  end
  warn_of_host(options.host or "127.0.0.1")
  assert(interrupt.catch(true))
  system.raise_descriptors() -- a connection and its environment take five
  local service, message = require("lambdapool.serve").open(options)
  if not service then
    say(message)
    return 1
  end
  greet(service, options)
  serve()
  service:close()
  interrupt.release()
  say(interrupt.terminated() and "terminated" or "interrupted")
  return interrupt.terminated() and 0 or INTERRUPTED
end

---@param argv string[]
---@return integer exit code
local function main(argv)
  local options, complaint = parse(argv)
  if not options then
    io.stderr:write("lambdapool serve: ", complaint, "\n  see `lambdapool serve --help`\n")
    return 2
  elseif options.help then
    io.stdout:write(help)
    return 0
  end
  options.dir = options.dir or default_dir()
  if not options.dir then
    io.stderr:write "lambdapool serve: there is no HOME to keep things in; choose with `--dir`\n"
    return 2
  end
  return run(options)
end

return { main = main }
