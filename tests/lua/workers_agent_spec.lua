--- lambdapool.workers with the real agent: its page, as the host sees it. What Lua makes of that is
--- tested where it is made; here it is that agent, page and host agree.
local codec = require "lambdapool.codec"
local workers = require "lambdapool.workers"

local AGENT = (os.getenv "LAMBDAPOOL_BUILD" or "build") .. "/bootstrap"

describe("a worker with the agent", function()
  local loop, id

  before_each(function()
    loop = workers.open()
    id = assert(loop:start { agent = AGENT, memory = 256 })
  end)

  after_each(function()
    loop:close()
  end)

  -- Sends f with each of the items; returns what reads the answer.
  local function send(f, list, options)
    local code = codec.code(f)
    local request, origins = codec.request(code, list, 1, #list, {
      timeout_ms = 60000, stop_ms = 60000,
    })
    assert(loop:invoke(id, request, options))
    return function(bytes)
      local values = {}
      local report, errors = codec.response(bytes, code, origins, { values }, 0)
      return values, report, errors
    end, function(progress)
      local values = {}
      local report = codec.kept(progress.kept, progress.kept_tasks, origins, { values }, 0)
      return values, report
    end
  end

  -- The next event that is not a line of output.
  local function next_event()
    local event
    repeat
      event = table.pack(loop:poll(60))
    until event[1] ~= "output"
    return table.unpack(event, 1, event.n)
  end

  local function sleep(seconds)
    os.execute("sleep " .. seconds)
    return seconds
  end

  local function until_progress(least)
    local begun, finished
    repeat
      assert.is_nil(loop:poll(0.001))
      begun, finished = loop:progress(id)
    until begun >= least
    return begun, finished
  end

  it("has the limit for each task of a call, not for all", function()
    local answer = send(sleep, { 0.4, 0.4, 0.4, 0.4 }, { kill_ms = 1000 })
    local event, _, bytes = next_event()
    assert.equal("response", event)
    assert.same({ 0.4, 0.4, 0.4, 0.4 }, (answer(bytes)))
  end)

  it("is killed for a task that is stuck in C, and the others are kept", function()
    local _, kept = send(sleep, { 0.01, 0.3, 100, 0.01 }, { kill_ms = 500 })
    assert.equal("timeout", (next_event()))
    local event, _, code, signal, reason, progress = next_event()
    assert.same({ "exit", nil, 9, "it took too long" }, { event, code, signal, reason })
    assert.equal(3, progress.begun)
    assert.equal(2, progress.finished)
    assert.equal(2, progress.kept_tasks)
    local values, report = kept(progress)
    assert.same({ 0.01, 0.3 }, values)
    assert.equal(2, report.done)
  end)

  it("tells which task ended the process", function()
    local _, kept = send(function(k)
      return k == 3 and os.exit(7) or k
    end, { 1, 2, 3, 4 })
    local _, _, code, _, _, progress = next_event()
    assert.equal(7, code)
    assert.equal(3, progress.begun)
    assert.equal(2, progress.finished)
    assert.same({ 1, 2 }, (kept(progress)))
  end)

  it("keeps the failures of tasks, too", function()
    local _, kept = send(function(k)
      if k == 1 then error "no" end
      return k == 3 and os.exit(7) or k
    end, { 1, 2, 3 })
    local progress = select(6, next_event())
    assert.equal(2, progress.kept_tasks)
    assert.equal(2, select(2, kept(progress)).done)
  end)

  it("says that no task began when the code cannot be loaded", function()
    local f <const> = setmetatable({}, { __lambdapool = function()
      return function() os.exit(8) end
    end })
    send(function() return f end, { 1 })
    local event, _, code, _, _, progress = next_event()
    assert.same({ "exit", 8 }, { event, code })
    assert.equal(0, progress.begun)
  end)

  it("makes JSON of tables, where it is asked to and can", function()
    local code = codec.code(function()
      return { 1, { a = 2.5 } }, "text", { print }, {}, setmetatable({}, {}), nil,
        { ("x"):rep(50000) }
    end)
    local request, origins = codec.request(code, { 1 }, 1, 1, { json = true })
    assert(loop:invoke(id, request))
    local columns = { counts = {} }
    codec.response(select(3, next_event()), code, origins, columns, 0)
    assert.equal(1 | 8 | 64, columns.json[1])
    assert.equal(7, columns.counts[1])
    assert.equal('[1,{"a":2.5}]', columns[1][1])
    assert.equal("text", columns[2][1])
    assert.equal("table", type(columns[3][1]))
    assert.equal("{}", columns[4][1])
    assert.equal("table", type(columns[5][1]))
    assert.equal(50004, #columns[7][1])
    request = codec.request(code, { 1 }, 1, 1, {})
    assert(loop:invoke(id, request))
    columns = { counts = {} }
    codec.response(select(3, next_event()), code, origins, columns, 0)
    assert.is_nil(columns.json)
    assert.same({ 1, { a = 2.5 } }, columns[1][1])
  end)

  it("gives an answer that can be read in pieces", function()
    local code = codec.code(function(k)
      if k == 3 then error "no" end
      return k, ("x"):rep(k)
    end)
    local request, origins = codec.request(code, { 1, 2, 3, 4, 5 }, 1, 5, {})
    assert(loop:invoke(id, request))
    local bytes = select(3, next_event())
    local whole = {}
    local report, failures = codec.response(bytes, code, origins, whole, 0)
    local head, position = codec.answer(bytes, code)
    for _, name in ipairs { "done", "cold", "run_us", "peak_memory", "stale" } do
      assert.equal(report[name], head[name])
    end
    local columns, done, errors = {}, 0, {}
    while done < head.done do
      local piece, its
      piece, its, position = codec.kept(bytes, 2, origins, columns, done, position, 1)
      assert.equal(1, piece.done)
      done = done + piece.done
      errors[done] = its and its[1]
    end
    assert.same(whole, columns)
    assert.same(failures, errors)
    assert.equal(2, codec.kept(bytes, 2, origins, {}, 0, select(2, codec.answer(bytes, code))).done)
    assert.equal(0, codec.kept(bytes, 2, origins, {}, 0, #bytes).done)
    assert.has_error(function() codec.kept(bytes, 2, origins, {}, 0, #bytes + 1) end)
    assert.has_error(function() codec.kept(bytes, 2, origins, {}, 0, -1) end)
    for size = 0, #bytes - 1 do
      assert.has_error(function() codec.answer(bytes:sub(1, size), code) end)
    end
  end)

  it("gives tasks back that have not begun", function()
    local answer = send(sleep, { 0.2, 0.2, 0.2, 0.2, 0.2, 0.2 })
    until_progress(1)
    local begun = loop:cut(id, 2)
    assert.is_true(begun >= 1 and begun <= 2)
    local event, _, bytes = next_event()
    assert.equal("response", event)
    local values, report = answer(bytes)
    assert.equal(2, report.done)
    assert.same({ 0.2, 0.2 }, values)
    answer = send(sleep, { 0, 0, 0 })
    values = answer(select(3, next_event()))
    assert.same({ 0, 0, 0 }, values)
  end)

  it("keeps large results", function()
    local _, kept = send(function(k)
      return k == 3 and os.exit(0) or (k .. "x"):rep(60000)
    end, { 1, 2, 3 })
    local progress = select(6, next_event())
    assert.equal(2, progress.kept_tasks)
    assert.same({ ("1x"):rep(60000), ("2x"):rep(60000) }, (kept(progress)))
  end)

  it("does not pass its page on to the programs that tasks run", function()
    local answer = send(function()
      local pipe <close> = io.popen "ls -l /proc/self/fd; env"
      return pipe:read "a"
    end, { 1 })
    local text = answer(select(3, next_event()))[1]
    assert.is_nil(text:find("LAMBDAPOOL_PROGRESS", 1, true))
    assert.is_nil(text:find("memfd", 1, true))
  end)
end)
