--- Credentials that a program prints: `credential_process` of a profile.

local command = require "lambdapool.command"
local completion = require "lambdapool.completion"
local flow = require "lambdapool.flow"
local json = require "lambdapool.json"
local refusals = require "lambdapool.aws.refusal"
local trouble = require "lambdapool.aws.credentials.trouble"

-- It may ask somebody in a browser.
local SECONDS = 300

-- Splits a command line as a shell does, which does not run here: quotes and backslashes.
local function split(line)
  local words, word, i = {}, nil, 1
  while i <= #line do
    local c = line:sub(i, i)
    if c == "'" or c == '"' then
      local close = line:find(c, i + 1, true)
      while c == '"' and close and line:sub(close - 1, close - 1) == "\\" do
        close = line:find(c, close + 1, true)
      end
      if not close then
        return nil
      end
      local quoted = line:sub(i + 1, close - 1)
      word = (word or "") .. (c == '"' and quoted:gsub('\\(["\\])', "%1") or quoted)
      i = close
    elseif c == "\\" then
      word, i = (word or "") .. line:sub(i + 1, i + 1), i + 1
    elseif c:find "%s" then
      words[#words + 1], word = word, nil
    else
      word = (word or "") .. c
    end
    i = i + 1
  end
  words[#words + 1] = word
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
    trouble.failed(("%s failed (%s): %s"):format(source,
      result.signal and "signal " .. result.signal or "exit code " .. tostring(result.code),
      refusals.excerpt(result.errors)))
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
