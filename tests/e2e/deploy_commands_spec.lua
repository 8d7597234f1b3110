--- create, update, deploy, delete, list, show, layers and permissions as a person runs them, on the
--- local service.

local json = require "lambdapool.json"

local program = os.getenv "LAMBDAPOOL_BUILD" .. "/lambdapool"
local folder

local function write(name, text)
  local file <close> = assert(io.open(folder .. "/" .. name, "wb"))
  file:write(text)
end

local function read(name)
  local file <close> = assert(io.open(folder .. "/" .. name, "rb"))
  return file:read "a"
end

-- Runs a command line. Returns what it printed, its complaints, its exit code.
local function run(line)
  local _, _, code = os.execute(([[
    cd %s && env -u LAMBDAPOOL_BACKEND HOME=$PWD XDG_STATE_HOME=$PWD/state \
      %s %s </dev/null >.out 2>.err]]):format(folder, program, line))
  return read ".out", read ".err", code
end

-- It must succeed without a word on stderr.
local function good(line)
  local out, err, code = run(line)
  assert.same({ "", 0 }, { err, code }, line)
  return out
end

local function good_json(line)
  return assert(json.decode(good(line .. " --json")))
end

-- It must fail with that code and say who complains, without a traceback.
local function bad(code, line)
  local out, err, got = run(line)
  assert.equal(code, got, line .. "\n" .. err)
  assert.equal("", out)
  assert.matches("^lambdapool %l+[ %l]*: ", err)
  assert.is_nil(err:find "traceback")
  return err
end

