--- `lambdapool whoami`: the account that commands and pools work with, and whose credentials those
--- are.

local command = require "lambdapool.cli.command"
local output = require "lambdapool.cli.output"

local function run(given, context)
  local account = context:account()
  local session = account.session
  local identity = session:sts():call("GetCallerIdentity", {})
  local credentials = session:credentials()
  local found = {
    backend = account.backend, account = identity.Account, arn = identity.Arn,
    user_id = identity.UserId, region = session.region,
    profile = account.backend == "aws" and session.profile or nil,
    credentials = credentials.source, expires = credentials.expires,
    endpoint = (session:endpoint "sts"),
  }
  if given.json then
    return output.json(found)
  end
  output.block {
    { "backend", found.backend },
    { "account", found.account },
    { "arn", found.arn },
    { "region", found.region or "not set" },
    { "credentials", found.credentials },
    { "expires", found.expires and os.date("%Y-%m-%d %H:%M:%S", math.floor(found.expires)) },
    { "endpoint", found.endpoint },
  }
end

return command.new {
  name = "whoami",
  usage = "whoami",
  example = "lambdapool whoami --backend aws",
  about = "Says which account commands and pools work with, as whom, and where the credentials " ..
    "come from.",
  common = { account = true, json = true },
  run = run,
}
