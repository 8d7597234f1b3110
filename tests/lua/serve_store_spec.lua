local lambda = require "lambdapool.serve.lambda.operations"
local lfs = require "lfs"
local sqlite = require "lambdapool.sqlite"
local stores = require "lambdapool.serve.store"
local support = require "lua.serve_store_support"

local PROGRAM = (os.getenv "LAMBDAPOOL_BUILD" or "build") .. "/lambdapool"

-- A server that does nothing but write: it makes functions, publishes and updates them, and prints
-- the name of each one once all that has been answered. To fill in: the folder of the specs, and
-- that of the store.
local WRITER = [[
package.path = "%s/?.lua;" .. package.path
local support = require "lua.serve_store_support"
local world = support.open "%s"
local stat <close> = io.open "/proc/self/stat"
print(stat:read "n")
for i = 1, math.huge do
  local name = "f" .. i
  world:create(name, { Code = { ZipFile = support.zip(name) }, Publish = true })
  world:ok("CreateAlias", { FunctionName = name, Name = "prod", FunctionVersion = "1" })
  world:ok("UpdateFunctionCode",
    { FunctionName = name, ZipFile = support.zip("new " .. name), Publish = true })
  print(name)
  assert(io.stdout:flush()) -- it ends with the test at the latest
end
]]

local function specs_folder()
  return debug.getinfo(1, "S").source:match "^@(.*)/lua/[^/]+$"
end

local function remove(folder)
  os.execute(("rm -rf '%s'"):format(folder))
end

describe("the store", function()
  local folder

  before_each(function() folder = support.folder() end)
  after_each(function() remove(folder) end)

  it("is made in a folder that is not there yet, with those around it", function()
    local store <close> = assert(stores.open(folder .. "/a/b"))
    assert.equal(folder .. "/a/b", store.dir)
    assert.same({}, store:needed())
  end)

  it("belongs to one server at a time, which is named", function()
    local stat <close> = io.open "/proc/self/stat"
    local store = assert(stores.open(folder))
    local second, message = stores.open(folder)
    assert.is_nil(second)
    assert.equal(("the folder %s is in use by another server (process %d)\n  stop it, or choose " ..
      "another folder with `--dir`"):format(folder, stat:read "n"), message)
    store:close()
    store:close()
    assert(stores.open(folder)):close()
  end)

  it("leaves what a newer version wrote alone", function()
    assert(stores.open(folder)):close()
    local db = sqlite.open(folder .. "/lambda.db")
    db:run "PRAGMA user_version = 99"
    db:close()
    local store, message = stores.open(folder)
    assert.is_nil(store)
    assert.equal("the folder " .. folder .. " was written by a newer version of this program",
      message)
  end)

  it("says why it cannot be opened", function()
    local file = assert(io.open(folder, "w"))
    file:close()
    local store, message = stores.open(folder .. "/a")
    assert.is_nil(store)
    assert.equal(("cannot make the folder %s/a: Not a directory"):format(folder), message)
    store, message = stores.open(folder)
    assert.is_nil(store)
    assert.equal(("cannot write %s/lock: Not a directory\n" ..
      "  choose another folder with `--dir`"):format(folder), message)
  end)

  it("does not touch a file that is no database, and gives the folder back", function()
    assert(stores.open(folder)):close()
    for _, name in ipairs { "lambda.db", "lock" } do
      remove(folder .. "/" .. name)
      local file <close> = assert(io.open(folder .. "/" .. name, "w"))
      file:write(("nonsense"):rep(1000))
      file:close()
      local store, message = stores.open(folder)
      assert.is_nil(store)
      assert.equal(("cannot open the database %s/%s: file is not a database")
        :format(folder, name), message)
      remove(folder .. "/" .. name)
    end
    assert(stores.open(folder)):close()
  end)

  it("is for its owner only", function()
    assert(stores.open(folder)):close()
    assert.equal("rwx------", lfs.attributes(folder, "permissions"))
  end)

  it("makes the tables of others once, and adds later steps", function()
    local steps = { "CREATE TABLE mine (a)", "INSERT INTO mine VALUES (1)" }
    for _ = 1, 2 do
      local store <close> = assert(stores.open(folder))
      store:migrate("mine", steps)
      store:migrate("mine", steps)
    end
    local store <close> = assert(stores.open(folder))
    steps[3] = "ALTER TABLE mine ADD COLUMN b DEFAULT 2"
    store:migrate("mine", steps)
    assert.same({ { a = 1, b = 2 } }, store.db:rows "SELECT * FROM mine")
    steps[4] = "INSERT INTO nowhere VALUES (1)"
    assert.is_false(pcall(store.migrate, store, "mine", steps))
    assert.same({ { steps = 3 } }, store.db:rows "SELECT steps FROM subjects")
  end)
end)

