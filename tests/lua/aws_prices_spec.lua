local prices = require "lambdapool.aws.prices"

describe("prices", function()
  it("are those of the region and the processor", function()
    assert.near(0.0000166667, prices.cost("us-east-1", "x86_64", 1, 0), 1e-12)
    assert.near(0.0000133334, prices.cost("eu-central-1", "arm64", 1, 0), 1e-12)
    assert.near(0.00002292, prices.cost("ap-east-1", "x86_64", 1, 0), 1e-12)
    assert.near(0.0000206667, prices.cost("me-south-1", nil, 1, 0), 1e-12)
    assert.near(0.0000166667, prices.cost("moon-north-1", "riscv", 1, 0), 1e-12)
  end)

  it("are also for requests", function()
    assert.near(0.20, prices.cost("us-east-1", "arm64", 0, 1000000), 1e-9)
    assert.equal(0, prices.cost("us-east-1", nil, 0, 0))
  end)

  it("have a date", function()
    assert.matches("^%d%d%d%d%-%d%d$", prices.date)
  end)
end)
