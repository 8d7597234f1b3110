--- What a task finds around it on a worker: globals, modules, the library itself. Each test makes
--- its calls on one warm worker, where the leftovers of one call could show in the next.
-- luacheck: globals leaked unknown print tostring setmetatable
local lambdapool = require "lambdapool"

describe("a warm worker", function()
  local pool, folder, path

  before_each(function()
    pool = lambdapool.pool { workers = 1 }
    folder, path = os.tmpname(), package.path
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    package.path = folder .. "/?.lua;" .. path
  end)

  after_each(function()
    pool:terminate()
    pool:join()
    package.path = path
    os.execute("rm -r " .. folder)
  end)

  local function write(name, text)
    local file <close> = assert(io.open(folder .. "/" .. name .. ".lua", "w"))
    file:write(text)
  end

  it("forgets the globals of a call", function()
    assert.is_nil(pool:apply(function() leaked = 1 end, {}))
    assert.is_nil(pool:apply(function() return leaked end, {}))
  end)

  it("has the standard globals again after a call that removed them", function()
    pool:apply(function() print, tostring, setmetatable = nil, 1, function() end end, {})
    assert.same("12", pool:apply(function() print() return tostring(12) end, {}))
  end)

  it("has the environment variables of Lambda, not those of the program", function()
    local lambda, home, zone, here = pool:apply(function()
      local shell <close> = assert(io.popen("pwd -P"))
      return os.getenv "AWS_LAMBDA_FUNCTION_NAME", os.getenv "HOME", os.date "%Z", shell:read "l"
    end, {})
    assert.same({ "local", "UTC" }, { lambda, zone })
    assert.is_nil(home)
    local shell <close> = assert(io.popen("pwd -P"))
    assert.equal(shell:read "l", here)
  end)

  it("forgets a metatable of the globals", function()
    pool:apply(function() setmetatable(_G, { __index = error }) end, {})
    assert.is_nil(pool:apply(function() return unknown end, {}))
  end)

  it("keeps what a module defined while it was loaded, cold and warm", function()
    write("env_globals", "env_answer = 42 return { set = function() env_later = 1 end }")
    local function task()
      local module = require "env_globals"
      local answer, later = rawget(_G, "env_" .. "answer"), rawget(_G, "env_" .. "later")
      module.set()
      return answer, later, rawget(_G, "env_" .. "later")
    end
    for _ = 1, 3 do
      assert.same({ 42, nil, 1, n = 3 }, table.pack(pool:apply(task, {})))
    end
  end)

  it("loads a module once, and again when its text has changed", function()
    local function task()
      local module = require "env_count"
      module.calls = module.calls + 1
      return module.calls, module.version
    end
    write("env_count", "return { calls = 0, version = 'first' }")
    assert.same({ 1, "first" }, { pool:apply(task, {}) })
    assert.same({ 2, "first" }, { pool:apply(task, {}) })
    write("env_count", "return { calls = 0, version = 'second' }")
    assert.same({ 1, "second" }, { pool:apply(task, {}) })
  end)

  it("costs no task when it is killed between two", function()
    local function pid()
      local file <close> = assert(io.open "/proc/self/stat")
      return file:read "n"
    end
    local first = pool:apply(pid, {})
    os.execute(("kill -9 %d; sleep 0.1"):format(first))
    assert.not_equal(first, pool:apply(pid, {}))
  end)

  it("says that a task has no pool of its own", function()
    for _, what in ipairs { "pool", "executor" } do
      local ok, err = pcall(pool.apply, pool, function(name)
        return require "lambdapool"[name] {}
      end, { what })
      assert.is_false(ok)
      assert.truthy(tostring(err):find("a task cannot have an? " .. what .. " of its own"))
    end
  end)

  it("dumps and loads in a task", function()
    assert.same({ 1, { 2 } }, pool:apply(function(value)
      local inside = require "lambdapool"
      return inside.load(inside.dump(value))
    end, { { 1, { 2 } } }))
  end)
end)
