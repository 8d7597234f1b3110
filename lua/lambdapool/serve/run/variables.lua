--- The environment variables of a function, as AWS Lambda sets them for an OS-only runtime; the
--- address of the Runtime API is added where the process is started.
local crypto = require "lambdapool.crypto"
local system = require "lambdapool.system"

local variables = {}

--- A name for the log stream of a new environment.
---@return string
function variables.stream(record)
  local id = crypto.uuid():gsub("-", "")
  return ("%s/[%s]%s"):format(os.date("!%Y/%m/%d", system.now() // 1000), record.version, id)
end

-- Where there are no folders of its own, those of the host are searched instead.
local function path(list, place)
  if place.isolated then
    return list
  end
  local folders = { ["/var/task"] = place.task, ["/opt"] = place.layers }
  return (list:gsub("/var/task", folders):gsub("/opt", folders))
end

--- The variables of an environment. Those of the function go over ours where Lambda lets them: the
--- names that it keeps for itself were refused when the function was made.
---@param environment lambdapool.serve.Environment
---@param place { task: string, layers: string?, isolated: boolean }
---@param service table
---@return table<string, string>
function variables.of(environment, place, service)
  local record = environment.record
  local credentials = service.credentials_for(record.role)
  local all = {
    LANG = "en_US.UTF-8",
    TZ = ":UTC",
    PATH = path("/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin", place),
    LD_LIBRARY_PATH = path("/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:" ..
      "/var/task:/var/task/lib:/opt/lib", place),
    AWS_XRAY_CONTEXT_MISSING = "LOG_ERROR",
  }
  for name, value in pairs(record.environment or {}) do
    all[name] = value
  end
  all.AWS_ACCESS_KEY_ID = credentials.access_key
  all.AWS_SECRET_ACCESS_KEY = credentials.secret_key
  all.AWS_SESSION_TOKEN = credentials.token
  all.AWS_REGION, all.AWS_DEFAULT_REGION = record.region, record.region
  all.AWS_LAMBDA_FUNCTION_NAME = record.name
  all.AWS_LAMBDA_FUNCTION_VERSION = record.version
  all.AWS_LAMBDA_FUNCTION_MEMORY_SIZE = ("%d"):format(record.memory)
  all.AWS_LAMBDA_INITIALIZATION_TYPE = "on-demand"
  all.AWS_LAMBDA_LOG_GROUP_NAME = record.log_group
  all.AWS_LAMBDA_LOG_STREAM_NAME = environment.stream
  all.AWS_XRAY_DAEMON_ADDRESS = "169.254.100.1:2000"
  all._AWS_XRAY_DAEMON_ADDRESS, all._AWS_XRAY_DAEMON_PORT = "169.254.100.1", "2000"
  all.LAMBDA_RUNTIME_DIR = "/var/runtime"
  all.LAMBDA_TASK_ROOT = place.isolated and "/var/task" or place.task
  all._HANDLER = record.handler
  if record.log_format == "JSON" then
    all.AWS_LAMBDA_LOG_FORMAT, all.AWS_LAMBDA_LOG_LEVEL = "JSON", "INFO"
  end
  return all
end

return variables
