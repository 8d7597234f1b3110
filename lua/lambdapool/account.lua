--- Accounts: where functions live. Either the local service, which is the Lambda service of
--- `lambdapool serve` in this process or another one (account/place.lua), or an account of AWS.
--- Both are reached in the same way: by a session that signs, through clients and the pools'
--- backend.
---
---     local account <close> = require("lambdapool.account").open { backend = "local" }
---     for one in account.session:lambda():pages("ListFunctions", {}, "Functions") do … end

local config = require "lambdapool.config"
local places = require "lambdapool.account.place"
local sessions = require "lambdapool.aws.session"

---@class lambdapool.Account
---@field session lambdapool.aws.Session
---@field backend "local"|"aws"
---@field name string for messages: "the local service", "AWS in us-east-1"
---@field private shared table what others who have opened the same have, too
local methods = {}
local mt = { __name = "lambdapool.Account", __index = methods }

-- What is open, by what it was opened with: pools that ask for the same share it.
local opened = {}

local function release(shared)
  shared.users = shared.users - 1
  if shared.users == 0 then
    opened[shared.key] = nil
    if shared.place then
      shared.place:leave()
    end
  end
end

--- Gives the account back. When everybody has, and it was local, the service ends. May run twice.
function methods:close()
  local shared = self.shared
  if shared then
    self.shared = nil
    release(shared)
  end
end

mt.__close = methods.close

--- Waits until what was accepted has run, if it is this process that runs it.
function methods:settle()
  if self.shared.place then
    self.shared.place:settle()
  end
end

-- The environment has no say: its endpoints, proxies and keys are for AWS.
local function nothing()
end

local function open_local(options)
  local at = places.take()
  local ok, session = pcall(sessions.new, {
    region = options.region or "us-east-1", endpoint_url = at.url, proxy = "",
    environment = nothing, patience = places.PATIENCE_SECONDS,
    credentials = { access_key = at.access_key, secret_key = at.secret_key,
      source = at.dir .. "/credentials" },
  })
  if not ok then
    at:leave()
    error(session, 0)
  end
  at:serves(session)
  return { session = session, name = "the local service", place = at }
end

local function open_aws(options)
  local session = sessions.new(options)
  return { session = session, name = session.region and "AWS in " .. session.region or "AWS" }
end

-- What sessions take.
local NAMES = { "region", "profile", "endpoint_url", "aws_access_key_id", "aws_secret_access_key",
  "aws_session_token" }

-- What was asked for, completed by the configuration.
local function complete(given)
  local options = {}
  for _, name in ipairs(NAMES) do
    options[name] = given[name]
  end
  for _, name in ipairs { "region", "profile", "endpoint_url" } do
    options[name] = options[name] or (config.get(name))
  end
  return options
end

local function key_of(backend, options)
  local key = { backend }
  for i, name in ipairs(NAMES) do
    key[i + 1] = ("%q"):format(options[name] or "")
  end
  return table.concat(key, "\n")
end

-- Somebody who names an endpoint means it.
local function check_endpoint(backend, given)
  local _, origin = config.get "endpoint_url"
  if backend == "local" and (given.endpoint_url or origin == "--endpoint-url") then
    error("an endpoint is for accounts of AWS\n  the backend must be aws then: `--backend aws`", 0)
  end
end

---@class lambdapool.account.Options
---@field backend "local"|"aws"|nil default: as configured, or "local"
---@field region string?
---@field profile string?
---@field endpoint_url string?
---@field aws_access_key_id string?
---@field aws_secret_access_key string?
---@field aws_session_token string?

--- Opens an account; whoever does so closes it. Raises what keeps it from that.
---@param given lambdapool.account.Options?
---@return lambdapool.Account
local function open(given)
  given = given or {}
  local backend = given.backend or config.get "backend" or "local"
  check_endpoint(backend, given)
  local options = complete(given)
  local key = key_of(backend, options)
  local shared = opened[key]
  if not shared then
    shared = backend == "aws" and open_aws(options) or open_local(options)
    shared.key, shared.users = key, 0
    opened[key] = shared
  end
  shared.users = shared.users + 1
  return setmetatable({ session = shared.session, backend = backend, name = shared.name,
    shared = shared }, mt)
end

--- Closes what pools have left open: for the end of programs.
local function close_all()
  for _, shared in pairs(opened) do
    shared.users = 1
    release(shared)
  end
end

return { open = open, close_all = close_all }
