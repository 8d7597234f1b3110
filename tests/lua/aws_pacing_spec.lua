local pacing = require "lambdapool.backend.aws.pacing"

-- How many may be under way at a time, when so many are and there is no end of work.
local function room(self, now, running)
  while running < 10000 and self:allows(running, now) do
    running = running + 1
  end
  return running
end

describe("pacing", function()
  it("knows no bound but the workers up to 1,000", function()
    local self = pacing.new(1000, 0)
    assert.is_true(self:allows(999, 0))
    assert.is_true(self:allows(1000, 0)) -- who has workers counts them
  end)

  it("begins with 1,000 and takes 100 more each second that they are needed", function()
    local self = pacing.new(1500, 0)
    assert.equal(1000, room(self, 0, 0))
    assert.near(1100, room(self, 1, 1000), 1)
    assert.is_true(self:allows(5, 60)) -- an idle minute brings nothing
    assert.near(1100, room(self, 60, 5), 1)
    assert.near(1200, room(self, 61, 1100), 1)
    local running = 1200
    for now = 62, 70 do
      running = room(self, now, running)
    end
    assert.is_true(self:allows(1499, 70))
  end)

  it("goes down to what runs when more is refused", function()
    local self = pacing.new(1000, 0)
    for running = 999, 10, -1 do
      self:refuse(running, 0.1)
    end
    assert.equal(10, room(self, 0.2, 0))
    self:refuse(0, 0.3)
    assert.equal(1, room(self, 0.4, 0))
  end)

  it("grows again, slowly, by what it is", function()
    local self = pacing.new(1000, 0)
    self:refuse(100, 0)
    assert.equal(100, room(self, 0.4, 0))
    local now, running = 0.4, 100
    while now < 10 do
      now = now + 0.1
      running = room(self, now, running)
    end
    assert.is_true(running > 200 and running < 400, running)
    while now < 60 do
      now = now + 0.1
      running = room(self, now, math.min(running, 999))
    end
    assert.is_true(self:allows(999, now))
  end)

  it("says when to look again", function()
    local self = pacing.new(2000, 0)
    assert.equal(1000, room(self, 0, 0))
    assert.is_true(self:delay(1000) <= 0.01)
    self:refuse(1, 0)
    assert.is_true(self:delay(1) <= 1)
  end)
end)
