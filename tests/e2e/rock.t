#!/usr/bin/python3
"""The rock: built by `luarocks make`, installed from a server of rocks and as a packed binary, each time into an empty
tree, and used there by Debian's lua5.4 from a folder with nothing in it. Prints TAP."""

import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from library_support import BUILD, HERE, equal, run

SOURCES = ["Makefile", "README.md", "LICENSE", "host", "agent", "lua", "examples"]
LUAROCKS = "luarocks --lua-version 5.4 "
PROGRAM = """
    local lambdapool = require "lambdapool"
    local pool <close> = lambdapool.pool { workers = 2 }
    local rate = 3
    print(lambdapool.version, table.concat(pool:map(function(x) return rate * x end, { 1, 2, 3 }), " "))
    print(#debug.getregistry().lambdapool.require "lambdapool.crypto".random(8))
"""


def copy_sources(folder, *objects):
    """A copy of the tree, as somebody has it who has just fetched it, or with objects that were built before."""
    tree = folder.path + "/source"
    os.makedirs(tree + "/build")
    for name in SOURCES:
        folder.run("cp", "-a", f"{HERE}/../../{name}", tree)
    for name in objects:
        folder.run("cp", "-a", f"{BUILD}/{name}", tree + "/build")
    return tree


def check(folder, tree):
    os.makedirs(folder.path + "/empty", exist_ok=True)
    folder.write("empty/main.lua", PROGRAM)
    paths = {}
    for line in folder.run(f"{LUAROCKS} --tree {tree} path --no-bin").splitlines():
        name, value = line.removeprefix("export ").split("=", 1)
        paths[name] = value.strip("'")
    text = folder.run("sh", "-c", "cd empty && lua5.4 main.lua", **paths)
    equal(text, "0.1.0\t3 6 9\n8\n")
    equal(sorted(os.listdir(tree + "/lib/lua/5.4")), ["lambdapool", "lambdapool.so"])


def test_luarocks_make_builds_it_and_a_packed_binary_installs_elsewhere(folder):
    source = copy_sources(folder, "host", "agent", "foreign", "embed.c", "embed.o")
    folder.run("sh", "-c", f"cd {source} && {LUAROCKS} make lua/lambdapool-0.1.0-1.rockspec --tree {folder.path}/one")
    shutil.rmtree(source)
    check(folder, folder.path + "/one")
    folder.run(f"{LUAROCKS} --tree {folder.path}/one pack lambdapool")
    shutil.rmtree(folder.path + "/one")
    rock = [name for name in os.listdir(folder.path) if name.endswith(".rock")]
    folder.run(f"{LUAROCKS} install --tree {folder.path}/two {rock[0]}")
    check(folder, folder.path + "/two")
    folder.run(f"{LUAROCKS} remove --tree {folder.path}/two lambdapool")
    equal(os.path.exists(folder.path + "/two/lib/lua/5.4/lambdapool"), False)


def test_a_server_of_rocks_gives_all_that_it_takes_to_build_it(folder):
    source = copy_sources(folder)
    server = folder.path + "/server"
    os.mkdir(server)
    folder.run("make", "-C", source, "SETUP=no", "rock")
    shutil.move(source + "/build/lambdapool-0.1.0-1.src.rock", server)
    shutil.rmtree(source)
    folder.run("luarocks-admin --lua-version 5.4 make_manifest " + server)
    folder.run(f"{LUAROCKS} install --only-server=file://{server} --tree {folder.path}/tree lambdapool",
               MAKEFLAGS="CFLAGS=-O0")
    check(folder, folder.path + "/tree")


run([function for name, function in list(globals().items()) if name.startswith("test_")])
