--- What `lambdapool doctor` looks at. Each check gets a table in which earlier ones have left what
--- they found, and returns "ok", "warn" or "FAIL", what it has found, and what to do about it; nil
--- when there is nothing to check.

local command = require "lambdapool.command"
local config = require "lambdapool.config"
local dates = require "lambdapool.aws.dates"
local describe = require "lambdapool.deploy.describe"
local names = require "lambdapool.deploy.names"
local output = require "lambdapool.cli.output"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

-- AWS refuses signatures whose time is off by more than five minutes.
local WORST_SKEW, NOTABLE_SKEW = 240, 30

local checks = {}

-- The message of an error and its second line, which says what to do.
local function split(problem)
  local message, hint = tostring(problem):match "^([^\n]*)\n%s*(.*)$"
  return message or tostring(problem), hint
end

local function fail(problem)
  return "FAIL", split(problem)
end

-- Whether somebody may not know what was asked.
local function is_denied(problem)
  return type(problem) == "table" and problem.exit == 4
end

-- This machine ---------------------------------------------------------------------------------

function checks.program()
  require("lambdapool.crypto")
  return "ok", ("lambdapool %s, %s"):format(system.version, system.executable())
end

function checks.agent()
  local path = require("lambdapool.backend.local").find_agent()
  local result, message = command.run({ path, "--version" }, { seconds = 10 })
  if not result then
    return "FAIL", ("cannot run %s: %s"):format(path, message), "build it with `make build`"
  end
  local version = result.output:match "(%d[%w.]*)"
  if version ~= system.version then
    return "FAIL", ("%s is of version %s, and this program of %s"):format(path,
      version or "unknown", system.version), "build both with `make build`"
  end
  return "ok", path
end

function checks.isolation()
  if system.can_isolate() then
    return "ok", "local functions run in namespaces of their own"
  end
  return "warn", "local functions are not isolated: this user may not make namespaces",
    "allow it with `sysctl kernel.unprivileged_userns_clone=1`, or run only functions of your own"
end

function checks.luarocks()
  local result = command.run({ "luarocks", "--version" }, { seconds = 30 })
  if not result or result.code ~= 0 then
    return "warn", "luarocks is not there: `-r` cannot install rocks",
      "install it with `apt-get install luarocks`"
  end
  return "ok", result.output:match "[^\n]*luarocks [%d.]+" or "luarocks"
end

-- The configuration ----------------------------------------------------------------------------

-- Variables that are no settings, for those who build and test.
local OTHER_VARIABLES = { LUA = true, BUILD = true, AGENT = true }

