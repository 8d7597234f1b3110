--- Layers: shared code for functions. They have no tags, so who made one is not known; those of the
--- whole account are listed.

local describe = require "lambdapool.deploy.describe"
local lookup = require "lambdapool.deploy.lookup"
local names = require "lambdapool.deploy.names"
local package_builder = require "lambdapool.deploy.package"
local plan = require "lambdapool.deploy.plan"
local problem = require "lambdapool.deploy.problem"
local settings = require "lambdapool.deploy.settings"

local RUNTIMES = { "provided.al2023" }

local layers = { plan = {} }

local function item(name, version)
  return {
    name = name,
    version = version.Version,
    arn = version.LayerVersionArn,
    created = version.CreatedDate,
    description = version.Description,
  }
end

local function compare(a, b)
  return a.name < b.name
end

--- The layers of the region, each with its newest version.
---@param account lambdapool.Account
---@return table[]
function layers.list(account)
  local list = {}
  for _, layer in account.session:lambda():pages("ListLayers", {}, "Layers") do
    list[#list + 1] = item(layer.LayerName, layer.LatestMatchingVersion)
  end
  table.sort(list, compare)
  return list
end

--- The versions of a layer, newest first.
---@param account lambdapool.Account
---@param name string
---@return table[]
function layers.versions(account, name)
  local list = {}
  local input = { LayerName = names.check_layer(name) }
  for _, version in account.session:lambda():pages("ListLayerVersions", input, "LayerVersions") do
    list[#list + 1] = item(name, version)
  end
  if not list[1] then
    problem.raise(problem.ABSENT, "there is no layer %s in %s\n  see what there is with " ..
      "`lambdapool layers list`", name, lookup.place(account))
  end
  return list
end

-- Publishing and deleting -----------------------------------------------------------------------

---@class lambdapool.deploy.LayerOptions
---@field paths string[] files and folders
---@field requirements string?
---@field description string?
---@field architecture string?
---@field log fun(line: string)?

local function architecture_of(options)
  return options.architecture or settings.DEFAULTS.architecture
end

local function publish(account, name, package, options)
  local answer = account.session:lambda():call("PublishLayerVersion", {
    LayerName = name, Description = options.description,
    Content = { ZipFile = package.bytes },
    CompatibleRuntimes = RUNTIMES,
    CompatibleArchitectures = { architecture_of(options) },
  })
  local published = item(name, answer)
  published.code_size, published.code_sha256 = #package.bytes, package.sha256
  return published
end

local function is_for(version, architecture)
  for _, other in ipairs(version.CompatibleArchitectures or { settings.DEFAULTS.architecture }) do
    if other == architecture then
      return true
    end
  end
  return false
end

-- Whether a version is what would be published: what is only Lua has the same bytes for every
-- processor.
local function is_same(version, package, options)
  local content, description = version.Content or {}, options.description
  return content.CodeSha256 == package.sha256 and is_for(version, architecture_of(options))
    and (description == nil or description == version.Description)
end

-- The newest version, when it is what would be published.
local function find_same(account, name, package, options)
  local lambda = account.session:lambda()
  local _, newest = lambda:pages("ListLayerVersions", { LayerName = name }, "LayerVersions")()
  if newest then
    local answer = lambda:call("GetLayerVersion",
      { LayerName = name, VersionNumber = newest.Version })
    return is_same(answer, package, options) and item(name, answer) or nil
  end
end

--- Plans a new version of a layer; there is nothing to do when the newest one is the same.
---@param account lambdapool.Account
---@param name string
---@param options lambdapool.deploy.LayerOptions
---@return lambdapool.deploy.Plan
function layers.plan.publish(account, name, options)
  names.check_layer(name)
  settings.check { architecture = options.architecture, description = options.description }
  if not (options.paths and options.paths[1]) and not options.requirements then
    problem.raise(problem.USAGE, "a layer needs files: give files and folders, or rocks with -r")
  end
  local package = package_builder.build {
    paths = options.paths or {}, requirements = options.requirements, layer = true,
    architecture = architecture_of(options), log = options.log,
  }
  local steps, published = plan.new(name, "publish"), find_same(account, name, package, options)
  if published then
    steps.action = "unchanged"
  else
    steps.package = package
    plan.add(steps, {
      operation = "lambda:PublishLayerVersion",
      about = ("publish the layer %s: %d bytes"):format(name, #package.bytes),
      run = function() published = publish(account, name, package, options) end,
    })
  end
  steps.result = function()
    published.action = steps.steps[1] and "published" or "unchanged"
    return published
  end
  return steps
end

-- Functions that have this version.
local function users_of(account, arn)
  local users = {}
  for _, configuration in ipairs(lookup.all(account)) do
    for _, used in ipairs(describe.layers(configuration)) do
      if used == arn then
        users[#users + 1] = configuration.FunctionName
      end
    end
  end
  return users
end

local function find_version(account, name, version)
  for _, entry in ipairs(layers.versions(account, name)) do
    if entry.version == version then
      return entry
    end
  end
  problem.raise(problem.ABSENT, "the layer %s has no version %s\n  see those that it has with " ..
    "`lambdapool layers list %s`", name, version, name)
end

--- Plans the end of a version of a layer. Functions that have it keep it.
---@param account lambdapool.Account
---@param name string
---@param version integer
---@return lambdapool.deploy.Plan
function layers.plan.delete(account, name, version)
  local entry = find_version(account, name, version)
  local steps = plan.new(name, "delete")
  local users = users_of(account, entry.arn)
  steps.kept = users[1] and ("used by %s, which keep working until their layers change"):format(
    table.concat(users, ", ")) or nil
  plan.add(steps, {
    operation = "lambda:DeleteLayerVersion",
    about = ("delete version %d of the layer %s"):format(version, name),
    run = function()
      account.session:lambda():call("DeleteLayerVersion",
        { LayerName = name, VersionNumber = version })
    end,
  })
  steps.result = function()
    return { name = name, version = version, arn = entry.arn, action = "deleted" }
  end
  return steps
end

-- Layers of a function ----------------------------------------------------------------------------

--- The ARNs of versions of layers, which may be said as ARNs, or as `name:version` or `name` (its
--- newest version) where they are in this account. What is none of these stays as it is.
---@param account lambdapool.Account
---@param texts string[]
---@return string[]
function layers.resolve(account, texts)
  local arns = {}
  for i, text in ipairs(texts) do
    local name, version = text:match "^([%w_-]+):?(%d*)$"
    if name and version == "" then
      arns[i] = layers.versions(account, name)[1].arn
    else
      arns[i] = name and find_version(account, name, tonumber(version)).arn or text
    end
  end
  return arns
end

local function copy(list)
  return table.move(list, 1, #list, 1, {})
end

--- The layers of a function after some are attached: other versions of the same layers are
--- replaced where they stand, new ones come last.
---@param there string[]
---@param arns string[]
---@return string[]
function layers.with(there, arns)
  local list = copy(there)
  settings.check_layers(arns)
  for _, arn in ipairs(arns) do
    local place = #list + 1
    for i, other in ipairs(list) do
      local parts = names.split_layer(other)
      if parts and parts.layer == names.split_layer(arn).layer then
        place = i
      end
    end
    list[place] = arn
  end
  return settings.check_layers(list)
end

local function matches(arn, text)
  local parts = names.split_layer(arn)
  return arn == text or parts and (parts.layer == text or parts.name == text
    or parts.name .. ":" .. parts.version == text)
end

--- The layers of a function after some are detached; each may be said as an ARN, with the version
--- or without, or as `name` or `name:version`. Raises for those that the function does not have.
---@param there string[]
---@param texts string[]
---@return string[]
function layers.without(there, texts)
  local list = copy(there)
  for _, text in ipairs(texts) do
    local count = #list
    for i = #list, 1, -1 do
      if matches(list[i], text) then
        table.remove(list, i)
      end
    end
    if #list == count then
      problem.raise(problem.FAILED, "the function does not have the layer %s\n  it has %s", text,
        there[1] and table.concat(there, ", ") or "none")
    end
  end
  return list
end

return layers
