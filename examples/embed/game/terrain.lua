--- The tiles of the game: heights from fractal noise that erodes, sunlight with shadows, colours.
--
-- Every tile is computed from its place and the seed alone, so tiles can be baked in any order, by
-- any worker, and still fit together without a seam.

local terrain = {}

local SIZE = 128 -- texels along an edge; one texel is one metre
local REACH = 32 -- how far shadows are looked for
local LEFT, RIGHT = -REACH, SIZE -- the columns and rows of heights that one tile needs
local SEA = 44 -- metres of the terrain that are under water
local PEAK = 260 -- metres of the highest mountains that could be, from the bottom of the sea
local SLOPE = 0.62 -- metres that sunlight falls along the diagonal of a texel

-- Noise -----------------------------------------------------------------------------------------

-- A number from 0 to 1 for a point with whole coordinates, the same one always.
local function hash(x, y, seed)
  local h = x * 0x27d4eb2f165667c5 ~ y * 0x165667b19e3779f9 ~ seed * 0x2545f4914f6cdd1d
  h = (h ~ h >> 32) * 0x9e3779b97f4a7c15
  h = (h ~ h >> 29) * 0x3f58476d1ce4e5b9
  return (h ~ h >> 32) % 0x100000000 / 0x100000000
end

-- For each cell size, the curve that leads from one lattice point to the next, and its slope.
local curves, slopes = {}, {}
for octave = 2, 9 do
  local cell = 1 << octave
  local curve, slope = {}, {}
  for i = 0, cell - 1 do
    local t = i / cell
    curve[i] = t * t * t * (t * (t * 6 - 15) + 10)
    slope[i] = 30 * t * t * (t * (t - 2) + 1)
  end
  curves[cell], slopes[cell] = curve, slope
end

-- Adds an octave of noise to a row of heights. `dx` and `dy` sum up the slopes: where they are
-- steep already finer octaves count for less, which is what running water does to mountains.
local function add_octave(row, dx, dy, x, y, cell, amplitude, seed)
  local curve, slope = curves[cell], slopes[cell]
  local cell_y, in_y = y // cell, y % cell
  local v, dv = curve[in_y], slope[in_y]
  local column = LEFT
  while column <= RIGHT do
    local cell_x, first = (x + column) // cell, (x + column) % cell
    local a, b = hash(cell_x, cell_y, seed), hash(cell_x + 1, cell_y, seed)
    local c, d = hash(cell_x, cell_y + 1, seed), hash(cell_x + 1, cell_y + 1, seed)
    local base, rise = a + (c - a) * v, (b - a) + (a - b - c + d) * v
    local side, twist = (c - a) * dv, (a - b - c + d) * dv
    local last = math.min(cell - 1, first + RIGHT - column)
    for i = first, last do
      local u = curve[i]
      local sx, sy = dx[column] + rise * slope[i], dy[column] + side + twist * u
      dx[column], dy[column] = sx, sy
      row[column] = row[column] + amplitude * (base + rise * u) / (1 + sx * sx + sy * sy)
      column = column + 1
    end
  end
end

-- A row of heights in metres above the sea, or below it.
local function height_row(x, y, seed)
  local row, dx, dy = {}, {}, {}
  for column = LEFT, RIGHT do
    row[column], dx[column], dy[column] = 0, 0, 0
  end
  local amplitude, cell = PEAK / 2, 512
  for octave = 1, 8 do
    -- Octaves are shifted, or their lattice points would meet, and be seen.
    local shift = octave * 45
    add_octave(row, dx, dy, x + shift, y + shift, cell, amplitude, seed + octave)
    amplitude, cell = amplitude / 2, cell // 2
  end
  for column = LEFT, RIGHT do
    row[column] = row[column] - SEA
  end
  return row
end

-- Light -----------------------------------------------------------------------------------------

local DISTANCES = { 2, 4, 7, 11, 16, 23, REACH }

-- How much of the sun a point at `height` sees, from 0 to 1. The sun is in the north-west, up and
-- to the left: a ray goes there, and hills are in its way or not.
local function sunlight(rows, x, y, height)
  local over = 0
  for i = 1, #DISTANCES do
    local distance = DISTANCES[i]
    local hill = rows[y - distance][x - distance] - height - SLOPE * distance
    if hill > over * distance then
      over = hill / distance
    end
  end
  return over < 0.25 and 1 - 4 * over or 0
end

