--- `lambdapool run`: runs scripts as `lua` does, with the same `arg`, exit codes and messages. The
--- script's functions can be sent to workers, because the host's `load` and `loadfile` remember
--- what they loaded.

local interrupt = require "lambdapool.interrupt"
local progress = require "lambdapool.progress"
local script = require "lambdapool.cli.script"
local switches = require "lambdapool.cli.switches"
local system = require "lambdapool.system"

local help = [==[
  lambdapool run crawl.lua urls.txt
  lambdapool run -e 'print(require "lambdapool".pool{}:apply(math.max, {1, 2}))'

usage: lambdapool run [OPTIONS] [SCRIPT [ARGS]]

Runs SCRIPT as `lua` does; `-` stands for standard input. Options, in any order and number, are
carried out before it:
  -e CODE     run CODE
  -l MODULE   require MODULE into a global of its name; -l NAME=MODULE into the global NAME
  -W          turn warnings on
  --          the end of the options
  --help      this text

Where the pools of SCRIPT run, unless it says so itself:
]==] .. switches.help .. [==[

What the invocations of functions took, and about what they cost, is told at the end on stderr.
]==]

local actions = {
  ["-e"] = function(code) return script.run(load(code, "=(command line)")) end,
  ["-l"] = script.require_global,
  ["-W"] = function()
    warn "@on"
    return true
  end,
  ["help"] = function()
    io.stdout:write(help)
    return true
  end,
}

local function run_script(argv, index)
  local path = argv[index]
  if path == "-" and argv[index - 1] ~= "--" then
    return script.run(loadfile(), nil, table.unpack(argv, index + 1))
  end
  script.add_folder(path)
  local chunk, message = loadfile(path)
  return script.run(chunk, message, table.unpack(argv, index + 1))
end

local function carry_out(steps, argv, index)
  if not script.run_init() then
    return false
  end
  for _, step in ipairs(steps) do
    if not actions[step[1]](step[2]) then
      return false
    end
  end
  if argv[index] then
    return run_script(argv, index)
  elseif #steps == 0 then
    return script.run(loadfile())
  end
  return true
end

---@param argv string[]
---@return integer exit code
local function main(argv)
  local steps, index = switches.parse(argv, {})
  if not steps then
    io.stderr:write("lambdapool run: ", index, "\n  see `lambdapool run --help`\n")
    return 2
  elseif #steps == 0 and not argv[index] and system.isatty(0) then
    io.stderr:write(help)
    return 2
  end
  _G.arg = script.make_arg(argv, index)
  progress.automatic = true
  assert(interrupt.catch())
  local ok = script.finish_flows(carry_out(steps, argv, index))
  interrupt.take()
  interrupt.release()
  script.close_accounts()
  if interrupt.came() then
    script.report_interrupt()
    return script.INTERRUPTED
  end
  return script.report_costs() and script.BUDGET or ok and 0 or 1
end

return { main = main }
