local meters = require "lambdapool.meter"

describe("meter", function()
  it("groups digits", function()
    for n, text in pairs {
      [0] = "0", [7] = "7", [999] = "999", [1000] = "1,000", [99999] = "99,999",
      [100000] = "100,000", [1234567] = "1,234,567",
    } do
      assert.equal(text, meters.group(n))
    end
  end)

  it("says rates in the unit that fits", function()
    for text, tasks in pairs {
      ["81,234/s"] = 81234.4, ["412/s"] = 411.6, ["10/s"] = 9.96, ["9.9/s"] = 9.94, ["1/s"] = 1,
      ["1.5/s"] = 1.5, ["30/min"] = 0.5, ["1.2/min"] = 0.02, ["36/h"] = 0.01, ["0.4/h"] = 0.0001,
    } do
      assert.equal(text, meters.rate(tasks))
    end
  end)

  it("says durations", function()
    for text, seconds in pairs {
      ["0:00"] = 0, ["0:01"] = 0.2, ["0:15"] = 15, ["1:00"] = 59.5, ["1:15"] = 75,
      ["59:59"] = 3599, ["1:01:15"] = 3675, ["23:59:59"] = 86399, ["2d 2h"] = 180000,
    } do
      assert.equal(text, meters.duration(seconds))
    end
  end)
end)

describe("the rate of a meter", function()
  it("is nothing before the first task has ended", function()
    local meter = meters.new(5)
    meter:add(5, 0)
    assert.is_nil(meter:rate())
    meter:add(8, 0)
    assert.is_nil(meter:rate())
    assert.is_nil(meter:average())
  end)

  it("counts from the beginning at first", function()
    local meter = meters.new(100)
    meter:add(102, 50)
    assert.equal(25, meter:rate())
    meter:add(104, 200)
    assert.equal(50, meter:rate())
  end)

  it("forgets what is older than its window", function()
    local meter = meters.new(0)
    for second = 1, 20 do
      meter:add(second, second * 100)
    end
    assert.equal(100, meter:rate())
    for second = 21, 40 do
      meter:add(second, 2000 + (second - 20) * 10)
    end
    assert.equal(10, meter:rate())
    assert.equal(2200 / 40, meter:average())
  end)

  it("falls while nothing ends", function()
    local meter = meters.new(0)
    for second = 1, 10 do
      meter:add(second, second * 10)
    end
    assert.equal(10, meter:rate())
    meter:add(18, 100)
    local rate = meter:rate()
    assert.is_true(rate > 0 and rate < 10)
  end)

  it("looks further back where tasks are slow", function()
    local meter = meters.new(0)
    for k = 1, 20 do
      meter:add(k * 30, k)
    end
    assert.equal(1 / 30, meter:rate())
  end)

  it("keeps few samples", function()
    local meter = meters.new(0)
    for k = 1, 100000 do
      meter:add(k / 100, k)
    end
    assert.is_true(math.abs(meter:rate() - 100) < 1)
    local samples = 0
    for _ in pairs(meter.times) do
      samples = samples + 1
    end
    assert.is_true(samples <= 42)
  end)
end)
