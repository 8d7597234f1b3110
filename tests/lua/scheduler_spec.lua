--- The scheduler alone: with a codec that encodes nothing and a backend whose answers the test
--- gives, so that every end an invocation can have is seen.

local batches = require "lambdapool.batch"

-- A request is { list, first, last }; an answer is the report that codec.response gives.
local codec = { limits = { request = 100 } }

function codec.request(_, list, first, last)
  for i = first, last do
    if list[i] == "unsendable" then
      error("cannot send item " .. i, 0)
    elseif list[i] == "large" then
      return nil, 1000 * (last - first + 1)
    end
  end
  return { list = list, first = first, last = last }, "origins"
end

function codec.response(answer, _, origins, columns, base)
  assert(origins == "origins")
  if answer == "damaged" then
    error "bad magic"
  end
  columns[1] = columns[1] or {}
  for k = 1, answer.done do
    columns[1][base + k] = "result " .. base + k
  end
  return { done = answer.done, values = 1, max_values = 1, run_us = 0 }, answer.errors
end

local function load_scheduler()
  local real = package.loaded["lambdapool.codec"]
  local loaded = package.loaded["lambdapool.scheduler"]
  package.loaded["lambdapool.codec"], package.loaded["lambdapool.scheduler"] = codec, nil
  local schedulers = require "lambdapool.scheduler"
  package.loaded["lambdapool.codec"], package.loaded["lambdapool.scheduler"] = real, loaded
  return schedulers
end

local schedulers = load_scheduler()

-- A backend of two workers. `calls` are the invocations it got, in order.
local function new_backend()
  local backend = { workers = 2, calls = {}, answers = {} }
  function backend:invoke(request, limits, done)
    if self.broken then
      return nil, self.broken
    end
    table.insert(self.calls, { request = request, limits = limits, done = done })
    return true
  end
  -- Each poll answers the oldest invocation that has no answer, with what `script` says.
  function backend:poll()
    local call = table.remove(self.calls, 1)
    if not call or not self.script then
      table.insert(self.calls, 1, call)
      return false
    end
    call.done(self.script(call.request))
    return true
  end
  function backend:close()
    self.closed = true
  end
  backend.abandon = backend.close
  return backend
end

local function all(request)
  return { bytes = { done = request.last - request.first + 1 } }
end

