local archive = require "lambdapool.archive"
local binaries = require "lambdapool.deploy.binaries"
local files = require "lambdapool.files"
local json = require "lambdapool.json"
local package = require "lambdapool.deploy.package"
local support = require "tests.lua.deploy_support"
local system = require "lambdapool.system"

local root, agent

before_each(function()
  root = support.folder()
  support.write(root, { ["bootstrap"] = "#!/bin/sh\n" })
  agent = root .. "/bootstrap"
end)

after_each(function()
  assert.is_true(files.remove(root))
end)

local function sh(script)
  return support.sh(script, root)
end

-- Packages paths of our folder.
local function build(paths, options)
  options = options or {}
  options.agent = options.agent or agent
  options.paths = {}
  for i, path in ipairs(paths) do
    options.paths[i] = root .. "/" .. path
  end
  return package.build(options)
end

local function problem(...)
  return (support.problem(build, ...):gsub(root:gsub("%p", "%%%0"), "ROOT"))
end

local function names(made)
  local list = {}
  for i, entry in ipairs(made.entries) do
    list[i] = entry.name
  end
  return list
end

-- What Python finds in the zip: name -> { mode, content }.
local function unzipped(made)
  support.write(root, { ["made.zip"] = made.bytes })
  local text = sh [[/usr/bin/python3 -c '
import json, zipfile
with zipfile.ZipFile("made.zip") as z:
  assert z.testzip() is None
  print(json.dumps({i.filename: [i.create_system, oct(i.external_attr >> 16), i.date_time,
    z.read(i).decode("latin-1")] for i in z.infolist()}))']]
  return assert(json.decode(text))
end

describe("a package", function()
  it("has the agent, what was named, and what modules there are", function()
    support.write(root, { ["src/algorithms/fib.lua"] = "return 1",
      ["src/algorithms/init.lua"] = "", ["src/algorithms/data.txt"] = "data",
      ["src/tool"] = "#!/bin/sh\n", ["x.lua"] = "return 2" })
    sh "chmod +x src/tool"
    local made = build { "src/algorithms/", "src/tool", "x.lua" }
    assert.same({ "algorithms/data.txt", "algorithms/fib.lua", "algorithms/init.lua", "bootstrap",
      "lambdapool.json", "tool", "x.lua" }, names(made))
    local found = unzipped(made)
    local total = 0
    for _, entry in ipairs(made.entries) do
      local system_of, mode, date, data = table.unpack(found[entry.name])
      local is_program = entry.name == "bootstrap" or entry.name == "tool"
      assert.equal(3, system_of)
      assert.equal(is_program and "0o100755" or "0o100644", mode)
      assert.same({ 1980, 1, 1, 0, 0, 0 }, date)
      assert.equal(#data, entry.size)
      total = total + #data
    end
    assert.equal(total, made.unzipped)
    assert.same({ entries = 7, unzipped = total }, archive.check(made.bytes))
    local digest = sh "openssl dgst -sha256 -binary made.zip | base64"
    assert.equal(made.sha256 .. "\n", digest)
    assert.equal(system.version, made.agent_version)
    assert.same({
      agent = system.version, created_by = "lambdapool " .. system.version,
      modules = {
        algorithms = { file = "algorithms/init.lua",
          hash = sh("printf '' | sha256sum"):sub(1, 64) },
        ["algorithms.fib"] = { file = "algorithms/fib.lua",
          hash = sh("printf 'return 1' | sha256sum"):sub(1, 64) },
        x = { file = "x.lua", hash = sh("printf 'return 2' | sha256sum"):sub(1, 64) },
      },
    }, json.decode(found["lambdapool.json"][4]))
  end)

  it("may be the agent alone", function()
    assert.same({ "bootstrap", "lambdapool.json" }, names(build {}))
    local real = package.build {}
    assert.equal("bootstrap", real.entries[1].name)
    assert.is_true(real.entries[1].size > 100000)
    assert.same({}, json.decode(unzipped(build {})["lambdapool.json"][4]).modules)
  end)

  it("lists modules as the agent finds them", function()
    support.write(root, { ["f/a.lua"] = "first", ["f/a/init.lua"] = "second",
      ["f/lua/a.lua"] = "third", ["f/lua/b.lua"] = "", ["f/lua/c/init.lua"] = "",
      ["f/lua/init.lua"] = "", ["f/no.module.lua"] = "", ["f/d-e/f.lua"] = "", ["f/.lua"] = "" })
    local listed = {}
    local manifest = json.decode(unzipped(build { "f/." })["lambdapool.json"][4])
    for name, module in pairs(manifest.modules) do
      listed[name] = module.file
    end
    assert.same({ a = "a.lua", b = "lua/b.lua", c = "lua/c/init.lua", lua = "lua/init.lua",
      ["d-e.f"] = "d-e/f.lua" }, listed)
  end)

  it("has the same bytes anywhere", function()
    local texts = {}
    for i = 1, 50 do
      texts["one/a/" .. i .. ".lua"] = ("return " .. i .. "\n"):rep(i)
    end
    texts["one/a/tool"], texts["one/a/A.lua"], texts["one/a/\u{e9}.lua"] = "#!", "", ""
    support.write(root, texts)
    sh [[chmod 755 one/a/tool; mkdir -p elsewhere/other; umask 077
      for f in $(ls one/a | sort -R); do install -D -m 600 one/a/$f elsewhere/other/a/$f; done
      chmod 700 elsewhere/other/a/tool; find elsewhere | xargs touch -d @1
      cp bootstrap elsewhere/bootstrap; chmod 500 elsewhere/bootstrap]]
    local first = build { "one/a", "one/a/." }
    local before = os.setlocale(nil, "all")
    finally(function() os.setlocale(before, "all") end)
    for _, locale in ipairs { "de_DE.UTF-8", "en_US.UTF-8", "C.UTF-8" } do
      os.setlocale(locale, "all")
      local second = build({ "elsewhere/other/a/.", "elsewhere/other/a/" },
        { agent = root .. "/elsewhere/bootstrap" })
      assert.is_true(first.bytes == second.bytes)
      assert.same(names(first), names(second))
    end
    support.write(root, { ["one/a/1.lua"] = "return 2\n" })
    assert.is_false(first.sha256 == build({ "one/a" }).sha256)
  end)

  it("has names for itself", function()
    for name, other in pairs { bootstrap = "ROOT/bootstrap",
      ["lambdapool.json"] = "ROOT/f/lambdapool.json" } do
      support.write(root, { ["f/" .. name] = "" })
      assert.equal(("two files would be %s in the package: %s and %s"):format(name, other,
        name == "bootstrap" and "ROOT/f/bootstrap" or "the list of modules"), problem { "f/." })
      files.remove(root .. "/f")
    end
  end)

  it("is no larger than Lambda takes", function()
    sh [[mkdir f; head -c 30000000 /dev/urandom > f/a; head -c 30000000 /dev/urandom > f/b;
      echo x > f/c]]
    local text = problem { "f" }
    assert.matches("^the package has 60%d+ bytes, and Lambda takes 52428800 %(50 MB%) at most\n",
      text)
    assert.matches("`lambdapool layers publish`; the largest files are f/[ab] %(30000000 " ..
      "bytes%), f/[ab] %(30000000 bytes%), lambdapool.json", text)
  end)

  it("has an agent that can run there", function()
    assert.matches("^cannot package the agent ROOT/none: No such file or directory$",
      problem({}, { agent = root .. "/none" }))
    assert.equal("cannot package the agent ROOT: it is no file", problem({}, { agent = root }))
    local machine = binaries.machine(support.read "/bin/sh")
    local other = machine == "arm64" and "x86_64" or "arm64"
    sh "cp /bin/sh agent"
    assert.equal(("cannot package the agent ROOT/agent: it is for %s, and the function for %s\n" ..
      "  name one that was built for %s in LAMBDAPOOL_AGENT"):format(machine, other, other),
      problem({}, { agent = root .. "/agent", architecture = other }))
    build({}, { agent = root .. "/agent", architecture = machine })
  end)

  it("holds no program that cannot run there", function()
    sh "mkdir f; cp /bin/sh f/tool; printf '\\267' | dd of=f/tool bs=1 seek=18 conv=notrunc 2>&1"
    assert.matches("^cannot package ROOT/f/tool: it is for arm64, and the function for x86_64",
      problem({ "f" }, { architecture = "x86_64" }))
  end)
end)

describe("the options of a package", function()
  it("are checked", function()
    for complaint, options in pairs {
      ["option 'architecture' must be 'x86_64' or 'arm64', got 'mips'"] =
        { architecture = "mips" },
      ["unknown option 'path', did you mean 'paths'?"] = { path = {} },
      ["option 'paths' must be a table, got 'a/'"] = { paths = "a/" },
      ["a path must be a string, got a table"] = { paths = { {} } },
    } do
      assert.error_matches(function() package.build(options) end,
        "^lambdapool.deploy.package: " .. (complaint:gsub("%p", "%%%0")))
    end
  end)
end)

describe("a layer", function()
  it("has what Lua finds below /opt, and no agent", function()
    support.write(root, { ["a/x.lua"] = "", ["y.lua"] = "", ["b/z.lua"] = "" })
    local made = build({ "a", "y.lua", "b/." }, { layer = true })
    assert.same({ "lua/a/x.lua", "lua/y.lua", "lua/z.lua" }, names(made))
    assert.is_nil(made.agent_version)
    assert.equal("a layer without files\n  name files, folders, or rocks with `-r FILE`",
      problem({}, { layer = true }))
  end)
end)
