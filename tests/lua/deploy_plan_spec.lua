local interrupt_error = setmetatable({ message = "interrupted" }, { __name = "LambdaInterrupt" })
local plan = require "lambdapool.deploy.plan"
local problem = require "lambdapool.deploy.problem"

local trail, journal

local function step(name, more)
  local made = {
    operation = "lambda:" .. name, about = name,
    run = function() trail[#trail + 1] = name end,
  }
  for key, value in pairs(more or {}) do
    made[key] = value
  end
  return made
end

local function undoable(name, more)
  local made = step(name, more)
  made.made = "the " .. name
  made.undo = made.undo or function() trail[#trail + 1] = "-" .. name end
  return made
end

local function steps_of(...)
  local steps = plan.new("f", "create")
  for _, one in ipairs { ... } do
    plan.add(steps, one)
  end
  steps.result = function() return "done" end
  return steps
end

local function failing(failure)
  return { run = function()
    trail[#trail + 1] = "!"
    error(failure, 0)
  end }
end

before_each(function()
  trail, journal = {}, plan.journal()
end)

describe("a plan", function()
  it("runs its steps in order and tells each", function()
    local told = {}
    journal = plan.journal { log = function(line) told[#told + 1] = line end }
    assert.equal("done", plan.execute(steps_of(step "a", undoable "b"), journal))
    assert.same({ "a", "b" }, trail)
    assert.same({ "a", "b" }, told)
  end)

  it("takes back what was made when a step is refused, but not that step", function()
    local refusal = { status = 403, code = "AccessDenied", exit = 4 }
    local ok, failure = pcall(plan.execute,
      steps_of(undoable "a", undoable "b", undoable("c", failing(refusal))), journal)
    assert.is_false(ok)
    assert.same({ "a", "b", "!", "-b", "-a" }, trail)
    assert.equal(4, failure.exit)
    assert.matches("the b was taken back\n  the a was taken back", tostring(failure))
  end)

  it("takes back a step of which it is not known whether it took place", function()
    for _, failure in ipairs { { status = 500, code = "ServiceException" },
      { failure = "reset", code = "NetworkFailure" }, "a mistake" } do
      trail = {}
      pcall(plan.execute, steps_of(undoable "a", undoable("b", failing(failure))))
      assert.same({ "a", "!", "-b", "-a" }, trail)
    end
  end)

  it("names what it could not take back", function()
    local stuck = undoable("a", { undo = function() error("it is stuck", 0) end })
    local _, failure = pcall(plan.execute,
      steps_of(undoable "z", stuck, step("b", failing { status = 400, exit = 1 })), journal)
    assert.matches("the a is left behind: it is stuck\n  the z is left behind$", tostring(failure))
    assert.same({ "z", "a", "!" }, trail) -- what the one needs is kept
  end)

  it("names what cannot be taken back", function()
    local _, failure = pcall(plan.execute,
      steps_of(step("a", { run = function(written) written.note "a is changed already" end }),
      step("b", failing { status = 400, exit = 1 })), journal)
    assert.matches("a is changed already", tostring(failure))
  end)

  it("leaves an error as it is when there is nothing to add", function()
    local refusal = { status = 400, exit = 1 }
    local _, failure = pcall(plan.execute, steps_of(step("a", failing(refusal))), journal)
    assert.equal(refusal, failure)
  end)

  it("passes interrupts on", function()
    local _, failure = pcall(plan.execute,
      steps_of(undoable "a", step("b", failing(interrupt_error))), journal)
    assert.same({ "a", "!", "-a" }, trail)
    assert.equal(interrupt_error, failure)
  end)

  it("stops between steps, and takes everything back", function()
    local stopper = step("b", { run = function() journal.stopped = true end })
    local ok, failure = pcall(plan.execute, steps_of(undoable "a", stopper, step "c"), journal)
    assert.is_false(ok)
    assert.is_true(problem.is(failure))
    assert.same({ "a", "-a" }, trail)
  end)

  it("stops when it is told to, also after the last step", function()
    local asked = 0
    journal = plan.journal { stop = function()
      asked = asked + 1
      return asked > 1
    end }
    assert.is_false((pcall(plan.execute, steps_of(undoable "a"), journal)))
    assert.same({ "a", "-a" }, trail)
  end)
end)
