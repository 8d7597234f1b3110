#!/usr/bin/python3
"""The README's section on embedding: its two files are compiled and run with its own commands. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from serve_server import BUILD, KEYS, REGION, Server

STAGE = BUILD + "/stage"
FOLDER = tempfile.mkdtemp()
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": FOLDER, "PKG_CONFIG_PATH": STAGE + "/lib/pkgconfig",
               **{key: value for key, value in os.environ.items() if key == "LAMBDAPOOL_LUA"}}

count = 0


def check(name, ok, seen=""):
    global count
    count += 1
    print(f"{'' if ok else 'not '}ok {count} - {name}", flush=True)
    if not ok:
        print(f"# {seen!r}", flush=True)


def section():
    with open("README.md") as file:
        return re.search(r"^## Embedding\n(.*?)(?=^## |\Z)", file.read(), re.M | re.S).group(1)


def write(name, text):
    with open(f"{FOLDER}/{name}", "w") as file:
        file.write(text)


def run(command, **more):
    return subprocess.run(command, shell=True, cwd=FOLDER, env={**ENVIRONMENT, **more}, capture_output=True, text=True)


def bakes(name, **more):
    result = run("./bake", **more)
    check(name, result.returncode == 0 and result.stderr == "" and
          re.fullmatch(r"64 tiles, baked in \d+ frames\n", result.stdout), result)


TEXT = section()
MODULE, SCRIPT = re.findall(r"```lua\n(.*?)```", TEXT, re.S)
SOURCE = re.search(r"```c\n(#include.*?)```", TEXT, re.S).group(1)
LINES = re.findall(r"^\$ (cc .*|cp .*)$", TEXT, re.M)
LIBRARIES = {"LD_LIBRARY_PATH": STAGE + "/lib"}


def compiles():
    write("terrain.lua", MODULE)
    write("bake.c", SOURCE)
    result = run(LINES[0] + " -Wall -Werror")
    check(f"{LINES[0]!r} compiles it", result.returncode == 0 and result.stderr == "", result)
    bakes("it bakes", **LIBRARIES)


def fails():
    write("bake.c", SOURCE.replace("task.count = 2", "task.count = 1").replace("i < 64", "i < 1").replace("< 64", "< 1"))
    run(LINES[0])
    result = run("./bake", **LIBRARIES)
    message = re.search(r"`(\./terrain\.lua:.*?\))`", re.sub(r"\n\s*", " ", TEXT)).group(1)
    check("a task that fails says what the page says", result.stderr == f"bake: {message}\n", result)


def ships():
    write("bake.c", SOURCE)
    run(LINES[1])
    result = run(LINES[2].replace("/usr/local", STAGE))
    check(f"{LINES[2]!r} copies what it takes", result.returncode == 0, result)
    bakes("it bakes with what is beside it")
    os.remove(FOLDER + "/liblambdapool.so.0")
    result = run("cc bake.c -o bake $(pkg-config --cflags --libs lambdapool | sed s/-llambdapool//) "
                 + re.search(r"`(-l:liblambdapool\.a [^`]*)`", TEXT).group(1))
    check("the static library goes in", result.returncode == 0, result)
    bakes("and nothing else is needed but bootstrap")


def asks_cmake():
    project, link = re.search(r"`(find_package\(.*?\))` and `(target_link_libraries\(.*?\))`", TEXT, re.S).groups()
    os.mkdir(FOLDER + "/cmake")
    shutil.copy(FOLDER + "/bake.c", FOLDER + "/cmake")
    write("cmake/CMakeLists.txt", f"cmake_minimum_required(VERSION 3.16)\nproject(bake C)\n{project}\n"
          f"add_executable(bake bake.c)\n{link}\n")
    result = run(f"cmake -S cmake -B cmake -DCMAKE_PREFIX_PATH={STAGE} && cmake --build cmake && cp cmake/bake .")
    check("CMake finds the library", result.returncode == 0, result)
    bakes("and it bakes")


def requires():
    write("game.lua", SCRIPT + "for i = 1, 64 do while not tiles[i] do update() end end print(#table.concat(tiles))")
    result = run("lua5.4 game.lua", LUA_CPATH=STAGE + "/lib/lua/5.4/?.so;;")
    check("stock Lua bakes with the module", result.stdout == f"{64 * 64 * 64 * 4}\n" and result.stderr == "", result)


def asks_aws():
    options = re.search(r"^config\.options = .*;$", TEXT, re.M).group()
    write("bake.c", SOURCE.replace('config.path = ".";', 'config.path = "."; ' + options))
    run(LINES[0])
    server = Server(FOLDER)
    there = {"AWS_ENDPOINT_URL": server.url, "AWS_REGION": REGION, **LIBRARIES,
             **{name.upper(): value for name, value in KEYS.items()}}
    try:
        deploy = re.search(r"`lambdapool (deploy [^`]*)`", TEXT).group(1)
        result = run(f"{STAGE}/bin/lambdapool {deploy}", **there)
        check(f"{deploy!r} makes the function", result.returncode == 0, result)
        bakes("the same tasks run on it", **there)
        server_log = server.text()
    finally:
        code = server.stop()
    check("the service has nothing to complain of", code == 0, server_log)


try:
    compiles()
    fails()
    ships()
    asks_cmake()
    requires()
    asks_aws()
    print(f"1..{count}")
finally:
    shutil.rmtree(FOLDER)
