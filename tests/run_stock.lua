--- Runs busted specs in Debian's lua5.4, where lambdapool is a module:
--- `lua5.4 tests/run_stock.lua -o TAP FILE_spec.lua`. Specs also require parts of it, which there
--- only its own code can; here they can, too.
package.cpath = os.getenv "LAMBDAPOOL_BUILD" .. "/?.so;" .. package.cpath
local lambdapool = require "lambdapool"

-- Specs load chunks under names of all kinds. Nobody sees that here; so they say it.
local plain = load
function load(chunk, name, ...) -- luacheck: ignore
  if type(chunk) == "string" and type(name) == "string" then
    lambdapool.remember(name, chunk)
  end
  return plain(chunk, name, ...)
end

local require_own = debug.getregistry().lambdapool.require
table.insert(package.searchers, 2, function(name)
  if name:find "^lambdapool%." then
    return function() return require_own(name) end
  end
end)

dofile "tests/run_busted.lua"
