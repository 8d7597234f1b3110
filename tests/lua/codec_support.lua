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
  local instructions = size()
  at = at + instructions * 4
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
  local upvalues = size()
  at = at + upvalues * 3
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

--- XXH3-64 for 9 to 240 bytes, written after the published algorithm: the checksum of a dump, so
--- that tests can forge one.
local secret = ([[
  b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578
  825ad07dccff7221b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea3
  71644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931
  c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e
  2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e
]]):gsub("%s", ""):gsub("..", function(digits)
  return string.char(tonumber(digits, 16))
end)

--- Eight bytes from offset `at`, counted from 0 as in C.
local function read(bytes, at)
  return (string.unpack("<i8", bytes, at + 1))
end

--- Both halves of the product, one xor the other.
local function fold(a, b)
  local a_low, a_high, b_low, b_high = a & 0xffffffff, a >> 32, b & 0xffffffff, b >> 32
  local low, cross = a_low * b_low, a_high * b_low
  cross = (low >> 32) + (cross & 0xffffffff) + a_low * b_high
  return (a * b) ~ ((a_high * b_low >> 32) + (cross >> 32) + a_high * b_high)
end

local function avalanche(h)
  h = (h ~ h >> 37) * 0x165667919E3779F9
  return h ~ h >> 32
end

local function mix(bytes, at, secret_at, seed)
  return fold(read(bytes, at) ~ read(secret, secret_at) + seed,
    read(bytes, at + 8) ~ read(secret, secret_at + 8) - seed)
end

local function hash(bytes, seed)
  local size = #bytes
  if size <= 16 then
    local low = read(bytes, 0) ~ (read(secret, 24) ~ read(secret, 32)) + seed
    local high = read(bytes, size - 8) ~ (read(secret, 40) ~ read(secret, 48)) - seed
    local swapped = string.unpack(">i8", (string.pack("<i8", low)))
    return avalanche(size + swapped + high + fold(low, high))
  end
  local sum = size * 0x9E3779B185EBCA87
  if size <= 128 then
    for i = (size - 1) // 32, 0, -1 do
      sum = sum + mix(bytes, 16 * i, 32 * i, seed) +
        mix(bytes, size - 16 * (i + 1), 32 * i + 16, seed)
    end
    return avalanche(sum)
  end
  for i = 0, 7 do
    sum = sum + mix(bytes, 16 * i, 16 * i, seed)
  end
  sum = avalanche(sum)
  for i = 8, size // 16 - 1 do
    sum = sum + mix(bytes, 16 * i, 16 * (i - 8) + 3, seed)
  end
  return avalanche(sum + mix(bytes, size - 16, 136 - 17, seed))
end

--- A dump with this body of 9 to 240 bytes, the checksum made right.
function support.seal(body, flags)
  flags = flags or 0
  return "\xC7LP\1" .. string.char(flags) .. string.pack("<i8", hash(body, flags)) .. body
end

return support
