--- Ctrl-C while a plan is carried out: the step that is under way ends, and what was made is taken
--- back, before the program does end.

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
local folder

local function read(name)
  local file <close> = assert(io.open(folder .. "/" .. name, "rb"))
  return file:read "a"
end

-- A plan of two steps, of which the second one is the script's `second`; once it has called
-- `ready()`, the signal comes.
local prelude = [[
  local change = require "lambdapool.cli.change"
  local plans = require "lambdapool.deploy.plan"
  local settle = require "lambdapool.deploy.settle"
  local plan = plans.new("f", "create")
  local function ready() io.open("ready", "w"):close() end
  local function step(name, run)
    plans.add(plan, { operation = "lambda:Try", about = name, made = "the " .. name, run = run,
      undo = function()
        settle.sleep(0.01)
        print("undo " .. name)
      end })
  end
  plan.result = function() return { name = "f" } end
  step("first", function() settle.sleep(0.01) end)
]]

-- Runs a script until the signal ends it. Returns what it printed, its complaints, its exit code.
local function interrupt(script)
  local file <close> = assert(io.open(folder .. "/script.lua", "wb"))
  file:write(prelude, script, "\nchange.carry_out(plan, {}, function() return 'done' end)\n")
  file:close()
  local _, _, code = os.execute(([[
    cd %s; exec 3>&2 >.out 2>.err
    (while [ -e script.lua ] && [ ! -e ready ]; do sleep 0.01; done
     sleep 0.1; kill -INT $(cat host)) &
    sh -c 'echo $$ >host; exec %s run script.lua']]):format(folder, program))
  return read ".out", read ".err", code
end

describe("Ctrl-C in a command that changes something", function()
  before_each(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
  end)

  after_each(function()
    os.execute("rm -rf " .. folder)
  end)

  it("lets the step that waits end first", function()
    local out, err, code = interrupt [[
      step("second", function()
        ready()
        settle.sleep(1)
        print "second ended"
      end)
      step("third", function() print "third began" end)]]
    assert.equal("second ended\nundo second\nundo first\n", out)
    assert.matches("the second was taken back\nlambdapool: the first was taken back", err)
    assert.equal(130, code)
  end)

  it("names what cannot be taken back", function()
    local _, err, code = interrupt [[
      plans.add(plan, { operation = "lambda:Try", about = "second", made = "the second",
        run = function()
          ready()
          settle.sleep(1)
        end,
        undo = function() error("it is stuck", 0) end })]]
    assert.matches("the second is left behind: it is stuck", err)
    assert.equal(130, code)
  end)

  it("is over when the plan is", function()
    local out, err, code = interrupt [[
      local carry_out = change.carry_out
      change.carry_out = function(...)
        carry_out(...)
        ready()
        settle.sleep(10)
      end]]
    assert.equal("done\n", out)
    assert.is_nil(err:find "taken back")
    assert.equal(130, code)
  end)
end)
