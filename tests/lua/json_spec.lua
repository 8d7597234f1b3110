local json = require "lambdapool.json"

describe("json", function()
  it("brings integers back", function()
    local value = json.decode '{"a":[1,2.5,-3,1e3],"b":"x"}'
    assert.same({ a = { 1, 2.5, -3, 1000 }, b = "x" }, value)
    assert.equal("integer", math.type(value.a[1]))
    assert.equal("float", math.type(value.a[2]))
  end)

  it("says what is wrong with a text that is not JSON", function()
    local value, message = json.decode "{"
    assert.is_nil(value)
    assert.is_string(message)
  end)
end)
