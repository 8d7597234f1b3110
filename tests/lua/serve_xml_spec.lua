local fault = require "lambdapool.serve.fault"
local query = require "lambdapool.serve.query"
local uri = require "lambdapool.serve.uri"
local xml = require "lambdapool.serve.xml"

describe("XML", function()
  it("is written in order", function()
    assert.equal("<A><B>1</B><C>true</C><D></D></A>",
      xml.element("A", { { "B", 1 }, { "C", true }, { "D" } }))
    assert.equal('<A xmlns="urn:x"></A>', xml.element("A", {}, "urn:x"))
  end)

  it("has members for lists", function()
    assert.equal("<L><member>a</member><member>b</member></L>",
      xml.element("L", xml.members { "a", "b" }))
    assert.equal("<L><member><K>1</K></member></L>",
      xml.element("L", xml.members({ 1 }, function(n) return { { "K", n } } end)))
  end)

  it("escapes", function()
    assert.equal("&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;&#xD;\n\t",
      xml.escape "<a href=\"x\">&'</a>\r\n\t")
    assert.equal("a\u{FFFD}b\u{FFFD}", xml.escape "a\0b\27")
    assert.equal("\u{FFFD}\u{FFFD}&amp;", xml.escape "\195\255&")
    assert.equal("ü", xml.escape "ü")
  end)
end)

describe("URIs", function()
  it("are encoded and decoded", function()
    assert.equal("a%2Fb%20c~-._%C3%A9", uri.encode "a/b c~-._é")
    assert.equal("a/b c~é%zz%", uri.decode "a%2Fb%20c~%c3%A9%zz%")
  end)

  it("have parameters", function()
    local parameters, lists = uri.parse "a=1&b=x%26y&a=2&c&=&d=e+f"
    assert.same({ a = "2", b = "x&y", c = "", d = "e f", [""] = "" }, parameters)
    assert.same({ "1", "2" }, lists.a)
    assert.same({}, (uri.parse(nil)))
  end)
end)

describe("the parameters of IAM", function()
  local function complaint(f, ...)
    local ok, problem = pcall(f, ...)
    assert.is_false(ok)
    assert.is_true(fault.is(problem))
    return problem.message
  end

  it("have lists", function()
    local parameters = { ["K.member.1"] = "a", ["K.member.2"] = "b", ["K.member.4"] = "d",
      ["T.member.1.Key"] = "k", ["T.member.1.Value"] = "v", ["T.member.2.Key"] = "l" }
    assert.same({ "a", "b" }, query.list(parameters, "K"))
    assert.same({ { Key = "k", Value = "v" }, { Key = "l" } },
      query.list(parameters, "T", { "Key", "Value" }))
    assert.same({}, query.list(parameters, "X"))
  end)

  it("are checked", function()
    local rule = { max = 3, class = "%w", pattern = "\\w*" }
    assert.equal("abc", query.required({ N = "abc" }, "N", rule))
    local at = "at 'roleName' failed to satisfy constraint: Member must "
    local first = "1 validation error detected: Value "
    assert.equal(first .. "null " .. at .. "not be null",
      complaint(query.required, {}, "RoleName", rule))
    assert.equal(first .. "'abcd' " .. at .. "have length less than or equal to 3",
      complaint(query.required, { RoleName = "abcd" }, "RoleName", rule))
    assert.equal(first .. "'' " .. at .. "have length greater than or equal to 1",
      complaint(query.required, { RoleName = "" }, "RoleName", rule))
    assert.equal(first .. "'a b' " .. at .. "satisfy regular expression pattern: \\w*",
      complaint(query.required, { RoleName = "a b" }, "RoleName", rule))
  end)

  it("are numbers within limits", function()
    assert.equal(7, query.number({}, "N", 7, 1, 9))
    assert.equal(3, query.number({ N = "3" }, "N", 7, 1, 9))
    assert.matches("greater than or equal to 1", complaint(query.number, { N = "0" }, "N", 7, 1, 9))
    assert.matches("less than or equal to 9", complaint(query.number, { N = "10" }, "N", 7, 1, 9))
    assert.matches("not a number", complaint(query.number, { N = "1e3" }, "N", 7, 1, 9))
  end)

  it("cut lists into pages", function()
    local function same(item) return item end
    local page = query.page({ MaxItems = "2" }, "L", { "a", "b", "c" }, same)
    assert.same({ { "L", { { "member", "a" }, { "member", "b" } } }, { "IsTruncated", true },
      { "Marker", 3 } }, page)
    page = query.page({ MaxItems = "2", Marker = "3" }, "L", { "a", "b", "c" }, same)
    assert.same({ { "L", { { "member", "c" } } }, { "IsTruncated", false } }, page)
  end)

  it("have times in UTC", function()
    assert.equal("2015-08-30T12:36:00Z", query.date(1440938160.7))
  end)
end)
