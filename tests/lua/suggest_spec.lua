local suggest = require "lambdapool.suggest"

describe("suggest", function()
  local names = { "chunksize", "memory", "timeout", "workers" }

  it("finds a name that is misspelt", function()
    assert.equal("workers", suggest.nearest("wokers", names))
    assert.equal("workers", suggest.nearest("worker", names))
    assert.equal("workers", suggest.nearest("wrokers", names))
    assert.equal("chunksize", suggest.nearest("chunk_size", names))
  end)

  it("finds a name that was begun", function()
    assert.equal("chunksize", suggest.nearest("chunk", names))
    assert.equal("--dry-run", suggest.nearest("--dry", { "--json", "--dry-run" }))
    assert.is_nil(suggest.nearest("chu", names))
    assert.is_nil(suggest.nearest("chunk", { "chunksize", "chunk_count" }))
  end)

  it("finds nothing for a name that is far from all", function()
    assert.is_nil(suggest.nearest("colour", names))
    assert.is_nil(suggest.nearest("x", names))
    assert.is_nil(suggest.nearest("", names))
    assert.is_nil(suggest.nearest("workers", {}))
  end)

  it("words a hint, or none", function()
    assert.equal(", did you mean 'timeout'?", suggest.hint("timout", names))
    assert.equal("", suggest.hint("colour", names))
  end)
end)
