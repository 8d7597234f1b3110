--- Things under way: those that come and go all the time, in no order. A table with the things as
--- keys would be made anew whenever its free entries are used up, which are few when there are
--- about as many things as a power of two: then each one that comes costs as much as all of them.
--- Here each thing has its place in a list in its field `place`; so it is in one bag at most.

---@class lambdapool.Bag
---@field count integer the things are bag[1] to bag[count]; walk backwards when some may be removed
local methods = {}
local mt = { __name = "lambdapool.Bag", __index = methods }

---@param thing table
function methods:add(thing)
  local place = self.count + 1
  self.count, self[place], thing.place = place, thing, place
end

--- Takes out a thing that is in it.
---@param thing table
function methods:remove(thing)
  local count = self.count
  local last = self[count]
  self[thing.place], last.place = last, thing.place
  self[count], self.count, thing.place = nil, count - 1, nil
end

---@return lambdapool.Bag
local function new()
  return setmetatable({ count = 0 }, mt)
end

return { new = new }
