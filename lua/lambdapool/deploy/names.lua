--- Names: of functions, layers and roles, what they must look like and what is derived from them.

local crypto = require "lambdapool.crypto"
local problem = require "lambdapool.deploy.problem"

local LONGEST_ROLE = 64

local names = {
  CREATOR = "lambdapool", -- the tag `creator` of all that is made here
  PATH = "/lambdapool/", -- of roles
  MARK = "lambdapool:creation", -- the tag that tells one creation from others
}

--- Raises when `name` cannot be that of a function.
---@param name any
---@return string
function names.check_function(name)
  if type(name) == "string" and #name <= 64 and name:find "^[%w_-]+$" then
    return name
  elseif type(name) == "string" and name:find "^arn:" then
    problem.raise(problem.USAGE, "'%s' is an ARN, and the function's name is wanted", name)
  end
  problem.raise(problem.USAGE, "'%s' cannot be the name of a function\n  a name has 1 to 64 " ..
    "letters, digits, - and _", tostring(name))
end

--- The name of a function in all that Lambda takes for it: NAME, NAME:ALIAS, and ARNs. Raises when
--- it is none of these.
---@param text string
---@return string
function names.bare(text)
  local rest = text:match "^arn:[%w-]+:lambda:[%w-]+:%d+:function:(.+)$"
    or text:match "^%d+:function:(.+)$" or text
  local name = rest:match "^[%w_-]+$" or rest:match "^([%w_-]+):[%w_$-]+$"
  if not name then
    problem.raise(problem.USAGE, "'%s' is not the name of a function\n  it is NAME, NAME:ALIAS " ..
      "or an ARN; a name has letters, digits, - and _", text)
  end
  return name
end

--- Raises when `name` cannot be that of a layer.
---@param name any
---@return string
function names.check_layer(name)
  if type(name) == "string" and #name <= 64 and name:find "^[%w_-]+$" then
    return name
  end
  problem.raise(problem.USAGE, "'%s' cannot be the name of a layer\n  a name has 1 to 64 " ..
    "letters, digits, - and _", tostring(name))
end

--- The name of the role that is made for a function. Names that would be too long for IAM end in
--- a digest.
---@param name string
---@return string
function names.role(name)
  local role = "lambdapool-" .. name
  if #role <= LONGEST_ROLE then
    return role
  end
  local digest = crypto.sha256(name):sub(1, 8)
  return role:sub(1, LONGEST_ROLE - #digest - 1) .. "-" .. digest
end

---@param name string
---@return string
function names.log_group(name)
  return "/aws/lambda/" .. name
end

---@param text any
---@return boolean
function names.is_role_arn(text)
  local pattern = "^arn:aws[%a-]*:iam::%d%d%d%d%d%d%d%d%d%d%d%d:role/[%w_+=,.@/-]*[%w_+=,.@-]$"
  return type(text) == "string" and text:find(pattern) ~= nil
end

---@class lambdapool.deploy.LayerArn
---@field layer string the ARN without the version
---@field region string
---@field name string
---@field version string

--- Takes the ARN of a version of a layer apart; nil when it is none.
---@param text any
---@return lambdapool.deploy.LayerArn?
function names.split_layer(text)
  if type(text) ~= "string" or #text > 140 then
    return nil
  end
  local layer, version = text:match "^(arn:[%w-]+:lambda:[%w-]+:%d+:layer:[%w_-]+):(%d+)$"
  local region, account, name = (layer or ""):match "^arn:[%w-]+:lambda:([%w-]+):(%d+):layer:(.+)$"
  if not account or #account ~= 12 then
    return nil
  end
  return { layer = layer, region = region, name = name, version = version }
end

--- The partition, account and last part of an ARN.
---@param arn string
---@return string? partition
---@return string? account
---@return string? name
function names.split_arn(arn)
  return arn:match "^arn:([^:]+):[^:]+:[^:]*:(%d+):.-([^/:]+)$"
end

return names
