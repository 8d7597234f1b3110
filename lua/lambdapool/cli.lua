--- The command line: finds the command, and answers what is not one. Each command is a module
--- below lambdapool/cli/ with `main(argv) -> exit code`, loaded when it is asked for.

local suggest = require "lambdapool.suggest"
local system = require "lambdapool.system"

local commands = { "run", "repl", "serve", "create", "update", "deploy", "delete", "list", "show",
  "invoke", "package", "layers", "permissions", "logs", "doctor", "whoami", "config" }

local help = [[
  lambdapool run crawl.lua urls.txt

usage: lambdapool COMMAND [ARGS]

Work
  run          run a Lua script whose functions can run on many workers
  repl         a prompt: type functions and map them
  serve        a Lambda service on this machine, for the AWS CLI and SDKs

Functions
  create       make a function of files and folders
  update       send what has changed of it
  deploy       create it or update it
  delete       remove it, and its role
  list         the functions that lambdapool made
  show         everything about one of them
  invoke       call one with JSON
  package      only make the zip
  layers       list, publish, attach …
  permissions  who may call it, and what you need to be allowed

Runs
  logs         what functions have printed

Checks
  doctor       find what is wrong, and say what to do
  whoami       the account, and where the credentials come from

Set-up
  config       what is configured, and where

  --help       this text; `lambdapool COMMAND --help` for a command
  --version    the versions of lambdapool and Lua

Exit codes: 0 done, 1 failed, 2 usage, 3 no such function, 4 credentials missing or refused,
5 throttled, 6 budget used up, 130 interrupted
]]

local function is_command(name)
  for _, command in ipairs(commands) do
    if command == name then
      return true
    end
  end
  return false
end

local function complain(text)
  io.stderr:write("lambdapool: ", text, "\n  see `lambdapool --help`\n")
  return 2
end

local main

-- "help" and "help layers list" are "--help" and "layers list --help".
local function show_help(argv)
  if argv[1] == "help" and argv[2] then
    local rest = table.move(argv, 2, #argv, 1, { [0] = argv[0] })
    table.insert(rest, "--help")
    return main(rest)
  end
  io.stdout:write(help)
  return 0
end

--- Runs a command line. argv[0] is the program, argv[1] the command.
---@param argv string[]
---@return integer exit code
function main(argv)
  local name = argv[1]
  if name == nil then
    io.stderr:write(help)
    return 2
  elseif is_command(name) then
    return require("lambdapool.cli." .. name).main(argv)
  elseif name == "--help" or name == "-h" or name == "help" then
    return show_help(argv)
  elseif name == "--version" or name == "-v" then
    print(("lambdapool %s (%s)"):format(system.version, _VERSION))
    return 0
  elseif name:sub(1, 1) == "-" then
    local known = { "--help", "--version" }
    return complain(("unknown option '%s'%s"):format(name, suggest.hint(name, known)))
  end
  return complain(("unknown command '%s'%s"):format(name, suggest.hint(name, commands)))
end

return { main = main }
