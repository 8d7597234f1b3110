--- The agent as a whole: the real program against a scripted Runtime API (rapi.c).
local cjson = require "cjson"
local codec = require "lambdapool.codec"
local support = require "tests.agent.agent_support"

local build, quote, write = support.build, support.quote, support.write
local event, command, tasks = support.event, support.command, support.tasks
local play, calls = support.play, support.calls

local ECHO = { _HANDLER = "handlers.echo" }

local folder

--- Plays one event; returns the POST that answers it.
local function answer(handler, text, deadline, environment)
  environment = environment or {}
  environment._HANDLER = environment._HANDLER or "handlers." .. handler
  return play({ event(text, deadline), "post 202", "idle" }, environment)[2]
end

local function body(post)
  return cjson.decode(post.body)
end

local function error_type(post)
  return post.head:match("\r\nLambda%-Runtime%-Function%-Error%-Type: (.-)\r\n")
end

local function assert_failure(post, metric, type, message)
  assert.equal("/2018-06-01/runtime/invocation/id-1/error", post.path)
  assert.equal(metric, error_type(post))
  assert.truthy(metric:match("^Runtime%.[A-Z]%a+$") or metric:match("^Function%.[A-Z]%a+$"))
  assert.equal(type, body(post).errorType)
  assert.matches(message, body(post).errorMessage)
  assert.equal("table", _G.type(body(post).stackTrace))
end

setup(function()
  folder = support.open()
end)

teardown(support.close)

