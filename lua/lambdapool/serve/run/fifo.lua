--- A queue: what was put in first comes out first.

---@class lambdapool.serve.Fifo
---@field size integer
local methods = {}
local mt = { __name = "lambdapool.serve.Fifo", __index = methods }

---@param item any not nil
function methods:push(item)
  self.size = self.size + 1
  self[self.head + self.size] = item
end

--- The first item, which stays; nil when there is none.
function methods:first()
  return self[self.head + 1]
end

--- Takes the first item; nil when there is none.
function methods:pop()
  local item = self[self.head + 1]
  if item ~= nil then
    self[self.head + 1] = nil
    self.size = self.size - 1
    self.head = self.size > 0 and self.head + 1 or 0
  end
  return item
end

---@return lambdapool.serve.Fifo
local function new()
  return setmetatable({ head = 0, size = 0 }, mt)
end

return { new = new }
