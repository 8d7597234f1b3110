--- `lambdapool serve` as a program: its command line, what it prints, and how it ends.

local json = require "lambdapool.json"
local support = require "tests.e2e.serve_support"

local KEYS = "--access-key AKIDEXAMPLE --secret-key secret"

local folder

-- Runs the program in the folder until it ends by itself. Returns what it prints on both streams
-- and its exit code.
local function serve(arguments)
  return support.run(("cd '%s' && timeout 30 %s/lambdapool serve %s 2>&1 </dev/null"):format(folder,
    support.build, arguments))
end

-- The same in the background, until `signal` comes, which is once `ready` is in its output. Returns
-- what it printed on stdout and on stderr, and its exit code.
local function serve_until(signal, arguments, during)
  local text, code = support.run(([[cd '%s' && rm -f err && {
      %s/lambdapool serve --port 0 --dir data %s >out 2>err & pid=$!
      until grep -qs AWS_ENDPOINT_URL err; do kill -0 $pid || exit 98; sleep 0.01; done
      url=$(sed -n 's/.*serving Lambda on //p' err); %s
      kill -%s $pid; wait $pid; }]]):format(folder, support.build, arguments or "", during or "",
    signal))
  local function read(name)
    return (support.run(("cat '%s/%s'"):format(folder, name)))
  end
  return read "out", read "err", code, text
end

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
  assert(os.execute(("mkdir '%s'"):format(folder)))
end)

after_each(function()
  os.execute(("rm -rf '%s'"):format(folder))
end)

describe("the command line of serve", function()
  it("has help that starts with an example", function()
    for _, flag in ipairs { "--help", "-h" } do
      local text, code = serve(flag)
      assert.equal(0, code)
      assert.matches("^  lambdapool serve\n", text)
      assert.matches("\nusage: lambdapool serve %[OPTIONS%]\n", text)
    end
  end)

  it("refuses what it does not know, and suggests", function()
    for arguments, complaint in pairs {
      ["--prot 1"] = "unknown option '--prot', did you mean '--port'?",
      ["--prot=1"] = "unknown option '--prot', did you mean '--port'?",
      ["something"] = "unknown argument 'something'",
      ["--port"] = "'--port' needs a value",
      ["--port x"] = "'--port' must be an integer from 0 to 65535, got 'x'",
      ["--port 65536"] = "'--port' must be an integer from 0 to 65535, got '65536'",
      ["--port -1"] = "'--port' must be an integer from 0 to 65535, got '-1'",
      ["--concurrency=0"] = "'--concurrency' must be an integer from 1 to 100000, got '0'",
      ["--latency 1e9"] = "'--latency' must be a number from 0 to 60000, got '1e9'",
      ["--latency ."] = "'--latency' must be a number from 0 to 60000, got '.'",
      ["--region 'a b'"] = "'--region' must be a region like us-east-1, got 'a b'",
      ["--dir ''"] = "'--dir' must be a text, got ''",
      ["--quiet=1"] = "'--quiet' takes no value",
      ["--access-key A"] = "'--access-key' and '--secret-key' go together",
      ["--secret-key S"] = "'--access-key' and '--secret-key' go together",
    } do
      local text, code = serve(arguments)
      assert.equal(2, code, arguments)
      assert.equal(("lambdapool serve: %s\n  see `lambdapool serve --help`\n"):format(complaint),
        text)
    end
  end)

  it("needs a folder", function()
    local text, code = support.run(("env -u HOME -u XDG_STATE_HOME %s/lambdapool serve 2>&1")
      :format(support.build))
    assert.equal(2, code)
    assert.equal("lambdapool serve: there is no HOME to keep things in; choose with `--dir`\n",
      text)
  end)
end)