-- How bright a slope is in that light, which falls along (1, 1, -SLOPE).
local LIGHT = 1 / math.sqrt(2 + SLOPE * SLOPE)
local function brightness(slope_x, slope_y)
  local facing = (slope_x + slope_y + SLOPE) * LIGHT
  return facing > 0 and facing / math.sqrt(1 + slope_x * slope_x + slope_y * slope_y) or 0
end

-- Colours ---------------------------------------------------------------------------------------

-- Lists of { metres, red, green, blue }, lowest first.
local function palette(points)
  local red, green, blue = {}, {}, {}
  for i = 1, #points - 1 do
    local from, to = points[i], points[i + 1]
    for metres = from[1], to[1] do
      local part = (metres - from[1]) / (to[1] - from[1])
      red[metres] = from[2] + (to[2] - from[2]) * part
      green[metres] = from[3] + (to[3] - from[3]) * part
      blue[metres] = from[4] + (to[4] - from[4]) * part
    end
  end
  return { lowest = points[1][1], highest = points[#points][1], red, green, blue }
end

local water = palette { { -60, 12, 40, 78 }, { -18, 20, 66, 104 }, { -4, 52, 122, 140 },
  { 0, 120, 172, 164 } }
local flat = palette { { -1, 196, 180, 138 }, { 3, 212, 194, 146 }, { 6, 122, 138, 70 },
  { 24, 92, 124, 58 }, { 46, 58, 92, 48 }, { 70, 92, 104, 66 }, { 86, 134, 126, 110 },
  { 98, 236, 240, 246 }, { 230, 250, 252, 255 } }
local steep = palette { { -1, 158, 138, 108 }, { 20, 110, 98, 78 }, { 80, 112, 104, 98 },
  { 130, 140, 136, 136 }, { 230, 200, 202, 208 } }

local function pick(colors, metres)
  local index = math.floor(metres)
  if index < colors.lowest then
    index = colors.lowest
  elseif index > colors.highest then
    index = colors.highest
  end
  return colors[1][index], colors[2][index], colors[3][index]
end

-- Blue, green and red of a point, each from 0 to 255.
local function color(rows, x, y)
  local row, height = rows[y], rows[y][x]
  local above, below = rows[y - 1][x], rows[y + 1][x]
  local light = sunlight(rows, x, y, height > 0 and height or 0)
  if height <= 0 then
    local red, green, blue = pick(water, height)
    local shade = 0.72 + 0.28 * light
    return blue * shade // 1, green * shade // 1, red * shade // 1
  end
  local slope_x, slope_y = (row[x + 1] - row[x - 1]) / 2, (below - above) / 2
  local hollow = (above + below + row[x - 1] + row[x + 1]) / 4 - height
  local red, green, blue = pick(flat, height + hollow * 14)
  local rock = (slope_x * slope_x + slope_y * slope_y - 0.35) * 1.6
  if rock > 0 then
    local r, g, b = pick(steep, height)
    rock = rock < 1 and rock or 1
    red, green, blue = red + (r - red) * rock, green + (g - green) * rock, blue + (b - blue) * rock
  end
  local sun = light * brightness(slope_x, slope_y)
  local sky = 0.42 - hollow * 0.12
  red, green = red * (sky + sun * 1.12), green * (sky + sun)
  blue = blue * (sky * 1.12 + sun * 0.82)
  return math.min(math.max(blue, 0), 255) // 1, math.min(math.max(green, 0), 255) // 1,
    math.min(math.max(red, 0), 255) // 1
end

-- A row of texels, four bytes each: blue, green, red, and the height in metres.
local function texel_row(rows, y)
  local bytes, n = {}, 0
  for x = 0, SIZE - 1 do
    local height = rows[y][x]
    local blue, green, red = color(rows, x, y)
    bytes[n + 1], bytes[n + 2], bytes[n + 3] = blue, green, red
    bytes[n + 4] = height > 0 and math.min(height, 255) // 1 or 0
    n = n + 4
  end
  return string.char(table.unpack(bytes))
end

--- Bakes the tile in column `x`, row `y` of the world: 128 rows of 128 texels, 64 KB.
---@param x integer
---@param y integer
---@param seed integer
---@return string texels
function terrain.bake(x, y, seed)
  local rows = {}
  for row = LEFT, RIGHT do
    rows[row] = height_row(x * SIZE, y * SIZE + row, seed)
  end
  local texels = {}
  for row = 0, SIZE - 1 do
    texels[row + 1] = texel_row(rows, row)
  end
  return table.concat(texels)
end

return terrain