describe("what is stored", function()
  it("is there after a restart, and nothing is in progress any more", function()
    local world = support.open()
    finally(function() world:close() end)
    world:create("f", { Publish = true, Tags = { a = "b" } })
    world:ok("CreateAlias", { FunctionName = "f", Name = "prod", FunctionVersion = "1" })
    world:ok("PublishLayerVersion", { LayerName = "l", Content = { ZipFile = support.zip "l" } })
    world:ok("CreateFunctionUrlConfig", { FunctionName = "f", AuthType = "NONE" })
    world:ok("PutFunctionConcurrency", { FunctionName = "f", ReservedConcurrentExecutions = 3 })
    world:ok("PutFunctionEventInvokeConfig", { FunctionName = "f", MaximumRetryAttempts = 1 })
    world:ok("AddPermission", { FunctionName = "f", StatementId = "s", Action = "lambda:*",
      Principal = "*" })
    local reads = {
      { "GetFunction", { FunctionName = "f" } },
      { "ListVersionsByFunction", { FunctionName = "f" } },
      { "ListAliases", { FunctionName = "f" } },
      { "ListLayers", {} },
      { "GetFunctionUrlConfig", { FunctionName = "f" } },
      { "GetFunctionEventInvokeConfig", { FunctionName = "f" } },
      { "GetPolicy", { FunctionName = "f" } },
      { "GetAccountSettings", {} },
    }
    local function read()
      local all = {}
      for i, call in ipairs(reads) do
        all[i] = world:ok(call[1], call[2])
      end
      return all
    end
    local before = read()
    world:restart()
    assert.same(before, read())
  end)

  it("loses its zips only when nothing has needed them for an hour", function()
    local world = support.open()
    finally(function() world:close() end)
    world.service.settle_seconds = 0
    local function hash()
      return world:ok("GetFunction", { FunctionName = "f" }).Code.Location:match "%x+$"
    end
    local function is_there(name)
      return world.service.store.blobs:get(name) ~= nil
    end
    -- Anything that changes something.
    local function go_on(seconds)
      world:pass(seconds)
      world:ok("TagResource", { Resource = support.ARN .. "f", Tags = { a = "b" } })
    end
    world:create "f"
    local first = hash()
    go_on(5000)
    world:ok("UpdateFunctionCode", { FunctionName = "f", ZipFile = support.zip "second" })
    local second = hash()
    go_on(1000)
    world:ok("UpdateFunctionCode", { FunctionName = "f", ZipFile = support.zip "third" })
    go_on(2500)
    assert.same({ true, true, true }, { is_there(first), is_there(second), is_there(hash()) })
    go_on(200)
    assert.same({ true, true, true }, { is_there(first), is_there(second), is_there(hash()) })
    go_on(500)
    assert.same({ false, true, true }, { is_there(first), is_there(second), is_there(hash()) })
    go_on(10000)
    assert.same({ false, false, true }, { is_there(first), is_there(second), is_there(hash()) })
    assert.same({ [hash()] = true }, world.service.store:needed())
  end)

  it("is all or nothing when an operation fails in its middle", function()
    local world = support.open()
    finally(function() world:close() end)
    world:create "f"
    local db = world.service.store.db
    db:run [[CREATE TRIGGER broken BEFORE INSERT ON versions WHEN NEW.version > 0
      BEGIN SELECT RAISE(ABORT, 'no'); END]]
    local before = world:ok("GetFunction", { FunctionName = "f" })
    local ok = pcall(lambda.UpdateFunctionCode, world.context,
      { FunctionName = "f", ZipFile = support.zip "new", Publish = true })
    assert.is_false(ok)
    assert.same(before, world:ok("GetFunction", { FunctionName = "f" }))
    assert.same({}, world.service.store.touched)
  end)

  -- Every function that was answered for is whole, and one that was not is whole or absent.
  local function check(world, answered)
    for _, name in ipairs(answered) do
      local all = world:ok("ListVersionsByFunction", { FunctionName = name }).Versions
      assert.equal(3, #all, name)
      assert.equal(all[1].CodeSha256, all[3].CodeSha256)
      assert.equal("1", world:ok("GetAlias", { FunctionName = name, Name = "prod" })
        .FunctionVersion)
    end
    for hash in pairs(world.service.store:needed()) do
      assert.truthy(world.service.store.blobs:get(hash), hash)
    end
    local broken = world.service.store.db:rows "PRAGMA integrity_check"
    assert.same({ { integrity_check = "ok" } }, broken)
    assert.same({}, world.service.store.db:rows "PRAGMA foreign_key_check")
  end

  it("survives a kill while it is written", function()
    local folder, script = support.folder(), support.folder()
    finally(function()
      remove(folder)
      remove(script)
    end)
    for round = 1, 3 do
      remove(folder)
      local file <close> = assert(io.open(script, "w"))
      file:write(WRITER:format(specs_folder(), folder))
      file:close()
      local writer <close> = assert(io.popen(("exec '%s' run '%s'"):format(PROGRAM, script)))
      local process = writer:read "n"
      assert.equal("", writer:read "l")
      local answered = {}
      for i = 1, 4 * round do
        answered[i] = writer:read "l"
      end
      assert.truthy(os.execute("kill -9 " .. process))
      for name in writer:lines() do
        answered[#answered + 1] = name:match "^f%d+$"
      end
      writer:close() -- now it has ended, and given up its lock
      local world = support.open(folder)
      check(world, answered)
      world.service.store:close()
    end
  end)
end)
