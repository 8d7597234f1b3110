--- The options that `run` and `repl` share: those of `lua`, which are carried out in order, and
--- settings, which hold at once.

local config = require "lambdapool.config"
local suggest = require "lambdapool.suggest"

local switches = {}

--- What the help of both says of settings.
switches.help = [==[
  --backend NAME        local, on this machine (the default), or aws, on AWS Lambda
  --function-name NAME  the function of that backend that runs tasks; see `lambdapool create`.
                        Without one, local tasks run in processes of their own
  --workers N           how many invocations run at once
  --region NAME         the AWS region
  --profile NAME        the profile in ~/.aws
  --max-cost DOLLARS    once they are used up, what was not sent is cancelled; the exit code is 6
]==]

local common = { "-e", "-l", "-W", "--", "--help", "--backend", "--function-name", "--workers",
  "--region", "--profile", "--max-cost" }

-- Options that are settings, by the names that these have.
local settings = {
  ["--backend"] = "backend",
  ["--function-name"] = "function_name",
  ["--workers"] = "workers",
  ["--region"] = "region",
  ["--profile"] = "profile",
  ["--max-cost"] = "max_cost",
}

-- The value of an option: the rest of its word, or the next one. Returns it, and the index of the
-- last word that was used; or nil and a complaint.
local function value_of(argv, i, name, rest)
  if rest then
    return rest, i
  elseif not argv[i + 1] then
    return nil, ("'%s' needs an argument"):format(name)
  end
  return argv[i + 1], i + 1
end

-- A setting: "--workers 8" or "--workers=8". Returns the index of its last word, or nil and a
-- complaint.
local function set(argv, i, name, rest)
  local value, last = value_of(argv, i, name, rest)
  if not value then
    return nil, last
  end
  local ok, complaint = pcall(config.set_flags, { [settings[name]] = value })
  return ok and last or nil, complaint
end

local function contains(list, word)
  for _, entry in ipairs(list) do
    if entry == word then
      return true
    end
  end
  return false
end

-- One option. Returns the index of its last word, or nil and a complaint.
local function parse_option(steps, argv, i, more)
  local word = argv[i]
  local name, rest = word:match "^(%-%-[^=]+)=?(.*)$"
  if settings[name] then
    return set(argv, i, name, #word > #name and rest or nil)
  elseif word == "-W" or contains(more, word) then
    steps[#steps + 1] = { word }
    return i
  end
  local flag = word:match "^%-[el]"
  if flag then
    local value, last = value_of(argv, i, flag, #word > 2 and word:sub(3) or nil)
    steps[#steps + 1] = { flag, value }
    return value and last or nil, last
  end
  local known = table.move(more, 1, #more, #common + 1, table.move(common, 1, #common, 1, {}))
  return nil, ("unknown option '%s'%s"):format(word, suggest.hint(word, known))
end

--- Takes the options from argv[2] on. Returns what they ask for, each { option, value }, in order,
--- and the index of the script, which is behind the last argument when there is none; or nil and a
--- complaint.
---@param argv string[]
---@param more string[] options without a value that only this command has
---@return table[]?
---@return integer|string
function switches.parse(argv, more)
  local steps, i = {}, 2
  while argv[i] and argv[i]:sub(1, 1) == "-" and argv[i] ~= "-" do
    if argv[i] == "--" then
      return steps, i + 1
    elseif argv[i] == "--help" or argv[i] == "-h" then
      return { { "help" } }, #argv + 1
    end
    local last, complaint = parse_option(steps, argv, i, more)
    if not last then
      return nil, complaint
    end
    i = last + 1
  end
  return steps, i
end

return switches
