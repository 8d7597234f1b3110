local retries = require "lambdapool.retry"

local function new(given)
  local policy = retries.new("pool:map", given, 1)
  return policy
end

local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  assert.is_false(ok)
  return e
end

describe("a retry policy", function()
  it("is there when it is asked for", function()
    assert.is_nil(new {})
    assert.equal(2, new({ retries = 2 }).times)
    assert.equal(0, new({ retries = 0 }).times)
    assert.equal(5, new({ retries = 2, retry = { times = 5 } }).times)
    assert.equal(2, new({ retries = 2, retry = { base = 1 } }).times)
    assert.equal(3, new({ retry = {} }).times)
  end)

  it("wants what another start may cure", function()
    local policy = new { retries = 1 }
    for kind, wanted in pairs {
      timeout = true, out_of_memory = true, crashed = true, throttled = true, lost = true,
      error = false, too_large = false, cancelled = false,
    } do
      assert.equal(wanted, policy:wants({ kind = kind }, 1), kind)
    end
  end)

  it("wants it so often", function()
    local policy = new { retries = 2 }
    assert.is_true(policy:wants({ kind = "lost" }, 2))
    assert.is_false(policy:wants({ kind = "lost" }, 3))
    assert.is_false(new({ retries = 0 }):wants({ kind = "lost" }, 1))
  end)

  it("lets a function decide in place of the kind, but not how often", function()
    local asked = {}
    local policy = new { retry = { times = 2, on = function(err)
      asked[#asked + 1] = err.kind
      return err.message == "again" and 1 or nil
    end } }
    assert.is_true(policy:wants({ kind = "error", message = "again" }, 1))
    assert.is_false(policy:wants({ kind = "lost", message = "no" }, 1))
    assert.is_false(policy:wants({ kind = "error", message = "again" }, 3))
    assert.same({ "error", "lost" }, asked)
  end)

  it("waits a random time below a bound that doubles, up to the cap", function()
    local policy = new { retry = { times = 200, base = 1, cap = 10 } }
    for attempts, bound in pairs { 1, 2, 4, 8, 10, 10, [100] = 10, [5000] = 10 } do
      local least, most = math.huge, 0
      for _ = 1, 1000 do
        local delay = policy:delay(attempts)
        least, most = math.min(least, delay), math.max(most, delay)
      end
      assert.is_true(0 <= least and least < bound * 0.05)
      assert.is_true(bound * 0.95 < most and most <= bound)
    end
  end)

  it("leaves the generator of the script alone", function()
    math.randomseed(7)
    local expected = math.random(1 << 40)
    math.randomseed(7)
    new({ retries = 1 }):delay(1)
    assert.equal(expected, math.random(1 << 40))
  end)

  it("complains about what makes no sense", function()
    assert.matches("pool:map: retry: unknown option 'tmies', did you mean 'times'",
      error_of(new, { retry = { tmies = 1 } }))
    assert.matches("option 'times' must be at least 0", error_of(new, { retry = { times = -1 } }))
    assert.matches("option 'on' must be a function", error_of(new, { retry = { on = "lost" } }))
  end)
end)
