-- Fibonacci numbers, the slow way, on every core. Needs no account: the workers are local.
--
--   lambdapool run examples/fibonacci.lua [N]

local lambdapool = require "lambdapool"

local function fibonacci(n)
  return n < 2 and n or fibonacci(n - 1) + fibonacci(n - 2)
end

local last = math.tointeger(arg[1] or 27) or error "usage: fibonacci.lua [N]"

local numbers = {}
for n = 1, last do
  numbers[n] = n
end

-- The last numbers take longest, so each travels alone.
local pool <close> = lambdapool.pool {}
for n, value in pool:imap(fibonacci, numbers) do
  print(("fibonacci(%d) = %d"):format(n, value))
end
