--- Waiting for Lambda: until a function is ready after a change, and until it knows of a new role.

local completion = require "lambdapool.completion"
local lookup = require "lambdapool.deploy.lookup"
local problem = require "lambdapool.deploy.problem"
local system = require "lambdapool.system"

local SETTLE_SECONDS = 300 -- as AWS's own waiters
local PROPAGATION_SECONDS = 60
local APPEAR_SECONDS = 10 -- a function that was created a moment ago may not be there yet
local FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1

local settle = {}

--- Lets `seconds` pass.
---@param seconds number
function settle.sleep(seconds)
  completion.await({}, seconds)
end

-- Pauses that double: the local service settles in 50 ms, AWS in seconds.
local function pauses(stop)
  local pause = FIRST_PAUSE
  return function()
    settle.sleep(pause)
    pause = math.min(pause * 2, LONGEST_PAUSE)
    if stop then
      stop()
    end
  end
end

-- Raises when what was changed did not succeed.
local function check_state(name, configuration)
  if configuration.State == "Failed" then
    problem.raise(problem.FAILED, "the function %s cannot be made ready: %s", name,
      configuration.StateReason or configuration.StateReasonCode or "Lambda does not say why")
  elseif configuration.LastUpdateStatus == "Failed" then
    problem.raise(problem.FAILED, "the update of %s failed: %s", name,
      configuration.LastUpdateStatusReason or configuration.LastUpdateStatusReasonCode
      or "Lambda does not say why")
  end
end

--- Whether nothing is under way.
---@param configuration table
---@return boolean
function settle.is_settled(configuration)
  return configuration.State ~= "Pending" and configuration.LastUpdateStatus ~= "InProgress"
end

-- Asks for the configuration; nil while the function is too new to be found.
local function ask(lambda, name, since)
  local ok, answer = pcall(lambda.call, lambda, "GetFunctionConfiguration", { FunctionName = name })
  if ok then
    return answer
  elseif not lookup.is_absent(answer) or system.monotonic() - since > APPEAR_SECONDS then
    error(answer, 0)
  end
end

--- Waits until nothing is under way with a function. Returns its configuration.
---@param lambda table the client
---@param name string
---@param stop (fun())? called in every turn; raises to give up
---@return table configuration
function settle.wait(lambda, name, stop)
  local since, pause = system.monotonic(), pauses(stop)
  while true do
    local configuration = ask(lambda, name, since)
    if configuration and settle.is_settled(configuration) then
      return configuration
    elseif system.monotonic() - since > SETTLE_SECONDS then
      problem.raise(problem.FAILED, "the function %s is not ready after %d s\n  look at it with " ..
        "`lambdapool show %s`", name, SETTLE_SECONDS, name)
    end
    pause()
  end
end

--- Waits until what was changed of a function is in place; raises when it failed.
---@param lambda table the client
---@param name string
---@param stop (fun())?
---@return table configuration
function settle.confirm(lambda, name, stop)
  local configuration = settle.wait(lambda, name, stop)
  check_state(name, configuration)
  return configuration
end

-- What Lambda says of a role that it does not know yet; with an environment it tries the key first.
local UNKNOWN_ROLE = { "cannot be assumed by Lambda", "KMS key is invalid for CreateGrant",
  "execution role does not have permissions" }

local function is_unknown_role(refusal)
  if type(refusal) == "table" and refusal.code == "InvalidParameterValueException" then
    for _, words in ipairs(UNKNOWN_ROLE) do
      if tostring(refusal.message):find(words, 1, true) then
        return true
      end
    end
  end
  return false
end

local function is_under_way(refusal)
  return type(refusal) == "table" and refusal.code == "ResourceConflictException"
    and not tostring(refusal.message):find "already exist"
end

--- Calls an operation again as long as patient(refusal) says so, for a minute at most.
---@param client table
---@param operation string
---@param input table
---@param patient fun(refusal: any): boolean
---@param stop (fun())? called in every turn; raises to give up
---@return table output
function settle.insist(client, operation, input, patient, stop)
  local since, pause = system.monotonic(), pauses(stop)
  while true do
    local ok, answer = pcall(client.call, client, operation, input)
    if ok then
      return answer
    elseif not patient(answer) or system.monotonic() - since > PROPAGATION_SECONDS then
      error(answer, 0)
    end
    pause()
  end
end

--- Calls an operation of Lambda; a role that it does not know yet, and an update that is still
--- under way, are waited for.
---@param lambda table the client
---@param operation string
---@param input table
---@param options { stop: fun()?, log: fun(line: string)? }
---@return table output
function settle.call(lambda, operation, input, options)
  local log = options.log
  return settle.insist(lambda, operation, input, function(refusal)
    local unknown = is_unknown_role(refusal)
    local patient = unknown or is_under_way(refusal)
    if patient and log then
      log(unknown and "waiting until Lambda knows the role" or "waiting for another update")
      log = nil
    end
    return patient
  end, options.stop)
end

return settle
