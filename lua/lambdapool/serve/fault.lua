--- Faults: the errors that operations answer with. They are raised as tables, so that no operation
--- has to hand them through; the front turns them into the bytes of the protocol that was asked.
---
---     local fault = require "lambdapool.serve.fault"
---     fault(404, "ResourceNotFoundException", "Function not found: " .. arn)

---@class lambdapool.serve.Fault
---@field status integer the HTTP status
---@field type string the name of the exception
---@field message string
---@field fields table? further members of the JSON body
---@field headers table? further headers of the answer
local mt = { __name = "lambdapool.serve.Fault" }

function mt.__tostring(self)
  return ("%s: %s"):format(self.type, self.message)
end

-- What AWS calls the member with the text differs from exception to exception, and those that the
-- front of the service raises before an operation is chosen have no Type.
local MESSAGE = {
  CodeSigningConfigNotFoundException = true,
  InvalidCodeSignatureException = true,
  InvalidRuntimeException = true,
  InvalidZipFileException = true,
  RecursiveInvocationException = true,
  ResourceInUseException = true,
  ResourceNotFoundException = true,
  ServiceException = true,
}

local UNMODELLED = {
  AccessDeniedException = true,
  ExpiredTokenException = true,
  IncompleteSignatureException = true,
  InvalidSignatureException = true,
  MissingAuthenticationTokenException = true,
  RequestEntityTooLargeException = true,
  SerializationException = true,
  UnknownOperationException = true,
  UnrecognizedClientException = true,
  ValidationException = true,
}

local fault = {}

--- The fault itself, for those that hand it on without raising.
---@return lambdapool.serve.Fault
function fault.new(status, type, message, fields, headers)
  return setmetatable({
    status = status, type = type, message = message, fields = fields, headers = headers,
  }, mt)
end

--- Whether an error that was caught is a fault, as opposed to a bug or a failure of the world.
---@return boolean
function fault.is(value)
  return getmetatable(value) == mt
end

--- The members of the JSON body, with the casing that AWS uses for this exception.
---@param self lambdapool.serve.Fault
---@return table
function fault.body(self)
  local body = {}
  for name, value in pairs(self.fields or {}) do
    body[name] = value
  end
  if not UNMODELLED[self.type] then
    body.Type = self.status < 500 and "User" or "Service"
  end
  body[MESSAGE[self.type] and "Message" or "message"] = self.message
  return body
end

--- Raises one ValidationException for all of `violations`, each of them
--- "Value '...' at '...' failed to satisfy constraint: Member must ...".
---@param violations string[]
function fault.validation(violations)
  local text = ("%d validation error%s detected: %s"):format(#violations,
    #violations == 1 and "" or "s", table.concat(violations, "; "))
  error(fault.new(400, "ValidationException", text), 0)
end

--- Raises a 400 InvalidParameterValueException, the commonest of all.
---@param message string
function fault.invalid(message, ...)
  error(fault.new(400, "InvalidParameterValueException",
    select("#", ...) > 0 and message:format(...) or message), 0)
end

return setmetatable(fault, {
  --- Raises: fault(status, type, message [, fields [, headers]]).
  __call = function(_, ...)
    error(fault.new(...), 0)
  end,
})
