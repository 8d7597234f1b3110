--- `lambdapool logs`: what a function has written, from CloudWatch Logs.

local command = require "lambdapool.cli.command"
local json = require "lambdapool.json"
local log_events = require "lambdapool.cli.log_events"
local loop = require "lambdapool.loop"
local names = require "lambdapool.deploy.names"
local output = require "lambdapool.cli.output"
local refusals = require "lambdapool.aws.refusal"
local retries = require "lambdapool.aws.retries"
local times = require "lambdapool.cli.times"

-- How far is looked back: for an invocation longer, because that gives few lines.
local SINCE, SINCE_REQUEST = "1h", "1d"

-- How often is looked for new events: AWS allows few questions, the local service many. When it
-- does not answer, this long after.
local POLL_SECONDS = { ["local"] = 0.2, aws = 1 }
local TROUBLE_SECONDS = 5

local function is_absent(refusal)
  return type(refusal) == "table" and refusal.code == "ResourceNotFoundException"
end

-- Where a function logs ------------------------------------------------------------------------

-- The log group of a function. The second value raises what is to be said when there is none: of a
-- function that is there the first line is still to come, and one that is not may have left logs
-- behind. Who may only read logs gets along with the usual name.
local function group_of(session, name)
  if name:sub(1, 1) == "/" then
    return name, function() command.fail("there is no log group " .. name, 3) end
  end
  local lambda = session:lambda()
  local bare = names.bare(name)
  local usual = names.log_group(bare)
  local ok, answer = pcall(lambda.call, lambda, "GetFunctionConfiguration", { FunctionName = bare })
  if ok then
    return (answer.LoggingConfig or {}).LogGroup or usual
  elseif type(answer) ~= "table" or answer.exit == nil then
    error(answer, 0)
  end
  return usual, is_absent(answer) and function() error(answer, 0) end or nil
end

-- Printing -------------------------------------------------------------------------------------

local function print_event(event)
  local message = event.message:gsub("[\r\n]+$", "")
  io.write(times.show(event.timestamp), " ", output.visible(message, 1), "\n")
end

local function record_of(event)
  return { time = times.iso(event.timestamp), timestamp = event.timestamp,
    message = event.message:gsub("\n$", ""), stream = event.logStreamName }
end

local function print_record(event)
  output.jsonl(record_of(event))
end

-- Where events go: a function that takes one, and one to call at the end.
local function sink_of(given)
  if given.json then
    local list = json.array {}
    return function(event) list[#list + 1] = record_of(event) end,
      function() output.json { events = list } end
  end
  return given.jsonl and print_record or print_event, function() io.stdout:flush() end
end

-- Running --------------------------------------------------------------------------------------

-- Runs f() with the group there or, for the moment, not; false when it is not.
local function if_there(f, absence)
  local ok, problem = pcall(f)
  if not ok and not is_absent(problem) then
    error(problem, 0)
  elseif not ok and absence then
    absence()
  end
  return ok
end

local function nap(seconds)
  loop.wait(function() return false end, nil, seconds)
end

-- One look for new events. Trouble that may pass ends nothing; the second value says that there is
-- some.
local function look(events, emit, absence)
  local ok, problem = pcall(if_there, function() events:poll(emit) end, absence)
  io.stdout:flush()
  if not ok and not (refusals.is(problem) and retries.kind(problem)) then
    error(problem, 0)
  end
  return not ok and problem or nil
end

local function follow(events, emit, context, absence)
  local pause, told = POLL_SECONDS[context:account().backend], false
  while true do
    local trouble = look(events, emit, absence)
    if trouble and not told then
      output.say(("going on: %s"):format(tostring(trouble)))
    end
    told = trouble ~= nil
    nap(trouble and TROUBLE_SECONDS or pause)
  end
end

local function print_all(events, emit)
  for event in events:all() do
    emit(event)
  end
end

local function print_request(events, emit, id)
  local list = events:request(id)
  for _, event in ipairs(list) do
    emit(event)
  end
  if not list[1] then
    command.fail(("there is nothing of request %s in the log\n  it may take some seconds to " ..
      "arrive; `--since` looks further back"):format(id), 3)
  end
end

local function time_of(text, flag, now)
  local time, wanted = times.read(text, now)
  if not time then
    command.usage(("'%s' must be %s, got '%s'"):format(flag, wanted, text))
  end
  return math.floor(time * 1000)
end

local function check(given)
  for _, other in ipairs { "until", "request", "json" } do
    if given.follow and given[other] then
      command.usage(("'--follow' and '--%s' do not go together"):format(other))
    end
  end
  if given.request and given.grep then
    command.usage "'--request' and '--grep' do not go together"
  elseif given.json and given.jsonl then
    command.usage "'--json' and '--jsonl' do not go together"
  end
end

-- The first and the last millisecond of what is looked for, as far as there is one. Without a
-- beginning, it is so long before the end.
local function range_of(given, now)
  local finish = given["until"] and time_of(given["until"], "--until", now)
  local since = time_of(given.since or given.request and SINCE_REQUEST or SINCE, "--since",
    not given.since and finish and finish / 1000 or now)
  if finish and finish < since then
    command.usage "'--until' is before '--since'"
  end
  return since, finish
end

local function run(given, context)
  check(given)
  local since, finish = range_of(given, context.now)
  local session = context:account().session
  local group, absence = group_of(session, given.name)
  local events = log_events.new(session:logs(), { group = group, since = since, finish = finish,
    grep = given.grep })
  local emit, done = sink_of(given)
  if given.follow then
    follow(events, emit, context, absence)
  end
  local there = if_there(function()
    if given.request then
      return print_request(events, emit, given.request)
    end
    print_all(events, emit)
  end, absence)
  if not there then
    output.say(("%s has not logged anything: there is no %s yet"):format(given.name, group))
  end
  done()
end

local function request_id(text)
  if not text:find "^%x[%x-]+$" then
    return nil, "the id of a request, like 8f6c1c6e-3f0a-4ee2-9b1d-0c3f5a7d9e11"
  end
  return text
end

return command.new {
  name = "logs",
  usage = "logs NAME",
  example = "lambdapool logs algorithms --follow --since 10m",
  about = [[
Prints what a function has written, the last hour of it, or the hour before --until. Times are 10m,
2h and 3d ago, or dates like 2026-11-21 or 2026-11-21T18:00, with a Z for UTC.]],
  arguments = { { "name", "the function, or a log group that begins with /",
    convert = command.word } },
  options = {
    { "-f --follow", nil, "go on with what comes, until Ctrl-C" },
    { "--since", "TIME", "from here on (1h; with --request 1d)" },
    { "--until", "TIME", "up to here" },
    { "--request", "ID", "only what belongs to this invocation", convert = request_id },
    { "--grep", "TEXT", "only lines with this text", convert = command.word },
  },
  common = { account = true, json = true, jsonl = true },
  run = run,
}
