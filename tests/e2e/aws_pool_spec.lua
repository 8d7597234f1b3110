--- Pools on functions, as a user has them: a server in place of AWS, a function that
--- `lambdapool create` made, scripts that `lambdapool run` runs.
local support = require "tests.e2e.serve_support"

local PRELUDE = [[
local lambdapool = require "lambdapool"
local function range(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end
]]

describe("a pool on a function", function()
  local server

  -- Runs `lambdapool ARGUMENTS` with the server as AWS. Returns what it printed, its complaints
  -- and its exit code.
  local function run(arguments, environment)
    local out, code = support.run(([[cd '%s' && env -u LAMBDAPOOL_BACKEND HOME='%s' \
      AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_REGION=us-east-1 \
      LAMBDAPOOL_ENDPOINT_URL=%s %s timeout -k 5 100 '%s/lambdapool' %s 2>err]]):format(
      server.folder, server.folder, support.access_key, support.secret_key, server.url,
      environment or "", support.build, arguments))
    return out, server:read "err", code
  end

  -- Runs a script on the function.
  local function script(code, options, environment)
    server:write("script.lua", PRELUDE .. code)
    return run(("run --backend aws --function-name algorithms %s script.lua"):format(
      options or ""), environment)
  end

  setup(function()
    server = support.new()
    server:start "--concurrency 4"
    local _, complaint, code =
      run "create algorithms --backend aws --memory 256 --timeout 60 --region us-east-1"
    assert.equal(0, code, complaint)
  end)

  teardown(function()
    server:remove()
  end)

  it("gives what one on this machine gives, and says what it took", function()
    local code = [[
      local pool <close> = lambdapool.pool { seed = 7, workers = 3 }
      local offset = 10
      local function f(x) return x + offset, math.random(1000), nil end
      local sums, randoms = pool:map(f, range(200))
      print(table.concat(sums, " "), table.concat(randoms, " "), sums.n)
      for i, x, y in pool:imap(f, range(20)) do print(i, x, y) end
      for i, _, err in pool:each(function(x) error { code = x } end, { 5 }) do
        print(i, err.kind, err.value.code)
      end
      print(pool:apply(select, { "#", nil, nil }))
    ]]
    local remote, complaint, status = script(code)
    assert.equal(0, status, complaint)
    assert.matches("^lambdapool: 222 tasks in %d+ invocations of algorithms %(us%-east%-1%): " ..
      "[%d.]+ s billed at 256 MB, %d cold starts?, about %$0%.0%d+ %(prices of %d+%-%d+%)\n$",
      complaint)
    local here, silence, code_here = run "run script.lua"
    assert.equal(0, code_here)
    assert.equal("", silence)
    assert.equal(here, remote)
  end)

  it("tells what invocations cost, and says nothing where it shall not", function()
    local out, complaint, status = script [[
      local pool <close> = lambdapool.pool { progress = false }
      pool:map(math.abs, range(10), { chunksize = 1 })
      local stats = pool:stats()
      print(stats.invocations, stats.billed_seconds > 0, stats.cost > 0, stats.gb_seconds > 0,
        stats.max_memory_used > 0, stats.prices_of, pool.options.workers)
    ]]
    assert.equal(0, status, complaint)
    assert.matches("^10\ttrue\ttrue\ttrue\ttrue\t%d+%-%d+\t1000\n$", out)
    assert.equal("", complaint)
  end)

  it("ends all its tasks where fewer may run at once than it has", function()
    local out, complaint, status = script [[
      local pool <close> = lambdapool.pool { workers = 60 }
      local list = pool:map(function(x)
        local start = os.clock()
        while os.clock() - start < 0.005 do end
        return 2 * x
      end, range(200), { chunksize = 1 })
      local sum = 0
      for i = 1, 200 do sum = sum + list[i] end
      local stats = pool:stats()
      print(sum, stats.attempts, stats.workers_started <= 4)
    ]]
    assert.equal(0, status, complaint)
    assert.equal("40200\t200\ttrue\n", out)
  end)

  it("prints what tasks print", function()
    local _, complaint, status = script [[
      local pool <close> = lambdapool.pool { prefix = true, progress = false }
      pool:apply(function() print "hello" io.stderr:write "and more" end)
      pool:apply(function() for i = 1, 1000 do print("line", i) end end)
    ]]
    assert.equal(0, status, complaint)
    assert.matches("%[%x%x%x%x%x%x%x%x%] hello\n%[%x+%] and more\n", complaint)
    assert.matches("%] %.%.%. what it wrote before is in `lambdapool logs algorithms " ..
      "%-%-request [%x-]+`\n", complaint)
    assert.matches("line\t1000\n", complaint)
    assert.is_nil(complaint:find("line\t1\n", 1, true))
  end)

  it("tells how tasks failed", function()
    local out, complaint, status = script [[
      local pool <close> = lambdapool.pool { progress = false }
      local function try(f, options)
        local ok, e = pcall(pool.map, pool, f, { 1 }, options)
        print(ok, getmetatable(e).__name, e.kind, e.code, #e.request_id, e.log)
        print(e.message)
      end
      try(function() error("oops", 0) end)
      try(function() print "last words" os.exit(3) end)
      try(function() os.execute "kill -SEGV $PPID" end)
      try(function() while true do end end, { timeout = 0.2 })
      try(function() return ("x"):rep(500 << 20) end)
      try(function() return require "nosuch.module" end)
    ]]
    assert.equal(0, status, complaint)
    local lines = {}
    for line in out:gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    assert.same({
      "false\tLambdaPoolError\terror\tnil\t36\tnil", "oops",
      "false\tLambdaFunctionError\tcrashed\tRuntime.ExitError\t36\tlast words",
      "the worker ended: exit status 3",
      "false\tLambdaFunctionError\tcrashed\tRuntime.ExitError\t36\tnil",
      "the worker ended: signal: segmentation fault",
      "false\tLambdaFunctionError\ttimeout\tnil\t36\tnil",
    }, table.move(lines, 1, 7, 1, {}))
    assert.matches("task timed out after 200 ms", out)
    assert.matches("false\tLambdaFunctionError\tout_of_memory", out)
    assert.matches("module 'nosuch.module' not found", out)
    assert.matches("last words\n", complaint)
  end)

  it("finds the task that crashes among others when it may try again", function()
    local out, complaint, status = script [[
      local pool <close> = lambdapool.pool { retries = 1, progress = false }
      local function f(x)
        if x == 7 then os.exit(1) end
        return x
      end
      local done, failed = 0, {}
      for i, value, err in pool:each(f, range(20), { chunksize = 10 }) do
        if err then failed[#failed + 1] = i .. err.kind .. err.attempts else done = done + value end
      end
      print(done, table.concat(failed, " "))
    ]]
    assert.equal(0, status, complaint)
    assert.equal(20 * 21 // 2 - 7 .. "\t7crashed2\n", out)
  end)

  it("keeps its contract under faults on purpose", function()
    local out, complaint, status = script [[
      local pool <close> = lambdapool.pool { workers = 4, retries = 50, progress = false,
        chaos = { crash = 0.1, lose = 0.1, throttle = 0.1, delay = 0.1, seed = 3 } }
      local sum = 0
      for _, x in pool:imap_unordered(function(x) return x end, range(150), { chunksize = 3 }) do
        sum = sum + x
      end
      print(sum)
    ]]
    assert.equal(0, status, complaint)
    assert.equal(150 * 151 // 2 .. "\n", out)
  end)

  it("is as good for executors and flows", function()
    local out, complaint, status = script [[
      local function nap(x) os.execute "sleep 0.2" return x end
      local flows = {}
      for i = 1, 3 do
        flows[i] = lambdapool.async(function()
          local executor <close> = lambdapool.executor { progress = false }
          local futures = {}
          for k = 1, 5 do futures[k] = executor:submit(nap, 10 * i + k) end
          local cancelled = futures[5]:cancel()
          local sum = 0
          for k = 1, 4 do sum = sum + futures[k]:result() end
          return sum, cancelled, futures[5]:cancelled()
        end)
      end
      for i = 1, 3 do print(flows[i]:result()) end
    ]]
    assert.equal(0, status, complaint)
    assert.equal("50\ttrue\ttrue\n90\ttrue\ttrue\n130\ttrue\ttrue\n", out)
  end)

  it("stops when its budget is used up", function()
    local out, complaint, status = script([[
      local pool <close> = lambdapool.pool { workers = 1 }
      local done, cancelled = 0, 0
      for _, _, err in pool:each(math.abs, range(100), { chunksize = 1 }) do
        if not err then done = done + 1
        elseif err.kind == "cancelled" then cancelled = cancelled + 1 end
      end
      print(done > 0, cancelled > 0, done + cancelled, pool:stats().cost < 0.00001)
    ]], "--max-cost 0.00001")
    assert.equal(6, status, complaint)
    assert.equal("true\ttrue\t100\ttrue\n", out)
    local _, why, code = script([[lambdapool.pool {}:map(math.abs, range(100))]],
      "--max-cost 0.0000001")
    assert.equal(6, code)
    assert.matches("the budget of %$0%.00000010 is used up", why)
  end)

  it("does not begin with less than it wants", function()
    local out, complaint, status = script [[
      local pool <close> = lambdapool.pool { memory = 1024, progress = false }
      print(pcall(pool.map, pool, math.abs, range(10)))
      print(pool:stats().billed_seconds)
    ]]
    assert.equal(0, status, complaint)
    assert.matches("the pool wants a memory of 1024 MB, and algorithms has 256 MB\n" ..
      "    run `lambdapool update algorithms %-%-memory 1024`\n0.0\n", out)
    local _, why, code = script([[
      lambdapool.pool {}:map(math.abs, range(10))
    ]], nil, "LAMBDAPOOL_TIMEOUT=61")
    assert.equal(1, code)
    assert.matches("update algorithms %-%-timeout 61", why)
  end)

  it("says what is wrong with its function, once for all tasks", function()
    local out, complaint, status = script [[
      local function try(options)
        options.progress = false
        local pool <close> = lambdapool.pool(options)
        local count = 0
        for _, _, err in pool:each(math.abs, range(3000), { chunksize = 1 }) do
          count = count + 1
          if count == 3000 then print(err.kind, err.code, err.message) end
        end
      end
      try { function_name = "nosuch" }
      try { qualifier = "7" }
      try { aws_access_key_id = "AKIDEXAMPLE", aws_secret_access_key = "wrong" }
    ]]
    assert.equal(0, status, complaint)
    assert.matches("lost\tResourceNotFoundException\tlambda refused Invoke: Function not found: " ..
      "arn:aws:lambda:us%-east%-1:123456789012:function:nosuch.-\n  create it with `lambdapool ",
      out)
    assert.matches("function:algorithms:7", out)
    assert.matches("lost\tInvalidSignatureException\t", out)
    assert.is_nil(out:find("wrong\n", 1, true))
  end)

  it("tells a function that is not lambdapool's", function()
    server:create("shell", server:zip("shell", { bootstrap = [[#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while id=$(curl -sD - -o /dev/null $api/next | tr -d '\r' |
  sed -n 's/^lambda-runtime-aws-request-id: //pI'); do
  curl -s -d '{"hello":"world"}' $api/$id/response
done]] }), "none")
    local _, complaint, status = script [[
      lambdapool.pool { function_name = "shell" }:apply(math.abs, { 1 })
    ]]
    assert.equal(1, status)
    assert.matches("shell is no function of lambdapool's; it answered {\"hello\":\"world\"}",
      complaint)
  end)

  it("ends with Ctrl-C, in one line", function()
    server:write("script.lua", PRELUDE .. [[
      lambdapool.pool {}:map(function() os.execute "sleep 60" end, range(4), { chunksize = 1 })
    ]])
    local out, code = support.run(([[cd '%s' && AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s \
      AWS_REGION=us-east-1 LAMBDAPOOL_ENDPOINT_URL=%s \
      timeout --foreground -s INT -k 20 --preserve-status 2 '%s/lambdapool' run \
      --backend aws --function-name algorithms script.lua 2>&1]]):format(
      server.folder, support.access_key, support.secret_key, server.url, support.build))
    assert.equal("lambdapool: interrupted: 0 tasks done, 0 failed, 4 not done\n", out)
    assert.equal(130, code)
  end)

  it("reports what is wrong with its options", function()
    server:write("script.lua", "print 'it runs'")
    local function complaint(options)
      local out, text, code = run("run " .. options .. " script.lua")
      assert.equal("", out)
      assert.equal(2, code)
      return text:match "^lambdapool run: (.-)\n  see `lambdapool run %-%-help`\n$"
    end
    assert.equal("'--workers' must be an integer from 1 to 10000, got '0'",
      complaint "--workers=0")
    assert.equal("unknown option '--functionname', did you mean '--function-name'?",
      complaint "--functionname x")
    local _, text, code = run "run --max-cost"
    assert.equal(2, code)
    assert.matches("'%-%-max%-cost' needs an argument", text)
    local out = script [[
      print(pcall(lambdapool.pool, { aws_secret_access_key = "secret\n" }))
      print(pcall(lambdapool.pool, { max_cost = 0 }))
      print(pcall(lambdapool.pool, { backend = "azure" }))
      print(pcall(lambdapool.pool, { functionname = "x" }))
    ]]
    assert.is_nil(out:find("secret\n", 1, true))
    assert.matches("'aws_secret_access_key' must be a text on one line, got a string\n", out)
    assert.matches("'max_cost' must be a number above 0, got 0\n", out)
    assert.matches("'backend' must be 'local' or 'aws', got 'azure'\n", out)
    assert.matches("unknown option 'functionname', did you mean 'function_name'%?\n", out)
  end)
end)

describe("a pool on a function of the local service", function()
  it("has it in its own process, and says what it would have cost", function()
    local folder = os.tmpname()
    os.remove(folder)
    local out, code = support.run(([[mkdir '%s' && cd '%s' && export HOME='%s' && {
      '%s/lambdapool' create mine && '%s/lambdapool' run --function-name mine \
        -e 'print(require "lambdapool".pool {}:apply(math.abs, { -3 }))' &&
      echo 'return { function_name = "mine", max_cost = 1 }' >lambdapool.conf.lua &&
      '%s/lambdapool' run -e 'print(require "lambdapool".pool {}:apply(math.abs, { -4 }))'
      } 2>&1]]):format(folder, folder, folder, support.build, support.build, support.build))
    os.execute(("rm -rf '%s'"):format(folder))
    assert.equal(0, code, out)
    assert.matches("\n3\nlambdapool: 1 task in 1 invocation of mine %(us%-east%-1%): [%d.]+ s " ..
      "billed at 1769 MB, 1 cold start, would have cost about %$", out)
    assert.matches("\n4\nlambdapool: 1 task in 1 invocation of mine", out)
  end)
end)
