--- Random numbers of tasks: they depend on the pool's seed and the item, and on nothing else.

local lambdapool = require "lambdapool"
local support = require "tests.lua.pool_support"

local list = support.range(1, 60)

local function draw()
  return math.random(1 << 40)
end

local function pool_of(workers, seed)
  return lambdapool.pool { workers = workers, seed = seed }
end

-- The numbers of `list` from a loop.
local function gather(...)
  local numbers = {}
  for i, number in ... do
    numbers[i] = number
  end
  return numbers
end

-- Every way to run a function over a list.
local ways = {
  ["map"] = function(pool) return pool:map(draw, list) end,
  ["map with chunks of 1"] = function(pool) return pool:map(draw, list, { chunksize = 1 }) end,
  ["map with chunks of 7"] = function(pool) return pool:map(draw, list, { chunksize = 7 }) end,
  ["map_async"] = function(pool) return pool:map_async(draw, list):get() end,
  ["starmap"] = function(pool)
    local items = {}
    for i = 1, #list do
      items[i] = { i }
    end
    return pool:starmap(draw, items)
  end,
  ["imap"] = function(pool) return gather(pool:imap(draw, list)) end,
  ["imap of an iterator"] = function(pool) return gather(pool:imap(draw, ipairs(list))) end,
  ["imap with chunks of 7"] = function(pool)
    return gather(pool:imap(draw, list, { chunksize = 7 }))
  end,
  ["imap_unordered"] = function(pool) return gather(pool:imap_unordered(draw, list)) end,
  ["each"] = function(pool) return gather(pool:each(draw, list)) end,
}

describe("the random numbers of a call", function()
  local expected

  setup(function()
    local pool <close> = pool_of(1, 42)
    expected = pool:map(draw, list)
    expected.n = nil
  end)

  for workers = 1, 4 do
    it(("do not depend on how it runs, on %d workers"):format(workers), function()
      local pool <close> = pool_of(workers, 42)
      for name, way in pairs(ways) do
        local numbers = way(pool)
        numbers.n = nil
        assert.same(expected, numbers, name)
      end
    end)
  end

  it("do not depend on a retry, nor on faults", function()
    local pool <close> = lambdapool.pool { workers = 2, seed = 42, retries = 50,
      retry = { base = 0.0001 }, chaos = { crash = 0.2, lose = 0.2, seed = 1 } }
    local numbers = pool:map(draw, list, { chunksize = 2 })
    numbers.n = nil
    assert.same(expected, numbers)
  end)

  it("are those of an executor, too", function()
    local executor <close> = lambdapool.executor { workers = 2, seed = 42 }
    assert.same(expected, gather(executor:map(draw, list)))
  end)

  it("differ between items", function()
    local seen = {}
    for _, number in ipairs(expected) do
      assert.is_nil(seen[number])
      seen[number] = true
    end
  end)

  it("differ between seeds, and between pools without", function()
    local first <close> = pool_of(1, 43)
    local second <close> = pool_of(1)
    local third <close> = pool_of(1)
    local one = first:map(draw, list)
    assert.not_equal(expected[1], one[1])
    assert.not_equal(second:map(draw, list)[1], third:map(draw, list)[1])
  end)

  it("are independent of one another", function()
    local pool <close> = pool_of(2, 42)
    local sums = pool:map(function() return math.random() end, support.range(1, 10000))
    local sum, pairs_above = 0, 0
    for i = 1, 10000 do
      sum = sum + sums[i]
      pairs_above = pairs_above + (i > 1 and sums[i] > 0.5 and sums[i - 1] > 0.5 and 1 or 0)
    end
    assert.is_true(math.abs(sum / 10000 - 0.5) < 0.02)
    assert.is_true(math.abs(pairs_above / 10000 - 0.25) < 0.03)
  end)

  it("leave the script's own alone, and the task may seed its own", function()
    local pool <close> = pool_of(1, 42)
    math.randomseed(5)
    local own = draw()
    math.randomseed(5)
    pool:map(draw, list)
    assert.equal(own, draw())
    local seeded = pool:map(function()
      math.randomseed(5)
      return math.random(1 << 40)
    end, { 1, 2 })
    assert.same({ own, own, n = 2 }, seeded)
    local numbers = pool:map(draw, list)
    assert.equal(expected[1], numbers[1])
  end)
end)

describe("the random numbers of tasks that are begun one by one", function()
  local function draw_again()
    return math.random(1 << 40)
  end

  -- The numbers of ten tasks of two functions, begun by begin(f).
  local function ten(begin)
    local results, numbers = {}, {}
    for i = 1, 10 do
      results[i] = begin(i % 3 == 0 and draw_again or draw)
    end
    for i = 10, 1, -1 do
      numbers[i] = (results[i].get or results[i].result)(results[i])
    end
    return numbers
  end

  it("depend on the seed and the order of submission only", function()
    local expected
    for workers = 1, 4 do
      local executor <close> = lambdapool.executor { workers = workers, seed = 42 }
      local numbers = ten(function(f) return executor:submit(f) end)
      expected = expected or numbers
      assert.same(expected, numbers)
    end
    local pool <close> = pool_of(2, 42)
    assert.same(expected, ten(function(f) return pool:apply_async(f) end))
    local slow <close> = pool_of(2, 42)
    for i = 1, 10 do
      assert.equal(expected[i], slow:apply(i % 3 == 0 and draw_again or draw))
    end
  end)

  it("differ between tasks and seeds", function()
    local first <close> = lambdapool.executor { workers = 1, seed = 1 }
    local second <close> = lambdapool.executor { workers = 1, seed = 2 }
    local seen = {}
    for _, executor in ipairs { first, second } do
      for _, number in ipairs(ten(function(f) return executor:submit(f) end)) do
        assert.is_nil(seen[number])
        seen[number] = true
      end
    end
  end)
end)

describe("the seed", function()
  it("is in the numbers of a pool, and makes the run again", function()
    local first <close> = pool_of(2)
    local seed = first:stats().seed
    assert.equal("integer", math.type(seed))
    local second <close> = pool_of(1, seed)
    assert.equal(seed, second:stats().seed)
    assert.same(first:map(draw, list), second:map(draw, list))
  end)

  it("may be any integer", function()
    local numbers = {}
    for _, seed in ipairs { math.mininteger, -1, 0, 1, math.maxinteger } do
      local pool <close> = pool_of(1, seed)
      local number = pool:apply(draw)
      assert.is_nil(numbers[number])
      numbers[number] = true
      assert.equal(seed, pool:stats().seed)
    end
    assert.matches("option 'seed' must be an integer", support.error_of(pool_of, 1, 1.5))
  end)
end)
