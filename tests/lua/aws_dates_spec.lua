--- Times as AWS writes them.

local dates = require "lambdapool.aws.dates"

describe("dates of HTTP", function()
  it("are seconds since 1970", function()
    assert.equal(1795283589, dates.http "Sat, 21 Nov 2026 17:53:09 GMT")
    assert.equal(0, dates.http "Thu, 01 Jan 1970 00:00:00 GMT")
    assert.equal(951782400, dates.http "Tue, 29 Feb 2000 00:00:00 GMT")
    assert.equal(4107542400, dates.http "Mon, 1 Mar 2100 00:00:00 GMT")
  end)

  it("are nothing else", function()
    for _, text in ipairs { "", "now", "Sat, 21 Nov 2026 17:53:09 CET", "21 Nov 2026 17:53:09 GMT",
      "Sat, 99 Nov 2026 17:53:09 GMT", "Sat, 21 Nov 2026 25:53:09 GMT",
      "Sat, 21 Foo 2026 17:53:09 GMT", "Saturday, 21-Nov-26 17:53:09 GMT" } do
      assert.is_nil(dates.http(text))
    end
    assert.is_nil(dates.http(nil))
  end)
end)

describe("dates of ISO 8601", function()
  it("are seconds since 1970", function()
    for _, text in ipairs { "2026-11-21T17:53:09Z", "2026-11-21T17:53:09.999Z",
      "2026-11-21T17:53:09+00:00", "2026-11-21T19:53:09+02:00", "2026-11-21T12:23:09-0530",
      "2026-11-21 17:53:09", "2026-11-21T17:53:09UTC" } do
      assert.equal(1795283589, dates.iso(text))
    end
  end)

  it("agree with the system", function()
    for day = -20000, 60000, 173 do
      local time = day * 86400 + day % 86400
      assert.equal(time, dates.iso(os.date("!%Y-%m-%dT%H:%M:%SZ", time)))
    end
  end)

  it("are nothing else", function()
    for _, text in ipairs { "", "soon", "2026-13-21T17:53:09Z", "2026-00-21T17:53:09Z",
      "2026-11-32T17:53:09Z", "2026-11-21", "2026-11-21T17:53:09 tomorrow" } do
      assert.is_nil(dates.iso(text))
    end
  end)
end)

describe("spans", function()
  it("are said as people do", function()
    for seconds, text in pairs { [0] = "0 seconds", [1] = "1 second", [119.5] = "119 seconds",
      [-120] = "2 minutes", [7199] = "119 minutes", [7200] = "2 hours", [3 * 86400] = "3 days" } do
      assert.equal(text, dates.span(seconds))
    end
  end)
end)
