--- Packages: what is uploaded as the code of a function, or as a layer. The agent, the files that
--- somebody names and the rocks that they need, in one zip file; equal input makes equal bytes,
--- wherever and whenever it is made.

local archive = require "lambdapool.archive"
local binaries = require "lambdapool.deploy.binaries"
local crypto = require "lambdapool.crypto"
local files = require "lambdapool.files"
local gather = require "lambdapool.deploy.gather"
local interrupt = require "lambdapool.interrupt"
local local_backend = require "lambdapool.backend.local"
local manifest = require "lambdapool.deploy.manifest"
local check_options = require("lambdapool.options").check
local problem = require "lambdapool.deploy.problem"
local requirements = require "lambdapool.deploy.requirements"
local rocks = require "lambdapool.deploy.rocks"
local system = require "lambdapool.system"

-- What Lambda takes in a request.
local MOST_BYTES = 52428800

-- How many files an error names.
local LARGEST = 3

---@class lambdapool.deploy.PackageOptions
---@field paths string[]? FOLDER goes in under its own name, FOLDER/. without it, files at the top
---@field requirements string? a list of rocks or a rockspec
---@field architecture string? "x86_64" or "arm64"; the first when absent
---@field agent string? where the agent is
---@field layer boolean? a layer: no agent, and everything where Lua finds it below /opt
---@field layers boolean? the function has layers: libraries may be in them
---@field except string? a file that is not meant, such as the zip that is being made
---@field log fun(line: string)? gets what luarocks says

---@class lambdapool.deploy.Package
---@field bytes string the zip
---@field sha256 string as Lambda's CodeSha256
---@field entries { name: string, size: integer }[] sorted
---@field unzipped integer
---@field agent_version string? not of a layer

local function fail(text, ...)
  problem.raise(problem.FAILED, text, ...)
end

local function ignore() end

local function add_agent(gatherer, path)
  local agent = path or local_backend.find_agent()
  local status, message = files.status(agent)
  if not status or status.kind ~= "file" then
    fail("cannot package the agent %s: %s", agent, message and message:gsub("^.*: ", "")
      or "it is no file")
  end
  gatherer:add { name = "bootstrap", path = agent, from = "the agent", size = status.size,
    mode = 493, own = true } -- 0755
end

local function check_agent(list, architecture)
  for _, file in ipairs(list) do
    local machine = file.own and binaries.machine(file.data)
    if machine and machine ~= architecture then
      fail("cannot package the agent %s: it is for %s, and the function for %s\n" ..
        "  name one that was built for %s in LAMBDAPOOL_AGENT", file.path, machine, architecture,
        architecture)
    end
  end
end

local function add_rocks(gatherer, path, architecture, log)
  local wanted = requirements.load(path)
  if not wanted.rockspec and #wanted.rocks == 0 then
    return
  end
  rocks.with_tree(wanted, architecture, function(tree)
    for _, kind in ipairs { "share", "lib" } do
      local folder = ("%s/%s/lua/5.4"):format(tree, kind)
      if files.is_folder(folder) then
        gatherer:add_folder(folder, kind == "share" and "lua/" or "lib/", path)
      end
    end
    gatherer:load() -- the tree may be gone afterwards
  end, log)
end

-- Names the largest files, for who has to leave something out.
local function largest(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted, function(a, b)
    return a.size > b.size
  end)
  local names = {}
  for i = 1, math.min(LARGEST, #sorted) do
    names[i] = ("%s (%d bytes)"):format(sorted[i].name, sorted[i].size)
  end
  return table.concat(names, ", ")
end

local function make_zip(list)
  interrupt.check()
  local ok, bytes = pcall(archive.create, list)
  interrupt.check() -- that takes seconds when there is much
  if not ok then
    fail("cannot make the package: %s", tostring(bytes):gsub("^cannot make an archive: ", ""))
  elseif #bytes > MOST_BYTES then
    fail("the package has %d bytes, and Lambda takes %d (50 MB) at most\n" ..
      "  put a part into a layer, with `lambdapool layers publish`; the largest files are %s",
      #bytes, MOST_BYTES, largest(list))
  end
  return bytes
end

local function describe(list, bytes, layer)
  local entries, unzipped = {}, 0
  for i, file in ipairs(list) do
    entries[i] = { name = file.name, size = file.size }
    unzipped = unzipped + file.size
  end
  return { bytes = bytes, sha256 = crypto.sha256_base64(bytes), entries = entries,
    unzipped = unzipped, agent_version = not layer and system.version or nil }
end

-- The manifest is one of the files that it stands beside.
local function add_manifest(gatherer, list)
  local text = manifest.make(list)
  gatherer:add { name = manifest.NAME, from = "the list of modules", data = text, size = #text,
    mode = 420 } -- 0644
  return gatherer:list()
end

local RULES = {
  paths = { "table", default = {} },
  requirements = { "text" },
  architecture = { "choice", choices = { "x86_64", "arm64" }, default = "x86_64" },
  agent = { "text" },
  layer = { "boolean" },
  layers = { "boolean" },
  except = { "any" },
  log = { "function", default = ignore },
}

local function check_paths(paths)
  for _, path in ipairs(paths) do
    if type(path) ~= "string" then
      error("lambdapool.deploy.package: a path must be a string, got a " .. type(path), 3)
    end
  end
end

--- Makes a package. Raises what is wrong with what should go into it.
---@param given lambdapool.deploy.PackageOptions
---@return lambdapool.deploy.Package
local function build(given)
  local options = check_options("lambdapool.deploy.package", given, RULES)
  check_paths(options.paths)
  local gatherer = gather.new(options.except)
  if not options.layer then
    add_agent(gatherer, options.agent)
  end
  for _, path in ipairs(options.paths) do
    gatherer:add_path(path, options.layer and "lua/")
  end
  if options.requirements then
    add_rocks(gatherer, options.requirements, options.architecture, options.log)
  end
  local list = gatherer:list()
  check_agent(list, options.architecture)
  binaries.check(list, options.architecture, options.layers or options.layer)
  if not options.layer then
    list = add_manifest(gatherer, list)
  elseif #list == 0 then
    fail "a layer without files\n  name files, folders, or rocks with `-r FILE`"
  end
  return describe(list, make_zip(list), options.layer)
end

return { build = build }
