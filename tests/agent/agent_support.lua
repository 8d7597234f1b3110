--- What specs of the agent share: the real program against a scripted Runtime API (rapi.c).
local build = os.getenv("LAMBDAPOOL_BUILD") or "build"
local tasks = os.getenv("PWD") .. "/tests/agent/tasks"
local codec = require "lambdapool.codec"

local support = { build = build, tasks = tasks }

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end
support.quote = quote

function support.write(name, text)
  local file = assert(io.open(name, "wb"))
  file:write(text)
  file:close()
  return name
end

local folder, files = nil, 0

--- Makes the folder of a spec.
---@return string
function support.open()
  local pipe = assert(io.popen("mktemp -d"))
  folder = pipe:read("l")
  pipe:close()
  return folder
end

function support.close()
  os.execute("rm -r " .. quote(folder))
end

--- A file of `text` in the folder of this spec.
function support.file_of(text)
  files = files + 1
  return support.write(folder .. "/" .. files, text)
end

--- The script's line for an event.
function support.event(text, deadline, id)
  return ("event %s %d %s"):format(id or "id-1", deadline or 0, support.file_of(text))
end

--- The command line that plays a script.
function support.command(script, environment)
  local words = { build .. "/tests/rapi", support.file_of(table.concat(script, "\n") .. "\n"),
    build .. "/bootstrap" }
  environment.LAMBDA_TASK_ROOT = environment.LAMBDA_TASK_ROOT or tasks
  for name, value in pairs(environment) do
    words[#words + 1] = name .. "=" .. value
  end
  for i, word in ipairs(words) do
    words[i] = quote(word)
  end
  return table.concat(words, " ")
end

--- Plays a script; returns the requests that came, with `output`, `code` and `signal`.
function support.play(script, environment)
  local pipe = assert(io.popen(support.command(script, environment or {})))
  local text = pipe:read("a")
  assert(pipe:close(), "rapi failed: " .. text)
  return assert(load(text, "=rapi", "t", {}))()
end

--- Requests that run f on items `first` to `last` each, as lines of a script.
function support.calls(code, list, ranges, options)
  local script, origins = {}, {}
  for i, range in ipairs(ranges) do
    local request
    request, origins[i] = codec.request(code, list, range[1], range[2], options)
    script[2 * i - 1], script[2 * i] = support.event(request), "post 202"
  end
  return script, origins
end

return support
