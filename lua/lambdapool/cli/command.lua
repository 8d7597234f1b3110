--- Commands: what a command of the program is made of. A command says what it takes and has a
--- function that does it; here is how it is run, and the one place where errors become messages and
--- exit codes.
---
---     return command.new {
---       name = "create", usage = "create NAME [PATHS]", about = "Creates a function.",
---       example = "lambdapool create algorithms algorithms/ --memory 256",
---       arguments = { { "name", "the function" }, { "paths", "files, folders", args = "*" } },
---       options = { { "--memory", "MB", "what it may use", convert = command.integer(1, 10) } },
---       common = { account = true, json = true },
---       run = function(given, context) print(given.name, given.memory) end,
---     }

local command_line = require "lambdapool.cli.command_line"
local failure = require "lambdapool.cli.failure"
local help = require "lambdapool.cli.help"
local interrupt = require "lambdapool.interrupt"
local kinds = require("lambdapool.options").kinds
local output = require "lambdapool.cli.output"
local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local command = {
  fail = failure.fail,
  usage = failure.usage,
}

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
  local rule = { choices = { ... } }
  return function(text)
    return kinds.choice(text, rule)
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

-- What a command finds -------------------------------------------------------------------------

---@class lambdapool.cli.Context
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
    failure.fail(("%s\n  there is nobody to ask: answer with `--yes`"):format(question),
      failure.USAGE)
  end
  io.stderr:write(question, " [y/N] ")
  system.await_input(0)
  interrupt.check()
  local answer = io.read "l"
  interrupt.check()
  return answer ~= nil and answer:lower():find "^%s*y" ~= nil
end

function context_mt:__close()
  if self.opened then
    self.opened:close()
  end
end

-- Flags are the first place where the configuration looks.
local function set_flags(given)
  local ok, message = pcall(require("lambdapool.config").set_flags, {
    backend = given.backend, region = given.region, profile = given.profile,
    endpoint_url = given.endpoint_url,
  })
  if not ok then
    failure.usage(message)
  end
end

local function new_context(self, given)
  if self.common and self.common.account then
    set_flags(given)
  end
  return setmetatable({ given = given, now = system.now() / 1000 }, context_mt)
end

-- Running --------------------------------------------------------------------------------------

-- Our own mistakes have a place in our own files, and get a traceback.
local function describe(object)
  if type(object) == "string" and object:find "^lambdapool/[%w_/]+%.lua:%d+: " then
    return failure.new("internal error: " .. debug.traceback(object, 2), failure.FAILED)
  end
  return object
end

local function complain(name, text)
  io.stdout:flush()
  io.stderr:write("lambdapool", name and " " .. name or "", ": ", output.visible(text, 2), "\n")
end

-- Prints what ended a command; its exit code. A system call that a signal broke off fails before
-- anybody has looked for the signal.
local function report(name, object)
  if interrupt.is(object) or interrupt.take() then
    complain(nil, interrupt.terminated() and "terminated" or "interrupted")
    return interrupt.terminated() and failure.TERMINATED or failure.INTERRUPTED
  end
  complain(name, tostring(object))
  if failure.is_usage(object) then
    io.stderr:write("  see `lambdapool ", name, " --help`\n")
  end
  return type(object) == "table" and math.type(object.exit) == "integer" and object.exit
    or failure.FAILED
end

-- A full disk is only noticed when what was printed is written.
local function flush(code)
  local ok, message = io.stdout:flush()
  if not ok then
    complain(nil, "cannot write to standard output: " .. message)
    return code == 0 and failure.FAILED or code
  end
  return code
end

local function carry_out(self, given)
  local context <close> = new_context(self, given)
  return self.run(given, context) or 0
end

local function main(self, argv)
  local name, options = argv[1], all_options(self)
  local ok, given = pcall(command_line.parse, argv, self.arguments, options)
  if not ok and rawequal(given, command_line.HELP) then
    io.stdout:write(help.command(self, options))
    return flush(0)
  elseif not ok then
    return report(name, given)
  end
  assert(interrupt.catch(true))
  local code
  ok, code = xpcall(carry_out, describe, self, given)
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
    return failure.USAGE
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
  return failure.USAGE
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
