--- Plans: what a command is going to send, step by step, so that the same list can be shown,
--- carried out, and taken back when a step fails or somebody stops it.

local problem = require "lambdapool.deploy.problem"

---@class lambdapool.deploy.Step
---@field operation string as "lambda:CreateFunction"
---@field about string "create the function algorithms"
---@field run fun(journal: lambdapool.deploy.Journal)
---@field undo (fun(): boolean?)? takes it back, also when it is not known whether it took place;
---false when it had not
---@field made string? what `undo` takes back: "the role lambdapool-algorithms"

---@class lambdapool.deploy.Plan
---@field name string of the function
---@field action string "create", "update", "delete" or "unchanged"
---@field steps lambdapool.deploy.Step[]
---@field changes { setting: string, from: any, to: any }[]
---@field package table? of lambdapool.deploy.package, when it is sent
---@field remark string? what somebody should know besides
---@field result fun(journal: table): table what has become of it

---@class lambdapool.deploy.Journal
---@field log fun(line: string) hears of each step
---@field stop fun() raises when the plan is to be given up
---@field note fun(text: string) takes down what cannot be taken back, in case that the rest fails
---@field stopped boolean?
---@field made lambdapool.deploy.Step[] what can be taken back
---@field notes string[] what was taken back, and what was not

local plan = {}

---@param name string
---@param action string
---@return lambdapool.deploy.Plan
function plan.new(name, action)
  return { name = name, action = action, steps = {}, changes = {} }
end

---@param self lambdapool.deploy.Plan
---@param step lambdapool.deploy.Step
function plan.add(self, step)
  table.insert(self.steps, step)
end

--- A journal for carrying plans out.
---@param options { log: fun(line: string)?, stop: (fun(): boolean)? }?
---@return lambdapool.deploy.Journal
function plan.journal(options)
  options = options or {}
  local journal = { log = options.log or function() end, made = {}, notes = {} }
  function journal.note(text)
    table.insert(journal.notes, text)
  end
  function journal.stop()
    if journal.stopped or options.stop and options.stop() then
      problem.raise(problem.FAILED, "it was stopped")
    end
  end
  return journal
end

-- Takes back what was made, the last first. What cannot be taken back is named in the notes, and
-- keeps what it was made of: a function its role.
local function undo(journal)
  local stuck = false
  for i = #journal.made, 1, -1 do
    local step, ok, outcome = journal.made[i], true, nil
    if not stuck then
      ok, outcome = pcall(step.undo)
    end
    if not ok then
      journal.note(("%s is left behind: %s"):format(step.made, tostring(outcome)))
    elseif stuck then
      journal.note(("%s is left behind"):format(step.made))
    elseif outcome ~= false then
      journal.note(("%s was taken back"):format(step.made))
    end
    stuck = stuck or not ok
  end
end

-- A refusal of AWS says that the step did not take place, and so does a problem that was found.
-- Everything else, as a connection that broke, may be said of a step that did.
local function is_definite(failure)
  return problem.is(failure)
    or type(failure) == "table" and failure.status ~= nil and failure.status < 500
end

-- Refusals and problems are told what became of the rest; an interrupt is passed on as it is.
local function with_notes(failure, notes)
  if not notes[1] or type(failure) ~= "table" or not failure.exit then
    return failure
  end
  local text = tostring(failure) .. "\n  " .. table.concat(notes, "\n  ")
  local _, noted = pcall(problem.raise, failure.exit, "%s", text)
  return noted
end

local function run_step(step, journal)
  journal.stop()
  journal.log(step.about)
  if step.undo then
    table.insert(journal.made, step)
  end
  local ok, failure = pcall(step.run, journal)
  if not ok then
    if is_definite(failure) and journal.made[#journal.made] == step then
      table.remove(journal.made)
    end
    error(failure, 0)
  end
end

local function run_steps(self, journal)
  for _, step in ipairs(self.steps) do
    run_step(step, journal)
  end
  journal.stop()
end

--- Carries a plan out. When a step fails, what the earlier ones made is taken back, and the error
--- says so. Returns what plan.result gives.
---@param self lambdapool.deploy.Plan
---@param journal lambdapool.deploy.Journal?
---@return table
function plan.execute(self, journal)
  journal = journal or plan.journal()
  local ok, failure = pcall(run_steps, self, journal)
  if not ok then
    undo(journal)
    error(with_notes(failure, journal.notes), 0)
  end
  return self.result(journal)
end

return plan
