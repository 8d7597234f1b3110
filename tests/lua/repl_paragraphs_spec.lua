local paragraphs = require "lambdapool.repl.paragraphs"

describe("paragraphs", function()
  it("are filled to the width", function()
    assert.equal("one two\nthree\nfour", paragraphs.fill("one\ntwo three four", 8))
    assert.equal("one two three four", paragraphs.fill("one two\nthree four", 80))
    assert.equal("a b\n\nc d", paragraphs.fill("a\nb\n\nc\nd", 80))
  end)

  it("keep lists in shape", function()
    assert.equal("  name  what it\n        is\n  other  more of\n         it",
      paragraphs.fill("  name  what\n        it is\n  other  more of it", 16))
  end)

  it("keep code as it is, where there is room", function()
    local code = "  local x  =  1\n\n    nested()"
    assert.equal("  f(a)\n  g(b)", paragraphs.fill("  f(a)\n  g(b)", 80))
    assert.equal("    nested()", paragraphs.fill(code, 80):match "[^\n]*$")
    assert.equal("  a long\n  line", paragraphs.fill("  a long line", 8))
  end)

  it("keep words that are too long", function()
    assert.equal("abcdefghij\nk", paragraphs.fill("abcdefghij k", 4))
    assert.equal("", paragraphs.fill("", 80))
  end)
end)
