--- Reading the command line of a command, with lua-argparse. What that says when something is wrong
--- is said in our own words.

local argparse = require "lambdapool.argparse"
local failure = require "lambdapool.cli.failure"
local suggest = require "lambdapool.suggest"

local command_line = {
  HELP = {}, -- raised in place of what argparse returns
}

-- Names of an option: { "-r", "--requirements" }.
local function names_of(option)
  local names = {}
  for name in option[1]:gmatch "%S+" do
    names[#names + 1] = name
  end
  return names
end

-- What argparse complains of, in our words.
local COMPLAINTS = {
  { "^option '(.-)' requires .*", "'%s' needs a value" },
  { "^option '(.-)' does not take arguments$", "'%s' takes no value" },
}

local function reword(message, names, labels)
  local unknown = message:match "^unknown option '(.-)'\n"
    or message:match "^unknown option '(.*)'$"
  if unknown then
    local hint = #unknown > 2 and suggest.hint(unknown, names) or ""
    return ("unknown option '%s'%s"):format(unknown, hint)
  end
  local missing = message:match "^missing argument '(.-)'$"
    or message:match "^argument '(.-)' requires at least"
  if missing then
    return ("%s is missing"):format(labels[missing])
  end
  for _, complaint in ipairs(COMPLAINTS) do
    local name = message:match(complaint[1])
    if name then
      return complaint[2]:format(name)
    end
  end
  return message
end

-- A converter of ours as argparse wants it, which has the name of what it converts in its message.
local function converter(convert, label)
  return convert and function(text)
    local value, wanted = convert(text)
    if value == nil then
      failure.usage(("%s must be %s, got '%s'"):format(label, wanted, text))
    end
    return value
  end
end

local function add_option(parser, option)
  local added = option[2] and parser:option(option[1]) or parser:flag(option[1])
  if option[1] == "-h --help" then
    added:action(function() error(command_line.HELP, 0) end)
  elseif option[2] then
    local names = names_of(option)
    added:convert(converter(option.convert, ("'%s'"):format(names[#names])) or tostring)
  end
  if option.repeated then
    added:count "*"
  end
end

-- Behind the last argument is one that takes what is too much, so that it can be named. Returns
-- what messages call the others.
local function add_arguments(parser, arguments)
  local labels = {}
  for _, argument in ipairs(arguments or {}) do
    local label = argument.label or argument[1]:upper()
    labels[argument[1]] = label
    parser:argument(argument[1]):args(argument.args or 1)
      :convert(converter(argument.convert, label) or tostring)
  end
  parser:argument("too much"):args "*":convert(function(text)
    failure.usage(("unknown argument '%s'"):format(text))
  end)
  return labels
end

-- Values may begin with "-": argparse would take them for options.
local function join_values(argv, options)
  local takes = {}
  for _, option in ipairs(options) do
    local names = names_of(option)
    for _, name in ipairs(names) do
      takes[name] = option[2] and names[#names]
    end
  end
  local list, i = {}, 2
  while argv[i] do
    local name, value = takes[argv[i]], argv[i + 1]
    if argv[i] == "--" then
      return table.move(argv, i, #argv, #list + 1, list)
    elseif name and value and value:sub(1, 1) == "-" then
      list[#list + 1] = name .. "=" .. value
      i = i + 1
    elseif name and value then
      list[#list + 1], list[#list + 2] = argv[i], value
      i = i + 1
    else
      list[#list + 1] = argv[i]
    end
    i = i + 1
  end
  return list
end

--- What a command was given. Raises command_line.HELP when that is what is asked for.
---@param argv string[] with the command's name first
---@param arguments lambdapool.cli.Argument[]?
---@param options lambdapool.cli.Option[]
---@return table<string, any> given
function command_line.parse(argv, arguments, options)
  local parser = argparse(argv[1]):add_help(false)
  local names = {}
  for _, option in ipairs(options) do
    add_option(parser, option)
    table.move(names_of(option), 1, 2, #names + 1, names)
  end
  local labels = add_arguments(parser, arguments)
  parser.error = function(_, message)
    failure.usage(reword(message, names, labels))
  end
  local given = parser:parse(join_values(argv, options))
  given["too much"] = nil
  return given
end

return command_line