-- Variables that look like settings and are none, with what was probably meant.
local function unknown_variables()
  local file <close> = io.open "/proc/self/environ"
  local known, unknown = {}, {}
  for i, setting in ipairs(config.all()) do
    known[i] = "LAMBDAPOOL_" .. setting.name:upper()
  end
  local set = "\0" .. table.concat(known, "\0") .. "\0"
  for name, rest in (file and file:read "a" or ""):gmatch "%f[^\0%z](LAMBDAPOOL_([^=%z]*))=" do
    if not set:find("\0" .. name .. "\0", 1, true) and not OTHER_VARIABLES[rest] then
      unknown[#unknown + 1] = output.plain(name) .. suggest.hint(name, known)
    end
  end
  return unknown
end

function checks.configuration()
  local places = {}
  for _, setting in ipairs(config.all()) do
    if setting.origin ~= "default" then
      places[#places + 1] = ("%s (%s)"):format(setting.name, setting.origin)
    end
  end
  local unknown = unknown_variables()
  if unknown[1] then
    return "warn", "there is no setting for " .. table.concat(unknown, "; "),
      "`lambdapool config show` lists the settings"
  end
  return "ok", places[1] and table.concat(places, ", ") or "nothing is configured"
end

-- The account ----------------------------------------------------------------------------------

function checks.account(state)
  state.account = state.context:account()
  state.session = state.account.session
  return "ok", state.account.name
end

function checks.region(state)
  return "ok", state.session:need_region()
end

function checks.credentials(state)
  local credentials = state.session:credentials()
  state.has_credentials = true
  local left = credentials.expires and credentials.expires - state.context.now
  return "ok", credentials.source .. (left and (", for another %s"):format(dates.span(left)) or "")
end

-- Without a signature: what keeps a signed request from its answer may be the clock.
function checks.endpoint(state)
  local session = state.session
  local url = session:endpoint "lambda"
  local response = require("lambdapool.http").request { method = "GET", url = url .. "/",
    headers = {}, seconds = 15, ca = session.ca, proxy = session.proxy }
  if response.failure then
    return "FAIL", ("%s does not answer: %s"):format(url, response.message),
      "check the network, HTTPS_PROXY, AWS_CA_BUNDLE and AWS_ENDPOINT_URL"
  end
  state.date = dates.http(response.headers.date)
  state.answered = system.now() / 1000
  return "ok", url
end

function checks.clock(state)
  if not state.answered then
    return nil
  elseif not state.date then
    return "warn", "the endpoint does not tell the time"
  end
  local skew = state.date - state.answered
  local text = ("this machine is %s %s"):format(dates.span(skew), skew > 0 and "behind" or "ahead")
  local hint = "set the clock, for example with `sudo timedatectl set-ntp true`"
  if math.abs(skew) > WORST_SKEW then
    return "FAIL", text .. ", and signatures are refused", hint
  elseif math.abs(skew) > NOTABLE_SKEW then
    return "warn", text, hint
  end
  return "ok", "as the endpoint's"
end

function checks.identity(state)
  if not state.has_credentials then
    return nil
  end
  local identity = state.session:sts():call("GetCallerIdentity", {})
  return "ok", identity.Arn
end

-- The function ---------------------------------------------------------------------------------

checks["function"] = function(state)
  local answer = state.session:lambda():call("GetFunction", { FunctionName = state.name })
  local configuration = answer.Configuration
  state.configuration, state.tags = configuration, answer.Tags or {}
  local status = configuration.LastUpdateStatus
  if configuration.State == "Failed" or status == "Failed" then
    return "FAIL", ("%s failed: %s"):format(state.name, configuration.StateReason
      or configuration.LastUpdateStatusReason or "Lambda does not say why"),
      ("try `lambdapool update %s` again"):format(state.name)
  elseif configuration.State ~= "Active" or status and status ~= "Successful" then
    return "warn", ("%s is %s"):format(state.name, configuration.State ~= "Active"
      and configuration.State or "being updated"), "wait a moment"
  end
  return "ok", configuration.FunctionArn
end

checks["agent version"] = function(state)
  local version = state.tags and state.tags["lambdapool:version"]
  if not state.configuration then
    return nil
  elseif not version then
    return "warn", ("%s was not made by lambdapool"):format(state.name)
  elseif describe.is_outdated(version) then
    return "FAIL", ("%s has version %s, and this program is %s"):format(state.name, version,
      system.version), ("`lambdapool update %s`"):format(state.name)
  end
  return "ok", version
end

function checks.role(state)
  local arn = state.configuration and state.configuration.Role
  local _, _, name = names.split_arn(arn or "")
  if not name then
    return nil
  end
  local iam = state.session:iam()
  local ok, answer = pcall(iam.call, iam, "GetRole", { RoleName = name })
  if ok then
    return "ok", arn
  elseif is_denied(answer) then
    return "warn", ("%s: %s"):format(arn, (split(answer)))
  elseif type(answer) == "table" and answer.code == "NoSuchEntity" then
    return "FAIL", ("the role %s is gone"):format(arn),
      ("give it another with `lambdapool update %s --role ARN`"):format(state.name)
  end
  error(answer, 0)
end

function checks.log(state)
  local configuration = state.configuration
  if not configuration then
    return nil
  end
  local group = (configuration.LoggingConfig or {}).LogGroup or names.log_group(state.name)
  local logs = state.session:logs()
  for _, found in logs:pages("DescribeLogGroups", { logGroupNamePrefix = group }, "logGroups") do
    if found.logGroupName == group then
      return "ok", group
    end
  end
  return "warn", ("there is no %s: %s has not run yet, or its role may not write logs"):format(
    group, state.name)
end

-- In order, and what it takes that they make sense.
local MACHINE = { "program", "agent", "isolation", "luarocks", "configuration" }
local ACCOUNT = { "account", "region", "credentials", "endpoint", "clock", "identity" }
local FUNCTION = { "function", "agent version", "role", "log" }

---@class lambdapool.cli.Finding
---@field name string
---@field status "ok"|"warn"|"FAIL"
---@field message string
---@field hint string?

-- Runs one check. What it raises it has found.
local function look(state, name)
  local ok, status, message, hint = pcall(checks[name], state)
  if not ok then
    if require("lambdapool.interrupt").is(status) then
      error(status, 0)
    elseif is_denied(status) and state.configuration then
      local _, denied, advice = fail(status)
      return { name = name, status = "warn", message = denied, hint = advice }
    end
    status, message, hint = fail(status)
  end
  return status and { name = name, status = status, message = message, hint = hint }
end

-- False when one of them failed without which the next ones say nothing.
local function run_all(state, list, report)
  local all = true
  for _, name in ipairs(list) do
    local finding = look(state, name)
    if finding then
      report(finding)
      all = all and finding.status ~= "FAIL"
    end
    if name == "account" and not state.account then
      return false
    end
  end
  return all
end

--- Runs the checks; each finding is reported as it comes.
---@param context lambdapool.cli.Context
---@param name string? of a function
---@param report fun(finding: lambdapool.cli.Finding)
local function run(context, name, report)
  local state = { context = context, name = name }
  run_all(state, MACHINE, report)
  if run_all(state, ACCOUNT, report) and name then
    run_all(state, FUNCTION, report)
  end
end

return { run = run }
