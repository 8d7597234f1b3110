-- Draws the Mandelbrot set into a PNG file, band by band on every core. Needs no account: the
-- workers are local processes.
--
--   lambdapool run examples/mandelbrot.lua out.png [WIDTH]

local lambdapool = require "lambdapool"

local path = arg[1] or error "usage: mandelbrot.lua out.png [WIDTH]"
local width = math.tointeger(arg[2] or 768) or error "the width must be a number"
local height = width * 3 // 4
local band_height = 16
local iterations = 200

-- The picture -----------------------------------------------------------------------------------

-- How soon the point c = x + iy escapes, smoothed to a fraction; nil when it never does.
local function escape_time(x, y)
  local zx, zy = 0.0, 0.0
  for i = 1, iterations do
    zx, zy = zx * zx - zy * zy + x, 2 * zx * zy + y
    local square = zx * zx + zy * zy
    if square > 256 then
      return i - math.log(math.log(square) / math.log(256), 2)
    end
  end
end

-- Red, green and blue, each a cosine of its own phase: dark blue far outside, gold near the set.
local function color(time)
  if not time then
    return 0, 0, 0
  end
  local t = (time / iterations) ^ 0.4 * 9
  local function channel(phase)
    return math.floor(127.5 - 127.5 * math.cos(t + phase))
  end
  return channel(-0.6), channel(-0.2), channel(0.5)
end

-- The rows from `top` on as a PNG wants them: a filter byte of 0, then three bytes for each pixel.
-- This is the task. It takes the functions and numbers above along to the worker.
local function draw_band(top)
  local rows = {}
  for row = top, math.min(top + band_height, height) - 1 do
    local pixels = { "\0" }
    for column = 0, width - 1 do
      local x = (column + 0.5) / width * 3.2 - 2.2
      local y = ((row + 0.5) / height - 0.5) * 2.4
      pixels[#pixels + 1] = string.char(color(escape_time(x, y)))
    end
    rows[#rows + 1] = table.concat(pixels)
  end
  return table.concat(rows)
end

-- A small PNG encoder ---------------------------------------------------------------------------

local crc_table = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do
    crc = crc & 1 == 1 and 0xedb88320 ~ crc >> 1 or crc >> 1
  end
  crc_table[byte] = crc
end

local function crc32(data)
  local crc = 0xffffffff
  for i = 1, #data do
    crc = crc_table[(crc ~ data:byte(i)) & 0xff] ~ crc >> 8
  end
  return crc ~ 0xffffffff
end

local function adler32(data)
  local a, b = 1, 0
  for i = 1, #data do
    a = (a + data:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return b << 16 | a
end

-- zlib's container with the data as it is, in stored blocks of at most 65,535 bytes.
local function zlib_stored(data)
  local parts = { "\x78\x01" }
  for first = 1, #data, 65535 do
    local block = data:sub(first, first + 65534)
    local final = first + 65535 > #data and 1 or 0
    parts[#parts + 1] = string.pack("<BI2I2", final, #block, ~#block & 0xffff) .. block
  end
  parts[#parts + 1] = string.pack(">I4", adler32(data))
  return table.concat(parts)
end

local function png_chunk(kind, data)
  local body = kind .. data
  return string.pack(">I4", #data) .. body .. string.pack(">I4", crc32(body))
end

local function png(pixels)
  local header = string.pack(">I4I4BBBBB", width, height, 8, 2, 0, 0, 0)
  return "\x89PNG\r\n\x1a\n" .. png_chunk("IHDR", header)
    .. png_chunk("IDAT", zlib_stored(pixels)) .. png_chunk("IEND", "")
end

-- Both together ---------------------------------------------------------------------------------

local tops = {}
for top = 0, height - 1, band_height do
  tops[#tops + 1] = top
end

local pool <close> = lambdapool.pool {}
local bands = pool:map(draw_band, tops, { chunksize = 1 })

local file <close> = assert(io.open(path, "wb"))
assert(file:write(png(table.concat(bands))))
print(("%s: %d x %d pixels"):format(path, width, height))
