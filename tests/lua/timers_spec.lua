local function load_copy()
  local name = "lambdapool.timers"
  local kept = package.loaded[name]
  package.loaded[name] = nil
  local timers = require(name)
  package.loaded[name] = kept
  return timers
end

describe("timers", function()
  local timers, fired

  before_each(function()
    timers, fired = load_copy(), {}
  end)

  local function start(time)
    return timers.start(time, function() fired[#fired + 1] = time end)
  end

  it("fire when they are due, the earliest first", function()
    for _, time in ipairs { 5, 3, 9, 1, 7 } do
      start(time)
    end
    assert.equal(1, timers.next())
    assert.is_true(timers.run(5))
    assert.same({ 1, 3, 5 }, fired)
    assert.is_false(timers.run(6))
    assert.equal(7, timers.next())
  end)

  it("fire one at a time when asked to", function()
    for _, time in ipairs { 2, 1, 3 } do
      start(time)
    end
    assert.is_true(timers.run_one(2))
    assert.same({ 1 }, fired)
    assert.is_true(timers.run_one(2))
    assert.is_false(timers.run_one(2))
    assert.same({ 1, 2 }, fired)
    assert.equal(3, timers.next())
  end)

  it("fire once", function()
    start(1)
    timers.run(2)
    assert.is_false(timers.run(3))
    assert.same({ 1 }, fired)
    assert.is_nil(timers.next())
  end)

  it("are forgotten when they are cancelled, before or after", function()
    local first, second = start(1), start(2)
    first:cancel()
    first:cancel()
    assert.equal(2, timers.next())
    timers.run(3)
    second:cancel()
    assert.same({ 2 }, fired)
  end)

  it("may start and cancel others while they fire", function()
    local later = start(3)
    timers.start(2, function()
      later:cancel()
      start(2)
    end)
    timers.run(5)
    assert.same({ 2 }, fired)
  end)

  it("that raise are over, and keep nothing from the others", function()
    timers.start(1, function() error("broken", 0) end)
    start(2)
    local ok, message = pcall(timers.run, 3)
    assert.is_false(ok)
    assert.equal("broken", message)
    timers.run(3)
    assert.same({ 2 }, fired)
  end)

  it("come in order however many are started and cancelled", function()
    local expected, seed = {}, 1
    for i = 1, 2000 do
      seed = seed * 6364136223846793005 + 1442695040888963407
      local timer = start(seed >> 40)
      if i % 3 == 0 then
        expected[#expected + 1] = seed >> 40
      else
        timer:cancel()
      end
    end
    table.sort(expected)
    timers.run(math.huge)
    assert.same(expected, fired)
  end)
end)