describe("the commands for functions", function()
  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute(("mkdir -p %s/algorithms"):format(folder)))
    write("algorithms/fib.lua", "return { n = 1 }")
    write("tools.lua", "return {}")
  end)

  teardown(function()
    os.execute("rm -rf " .. folder)
  end)

  it("go through the life of a function", function()
    assert.matches("^NAME +MEMORY", good "list")
    assert.same({}, good_json "list")
    assert.matches("algorithms is created: .*128 MB",
      good "create algorithms algorithms/ --memory 128")
    assert.matches("`lambdapool update algorithms`", bad(1, "create algorithms algorithms/"))
    assert.equal("algorithms is unchanged\n", good "update algorithms algorithms/ --memory 128")
    assert.equal("algorithms is unchanged\n", good "deploy algorithms algorithms/")
    write("algorithms/fib.lua", "return { n = 2 }")
    assert.matches("algorithms is updated\n  memory: 128 %-> 256\n",
      good "update algorithms algorithms/ --memory 256")
    assert.matches("\nalgorithms +256 MB +900 s", good "list")
    assert.equal("algorithms", good_json("list")[1].name)
    assert.matches("algorithms is deleted, and its role", good "delete algorithms -y")
    assert.same({}, good_json "list")
    bad(3, "delete algorithms -y")
    bad(3, "show algorithms")
  end)

  it("change nothing in dry runs", function()
    local text = good "create dry algorithms/ --dry-run"
    assert.matches("iam:CreateRole", text)
    assert.matches("algorithms/fib%.lua", text)
    local plan = good_json "create dry algorithms/ --dry-run"
    assert.equal("create", plan.action)
    assert.equal("lambda:CreateFunction", plan.steps[3].operation)
    assert.same({}, good_json "list")
    good "create dry"
    assert.matches("memory: 1769 %-> 128\n$", good "update dry --memory 128 --dry-run")
    assert.is_nil(good_json("update dry --memory 128 --dry-run").package) -- it stays
    assert.matches("lambda:DeleteFunction", good "delete dry --dry-run")
    assert.equal(1769, good_json("show dry").memory)
    assert.equal("dry is unchanged\n", good "update dry --dry-run")
    assert.equal("dry is deleted, and its role, and its log\n", good "delete dry -y --logs")
  end)

  it("hide values, and take them from the environment", function()
    assert.is_nil(good("create hidden --env PASSWORD=hunter2"):find "hunter2")
    assert.matches("environment +PASSWORD\n", good "show hidden")
    assert.matches("environment +PASSWORD=hunter2\n", good "show hidden --values")
    assert.same({ PASSWORD = "(hidden)" }, good_json("show hidden").environment)
    assert.is_nil(good("update hidden --env PASSWORD=hunter3"):find "hunter")
    good "update hidden --env HOME --remove-env PASSWORD"
    assert.same({ HOME = folder }, good_json("show hidden --values").environment)
    assert.matches("no such variable", bad(2, "update hidden --env NO_SUCH_THING"))
    good "delete hidden -y"
  end)

  it("give new functions what is configured", function()
    write("lambdapool.conf.lua", "return { memory = 300, timeout = 1.5 }")
    assert.matches("300 MB, 2 s", good "create configured")
    assert.equal("configured is unchanged\n", good "update configured")
    good "delete configured -y"
    assert.matches("is created", good "deploy configured --memory 400")
    assert.equal(400, good_json("show configured").memory)
    assert.equal(2, good_json("show configured").timeout)
    assert.equal("configured is unchanged\n", good "deploy configured")
    good "delete configured -y"
    write("lambdapool.conf.lua", "memory = 300\nlayers = { 'tools:1' }")
    assert.matches("^lambdapool create: lambdapool.conf.lua:2: 'tools:1' is not the ARN of a " ..
      "version of a layer\n", bad(2, "create configured"))
    os.remove(folder .. "/lambdapool.conf.lua")
  end)

  it("do not ask where nobody can answer", function()
    good "create asked"
    assert.matches("%-%-yes", bad(2, "delete asked"))
    assert.equal("asked", good_json("show asked").name)
    good "delete asked -y"
  end)

  it("refuse what is wrong before anything happens", function()
    for _, line in ipairs { "create", "create 'a b'", "create x --memory 1",
      "create x --timeout 901", "create x --layers tools", "create x --role me",
      "create x --env =1", "create x --tag t",
      "create x --arch z80", "create x --memry 128", "update", "delete", "show", "list x",
      "layers delete tools x", "layers publish tools", "layers attach", "permissions policy",
      "permissions policy --for me", "permissions grant x", "create x --env A" } do
      bad(2, line)
    end
    bad(1, "create x nowhere/")
    bad(1, "create x -r nowhere.txt")
    bad(3, "update x --memory 128")
    assert.same({}, good_json "list")
  end)

  it("share code in layers", function()
    local published = good_json "layers publish tools tools.lua"
    assert.equal(1, published.version)
    assert.matches("unchanged", good "layers publish tools tools.lua")
    assert.matches("tools +1", good "layers list")
    good("create layered --layers " .. published.arn)
    assert.matches("tools:1\n", good "list")
    good "layers detach layered tools"
    assert.same({}, good_json("show layered").layers)
    good("layers attach layered " .. published.arn)
    assert.equal("layered is unchanged\n", good("layers attach layered " .. published.arn))
    assert.equal("layered is unchanged\n", good "layers attach layered tools")
    assert.equal("layered is unchanged\n", good "layers attach layered tools:1")
    assert.matches("has no version 7\n", bad(3, "layers attach layered tools:7"))
    assert.matches("there is no layer nothing ", bad(3, "layers attach layered nothing"))
    assert.matches("is not the ARN of a version", bad(2, "layers attach layered tools:x"))
    assert.matches("used by layered", bad(2, "layers delete tools 1"))
    good "layers delete tools 1 -y"
    bad(3, "layers list tools")
    assert.matches("layers: .* %-> %(none%)", good "update layered --layers ''")
    good "delete layered -y"
  end)

  it("say who may invoke a function", function()
    good "create shared"
    assert.same({}, good_json "permissions list shared")
    good "permissions grant shared --principal 111122223333 --id friend"
    assert.matches("friend +arn:aws:iam::111122223333:root", good "permissions list shared")
    bad(1, "permissions grant shared --principal 111122223333 --id friend")
    good "permissions revoke shared friend"
    bad(3, "permissions revoke shared friend")
    for _, whom in ipairs { "user", "deployer", "worker" } do
      local text = good("permissions policy shared --for " .. whom)
      assert.equal("2012-10-17", json.decode(text).Version)
    end
    good "delete shared -y"
  end)
end)
