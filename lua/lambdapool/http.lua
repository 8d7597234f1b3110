--- An HTTP client: any number of requests at the same time. They are under way in a thread of their
--- own; what becomes of them is handed out while somebody waits or polls: a response or a failure,
--- and both say all there is to say. Each is sent once. Only mistakes in the request itself are
--- raised.
---
--- Connections are kept and used again. While the first one to a server is being made, requests to
--- the same server wait for it: its name is looked up once, the other connections resume its TLS
--- session, and where it cannot be made, they fail with it instead of trying a thousand times.

local cloud = require "lambdapool.cloud"
local completion = require "lambdapool.completion"
local frames = require "lambdapool.frames"
local loop = require "lambdapool.loop"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local http = {}

-- A server that was reached counts as reachable for so many seconds: less than libcurl remembers
-- its address.
local REACHABLE = 50

-- From so many transfers at a time on there may be more connections than descriptors, of which
-- there are 1,024 unless somebody asks.
local MANY = 200

local SECONDS, CONNECT_SECONDS, MOST_BYTES = 60, 5, 16 << 20

---@class lambdapool.HttpRequest
---@field url string path and query are sent as they stand
---@field method string? default "GET"
---@field headers table<string, string|number>?
---@field body string?
---@field seconds number? for the whole transfer; default 60
---@field connect_seconds number? until it is connected, TLS included; default 5
---@field max_bytes integer? of the body of the response; default 16 MiB
---@field ca string? file with the certificates to trust; default: those of the system
---@field proxy string? "" for none; default: as the environment says, HTTPS_PROXY and so on

---@class lambdapool.HttpResponse
---@field status integer? nil when there was no response, or not all of it
---@field headers table<string, string>? by lower-case names; several of one name joined with ","
---@field body string?
---@field failure string? "resolve", "connect", "tls", "proxy", "timeout", "reset", "too_large",
---  "malformed" or "refused_url"
---@field message string? of a failure, for people
---@field sent boolean? the server may have got all of the request

local FIELDS = { "url", "method", "headers", "body", "seconds", "connect_seconds", "max_bytes",
  "ca", "proxy" }
local is_field = {}
for _, name in ipairs(FIELDS) do
  is_field[name] = true
end

---@class lambdapool.Transfer
---@field private number integer? nil once it has ended
---@field private done fun(response: lambdapool.HttpResponse, argument: any)
---@field private argument any
---@field private server table
---@field private seconds number
---@field private connect_seconds number
---@field private max_bytes integer
local methods = {}
local mt = { __name = "lambdapool.Transfer", __index = methods }

-- The engine: opened with the first request, closed by http.close.
local engine, engine_id

-- Transfers by their numbers, and how many there are.
local transfers, count = {}, 0

-- http.close() waits for the last of them.
local closing = false

-- Servers by the beginning of their URLs and by how they are reached:
--   host    as the URL names it
--   good    until when it counts as reachable
--   leader  the transfer that makes the first connection; nil when none does
--   held    those that wait for it
local servers = {}

-- The latest request's: its server, and what that was found by.
local latest = {}

-- The engine -----------------------------------------------------------------------------------

local function shut()
  engine:close()
  loop.detach(engine_id)
  engine, engine_id, servers, latest, closing = nil, nil, {}, {}, false
end

-- Takes a transfer that has ended off the books.
local function forget(self)
  transfers[self.number] = nil
  self.number = nil
  count = count - 1
  loop.expect(-1)
  if closing and count == 0 then
    shut()
  end
end

-- Servers --------------------------------------------------------------------------------------

local function find_server(request)
  local start = request.url:match "^[^/]*//[^/?#]*" or request.url
  local key = start
  if request.ca or request.proxy then
    key = table.concat({ start, request.ca or "", request.proxy or "-" }, "\0")
  end
  local server = servers[key]
  if not server then
    server = { host = start:match "([^/@]*)$", good = 0, held = {} }
    servers[key] = server
  end
  return server
end

-- Most requests go where the one before went.
local function server_of(request)
  if request.url ~= latest.url or request.ca ~= latest.ca or request.proxy ~= latest.proxy then
    latest = { url = request.url, ca = request.ca, proxy = request.proxy,
      server = find_server(request) }
  end
  return latest.server
end

