--- A world for tests of what runs functions. `serve_world.new()` loads copies of the modules of the
--- service that share nothing with the real ones and see, in place of the rest of the machine,
---
---   a clock, world.now, that moves when somebody waits, as far as he waits;
---   processes (world.processes) that do what the test says: process:emit(event, ...) at once, or
---   world.behaviour(process, what), called with "start" and with each invocation;
---   functions: world.functions[name] = record, see world.define;
---   a service, world.service, whose logs are in world.logs.
---
--- world.run(seconds) lets time pass, world.load(name) is a module of that world.

local inside = require("tests.lua.apart").inside

local serve_world = {}

-- What has no state and is the real thing.
local SHARED = {
  ["lambdapool.crypto"] = true, ["lambdapool.sqlite"] = true, ["lambdapool.cloud"] = true,
  ["lambdapool.json"] = true, ["lambdapool.json.native"] = true, ["lambdapool.archive"] = true,
}

-- Processes ------------------------------------------------------------------------------------

local process_methods = {}
local process_mt = { __index = process_methods }

--- Something happens to it, now or `after` seconds.
function process_methods:emit(event, ...)
  self:emit_after(0, event, ...)
end

function process_methods:emit_after(after, event, ...)
  local events = self.world.events
  local entry = { due = self.world.now + after, event = event, process = self, ... }
  entry.count = select("#", ...)
  local i = #events + 1
  while i > 1 and events[i - 1].due > entry.due do
    i = i - 1
  end
  table.insert(events, i, entry)
end

-- What it would have done later.
local function forget_events(process)
  local events = process.world.events
  for i = #events, 1, -1 do
    if events[i].process == process and events[i].due > process.world.now then
      table.remove(events, i)
    end
  end
end

--- It ends.
function process_methods:exit(code, signal, reason)
  forget_events(self)
  self.dying = true
  self:emit("exit", code, signal, reason)
end

-- The handle -----------------------------------------------------------------------------------

local handle = {}
local handle_mt = { __index = handle, __close = function() end }

function handle:start(spec)
  local world = self.world
  local process = setmetatable({
    id = #world.processes + 1, spec = spec, world = world, invocations = {}, alive = true,
    pauses = {},
  }, process_mt)
  if world.start_problem then
    return nil, world.start_problem, world.start_code
  end
  world.processes[process.id] = process
  world.alive = world.alive + 1
  world.behaviour(process, "start")
  return process.id
end

local function copy(options)
  local copied = {}
  for name, value in pairs(options) do
    copied[name] = value
  end
  return copied
end

function handle:invoke(id, event, options)
  local process = self.world.processes[id]
  if not process.alive or process.dying then
    return nil, "there is no such worker any more"
  end
  local invocation = copy(options)
  invocation.event = event
  if not self.world.forgetful then
    table.insert(process.invocations, invocation)
  end
  process.invocation = invocation
  process:emit_after(options.kill_ms / 1000, "timeout")
  self.world.behaviour(process, invocation)
  return true
end

function handle:kill(id)
  local process = self.world.processes[id]
  if process and process.alive and not process.dying then
    process.killed = true
    process:exit(nil, 9, "it was killed by the host")
  end
end

function handle:pause(id, stop)
  table.insert(self.world.processes[id].pauses, stop)
end

function handle:memory(id)
  local process = self.world.processes[id]
  return process.memory or 10 << 20, process.memory or 10 << 20
end

function handle.close()
end

local ENDS = { response = true, error = true, stream_end = true, ready = true }

function handle:poll(seconds)
  local world = self.world
  local entry = world.events[1]
  if not entry or seconds and entry.due > world.now + seconds then
    assert(seconds, "nothing will happen any more")
    world.now = world.now + seconds
    return nil
  end
  table.remove(world.events, 1)
  world.now = math.max(world.now, entry.due)
  local process = entry.process
  if entry.event == "exit" then
    process.alive = false
    world.alive = world.alive - 1
    if world.forgetful then
      world.processes[process.id] = false
    end
  elseif entry.event == "timeout" then
    process:exit(nil, 9, "it took too long")
  elseif ENDS[entry.event] and (entry[entry.count] == true or entry.event == "ready") then
    process.invocation = nil
    for i = #world.events, 1, -1 do
      if world.events[i].process == process and world.events[i].event == "timeout" then
        table.remove(world.events, i)
      end
    end
  end
  return entry.event, process.id, table.unpack(entry, 1, entry.count)
end

-- Requests -------------------------------------------------------------------------------------

local request_methods = {}
local request_mt = { __index = request_methods }

function request_methods:header(name) return self.given[name] end
function request_methods:body() return self.content end
function request_methods:size() return #self.content end
function request_methods:problem() return self.too_large and "body_too_large" end
function request_methods:gone() return self.is_gone end
function request_methods:method() return self.verb end
function request_methods:query() return self.search end
function request_methods.address() return "127.0.0.1", 1234 end

