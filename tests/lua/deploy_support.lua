--- A folder of its own for specs of packages, and what fills it.

local command = require "lambdapool.command"
local files = require "lambdapool.files"

local support = {}

--- Runs a shell script, which must succeed; what it printed.
---@return string
function support.sh(script, folder, env)
  local result = assert(command.run({ "sh", "-ec", script }, { cwd = folder, env = env }))
  assert(result.code == 0, result.errors)
  return result.output
end

--- Makes a new folder.
---@return string
function support.folder()
  return assert(files.real(assert(files.temporary "/tmp/lambdapool-spec-")))
end

--- Writes files below a folder, which are { name = text }.
function support.write(folder, texts)
  for name, text in pairs(texts) do
    local path = folder .. "/" .. name
    assert(files.make(path:match "^(.*)/"))
    local file <close> = assert(io.open(path, "wb"))
    assert(file:write(text))
  end
end

---@return string?
function support.read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

--- The text of what f(...) raises.
---@return string
function support.problem(f, ...)
  local ok, problem = pcall(f, ...)
  assert(not ok, "nothing was raised")
  assert(getmetatable(problem).__name == "lambdapool.deploy.Problem", tostring(problem))
  return tostring(problem)
end

return support