-- Sends it, or has it wait for the first connection to its server.
local function go(self)
  local server = self.server
  if server.leader then
    server.held[#server.held + 1] = self
  elseif system.monotonic() < server.good then
    engine:go(self.number, false)
  else
    server.leader = self
    engine:go(self.number, true)
  end
end

-- The leader does not lead any more. Returns those that were held and have not been cancelled.
local function dismiss(server)
  local held = {}
  for _, transfer in ipairs(server.held) do
    if transfer.number then
      held[#held + 1] = transfer
    end
  end
  server.leader, server.held = nil, {}
  return held
end

-- Sends those of a list that have not been cancelled, some at a time.
local function go_all(list)
  local last = math.min(#list, list.first + frames.few() - 1)
  for i = list.first, last do
    if list[i].number then
      go(list[i])
    end
  end
  list.first = last + 1
  if last < #list then
    loop.later(go_all, list)
  end
end

-- The others may follow; or, when the server could not be reached for a reason that is the
-- leader's own, one of them leads.
local function let_go(server)
  local list = dismiss(server)
  list.first = 1
  go_all(list)
end

local function reached(self)
  local server = self.server
  if server.leader == self then
    server.good = system.monotonic() + REACHABLE
    let_go(server)
  end
end

-- Failures -------------------------------------------------------------------------------------

-- What keeps every request from its server.
local UNREACHABLE = { resolve = true, connect = true, tls = true, proxy = true }

local TEXTS = {
  resolve = "cannot find the host {host}",
  connect = "cannot connect to {host}: {why}",
  tls = "cannot connect to {host} securely: {why}",
  proxy = "cannot connect to {host} through the proxy: {why}",
  timeout = "no answer from {host} within {seconds} s",
  reset = "{host} ended the connection before its answer was complete: {why}",
  too_large = "the answer of {host} is larger than {most} bytes, or has too many headers",
  malformed = "the answer of {host} is not HTTP: {why}",
  refused_url = "this URL cannot be used: {why}",
}

-- The proxy is what cannot be connected to when libcurl names another host.
local function is_of_proxy(host, detail)
  local other = detail:match "^Failed to connect to (%S+) port"
  return other ~= nil and other ~= host:gsub(":%d+$", ""):gsub("[%[%]]", "")
end

local function explain(self, failure, detail, of_system)
  local words = {
    host = self.server.host,
    why = (of_system or detail):gsub("^%u%l", string.lower),
    seconds = ("%g"):format(self.seconds),
    most = ("%d"):format(self.max_bytes),
  }
  if failure == "connect" and (detail:find "imed out" or detail:find "imeout") then
    words.why = ("no answer within %g s"):format(self.connect_seconds)
  end
  return (TEXTS[failure]:gsub("{(%l+)}", words))
end

---@return lambdapool.HttpResponse
local function failed(self, failure, detail, of_system, sent)
  if failure == "connect" and is_of_proxy(self.server.host, detail) then
    failure = "proxy"
  end
  return { failure = failure, message = explain(self, failure, detail, of_system), sent = sent }
end

-- Ends -----------------------------------------------------------------------------------------

local function end_held(entry)
  local self, response = entry[1], entry[2]
  if self.number then
    engine:cancel(self.number)
    forget(self)
    self.done(response, self.argument)
  end
end

-- When the leader has ended without having been connected.
local function end_leader(self, response)
  local server = self.server
  if UNREACHABLE[response.failure] then
    for _, transfer in ipairs(dismiss(server)) do
      loop.later(end_held, { transfer, response })
    end
  else
    let_go(server)
  end
end

local function end_transfer(self, response)
  forget(self)
  if self.server.leader == self then
    end_leader(self, response)
  end
  self.done(response, self.argument)
end

-- Takes what engine:take() has.
local function take(number, ...)
  local self = transfers[number]
  if not self then
    return -- it was cancelled
  elseif select("#", ...) == 0 then
    return reached(self)
  end
  local status, headers, body = ...
  if status then
    end_transfer(self, { status = status, headers = headers, body = body })
  else
    end_transfer(self, failed(self, select(2, ...)))
  end
end

local function on_event()
  if engine then
    take(engine:take())
  end
end

-- Requests -------------------------------------------------------------------------------------

local function open()
  local made, id = loop.attach(cloud.load "transfer".open, on_event)
  if not made then
    error(("cannot send requests: %s"):format(id), 0)
  end
  engine, engine_id = made, id
end

local function check(request)
  for name in pairs(request) do
    if not is_field[name] then
      local hint = suggest.hint(tostring(name), FIELDS)
      error(("http.send: unknown field '%s'%s"):format(name, hint), 3)
    end
  end
end

--- Starts a request. done(response, argument) is called once, in a call that waits or polls. The
--- request may be changed and used again once this has returned.
---@param request lambdapool.HttpRequest
---@param done fun(response: lambdapool.HttpResponse, argument: any)
---@param argument any
---@return lambdapool.Transfer
function http.send(request, done, argument)
  check(request)
  if not engine then
    open()
  end
  local number = assert(engine:prepare(request.method or "GET", request.url, request.headers or {},
    request.body, request.seconds or SECONDS, request.connect_seconds or CONNECT_SECONDS,
    request.max_bytes or MOST_BYTES, request.ca, request.proxy))
  local self = setmetatable({ number = number, done = done, argument = argument,
    server = server_of(request), seconds = request.seconds or SECONDS,
    connect_seconds = request.connect_seconds or CONNECT_SECONDS,
    max_bytes = request.max_bytes or MOST_BYTES }, mt)
  transfers[number] = self
  count = count + 1
  closing = false
  if count == MANY then
    system.raise_descriptors()
  end
  loop.expect(1)
  go(self)
  return self
end

--- Ends it without an answer; `done` is not called. May run twice, or after the end.
function methods:cancel()
  if self.number then
    engine:cancel(self.number)
    forget(self)
    if self.server.leader == self then
      let_go(self.server)
    end
  end
end

mt.__close = methods.cancel

--- Has everything ready that a request needs: a library is loaded, a thread started. Otherwise the
--- first request does that.
function http.prepare()
  if not engine then
    open()
  end
end

--- Sends a request and waits for the response.
---@param request lambdapool.HttpRequest
---@return lambdapool.HttpResponse
function http.request(request)
  local moment, answer = {}, nil
  local transfer <close> = http.send(request, function(response) -- luacheck: ignore transfer
    answer = response
    completion.finish(moment)
  end)
  completion.await(moment)
  return answer
end

--- Closes the connections that are kept. With transfers under way, once the last of them has ended.
function http.close()
  closing = engine ~= nil
  if engine and count == 0 then
    shut()
  end
end

return http
