--- Tasks that are submitted one by one: how they go together on a scripted backend, and that their
--- code travels as it is at each submit.

local fakes = require "tests.lua.fakes"
local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

describe("packs", function()
  local world, scheduler, backend, packs

  local function open(workers, script)
    scheduler, backend = world.open(workers, script)
    packs = world.packs.new(scheduler)
  end

  local function submit(code, ...)
    local future = world.future.new(packs)
    packs:submit(future, code, ...)
    return future
  end

  local function answer(number)
    local ticket = backend.tickets[number]
    ticket.done(fakes.answer(ticket, function(item) return item[1] end, 1))
  end

  -- The items of each invocation so far.
  local function sent()
    local lists = {}
    for i, ticket in ipairs(backend.tickets) do
      local items = {}
      for k, item in ipairs(ticket.request.items) do
        items[k] = tostring(item[1])
      end
      lists[i] = ticket.request.code .. " " .. table.concat(items, " ")
    end
    return lists
  end

  before_each(function()
    world = fakes.world()
    open(1)
  end)

  it("send the first at once, and together what came while no worker was free", function()
    local futures = {}
    for i = 1, 4 do
      futures[i] = submit("f", i)
    end
    answer(1)
    while #backend.tickets > 1 and not futures[4]:done() do
      answer(#backend.tickets)
    end
    assert.equal("f 1", sent()[1])
    assert.is_true(#backend.tickets < 4)
    for i = 1, 4 do
      assert.equal(i, futures[i]:result())
    end
  end)

  it("never share an invocation with other code", function()
    for i = 1, 4 do
      submit(i % 2 == 0 and "even" or "odd", i)
    end
    for i = 1, 3 do
      answer(i)
    end
    local lists = sent()
    table.sort(lists)
    assert.same({ "even 2", "even 4", "odd 1", "odd 3" }, lists)
  end)

  it("hold no more than so many tasks and bytes", function()
    submit("f", 0)
    for i = 1, 3000 do
      submit("f", i)
    end
    local batches, before = 0, nil
    for i = scheduler.queue.head, scheduler.queue.tail do
      local batch = scheduler.queue.entries[i].batch
      assert.is_true(batch.n <= 1024)
      batches = batches + (batch ~= before and 1 or 0)
      before = batch
    end
    assert.equal(3, batches)
    world.loop.pump(0)
  end)

  it("number their tasks by the order of submission", function()
    local futures = {}
    for i = 1, 3000 do
      futures[i] = submit("f", i)
    end
    local seen = {}
    for number = 1, 4000 do
      local ticket = backend.tickets[number]
      if not ticket then
        break
      end
      for k, item in ipairs(ticket.request.items) do
        seen[item[1]] = ticket.request.options.position + ticket.request.first + k - 1
      end
      answer(number)
    end
    for i = 2, 3000 do
      assert(seen[i] > seen[i - 1])
    end
    assert.is_true(futures[3000]:done())
  end)

  it("refuse what cannot be sent when it is submitted, and only that", function()
    assert.has_error(function() submit("f", "unsendable") end, "cannot send item 1")
    local future = submit("f", 7)
    answer(1)
    assert.equal(7, future:result())
    assert.is_true(scheduler:is_idle())
  end)

  it("keep nothing of tasks that have ended", function()
    local future = submit("f", {})
    local batch = future.batch
    answer(1)
    assert.is_nil(future.batch)
    for _, name in ipairs { "items", "records", "futures" } do
      assert.is_nil(next(batch[name]))
    end
    assert.is_nil(next(batch.columns[1]))
  end)
end)

describe("the code of tasks that are submitted", function()
  local executor

  before_each(function()
    executor = lambdapool.executor { workers = 1 }
  end)

  after_each(function()
    executor:shutdown { cancel_futures = true }
  end)

  it("has its upvalues as they are then", function()
    local n = 0
    local function get()
      return n
    end
    local futures = {}
    for i = 1, 100 do
      n = i
      futures[i] = executor:submit(get)
    end
    for i = 1, 100 do
      assert.equal(i, futures[i]:result())
    end
  end)

  it("has tables and globals as they are then", function()
    local config = {}
    _G.packs_level = 0
    local function get()
      return config.level, _G.packs_level
    end
    local futures = {}
    for i = 1, 10 do
      config.level, _G.packs_level = i, -i
      futures[i] = executor:submit(get)
    end
    _G.packs_level = nil
    for i = 1, 10 do
      assert.same({ i, -i }, { futures[i]:result() })
    end
  end)

  it("may be another function each time", function()
    local futures = {}
    for i = 1, 20 do
      futures[i] = executor:submit(function(x) return x * i end, 10)
    end
    for i = 1, 20 do
      assert.equal(10 * i, futures[i]:result())
    end
  end)

  it("brings classes back as the caller's own", function()
    local Point = {}
    Point.__index = Point
    local function move(p)
      return setmetatable({ x = p.x + 1 }, Point)
    end
    local futures = {}
    for i = 1, 20 do
      futures[i] = executor:submit(move, setmetatable({ x = i }, Point))
    end
    for i = 1, 20 do
      local p = futures[i]:result()
      assert.equal(i + 1, p.x)
      assert.equal(Point, getmetatable(p))
    end
  end)

  it("takes arguments with hooks, and gives them back", function()
    local Ratio = {}
    Ratio.__index = Ratio
    local function ratio(a, b)
      return setmetatable({ a = a, b = b }, Ratio)
    end
    function Ratio.__lambdapool(self)
      return ratio, self.a, self.b
    end
    local futures = {}
    for i = 1, 10 do
      futures[i] = executor:submit(function(r) return r, r.a / r.b end, ratio(i, 2))
    end
    for i = 1, 10 do
      local r, quotient = futures[i]:result()
      assert.equal(i / 2, quotient)
      assert.equal(Ratio, getmetatable(r))
      assert.equal(i, r.a)
    end
  end)

  it("gives no, one and many values, nils in place, in any mixture", function()
    local futures = {}
    for i = 0, 60 do
      futures[i] = executor:submit(function(n, ...) return select(n, ...) end, i % 4 + 1,
        i, nil, nil)
    end
    for i = 0, 60 do
      local expected = table.pack(select(i % 4 + 1, i, nil, nil))
      assert.same(expected, table.pack(futures[i]:result()))
    end
  end)

  it("fails one by one", function()
    local futures = {}
    for i = 1, 30 do
      futures[i] = executor:submit(function(n)
        return n % 3 == 0 and error("three: " .. n, 0) or n
      end, i)
    end
    for i = 1, 30 do
      if i % 3 == 0 then
        local e = support.error_of(futures[i].result, futures[i])
        assert.equal("three: " .. i, e.message)
        assert.is_nil(e.index)
      else
        assert.equal(i, futures[i]:result())
      end
    end
  end)
end)
