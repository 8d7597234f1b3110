-- Has the pool draw a picture of the Mandelbrot set while frames go on: a script for host_lua.c.
-- Needs no account: the workers are local processes.

local lambdapool = require "lambdapool"

local width, height = 72, 24
local pool = lambdapool.pool {}
local rows, left = {}, height

-- The task: one row of the picture.
local function draw_row(y)
  local shades, row = " .:-=+*#%@", {}
  for x = 1, width do
    local cx, cy = x / width * 3.2 - 2.3, (y - 0.5) / height * 2.4 - 1.2
    local zx, zy, n = 0.0, 0.0, 0
    while n < 20000 and zx * zx + zy * zy < 4 do
      zx, zy, n = zx * zx - zy * zy + cx, 2 * zx * zy + cy, n + 1
    end
    local shade = n == 20000 and 10 or n % 9 + 1
    row[x] = shades:sub(shade, shade)
  end
  return table.concat(row)
end

for y = 1, height do
  pool:apply_async(draw_row, { y }, nil, function(row)
    rows[y], left = row, left - 1
  end, error)
end

-- A frame: a game would draw here. The callbacks run before it, in lambdapool.poll.
return function(number)
  if left > 0 then
    return true
  end
  pool:terminate()
  print(table.concat(rows, "\n"))
  print(("%d rows, drawn in %d frames"):format(height, number))
end
