--- What the ends of invocations mean where nobody sees how far they were: on functions.

local fakes = require "tests.lua.fakes"

local answer, kinds = fakes.answer, fakes.kinds

describe("on a backend that nobody sees into", function()
  local world, scheduler, backend

  before_each(function()
    world = fakes.world()
  end)

  local function open(workers, script)
    scheduler, backend = world.open(workers, script)
    backend.opaque = true
    backend.progress = function() end
    backend.cut = function() end
  end

  local function add(items, fields)
    fields = fields or {}
    fields.code, fields.target_us = "code", 20000
    local batch = world.batch.new(scheduler:call(fields), items, #items)
    scheduler:add(batch, 1, batch.n)
    return batch
  end

  local function run(items, fields, script)
    open(4, script)
    local batch = add(items, fields)
    world.completion.await(batch)
    return batch
  end

  local function sent()
    return fakes.sent(backend)
  end

  local function retry(fields)
    return world.retry.new("", { retry = fields }, 1)
  end

  it("no tasks are taken back for idle workers", function()
    open(4)
    local batch = add({ 1, 2, 3, 4, 5, 6, 7, 8 }, { size = nil })
    world.loop.pump(1)
    for _, ticket in ipairs(backend.tickets) do
      if ticket.number > 1 then
        ticket.done(answer(ticket))
      end
    end
    world.loop.pump(1)
    backend.tickets[1].done(answer(backend.tickets[1]))
    world.completion.await(batch)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, kinds(batch))
  end)

  it("one of several that is cancelled leaves the others alone", function()
    open(1)
    local batch = add({ 1, 2, 3 }, { size = 3 })
    assert.is_true(scheduler:cancel(batch, 2))
    assert.is_nil(backend.tickets[1].cancelled)
    backend.tickets[1].done(answer(backend.tickets[1]))
    world.completion.await(batch)
    assert.same({ 1, "cancelled", 3 }, kinds(batch))
  end)

  it("one that is alone is cancelled for real", function()
    open(1)
    local batch = add({ 1 }, { size = 1 })
    assert.is_true(scheduler:cancel(batch, 1))
    assert.is_true(backend.tickets[1].cancelled)
    assert.same({ "cancelled" }, kinds(batch))
  end)

  it("tasks that may have died of one another are tried again one by one", function()
    local function script(ticket)
      for _, item in ipairs(ticket.request.items) do
        if item == 2 then
          return { kind = "crashed", message = "exit 3", code = "Runtime.ExitError" }
        end
      end
      return answer(ticket)
    end
    local batch = run({ 1, 2, 3 }, { size = 3, retry = retry { times = 2 } }, script)
    assert.same({ 1, "crashed", 3 }, kinds(batch))
    local lists = sent()
    assert.equal("1 2 3", lists[1])
    assert.equal(5, #lists)
    assert.equal(3, batch:failure(2).attempts)
    assert.equal("Runtime.ExitError", batch:failure(2).code)
  end)

  it("tasks that were lost together are tried again together", function()
    local batch = run({ 1, 2, 3 }, { size = 3, retry = retry { times = 2 } }, function(ticket)
      return ticket.number == 1 and { kind = "lost", message = "no answer" } or answer(ticket)
    end)
    assert.same({ 1, 2, 3 }, kinds(batch))
    assert.same({ "1 2 3", "1 2 3" }, sent())
  end)

  it("what is final is not tried again", function()
    local batch = run({ 1 }, { retry = retry { times = 5, on = function() return true end } },
      function()
        return { kind = "lost", message = "no such function", final = true }
      end)
    assert.same({ "lost" }, kinds(batch))
    assert.equal(1, #sent())
  end)

  it("what was throttled long enough is tried again by the user's policy only", function()
    local function script()
      return { kind = "throttled", message = "too many", exhausted = true }
    end
    assert.same({ "throttled" }, kinds(run({ 1 }, nil, script)))
    assert.equal(1, #sent())
    run({ 1 }, { retry = retry { times = 2 } }, script)
    assert.equal(3, #sent())
  end)

  it("results of a module in another version are not taken", function()
    local function script(ticket)
      local outcome = answer(ticket)
      outcome.bytes.stale = "algorithms.fib"
      return outcome
    end
    local batch = run({ 1, 2 }, { size = 2, retry = retry { times = 2 } }, script)
    assert.same({ "lost", "lost" }, kinds(batch))
    assert.equal("StaleModule", batch:failure(1).code)
    assert.equal("a worker has another version of module 'algorithms.fib' than this program: " ..
      "its file has changed since\n  open a new pool", batch:failure(1).message)
    assert.equal(1, #sent())

    open(1, script)
    backend.complain_of_module = function(_, module) return "update " .. module end
    batch = add { 1 }
    world.completion.await(batch)
    assert.equal("update algorithms.fib", batch:failure(1).message)
  end)
end)
