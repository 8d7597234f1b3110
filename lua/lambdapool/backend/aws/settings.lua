--- What a function is set to, as far as a pool has to know: asked for once. Who may only invoke it
--- is not told, and then there is nothing to check.

local settings = {}

---@class lambdapool.backend.aws.Settings
---@field memory integer MB
---@field timeout integer seconds
---@field architecture "x86_64"|"arm64"
---@field reserved integer? invocations at a time that are kept for it; 0: it must not run

--- Waits for the settings of a function; raises a refusal.
---@param session table see lambdapool.aws.session
---@param name string
---@param qualifier string?
---@return lambdapool.backend.aws.Settings
function settings.fetch(session, name, qualifier)
  local output = session:lambda():call("GetFunction",
    { FunctionName = name, Qualifier = qualifier })
  local configuration = output.Configuration or {}
  local architectures, concurrency = configuration.Architectures, output.Concurrency
  return {
    memory = configuration.MemorySize,
    timeout = configuration.Timeout,
    architecture = architectures and architectures[1] or "x86_64",
    reserved = concurrency and concurrency.ReservedConcurrentExecutions,
  }
end

local limits = {
  { option = "memory", field = "memory", unit = "MB" },
  { option = "timeout", field = "timeout", unit = "s" },
}

--- What is wrong with a function that has less than the pool's options ask for; nil: nothing.
---@param given lambdapool.backend.aws.Settings
---@param wanted { memory: number?, timeout: number? }
---@param name string
---@return string?
function settings.complaint(given, wanted, name)
  for _, limit in ipairs(limits) do
    local want, have = wanted[limit.option], given[limit.field]
    if want and have and want > have then
      return ("the pool wants a %s of %g %s, and %s has %g %s\n" ..
        "  run `lambdapool update %s --%s %d`"):format(limit.option, want, limit.unit, name, have,
        limit.unit, name, limit.option, math.ceil(want))
    end
  end
end

return settings
