#!/usr/bin/python3
"""The installed Lua module in Lua states of somebody else's: Debian's lua5.4, and a program in C with states of its own. A
guest changes nothing there. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from library_support import STAGE, equal, run

MODULE = STAGE + "/lib/lua/5.4/lambdapool.so"
PATHS = {"LUA_CPATH": STAGE + "/lib/lua/5.4/?.so;;", "LUA_PATH": "./?.lua;;"}
POOL = 'local lambdapool = require "lambdapool"\nlocal pool <close> = lambdapool.pool { workers = 2 }\n'


def lua(folder, code, *words, program="lua5.4", **options):
    folder.write("main.lua", code)
    return folder.run(program, *words, "main.lua", **PATHS, **options)


def states(folder, code, *words):
    """Runs the code in the states of a C program."""
    folder.write("main.lua", code)
    folder.build("states.c", *folder.pkg_config("--cflags --libs lua5.4"), "-pthread",
                 compiler=("cc", "-std=gnu11", "-rdynamic"))
    return folder.run("./a.out", *words, "main.lua", **PATHS)


def matches(text, pattern):
    if not re.search(pattern, text):
        raise AssertionError(f"{text!r} does not match {pattern!r}")


# --- the file ---------------------------------------------------------------------------------------------------------

def test_it_shows_one_function_and_links_no_Lua(folder):
    shown = folder.run("nm -D --defined-only " + MODULE).split()
    equal(shown[1:], ["T", "luaopen_lambdapool"])
    needed = re.findall(r"NEEDED.*\[(.*)\]", folder.run("readelf -dW " + MODULE))
    equal([name for name in needed if not re.match(r"lib(c|m)\.so|ld-linux", name)], [])
    wanted = folder.run("nm -D --undefined-only " + MODULE)
    equal(re.findall(r" U (?:lua|uv_|ZSTD|http_|XXH)\w*", wanted), [])
    matches(wanted, r" w lua_newuserdatauv\n")


def test_it_runs_from_anywhere_and_finds_its_parts(folder):
    equal(lua(folder, POOL + """
        print(lambdapool.version:match "^%d+%.%d+%.%d+$" and table.concat(pool:map(function(x) return x * x end, {1, 2, 3}), " "))
        local require_own = debug.getregistry().lambdapool.require
        print(#require_own "lambdapool.crypto".random(16))
    """), "1 4 9\n16\n")


def test_other_versions_of_Lua_are_told_that_they_are(folder):
    folder.write("main.lua", 'print(select(2, pcall(require, "lambdapool")))')
    text = folder.run("luajit main.lua", LUA_CPATH=PATHS["LUA_CPATH"])
    matches(text, r"^cannot load lambdapool: it needs Lua 5.4, and this is LuaJIT 2\.\S*\n$")


def test_another_5_4_with_other_bytecode_is_refused(folder):
    with open(MODULE, "rb") as file:
        bytes_ = file.read()
    with open(folder.path + "/lambdapool.so", "wb") as file:
        file.write(bytes_.replace(b"\x1bLuaT\0", b"\x1bLuaT\1"))
    folder.write("main.lua", 'print(select(2, pcall(require, "lambdapool")))')
    text = folder.run("lua5.4 main.lua", LUA_CPATH="./?.so")
    matches(text, "^cannot load lambdapool: it was compiled for another Lua 5.4 than this one [(].*format mismatch[)][)]\n"
                  "  build it again with this one\n$")


def test_a_second_copy_in_one_state_is_refused(folder):
    shutil.copy(MODULE, folder.path + "/other.so")
    equal(lua(folder, """
        require "lambdapool"
        print(pcall(package.loadlib("./other.so", "luaopen_lambdapool")))
    """), "false\tcannot load lambdapool: another copy of it is in this Lua state already\n")


# --- what is the program's stays as it is -------------------------------------------------------------------------------

def test_nothing_in_the_state_changes_but_one_key_of_the_registry(folder):
    equal(lua(folder, """
        local function note(t, name, seen, found)
          if seen[t] then return found end
          seen[t] = true
          for k, v in next, t do
            local path = name .. "." .. tostring(k)
            found[path] = tostring(v)
            if type(v) == "table" and path ~= "registry.lambdapool" then note(v, path, seen, found) end
          end
          local meta = debug.getmetatable(t)
          if type(meta) == "table" then note(meta, name .. ":meta", seen, found) end
          return found
        end
        local registry = debug.getregistry()
        local function note_all()
          local found = note(registry, "registry", {}, {})
          note(debug.getmetatable "", "string:meta", {}, found)
          note(debug.getmetatable(io.stdout), "file:meta", {}, found)
          found.hook = tostring(debug.gethook())
          for i, t in ipairs { 0, true, print, coroutine.create(print) } do
            found["type" .. i] = tostring(debug.getmetatable(t))
          end
          return found
        end
        local warm = ("x"):rep(100000):gsub("x", "yy") -- lauxlib's own key, of its large buffers
        local used = collectgarbage "isrunning"
        local before = note_all()
        do """ + POOL + """
          local executor <close> = lambdapool.executor { workers = 1 }
          pool:map(function(x) return { ("x"):rep(x) } end, { 1, 70000 })
          executor:submit(math.sqrt, 4):result()
          lambdapool.async(function() pool:apply(print, { 1 }) end):result()
          lambdapool.load(lambdapool.dump { 1, function() return warm end })
          pcall(pool.apply, pool, function() io.stdout:write(warm.x) end)
          lambdapool.poll()
          lambdapool.descriptor()
        end
        assert(collectgarbage "isrunning" == used)
        local after = note_all()
        for k, v in next, before do
          if after[k] ~= v then print("changed", k, v, after[k]) end
          after[k] = nil
        end
        for k in next, after do
          local by_require = k:find "loaded%.lambdapool" or k:find "_LOADED%.lambdapool" or k:find "_CLIBS%."
          if not by_require then print("new", k) end
        end
    """), "1\nnew\tregistry.lambdapool\n")


def test_it_is_one_module_however_often_it_is_required(folder):
    equal(lua(folder, """
        local first = require "lambdapool"
        package.loaded.lambdapool = nil
        print(first == require "lambdapool", rawget(_G, "lambdapool"))
    """), "true\tnil\n")


def test_globals_may_be_gone_or_forbidden(folder):
    equal(lua(folder, """
        local require, print, table, math, string = require, print, table, math, string
        for name in next, _G do
          if name ~= "_G" and name ~= "package" then _G[name] = nil end
        end
        setmetatable = nil
        local result = (function() """ + POOL + """
          return pool:map(function(x) return math.floor(x) + #string.format("%d", x) end, { 10, 20.0 })
        end)()
        print(table.concat(result, " "))
    """), "12 22\n")
    equal(lua(folder, """
        setmetatable(_G, { __index = function(_, k) error("undeclared " .. k) end, __newindex = error })
    """ + POOL + "print(pool:apply(function(x) return x end, { 7 }))"), "7\n")


def test_it_works_in_coroutines_of_the_program(folder):
    equal(lua(folder, POOL + """
        local function work(n)
          return coroutine.wrap(function()
            local futures = {}
            for i = 1, n do
              futures[i] = pool:apply_async(function(x) return x end, { i })
              coroutine.yield()
            end
            local sum = 0
            for i = 1, n do
              sum = sum + futures[i]:get()
              coroutine.yield()
            end
            return sum
          end)
        end
        local a, b = work(10), work(20)
        local x, y
        while not (x and y) do
          x = x or a()
          y = y or b()
        end
        print(x, y)
    """), "55\t210\n")


def test_the_collector_may_run_at_any_time_and_in_any_way(folder):
    for mode in 'collectgarbage("generational")', 'collectgarbage("incremental", 100, 1000)', 'collectgarbage("stop")':
        equal(lua(folder, mode + "\n" + POOL + """
            local results = 0
            for i = 1, 200 do
              pool:apply_async(function(x) return { x, ("y"):rep(x) } end, { i }, nil, function(t)
                results = results + #t[2]
                if i % 20 == 0 then collectgarbage() end
              end)
              if i % 10 == 0 then collectgarbage() end
            end
            while results < 20100 do lambdapool.poll(1) end
            print(results)
        """), "20100\n")


def test_pools_that_nobody_has_any_more_are_collected(folder):
    equal(lua(folder, """
        local lambdapool = require "lambdapool"
        local weak = setmetatable({}, { __mode = "k" })
        for i = 1, 3 do
          local pool = lambdapool.pool { workers = 1 }
          pool:apply(print, { i })
          weak[pool] = true
        end
        collectgarbage()
        collectgarbage()
        print(next(weak))
    """).splitlines()[-1], "nil")


def test_no_configuration_has_a_say(folder):
    folder.write("lambdapool.conf.lua", "error 'it was read'")
    os.makedirs(folder.path + "/.config/lambdapool")
    folder.write(".config/lambdapool/conf.lua", "error 'it was read'")
    equal(lua(folder, """
        local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool {}
        local executor <close> = lambdapool.executor { workers = 1 }
        print(pool:apply(math.max, { 1, 2 }), executor:submit(math.max, 3):result())
    """, LAMBDAPOOL_WORKERS="0", LAMBDAPOOL_BACKEND="nowhere"), "2\t3\n")


# --- what is sent -----------------------------------------------------------------------------------------------------

def test_globals_from_before_the_require_travel(folder):
    equal(lua(folder, """
        function helper(x) return x + offset end
        offset = 100
        Point = { new = function(x) return setmetatable({ x = x }, Point) end }
        Point.__index = Point
        """ + POOL + """
        print(pool:apply(function(x) return helper(x) end, { 1 }))
        print(getmetatable(pool:apply(function(x) return Point.new(x) end, { 1 })) == Point)
    """), "101\ntrue\n")


def test_standard_functions_are_those_of_Lua_wherever_they_are(folder):
    equal(lua(folder, """
        local plain, byname = print, string.format
        print = function(...) plain("mine", ...) end
        type = io.write
        wrapped = require
        require = function(name) return wrapped(name) end
        """ + POOL + """
        local f = pool:apply(function() return { plain, byname, math.random, type, wrapped "string" } end)
        plain(f[1] == plain, f[2] == byname, f[3] == math.random, f[4] == io.write, f[5] == string)
        plain(pool:apply(function() return byname("%03d", 7) end))
        plain(pool:apply(function() return (debug.getinfo(print, "S").what) end))
    """), "true\ttrue\ttrue\ttrue\ttrue\n007\nLua\n")


def test_a_C_function_in_the_place_of_a_standard_one_is_that_on_workers(folder):
    text = states(folder, """
        print = in_child -- of the program
        """ + POOL + """
        io.write(tostring(pool:apply(function() return debug.getinfo(print, "S").what end)), "\\n")
        local ok, message = pcall(pool.apply, pool, function() return wait(1, 2) end)
        io.write(message, "\\n")
    """, "run")
    matches(text, r"^C\ncannot send function main.lua:\d+: global 'wait' of function main.lua:\d+ is a C function that "
                  r"is in no loaded module\n(  .*\n)?done\n$")


def test_modules_travel_as_they_were_loaded(folder):
    folder.write("vec.lua", 'local unit = require "unit"\nreturn { double = function(x) return 2 * x * unit end }')
    folder.write("unit.lua", "return 10")
    equal(lua(folder, 'local vec = require "vec"\n' + POOL + """
        print(pool:apply(function(x) return vec.double(x) end, { 3 }))
        print(pool:apply(function(x) return require "vec".double(x) end, { 4 }))
        print(pool:apply(vec.double, { 5 }))
    """), "60\n80\n100\n")


CHANGE = """
    local file = io.open("vec.lua", "w")
    file:write "return { double = function(x) return x + x + 1 end }"
    file:close()
"""


def test_a_module_that_changed_on_disk_is_an_error_until_it_is_loaded_again(folder):
    folder.write("vec.lua", "return { double = function(x) return 2 * x end }")
    text = lua(folder, 'local vec = require "vec"\n' + CHANGE + POOL + """
        print(pcall(pool.apply, pool, function(x) return vec.double(x) end, { 3 }))
        print(pcall(pool.apply, pool, function(x) return require "vec".double(x) end, { 3 }))
        package.loaded.vec = nil
        vec = require "vec"
        print(pool:apply(function(x) return vec.double(x) end, { 3 }))
    """)
    changed = r"false\tcannot send .*vec\.lua has changed on disk since it was loaded\n"
    matches(text, "^" + changed + changed + "7\n$")


def test_a_module_that_was_sent_before_it_changed_still_is(folder):
    folder.write("vec.lua", "return { double = function(x) return 2 * x end }")
    equal(lua(folder, 'local vec = require "vec"\n' + POOL + """
        local function double(x) return vec.double(x) end
        print(pool:apply(double, { 3 }))
        """ + CHANGE + """
        print(pool:apply(double, { 3 }), pool:apply(function(x) return vec.double(x) + 1 end, { 3 }))
        package.loaded.vec = nil
        vec = require "vec"
        print(pool:apply(double, { 3 }))
    """), "6\n6\t7\n7\n")


def test_a_function_of_the_command_line_is_sent(folder):
    code = POOL + "local y = 1 print(pool:apply(function(x) return x + y end, { 2 }))"
    equal(folder.run("lua5.4", "-e", code, **PATHS), "3\n")
    equal(folder.run("lua5.4", "-e" + code, "-", **PATHS), "3\n")


def test_a_chunk_whose_text_nobody_knows_is_an_error_that_says_what_to_do(folder):
    text = lua(folder, POOL + """
        local text = "local y = ... return function(x) return x + y end"
        local f = load(text, "=tiles")(5)
        print(select(2, pcall(pool.apply, pool, f, { 1 })))
        lambdapool.remember("=tiles", "something else")
        print(select(2, pcall(pool.apply, pool, f, { 1 })))
        lambdapool.remember("=tiles", text)
        print(pool:apply(f, { 1 }))
        print(pool:apply(load(text)(6), { 1 }))
        print(select(2, pcall(pool.apply, pool, load(string.dump(f, true)))))
        print(pcall(lambdapool.remember, "=tiles"))
    """)
    matches(text, "^cannot send function tiles:1: it has no source text: it was loaded from memory under a name, or from "
                  "bytecode\n  load it from a file, or tell lambdapool.remember its chunk name and text\n"
                  "cannot send function tiles:1: it is not in the text loaded under its chunk name\n6\n7\n"
                  "cannot send function .*: it was stripped of its debug information\nfalse\t.*string expected.*\n$")


def test_modules_of_a_searcher_of_the_programs_travel_once_their_text_is_known(folder):
    text = lua(folder, """
        local archive = {
          ["game.unit"] = "return { size = 10, area = function(x) return x * x end }",
          ["game.vec"] = "local unit = require 'game.unit' return { double = function(x) return 2 * x * unit.size end }",
        }
        local remember
        table.insert(package.searchers, 2, function(name)
          local text = archive[name]
          if remember and text then remember("@archive/" .. name, text, name) end
          return text and assert(load(text, "@archive/" .. name))
        end)
        local vec = require "game.vec"
        """ + POOL + """
        print(select(2, pcall(pool.apply, pool, vec.double, { 1 })))
        remember = lambdapool.remember
        package.loaded["game.vec"], package.loaded["game.unit"] = nil, nil
        vec = require "game.vec"
        print(pool:apply(vec.double, { 1 }), pool:apply(function(x) return require "game.unit".area(x) end, { 3 }))
    """)
    matches(text, "^cannot send function archive/game.vec:1: it has no source text any more [(]cannot open archive/game.vec: "
                  "No such file or directory[)]\n  tell lambdapool.remember its chunk name and text\n20\t9\n$")


def test_standard_input_is_no_source(folder):
    result = subprocess.run(["lua5.4", "-"], cwd=folder.path, env={**folder.environment, **PATHS}, text=True, timeout=60,
                            input=POOL + "pool:apply(function() end)", capture_output=True)
    matches(result.stderr, r"cannot send function stdin:3: it has no source text: [^\n]*\n  load it from a file")


# --- the program's own loop, states and threads -----------------------------------------------------------------------

def test_the_descriptor_tells_a_loop_when_to_poll(folder):
    equal(states(folder, """
        local lambdapool = require "lambdapool"
        local fd = lambdapool.descriptor()
        while lambdapool.poll() do end
        io.write(wait(fd, 0) and "busy" or "idle", "\\n")
        local executor <close> = lambdapool.executor { workers = 2 }
        local ended, wakes = 0, 0
        for i = 1, 30 do
          executor:submit(function(x) return x end, i):add_done_callback(function() ended = ended + 1 end)
        end
        while ended < 30 do
          if not wait(fd, 30000) then error "it slept for ever" end
          wakes = wakes + 1
          lambdapool.poll()
        end
        local flow = lambdapool.async(function()
          return executor:submit(function() return "flow" end):result()
        end)
        while not flow:done() do
          if not wait(fd, 30000) then error "it slept for ever" end
          lambdapool.poll()
        end
        while lambdapool.poll() do end
        io.write(flow:result(), " ", wait(fd, 0) and "busy" or "idle", wakes > 10000 and " too often" or "", "\\n")
    """, "run"), "idle\nflow idle\ndone\n")


def test_the_descriptor_tells_of_what_was_left_undone(folder):
    equal(states(folder, """
        local lambdapool = require "lambdapool"
        local fd = lambdapool.descriptor()
        local executor <close> = lambdapool.executor { workers = 2 }
        local function square(x) return x * x end
        for round = 1, 60 do
          local ended = 0
          for i = 1, 5 do
            executor:submit(square, i):add_done_callback(function() ended = ended + 1 end)
          end
          if round % 3 == 0 then executor:submit(square, 1):result() end
          if round % 5 == 0 then pcall(lambdapool.wait, { executor:submit(square, 1) }, { timeout = 0.001 }) end
          while ended < 5 do
            if not wait(fd, 20000) then error("it slept for ever in round " .. round) end
            lambdapool.poll(0, round % 2 == 0 and 0 or 0.0001)
          end
        end
    """, "run"), "done\n")


TASKS = POOL + """
    local list = {}
    for i = 1, 50 do list[i] = i end
    local sum = 0
    for _, x in pool:imap(function(x) return x * x end, list) do sum = sum + x end
    assert(sum == 42925, sum)
"""


def test_states_on_threads_do_not_know_of_each_other(folder):
    equal(states(folder, TASKS, "threads", "8"), "done\n")


def test_states_on_one_thread_take_turns(folder):
    equal(states(folder, """
        local lambdapool = require "lambdapool"
        local executor = lambdapool.executor { workers = 1 }
        local left = 5
        for i = 1, left do
          executor:submit(function(x) return x end, i):add_done_callback(function() left = left - 1 end)
        end
        return function()
          lambdapool.poll(0.001)
          return left > 0
        end
    """, "turns", "16"), "done\n")


def test_a_state_may_be_closed_at_any_moment(folder):
    ends = ["", "pool:apply(function() end)", "lambdapool.descriptor()", "lambdapool.poll()",
            "pool:apply_async(os.execute, { 'sleep 1000' })\nlambdapool.poll(0.2)",
            "for i = 1, 100 do pool:apply_async(function() return ('x'):rep(1e6) end) end\nlambdapool.poll(0.05)",
            "lambdapool.async(function() pool:apply(os.execute, { 'sleep 1000' }) end)\nlambdapool.poll(0.1)",
            "kept = pool:imap(function(x) return x end, { 1, 2, 3 })\nkept()",
            "debug.getregistry().lambdapool.require 'lambdapool.crypto'"]
    for end in ends:
        code = POOL.replace("local pool <close>", "pool") + end
        equal(states(folder, code, "close", "3"), "done\n")


def test_a_program_may_end_at_any_moment(folder):
    for end in "os.exit(3, true)", "os.exit(3)", "error 'x'":
        folder.write("main.lua", POOL + """
            for i = 1, 10 do pool:apply_async(os.execute, { "exec sleep 987654" }) end
            lambdapool.poll(0.2)
            """ + end)
        subprocess.run(["lua5.4", "main.lua"], cwd=folder.path, env={**folder.environment, **PATHS}, timeout=60,
                       capture_output=True)
    for _ in range(100):
        if subprocess.run(["pgrep", "-f", "^" + STAGE + "/libexec/lambdapool/bootstrap"]).returncode:
            return
        subprocess.run(["sleep", "0.1"])
    raise AssertionError("workers are left")


def test_a_child_that_is_forked_leaves_its_parents_workers_alone(folder):
    equal(states(folder, POOL + """
        pool:apply(function() end)
        local result = pool:apply_async(function() os.execute "sleep 1" return 7 end)
        lambdapool.poll(0.1)
        debug.getregistry().lambdapool.require "lambdapool.http".request { url = "http://127.0.0.1:9/" }
        assert(in_child(function()
          local ok, message = pcall(pool.apply, pool, function() end)
          assert(not ok)
          assert(tostring(message):find("this process was forked from the one that has opened it", 1, true), message)
        end))
        assert(in_child(function() collectgarbage() end))
        assert(result:get() == 7)
        assert(pool:apply(function() return 8 end) == 8)
    """, "run"), "done\n")


def test_memory_may_run_out_at_any_allocation(folder):
    equal(states(folder, """
        local lambdapool = require "lambdapool"
        assert(lambdapool.load(lambdapool.dump { x = 1 }).x == 1)
        assert(lambdapool.load(lambdapool.dump(function() return print, 7 end))() == print)
    """, "memory"), "done\n")


run([function for name, function in list(globals().items()) if name.startswith("test_")])
