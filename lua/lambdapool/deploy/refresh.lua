--- The code of a function with the program of today: for functions that hold an older one, when the
--- files that they were made of are not at hand. What is deployed is fetched, and packaged anew.

local archive = require "lambdapool.archive"
local crypto = require "lambdapool.crypto"
local files = require "lambdapool.files"
local http = require "lambdapool.http"
local manifest = require "lambdapool.deploy.manifest"
local package_builder = require "lambdapool.deploy.package"

local SECONDS = 600
local MOST_BYTES = 64 << 20

local refresh = {}

-- The bytes of what is deployed, or nil and why they are not to be had.
local function fetch(session, found)
  if not found.location then
    return nil, "Lambda does not say where its code is"
  end
  local response = http.request { url = found.location, seconds = SECONDS,
    max_bytes = MOST_BYTES, ca = session.ca, proxy = session.proxy }
  if response.failure then
    return nil, response.message
  elseif response.status ~= 200 then
    return nil, ("HTTP %d"):format(response.status)
  elseif crypto.sha256_base64(response.body) ~= found.configuration.CodeSha256 then
    return nil, "what came is not the code of the function"
  end
  return response.body
end

-- A folder that goes when it is closed.
local function temporary()
  local path = assert(files.temporary((os.getenv "TMPDIR" or "/tmp") .. "/lambdapool-code-"))
  return path, setmetatable({}, { __close = function() files.remove(path) end })
end

--- Packages what is deployed with the program of today. Nil and why, when that cannot be done.
---@param account table
---@param found lambdapool.deploy.Found
---@param options { architecture: string, agent: string?, layers: boolean }
---@return table? package
---@return string? message
function refresh.build(account, found, options)
  local bytes, message = fetch(account.session, found)
  if not bytes then
    return nil, message
  end
  local folder, _ <close> = temporary()
  local code = folder .. "/code"
  local ok, _, problem = archive.extract(bytes, code)
  if not ok then
    return nil, problem
  end
  os.remove(code .. "/bootstrap")
  os.remove(code .. "/" .. manifest.NAME)
  return package_builder.build { paths = { code .. "/." }, agent = options.agent,
    architecture = options.architecture, layers = options.layers }
end

return refresh
