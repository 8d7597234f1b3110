--- The handlers that the runtime is measured with: `events.nothing` and `events.echo`.
local function nothing()
end

local function echo(event)
  return event
end

return { nothing = nothing, echo = echo }