describe("the scheduler", function()
  local backend, scheduler

  before_each(function()
    backend = new_backend()
    scheduler = schedulers.new(backend)
  end)

  local function new_batch(items)
    return batches.new("code", items, #items, { timeout_ms = 1000 })
  end

  -- Queues items, answers with `script` until the batch has ended.
  local function run(items, size, script, batch)
    batch = batch or new_batch(items)
    scheduler:add(batch, size)
    backend.script = script
    scheduler:wait(function() return batch.done end)
    return batch
  end

  it("keeps every worker busy and no more", function()
    scheduler:add(new_batch { 1, 2, 3, 4, 5 }, 1)
    assert.equal(2, #backend.calls)
    assert.equal(1000, backend.calls[1].limits.timeout_ms)
    backend.calls[1].done(all(backend.calls[1].request))
    assert.equal(3, #backend.calls)
  end)

  it("cuts a batch into invocations of the size asked for", function()
    local sizes = {}
    local batch = run({ 1, 2, 3, 4, 5, 6, 7 }, 3, function(request)
      sizes[#sizes + 1] = request.last - request.first + 1
      return all(request)
    end)
    assert.same({ 3, 3, 1 }, sizes)
    assert.equal("result 7", batch:values(7))
    assert.is_nil(batch.errors)
  end)

  it("queues first what did not start", function()
    local firsts = {}
    local batch = run({ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, 3, function(request)
      firsts[#firsts + 1] = request.first
      return { bytes = { done = math.min(2, request.last - request.first + 1) } }
    end)
    assert.same({ 1, 4, 3, 6, 7, 9 }, firsts)
    assert.equal("result 3", batch:values(3))
  end)

  it("gives an invocation that was never taken to another worker, a few times", function()
    local times = 0
    local batch = run({ 1 }, 1, function(request)
      times = times + 1
      return times < 3 and { not_started = true, kind = "crashed", message = "m" } or all(request)
    end)
    assert.is_nil(batch.errors)
    batch = run({ 1 }, 1, function()
      return { not_started = true, kind = "crashed", message = "m" }
    end)
    assert.equal("crashed", batch.errors[1].kind)
  end)

  it("never runs again what may have run", function()
    local times = 0
    local batch = run({ 1, 2, 3, 4 }, 2, function(request)
      times = times + 1
      if request.first == 3 then
        return { kind = "crashed", message = "exit 3", log = "last", worker = 7 }
      end
      return all(request)
    end)
    assert.equal(2, times)
    assert.is_nil(batch.errors[2])
    for i = 3, 4 do
      assert.equal("crashed", batch.errors[i].kind)
      assert.equal(7, batch.errors[i].worker)
      assert.matches("exit 3\n  it had been given tasks 3 to 4", batch.errors[i].message)
    end
  end)

  it("makes a damaged or empty answer an error", function()
    local batch = run({ 1 }, 1, function() return { bytes = "damaged" } end)
    assert.equal("lost", batch.errors[1].kind)
    assert.matches("bad magic", batch.errors[1].message)
    batch = run({ 1 }, 1, function() return { bytes = { done = 0 } } end)
    assert.equal("lost", batch.errors[1].kind)
  end)

  it("halves a request that is too large until one item is", function()
    local batch = run({ 1, 2, 3, "large", 5, 6, 7, 8 }, 8, all)
    assert.equal("too_large", batch.errors[4].kind)
    assert.matches("its request has 1000 bytes, and the limit is 100", batch.errors[4].message)
    batch.errors[4] = nil
    assert.is_nil(next(batch.errors))
    assert.equal("result 8", batch:values(8))
  end)

  it("ends a batch that cannot be sent, when what runs has ended", function()
    local batch = run({ 1, 2, "unsendable", 4, 5, 6 }, 1, all)
    assert.equal("cannot send item 3", batch.refusal)
    assert.equal(0, batch.remaining)
    assert.equal("result 2", batch.columns[1][2])
  end)

  it("cancels behind the first error, and there only", function()
    local seen = {}
    local batch = new_batch { 1, 2, 3, 4, 5, 6, 7, 8 }
    batch.fail_fast = true
    run(nil, 2, function(request)
      seen[#seen + 1] = request.first
      if request.first == 1 then -- one of its two tasks: the other has to run
        return { bytes = { done = 1 } }
      end
      local errors = request.first == 3 and { { kind = "error", message = "m" } } or nil
      return { bytes = { done = request.last - request.first + 1, errors = errors } }
    end, batch)
    assert.same({ 1, 3, 2 }, seen)
    assert.equal(3, batch.first_error)
    assert.has_error(function() batch:check() end)
  end)

  it("drops what is given up", function()
    local batch = new_batch { 1, 2, 3, 4, 5, 6 }
    scheduler:add(batch, 1)
    batch.cancelled = true
    backend.script = all
    scheduler:wait(function() return batch.done end)
    assert.is_nil(batch.columns[1][3])
  end)

  it("fails a batch when no worker can be started", function()
    backend.broken = "no processes left"
    local batch = run({ 1, 2 }, 1, all)
    assert.equal("lost", batch.errors[2].kind)
    assert.equal("no processes left", batch.errors[2].message)
  end)

  it("does not wait for what can never come", function()
    local batch = new_batch { 1 }
    scheduler:add(batch, 1)
    assert.has_error(function() scheduler:wait(function() return batch.done end) end,
      "lambdapool: waiting for a task while no worker is alive")
    assert.is_false(scheduler:wait(function() return batch.done end, 0))
  end)

  it("cancels everything when it is terminated, and all that comes later", function()
    local batch, late = new_batch { 1, 2, 3, 4, 5 }, new_batch { 1 }
    scheduler:add(batch, 1)
    local answer = backend.calls[1]
    scheduler:terminate()
    assert.is_true(backend.closed)
    assert.is_true(batch.done)
    for i = 1, 5 do
      assert.equal("cancelled", batch.errors[i].kind)
    end
    scheduler:add(late, 1)
    assert.equal("cancelled", late.errors[1].kind)
    assert.equal(2, #backend.calls)
    assert.is_truthy(answer)
  end)

  it("drains before it ends the workers", function()
    local batch = new_batch { 1, 2, 3, 4, 5 }
    scheduler:add(batch, 2)
    backend.script = all
    scheduler:drain()
    assert.is_true(batch.done)
    assert.is_true(backend.closed)
  end)
end)
