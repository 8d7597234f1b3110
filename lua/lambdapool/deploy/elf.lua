--- What a program or a shared library says that it needs: processor, libraries and the versions of
--- their symbols. Reads 64-bit little-endian ELF, all that Lambda runs, from foreign bytes.

local MAGIC = "\127ELF"

local MACHINES = { [3] = "x86", [40] = "arm", [62] = "x86_64", [183] = "arm64", [243] = "riscv" }

local PT_LOAD, PT_DYNAMIC = 1, 2
local DT_NEEDED, DT_STRTAB, DT_RELR = 1, 5, 36
local DT_VERNEED, DT_VERNEEDNUM = 0x6ffffffe, 0x6fffffff

-- What a loader has to be new enough for when there are relocations of the kind DT_RELR. Not every
-- linker says so.
local RELR_VERSION = "GLIBC_ABI_DT_RELR"

-- No honest file has more of anything.
local MOST = 10000

---@class lambdapool.deploy.Elf
---@field machine string "x86_64" as AWS calls them, or "machine 8"
---@field needed string[] libraries
---@field versions string[] "GLIBC_2.34" and the like, each once

local function broken()
  error("broken", 0)
end

local function unpack_at(format, data, offset)
  if offset < 0 or offset + string.packsize(format) > #data then
    broken()
  end
  return string.unpack(format, data, offset + 1)
end

local function segments(data)
  local start = unpack_at("<I8", data, 32)
  local size, count = unpack_at("<I2I2", data, 54)
  local list = {}
  for i = 0, count - 1 do
    local kind, _, offset, address, _, file_size =
      unpack_at("<I4I4i8i8i8i8", data, start + i * size)
    list[#list + 1] = { kind = kind, offset = offset, address = address, size = file_size }
  end
  return list
end

-- Where in the file an address is.
local function locate(list, address)
  for _, segment in ipairs(list) do
    local inside = address - segment.address
    if segment.kind == PT_LOAD and inside >= 0 and inside < segment.size then
      return segment.offset + inside
    end
  end
  broken()
end

-- Calls each(tag, value) for the dynamic section; nothing in what is linked statically.
local function each_dynamic(data, list, each)
  for _, segment in ipairs(list) do
    if segment.kind == PT_DYNAMIC then
      for i = 0, math.min(segment.size // 16, MOST) - 1 do
        local tag, value = unpack_at("<i8i8", data, segment.offset + i * 16)
        if tag == 0 then
          return
        end
        each(tag, value)
      end
    end
  end
end

local function text_at(data, strings, offset)
  local start = strings + offset + 1
  if start < 1 or start > #data then
    broken()
  end
  return data:match("^([^%z]*)%z", start) or broken()
end

-- Adds the versions that are wanted of each library: a list of lists, chained by relative offsets.
local function read_versions(versions, data, strings, offset, libraries)
  local seen, total = { [versions[1] or ""] = true }, 0
  for _ = 1, math.min(libraries, MOST) do
    local _, count, _, first, following = unpack_at("<I2I2I4I4I4", data, offset)
    local at = offset + first
    for _ = 1, count do
      local _, _, _, name, next_one = unpack_at("<I4I2I2I4I4", data, at)
      local version = text_at(data, strings, name)
      if not seen[version] then
        seen[version] = true
        versions[#versions + 1] = version
      end
      total = total + 1
      at = at + next_one
      if total > MOST then
        broken()
      end
    end
    offset = offset + following
  end
end

local function read_dynamic(data)
  local list = segments(data)
  local found, offsets = {}, {}
  each_dynamic(data, list, function(tag, value)
    if tag == DT_NEEDED then
      offsets[#offsets + 1] = value
    else
      found[tag] = value
    end
  end)
  local strings = found[DT_STRTAB] and locate(list, found[DT_STRTAB])
  local needed, versions = {}, { found[DT_RELR] and RELR_VERSION }
  for i, offset in ipairs(offsets) do
    needed[i] = text_at(data, strings or broken(), offset)
  end
  if found[DT_VERNEED] then
    read_versions(versions, data, strings or broken(), locate(list, found[DT_VERNEED]),
      found[DT_VERNEEDNUM] or 0)
  end
  return needed, versions
end

--- Reads the head of a file; nil when it is no ELF file at all, and nil and a message when it is a
--- broken one.
---@param data string
---@return lambdapool.deploy.Elf?
---@return string? message
local function read(data)
  if data:sub(1, #MAGIC) ~= MAGIC then
    return nil
  elseif #data < 64 then
    return nil, "it is cut off"
  end
  local class, order = data:byte(5, 6)
  local machine = string.unpack(order == 2 and ">I2" or "<I2", data, 19)
  local self = { machine = MACHINES[machine] or "machine " .. machine, needed = {}, versions = {} }
  if class ~= 2 or order ~= 1 then
    return self -- of a machine that Lambda has not
  end
  local ok, needed, versions = pcall(read_dynamic, data)
  if not ok then
    return nil, "it is broken"
  end
  self.needed, self.versions = needed, versions
  return self
end

return { read = read }
