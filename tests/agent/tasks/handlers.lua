--- Handlers for tests/agent/agent_spec.lua: each is run by the real agent.
local M = {}

function M.echo(event)
  return event
end

function M.none() end

function M.print()
  print("one")
  io.write("two ")
  io.stdout:write("three")
  io.stderr:write("four\n")
end

function M.warn()
  warn("off at first")
  warn("@on")
  warn("in ", "two ", "parts")
  warn("@off")
  warn("off again")
  warn("@on")
end

function M.context(_, context)
  local now = os.time() * 1000
  context.remaining_is_a_number = math.type(context.remaining_ms())
  context.remaining_fits = math.abs(now + context.remaining_ms() - context.deadline_ms) < 2000
  context.remaining_ms = nil
  context.environment = os.getenv("_X_AMZN_TRACE_ID")
  return context
end

function M.no_deadline(_, context)
  return { context.deadline_ms == nil, context.remaining_ms() == math.huge }
end

function M.numbers(event)
  local kinds = {}
  for i, value in ipairs(event) do
    kinds[i] = math.type(value)
  end
  return { kinds = kinds, sum = event[1] + 1, big = 123456789012345678, tenth = 0.1 + 0.2,
    whole = 3.0, smallest = math.mininteger }
end

function M.raise(event)
  local values = {
    string = "text",
    readable = setmetatable({}, { __tostring = function() return "a readable error" end }),
    broken = setmetatable({}, { __tostring = function() error("no") end }),
    table = {},
    ["function"] = print,
    boolean = false,
  }
  error(values[event.kind])
end

function M.cannot_encode(event)
  local cycle = {}
  cycle[1] = cycle
  local values = { ["function"] = print, nan = 0 / 0, cycle = cycle, key = { [{}] = 1 },
    sparse = { [1] = 1, [1000] = 2 } }
  return { values[event.kind] }
end

function M.loop()
  while true do end
end

function M.loop_in_coroutine()
  coroutine.wrap(function()
    while true do end
  end)()
end

function M.loop_in_pcall()
  while true do
    pcall(M.loop)
  end
end

function M.fill()
  local list = {}
  while true do
    table.insert(list, { #list })
  end
end

function M.fill_by_strings()
  local text = "x"
  while true do
    text = text .. text
  end
end

function M.fill_in_coroutine()
  coroutine.wrap(M.fill)()
end

function M.exit(event)
  io.write("last words")
  os.exit(event.code, event.close)
end

function M.big(event)
  return ("x"):rep(event.size)
end

function M.count()
  M.counter = (M.counter or 0) + 1
  return M.counter
end

function M.grandchild(event)
  os.execute("sleep 60 & echo $! > " .. event.file .. "; wait")
end

--- Runs the function that the event names.
function M.any(event, context)
  return M[event.run](event, context)
end

M.not_a_function = 42

return M
