--- The local account: the service is in the process itself, or in another one that has the folder.

local support = require "tests.e2e.serve_support"

local folder

before_each(function()
  folder = os.tmpname()
  assert(os.remove(folder) and os.execute("mkdir " .. folder))
end)

after_each(function()
  os.execute(("cat %s/*.pid 2>/dev/null | xargs -r kill -9 2>/dev/null; rm -rf %s"):format(folder,
    folder))
end)

local function read(name)
  local file <close> = io.open(folder .. "/" .. name)
  return file and file:read "a"
end

local function write(name, text)
  local file <close> = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
end

local PREFIX = [[
  local accounts = require "lambdapool.account"
  local loop = require "lambdapool.loop"
  local function nap(seconds) loop.wait(function() return false end, nil, seconds) end
  local function exists(name)
    local file <close> = io.open(name)
    return file ~= nil
  end
  local function await(name) loop.wait(function() nap(0.02) return exists(name) end) end
  local function touch(name) io.open(name, "w"):close() end
  local function ask(account)
    return account.session:sts():call("GetCallerIdentity", {}).Account
  end
]]

local function command_of(name, code, settings)
  write(name .. ".lua", PREFIX .. code)
  return ("cd %s && exec env %s XDG_STATE_HOME=$PWD/state %s/lambdapool run %s.lua"):format(folder,
    settings or "", support.build, name)
end

-- Runs a script until it ends. What it prints on both streams, and its exit code.
local function run(code, settings)
  return support.run(command_of("script", code, settings) .. " 2>&1 </dev/null")
end

-- Starts a script. It goes on until the file `NAME.end` is there, if it waits for that.
local function start(name, code)
  os.execute(("{ %s >%s.out 2>&1 & echo $! >%s/%s.pid; }"):format(
    command_of(name, code), folder .. "/" .. name, folder, name))
end

local function eventually_reads(name, pattern)
  return support.eventually(function() return (read(name) or ""):match(pattern) end)
end

local SERVE_UNTIL = [[
  local account <close> = accounts.open()
  print(ask(account), account.session.endpoint_url)
  io.stdout:flush()
  while not exists "%s.end" do nap(0.05) end ]]

