local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local json = require "lambdapool.json"
local paging = require "lambdapool.serve.lambda.paging"

local function key(row)
  return { row.name, row.number }
end

local function show(row)
  return row.name .. row.number
end

local ROWS = { { name = "a", number = 1 }, { name = "a", number = 2 }, { name = "b", number = 1 } }

describe("pages", function()
  it("end with a marker when there are more rows", function()
    local page, marker = paging.cut(ROWS, 2, key, show)
    assert.same({ "a1", "a2" }, page)
    assert.same({ "a", 2 }, paging.start({ Marker = marker }, { "", 0 }))
  end)

  it("end without one after the last row", function()
    local page, marker = paging.cut(ROWS, 3, key, show)
    assert.same({ "a1", "a2", "b1" }, page)
    assert.is_nil(marker)
  end)

  it("are lists also when they are empty", function()
    assert.equal("[]", json.encode((paging.cut({}, 3, key, show))))
  end)

  it("begin where they are told to, or at the first key", function()
    assert.same({ "", 0 }, paging.start({}, { "", 0 }))
    assert.same({ "", 0 }, paging.start({ Marker = "" }, { "", 0 }))
  end)

  it("do not begin at keys of another kind", function()
    for _, text in ipairs { '["a"]', '["a","b"]', '["a",1.5]', "[[],{}]", "null", "1", "[" } do
      local ok, e = pcall(paging.start, { Marker = crypto.base64(text) }, { "", 0 })
      assert.is_false(ok, text)
      assert.is_true(fault.is(e), tostring(e))
    end
  end)

  it("are as large as is asked for, within a limit", function()
    assert.equal(50, paging.size({}, 50))
    assert.equal(7, paging.size({ MaxItems = 7 }, 50))
    assert.equal(50, paging.size({ MaxItems = 10000 }, 50))
  end)
end)
