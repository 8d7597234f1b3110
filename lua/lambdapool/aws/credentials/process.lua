--- Credentials that a program prints: `credential_process` of a profile.

local command = require "lambdapool.command"
local completion = require "lambdapool.completion"
local flow = require "lambdapool.flow"
local json = require "lambdapool.json"
local refusals = require "lambdapool.aws.refusal"
local trouble = require "lambdapool.aws.credentials.trouble"

-- It may ask somebody in a browser.
local SECONDS = 300

-- What is behind a double quote, and the place behind the one that ends it.
local function quoted(line, i)
  local out = {}
  while i <= #line do
    local c, following = line:sub(i, i), line:sub(i + 1, i + 1)
    if c == '"' then
      return table.concat(out), i + 1
    elseif c == "\\" and (following == '"' or following == "\\") then
      c, i = following, i + 1
    end
    out[#out + 1], i = c, i + 1
  end
end

-- What stands at one place of a word, and the place behind it; nil when something is missing.
local function piece(line, i)
  local c = line:sub(i, i)
  if c == '"' then
    return quoted(line, i + 1)
  elseif c == "'" then
    return line:match("^([^']*)'()", i + 1)
  elseif c == "\\" then
    return line:match("^(.)()", i + 1)
  end
  return line:match("^([^%s'\"\\]+)()", i)
end

-- Splits a command line as a shell does, which does not run here: quotes and backslashes.
local function split(line)
  local words, i = {}, line:match "^%s*()"
  while i <= #line do
    local word = ""
    while i <= #line and not line:find("^%s", i) do
      local text
      text, i = piece(line, i)
      if not text then
        return nil
      end
      word = word .. text
    end
    words[#words + 1] = word
    i = line:match("^%s*()", i)
  end
  return words
end

-- In a flow, everything else goes on meanwhile.
local function wait(seconds)
  completion.await({}, seconds)
end

local function run(words, source)
  local result, message = command.run(words, { seconds = SECONDS,
    wait = flow.running() and wait or nil })
  if not result then
    trouble.failed(("%s cannot be run: %s"):format(source, message))
  elseif result.code ~= 0 then
    local said = refusals.excerpt(result.errors)
    trouble.failed(("%s failed (%s)%s"):format(source,
      result.signal and "signal " .. result.signal or "exit code " .. tostring(result.code),
      said == "" and "" or ": " .. said))
  end
  return result.output
end

---@param world lambdapool.aws.World
---@return lambdapool.aws.Credentials?
local function process(world)
  local line = world:get().credential_process
  if not line then
    return nil
  end
  local source = ("credential_process of profile %s"):format(world.profile)
  local words = split(line)
  if not words or not words[1] then
    trouble.failed(source .. " is no command line")
  end
  local value = json.decode(run(words, source))
  if type(value) == "table" and value.Version ~= 1 then
    trouble.failed(source .. " gave another Version than 1")
  end
  return trouble.read(value, source)
end

return process
