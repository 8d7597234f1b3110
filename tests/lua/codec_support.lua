--- What the codec specs share: round trips, comparing code, files, and a second process.
local codec = require "lambdapool.codec"

local support = {}

--- Where the tests find the programs, see tests/run.
support.program = (os.getenv "LAMBDAPOOL_BUILD" or "build") .. "/lambdapool"

function support.round_trip(value)
  return codec.load(codec.dump(value))
end

--- The message that `dump` raises for the value.
function support.refusal(value)
  local ok, message = pcall(codec.dump, value)
  if ok then
    error("the value can be sent", 2)
  end
  return message
end

--- Binary chunks split where the outermost function's upvalue descriptions are: a slice declares
--- its upvalues in another order, all else must be equal. See ldump.c.
local function around_upvalues(binary)
  local at = 31 + 1 + 1
  local function size()
    local value = 0
    repeat
      local byte = binary:byte(at)
      value = value << 7 | byte & 0x7f
      at = at + 1
    until byte & 0x80 ~= 0
    return value
  end
  local function text()
    local n = size()
    at = at + math.max(n - 1, 0)
  end
  text() -- source
  size() -- first line
  size() -- last line
  at = at + 3
  at = at + size() * 4
  for _ = 1, size() do
    local kind = binary:byte(at)
    at = at + 1
    if kind == 0x03 or kind == 0x13 then
      at = at + 8
    elseif kind == 0x04 or kind == 0x14 then
      text()
    end
  end
  local head = binary:sub(1, at - 1)
  at = at + size() * 3
  return head, binary:sub(at)
end

--- Whether two functions are the same code with the same names, lines and constants.
function support.same_code(a, b)
  local binary_a, binary_b = string.dump(a), string.dump(b)
  if binary_a == binary_b then
    return true
  end
  local head_a, tail_a = around_upvalues(binary_a)
  local head_b, tail_b = around_upvalues(binary_b)
  return head_a == head_b and tail_a == tail_b
end

--- The loaded copy of a function, checked to be the same code.
function support.copy(f)
  local copy = support.round_trip(f)
  assert(copy ~= f, "the function itself came back")
  assert(support.same_code(f, copy), "the code differs")
  return copy
end

--- Names of temporary files, which `remove_files` removes.
local files = {}

function support.temporary_name(suffix)
  local name = os.tmpname()
  files[#files + 1] = name
  if suffix then
    name = name .. suffix
    files[#files + 1] = name
  end
  return name
end

function support.write_file(name, text)
  local file <close> = assert(io.open(name, "wb"))
  assert(file:write(text))
end

--- A temporary file with that text.
function support.file(text, suffix)
  local name = support.temporary_name(suffix)
  support.write_file(name, text)
  return name
end

function support.remove_files()
  for i = #files, 1, -1 do
    os.remove(files[i])
    files[i] = nil
  end
end

--- Runs a script in a new process of the program; returns what it wrote to standard output and
--- standard error. The script may read the bytes with `io.open(arg[1])`.
function support.run(script, bytes)
  local code = support.file(script, ".lua")
  local data = support.file(bytes or "")
  local pipe = assert(io.popen(("cd / && '%s' run %s %s 2>&1"):format(
    support.program:sub(1, 1) == "/" and support.program or
    os.getenv "PWD" .. "/" .. support.program, code, data)))
  local output = pipe:read "a"
  pipe:close()
  return output
end

local elsewhere_head = [[
local codec = require "lambdapool.codec"
local file = assert(io.open(arg[1], "rb"))
local bytes = file:read "a"
file:close()
]]

--- Dumps the value and runs `script` in another process, where the local `value` is the loaded one
--- and `codec` and `bytes` are at hand. Returns what the script printed.
function support.elsewhere(value, script, options)
  local trusted = options and options.trusted and ", { trusted = true }" or ""
  local head = elsewhere_head .. "local value = codec.load(bytes" .. trusted .. ")\n"
  return support.run(head .. script, codec.dump(value))
end

return support
