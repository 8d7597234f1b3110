local archive = require "lambdapool.archive"
local code = require "lambdapool.serve.lambda.code"
local crypto = require "lambdapool.crypto"
local fault = require "lambdapool.serve.fault"
local support = require "lua.serve_store_support"

local INVALID = "400 InvalidParameterValueException: "
local UNZIP = INVALID .. "Could not unzip uploaded file. Please check your file, then try to " ..
  "upload again."

describe("code", function()
  local world

  before_each(function() world = support.open() end)
  after_each(function() world:close() end)

  -- "status type: message" of the fault for the bytes of a zip.
  local function problem(bytes)
    local ok, e = pcall(code.take, world.service, { ZipFile = crypto.base64(bytes) })
    assert.is_false(ok)
    assert.is_true(fault.is(e), tostring(e))
    return e.status .. " " .. tostring(e)
  end

  it("is stored under its digest, with its sizes", function()
    local zip = archive.create { { name = "bootstrap", data = ("x"):rep(1000), mode = 493 } }
    assert.same({ hash = crypto.sha256(zip), digest = crypto.sha256_base64(zip), size = #zip,
      unzipped = 1000 }, code.take(world.service, { ZipFile = crypto.base64(zip) }))
    assert.equal(zip, world.service.store.blobs:get(crypto.sha256(zip)))
  end)

  it("is only checked in a dry run", function()
    local zip = archive.create { { name = "a", data = "b" } }
    assert.same({ digest = crypto.sha256_base64(zip), size = #zip, unzipped = 1 },
      code.take(world.service, { ZipFile = crypto.base64(zip) }, true))
    assert.is_nil(world.service.store.blobs:get(crypto.sha256(zip)))
  end)

  it("is refused when it is no zip, an empty one, or cut off", function()
    local zip = archive.create { { name = "a", data = ("b"):rep(100) } }
    assert.equal(UNZIP, problem "no zip")
    assert.equal(UNZIP, problem(zip:sub(1, -2)))
    assert.equal(UNZIP, problem(zip:sub(1, #zip // 2)))
    assert.equal(INVALID .. "Uploaded file must be a non-empty zip", problem "")
    local empty = "PK\5\6" .. ("\0"):rep(18)
    assert.equal(INVALID .. "Uploaded file must be a non-empty zip", problem(empty))
  end)

  it("is refused when it would be unpacked outside of its folder", function()
    local zip = archive.create { { name = "aa/b", data = "c" } }
    assert.equal(UNZIP, problem((zip:gsub("aa/b", "../b"))))
    assert.equal(UNZIP, problem((zip:gsub("aa/b", "/a/b"))))
  end)

  it("is refused when it is too large, packed or unpacked", function()
    assert.equal("413 RequestEntityTooLargeException: Zipped size must be smaller than 52428800 " ..
      "bytes", problem(("x"):rep(52428801)))
    local bomb = archive.create { { name = "a", data = ("\0"):rep(code.LARGEST + 1) } }
    assert.is_true(#bomb < 1000000)
    assert.equal(INVALID .. "Unzipped size must be smaller than 262144000 bytes", problem(bomb))
  end)

  it("is refused when it is too large together with its layers", function()
    world.service.settle_seconds = 0
    local half = crypto.base64(archive.create {
      { name = "a", data = ("\0"):rep(code.LARGEST // 2 + 1) },
    })
    local layer = world:ok("PublishLayerVersion",
      { LayerName = "l", Content = { ZipFile = half } }).LayerVersionArn
    local refusal = INVALID .. "Function code combined with layers exceeds the maximum allowed " ..
      "size of 262144000 bytes. The actual size is 262144002 bytes."
    assert.equal(refusal, world:fails("CreateFunction", { FunctionName = "f", Handler = "h",
      Runtime = "provided", Role = support.ROLE, Code = { ZipFile = half }, Layers = { layer } }))
    world:create("f", { Layers = { layer } })
    assert.equal(refusal, world:fails("UpdateFunctionCode",
      { FunctionName = "f", ZipFile = half }))
    world:create("g", { Code = { ZipFile = half } })
    assert.equal(refusal, world:fails("UpdateFunctionConfiguration",
      { FunctionName = "g", Layers = { layer } }))
  end)
end)
