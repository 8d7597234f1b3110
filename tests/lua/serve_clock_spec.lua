local clock = require "lambdapool.serve.lambda.clock"

describe("times of the API", function()
  it("have milliseconds and an offset for functions", function()
    assert.equal("1970-01-01T00:00:00.000+0000", clock.offset(0))
    assert.equal("2026-01-01T00:00:00.250+0000", clock.offset(1767225600.25))
    assert.equal("2026-01-01T00:00:00.999+0000", clock.offset(1767225600.9999))
  end)

  it("have microseconds and a Z for function URLs", function()
    assert.equal("2026-01-01T00:00:00.000000Z", clock.zulu(1767225600))
    assert.equal("2026-01-01T00:00:00.500000Z", clock.zulu(1767225600.5))
  end)
end)