describe("a server that cannot start", function()
  it("says that its folder cannot be made", function()
    local text, code = serve("--port 0 --dir /dev/null/x " .. KEYS)
    assert.equal(1, code)
    assert.matches("^lambdapool: /dev/null/x: Not a directory\n", text)
  end)

  it("says that its folder is in use, and by whom", function()
    local _, _, code, text = serve_until("TERM", KEYS, ([[
      %s/lambdapool serve --port 0 --dir data %s 2>&1; echo $? $pid]]):format(support.build, KEYS))
    assert.equal(0, code)
    local complaint, owner, status, pid =
      text:match "^lambdapool: (.-) %(process (%d+)%)\n.*\n(%d+) (%d+)\n$"
    assert.equal("the folder data is in use by another server", complaint)
    assert.same({ "1", pid }, { status, owner })
  end)

  it("says that its port is in use", function()
    local _, _, code, text = serve_until("TERM", KEYS, ([[
      %s/lambdapool serve --port ${url##*:} --dir other %s 2>&1; echo $? $url]]):format(
      support.build, KEYS))
    assert.equal(0, code)
    assert.matches("^lambdapool: cannot listen on 127.0.0.1, port %d+: Address already in use\n" ..
      "  choose another one with `%-%-port`, or 0 for any that is free\n1 http", text)
  end)

  it("warns when it would listen for others", function()
    local text, code = serve("--port 0 --dir data --host 192.0.2.1 " .. KEYS)
    assert.equal(1, code)
    assert.matches("^lambdapool: warning: others can reach the service on 192.0.2.1,", text)
    assert.matches("\nlambdapool: cannot listen on 192.0.2.1, port 0: ", text)
  end)
end)

describe("a server", function()
  it("says where it is, on stderr only", function()
    local out, err, code = serve_until("INT", KEYS)
    assert.equal(130, code)
    assert.equal("", out)
    err = err:gsub("^lambdapool: warning: functions are not isolated:[^\n]*\n", "")
    assert.matches("^lambdapool: serving Lambda on http://127.0.0.1:%d+\n" ..
      "lambdapool:   export AWS_ENDPOINT_URL=http://127.0.0.1:%d+ AWS_REGION=us%-east%-1\n" ..
      "lambdapool: interrupted\n$", err)
  end)

  it("ends well when it is asked to", function()
    local _, err, code = serve_until("TERM", KEYS)
    assert.equal(0, code)
    assert.matches("\nlambdapool: terminated\n$", err)
  end)

  it("makes its key, with which the AWS CLI gets in", function()
    local _, err, code, text = serve_until("TERM", "--quiet", [[
      AWS_SHARED_CREDENTIALS_FILE=data/credentials AWS_PAGER= HOME=$PWD timeout 60 /usr/bin/aws \
        --region eu-west-1 --endpoint-url $url sts get-caller-identity --query Account]])
    assert.equal(0, code)
    assert.equal('"123456789012"\n', text)
    assert.matches("export AWS_SHARED_CREDENTIALS_FILE=" .. folder .. "/data/credentials\n", err, 1,
      true)
    assert.is_nil(err:find "GetCallerIdentity")
  end)

  it("keeps its folder from others", function()
    assert(os.execute(("mkdir -m 755 '%s/data'"):format(folder)))
    local _, _, _, text = serve_until("TERM", "", [[
      find data -maxdepth 1 -type f -perm /077; stat -c %a data/credentials]])
    assert.equal("600\n", text)
  end)

  it("logs each request, for people or as JSON", function()
    local visit = "curl -sS $url/2015-03-31/functions >/dev/null"
    local _, err = serve_until("TERM", KEYS, visit)
    assert.matches("\n%d%d:%d%d:%d%d 403 +[%d.]+ ms GET /2015%-03%-31/functions " ..
      "MissingAuthenticationTokenException [%x-]+\n", err)
    _, err = serve_until("TERM", KEYS .. " --json", visit)
    local entry = json.decode((err:match "\n({.-})\n"))
    assert.same({ 403, "GET", "MissingAuthenticationTokenException" },
      { entry.status, entry.method, entry.error })
    assert.matches("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", entry.time)
  end)
end)

describe("a server that ends", function()
  local server

  before_each(function() server = support.new() end)
  after_each(function() server:remove() end)

  it("takes the functions that run along", function()
    server:start()
    local nap = "sleep " .. 1000000 + server.port
    server:create("f", server:zip("code", ([[
      return { f = function()
        os.execute "%s & %s"
      end }]]):format(nap, nap)), "app.f", "--timeout 60")
    os.execute(([[cd '%s' && AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s HOME=$PWD \
      /usr/bin/aws --region us-east-1 --endpoint-url %s \
      lambda invoke --function-name f out >cli 2>&1 &]]):format(
      server.folder, support.access_key, support.secret_key, server.url))
    local function sleepers()
      return (support.run(("pgrep -fc '^%s$'"):format(nap)))
    end
    support.eventually(function() return sleepers() == "2\n" end)
    server:stop "INT"
    support.eventually(function() return sleepers() == "0\n" end)
    assert.matches("interrupted\n$", server:log())
  end)
end)
