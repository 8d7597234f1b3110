--- Cross-origin requests to function URLs: what their configuration lets browsers do.
local cors = {}

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == "*" or item:lower() == value:lower() then
      return true
    end
  end
  return false
end

local function joined(list)
  return list and list[1] and table.concat(list, ",") or nil
end

--- The headers of an answer to a request from `origin`; empty when it is not allowed.
---@param config table? Cors of the function URL
---@param origin string?
---@return table<string, string>
function cors.headers(config, origin)
  if not config or not origin or not contains(config.AllowOrigins, origin) then
    return {}
  end
  local any = contains(config.AllowOrigins, "*") and not config.AllowCredentials
  return {
    ["access-control-allow-origin"] = any and "*" or origin,
    ["access-control-allow-credentials"] = config.AllowCredentials and "true" or nil,
    ["access-control-expose-headers"] = joined(config.ExposeHeaders),
    ["vary"] = not any and "Origin" or nil,
  }
end

--- Whether a browser only asks what it may do. Such requests do not reach the function.
---@return boolean
function cors.is_preflight(config, request)
  return config ~= nil and request:method() == "OPTIONS" and request:header "origin" ~= nil
    and request:header "access-control-request-method" ~= nil
end

--- The headers that tell it.
---@return table<string, string>
function cors.preflight(config, request)
  local headers = cors.headers(config, request:header "origin")
  if headers["access-control-allow-origin"] then
    headers["access-control-allow-methods"] = joined(config.AllowMethods)
    headers["access-control-allow-headers"] = joined(config.AllowHeaders)
    headers["access-control-max-age"] = config.MaxAge and ("%d"):format(config.MaxAge) or nil
  end
  return headers
end

return cors
