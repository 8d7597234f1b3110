--- Work for the processor: 1,200 rows of a Mandelbrot set. `lua5.4 cpu.lua 1` and `lua5.4 cpu.lua
--- 2` do half of them each; without an argument a pool of two workers does them all.
local HEIGHT, WIDTH, DEPTH = 1200, 1200, 400

local function row(y)
  local inside, ci = 0, y * 2.4 / HEIGHT - 1.2
  for x = 1, WIDTH do
    local cr, zr, zi, n = x * 3.2 / WIDTH - 2.2, 0.0, 0.0, 0
    while n < DEPTH and zr * zr + zi * zi < 4 do
      zr, zi, n = zr * zr - zi * zi + cr, 2 * zr * zi + ci, n + 1
    end
    inside = inside + n
  end
  return inside
end

local sum = 0
if arg[1] then
  for y = tonumber(arg[1]), HEIGHT, 2 do
    sum = sum + row(y)
  end
else
  local pool <close> = require "lambdapool".pool { workers = 2 }
  local rows = {}
  for y = 1, HEIGHT do
    rows[y] = y
  end
  for _, inside in ipairs(pool:map(row, rows)) do
    sum = sum + inside
  end
end
print(sum)
