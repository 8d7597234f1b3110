--- Faults on purpose: each kind on a scripted backend, then all of them on real workers.

local fakes = require "tests.lua.fakes"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

local error_of = support.error_of

describe("chaos", function()
  local world, inner

  before_each(function()
    world = fakes.world()
    inner = world.backend(2, function(ticket) return fakes.answer(ticket), 1 end)
  end)

  local function new(given)
    given.seed = given.seed or 1
    return world.chaos.new(inner, "lambdapool.pool", given, 1)
  end

  -- Invokes one request; returns the outcomes so far, each with its time.
  local function invoke(chaos)
    local outcomes = {}
    local ticket = chaos:invoke({ items = { "item" } }, {}, function(outcome)
      outcome.time = world.now - 1000
      outcomes[#outcomes + 1] = outcome
    end)
    return outcomes, ticket
  end

  local function wait()
    while world.timers.next() do
      world.loop.pump(10)
    end
  end

  it("leaves what it does not befall alone", function()
    local outcomes = invoke(new {})
    wait()
    assert.equal(1, #outcomes)
    assert.same({ "item" }, outcomes[1].bytes.values)
    assert.equal(1, outcomes[1].time)
  end)

  it("throttles without a start, and not within the call", function()
    local outcomes = invoke(new { throttle = 1 })
    assert.equal(0, #outcomes)
    wait()
    assert.equal(1, #outcomes)
    assert.equal("throttled", outcomes[1].kind)
    assert.equal(0, #inner.tickets)
  end)

  it("can cancel what it is about to throttle", function()
    local chaos = new { throttle = 1 }
    local outcomes, ticket = invoke(chaos)
    assert.is_nil(chaos:progress(ticket))
    assert.is_nil(chaos:cut(ticket, 0))
    assert.is_true(chaos:cancel(ticket))
    assert.equal(0, #outcomes)
    wait()
    assert.equal(1, #outcomes)
    assert.equal("throttled", outcomes[1].kind)
    assert.equal(0, #inner.tickets)
  end)

  it("keeps no timer for what comes when all is over", function()
    for _, method in ipairs { "close", "abandon" } do
      for _, kind in ipairs { "throttle", "delay", "lose" } do
        local chaos = new { [kind] = 1, seconds = 5 }
        local outcomes = invoke(chaos)
        world.loop.pump(1)
        local known = #outcomes
        chaos[method](chaos)
        wait()
        assert.equal(known, #outcomes)
      end
    end
  end)

  it("holds answers back, no longer than asked", function()
    local outcomes = invoke(new { delay = 1, seconds = 5 })
    wait()
    assert.equal(1, #outcomes)
    assert.same({ "item" }, outcomes[1].bytes.values)
    assert.is_true(1 < outcomes[1].time and outcomes[1].time < 6)
  end)

  it("loses answers, which come late", function()
    local outcomes = invoke(new { lose = 1, seconds = 5 })
    wait()
    assert.equal(2, #outcomes)
    assert.same({ "lost", 1 }, { outcomes[1].kind, outcomes[1].time })
    assert.same({ "item" }, outcomes[2].bytes.values)
    assert.is_true(1 < outcomes[2].time and outcomes[2].time < 6)
  end)

  it("tells how far an invocation is, and cuts and cancels it", function()
    local chaos = new { delay = 1 }
    local _, ticket = invoke(chaos)
    inner.tickets[1].begun = 1
    assert.same({ 1, 0 }, { chaos:progress(ticket) })
    assert.equal(1, chaos:cut(ticket, 1))
    assert.equal(1, inner.tickets[1].limit)
    chaos:cancel(ticket)
    assert.is_true(inner.tickets[1].cancelled)
    assert.same({ 1, 1 }, { chaos:alive(), chaos:started() })
    chaos:close()
    assert.is_true(inner.closed)
  end)

  it("befalls the share that is asked for, the same with the same seed", function()
    local function kinds(seed)
      inner.script = nil
      local chaos = new { throttle = 0.25, seed = seed }
      local list = {}
      for i = 1, 4000 do
        local before = #inner.tickets
        chaos:invoke({}, {}, function() end)
        list[i] = #inner.tickets == before and "x" or "."
      end
      local text = table.concat(list)
      return text, select(2, text:gsub("x", ""))
    end
    local one, share = kinds(7)
    assert.is_true(900 < share and share < 1100)
    assert.equal(one, (kinds(7)))
    assert.not_equal(one, (kinds(8)))
  end)

  it("is spread evenly over its kinds", function()
    inner.script = function(ticket) return fakes.answer(ticket), 0 end
    local chaos = new { throttle = 0.3, lose = 0.3, delay = 0.4 }
    local counts = { throttled = 0, lost = 0, late = 0 }
    for _ = 1, 2000 do
      chaos:invoke({ items = {} }, {}, function(outcome)
        local kind = outcome.kind or "late"
        counts[kind] = counts[kind] + 1
      end)
    end
    wait()
    counts.late = counts.late - counts.lost -- lost answers come late, too
    for kind, share in pairs { throttled = 600, lost = 600, late = 800 } do
      assert.is_true(math.abs(counts[kind] - share) < 100)
    end
  end)

  it("is checked at the caller's line", function()
    local function complaint(chaos)
      return error_of(function()
        local pool <close> = lambdapool.pool { workers = 1, chaos = chaos }
        return pool
      end)
    end
    local here = "chaos_spec.lua:%d+: lambdapool.pool: chaos: "
    assert.matches(here .. "unknown option 'carsh', did you mean 'crash'", complaint { carsh = 1 })
    assert.matches(here .. "option 'crash' must be a number from 0 to 1", complaint { crash = 2 })
    assert.matches(here .. "the shares are more than 1 together",
      complaint { crash = 0.6, lose = 0.6 })
  end)
end)

describe("a pool with chaos", function()
  local list = support.range(1, 400)

  local function check(pool, options)
    local got = pool:map(function(x) return -x end, list, options)
    for i = 1, #list do
      assert(got[i] == -i)
    end
    assert.equal(#list, got.n)
  end

  it("kills workers, really", function()
    local pool <close> = lambdapool.pool { workers = 2, chaos = { crash = 0.2, seed = 3 } }
    check(pool, { chunksize = 4, retries = 50, retry = { base = 0.0001 } })
    local stats = pool:stats()
    assert.is_true(stats.retried > 0)
    assert.is_true(stats.workers_started > 2)
  end)

  it("gives every result with retries, and counts late answers", function()
    local pool <close> = lambdapool.pool { workers = 2, retries = 50, retry = { base = 0.0001 },
      chaos = { crash = 0.05, lose = 0.1, delay = 0.1, throttle = 0.1, seconds = 0.001, seed = 5 } }
    check(pool, { chunksize = 2, retries = 50, retry = { base = 0.0001 } })
    local count = 0
    for i, value in pool:imap_unordered(function(x) return -x end, list, { chunksize = 2 }) do
      assert(value == -i)
      count = count + 1
    end
    assert.equal(#list, count)
    local stats = pool:stats()
    assert.is_true(stats.duplicates > 0)
    assert.equal(2 * #list, stats.done)
  end)

  it("resolves every task once without, too", function()
    local pool <close> = lambdapool.pool { workers = 2,
      chaos = { crash = 0.1, lose = 0.1, throttle = 0.1, seconds = 0.001, seed = 9 } }
    local seen, failed = {}, 0
    for i, value, err in pool:each(function(x) return -x end, list, { chunksize = 2 }) do
      assert.is_nil(seen[i])
      seen[i] = true
      assert.is_true(value == -i or err.kind == "crashed" or err.kind == "lost")
      failed = failed + (err and 1 or 0)
    end
    assert.equal(#list, #seen)
    local stats = pool:stats()
    assert.same({ #list, failed }, { stats.done + stats.failed, stats.failed })
    assert.is_true(failed > 0)
  end)
end)
