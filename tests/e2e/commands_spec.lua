--- The commands invoke, logs, doctor, whoami and config as programs, on the local account.

local json = require "lambdapool.json"
local support = require "tests.e2e.serve_support"

local folder

local function write(name, text)
  local file <close> = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
end

local function read(name)
  local file <close> = assert(io.open(folder .. "/" .. name))
  return file:read "a"
end

-- Runs a command. Returns what it prints on stdout and on stderr, and its exit code.
local function lambdapool(arguments, settings)
  local out, code = support.run(("cd %s && XDG_STATE_HOME=%s/state XDG_CONFIG_HOME=%s/config " ..
    "HOME=%s %s timeout 60 %s/lambdapool %s 2>err </dev/null"):format(folder, folder, folder,
    folder, settings or "", support.build, arguments))
  return out, read "err", code
end

-- One that must go well. What it prints on stdout.
local function good(arguments, settings)
  local out, err, code = lambdapool(arguments, settings)
  assert.equal(0, code, err)
  return out
end

local CODE = [[
  return {
    echo = function(event) print("event", event.n) return event end,
    fail = function() error { reason = "no" } end,
    raise = function(event) local function inner() return #event.n.m end return inner() end,
  }]]

setup(function()
  folder = os.tmpname()
  assert(os.remove(folder) and os.execute(("mkdir -p %s/code %s/inner"):format(folder, folder)))
  write("err", "")
  write("code/app.lua", CODE)
  for _, name in ipairs { "echo", "raise", "quiet" } do
    good(("create %s code/. --handler app.%s"):format(name, name == "quiet" and "echo" or name))
  end
end)

teardown(function()
  os.execute("rm -rf " .. folder)
end)

