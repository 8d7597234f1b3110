--- Runs commands in this process and looks at what they print.

local cli_support = {}

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
  io.output(files[1])
  rawset(io, "stdout", files[1])
  rawset(io, "stderr", files[2])
  local result = table.pack(pcall(f, ...))
  rawset(io, "stdout", stdout)
  rawset(io, "stderr", stderr)
  io.output(stdout)
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
