#!/usr/bin/python3
"""The library in programs that have a Lua of their own, LuaJIT or 5.4, or other things that it has inside, and that show
all of it to every library that they load. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from library_support import BUILD, HERE, STAGE, equal, run
from serve_server import KEYS, REGION, ROLE, Server, package

AGENT = STAGE + "/libexec/lambdapool/bootstrap"
STATIC = ["-l:liblambdapool.a", "-pthread", "-ldl", "-lm"]
INSIDE = ["liblua5.4.a", "libuv_a.a", "libzstd.a", "libhttp_parser.a", "liblua5.4-cjson.a"]
JIT = "Lua 5.4, integer beside Lua 5.1, LuaJIT\n250\n"
PUC = "Lua 5.4, integer beside Lua 5.4\n250\n"


def header(folder):
    """The public header without what belongs to a compiler: inline functions, attributes, the C library."""
    with open(STAGE + "/include/lambdapool.h") as file:
        text = re.sub(r"#include <.*>", "", file.read())
    folder.write("header.h", text)
    text = folder.run("cc -E -P header.h").replace('__attribute__((visibility("default")))', "")
    folder.write("header.i", re.sub(r"^static inline .*?^}", "", text, flags=re.S | re.M))


def build(folder, lua, *words, own=(), **options):
    """Builds beside.c with its own Lua before lambdapool and behind it; yields each time."""
    flags = [w for w in folder.pkg_config("--cflags lambdapool " + lua)]
    pool = [*folder.pkg_config("--libs-only-L lambdapool"), *(words or ["-llambdapool"])]
    own = own or folder.pkg_config("--libs " + lua)
    for libraries in (*own, *pool), (*pool, *own):
        folder.build("beside.c", *flags, "-rdynamic", "-Wl,--no-as-needed", *libraries, **options)
        yield


def check(folder, expected, *options):
    for first in "own", "pool":
        equal(folder.run("./a.out", first, *options, LD_LIBRARY_PATH=STAGE + "/lib", LAMBDAPOOL_AGENT=AGENT), expected)


def test_LuaJIT_loads_it_by_its_FFI(folder):
    header(folder)
    text = folder.run("luajit", HERE + "/library/squares_ffi.lua", "header.i", STAGE + "/lib/liblambdapool.so")
    equal(text, "LuaJIT\t385\n")


def test_linked_with_LuaJIT(folder):
    for _ in build(folder, "luajit"):
        check(folder, JIT)


def test_linked_with_LuaJIT_both_inside_of_the_program(folder):
    for _ in build(folder, "luajit", *STATIC, own=["-l:libluajit-5.1.a", "-ldl", "-lm"]):
        check(folder, JIT)


def test_linked_with_a_Lua_5_4(folder):
    for _ in build(folder, "lua5.4"):
        check(folder, PUC)


def test_linked_with_a_Lua_5_4_both_inside_of_the_program(folder):
    own = ["-Wl,--whole-archive", "-l:liblua5.4.a", "-Wl,--no-whole-archive", "-ldl", "-lm"]
    for _ in build(folder, "lua5.4", *STATIC, own=own):
        check(folder, PUC)
    for _ in build(folder, "lua5.4", own=own):
        check(folder, PUC)


def test_loaded_with_LuaJIT_in_either_order(folder):
    folder.build("plugins.c", "-ldl", "-o", "plugins")
    folder.build("beside.c", "-DPLUGIN", "-shared", "-fPIC", "-o", "beside.so",
                 *folder.pkg_config("--cflags lambdapool luajit"))
    libraries = [STAGE + "/lib/liblambdapool.so", "libluajit-5.1.so.2"]
    for order in libraries, libraries[::-1]:
        equal(folder.run("./plugins", *order, "./beside.so", "--", "pool"), JIT)


def poisoned(folder, archives):
    """A source text that defines all functions that the archives do; whoever calls one of them aborts."""
    names = set()
    for archive in archives:
        path = folder.run("cc -print-file-name=" + archive).strip()
        lines = subprocess.run(["nm", "-g", "--defined-only", path], capture_output=True, text=True, check=True)
        names.update(re.findall(r"^\w+ [TW] (\w+)$", lines.stdout, re.M))
    folder.write("poison.c", "void abort(void);\n" + "".join(
        f"void {name}(void); void {name}(void) {{ abort(); }}\n" for name in sorted(names)))
    return len(names)


def test_in_a_program_that_has_all_that_is_inside_of_it(folder):
    count = poisoned(folder, INSIDE)
    equal(count > 500, True)
    folder.run("cc -Wno-builtin-declaration-mismatch -c poison.c")
    for words in ["-llambdapool"], STATIC:
        for order in ["poison.o", *words], [*words, "poison.o"]:
            folder.build("squares.c", "-rdynamic", *folder.pkg_config("--cflags --libs-only-L lambdapool"), *order)
            equal(folder.run("./a.out", LD_LIBRARY_PATH=STAGE + "/lib", LAMBDAPOOL_AGENT=AGENT)[-4:], " 14\n")


def cloud(folder):
    """A server with a function; the options of a pool on it."""
    server = Server(folder.path)
    server.client("lambda").create_function(
        FunctionName="f", Runtime="provided.al2023", Role=ROLE, Handler="app.run",
        Code={"ZipFile": package("return { run = function() end }")})
    folder.environment.update(AWS_ACCESS_KEY_ID=KEYS["aws_access_key_id"], AWS_REGION=REGION,
                              AWS_SECRET_ACCESS_KEY=KEYS["aws_secret_access_key"])
    return server, '{"function_name": "f", "backend": "aws", "endpoint_url": "%s"}' % server.url


def test_on_functions_of_AWS_beside_LuaJIT(folder):
    server, options = cloud(folder)
    try:
        for _ in build(folder, "luajit"):
            check(folder, JIT, options)
        header(folder)
        equal(folder.run("luajit", HERE + "/library/squares_ffi.lua", "header.i", STAGE + "/lib/liblambdapool.so",
                         options), "LuaJIT\t385\n")
    finally:
        server.stop()


def again(folder, *options):
    """Whatever one of the four rounds between the counts had left would be there four times."""
    folder.build("again.c", "-D_DEFAULT_SOURCE", "-ldl")
    folder.build("squares.c", "-Dmain=squares", "-Wno-missing-prototypes", "-shared", "-fPIC", "-o", "plugin.so",
                 *folder.pkg_config("--cflags --libs lambdapool"), f"-Wl,-rpath,{STAGE}/lib")
    text = folder.run("./a.out", *options)
    equal(len(re.findall(" 14$", text, re.M)), 6)
    counts = [tuple(map(int, found)) for found in re.findall(r"(\d+) mappings, (\d+) descriptors", text)]
    equal((counts[1][0] < counts[0][0] + 4, counts[1][1]), (True, counts[0][1]))


def test_loaded_and_unloaded_again_and_again(folder):
    again(folder)


def test_so_on_functions_of_AWS(folder):
    server, options = cloud(folder)
    try:
        again(folder, options)
    finally:
        server.stop()


def test_two_copies_on_functions_of_AWS(folder):
    server, options = cloud(folder)
    try:
        shutil.copy(STAGE + "/libexec/lambdapool/cloud.so", folder.path)
        folder.build("twice.c", *folder.pkg_config("--cflags --libs-only-L lambdapool"), *STATIC)
        equal(folder.run("./a.out", STAGE + "/lib/liblambdapool.so", options), "inside\noutside\n")
    finally:
        server.stop()


def test_on_functions_of_AWS_in_a_program_that_has_all_that_is_inside_of_it(folder):
    server, options = cloud(folder)
    try:
        count = poisoned(folder, [*INSIDE, "libcrypto.a", "libssl.a", "libz.a", "libexpat.a", "libsqlite3.a"])
        equal(count > 5000, True)
        folder.run("cc -Wno-builtin-declaration-mismatch -c poison.c")
        shutil.copy(STAGE + "/libexec/lambdapool/cloud.so", folder.path)
        for words in ["-llambdapool"], STATIC:
            folder.build("squares.c", "poison.o", "-rdynamic", *folder.pkg_config("--cflags --libs-only-L lambdapool"),
                         *words)
            equal(folder.run("./a.out", options, LD_LIBRARY_PATH=STAGE + "/lib")[-4:], " 14\n")
    finally:
        server.stop()


run([function for name, function in list(globals().items()) if name.startswith("test_")])