describe("the protocol", function()
  it("asks for an event, posts its result and asks again", function()
    local log = play({ event('{"a":1}'), "post 202", "idle" }, ECHO)
    assert.equal("/2018-06-01/runtime/invocation/next", log[1].path)
    assert.matches("^GET /[^ ]+ HTTP/1%.1\r\nHost: 127%.0%.0%.1:%d+\r\n", log[1].head)
    assert.equal("/2018-06-01/runtime/invocation/id-1/response", log[2].path)
    assert.matches("\r\nContent%-Type: application/json\r\n", log[2].head)
    assert.equal([[{"a":1}]], log[2].body)
    assert.equal("GET", log[3].method)
  end)

  it("takes events in any packing", function()
    local text = '["' .. ("0123456789"):rep(1000) .. '"]'
    local header = "header X: " .. ("y"):rep(3000)
    for _, packing in ipairs { "chunked 1", "chunked 4000", "drip 777", header } do
      local log = play({ packing, event(text), "post 202", "idle" }, ECHO)
      assert.equal(text, log[2].body)
    end
  end)

  it("carries megabytes both ways", function()
    local text = '"' .. ("x"):rep(5000000) .. '"'
    assert.equal(text, answer("echo", text).body)
  end)

  for _, status in ipairs { 400, 403, 413 } do
    it("goes on after " .. status, function()
      local log = play({ event("1"), "post " .. status, event("2"), "post 202", "idle" },
        ECHO)
      assert.equal("2", log[4].body)
      assert.matches("answer is " .. status, log.output)
      assert.equal(9, log.signal)
    end)
  end

  it("tries again after 500, four times in all, and gives up with code 1", function()
    local log = play({ event("1"), "post 500", "post 500", "post 500", "post 500", "wait" }, ECHO)
    assert.equal(5, #log)
    assert.equal("1", log[5].body)
    assert.equal(1, log.code)
    log = play({ event("1"), "post 500", "post 202", "next 500", "idle" }, ECHO)
    assert.equal(5, #log)
  end)

  it("gives up when it may not ask", function()
    local log = play({ "next 403", "wait" })
    assert.equal(1, log.code)
    assert.matches("the answer is 403", log.output)
  end)

  it("connects again when the connection breaks", function()
    for _, packing in ipairs { "cut 1", "cut 30", "cut 100" } do
      local log = play({ packing, event("1"), event("2"), "post 202", "idle" }, ECHO)
      assert.equal("2", log[3].body)
    end
    local log = play({ event("1"), "drop", "post 202", "drop", "idle" }, ECHO)
    assert.equal("1", log[3].body)
    assert.equal(5, #log)
  end)

  it("waits for an API that is late, but not for ever", function()
    assert.equal(1, #play({ "refuse 200", "idle" }))
    local log = play({ "idle", "close", "wait" })
    assert.equal(1, log.code)
    assert.matches("Connection refused", log.output)
  end)

  it("refuses answers that are not HTTP, or have no usable request id", function()
    local bad = "header a b\n" .. event("1")
    assert.equal(1, play({ bad, bad, bad, bad, "wait" }).code)
    local log = play({ event("1", 0, "a/../b"), "wait" })
    assert.equal(1, log.code)
    assert.matches("request id", log.output)
  end)
end)

describe("a handler", function()
  it("gets a context", function()
    local log = play({
      "header LAMBDA-RUNTIME-TRACE-ID: Root=1-2-3",
      'header Lambda-Runtime-Client-Context: {"a":1}',
      "header Lambda-Runtime-Cognito-Identity: ",
      "header Lambda-Runtime-Invoked-Function-Arn: arn:aws:x",
      event("{}", 3000), "post 202", event("{}", 3000), "post 202", "idle",
    }, {
      _HANDLER = "handlers.context",
      AWS_LAMBDA_FUNCTION_NAME = "algorithms",
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE = "256",
    })
    local context = body(log[2])
    assert.equal("id-1", context.request_id)
    assert.equal("Root=1-2-3", context.trace_id)
    assert.equal("Root=1-2-3", context.environment)
    assert.equal("arn:aws:x", context.function_arn)
    assert.equal("algorithms", context.function_name)
    assert.equal(256, context.memory_limit_mb)
    assert.same({ a = 1 }, context.client_context)
    assert.is_nil(context.identity)
    assert.equal("integer", context.remaining_is_a_number)
    assert.is_true(context.remaining_fits)
    assert.is_nil(body(log[4]).trace_id)
    assert.is_nil(body(log[4]).environment)
    assert.equal("[true,true]", answer("no_deadline", "{}").body)
  end)

  it("stays warm", function()
    local log = play({ event("1"), "post 202", event("1"), "post 202", "idle" },
      { _HANDLER = "handlers.count" })
    assert.same({ "1", "2" }, { log[2].body, log[4].body })
  end)

  it("keeps integers and digits", function()
    local post = answer("numbers", "[9007199254740992, -3, 2.5, 1e3, -0.0, 1e300]")
    assert.same({ "integer", "integer", "float", "integer", "float", "float" }, body(post).kinds)
    for _, text in ipairs { '"sum":9007199254740993', '"big":123456789012345678',
      '"tenth":0.30000000000000004', '"whole":3[,}]', '"smallest":%-9223372036854775808' } do
      assert.matches(text, post.body)
    end
  end)

  it("returns any JSON", function()
    assert.equal("null", answer("none", "{}").body)
    for _, text in ipairs { "null", "[null,1]", [=["\"\\\u0001\n/"]=], "true", "[[1],{}]" } do
      assert.equal(text, answer("echo", text).body)
    end
    assert.equal("{}", answer("echo", "").body)
    local large = '"' .. ("lambdapool \u{e4}"):rep(100000) .. '"'
    assert.is_true(answer("echo", " " .. large .. "\n").body == large)
  end)

  it("prints before its answer is posted", function()
    assert.matches("^one\n.*two three", answer("print", "{}").output)
    assert.matches("four\n", answer("print", "{}").output)
  end)

  it("warns on stderr when it says so, each anew", function()
    local log = play({ event("1"), "post 202", event("1"), "post 202", "idle" },
      { _HANDLER = "handlers.warn" })
    local warning = "Lua warning: in two parts\n"
    assert.equal(warning .. warning, log.output)
  end)

  it("is told what its event or result cannot be", function()
    local unmarshal, marshal = "Runtime.UnmarshalError", "Runtime.MarshalError"
    assert_failure(answer("echo", "{nonsense"), unmarshal, unmarshal, "was expecting")
    for kind, message in pairs { ["function"] = "function", nan = "NaN", cycle = "1000",
      key = "key", sparse = "holes" } do
      local post = answer("cannot_encode", ('{"kind":"%s"}'):format(kind))
      assert_failure(post, marshal, marshal, message)
    end
  end)

  it("may raise anything", function()
    local post = answer("raise", '{"kind":"string"}')
    assert_failure(post, "Function.LambdaPoolError", "LambdaPoolError",
      "^/.*/tasks/handlers%.lua:%d+: text$")
    assert.matches("handlers%.lua:%d+: in function 'handlers%.raise'",
      table.concat(body(post).stackTrace, "\n"))
    for kind, message in pairs { readable = "^a readable error$", table = "table",
      ["function"] = "function", boolean = "false", ["nil"] = "nil", broken = "." } do
      assert_failure(answer("raise", ('{"kind":"%s"}'):format(kind)), "Function.LambdaPoolError",
        "LambdaPoolError", message)
    end
  end)

  it("may end the process", function()
    for code, close in pairs { [0] = "false", [7] = "true" } do
      local log = play({ event(('{"code":%d,"close":%s}'):format(code, close)), "wait" },
        { _HANDLER = "handlers.exit" })
      assert.equal(code, log.code)
      assert.equal("last words", log.output)
      assert.equal(1, #log)
    end
  end)
end)

describe("limits", function()
  local environment = { _HANDLER = "handlers.any", AWS_LAMBDA_FUNCTION_MEMORY_SIZE = "64" }

  --- Each of the named handlers fails with `message`, and the process serves the next event.
  local function assert_survives(names, deadline, kind, message)
    local pattern = "^/.*/handlers%.lua:%d+: " .. message .. "$"
    local script = {}
    for _, name in ipairs(names) do
      script[#script + 1] = event(('{"run":"%s"}'):format(name), deadline)
      script[#script + 1] = "post 202"
      script[#script + 1] = event('{"run":"count"}', 5000)
      script[#script + 1] = "post 202"
    end
    script[#script + 1] = "idle"
    local log = play(script, environment)
    for i in ipairs(names) do
      assert_failure(log[4 * i - 2], "Function." .. kind, "Lambdapool." .. kind, pattern)
      assert.equal(tostring(i), log[4 * i].body)
    end
  end

  it("end a task whose time is up", function()
    assert_survives({ "loop", "loop_in_coroutine", "loop_in_pcall", "loop" }, 120, "Timeout",
      "task timed out after %d+ ms")
  end)

  it("end a task that uses up its memory", function()
    assert_survives({ "fill", "fill_by_strings", "fill_in_coroutine", "fill" }, 20000,
      "OutOfMemory", "not enough memory")
  end)

  it("leave the coroutine library as it is", function()
    write(folder .. "/coroutines.lua",
      ("return { run = function() return dofile %q end }"):format(tasks .. "/coroutines.lua"))
    local post = answer("", "{}", 0, { _HANDLER = "coroutines.run", LAMBDA_TASK_ROOT = folder })
    assert.same(dofile(tasks .. "/coroutines.lua"), body(post))
  end)

  it("do not keep a large response from the platform's own answer", function()
    local log = play({ event('{"run":"big","size":7000000}'), "post 413",
      event('{"run":"count"}'), "post 202", "idle" }, environment)
    assert.equal(7000002, #log[2].body)
    assert.equal("1", log[4].body)
  end)
end)

describe("starting", function()
  local function assert_cannot_start(handler, type, message)
    local log = play({ "post 202", "wait" }, { _HANDLER = handler, LAMBDA_TASK_ROOT = folder })
    assert.equal("/2018-06-01/runtime/init/error", log[1].path)
    assert.equal(type, error_type(log[1]))
    assert.equal(type, body(log[1]).errorType)
    assert.matches(message, body(log[1]).errorMessage)
    assert.matches(message, (log.output:gsub("\\n", "\n"):gsub("\\t", "\t"):gsub('\\"', '"')))
    assert.equal(1, log.code)
    assert.equal(1, #log)
  end

  it("fails when the handler cannot be loaded", function()
    write(folder .. "/broken.lua", "\nlocal = 1")
    write(folder .. "/raising.lua", "\nerror('at start')")
    write(folder .. "/empty.lua", "return {}")
    write(folder .. "/nothing.lua", "")
    assert_cannot_start("missing.f", "Runtime.ImportModuleError", "module 'missing' not found")
    assert_cannot_start("broken.f", "Runtime.UserCodeSyntaxError", "broken%.lua:2: ")
    assert_cannot_start("raising.f", "Runtime.InitError", "raising%.lua:2: at start")
    assert_cannot_start("empty.f", "Runtime.HandlerNotFound", "module 'empty' has no function 'f'")
    assert_cannot_start("nothing.f", "Runtime.HandlerNotFound", "no function 'f'")
    assert_cannot_start(".f", "Runtime.MalformedHandlerName", "_HANDLER is '%.f'")
    assert_cannot_start("f.", "Runtime.MalformedHandlerName", "module%.function")
  end)

  it("finds modules in folders, and those that they require", function()
    os.execute("mkdir -p " .. quote(folder .. "/deep/er"))
    write(folder .. "/deep/er/init.lua", "return { f = require('deep.helper') }")
    write(folder .. "/deep/helper.lua", "return function() return 'found' end")
    for _, name in ipairs { "deep.er.f", "deep/er.f" } do
      local post = answer("", "1", 0, { _HANDLER = name, LAMBDA_TASK_ROOT = folder })
      assert.equal('"found"', post.body)
    end
  end)

  it("works without a handler until a plain event comes", function()
    local post = answer("", "1", 0, { _HANDLER = "lambdapool" })
    assert_failure(post, "Runtime.NoHandler", "Runtime.NoHandler", "_HANDLER is 'lambdapool'")
  end)

  it("needs an API, and can tell its version", function()
    local pipe = io.popen("env -i " .. build .. "/bootstrap 2>&1; echo $?")
    assert.equal("bootstrap: AWS_LAMBDA_RUNTIME_API is not set\n"
      .. "  this program is started by AWS Lambda or a lambdapool host\n1\n", pipe:read("a"))
    pipe:close()
    pipe = io.popen(build .. "/bootstrap --version")
    assert.matches("^bootstrap: lambdapool %d+%.%d+%.%d+, Lua 5%.4%.%d+\n$", pipe:read("a"))
    pipe:close()
  end)
end)

describe("a call", function()
  it("that cannot be decoded is an error of its own type", function()
    for _, call in ipairs { "", "!", "AAAA", "bm9uc2Vuc2U=" } do
      local envelope = ('{"lambdapool":3,"call":"%s"}'):format(call)
      local post = answer("", envelope, 0, { _HANDLER = "lambdapool" })
      assert_failure(post, "Runtime.InvalidCall", "Lambdapool.InvalidCall", ".")
    end
  end)

  it("of another version says whose program is the older one", function()
    for version, age in pairs { ["1"] = "newer", ["4"] = "older", ["99999999999"] = "older",
      ['"x"'] = "newer" } do
      for _, space in ipairs { "", " " } do
        local envelope = ('{"lambdapool":%s%s, "call":"AAAA"}'):format(space, version)
        local post = answer("", envelope, 0, { _HANDLER = "lambdapool" })
        assert_failure(post, "Runtime.CallVersion", "Lambdapool.CallVersion",
          "the agent is " .. age .. " than the client: it is lambdapool %d")
      end
    end
  end)
end)

--- Runs f on the items, cut into these ranges; returns its first results and the errors by item.
local function map(f, list, ranges, options, environment)
  local code = codec.code(f)
  local script, origins = calls(code, list, ranges, options)
  script[#script + 1] = "idle"
  local log = play(script, environment or {})
  local columns, failures = { {} }, {}
  for i, range in ipairs(ranges) do
    local report, errors = codec.response(log[2 * i].body, code, origins[i], columns, range[1] - 1)
    assert.equal(range[2] - range[1] + 1, report.done)
    for k, failure in pairs(errors or {}) do
      failures[range[1] - 1 + k] = failure
    end
  end
  return columns[1], failures
end

describe("math.random in a task", function()
  local list = {}
  for i = 1, 40 do
    list[i] = i
  end
  local function draw(i)
    if i % 7 == 0 then
      error(math.random(0))
    end
    for _ = 1, i % 5 do
      math.random()
    end
    return math.random(0)
  end

  --- What the tasks drew, with nil for those that failed.
  local function drawn(ranges, options)
    local results, failures = map(draw, list, ranges, options)
    for i = 7, 40, 7 do
      results[-i] = failures[i].value
    end
    return results
  end

  it("depends on the seed and the index only", function()
    local whole = drawn({ { 1, 40 } }, { seed = 42 })
    assert.same(whole, drawn({ { 21, 40 }, { 7, 20 }, { 1, 1 }, { 2, 6 } }, { seed = 42 }))
    local other = drawn({ { 1, 40 } }, { seed = 43 })
    local moved = drawn({ { 1, 40 } }, { seed = 42, position = 10 })
    local seen = {}
    for _, results in ipairs { whole, other } do
      for _, value in pairs(results) do
        assert.is_nil(seen[value])
        seen[value] = true
      end
    end
    assert.equal(whole[10 + 9], moved[9])
  end)

  it("may be seeded by the task, for itself", function()
    local results = map(function(i)
      if i == 1 then
        math.randomseed(5)
        return math.random(0)
      elseif i == 2 then
        return math.random(0)
      end
      return math.random == require "math".random
    end, { 1, 2, 3 }, { { 1, 3 }, { 2, 2 } }, {})
    math.randomseed(5)
    assert.equal(math.random(0), results[1])
    assert.is_true(results[3])
  end)

  it("gives any number as likely as any other", function()
    local ones = 0
    for i, bits in ipairs(map(function() return math.random(0) end, list, { { 1, 40 } }, {})) do
      for k = 0, 63 do
        ones = ones + (bits >> k & 1)
      end
      assert.is_number(i)
    end
    assert.is_true(math.abs(ones - 20 * 64) < 5 * 26) -- 5 standard deviations
  end)

  it("is seeded while modules are loaded, too", function()
    local path = folder .. "/drawing.lua"
    write(path, "return math.random(0)")
    local function f(name) return (dofile(name)) end
    assert.equal(map(f, { path }, { { 1, 1 } }, { seed = 3 })[1],
      map(f, { path }, { { 1, 1 } }, { seed = 3 })[1])
    write(folder .. "/drawing_module.lua", "return { n = math.random(0) }")
    local loaded = {}
    for i = 1, 2 do
      package.path = folder .. "/?.lua;" .. package.path
      package.loaded.drawing_module = nil
      local module = require "drawing_module"
      loaded[i] = map(function() return module.n end, { 1 }, { { 1, 1 } }, { seed = 8 })[1]
      package.path = package.path:sub(#folder + 8)
    end
    assert.equal(loaded[1], loaded[2])
  end)
end)

describe("the progress page", function()
  local function f(i)
    if i == "exit" then
      os.exit(7)
    elseif i == "raise" then
      error "no"
    elseif type(i) == "string" then
      return i:rep(100000)
    end
    return i * i, os.getenv "LAMBDAPOOL_PROGRESS"
  end
  local code = codec.code(f)

  local function read(page, origins, most)
    local columns = {}
    local report, errors = codec.kept(page.kept, most or page.kept_tasks, origins, columns, 0)
    assert.equal(page.kept_tasks, report.done)
    return columns[1] or {}, errors, columns
  end

  it("tells of a task that ends the process, and keeps what was before", function()
    local script, origins = calls(code, { 3, "raise", "x", 4, "exit", 6 }, { { 1, 6 } }, {})
    local log = play({ "page", script[1], "wait" }, {})
    assert.equal(7, log.code)
    assert.equal("", log.output)
    assert.equal(5, log.page.begun)
    assert.equal(4, log.page.finished)
    assert.equal(4, log.page.kept_tasks)
    assert.equal(0, log.page.no_memory)
    local results, errors, columns = read(log.page, origins[1])
    assert.same({ 9, [3] = ("x"):rep(100000), [4] = 16 }, results)
    assert.matches("no$", errors[2].message)
    assert.is_nil(columns[2][1])
  end)

  it("keeps records as long as there is room, in order", function()
    local script, origins = calls(code, { 1, "abcdef", "a", "exit" }, { { 1, 4 } }, {})
    local log = play({ "page", script[1], script[2], "idle" }, {})
    assert.equal(2, log.page.finished)
    local results = read(log.page, origins[1])
    assert.equal(1, results[1])
    assert.equal(600000, #results[2])
    script, origins = calls(code, { 1, "abcdefg", "a", 5 }, { { 1, 4 } }, { stop_ms = 60000 })
    log = play({ "page", script[1], script[2], "idle" }, {})
    assert.equal(2, log.page.finished)
    assert.equal(1, log.page.kept_tasks)
    assert.same({ 1 }, (read(log.page, origins[1], 5)))
  end)

  it("lets the host take back tasks", function()
    for limit = 0, 6 do
      local script, origins = calls(code, { 1, 2, "raise", 4, 5 }, { { 1, 5 } }, {})
      local log = play({ "page", "limit " .. limit, script[1], script[2], "idle" }, {})
      local columns = {}
      local report = codec.response(log[2].body, code, origins[1], columns, 0)
      local ran = math.min(limit, 5)
      assert.equal(ran, report.done)
      assert.equal(ran, log.page.begun)
      assert.equal(ran, log.page.finished)
      assert.equal(ran, log.page.kept_tasks)
      assert.same(columns, select(3, read(log.page, origins[1])))
    end
  end)

  it("knows of tasks whose function cannot be loaded", function()
    write(folder .. "/only_here.lua", "return { go = function() return go end }")
    local module_code = codec.code(load([[
      local name = ...
      return function() return require(name) end]], "=text")("no_such_module"))
    local script, origins = calls(module_code, { 1, 2 }, { { 1, 2 } }, {})
    local log = play({ "page", script[1], script[2], "idle" }, {})
    local _, errors = read(log.page, origins[1])
    assert.matches("no_such_module", errors[1].message)
    assert.matches("no_such_module", errors[2].message)
  end)

  it("is not there without a host, and then nothing is missed", function()
    assert.same({ 4, 9 }, (map(f, { 2, 3 }, { { 1, 2 } }, {})))
    assert.same({ 4 }, (map(f, { 2 }, { { 1, 1 } }, {}, { LAMBDAPOOL_PROGRESS = "77" })))
    assert.same({ 4 }, (map(f, { 2 }, { { 1, 1 } }, {}, { LAMBDAPOOL_PROGRESS = "" })))
  end)
end)

describe("memory that a C library does not get", function()
  local environment = { AWS_LAMBDA_FUNCTION_MEMORY_SIZE = "64" }
  local path

  setup(function()
    path = folder .. "/greedy.so"
    local source = write(folder .. "/greedy.c", [[
      #include <lauxlib.h>
      #include <stdlib.h>

      static void *volatile kept;

      static size_t size_of(lua_State *L) { return (size_t)luaL_checkinteger(L, 1); }

      static int get(lua_State *L) {
        kept = malloc(size_of(L));
        lua_pushboolean(L, kept != NULL);
        free(kept);
        return 1;
      }

      static int must_get(lua_State *L) {
        if ((kept = calloc(1, size_of(L))) == NULL)
          return luaL_error(L, "greedy: no room");
        free(kept);
        return 0;
      }

      static int move(lua_State *L) {
        kept = malloc(10);
        if (realloc(kept, size_of(L)) == NULL)
          return luaL_error(L, "greedy: cannot move");
        return 0;
      }

      static int align(lua_State *L) {
        void *block = &block;
        if (posix_memalign(&block, 24, 64) == 0 || posix_memalign(&block, 64, 100) != 0 ||
            (size_t)block % 64 != 0)
          return luaL_error(L, "greedy: wrong");
        free(block);
        free(aligned_alloc(128, 256));
        if (posix_memalign(&block, 64, size_of(L)) != 0)
          return luaL_error(L, "greedy: cannot align");
        return 0;
      }

      static int die(lua_State *L) {
        if (malloc(size_of(L)) == NULL)
          abort();
        return 0;
      }

      int luaopen_greedy(lua_State *L) {
        static const luaL_Reg functions[] = { { "get", get }, { "must_get", must_get },
          { "move", move }, { "align", align }, { "die", die }, { NULL, NULL } };
        luaL_newlib(L, functions);
        return 1;
      }
    ]])
    assert(os.execute("gcc -shared -fPIC -I/usr/include/lua5.4 -o " .. path .. " " .. source))
  end)

  local huge, large = 1 << 60, 100 << 20

  it("makes the task one that ran out of memory", function()
    local file = path
    local _, failures = map(function(job)
      local greedy = assert(package.loadlib(file, "luaopen_greedy"))()
      if job.get then
        assert(not greedy.get(job.get))
      end
      if job.name then
        greedy[job.name](job.size)
      end
      return true
    end, {
      { name = "must_get", size = huge }, { name = "must_get", size = large },
      { name = "move", size = large }, { name = "align", size = large }, { get = large },
      { name = "nothing" }, { get = large, name = "nothing" }, { name = "get", size = 1000 },
    }, { { 1, 1 }, { 2, 2 }, { 3, 3 }, { 4, 4 }, { 5, 7 }, { 8, 8 } }, {}, environment)
    local messages = { "greedy: no room", "greedy: no room", "greedy: cannot move",
      "greedy: cannot align", [6] = "call a nil value", [7] = "call a nil value" }
    local kinds = { "out_of_memory", "out_of_memory", "out_of_memory", "out_of_memory",
      [6] = "error", [7] = "out_of_memory" }
    for i = 1, 8 do
      assert.equal(kinds[i], failures[i] and failures[i].kind)
      if kinds[i] then
        assert.matches(messages[i], failures[i].message)
        assert.matches("stack traceback", failures[i].traceback)
      end
    end
  end)

  it("is on the page when the process dies of it", function()
    local file = path
    local code = codec.code(function(size)
      assert(package.loadlib(file, "luaopen_greedy"))().die(size)
    end)
    local script = calls(code, { 1, large }, { { 1, 2 } }, {})
    local log = play({ "page", script[1], "wait" }, environment)
    assert.equal(6, log.signal)
    assert.equal(large, log.page.no_memory)
    assert.equal(2, log.page.begun)
    assert.equal(1, log.page.finished)
  end)

  it("is not the memory that Lua does not get", function()
    local code = codec.code(function(size)
      if size > 0 then
        pcall(string.rep, "x", size)
        local list = {}
        while true do
          list = { list, ("x"):rep(1000) }
        end
      end
      error "an error"
    end)
    local script, origins = calls(code, { 0, 1 << 40, 0 }, { { 1, 2 }, { 3, 3 } }, {})
    local log = play({ "page", script[1], script[2], script[3], script[4], "idle" }, environment)
    assert.equal(0, log.page.no_memory)
    local _, errors = codec.response(log[2].body, code, origins[1], {}, 0)
    assert.equal("error", errors[1].kind)
    assert.equal("out_of_memory", errors[2].kind)
    assert.matches("^tests/agent/agent_spec.lua:%d+: not enough memory$", errors[2].message)
    _, errors = codec.response(log[4].body, code, origins[2], {}, 0)
    assert.equal("error", errors[1].kind)
  end)

  it("is told of plain events, too", function()
    write(folder .. "/eager.lua", ([[
      local greedy = assert(package.loadlib(%q, "luaopen_greedy"))()
      return { f = function() greedy.must_get(%d) end }]]):format(path, large))
    local post = answer("", "1", 0, { _HANDLER = "eager.f", LAMBDA_TASK_ROOT = folder,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE = "64" })
    assert_failure(post, "Function.OutOfMemory", "Lambdapool.OutOfMemory", "greedy: no room$")
  end)
end)

describe("limits of a task in a call", function()
  --- Each item names what the task does; those after one that timed out are not begun.
  local function run(name)
    local actions = {
      coroutines = function()
        local n = 0
        for i = 1, 200 do
          for value in coroutine.wrap(function() coroutine.yield(i) end) do
            n = n + value
          end
        end
        return n
      end,
      pcalls = function()
        local n = 0
        for _ = 1, 1000 do
          n = n + (pcall(error, {}) and 0 or 1)
        end
        return n
      end,
      loop_in_pcall = function()
        while true do pcall(function() while true do end end) end
      end,
      loop_in_coroutines = function()
        while true do
          pcall(coroutine.wrap(function()
            coroutine.wrap(function() while true do end end)()
          end))
        end
      end,
      swallowed = function()
        pcall(function() while true do end end)
        return "swallowed"
      end,
      fill = function()
        local list = {}
        while true do
          coroutine.wrap(function() pcall(function() list = { list, ("x"):rep(10000) } end) end)()
          list = { list, ("y"):rep(10000) }
        end
      end,
    }
    return actions[name]()
  end
  local code = codec.code(run)
  local environment = { AWS_LAMBDA_FUNCTION_MEMORY_SIZE = "64" }

  local function assert_ends(names, timeout_ms, ended, kind, message)
    local script, origins = calls(code, names, { { 1, #names } }, { timeout_ms = timeout_ms })
    local log = play({ "page", script[1], script[2], "idle" }, environment)
    local columns = { {} }
    local report, errors = codec.response(log[2].body, code, origins[1], columns, 0)
    assert.equal(ended, report.done)
    for i = 1, ended - 1 do
      assert.equal(names[i] == "pcalls" and 1000 or 20100, columns[1][i])
      assert.is_nil(errors[i])
    end
    assert.equal(kind, errors[ended].kind)
    assert.matches("^tests/agent/agent_spec.lua:%d+: " .. message .. "$", errors[ended].message)
    assert.equal(ended, log.page.begun)
    assert.equal(ended, log.page.finished)
    assert.equal(ended, log.page.kept_tasks)
  end

  it("hold for the task that broke them, and no other", function()
    local quick = { "coroutines", "pcalls", "pcalls", "coroutines", "pcalls" }
    for _, name in ipairs { "loop_in_pcall", "loop_in_coroutines", "swallowed" } do
      local names = { table.unpack(quick) }
      names[6], names[7] = name, "pcalls"
      assert_ends(names, 150, 6, "timeout", "task timed out after 150 ms")
    end
    assert_ends({ "pcalls", "fill", "pcalls" }, 20000, 2, "out_of_memory", "not enough memory")
  end)
end)

describe("a call stops", function()
  it("after its time, and runs one task in any case", function()
    local function sleep(i)
      local start = os.clock()
      while os.clock() - start < 0.1 do end
      return i
    end
    local code = codec.code(sleep)
    for stop_ms, done in pairs { [1] = 1, [120] = 2, [10000] = 4 } do
      local script, origins = calls(code, { 1, 2, 3, 4 }, { { 1, 4 } }, { stop_ms = stop_ms })
      local log = play({ script[1], script[2], "idle" }, {})
      local report = codec.response(log[2].body, code, origins[1], {}, 0)
      assert.is_true(report.done == done or stop_ms == 120 and report.done < 4)
    end
  end)
end)

describe("a worker", function()
  local function is_alive(pid)
    local status = io.open("/proc/" .. pid .. "/stat")
    if not status then return false end
    local state = status:read("a"):match("%) (%a)")
    status:close()
    return state ~= "Z"
  end

  local function read(name)
    local file = io.open(name)
    local text = file and file:read("l")
    if file then file:close() end
    return text
  end

  --- Waits up to 10 s.
  local function eventually(condition)
    for _ = 1, 500 do
      if condition() then return true end
      os.execute("sleep 0.02")
    end
    return false
  end

  it("ends quietly when its host closes the connection", function()
    local log = play({ "lifeline", "idle", "close", "wait" })
    assert.equal(0, log.code)
    assert.equal("", log.output)
  end)

  it("ends with its host, and so does what it has started", function()
    local file = folder .. "/grandchild"
    local script = { "lifeline", event(('{"file":"%s"}'):format(file)), "stall" }
    local pipe = io.popen("exec " .. command(script, { _HANDLER = "handlers.grandchild" })
      .. " 2>/dev/null & echo $!")
    local host = pipe:read("l")
    assert.is_true(eventually(function() return read(file) end))
    local grandchild = read(file)
    assert.is_true(is_alive(host))
    assert.is_true(is_alive(grandchild))
    os.execute("kill -9 " .. host)
    assert.is_true(eventually(function() return not is_alive(grandchild) end))
    pipe:close()
  end)

  it("kills itself when the lifeline is closed, idle or busy", function()
    assert.equal(9, play({ "lifeline", "idle", "hangup", "wait" }).signal)
    local log = play({ "lifeline", event("1"), "hangup", "wait" }, { _HANDLER = "handlers.loop" })
    assert.equal(9, log.signal)
  end)
end)
