--- Finding functions in the store: by name and qualifier, which may be a version, "$LATEST" or an
--- alias. Shared by all operations on functions.

local fault = require "lambdapool.serve.fault"
local names = require "lambdapool.serve.lambda.names"

local lookup = {}

--- The version as clients know it.
---@param version integer
---@return string
function lookup.version_name(version)
  return version == 0 and "$LATEST" or tostring(version)
end

--- The row of a function, nil when there is none.
function lookup.find(store, region, name)
  return store.db:row("SELECT * FROM functions WHERE region = ? AND name = ?", region, name)
end

--- The row of a version, nil when there is none.
---@param version integer 0 for $LATEST
function lookup.version(store, region, name, version)
  return store.db:row("SELECT * FROM versions WHERE region = ? AND name = ? AND version = ?",
    region, name, version)
end

--- The row of an alias, nil when there is none.
function lookup.alias(store, region, name, alias)
  return store.db:row("SELECT * FROM aliases WHERE region = ? AND name = ? AND alias = ?",
    region, name, alias)
end

--- The row of the version that a qualifier leads to, and the row of the alias when it is one. An
--- alias that spreads its calls leads to its main version here.
---@param qualifier string?
function lookup.qualified(store, region, name, qualifier)
  if not qualifier or qualifier == "$LATEST" then
    return lookup.version(store, region, name, 0)
  elseif qualifier:find "^%d+$" then
    local version = math.tointeger(tonumber(qualifier))
    return version and version > 0 and lookup.version(store, region, name, version) or nil
  end
  local alias = lookup.alias(store, region, name, qualifier)
  if alias then
    return lookup.version(store, region, name, alias.version), alias
  end
end

--- Like names.locate, for operations on a function as a whole: a qualifier other than $LATEST in
--- its name is refused.
---@return string name
function lookup.unqualified(context, text)
  local name, qualifier = names.locate(context, text)
  if qualifier and qualifier ~= "$LATEST" then
    fault.invalid("The operation does not take a qualified function name: " .. text)
  end
  return name
end

--- The name of a function that exists, else the fault that says it does not.
---@return string name
---@return table row
function lookup.existing(context, text)
  local name = lookup.unqualified(context, text)
  local row = lookup.find(context.service.store, context.region, name)
  if not row then
    names.not_found(context.region, context.account, name)
  end
  return name, row
end

--- Raises unless `given` is nil or the revision.
---@param given string?
---@param revision string
---@param call string? the operation that tells the revision
function lookup.check_revision(given, revision, call)
  if given and given ~= revision then
    fault(412, "PreconditionFailedException", ("The Revision Id provided does not match the " ..
      "latest Revision Id. Call the %s API to retrieve the latest Revision Id")
      :format(call or "GetFunction/GetAlias"))
  end
end

return lookup
