--- `lambdapool invoke`: calls a function with JSON, once. The result is all that goes to stdout.

local command = require "lambdapool.cli.command"
local json = require "lambdapool.json"
local names = require "lambdapool.deploy.names"
local output = require "lambdapool.cli.output"

-- What Lambda takes: of an event that is waited for, and of others.
local MOST_BYTES, MOST_BYTES_ASYNC = 6291456, 1048576

local function read_event(text)
  if text == "-" then
    return io.read "a"
  elseif text:sub(1, 1) ~= "@" then
    return text
  end
  local file <close>, message = io.open(text:sub(2), "rb")
  local bytes
  if file then
    bytes, message = file:read "a"
    message = message and ("%s: %s"):format(text:sub(2), message)
  end
  return bytes or command.fail("cannot read the event: " .. message)
end

-- The event as it is sent. A function cannot get anything but JSON.
local function event_of(given)
  local event = read_event(given.event_text or "{}")
  local most = given.event and MOST_BYTES_ASYNC or MOST_BYTES
  local ok, message = json.check(event)
  if not ok then
    local hint = (given.event_text or ""):find "^[%w_./-]+%.json$" and
      ("\n  the file %s is given as @%s"):format(given.event_text, given.event_text) or ""
    command.fail(("the event is not JSON: %s%s"):format(message, hint), 2)
  elseif #event > most then
    command.fail(("the event has %d bytes, and Lambda takes %d at most"):format(#event, most))
  end
  return event
end

-- Errors of functions ----------------------------------------------------------------------------

local function line_of_trace(value)
  return type(value) == "table" and json.encode(value) or tostring(value)
end

-- What a function's error says. Runtimes put different things into it.
local function describe(name, answer)
  local said = json.decode(answer.Payload)
  if type(said) ~= "table" or type(said.errorMessage) ~= "string" then
    return ("%s failed: %s"):format(name, answer.Payload)
  end
  local lines = { ("%s failed: %s%s"):format(name, said.errorMessage,
    type(said.errorType) == "string" and " (" .. said.errorType .. ")" or "") }
  local trace = said.stackTrace or said.trace
  for _, line in ipairs(type(trace) == "table" and trace or {}) do
    lines[#lines + 1] = "    " .. line_of_trace(line)
  end
  if said.errorType == "Runtime.NoHandler" then
    lines[#lines + 1] = ("  give it one with `lambdapool update %s --handler MODULE.FUNCTION`")
      :format(names.bare(name))
  end
  return table.concat(lines, "\n")
end

-- Running ----------------------------------------------------------------------------------------

local function document(answer)
  local payload = json.decode(answer.Payload)
  return {
    status = answer.StatusCode, function_error = answer.FunctionError,
    version = answer.ExecutedVersion, request_id = answer.RequestId, log = answer.LogResult,
    payload = payload == nil and answer.Payload ~= "" and answer.Payload or payload,
  }
end

local function print_tail(log)
  io.stdout:flush()
  io.stderr:write(output.visible(log, 2), log:sub(-1) == "\n" and "" or "\n")
end

local function print_result(given, answer)
  if given.json then
    return output.json(document(answer))
  elseif given.event then
    return output.say(("accepted, request %s"):format(answer.RequestId or "unknown"))
  elseif not answer.FunctionError then
    io.write(answer.Payload, answer.Payload:sub(-1) == "\n" and "" or "\n")
  end
end

local function run(given, context)
  if given.event and given.tail then
    command.usage "'--event' does not wait for the log that '--tail' shows"
  end
  names.bare(given.name)
  local event, account = event_of(given), context:account()
  local answer = account.session:lambda():call("Invoke", {
    FunctionName = given.name, Payload = event, Qualifier = given.qualifier,
    InvocationType = given.event and "Event" or nil, LogType = given.tail and "Tail" or nil,
  })
  print_result(given, answer)
  if given.event then
    account:settle()
  end
  if given.tail and answer.LogResult then
    print_tail(answer.LogResult)
  end
  if answer.FunctionError then
    command.fail(describe(given.name, answer))
  end
end

return command.new {
  name = "invoke",
  usage = "invoke NAME [EVENT]",
  example = [[
lambdapool invoke algorithms '{"n": 10}'
lambdapool invoke algorithms @event.json --tail]],
  about = "Calls a function and prints its result. A function that fails is exit code 1.",
  arguments = {
    { "name", "the function" },
    { "event_text", "JSON, @FILE, or - for standard input ({})", args = "?", label = "EVENT" },
  },
  options = {
    { "--tail", nil, "print the end of its log, too, on stderr" },
    { "--qualifier", "NAME", "a version or an alias", convert = command.word },
    { "--event", nil, "do not wait for it" },
  },
  common = { account = true, json = true },
  run = run,
}
