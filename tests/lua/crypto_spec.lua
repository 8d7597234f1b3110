--- Digests and random bytes, against the system's own programs and published vectors.
local crypto = require "lambdapool.crypto"

local function hex(bytes)
  return (bytes:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

-- Bytes of every value, of many lengths around the blocks of a digest.
local function samples()
  local list = {}
  for _, size in ipairs { 0, 1, 2, 3, 55, 56, 57, 63, 64, 65, 119, 120, 1000, 70000 } do
    local bytes = {}
    for i = 1, size do
      bytes[i] = string.char(i * 7 % 256)
    end
    list[#list + 1] = table.concat(bytes)
  end
  return list
end

local function output_of(command, input)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(input)
  file:close()
  local pipe = assert(io.popen(command .. " < " .. path))
  local output = pipe:read "a"
  assert(pipe:close())
  os.remove(path)
  return output
end

describe("sha256", function()
  it("is that of sha256sum", function()
    for _, bytes in ipairs(samples()) do
      assert.equal(output_of("sha256sum", bytes):match "^%x+", crypto.sha256(bytes))
    end
  end)

  it("comes in base64 too, and of files", function()
    assert.equal("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", crypto.sha256_base64 "abc")
    local path = os.tmpname()
    for _, bytes in ipairs { "", ("a\0\255"):rep(50000) } do
      local file <close> = assert(io.open(path, "wb"))
      file:write(bytes)
      file:close()
      assert.equal(crypto.sha256(bytes), crypto.file_sha256(path))
    end
    os.remove(path)
    assert.same(table.pack(nil, path .. ": No such file or directory", 2),
      table.pack(crypto.file_sha256(path)))
    assert.is_nil((crypto.file_sha256 "/"))
  end)
end)

describe("hmac", function()
  -- RFC 4231
  it("gives the published results", function()
    assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      hex(crypto.hmac(("\x0b"):rep(20), "Hi There")))
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      hex(crypto.hmac("Jefe", "what do ya want for nothing?")))
    assert.equal("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
      hex(crypto.hmac(("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First")))
  end)

  it("derives the signing key of AWS's example", function()
    local key = "AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    for _, part in ipairs { "20150830", "us-east-1", "iam", "aws4_request" } do
      key = crypto.hmac(key, part)
    end
    assert.equal("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9", hex(key))
  end)
end)

describe("base64", function()
  it("is that of base64, and comes back", function()
    for _, bytes in ipairs(samples()) do
      local text = crypto.base64(bytes)
      assert.equal(output_of("base64 -w 0", bytes), text)
      assert.equal(bytes, crypto.unbase64(text))
    end
  end)

  it("is nil when it is none", function()
    for _, text in ipairs { "a", "ab", "abc", "ab=c", "a===", "ab==cd==", "ab c", "abcd\n", "a-_b",
      "abc\0", "ab=" } do
      assert.is_nil(crypto.unbase64(text))
    end
    assert.equal("", crypto.unbase64 "")
  end)
end)

describe("crc32", function()
  it("gives the published result, also in pieces", function()
    assert.equal(0xcbf43926, crypto.crc32 "123456789")
    assert.equal(0xcbf43926, crypto.crc32("6789", crypto.crc32 "12345"))
    assert.equal(0, crypto.crc32 "")
    for _, start in ipairs { -1, 1 << 32 } do
      assert.has_error(function()
        crypto.crc32("x", start)
      end)
    end
  end)
end)

describe("random bytes", function()
  it("are as many as were asked for and differ", function()
    for _, size in ipairs { 0, 1, 16, 300, 1 << 20 } do
      assert.equal(size, #crypto.random(size))
    end
    assert.not_equal(crypto.random(16), crypto.random(16))
    for _, size in ipairs { -1, (1 << 20) + 1, math.maxinteger } do
      assert.has_error(function()
        crypto.random(size)
      end)
    end
  end)

  it("make UUIDs", function()
    local seen = {}
    for _ = 1, 1000 do
      local id = crypto.uuid()
      assert.equal(36, #id)
      assert.matches("^%x+%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$", id)
      assert.equal("-", id:sub(9, 9))
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)
end)
