--- Commands: what a command of the program is made of. A command says what it takes and has a
--- function that does it; here are the command line, its help, and the one place where errors
--- become messages and exit codes. lua-argparse reads the command line; what it says when
--- something is wrong is said in our own words.
---
---     return command.new {
---       name = "create", usage = "create NAME [PATHS]", about = "Creates a function.",
---       example = "lambdapool create algorithms algorithms/ --memory 256",
---       arguments = { { "name", "the function" }, { "paths", "files, folders", args = "*" } },
---       options = { { "--memory", "MB", "what it may use", convert = command.integer(1, 10) } },
---       common = { account = true, json = true },
---       run = function(given, context) print(given.name, given.memory) end,
---     }

local argparse = require "lambdapool.argparse"
local help = require "lambdapool.cli.help"
local interrupt = require "lambdapool.interrupt"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local FAILED, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

local command = {}

---@class lambdapool.cli.Argument
---@field [1] string its name in `given`
---@field label string? its name in messages and help; default: that, in capitals
---@field [2] string what it is
---@field args string? "?": may be absent; "*": a list, "+": a list with something in it
---@field convert (fun(text: string): any, string?)? its value, or nil and what it must be

---@class lambdapool.cli.Option
---@field [1] string its names: "-r --requirements"; `given.requirements`
---@field [2] string? what its value is called in the help; nil: a flag, true when it is given
---@field [3] string what it does
---@field convert (fun(text: string): any, string?)? its value, or nil and what it must be
---@field repeated boolean? may be given several times; always a list

---@class lambdapool.cli.Command
---@field name string
---@field usage string the command line behind "lambdapool "
---@field example string one or more lines
---@field about string what it does, in lines of up to 100 columns
---@field arguments lambdapool.cli.Argument[]?
---@field options lambdapool.cli.Option[]?
---@field common table<"account"|"json"|"jsonl"|"dry_run"|"yes", boolean>? options it also has
---@field run fun(given: table, context: lambdapool.cli.Context): integer? the exit code, default 0

-- Options that mean the same everywhere --------------------------------------------------------

local function word(text)
  if text == "" then
    return nil, "a text"
  end
  return text
end

local function choice(...)
  local list = { ... }
  return function(text)
    for _, one in ipairs(list) do
      if text == one then
        return text
      end
    end
    return nil, "'" .. table.concat(list, "' or '") .. "'"
  end
end

local COMMON = {
  { "json", { "--json", nil, "print one JSON document" } },
  { "jsonl", { "--jsonl", nil, "print JSON, one object a line" } },
  { "dry_run", { "--dry-run", nil, "print what would be sent, and send nothing that changes" } },
  { "yes", { "-y --yes", nil, "do not ask" } },
  { "account", { "--backend", "NAME", "where functions live: local or aws (local)",
    convert = choice("local", "aws") } },
  { "account", { "--region", "NAME", "the AWS region", convert = word } },
  { "account", { "--profile", "NAME", "the profile in ~/.aws", convert = word } },
  { "account", { "--endpoint-url", "URL", "where requests go in place of AWS", convert = word } },
}

