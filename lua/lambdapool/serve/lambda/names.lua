--- Names of functions and layers. Clients may write a function as `name`, `name:qualifier`,
--- `123456789012:function:name`, or as a whole ARN; everything else of the service knows only the
--- name, the qualifier and the region.

local fault = require "lambdapool.serve.fault"

local names = {}

-- The patterns as AWS prints them. Names of namespaced functions may hold dots.
local FUNCTION = "(arn:(aws[a-zA-Z-]*)?:lambda:)?" ..
  "([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)" ..
  "(:(\\$LATEST|[a-zA-Z0-9-_]+))?"
local NAMESPACED = "(arn:(aws[a-zA-Z-]*)?:lambda:)?" ..
  "([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)" ..
  "(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
local QUALIFIER = "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"

names.patterns = { name = FUNCTION, namespaced = NAMESPACED, qualifier = QUALIFIER }

local LONGEST_NAME = 64

-- The optional parts in front of a name, in their order: what is taken, and under which key.
local PREFIXES = {
  { "^arn:(aws[%a-]*):lambda:", "partition" },
  { "^arn::lambda:", "partition" },
  { "^(%l%l%-%l+%-%d):", "region" },
  { "^(%l%l%-gov%-%l+%-%d):", "region" },
  { "^(%l%l%-iso%l?%-%l+%-%d):", "region" },
  { "^(%d%d%d%d%d%d%d%d%d%d%d%d):", "account" },
  { "^function:", "kind" },
}

local function split_qualified(text, found)
  local name, qualifier = text:match "^([%w_.-]+):(.+)$"
  name = name or text:match "^[%w_.-]+$"
  if not name or qualifier and qualifier ~= "$LATEST" and qualifier:find "[^%w_-]" then
    return nil
  end
  found.name, found.qualifier = name, qualifier
  return found
end

-- As a regular expression would: every optional part is taken if the rest still fits after it.
local function split_from(i, text, found)
  local prefix = PREFIXES[i]
  if not prefix then
    return split_qualified(text, found)
  end
  local _, last, value = text:find(prefix[1])
  if last and found[prefix[2]] == nil then
    found[prefix[2]] = value or ""
    local result = split_from(i + 1, text:sub(last + 1), found)
    if result then
      return result
    end
    found[prefix[2]] = nil
  end
  return split_from(i + 1, text, found)
end

---@class lambdapool.serve.Name
---@field name string
---@field qualifier string?
---@field partition string?
---@field region string?
---@field account string?

--- Takes a function's name apart; nil when it is none.
---@param text string
---@return lambdapool.serve.Name?
function names.split(text)
  return split_from(1, text, {})
end

--- How AWS words that a member's value breaks a rule.
---@param value string
---@param member string with a lower-case first letter, as "ephemeralStorage.size"
---@param rule string "Member must ..."
---@return string
function names.violation(value, member, rule)
  value = utf8.len(value) and value or value:gsub("[\x80-\xff]", "?") -- it becomes JSON
  return ("Value '%s' at '%s' failed to satisfy constraint: %s"):format(value, member, rule)
end

--- What is wrong with the name of a function and with its qualifier, added to `violations`.
---@param violations string[]
---@param text string
---@param qualifier string?
---@param namespaced boolean? dots are allowed
function names.check(violations, text, qualifier, namespaced)
  local found = names.split(text)
  local longest = namespaced and 256 or 140
  local function add(value, member, rule)
    violations[#violations + 1] = names.violation(value, member, "Member must " .. rule)
  end
  if not found or not namespaced and found.name:find(".", 1, true) then
    add(text, "functionName", "satisfy regular expression pattern: " ..
      (namespaced and NAMESPACED or FUNCTION))
  elseif #found.name > LONGEST_NAME then
    add(text, "functionName", "have length less than or equal to " .. LONGEST_NAME)
  end
  if text == "" then
    add(text, "functionName", "have length greater than or equal to 1")
  elseif #text > longest then
    add(text, "functionName", "have length less than or equal to " .. longest)
  end
  if qualifier and (qualifier == "" or qualifier:find "[^%w$_-]") then
    add(qualifier, "qualifier", "satisfy regular expression pattern: " .. QUALIFIER)
  end
  if qualifier and #qualifier > 128 then
    add(qualifier, "qualifier", "have length less than or equal to 128")
  end
end

--- The partition that a region belongs to.
---@param region string
---@return string
function names.partition(region)
  return region:find "^cn%-" and "aws-cn" or region:find "^us%-gov%-" and "aws-us-gov" or "aws"
end

---@param region string
---@param account string
---@param name string
---@param qualifier string?
---@return string
function names.function_arn(region, account, name, qualifier)
  return ("arn:%s:lambda:%s:%s:function:%s%s"):format(names.partition(region), region, account,
    name, qualifier and ":" .. qualifier or "")
end

---@param version integer?
---@return string
function names.layer_arn(region, account, name, version)
  return ("arn:%s:lambda:%s:%s:layer:%s%s"):format(names.partition(region), region, account, name,
    version and (":%d"):format(version) or "")
end

--- Raises the fault of a function that does not exist.
function names.not_found(region, account, name, qualifier)
  fault(404, "ResourceNotFoundException",
    "Function not found: " .. names.function_arn(region, account, name, qualifier))
end

--- Which function is meant, in the region that was asked. Raises faults for names that are
--- malformed, that lie elsewhere, or whose qualifier is not the one given besides.
---@param context { region: string, account: string }
---@param text string
---@param qualifier string?
---@param namespaced boolean? dots are allowed
---@return string name
---@return string? qualifier
function names.locate(context, text, qualifier, namespaced)
  local violations = {}
  names.check(violations, text, qualifier, namespaced)
  if violations[1] then
    fault.validation(violations)
  end
  local found = names.split(text)
  if found.region and found.region ~= context.region then
    fault(404, "ResourceNotFoundException",
      ("Functions from '%s' are not reachable in this region ('%s')"):format(found.region,
        context.region))
  elseif found.account and found.account ~= context.account then
    names.not_found(context.region, found.account, found.name, qualifier or found.qualifier)
  elseif qualifier and found.qualifier and qualifier ~= found.qualifier then
    fault.invalid("The derived qualifier from the function name does not match the specified " ..
      "qualifier.")
  end
  return found.name, qualifier or found.qualifier
end

---@class lambdapool.serve.LayerName
---@field name string
---@field version integer?
---@field region string?
---@field account string?

--- Takes `name`, the ARN of a layer, or that of a version of a layer apart; nil when it is neither.
---@param text string
---@return lambdapool.serve.LayerName?
function names.split_layer(text)
  if text:find "^[%w_-]+$" then
    return { name = text }
  end
  local region, account, rest =
    text:match "^arn:[%w-]+:lambda:([%w-]+):(%d%d%d%d%d%d%d%d%d%d%d%d):layer:(.+)$"
  if not region then
    return nil
  end
  local name, version = rest:match "^([%w_-]+):(%d+)$"
  name = name or rest:match "^[%w_-]+$"
  return name and { name = name, version = math.tointeger(tonumber(version)), region = region,
    account = account }
end

return names
