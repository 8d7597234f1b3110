--- Installs with the real luarocks, from a server that is a folder.

local command = require "lambdapool.command"
local files = require "lambdapool.files"
local json = require "lambdapool.json"
local support = require "tests.lua.deploy_support"
local system = require "lambdapool.system"

local root, home

local function sh(script, env)
  return support.sh(script, root, env)
end

-- Puts a rock on the server: with sources { name = text }, and the modules that they are.
local function publish(name, version, sources, modules, dependencies)
  local stem = name .. "-" .. version
  local texts = {}
  for file, text in pairs(sources) do
    texts[stem .. "/" .. file] = text
  end
  support.write(root, texts)
  local list = {}
  for module, file in pairs(modules) do
    list[#list + 1] = ("[%q] = %q"):format(module, file)
  end
  support.write(root, { [stem .. "-1.rockspec"] = ([[
    package = %q
    version = "%s-1"
    source = { url = "file://%s/%s.tar.gz" }
    dependencies = { "lua >= 5.1"%s }
    build = { type = "builtin", modules = { %s } }
  ]]):format(name, version, root, stem, dependencies or "", table.concat(list, ", ")) })
  sh(([[tar czf %s.tar.gz %s; mkdir -p server
    luarocks --lua-version 5.4 pack %s-1.rockspec; mv *.rock server
    luarocks-admin --lua-version 5.4 make_manifest server]]):format(stem, stem, stem))
end

setup(function()
  root = support.folder()
  support.write(root, {
    ["luarocks.lua"] = ('rocks_servers = { "file://%s/server" }'):format(root),
  })
  publish("plain", "1.0", { ["plain.lua"] = "return 'plain 1'" }, { plain = "plain.lua" })
  publish("plain", "2.0", { ["plain.lua"] = "return 'plain 2'" }, { plain = "plain.lua" })
  publish("native", "1.0", {
    ["core.c"] = [[
      #include <lauxlib.h>
      int luaopen_native_core(lua_State *L) { lua_pushliteral(L, "in C"); return 1; }
    ]],
    ["native.lua"] = "return require 'native.core'",
  }, { native = "native.lua", ["native.core"] = "core.c" }, ', "plain < 2"')
  publish("broken", "1.0", { ["broken.c"] = '#include "nothing.h"' }, { broken = "broken.c" })
  publish("modern", "1.0", {
    ["modern.c"] = "#include <stdlib.h>\nint luaopen_modern(void) { return arc4random(); }",
  }, { modern = "modern.c" })
end)

teardown(function()
  files.remove(root)
end)

before_each(function()
  home = root .. "/home"
  assert(files.make(home))
end)

after_each(function()
  sh "chmod -R u+w home"
  assert(files.remove(home))
end)

-- Variables of whoever packages.
local function environment(changes)
  local env = { HOME = home, XDG_CACHE_HOME = false, LUAROCKS_CONFIG = root .. "/luarocks.lua",
    TMPDIR = home }
  for name, value in pairs(changes or {}) do
    env[name] = value
  end
  return env
end

local program = assert(system.executable())

-- `lambdapool package` with a list of rocks; its result or what it complains of.
local function package(rocks, env, name)
  name = name or "rocks.txt"
  support.write(home, { [name] = rocks })
  local result = assert(command.run({ program, "package", "-r", home .. "/" .. name, "-o",
    home .. "/f.zip", "--json" }, { env = environment(env) }))
  if result.code == 0 then
    return assert(json.decode(result.output)), result
  end
  assert.equal(1, result.code)
  assert.equal("", result.output)
  return nil, (result.errors:gsub(home:gsub("%p", "%%%0"), "HOME"))
end

local function names(made)
  local list = {}
  for i, entry in ipairs(made.entries) do
    list[i] = entry.name
  end
  return list
end

-- Whatever is left of installing.
local function leftovers()
  return sh "cd home; ls -d .cache/lambdapool/rocks/new-* lambdapool-rocks-* 2>/dev/null || true"
end

describe("rocks", function()
  it("go where the agent finds them, with those that they need", function()
    local made = assert(package "native # and more\n")
    assert.same({ "bootstrap", "lambdapool.json", "lib/native/core.so", "lua/native.lua",
      "lua/plain.lua" }, names(made))
    assert.equal("return 'plain 1'", sh "unzip -p home/f.zip lua/plain.lua")
    local manifest = json.decode(sh "unzip -p home/f.zip lambdapool.json")
    assert.equal("lua/native.lua", manifest.modules.native.file)
    assert.equal("", leftovers())
  end)

  it("have the versions that are asked for", function()
    for line, expected in pairs {
      ["plain"] = "plain 2", ["plain 1.0-1"] = "plain 1", ["plain 1.0"] = "plain 1",
      ["plain >= 1, < 2"] = "plain 1", ["plain ~> 1"] = "plain 1", ["plain ~= 2.0"] = "plain 1",
    } do
      assert(package(line))
      assert.equal(("return '%s'"):format(expected), sh "unzip -p home/f.zip lua/plain.lua")
    end
  end)

  it("may be named by a rockspec", function()
    local made = assert(package([[
      package = "mine"
      version = "1-1"
      source = { url = "git://nowhere/x" }
      dependencies = { "lua >= 5.4", "plain == 1.0" }
      build = { type = "builtin", modules = { mine = "mine.lua" } }
    ]], nil, "mine-1-1.rockspec"))
    assert.same({ "bootstrap", "lambdapool.json", "lua/plain.lua" }, names(made))
  end)

  it("are installed once", function()
    local first = assert(package "native")
    sh "mv server away"
    finally(function() sh "mv away server" end)
    local second = assert(package "native")
    assert.equal(first.code_sha256, second.code_sha256)
    assert.matches("cannot install the rocks that", select(2, package "native >= 1"))
    -- Other servers may have others.
    support.write(home, { ["other.lua"] = "rocks_servers = { '/none' }" })
    assert.is_nil((package("native", { LUAROCKS_CONFIG = home .. "/other.lua" })))
  end)

  it("make the same package each time they are installed", function()
    local first = assert(package "native")
    sh "rm -r home/.cache"
    assert.equal(first.code_sha256, assert(package "native").code_sha256)
    assert.equal(first.code_sha256,
      assert(package("native", { XDG_CACHE_HOME = home .. "/a/b" })).code_sha256)
    assert.is_true(files.is_folder(home .. "/a/b/lambdapool/rocks"))
  end)

  it("need no cache", function()
    local first = assert(package "native")
    sh "rm -r home/.cache; touch home/.cache" -- root writes anywhere else
    assert.equal(first.code_sha256, assert(package "native").code_sha256)
    assert.equal(first.code_sha256, assert(package("native", { HOME = false })).code_sha256)
    assert.equal("", leftovers())
  end)

  it("are not installed when there are none", function()
    assert.same({ "bootstrap", "lambdapool.json" },
      names(assert(package("# none yet\n", { PATH = "/none" }))))
  end)

  it("are complained of when they are not there or cannot be built", function()
    local _, text = package "nonesuch"
    assert.equal("lambdapool package: cannot install the rocks that HOME/rocks.txt names: " ..
      "Could not satisfy dependency nonesuch: No results matching query were found for Lua 5.4.\n",
      text)
    _, text = package "broken"
    assert.matches("names: Failed installing dependency: .*broken%-1%.0%-1%.src%.rock %- " ..
      "Build error: Failed compiling object broken%.o\n", text)
    assert.matches("\n    broken%.c:1:10: fatal error: nothing%.h: No such file or directory\n",
      text)
    _, text = package("this is no rockspec", nil, "x-1-1.rockspec")
    assert.matches("cannot install the rocks that HOME/x%-1%-1%.rockspec names: ", text)
    _, text = package("native", { PATH = "/none" })
    assert.equal("lambdapool package: cannot install the rocks that HOME/rocks.txt names: " ..
      "there is no `luarocks`\n  install it: apt-get install luarocks\n", text)
    assert.equal("", leftovers())
    assert.is_nil(support.read(home .. "/f.zip"))
  end)

  it("run on Lambda, or are refused", function()
    local _, text = package "modern"
    assert.matches("/lib/lua/5%.4/modern%.so: it needs GLIBC_2%.36, and Lambda has glibc 2%.34",
      text)
  end)

  it("leave nothing behind at Ctrl-C", function()
    support.write(home, { ["rocks.txt"] = "plain", ["bin/luarocks"] = [[#!/bin/sh
      sleep 1000 &
      echo $! $$ > "$HOME/pids.new"; mv "$HOME/pids.new" "$HOME/pids"
      wait
    ]] })
    sh "chmod +x home/bin/luarocks"
    local result = assert(command.run({ "sh", "-c", [[
      "$0" package -r "$HOME/rocks.txt" -o "$HOME/f.zip" & host=$!
      while [ ! -e "$HOME/pids" ]; do sleep 0.02; done
      kill -INT $host; wait $host; echo code $?
      for pid in $(cat "$HOME/pids"); do
        while [ -e /proc/$pid ] && ! grep -q '^State:.Z' /proc/$pid/status; do sleep 0.02; done
      done
    ]], program }, { env = environment { PATH = home .. "/bin:" .. os.getenv "PATH" },
      seconds = 100 }))
    assert.equal("code 130\n", result.output)
    assert.equal("lambdapool: interrupted\n", result.errors)
    assert.equal("", leftovers())
    assert.is_nil(support.read(home .. "/f.zip"))
  end)

  it("are cleared away when a process was killed while it installed them", function()
    sh "mkdir -p home/.cache/lambdapool/rocks/new-old home/.cache/lambdapool/rocks/new-now"
    sh "touch -d '2 days ago' home/.cache/lambdapool/rocks/new-old"
    assert(package "plain")
    assert.equal(".cache/lambdapool/rocks/new-now\n", leftovers())
  end)

  it("may be installed by two at a time", function()
    support.write(home, { ["rocks.txt"] = "native" })
    local result = assert(command.run({ "sh", "-c", [[
      for i in 1 2 3; do
        "$0" package -r "$HOME/rocks.txt" -o "$HOME/$i.zip" >/dev/null 2>&1 || echo failed &
      done
      wait; cd "$HOME"; cmp 1.zip 2.zip; cmp 2.zip 3.zip
    ]], program }, { env = environment(), seconds = 100 }))
    assert.equal("", result.output .. result.errors)
    assert.equal("", leftovers())
  end)
end)
