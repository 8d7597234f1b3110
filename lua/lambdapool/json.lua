--- JSON as the protocols around us use it. The work is done in C (host/json_*.c).
local native = require "lambdapool.json.native"

--- Decodes a JSON text. `null` is json.null, whole numbers are integers, and empty arrays stay
--- arrays when they are encoded again.
---@param text string
---@return any value nil when the text is not JSON
---@return string? message
local function decode(text)
  local ok, value = pcall(native.decode, text)
  if not ok then
    return nil, value
  end
  return value
end

return {
  decode = decode,

  --- The JSON text of a value, with the members of objects in the order of their names. A table
  --- whose keys are positive integers is an array, every other one an object, also the empty one.
  --- Raises for what JSON cannot say.
  ---@type fun(value: any): string
  encode = native.encode,

  --- Marks a table as an array, which matters when it is empty. It gets a metatable.
  ---@type fun(list: table): table
  array = native.array,

  --- Whether a text is JSON: true, or nil and what is wrong in the words of AWS Lambda.
  ---@type fun(text: string): boolean?, string?
  check = native.check,

  --- What stands for null in tables.
  null = require "cjson".null,
}
