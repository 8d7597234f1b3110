--- Streams on a scripted backend of two workers: what is read when, what is yielded, and what
--- remains when a loop is left.

local fakes = require "tests.lua.fakes"
local sources = require "lambdapool.source"
local support = require "tests.lua.pool_support"

local error_of = support.error_of

describe("a stream", function()
  local world, scheduler, backend

  -- Tasks take `seconds` each; f(item) is what they return, by default the item.
  local function open(seconds, f)
    scheduler, backend = world.open(2, function(ticket)
      return fakes.answer(ticket, function(item)
        item = item[1]
        if f then
          return f(item)
        end
        return item
      end, seconds * 1e6), #ticket.request.items * seconds
    end)
  end

  before_each(function()
    world = fakes.world()
    open(1)
  end)

  -- What a generic `for` wants. `from` is a list or an iterator; `how` may have chunksize.
  local function start(from, how)
    how = how or {}
    local call = scheduler:call { code = "f", target_us = 5000, size = how.chunksize }
    local source = sources.open("", {}, 1, from, nil, nil, how.closing)
    source.star = false
    if not source.list then
      local read = source.read
      function source.read()
        local more, item = read()
        return more, item[1]
      end
    end
    return world.stream.start(scheduler, call, source, how)
  end

  -- A source without end, 1, 2, 3 ..., and how far it was read.
  local function naturals()
    local source = { read = 0 }
    function source.next()
      source.read = source.read + 1
      return source.read
    end
    return source
  end

  local function collect(...)
    local got = {}
    for i, value in ... do
      got[#got + 1] = { i, value }
    end
    return got
  end

  describe("yields", function()
    it("in order, whatever ends first", function()
      open(1)
      function backend.script(ticket)
        local item = ticket.request.items[1][1]
        return fakes.answer(ticket, function() return item end), 10 - item
      end
      assert.same({ { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 } },
        collect(start({ 1, 2, 3, 4 }, { ordered = true, chunksize = 1 })))
    end)

    it("as tasks end, where order is not asked for", function()
      function backend.script(ticket)
        local item = ticket.request.items[1][1]
        return fakes.answer(ticket, function() return item end), item
      end
      assert.same({ { 2, 1 }, { 1, 5 }, { 3, 4 } }, collect(start({ 5, 1, 4 },
        { chunksize = 1 })))
    end)

    it("nothing for nothing, and reads it once", function()
      local reads = 0
      local step = start(function() reads = reads + 1 end)
      assert.is_nil(step())
      assert.is_nil(step())
      assert.equal(1, reads)
      assert.is_nil(start({}, { ordered = true })())
      assert.equal(0, #backend.tickets)
    end)

    it("nils in their places", function()
      for _, ordered in ipairs { true, false } do
        open(0.001, function(item)
          if item ~= 2 then
            return item
          end
        end)
        local got = {}
        for i, value in start({ 1, 2, nil, 4, n = 5 }, { ordered = ordered, chunksize = 2 }) do
          got[i] = value or "nil"
        end
        assert.same({ 1, "nil", "nil", 4, "nil" }, got)
      end
    end)

    it("errors when their turn comes, and goes on behind", function()
      function backend.script(ticket)
        local outcome = fakes.answer(ticket, function(item) return item[1] end)
        if ticket.request.items[1][1] == 3 then
          outcome.bytes.errors = { { kind = "error", message = "three" } }
        end
        return outcome
      end
      local step = start({ 1, 2, 3, 4, 5 }, { ordered = true, chunksize = 2 })
      assert.equal(1, (step()))
      assert.equal(2, (step()))
      local e = error_of(step)
      assert.same({ "three", 3, 5 }, { e.message, e.index, e.count })
      assert.same({ 4, 4 }, { step() })
      assert.same({ 5, 5 }, { step() })
      assert.is_nil((step()))
    end)

    it("errors as values, when asked to", function()
      function backend.script(ticket)
        return { kind = "lost", message = "m" .. ticket.number }
      end
      local got = {}
      for i, value, err in start({ 7, 8 }, { errors = true, chunksize = 1 }) do
        got[i] = { value or "nil", err.kind, err.index }
      end
      assert.same({ { "nil", "lost", 1 }, { "nil", "lost", 2 } }, got)
    end)
  end)

  describe("reads", function()
    -- The most items that were read ahead of what the loop had got.
    local function most_ahead(seconds, how, items)
      open(seconds)
      local source = naturals()
      local ahead = 0
      local got = 0
      for _ in start(source.next, how) do
        got = got + 1
        ahead = math.max(ahead, source.read - got)
        if got == items then
          break
        end
      end
      return ahead
    end

    it("of slow tasks one for each worker, and two", function()
      for _, ordered in ipairs { true, false } do
        assert.equal(3, most_ahead(1, { ordered = ordered }, 50))
      end
    end)

    it("of tiny tasks as many chunks, whose size is bounded", function()
      for _, ordered in ipairs { true, false } do
        local ahead = most_ahead(1e-6, { ordered = ordered }, 20000)
        assert.is_true(1024 < ahead and ahead < 4 * 1024)
      end
    end)

    it("as many chunks of the size asked for", function()
      assert.equal(39, most_ahead(1, { ordered = true, chunksize = 10 }, 200))
    end)

    it("what it needs at the start, and no more before the loop goes on", function()
      local source = naturals()
      local step = start(source.next, { ordered = true })
      assert.equal(4, source.read)
      world.loop.pump(10)
      world.loop.pump(10)
      assert.equal(4, source.read)
      step()
      assert.equal(4, source.read)
      step()
      assert.equal(5, source.read)
    end)

    it("again as soon as an item ends, where order is not asked for", function()
      function backend.script(ticket)
        local item = ticket.request.items[1][1]
        return fakes.answer(ticket, nil, 1e6), item == 1 and 1000 or 1
      end
      local source = naturals()
      local got = 0
      for i in start(source.next, { ordered = false }) do
        got = got + 1
        if i == 1 then
          break
        end
        assert.is_true(source.read <= got + 4)
      end
      assert.is_true(got > 900)
    end)

    it("to its end once", function()
      local left, after = 3, 0
      collect(start(function()
        left = left - 1
        after = left < -1 and after + 1 or after
        return left >= 0 and left or nil
      end, { ordered = true }))
      assert.equal(0, after)
    end)
  end)

  describe("whose source raises", function()
    it("gives first what was read before, then the error, once", function()
      local n = 0
      local step = start(function()
        n = n + 1
        return n <= 3 and n or error("no more", 0)
      end, { ordered = true })
      for i = 1, 3 do
        assert.same({ i, i }, { step() })
      end
      assert.equal("no more", error_of(step))
      assert.is_nil((step()))
      assert.equal(4, n)
    end)

    it("raises at once when there was nothing before, nil included", function()
      local step = start(function() error(nil) end)
      assert.is_nil(error_of(step))
      assert.is_nil((step()))
    end)

    it("says which item cannot be sent, behind those before it", function()
      local step = start({ 1, 2, "unsendable", 4 }, { ordered = true })
      assert.equal(1, (step()))
      assert.equal(2, (step()))
      assert.equal("cannot send item 3", error_of(step))
      assert.is_nil((step()))
    end)

    it("closes it", function()
      local closed = 0
      local closing = setmetatable({}, { __close = function() closed = closed + 1 end })
      local step = start(function() error("no more", 0) end, { closing = closing })
      error_of(step)
      assert.equal(1, closed)
    end)
  end)

  describe("that is left", function()
    local function leave_after(count, source, how)
      how.closing = setmetatable({}, { __close = function() source.closed = source.closed + 1 end })
      source.closed = 0
      for _ in start(source.next, how) do
        count = count - 1
        if count == 0 then
          break
        end
      end
    end

    for _, ordered in ipairs { true, false } do
      describe(ordered and "with order" or "without order", function()
        it("cancels what is queued and what runs", function()
          leave_after(3, naturals(), { ordered = ordered })
          local sent = #backend.tickets
          local cancelled = 0
          for _, ticket in ipairs(backend.tickets) do
            cancelled = cancelled + (ticket.cancelled and 1 or 0)
          end
          assert.equal(2, cancelled)
          local stats = scheduler:stats()
          assert.equal(stats.tasks, stats.done + stats.cancelled)
          for _ = 1, 5 do
            world.loop.pump(10)
          end
          assert.equal(sent, #backend.tickets)
          assert.is_true(scheduler:is_idle())
        end)

        it("reads no more, and closes its source once", function()
          local source = naturals()
          leave_after(3, source, { ordered = ordered })
          local read = source.read
          world.loop.pump(10)
          assert.equal(read, source.read)
          assert.equal(1, source.closed)
        end)
      end)
    end

    it("by an error does so, too", function()
      local source = naturals()
      source.closed = 0
      assert.equal("enough", error_of(function()
        for _ in start(source.next, { closing = setmetatable({}, { __close = function()
          source.closed = source.closed + 1
        end }) }) do
          error("enough", 0)
        end
      end))
      assert.equal(1, source.closed)
      world.loop.pump(10)
      assert.is_true(scheduler:is_idle())
    end)

    it("leaves other calls alone", function()
      local other = start({ "a", "b", "c" }, { ordered = true })
      leave_after(1, naturals(), { ordered = true })
      for _, name in ipairs { "a", "b", "c" } do
        assert.equal(name, select(2, other()))
      end
    end)

    it("at its own end has nothing to cancel", function()
      collect(start({ 1, 2, 3 }, { ordered = true }))
      assert.same({ 3, 3, 0 }, { scheduler:stats().tasks, scheduler:stats().done,
        scheduler:stats().cancelled })
    end)
  end)

  it("waits no longer than asked, counted from the call", function()
    open(2)
    local step = start({ 1, 2, 3, 4, 5, 6 }, { ordered = true, timeout = 5, chunksize = 1 })
    for i = 1, 4 do
      assert.equal(i, (step()))
    end
    local e = error_of(step)
    assert.equal("LambdaTimeoutError", support.class(e))
    assert.equal(1005, world.now)
    world.loop.pump(10)
    assert.is_true(scheduler:is_idle())
    assert.is_nil((step()))
  end)

  it("lets others go on when it is read in a flow", function()
    local sums = {}
    for flow = 1, 2 do
      sums[flow] = 0
      world.async.async(function()
        for _, value in start({ 1, 2, 3 }, { ordered = true, chunksize = 1 }) do
          sums[flow] = sums[flow] + value
        end
      end)
    end
    world.flow.drain()
    assert.same({ 6, 6 }, sums)
    assert.equal(1003, world.now) -- both workers were busy all the time
  end)
end)