-- All options of a command, those that it shares with others behind its own.
local function all_options(self)
  local list = table.move(self.options or {}, 1, #(self.options or {}), 1, {})
  for _, entry in ipairs(COMMON) do
    if self.common and self.common[entry[1]] then
      list[#list + 1] = entry[2]
    end
  end
  list[#list + 1] = { "-h --help", nil, "this text" }
  return list
end

-- Errors ---------------------------------------------------------------------------------------

---@class lambdapool.cli.Failure
---@field message string
---@field exit integer
---@field usage boolean? the command line was wrong
local failure_mt = { __name = "lambdapool.cli.Failure" }

function failure_mt:__tostring()
  return self.message
end

local function failure(text, exit, usage)
  return setmetatable({ message = text, exit = exit, usage = usage }, failure_mt)
end

--- Ends the command with a message on stderr.
---@param text string
---@param exit integer? 1
function command.fail(text, exit)
  error(failure(text, exit or FAILED), 0)
end

--- Ends the command because of what it was given; points to its help.
---@param text string
function command.usage(text)
  error(failure(text, USAGE, true), 0)
end

-- The command line -----------------------------------------------------------------------------

-- Raised in place of what argparse returns.
local HELP = {}

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
      command.usage(("%s must be %s, got '%s'"):format(label, wanted, text))
    end
    return value
  end
end

local function add_option(parser, option)
  local added = option[2] and parser:option(option[1]) or parser:flag(option[1])
  if option[1] == "-h --help" then
    added:action(function() error(HELP, 0) end)
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
    command.usage(("unknown argument '%s'"):format(text))
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

local function parse(self, argv, options)
  local parser = argparse(argv[1]):add_help(false)
  local names = {}
  for _, option in ipairs(options) do
    add_option(parser, option)
    table.move(names_of(option), 1, 2, #names + 1, names)
  end
  local labels = add_arguments(parser, self.arguments)
  parser.error = function(_, message)
    command.usage(reword(message, names, labels))
  end
  local given = parser:parse(join_values(argv, options))
  given["too much"] = nil
  return given
end

-- What a command finds -------------------------------------------------------------------------

---@class lambdapool.cli.Context
---@field name string of the command
---@field now number seconds since 1970
---@field given table
local methods = {}
local context_mt = { __name = "lambdapool.cli.Context", __index = methods }

--- Where functions live: opened once, closed when the command ends.
---@return lambdapool.Account
function methods:account()
  if not self.opened then
    self.opened = require("lambdapool.account").open()
  end
  return self.opened
end

--- Asks before something that cannot be undone. Without a terminal nobody can answer: then it takes
--- `--yes`.
---@param question string "delete the function algorithms?"
---@return boolean
function methods:confirm(question)
  if self.given.yes then
    return true
  elseif not system.isatty(0) or not system.isatty(2) then
    command.fail(("%s\n  there is nobody to ask: answer with `--yes`"):format(question), USAGE)
  end
  io.stderr:write(question, " [y/N] ")
  local answer = io.read "l"
  interrupt.check()
  return answer ~= nil and answer:lower():find "^%s*y" ~= nil
end

local function close_context(self)
  if self.opened then
    self.opened:close()
    self.opened = nil
  end
end

context_mt.__close = close_context

-- Flags are the first place where the configuration looks.
local function set_flags(given)
  local ok, message = pcall(require("lambdapool.config").set_flags, {
    backend = given.backend, region = given.region, profile = given.profile,
    endpoint_url = given.endpoint_url,
  })
  if not ok then
    command.usage(message)
  end
end

local function new_context(self, name, given)
  if self.common and self.common.account then
    set_flags(given)
  end
  return setmetatable({ name = name, given = given, now = system.now() / 1000 }, context_mt)
end

-- Running --------------------------------------------------------------------------------------

-- Our own mistakes have a place in our own files, and get a traceback.
local function describe(object)
  if type(object) == "string" and object:find "^lambdapool/[%w_/]+%.lua:%d+: " then
    return failure("internal error: " .. debug.traceback(object, 2), FAILED)
  end
  return object
end

local function complain(name, text)
  io.stdout:flush()
  io.stderr:write("lambdapool", name and " " .. name or "", ": ", text, "\n")
end

-- Prints what ended a command; its exit code. A system call that a signal broke off fails before
-- anybody has looked for the signal.
local function report(name, object)
  if interrupt.is(object) or interrupt.take() then
    complain(nil, interrupt.terminated() and "terminated" or "interrupted")
    return interrupt.terminated() and TERMINATED or INTERRUPTED
  end
  complain(name, tostring(object))
  if rawequal(debug.getmetatable(object), failure_mt) and object.usage then
    io.stderr:write("  see `lambdapool ", name, " --help`\n")
  end
  return type(object) == "table" and math.type(object.exit) == "integer" and object.exit or FAILED
end

-- A full disk is only noticed when what was printed is written.
local function flush(code)
  local ok, message = io.stdout:flush()
  if not ok then
    complain(nil, "cannot write to standard output: " .. message)
    return code == 0 and FAILED or code
  end
  return code
end

local function carry_out(self, name, given)
  local context <close> = new_context(self, name, given)
  return self.run(given, context) or 0
end

local function main(self, argv)
  local name, options = argv[1], all_options(self)
  local ok, given = pcall(parse, self, argv, options)
  if not ok and rawequal(given, HELP) then
    io.stdout:write(help.command(self, options))
    return flush(0)
  elseif not ok then
    return report(name, given)
  end
  assert(interrupt.catch(true))
  local code
  ok, code = xpcall(carry_out, describe, self, name, given)
  if not ok then
    code = report(name, code)
  end
  local http = package.loaded["lambdapool.http"]
  if http then
    http.close()
  end
  interrupt.release()
  return flush(code)
end

--- Makes a command.
---@param spec lambdapool.cli.Command
---@return { main: fun(argv: string[]): integer } module
function command.new(spec)
  return {
    about = spec.about,
    usage = spec.usage,
    main = function(argv) return main(spec, argv) end,
  }
end

-- Groups ---------------------------------------------------------------------------------------

local function group_main(self, argv)
  local name = argv[2]
  local chosen = name and self.commands[name]
  if chosen then
    local rest = { [0] = argv[0], self.name .. " " .. name }
    return chosen.main(table.move(argv, 3, #argv, 2, rest))
  elseif not name then
    io.stderr:write(help.group(self))
    return USAGE
  elseif name == "--help" or name == "-h" or name == "help" then
    io.stdout:write(help.group(self))
    return 0
  end
  local names = { "--help" }
  for known in pairs(self.commands) do
    names[#names + 1] = known
  end
  local kind = name:sub(1, 1) == "-" and "option" or "command"
  complain(self.name, ("unknown %s '%s'%s\n  see `lambdapool %s --help`"):format(kind, name,
    suggest.hint(name, names), self.name))
  return USAGE
end

--- Makes a command of commands: `lambdapool layers list`.
---@param spec { name: string, about: string, example: string, commands: table<string, table> }
---@return { main: fun(argv: string[]): integer } module
function command.group(spec)
  return { about = spec.about, main = function(argv) return group_main(spec, argv) end }
end

-- Values ---------------------------------------------------------------------------------------

--- Converters for options: text -> value, or nil and what it must be.
---@param min integer
---@param max integer? none when absent
function command.integer(min, max)
  return function(text)
    local number = text:find "^%d+$" and math.tointeger(tonumber(text))
    if number and number >= min and number <= (max or math.maxinteger) then
      return number
    end
    return nil, max and ("an integer from %d to %d"):format(min, max)
      or ("an integer from %d on"):format(min)
  end
end

--- A number from 0 on that need not be whole.
---@param max number
function command.amount(max)
  return function(text)
    local number = text:find "^[%d.]+$" and tonumber(text)
    if number and number <= max then
      return number
    end
    return nil, ("a number from 0 to %d"):format(max)
  end
end

--- One of a few words.
---@type fun(...: string)
command.choice = choice

--- Any text but the empty one.
command.word = word

return command
