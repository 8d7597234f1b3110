--- Whether the programs and libraries in a package will run on Lambda: its images are Amazon Linux
--- 2023, which has older libraries than Debian 12, and few of them.

local elf = require "lambdapool.deploy.elf"
local problem = require "lambdapool.deploy.problem"

-- What the image has for certain.
local LIBRARIES = {
  ["libc.so.6"] = true, ["libm.so.6"] = true, ["libdl.so.2"] = true, ["libpthread.so.0"] = true,
  ["librt.so.1"] = true, ["libutil.so.1"] = true, ["libresolv.so.2"] = true,
  ["libgcc_s.so.1"] = true, ["libstdc++.so.6"] = true,
  ["ld-linux-x86-64.so.2"] = true, ["ld-linux-aarch64.so.1"] = true,
}

-- The newest versions of symbols that its libraries have: glibc 2.34, and those of GCC 11.
local NEWEST = { GLIBC = "2.34", GLIBCXX = "3.4.29", CXXABI = "1.3.13" }

-- Where the loader looks: LD_LIBRARY_PATH is /var/task, /var/task/lib and /opt/lib there.
local FOLDERS = { [""] = true, ["lib/"] = true }

local function is_newer(version, than)
  local limits = than:gmatch "%d+"
  for part in version:gmatch "%d+" do
    local limit = tonumber(limits() or 0)
    if tonumber(part) ~= limit then
      return tonumber(part) > limit
    end
  end
  return false
end

local function is_too_new(symbol)
  local family, version = symbol:match "^(%u+)_([%d.]+)$"
  if family then
    return NEWEST[family] and is_newer(version, NEWEST[family])
  end
  return symbol == "GLIBC_ABI_DT_RELR" or symbol == "GLIBC_PRIVATE"
end

local function fail(file, text, ...)
  problem.raise(problem.FAILED, "cannot package %s: " .. text, file.path or file.name, ...)
end

local function check_versions(file, info)
  for _, symbol in ipairs(info.versions) do
    if is_too_new(symbol) then
      fail(file, "it needs %s, and Lambda has glibc %s and libstdc++ of GCC 11\n" ..
        "  build it on Amazon Linux 2023 or a system as old, such as Debian 11", symbol,
        NEWEST.GLIBC)
    end
  end
end

local function check_libraries(file, info, present, layers)
  for _, library in ipairs(info.needed) do
    if library:find "^liblua" then
      fail(file, "it is linked with %s, and there the agent is Lua itself\n" ..
        "  build it as a module, without a Lua library", library)
    elseif not LIBRARIES[library] and not present[library] and not layers then
      fail(file, "it needs %s, which Lambda does not have\n  put the library beside your files " ..
        "or in a folder `lib`, or link it statically", library)
    end
  end
end

local function is_program(file)
  return not file.own and (file.mode == 493 or file.name:find "%.so[%d.]*$" ~= nil)
end

-- The libraries that come with the package.
local function libraries_of(list)
  local present = {}
  for _, file in ipairs(list) do
    local folder, base = file.name:match "^(.-)([^/]*)$"
    if FOLDERS[folder] then
      present[base] = true
    end
  end
  return present
end

--- The processor of a program; nil when it is a script.
---@param data string
---@return string?
local function machine(data)
  local info = elf.read(data)
  return info and info.machine
end

--- Raises what is wrong with the first program or library that cannot run.
---@param list lambdapool.deploy.File[] with their data
---@param architecture string
---@param layers boolean? libraries may be in layers, about which nothing is known here
local function check(list, architecture, layers)
  local present = libraries_of(list)
  for _, file in ipairs(list) do
    local info, message
    if is_program(file) then
      info, message = elf.read(file.data)
    end
    if message then
      fail(file, "%s\n  build or copy it again", message)
    elseif info and info.machine ~= architecture then
      fail(file, "it is for %s, and the function for %s\n" ..
        "  build it for %s, or choose the other one with `--arch`", info.machine, architecture,
        architecture)
    elseif info then
      check_versions(file, info)
      check_libraries(file, info, present, layers)
    end
  end
end

return { check = check, machine = machine }
