--- `lambdapool doctor`: what is in order and what is not, a line for each check.

local checks = require "lambdapool.cli.doctor_checks"
local command = require "lambdapool.cli.command"
local json = require "lambdapool.json"
local names = require "lambdapool.deploy.names"
local output = require "lambdapool.cli.output"

local COLOURS = { ok = "green", warn = "yellow", FAIL = "red" }

local WIDTH = #"agent version"

local function print_finding(finding)
  local status = finding.status .. (" "):rep(4 - #finding.status)
  io.write(output.coloured(status, COLOURS[finding.status]), "  ", finding.name,
    (" "):rep(WIDTH - #finding.name), "  ", output.plain(finding.message), "\n")
  if finding.hint then
    for line in finding.hint:gmatch "[^\n]+" do
      io.write((" "):rep(4 + 2 + WIDTH + 2), output.plain(line:match "^%s*(.*)$"), "\n")
    end
  end
  io.stdout:flush()
end

local function run(given, context)
  local list, failed = json.array {}, false
  local name = given.name and names.bare(given.name)
  checks.run(context, name, function(finding)
    list[#list + 1] = finding
    failed = failed or finding.status == "FAIL"
    if not given.json then
      print_finding(finding)
    end
  end)
  if given.json then
    output.json { ok = not failed, checks = list }
  end
  return failed and 1 or 0
end

return command.new {
  name = "doctor",
  usage = "doctor [NAME]",
  example = "lambdapool doctor algorithms --backend aws",
  about = "Checks this machine, the configuration, the account, and a function if one is named. " ..
    "It is\nexit code 1 when something fails.",
  arguments = { { "name", "a function", args = "?" } },
  common = { account = true, json = true },
  run = run,
}