describe("invoke", function()
  it("prints the result, and nothing else on stdout", function()
    local out, err, code = lambdapool [[invoke echo '{"n": [1, null, "ü"]}']]
    assert.same({ '{"n":[1,null,"ü"]}\n', "", 0 }, { out, err, code })
  end)

  it("takes the event from a file or from standard input", function()
    write("event.json", '{"n":2}\n')
    assert.equal('{"n":2}\n', good "invoke echo @event.json")
    assert.equal('{"n":3}\n', (support.run(([[cd %s && echo '{"n":3}' |
      XDG_STATE_HOME=$PWD/state %s/lambdapool invoke echo -]]):format(folder, support.build))))
    assert.equal("{}\n", good "invoke echo")
  end)

  it("sends nothing that is not JSON", function()
    for arguments, complaint in pairs {
      ["'{x}'"] = "the event is not JSON: Unexpected character ('x' (code 120)):",
      ["''"] = "the event is not JSON: ",
      ["-"] = "the event is not JSON: ",
      ["event.json"] = "the event is not JSON: Unrecognized token 'event':",
      ["'{} {}'"] = "the event is not JSON: ",
    } do
      local out, err, code = lambdapool("invoke nobody " .. arguments)
      assert.same({ "", 2 }, { out, code }, arguments)
      assert.equal("lambdapool invoke: " .. complaint, err:sub(1, 19 + #complaint))
    end
    local _, err = lambdapool "invoke nobody event.json"
    assert.matches("\n  the file event.json is given as @event.json\n$", err)
  end)

  it("says what is wrong with files and sizes", function()
    local _, err, code = lambdapool "invoke echo @nothing"
    assert.same({ "lambdapool invoke: cannot read the event: nothing: No such file or directory\n",
      1 }, { err, code })
    _, err, code = lambdapool "invoke echo @inner"
    assert.same({ "lambdapool invoke: cannot read the event: inner: Is a directory\n", 1 },
      { err, code })
    write("large.json", '"' .. ("x"):rep(1048576) .. '"')
    _, err, code = lambdapool "invoke echo @large.json --event"
    assert.same({ "lambdapool invoke: the event has 1048578 bytes, and Lambda takes 1048576 at " ..
      "most\n", 1 }, { err, code })
  end)

  it("fails as the function does", function()
    local out, err, code = lambdapool "invoke raise '{}'"
    assert.same({ "", 1 }, { out, code })
    assert.matches("^lambdapool invoke: raise failed: .*app.lua:4: attempt to index a nil value " ..
      ".*%(LambdaPoolError%)\n    .*app.lua:4: in ", err)
    out, err, code = lambdapool "invoke raise '{}' --json"
    assert.matches("^lambdapool invoke: raise failed", err)
    local document = json.decode(out)
    assert.same({ 1, 200, "Unhandled" }, { code, document.status, document.function_error })
    assert.equal("LambdaPoolError", document.payload.errorType)
  end)

  it("says how functions get a handler", function()
    good "create calls"
    local _, err, code = lambdapool "invoke calls"
    assert.equal(1, code)
    assert.matches("%(Runtime.NoHandler%)\n  give it one with `lambdapool update calls " ..
      "%-%-handler MODULE.FUNCTION`\n$", err)
    good "delete calls --yes"
  end)

  it("sends nothing to what cannot be a function, as logs and doctor do not", function()
    for _, name in ipairs { "a b", "", "f:", "arn:aws:s3:::f", ("f?x=1"), "f/../g" } do
      for _, command in ipairs { "invoke", "doctor" } do
        local out, err, code = lambdapool(("%s '%s'"):format(command, name))
        assert.same({ "", ("lambdapool %s: '%s' is not the name of a function\n  it is NAME, " ..
          "NAME:ALIAS or an ARN; a name has letters, digits, - and _\n"):format(command, name), 2 },
          { out, err, code })
      end
    end
    local _, err, code = lambdapool "logs 'a b'"
    assert.equal(2, code)
    assert.matches("^lambdapool logs: 'a b' is not the name of a function\n", err)
  end)

  it("shows the end of the log on stderr", function()
    local out, err, code = lambdapool "invoke echo '{\"n\":7}' --tail"
    assert.same({ '{"n":7}\n', 0 }, { out, code })
    assert.matches("^START RequestId: .*\nevent\t7\nEND RequestId: .*\nREPORT RequestId: ", err)
    local document = json.decode(good "invoke echo '{\"n\":7}' --tail --json")
    assert.matches("\nevent\t7\n", document.log)
    assert.equal(7, document.payload.n)
  end)

  it("does not wait for events, which run all the same", function()
    local out, err, code = lambdapool "invoke echo '{\"n\":88}' --event"
    assert.same({ "", 0 }, { out, code })
    assert.matches("^lambdapool: accepted, request %x[%x-]+\n$", err)
    assert.matches("event\t88\n", good "logs echo")
    out, err, code = lambdapool "invoke echo --event --tail"
    assert.equal("", out)
    assert.equal(2, code)
    assert.matches("'%-%-event' does not wait for the log that '%-%-tail' shows\n", err)
  end)

  it("names the command that creates what is not there", function()
    local _, err, code = lambdapool "invoke nobody"
    assert.equal(3, code)
    assert.matches("Function not found: .*\n  create it with `lambdapool create nobody PATHS`", err)
    _, err, code = lambdapool "invoke echo --qualifier 7"
    assert.equal(3, code, err)
    assert.matches("\n  there is no function echo, or it has no version or alias 7\n$", err)
  end)

  it("does not pass over a full disk", function()
    local _, err, code = lambdapool "invoke echo >/dev/full"
    assert.same({ "lambdapool: cannot write to standard output: No space left on device\n", 1 },
      { err, code })
  end)
end)

describe("logs", function()
  it("prints lines with their time", function()
    good "invoke echo '{\"n\":11}'"
    local out = good "logs echo --grep event"
    assert.matches("%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d%.%d%d%d event\t11\n", out)
    for line in out:gmatch "[^\n]+" do
      assert.matches("event\t", line)
    end
  end)

  it("prints JSON, which is complete when there is nothing", function()
    local document = json.decode(good "logs echo --json")
    assert.is_true(#document.events > 3)
    for line in good "logs echo --jsonl":gmatch "[^\n]+" do
      local event = json.decode(line)
      assert.matches("^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", event.time)
      assert.equal("string", type(event.message))
    end
    assert.equal('{"events":[]}\n', good "logs echo --json --until 10d")
    assert.equal("", good "logs echo --jsonl --until 10d")
    assert.equal('{"events":[]}\n', good "logs quiet --json")
  end)

  it("finds what belongs to one invocation", function()
    local id = json.decode(good "invoke echo '{\"n\":123}' --json").request_id
    good "invoke echo '{\"n\":124}'"
    local out = good("logs echo --request " .. id)
    local lines = select(2, out:gsub("\n", ""))
    assert.equal(4, lines, out)
    assert.matches(" event\t123\n", out)
    local _, err, code = lambdapool "logs echo --request abc-1"
    assert.equal(3, code)
    assert.matches("^lambdapool logs: there is nothing of request abc%-1 in the log\n", err)
  end)

  it("says that there is nothing yet, or nothing at all", function()
    local out, err, code = lambdapool "logs quiet"
    assert.same({ "", 0 }, { out, code })
    assert.equal("lambdapool: quiet has not logged anything: there is no /aws/lambda/quiet yet\n",
      err)
    out, err, code = lambdapool "logs nobody"
    assert.equal("", out)
    assert.equal(3, code)
    assert.matches("create it with `lambdapool create nobody PATHS`", err)
    out, err, code = lambdapool "logs /no/group"
    assert.equal("", out)
    assert.same({ "lambdapool logs: there is no log group /no/group\n", 3 }, { err, code })
  end)

  it("takes ARNs, and groups by their names", function()
    assert.matches("event", good "logs arn:aws:lambda:us-east-1:123456789012:function:echo")
    assert.matches("event", good "logs 123456789012:function:echo:7")
    assert.matches("event", good "logs /aws/lambda/echo")
  end)

  it("follows until Ctrl-C, with every line once", function()
    local function start(name)
      os.execute(("cd %s && XDG_STATE_HOME=%s/state HOME=%s %s/lambdapool logs %s -f --since 1s " ..
        ">%s.out 2>%s.err & echo $! >%s/%s.pid"):format(folder, folder, folder, support.build, name,
        folder .. "/" .. name, folder .. "/" .. name, folder, name))
    end
    start "quiet"
    for n = 1, 3 do
      good(("invoke quiet '{\"n\":%d}'"):format(1000 + n))
      support.eventually(function() return read "quiet.out":find("event\t100" .. n, 1, true) end)
    end
    os.execute(("kill -INT $(cat %s/quiet.pid)"):format(folder))
    support.eventually(function() return read "quiet.err":find "interrupted\n" end)
    assert.equal("lambdapool: interrupted\n", read "quiet.err")
    for n = 1, 3 do
      local _, count = read "quiet.out":gsub("event\t100" .. n .. "\n", "")
      assert.equal(1, count)
    end
  end)

  it("is refused what makes no sense", function()
    for arguments, complaint in pairs {
      ["--since yesterday"] = "'--since' must be a time like 10m, 2h, 3d, 2026-11-21 or " ..
        "2026-11-21T18:00:05Z, got 'yesterday'",
      ["--until ''"] = "'--until' must be a time like 10m, 2h, 3d, 2026-11-21 or " ..
        "2026-11-21T18:00:05Z, got ''",
      ["--since 1h --until 2h"] = "'--until' is before '--since'",
      ["-f --until 1h"] = "'--follow' and '--until' do not go together",
      ["-f --request abc"] = "'--follow' and '--request' do not go together",
      ["-f --json"] = "'--follow' and '--json' do not go together",
      ["--json --jsonl"] = "'--json' and '--jsonl' do not go together",
      ["--request abc --grep x"] = "'--request' and '--grep' do not go together",
      ["--request 'x y'"] = "'--request' must be the id of a request, like " ..
        "8f6c1c6e-3f0a-4ee2-9b1d-0c3f5a7d9e11, got 'x y'",
      ["--grep ''"] = "'--grep' must be a text, got ''",
    } do
      local _, err, code = lambdapool("logs echo " .. arguments)
      assert.equal(2, code)
      assert.equal(("lambdapool logs: %s\n  see `lambdapool logs --help`\n"):format(complaint), err)
    end
  end)
end)

describe("whoami", function()
  it("says who the local account is", function()
    local out = good "whoami --region eu-west-1"
    assert.matches("^backend      local\naccount      123456789012\n", out)
    assert.matches("\nregion       eu%-west%-1\n", out)
    local document = json.decode(good "whoami --json")
    assert.equal("us-east-1", document.region)
    assert.matches("/serve/credentials$", document.credentials)
  end)

  it("says what is missing of another", function()
    local _, err, code = lambdapool("whoami --backend aws --region us-east-1",
      "AWS_EC2_METADATA_DISABLED=true")
    assert.equal(4, code, err)
    _, err, code = lambdapool("whoami --backend aws --profile none",
      "AWS_EC2_METADATA_DISABLED=true")
    assert.equal(4, code)
    assert.matches("there is no AWS profile none", err)
  end)

  it("asks the endpoint that is named, and repeats no secrets", function()
    local settings = "AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=hunter2 " ..
      "AWS_MAX_ATTEMPTS=1"
    local out, err, code = lambdapool(
      "whoami --backend aws --region us-east-1 --endpoint-url http://127.0.0.1:1", settings)
    assert.same({ "", 1 }, { out, code }, err)
    assert.matches("127.0.0.1", err)
    assert.is_nil(err:find "hunter2")
    out, err, code = lambdapool "whoami --region us_east"
    assert.same({ "", "lambdapool whoami: '--region' must be a region like us-east-1, got " ..
      "'us_east'\n  see `lambdapool whoami --help`\n", 2 }, { out, err, code })
    out, err, code = lambdapool("whoami --endpoint-url http://127.0.0.1:1", settings)
    assert.equal("", out)
    assert.same({ "lambdapool whoami: an endpoint is for accounts of AWS\n" ..
      "  the backend must be aws then: `--backend aws`\n", 1 }, { err, code })
  end)
end)

describe("config show", function()
  it("lists every setting, with its origin", function()
    write("lambdapool.conf.lua", 'region = "eu-west-3"\nworkers = 12\n')
    finally(function() os.remove(folder .. "/lambdapool.conf.lua") end)
    local out = good("config show --origin", "LAMBDAPOOL_RETRIES=3")
    assert.matches("^NAME +VALUE +ORIGIN\nbackend +local +default\n", out)
    assert.matches("\nregion +eu%-west%-3 +lambdapool.conf.lua:1\n", out)
    assert.matches("\nretries +3 +LAMBDAPOOL_RETRIES\n", out)
    out = support.run(("cd %s/inner && HOME=%s %s/lambdapool config show --origin --profile x")
      :format(folder, folder, support.build))
    assert.matches("\nworkers +12 +%.%./lambdapool.conf.lua:2\n", out)
    assert.matches("\nprofile +x +%-%-profile\n", out)
    local document = json.decode(good "config show --json")
    assert.same({ value = 12, origin = "lambdapool.conf.lua:2" }, document.workers)
    assert.same({ value = json.null, origin = "default" }, document.role)
    assert.matches("^NAME +VALUE\nbackend +local\n", good "config show")
  end)

  it("says where a file is wrong, as do all commands", function()
    write("lambdapool.conf.lua", 'regoin = "eu-west-3"\n')
    finally(function() os.remove(folder .. "/lambdapool.conf.lua") end)
    for _, command in ipairs { "config show", "list", "whoami" } do
      local out, err, code = lambdapool(command)
      assert.same({ "", 1 }, { out, code })
      assert.equal(("lambdapool %s: lambdapool.conf.lua:1: unknown setting 'regoin', " ..
        "did you mean 'region'?\n"):format(command), err)
    end
  end)
end)

describe("doctor", function()
  it("finds nothing wrong", function()
    good "invoke echo"
    local out = good "doctor echo"
    for _, name in ipairs { "program", "agent", "configuration", "account", "region", "credentials",
      "endpoint", "clock", "identity", "function", "agent version", "role", "log" } do
      assert.matches("\nok    " .. name .. " ", "\n" .. out)
    end
    local document = json.decode(good "doctor --json")
    assert.is_true(document.ok)
    for _, check in ipairs(document.checks) do
      assert.is_truthy(check.name and check.message)
      assert.not_equal("FAIL", check.status)
    end
  end)

  it("finds what is wrong, and goes on", function()
    local out, err, code = lambdapool "doctor nobody"
    assert.same({ "", 1 }, { err, code })
    assert.matches("\nFAIL  function +lambda refused GetFunction: Function not found: [^\n]*\n +" ..
      "create it with `lambdapool create nobody PATHS`", out)
    out, err, code = lambdapool("doctor --json --backend aws", "AWS_EC2_METADATA_DISABLED=true")
    assert.equal("", err)
    local failed, found = {}, {}
    for _, check in ipairs(json.decode(out).checks) do
      failed[check.name] = check.status == "FAIL" and check.hint or nil
      found[check.name] = true
    end
    assert.equal(1, code)
    assert.matches("AWS_REGION", failed.region)
    assert.is_truthy(failed.credentials)
    assert.is_nil(found.identity or found.clock) -- of whom, of what?
  end)

  it("looks at the configuration and at variables that are none", function()
    write("lambdapool.conf.lua", "workers = 0\n")
    finally(function() os.remove(folder .. "/lambdapool.conf.lua") end)
    local out, _, code = lambdapool "doctor"
    assert.equal(1, code)
    assert.matches("\nFAIL  configuration +lambdapool.conf.lua:1: 'workers' must be ", out)
    assert.matches("\nFAIL  account ", out)
    os.remove(folder .. "/lambdapool.conf.lua")
    local err
    out, err, code = lambdapool("doctor", "LAMBDAPOOL_BACKNED=aws")
    assert.same({ "", 0 }, { err, code })
    assert.matches("\nwarn  configuration +there is no setting for LAMBDAPOOL_BACKNED, did you " ..
      "mean 'LAMBDAPOOL_BACKEND'%?\n", out)
  end)

  it("sees that the clock is wrong", function()
    local server = support.run(([[cd %s && cat >old.py <<'END' && (/usr/bin/python3 old.py >port &)
import http.server, threading, os
class Old(http.server.BaseHTTPRequestHandler):
    def date_time_string(self, timestamp=None):
        return "Sat, 01 Jan 2000 00:00:00 GMT"
    def do_GET(self):
        self.send_response(403); self.send_header("content-length", "0"); self.end_headers()
    do_POST = do_GET
    def log_message(self, *a): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Old)
threading.Timer(60, lambda: os._exit(0)).start()
print(server.server_port, os.getpid(), flush=True)
server.serve_forever()
END
      until [ -s port ]; do sleep 0.05; done; cat port]]):format(folder))
    local port, pid = server:match "(%d+) (%d+)"
    finally(function() os.execute("kill " .. pid) end)
    local out, _, code = lambdapool(("doctor --backend aws --region us-east-1 --endpoint-url " ..
      "http://127.0.0.1:%s"):format(port), "AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=hunter2 " ..
      "AWS_MAX_ATTEMPTS=1")
    assert.equal(1, code)
    assert.matches("\nFAIL  clock +this machine is %d+ days ahead, and signatures are refused\n" ..
      " +set the clock", out)
    assert.is_nil(out:find "hunter2")
  end)
end)
