--- Finds the name that was probably meant: for options, commands and flags.

-- The edit distance of two words; swapping two neighbours is one edit. rows[i][j] is the distance
-- between the first i letters of `a` and the first j of `b`.
local function distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do
    rows[0][j] = j
  end
  for i = 1, #a do
    local row, above = { [0] = i }, rows[i - 1]
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], rows[i - 2][j - 2] + 1)
      end
    end
    rows[i] = row
  end
  return rows[#a][#b]
end

-- Fewer letters are the beginning of too much.
local FEWEST = 4

-- The only name that begins with `name`.
local function completed(name, names)
  local found
  for _, candidate in ipairs(#name >= FEWEST and names or {}) do
    if candidate:sub(1, #name) == name then
      if found then
        return nil
      end
      found = candidate
    end
  end
  return found
end

--- The name nearest to `name`, or nil when none is near: at most a third of its letters may differ,
--- or it is the beginning of one.
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
  return best or completed(name, names)
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
