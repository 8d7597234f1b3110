local json = require "lambdapool.json"
local reports = require "lambdapool.aws.report"

local ID = "8f3c1a2b-0000-4000-8000-000000000001"

local function text(output, report, id)
  id = id or ID
  return ("START RequestId: %s Version: $LATEST\n%sEND RequestId: %s\nREPORT RequestId: %s\t%s\n")
    :format(id, output, id, id, report or "Duration: 12.34 ms\tBilled Duration: 13 ms\t" ..
      "Memory Size: 128 MB\tMax Memory Used: 35 MB\t")
end

describe("the report of an invocation", function()
  it("has what it used", function()
    assert.same({ request_id = ID, duration = 12.34, billed = 13, memory = 128, peak = 35 },
      reports.parse(text "hello\n"))
  end)

  it("is read faster where all is as usual", function()
    assert.same({ 13, 128, 35 }, { reports.usual(text "") })
    assert.is_nil(reports.usual(text "hello\n"))
    assert.is_nil(reports.usual(text("", "Duration: 12.34 ms\tBilled Duration: 13 ms\t" ..
      "Memory Size: 128 MB\tMax Memory Used: 35 MB\tInit Duration: 3.00 ms\t")))
    assert.is_nil(reports.usual "")
  end)

  it("comes in any order, with more and less", function()
    local report = reports.parse(text("", "Init Duration: 101.12 ms\tMemory Size: 1769 MB\t" ..
      "Status: timeout\tXRAY TraceId: 1-2\tBilled Duration: 900 ms\tError Type: Runtime.ExitError"))
    assert.same({ request_id = ID, billed = 900, memory = 1769, init = 101.12,
      status = "timeout", error_type = "Runtime.ExitError" }, report)
    report = reports.parse(text("", "Duration: 1.00 ms\tBilled Duration: 102 ms\tMemory Size: " ..
      "128 MB\tMax Memory Used: 35 MB\tInit Duration: 100.5 ms\t"))
    assert.equal(100.5, report.init)
    assert.equal(1, report.duration)
  end)

  it("is the last one, and none that a task prints", function()
    local fake = text("", "Duration: 9 ms\tBilled Duration: 9 ms\tMemory Size: 9 MB\t" ..
      "Max Memory Used: 9 MB\t")
    assert.equal(13, reports.parse(text(fake)).billed)
    assert.equal(13, reports.parse(text "x REPORT RequestId: 1\tBilled Duration: 7 ms\n").billed)
  end)

  it("may be missing, or make no sense", function()
    for _, tail in ipairs { "", "\n", "hello", "REPORT RequestId: ", "REPORT", text("", ""),
      text("", "Billed Duration: many ms\tMemory Size: 128 MB"), "\0\255", '{"type":"platform',
      '{"type":"platform.report"}', '{"type":"platform.report","record":7}',
      '{"type":"platform.report","record":{"metrics":{"billedDurationMs":"1"}}}' } do
      assert.is_nil(reports.parse(tail), tail)
    end
  end)

  it("may be JSON", function()
    local line = json.encode { time = "2026-01-01T00:00:00.000Z", type = "platform.report",
      record = { requestId = ID, status = "error", errorType = "Runtime.ExitError", metrics = {
        durationMs = 1.5, billedDurationMs = 12, memorySizeMB = 256, maxMemoryUsedMB = 30,
        initDurationMs = 10.25 } } }
    assert.same({ request_id = ID, duration = 1.5, billed = 12, memory = 256, peak = 30,
      init = 10.25, status = "error", error_type = "Runtime.ExitError" },
      reports.parse("hello\n" .. line .. "\n"))
  end)
end)

describe("the output of an invocation", function()
  local function output(tail)
    local lines, is_all = reports.output(tail, ID)
    return table.concat(lines, "|"), is_all
  end

  it("is what stands between START and END", function()
    assert.same({ "", true }, { output(text "") })
    assert.same({ "one||two", true }, { output(text "one\n\ntwo\n") })
    assert.same({ "no end", true }, { output(text "no end") })
    assert.same({ "|", true }, { output(text "\n\n") })
  end)

  it("is not what the platform says", function()
    assert.same({ "a|b", true }, { output("INIT_START Runtime Version: provided:al2023.v1\n" ..
      text("a\nb\nRequestId: " .. ID .. " Error: Runtime exited with error: exit status 1\n" ..
        "Runtime.ExitError\n")) })
    assert.same({ "a", true },
      { output(text("a\n2026-01-01T00:00:00.000Z " .. ID .. " Task timed out after 3.00 s\n")) })
    assert.same({ "Runtime.ExitError", true }, { output(text "Runtime.ExitError\n") })
  end)

  it("may be cut off in front", function()
    local tail = text(("a line\n"):rep(1000)):sub(-4096)
    local lines, is_all = reports.output(tail, ID)
    assert.is_false(is_all)
    assert.equal("a line", lines[#lines])
  end)

  it("may be between lines of JSON", function()
    local start = json.encode { type = "platform.start", record = { requestId = ID } }
    local stop = json.encode { type = "platform.report", record = { requestId = ID } }
    assert.same({ '{"mine":1}|hello', true },
      { output(table.concat({ start, '{"mine":1}', "hello", stop, "" }, "\n")) })
    assert.same({ "hello", false }, { output("hello\n" .. stop .. "\n") })
  end)

  it("may be anything", function()
    for _, tail in ipairs { "", "\n", "\0", "START", "END RequestId: " .. ID, text(""):sub(5) } do
      assert.is_table((reports.output(tail, ID)))
      assert.is_table((reports.output(tail, "")))
    end
  end)
end)
