--- What the coroutine library does, as a list of strings: the agent's own resume, wrap and close
--- must not differ from Lua's.
local results = {}

local function note(...)
  local values = table.pack(...)
  for i = 1, values.n do
    values[i] = (tostring(values[i]):gsub("0x%x+", "ADDRESS"))
  end
  results[#results + 1] = table.concat(values, " ")
end

local function generator(...)
  note("started", ...)
  note("resumed", coroutine.yield(1, nil, 3))
  return "done"
end

local co = coroutine.create(generator)
note(coroutine.resume(co, "a", nil))
note(coroutine.status(co))
note(coroutine.resume(co, nil, "b"))
note(coroutine.status(co))
note(coroutine.resume(co))

local f = coroutine.wrap(generator)
note(f())
note(f("c"))
note(pcall(f))

note(coroutine.resume(coroutine.create(function() error({}) end)))
note(coroutine.resume(coroutine.create(function() error("with position") end)))
note(pcall(coroutine.wrap(function() error("with position") end)))
note(pcall(coroutine.wrap(function() error("no position", 0) end)))
note(pcall(coroutine.wrap(function() error(nil) end)))
note(pcall(coroutine.wrap(function() error(setmetatable({}, { __name = "E" })) end)))
note(pcall(coroutine.resume, nil))
note(pcall(coroutine.wrap, nil))
note(pcall(coroutine.close, nil))
note(coroutine.resume(coroutine.running()))
note(pcall(coroutine.close, coroutine.running()))

local function closing(message)
  return setmetatable({}, { __close = function(_, e)
    note("closing", e, coroutine.isyieldable())
    if message then error(message, 0) end
  end })
end

local function hold(message, raise)
  return coroutine.create(function()
    local one <close> = closing(message)
    coroutine.yield(one ~= nil)
    if raise then error(raise, 0) end
  end)
end

for _, message in ipairs { false, "in close" } do
  co = hold(message)
  note(coroutine.resume(co))
  note(coroutine.close(co))
  note(coroutine.status(co))
  note(coroutine.close(co))
  co = hold(message, "raised")
  note(coroutine.resume(co))
  note(coroutine.resume(co))
  note(coroutine.close(co))
  f = coroutine.wrap(function()
    local one <close> = closing(message)
    error("raised", one and 0)
  end)
  note(pcall(f))
end

co = coroutine.create(function(self)
  note(coroutine.status(self), coroutine.isyieldable())
  local inner = coroutine.create(function()
    note(coroutine.status(self))
    note(pcall(coroutine.close, self))
    note(coroutine.resume(self))
  end)
  note(coroutine.resume(inner))
end)
note(coroutine.resume(co, co))

local deep = 0
local function nest()
  deep = deep + 1
  return coroutine.wrap(nest)()
end
note(select("#", pcall(nest)), deep > 100)
co = coroutine.create(function(...) return select("#", ...) end)
note(coroutine.resume(co, table.unpack({}, 1, 5000)))
note(pcall(coroutine.wrap(function() return table.unpack({}, 1, 10) end)))

return results
