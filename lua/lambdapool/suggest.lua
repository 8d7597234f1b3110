--- Finds the name that was probably meant: for options, commands and flags.

-- Levenshtein's distance, row by row.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal = row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

--- The name nearest to `name`, or nil when none is near: at most a third of its letters may differ.
---@param name string
---@param names string[]
---@return string?
local function nearest(name, names)
  local best, least = nil, math.max(1, #name // 3) + 1
  for _, candidate in ipairs(names) do
    local d = distance(name, candidate)
    if d < least then
      best, least = candidate, d
    end
  end
  return best
end

--- Words to put behind a complaint about `name`: ", did you mean 'workers'?", or nothing.
---@param name string
---@param names string[]
---@return string
local function hint(name, names)
  local best = nearest(name, names)
  return best and (", did you mean '%s'?"):format(best) or ""
end

return { nearest = nearest, hint = hint }
