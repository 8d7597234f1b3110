--- The library's modules have globals of their own: what a script makes of its does not touch them.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"

it("the library goes on when a script has replaced every global", function()
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write [[
    local lambdapool, print, concat = require "lambdapool", print, table.concat
    local pool <close> = lambdapool.pool { workers = 1 }
    local function double(x) return 2 * x end
    local list = { 1, 2, 3 }
    local globals, keep = _G, {}
    for name, value in pairs(globals) do keep[name] = value end
    for name in keep.next, keep do globals[name] = "nothing" end
    local results = pool:map(double, list)
    for name, value in keep.next, keep do globals[name] = value end
    print(concat(results, " "))
  ]]
  file:close()
  local pipe <close> = assert(io.popen(("%s run %s 2>&1"):format(program, path)))
  local text = pipe:read "a"
  os.remove(path)
  assert.equal("2 4 6\n", text)
end)
