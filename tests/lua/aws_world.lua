--- A world for tests of the backend for functions. `aws_world.new()` loads copies of the modules
--- between it and the rest of the machine that see
---
---   a clock, world.now, that moves when somebody waits, as far as he waits;
---   an HTTP client that asks world.respond(request, n) for an answer and the seconds until it
---   comes; what was sent is in world.requests;
---   an account whose session has world.credentials, and world.call for its clients.
---
--- world.open(options) makes a backend, world.run(seconds) lets time pass.

local inside = require("tests.lua.apart").inside

local aws_world = {}

-- What has no state, or is not looked at from both sides.
local SHARED = {
  ["lambdapool.cloud"] = true, ["lambdapool.crypto"] = true, ["lambdapool.json"] = true,
  ["lambdapool.json.native"] = true, ["lambdapool.codec"] = true, ["lambdapool.aws.sigv4"] = true,
  ["lambdapool.aws.refusal"] = true, ["lambdapool.errors"] = true,
}

local function is_ours(name)
  return name:find "^lambdapool%." and not name:find "^lambdapool%.cli" and not SHARED[name]
end

local function fake_system(world)
  return setmetatable({
    monotonic = function() return world.now end,
    now = function() return math.floor(1700000000000 + world.now * 1000) end,
    interrupted = function() return false end,
  }, { __index = require "lambdapool.system" })
end

local function fake_workers(world)
  local sleeper = setmetatable({}, { __close = function() end })
  function sleeper.poll(_, seconds)
    world.now = world.now + seconds
  end
  return { open = function() return sleeper end }
end

-- HTTP -----------------------------------------------------------------------------------------

-- What a request is at that moment: the backend uses the tables again.
local function copy(request)
  local copied, headers = {}, {}
  for name, value in pairs(request) do
    copied[name] = value
  end
  for name, value in pairs(request.headers) do
    headers[name] = value
  end
  copied.headers = headers
  return copied
end

local function fake_http(world)
  local transfer_mt = { __index = {
    cancel = function(self) self.cancelled = true end,
  } }
  return {
    prepare = function()
      world.prepared = true
    end,
    send = function(given, done, argument)
      local requests, request = world.requests, copy(given)
      local transfer = setmetatable({ request = request, sent = world.now }, transfer_mt)
      requests[#requests + 1] = transfer
      world.flying = world.flying + 1
      world.most = math.max(world.most, world.flying)
      local response, seconds = world.respond(request, #requests)
      if response then
        world.loop.after(seconds or 0.01, function()
          world.flying = world.flying - 1
          if not transfer.cancelled then
            done(response, argument)
          end
        end)
      end
      return transfer
    end,
  }
end

-- The account ------------------------------------------------------------------------------------

local session = {}
local session_mt = { __index = session }

function session.need_region() end
function session.signing_region() return "us-east-1" end
function session.context() return {} end

function session:endpoint()
  return self.world.endpoint or error("no such endpoint", 0), "lambda.test"
end

function session:time() return math.floor(1700000000 + self.world.now + self.skew) end
function session:fresh_credentials() return self.world.credentials end

function session:credentials()
  return self.world.fetch()
end

function session:forget_credentials(stale)
  if self.world.credentials == stale then
    self.world.credentials = nil
  end
  return self.world.renewable
end

function session:correct_clock(refusal)
  if refusal.skew and math.abs(refusal.skew - self.skew) > 240 then
    self.skew = refusal.skew
    return true
  end
  return false
end

function session:lambda()
  return { call = function(_, operation, input) return self.world.call(operation, input) end }
end

local function fake_account(world)
  return {
    open = function(options)
      world.account_options = options
      return {
        session = setmetatable({ world = world, region = "us-east-1", skew = 0 }, session_mt),
        backend = options.backend, name = "AWS in a test",
        close = function() world.accounts_closed = world.accounts_closed + 1 end,
      }
    end,
  }
end

-- The world ------------------------------------------------------------------------------------

--- An answer of a worker to anything.
function aws_world.success(more)
  local response = { status = 200, body = "\xC7LP the rest", headers = {
    ["x-amzn-requestid"] = "8f3c1a2b-0000-4000-8000-000000000001",
    ["x-amz-executed-version"] = "$LATEST",
  } }
  for name, value in pairs(more or {}) do
    response.headers[name] = value
  end
  return response
end

--- A refusal of the service.
function aws_world.refusal(status, code, fields, headers)
  local response = { status = status, headers = headers or {},
    body = require("lambdapool.json").encode(fields or { message = "No." }) }
  response.headers["x-amzn-errortype"] = code
  return response
end

--- The log of an invocation as Invoke hands it out.
function aws_world.log(text, report)
  local id = "8f3c1a2b-0000-4000-8000-000000000001"
  return require("lambdapool.crypto").base64(("START RequestId: %s Version: $LATEST\n%s" ..
    "END RequestId: %s\nREPORT RequestId: %s\t%s\t\n"):format(id, text, id, id, report or
    "Duration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 35 MB"))
end

function aws_world.new()
  local world = {
    now = 1000, requests = {}, flying = 0, most = 0, accounts_closed = 0, printed = {},
    endpoint = "https://lambda.test",
    credentials = { access_key = "AKIDEXAMPLE", secret_key = "secret" },
  }
  world.modules = {
    ["lambdapool.system"] = fake_system(world),
    ["lambdapool.workers"] = fake_workers(world),
    ["lambdapool.http"] = fake_http(world),
    ["lambdapool.account"] = fake_account(world),
  }
  function world.load(name)
    return inside(world, is_ours, require, "lambdapool." .. name)
  end
  world.loop = world.load "loop"
  world.load("progress").world.write = function(text)
    world.printed[#world.printed + 1] = text
  end
  world.backend = world.load "backend.aws"
  world.ledger = world.load "backend.aws.ledger"
  function world.respond() return aws_world.success() end
  function world.fetch() error "there are no credentials" end
  function world.call() error "GetFunction is not allowed" end

  --- Opens a backend; `outcomes` has what has become of the invocations of world.invoke.
  function world.open(options)
    local all = { workers = 1000, function_name = "algorithms", backend = "aws", prefix = false }
    for name, value in pairs(options or {}) do
      all[name] = value
    end
    world.outcomes = {}
    world.pool = inside(world, is_ours, world.backend.new, all)
    return world.pool
  end

  local call = { timeout_ms = 60000, target_us = 20000, totals = { done = 0, failed = 0 } }
  --- Starts `n` invocations.
  function world.invoke(n)
    local tickets = {}
    for i = 1, n or 1 do
      tickets[i] = assert(world.pool:invoke("{}", call, function(outcome)
        assert(not world.inside, "done was called before invoke returned")
        table.insert(world.outcomes, outcome)
      end))
    end
    return table.unpack(tickets)
  end

  function world.run(seconds)
    world.loop.wait(function() return false end, nil, seconds)
  end
  return world
end

return aws_world
