local credentials = require "lambdapool.serve.credentials"

describe("credentials", function()
  local folder, now

  local function open(options)
    options = options or {}
    options.dir, options.now = folder, function() return now end
    return assert(credentials.open(options))
  end

  before_each(function()
    folder, now = os.tmpname(), 1000
    os.remove(folder)
    assert(os.execute(("mkdir '%s'"):format(folder)))
  end)

  after_each(function()
    os.execute(("rm -rf '%s'"):format(folder))
  end)

  it("are those that were given, and then nothing is written", function()
    local one = open { access_key = "AKID", secret_key = "secret" }
    assert.same({ AKID = "secret" }, one.secrets)
    assert.is_nil(io.open(folder .. "/credentials"))
  end)

  it("are made at random the first time, for their owner only", function()
    local one, again = open(), open()
    assert.matches("^AKIA[A-Z2-7]+$", one.access_key)
    assert.equal(20, #one.access_key)
    assert.equal(40, #one.secret_key)
    assert.same(one.secrets, again.secrets)
    local pipe <close> = io.popen(("stat -c %%a '%s/credentials'"):format(folder))
    assert.equal("600\n", pipe:read "a")
    local file <close> = io.open(folder .. "/credentials")
    assert.equal(("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n")
      :format(one.access_key, one.secret_key), file:read "a")
  end)

  it("are different in another folder", function()
    local one = open()
    os.remove(folder .. "/credentials")
    assert.not_equal(one.secret_key, open().secret_key)
  end)

  describe("of a session", function()
    local one, issued

    before_each(function()
      one = open { access_key = "AKID", secret_key = "secret" }
      issued = one:issue("arn:session", "AROA:me", 3600)
    end)

    it("are known by their token alone", function()
      local again = open { access_key = "AKID", secret_key = "secret" }
      assert.is_nil(again.secrets[issued.access_key])
      assert.is_true(again:admit(issued.access_key, issued.token))
      assert.equal(issued.secret_key, again.secrets[issued.access_key])
      assert.equal("arn:session", again.sessions[issued.access_key].arn)
      assert.equal("ok", again:check_token(issued.access_key, issued.token))
    end)

    it("are worth nothing with another token or another key", function()
      local other = open { access_key = "AKID", secret_key = "other" }
      other:admit(issued.access_key, issued.token)
      assert.not_equal(issued.secret_key, other.secrets[issued.access_key])
      assert.is_false(one:admit("ASIAOTHER", issued.token))
      assert.is_false(one:admit("AKID", issued.token))
      assert.is_false(one:admit(issued.access_key, nil))
      for _, token in ipairs { "", "x", ("A"):rep(64), issued.token:sub(1, -5) } do
        assert.is_false(one:admit(issued.access_key, token), token)
      end
      one:admit(issued.access_key, issued.token)
      assert.equal("invalid", one:check_token(issued.access_key, nil))
      assert.equal("invalid", one:check_token(issued.access_key, "x"))
      assert.equal("invalid", one:check_token("AKID", "x"))
      assert.equal("ok", one:check_token("AKID", nil))
    end)

    it("end", function()
      one:admit(issued.access_key, issued.token)
      now = now + 3599
      assert.equal("ok", one:check_token(issued.access_key, issued.token))
      now = now + 1
      assert.equal("expired", one:check_token(issued.access_key, issued.token))
    end)

    it("are forgotten", function()
      one:admit(issued.access_key, issued.token)
      one:forget(issued.access_key)
      assert.is_nil(one.secrets[issued.access_key])
      one:forget "AKID"
      assert.equal("secret", one.secrets.AKID)
    end)

    it("never fill the memory", function()
      for _ = 1, 5000 do
        local more = one:issue("arn", "id", 900)
        one:admit(more.access_key, more.token)
      end
      local count = 0
      for _ in pairs(one.secrets) do
        count = count + 1
      end
      assert.is_true(count <= 4097)
      assert.equal("secret", one.secrets.AKID)
    end)
  end)
end)
