--- XML as AWS answers with it, and everything that it must not be.

local xml = require "lambdapool.xml"

local function value(text)
  return xml.value(assert(xml.parse(text)))
end

local function complaint(text)
  local root, message = xml.parse(text)
  assert.is_nil(root)
  return message
end

describe("documents", function()
  it("become nodes with names and text", function()
    assert.same({ name = "a", { name = "b", text = "1" }, { name = "c", text = "" } },
      xml.parse "<a>\n  <b>1</b>\n  <c/>\n</a>")
  end)

  it("have no prefixes, attributes, comments or instructions", function()
    assert.same({ name = "a", { name = "b", text = "x" } },
      xml.parse('<?xml version="1.0"?><!-- - --><n:a xmlns:n="u" k="v">' ..
        '<n:b i="j">x</n:b><?p q?></n:a>'))
  end)

  it("are in any encoding that they name", function()
    assert.same("\u{E9}\u{20AC}", value "<a>\u{E9}\u{20AC}</a>")
    assert.same("\u{E9}", value '<?xml version="1.0" encoding="ISO-8859-1"?><a>\xE9</a>')
  end)

  it("unescape what was escaped", function()
    assert.same("<&>\"'\r\u{1F600} <c>",
      value "<a>&lt;&amp;&gt;&quot;&apos;&#13;&#x1F600; <![CDATA[<c>]]></a>")
  end)
end)

describe("values", function()
  it("are tables by name, and lists of members", function()
    assert.same({ Roles = { { Name = "x" }, { Name = "y" } }, Empty = "" },
      value [[<R><Roles><member><Name>x</Name></member><member><Name>y</Name></member></Roles>
        <Empty></Empty></R>]])
  end)

  it("keep the first of what comes again", function()
    assert.same({ a = "1" }, value "<r><a>1</a><a>2</a></r>")
  end)

  it("leave out text between elements", function()
    assert.same({ b = "1", c = "2" }, value "<a>x<b>1</b>y<c>2</c>z</a>")
  end)
end)

describe("what is no such document", function()
  it("is an error with its line", function()
    assert.equal("line 1: no element found", complaint "")
    assert.equal("line 2: mismatched tag", complaint "<a>\n<b></a>")
    assert.matches("^line 1: ", complaint "{}")
    assert.matches("^line 1: ", complaint "<a>\0</a>")
    assert.matches("^line 1: ", complaint "<a>\xFF</a>")
    assert.matches("^line 1: ", complaint "<a/><b/>")
    assert.matches("unclosed token", complaint "<a><b>text</b")
  end)

  it("may not bring entities", function()
    assert.matches("it has a document type", complaint [[<!DOCTYPE a [
      <!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;</a>]])
    assert.matches("it has a document type",
      complaint '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')
    assert.matches("undefined entity", complaint "<a>&b;</a>")
  end)

  it("may not be nested too deeply", function()
    local function nest(depth)
      return ("<a>"):rep(depth) .. ("</a>"):rep(depth)
    end
    assert.is_truthy(xml.parse(nest(64)))
    assert.matches("nested too deeply", complaint(nest(65)))
    assert.matches("nested too deeply", complaint(("<a>"):rep(64) .. "<b/>"))
    assert.matches("nested too deeply", complaint(("<a>"):rep(100000)))
  end)

  it("may not be too large", function()
    assert.equal("it is too large", complaint((" "):rep((16 << 20) + 1)))
    assert.matches("too many elements", complaint("<a>" .. ("<b/>"):rep(1 << 18) .. "</a>"))
  end)

  it("is not even a string", function()
    assert.has_error(function() xml.parse() end)
    assert.has_error(function() xml.parse {} end)
  end)
end)