function request_methods:headers()
  local list = {}
  for name, value in pairs(self.given) do
    list[#list + 1] = { name, value }
  end
  return list
end

local function check_answer(request, headers)
  assert(not request.status, "it is answered already")
  for _, value in pairs(headers) do
    assert(type(value) ~= "string" or not value:find "%c", "HTTP does not allow this")
  end
end

function request_methods:respond(status, headers, body)
  check_answer(self, headers)
  self.status, self.answered, self.answer = status, headers, body
  self.complete = true
end

function request_methods:begin(status, headers)
  check_answer(self, headers)
  self.status, self.answered, self.answer = status, headers, ""
end

function request_methods:write(bytes)
  self.answer = self.answer .. bytes
  return self.unsent or 0
end

function request_methods:finish() self.complete = true end
function request_methods:abort() self.aborted = true end

--- A request with a body; `options` are headers, and method, query.
function serve_world.request(body, headers, options)
  local request = options or {}
  request.content, request.given, request.verb = body or "", headers or {}, request.method or "POST"
  request.method = nil
  return setmetatable(request, request_mt)
end

-- The world ------------------------------------------------------------------------------------

local function replacements(world)
  local real = require "lambdapool.system"
  local system = setmetatable({
    monotonic = function() return world.now end,
    now = function() return math.floor(1700000000000 + world.now * 1000) end,
    interrupted = function() return false end,
    cpus = function() return 31 end,
  }, { __index = real })
  return {
    ["lambdapool.system"] = system,
    ["lambdapool.workers"] = {
      open = function() return setmetatable({ world = world }, handle_mt) end,
    },
    ["lambdapool.serve.lambda.functions"] = {
      resolve = function(_, _, name) return world.resolve(name) end,
      event_config = function(_, _, name) return world.event_configs[name] end,
    },
    ["lambdapool.serve.lambda.concurrency"] = {
      reserved_total = function() return world.reserved_total end,
    },
    ["lambdapool.serve.lambda.policies"] = {
      allows_url = function() return world.url_allowed end,
    },
    ["lambdapool.serve.lambda.urls_config"] = {
      find = function(_, id) return world.urls[id] end,
    },
    ["lambdapool.serve.authentication"] = {
      verify = function() return world.caller, world.scope or "lambda" end,
    },
  }
end

local function is_ours(name)
  return name:find "^lambdapool%." and not name:find "^lambdapool%.cli" and not SHARED[name]
end

-- A runtime that is there at once and answers with the event.
local function echo(process, what)
  if what == "start" then
    process:emit_after(0.01, "ready")
  else
    process:emit_after(0.001, "response", what.event, true)
  end
end

local function service_of(world)
  return {
    concurrency = 1000, idle_seconds = 300, retry_seconds = 60, isolated = true, secrets = {},
    credentials_for = function(role)
      return { access_key = "ASIA" .. role, secret_key = "secret", token = "token" }
    end,
    answer_fault = function(_, request, problem)
      request:respond(problem.status or 500, problem.headers or {}, tostring(problem))
    end,
    logs = {
      append = function(_, region, group, stream, events)
        world.appended = world.appended + 1
        if not world.forgetful then
          world.logs[#world.logs + 1] =
            { region = region, group = group, stream = stream, events = events }
        end
      end,
    },
    store = { blobs = {
      unpacked = function(_, hash)
        return world.folders[hash]
      end,
      layered = function(_, hashes) return world.folders[table.concat(hashes, "+")] end,
    } },
  }
end

--- A function called `name`, with more fields for its record.
local function define(world, name, more)
  world.revision = world.revision + 1
  local record = {
    name = name, version = "$LATEST", region = "us-east-1", state = "Active", role = "role",
    arn = "arn:aws:lambda:us-east-1:123456789012:function:" .. name, handler = "handler",
    timeout = 3, memory = 128, tmp_mb = 512, code_hash = "code", layer_hashes = {},
    environment = {}, log_group = "/aws/lambda/" .. name, revision_id = "r" .. world.revision,
  }
  for field, value in pairs(more or {}) do
    record[field] = value
  end
  record.pool = ("%s:%s:%s"):format(name, record.version, record.revision_id)
  world.functions[name] = record
  return record
end

-- Makes a folder with a bootstrap in it.
local function make_folder()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute(("mkdir %s && touch %s/bootstrap"):format(path, path)))
  return path
end

--- Gives the specs of a block a folder with a bootstrap in it, `serve_world.task`. The arguments
--- are busted's.
function serve_world.with_folder(setup, teardown)
  setup(function()
    serve_world.task = make_folder()
  end)
  teardown(function()
    os.execute("rm -r " .. serve_world.task)
    serve_world.task = nil
  end)
end

function serve_world.new()
  local fault = require "lambdapool.serve.fault"
  local world = {
    now = 1000, events = {}, processes = {}, alive = 0, functions = {}, logs = {}, appended = 0,
    folders = { code = serve_world.task }, revision = 0, reserved_total = 0, event_configs = {},
    urls = {}, behaviour = echo, url_allowed = true,
  }
  world.modules = replacements(world)
  world.modules["lambdapool.serve.fault"] = fault
  function world.resolve(name)
    local record = world.functions[name]
    return record or fault(404, "ResourceNotFoundException", "Function not found: " .. name)
  end
  function world.load(name)
    return inside(world, is_ours, require, "lambdapool." .. name)
  end
  function world.define(name, more)
    return define(world, name, more)
  end
  world.loop = world.load "loop"
  world.service = service_of(world)
  function world.run(seconds)
    world.loop.wait(function() return false end, nil, seconds)
  end
  function world.open()
    world.service.environments = world.load("serve.run.environments").open(world.service)
    world.invoke = world.load "serve.run.invoke"
    return world
  end

  local ids = 0
  --- Invokes a function; the request is answered later.
  function world.call(name, body, headers, operation)
    ids = ids + 1
    local request = serve_world.request(body, headers)
    local context = {
      service = world.service, region = "us-east-1",
      request_id = ("%08x-1111-4222-8333-444455556666"):format(ids),
    }
    request.context = context
    local ok, problem = pcall(world.invoke[operation or "handle"], context, request, name)
    if not ok then
      assert(fault.is(problem), problem)
      request.problem_found = problem
    end
    return request
  end

  --- The messages of the log, in the order in which they were written.
  function world.lines()
    local lines = {}
    for _, entry in ipairs(world.logs) do
      for i = 2, #entry.events, 2 do
        lines[#lines + 1] = entry.events[i]
      end
    end
    return lines
  end
  return world
end

return serve_world