describe("a local account", function()
  it("has the service in its own process, and leaves nothing behind", function()
    assert.equal("123456789012\tus-east-1\tlocal\tthe local service\nfalse\n", (run [[
      do
        local account <close> = accounts.open()
        assert(exists "state/lambdapool/serve/url")
        print(ask(account), account.session.region, account.backend, account.name)
      end
      print(exists "state/lambdapool/serve/url") ]]))
  end)

  it("is opened once in a process, and closed with the last who has it", function()
    assert.equal("ok\n", (run [[
      local a, b = accounts.open(), accounts.open { backend = "local" }
      local c = accounts.open { region = "eu-west-1" }
      assert(a.session == b.session and a.session ~= c.session and c.session.region == "eu-west-1")
      assert(a.session.endpoint_url == c.session.endpoint_url)
      a:close()
      a:close()
      b:close()
      assert(ask(c) == "123456789012")
      accounts.close_all()
      assert(not exists "state/lambdapool/serve/url")
      c:close()
      local d <close> = accounts.open()
      assert(ask(d))
      print "ok" ]]))
  end)

  it("is not left open by those who ask for what cannot be", function()
    assert.equal("false\tfalse\n", (run [[
      local ok = pcall(accounts.open, { backend = "local", region = "a b" })
      print(ok, exists "state/lambdapool/serve/url") ]]))
  end)

  it("is not for others to look into", function()
    run "local account <close> = accounts.open()  os.execute 'find state -perm /077 >found'"
    assert.equal("", (read "found":gsub("state\n", ""):gsub("state/lambdapool\n", "")))
  end)

  it("is not led elsewhere by the environment", function()
    assert.equal("123456789012\n", (run("print(ask(accounts.open()))", [[
      AWS_ENDPOINT_URL=http://127.0.0.1:1 AWS_ENDPOINT_URL_STS=http://127.0.0.1:1 \
      http_proxy=http://127.0.0.1:1 HTTPS_PROXY=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1 \
      AWS_PROFILE=none AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y AWS_REGION=x \
      LAMBDAPOOL_ENDPOINT_URL=http://127.0.0.1:1]])))
  end)

  it("needs a home", function()
    local text = support.run(("cd %s && env -u HOME -u XDG_STATE_HOME %s/lambdapool whoami 2>&1")
      :format(folder, support.build))
    assert.equal("lambdapool whoami: there is no home to keep functions in\n" ..
      "  set HOME or XDG_STATE_HOME\n", text)
  end)

  it("says that its folder is of no use", function()
    write("state", "")
    local text, code = run "accounts.open()"
    assert.equal(1, code)
    assert.matches("cannot open the local service: %S+/state/lambdapool/serve: Not a directory\n",
      text)
  end)

  it("wants no endpoint", function()
    local text, code = run 'accounts.open { endpoint_url = "http://127.0.0.1:1" }'
    assert.equal(1, code)
    assert.matches("an endpoint is for accounts of AWS\n  the backend must be aws then", text)
  end)
end)

describe("a local account of which another process has the folder", function()
  it("is served by that", function()
    start("first", SERVE_UNTIL:format "first")
    local url = eventually_reads("first.out", "http://%S+")
    assert.equal("123456789012\t" .. url .. "\n", (run [[
      local account <close> = accounts.open()
      print(ask(account), account.session.endpoint_url) ]]))
    write("first.end", "")
  end)

  it("goes on when that ends, or is killed, at the same address", function()
    for _, how in ipairs { "end", "kill" } do
      os.execute(("rm -f %s/*.out %s/*.end"):format(folder, folder))
      start("first", SERVE_UNTIL:format "first")
      local url = eventually_reads("first.out", "http://%S+")
      start("second", [[
        local account <close> = accounts.open()
        print(ask(account))
        io.stdout:flush()
        while not exists "second.end" do nap(0.05) end
        print(ask(account), account.session.endpoint_url) ]])
      eventually_reads("second.out", "123456789012\n")
      if how == "end" then
        write("first.end", "")
      else
        os.execute(("kill -9 $(cat %s/first.pid)"):format(folder))
      end
      support.eventually(function()
        local text = read "state/lambdapool/serve/url"
        return text and text:find(read "second.pid":match "%d+", 1, true)
      end)
      assert.equal("123456789012\t" .. url .. "\n", (run [[
        local account <close> = accounts.open()
        print(ask(account), account.session.endpoint_url) ]]))
      write("second.end", "")
      assert.equal("123456789012\t" .. url, eventually_reads("second.out", "\n(.*)\n$"))
      support.eventually(function() return not read "state/lambdapool/serve/url" end)
    end
  end)

  it("finds it wherever it goes, when its port is taken meanwhile", function()
    start("first", SERVE_UNTIL:format "first")
    local url = eventually_reads("first.out", "http://%S+")
    assert.equal("moved\n", (run(([[
      local account <close> = accounts.open()
      ask(account)
      os.execute "kill -9 $(cat first.pid)"
      local other
      while not other do
        other = loop.listen({ host = "127.0.0.1", port = %s }, function() end)
      end
      loop.wait(function() return account.session.endpoint_url ~= "%s" end, nil, 30)
      print(ask(account) and account.session.endpoint_url ~= "%s" and "moved")
      other:close() ]]):format(url:match "%d+$", url, url))))
  end)

  it("waits for one that is still about to begin or to end", function()
    start("first", [[
      local store = require("lambdapool.serve.store").open "state/lambdapool/serve"
      touch "locked"
      await "go"
      nap(0.3)
      store:close() ]])
    support.eventually(function() return read "locked" end)
    write("state/lambdapool/serve/url", "http://127.0.0.1:1 999999999 AKIDEXAMPLE\n")
    write("go", "")
    assert.equal("123456789012\n", (run "print(ask(accounts.open()))"))
  end)

  it("says when the key of that is unknown", function()
    local server = support.new()
    finally(function() server:remove() end)
    os.execute(("mkdir -p %s/state/lambdapool && ln -s %s/data %s/state/lambdapool/serve"):format(
      folder, server.folder, folder))
    server:start()
    local text, code = run "accounts.open()"
    assert.equal(1, code)
    assert.matches("the service at http://127.0.0.1:%d+, which has the folder %S+, was given a " ..
      "key of its own\n  stop it, or start it without `%-%-access%-key`", text)
  end)
end)

describe("a process that ends while it serves others", function()
  it("lets them finish, and sends the rest to who takes over", function()
    os.execute(("mkdir %s/code"):format(folder))
    write("code/app.lua", [[
      return { slow = function(event)
        os.execute "sleep 1"
        return event
      end }]])
    local text, code = support.run(("cd %s && XDG_STATE_HOME=$PWD/state %s/lambdapool create f " ..
      "code/. --handler app.slow --memory 128 2>&1"):format(folder, support.build))
    assert.equal(0, code, text)
    start("first", SERVE_UNTIL:format "first")
    eventually_reads("first.out", "http://%S+")
    start("second", [[
      local account <close> = accounts.open()
      local lambda, flow = account.session:lambda(), require "lambdapool.async"
      local futures = {}
      for i = 1, 3 do
        futures[i] = flow.async(function()
          return lambda:call("Invoke", { FunctionName = "f", Payload = tostring(i) }).Payload
        end)
      end
      nap(0.5)
      touch "running"
      for _, future in ipairs(futures) do
        print(future:result())
      end
      while not exists "taken" do nap(0.05) end
      print(lambda:call("Invoke", { FunctionName = "f", Payload = "4" }).Payload) ]])
    support.eventually(function() return read "running" end)
    write("first.end", "")
    assert.equal("1\n2\n3\n", eventually_reads("second.out", "1\n2\n3\n"))
    support.eventually(function()
      local notice = read "state/lambdapool/serve/url"
      return notice and notice:find(read "second.pid":match "%d+", 1, true)
    end)
    write("taken", "")
    assert.equal("4\n", eventually_reads("second.out", "3\n(4\n)"))
  end)

  it("does not disturb pools of others", function()
    support.run(("cd %s && XDG_STATE_HOME=$PWD/state %s/lambdapool create work 2>&1"):format(folder,
      support.build))
    local counts = { first = 4, second = 20, third = 40 }
    for name, count in pairs(counts) do
      start(name, ([[
        local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "work", workers = 4 }
        local items = {}
        for i = 1, %d do
          items[i] = i
        end
        local done = pool:map(function(x)
          local stop = os.clock() + 0.02
          while os.clock() < stop do end
          return x
        end, items, { chunksize = 1 })
        print("done", #done) ]]):format(count))
    end
    for name, count in pairs(counts) do
      local text = support.eventually(function()
        local out = read(name .. ".out") or ""
        return out:match "billed" and out or out:match "traceback" and out
      end)
      assert.matches("done\t" .. count .. "\n", text)
    end
  end)
end)
