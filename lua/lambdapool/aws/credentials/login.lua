--- Profiles of `aws login`: their tokens are bound to a key in a way that is not done here.

local trouble = require "lambdapool.aws.credentials.trouble"

---@param world lambdapool.aws.World
local function login(world)
  if world:get().login_session then
    trouble.failed(("profile %s is one of `aws login`, which is not supported"):format(
      world.profile), ("give it the line `credential_process = aws configure export-credentials " ..
      "--profile %s --format process` in a profile of its own"):format(world.profile))
  end
end

return login
