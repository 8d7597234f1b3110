--- Runs commands in this process and looks at what they print.

local output = require "lambdapool.cli.output"

local cli_support = {}

-- The library `io` of lambdapool's own modules, which is a copy.
local function own_io()
  local i = 1
  while debug.getupvalue(output.say, i) ~= "_ENV" do
    i = i + 1
  end
  local _, globals = debug.getupvalue(output.say, i)
  return globals.io
end

local function set_streams(stdout, stderr)
  io.output(stdout)
  for _, library in ipairs { io, own_io() } do
    rawset(library, "stdout", stdout)
    rawset(library, "stderr", stderr)
  end
end

local function read_and_remove(file, path)
  file:close()
  local copy <close> = assert(io.open(path))
  local text = copy:read "a"
  os.remove(path)
  return text
end

--- Calls f(...) while everything that is written to stdout and stderr is caught.
---@return string out
---@return string err
---@return any ... what f returns
function cli_support.capture(f, ...)
  local paths = { os.tmpname(), os.tmpname() }
  local files = { assert(io.open(paths[1], "w")), assert(io.open(paths[2], "w")) }
  local stdout, stderr = io.stdout, io.stderr
  set_streams(files[1], files[2])
  local result = table.pack(pcall(f, ...))
  set_streams(stdout, stderr)
  local out, err = read_and_remove(files[1], paths[1]), read_and_remove(files[2], paths[2])
  assert(result[1], result[2])
  return out, err, table.unpack(result, 2, result.n)
end

--- Runs a command with arguments. Returns its output, its messages and its exit code.
---@param module { main: function }
---@param ... string
function cli_support.run(module, ...)
  return cli_support.capture(module.main, { [0] = "lambdapool", "try", ... })
end

return cli_support
