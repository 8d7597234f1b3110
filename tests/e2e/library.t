#!/usr/bin/python3
"""The installed library: what it shows, and that a program outside of this tree is built with it by pkg-config or CMake
alone, wherever it has been moved to. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from library_support import BUILD, STAGE, Folder, equal, run

with open(STAGE + "/include/lambdapool.h") as file:
    HEADER = file.read()

VERSION = re.search(r'define LP_VERSION\s+"(.*)"', HEADER).group(1)
SQUARES = f"{VERSION} 14\n"
CMAKE = """
cmake_minimum_required(VERSION 3.10)
project(outside C)
find_package(lambdapool %s REQUIRED)
foreach(kind lambdapool static)
  add_executable(${kind} squares.c)
  target_link_libraries(${kind} PRIVATE lambdapool::${kind})
endforeach()
"""


def declared():
    return sorted(re.findall(r"^LP_API [^;]*?\b(lp_\w+)\(", HEADER, re.M))


def symbols(*command):
    lines = subprocess.run(("nm", *command), capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[-2:] for line in lines if len(line.split()) >= 2]


def test_the_shared_library_shows_the_functions_of_its_header_and_nothing_else(folder):
    shown = symbols("-D", "--defined-only", STAGE + "/lib/liblambdapool.so")
    equal(sorted(name.split("@")[0] for kind, name in shown if kind != "A"), declared())


def test_the_shared_library_wants_nothing_but_libc_and_libm(folder):
    text = folder.run("readelf -dW " + STAGE + "/lib/liblambdapool.so")
    equal(sorted(re.findall(r"NEEDED.*\[(.*)\]", text)), ["libc.so.6", "libm.so.6"])
    equal(re.findall(r"SONAME.*\[(.*)\]", text), ["liblambdapool.so.0"])
    equal("TEXTREL" in text, False)
    wanted = symbols("-D", "--undefined-only", STAGE + "/lib/liblambdapool.so")
    equal([name for _, name in wanted if re.match(r"lua|uv_|ZSTD|http_|lp_(?!_foreign_ZSTD_trace)", name)], [])


def test_so_does_the_static_library(folder):
    shown = symbols("-g", "--defined-only", STAGE + "/lib/liblambdapool.a")
    equal(sorted(name for _, name in shown), declared())


def test_a_program_in_C99_is_built_with_pkg_config(folder):
    folder.build("squares.c", *folder.pkg_config("--cflags --libs lambdapool"))
    equal(folder.run("./a.out", LD_LIBRARY_PATH=STAGE + "/lib"), SQUARES)


def test_so_is_one_in_C_of_today_by_clang(folder):
    folder.build("squares.c", *folder.pkg_config("--cflags --libs lambdapool"), compiler=("clang", "-std=c2x"))
    equal(folder.run("./a.out", LD_LIBRARY_PATH=STAGE + "/lib"), SQUARES)


def test_so_is_one_in_C_plus_plus_17(folder):
    for compiler in "g++", "clang++":
        folder.build("squares.c", "-x", "none", *folder.pkg_config("--cflags --libs lambdapool"),
                     compiler=(compiler, "-std=c++17", "-x", "c++"))
        equal(folder.run("./a.out", LD_LIBRARY_PATH=STAGE + "/lib"), SQUARES)


def test_a_program_has_the_static_library_inside(folder):
    words = folder.pkg_config("--cflags --static --libs lambdapool")
    folder.build("squares.c", *(w.replace("-llambdapool", "-l:liblambdapool.a") for w in words))
    equal("lambdapool" in folder.run("ldd a.out"), False)
    # Such a program may lie anywhere, and names the agent, or has it beside itself.
    agent = STAGE + "/libexec/lambdapool/bootstrap"
    equal(folder.run("./a.out", LAMBDAPOOL_AGENT=agent), SQUARES)
    shutil.copy(agent, folder.path)
    equal(folder.run("./a.out"), SQUARES)


def test_so_has_a_plugin_that_a_program_loads(folder):
    folder.write("program.c", """#include <dlfcn.h>
        int main(int argc, char **argv) {
          int (*run)(int, char **);
          void *plugin = dlopen("./plugin.so", RTLD_NOW);
          *(void **)&run = dlsym(plugin, "squares");
          return run(argc, argv) != 0 || dlclose(plugin) != 0;
        }""")
    folder.run("cc -o program program.c -ldl")
    words = folder.pkg_config("--cflags --static --libs lambdapool")
    folder.build("squares.c", "-Dmain=squares", "-Wno-missing-prototypes", "-shared", "-fPIC", "-o", "plugin.so",
                 *(w.replace("-llambdapool", "-l:liblambdapool.a") for w in words))
    equal(folder.run("./program", LAMBDAPOOL_AGENT=STAGE + "/libexec/lambdapool/bootstrap"), SQUARES)
    shutil.copy(STAGE + "/libexec/lambdapool/bootstrap", folder.path)
    os.mkdir(folder.path + "/elsewhere")
    os.rename(folder.path + "/program", folder.path + "/elsewhere/program")
    equal(folder.run("elsewhere/program"), SQUARES)  # it is beside the plugin


def test_a_program_has_the_C_library_inside_as_well(folder):
    words = folder.pkg_config("--cflags --static --libs lambdapool")
    # The linker warns of what libuv and ours may ask a C library on disk for: names of hosts, other libraries.
    folder.run("cc", "-static", os.path.dirname(__file__) + "/library/squares.c", *words)
    equal("NEEDED" in folder.run("readelf -d a.out"), False)
    equal(folder.run("./a.out", LAMBDAPOOL_AGENT=STAGE + "/libexec/lambdapool/bootstrap"), SQUARES)


def test_CMake_finds_both(folder):
    shutil.copy(os.path.dirname(__file__) + "/library/squares.c", folder.path)
    folder.write("CMakeLists.txt", CMAKE % VERSION)
    folder.run(f"cmake -S . -B made -DCMAKE_PREFIX_PATH={STAGE}")
    folder.run("cmake --build made")
    equal(folder.run("made/lambdapool"), SQUARES)
    equal("lambdapool" in folder.run("ldd made/static"), False)
    equal(folder.run("made/static", LAMBDAPOOL_AGENT=STAGE + "/libexec/lambdapool/bootstrap"), SQUARES)


def test_CMake_is_told_which_versions_will_do(folder):
    major, minor, patch = map(int, VERSION.split("."))
    shutil.copy(os.path.dirname(__file__) + "/library/squares.c", folder.path)
    for version, fits in (f"{major}.{minor}", True), (f"{major}.{minor}.{patch + 1}", False), \
            (f"{major}.{minor + 1}", False), (f"{major + 1}.0", False), ("", True):
        folder.write("CMakeLists.txt", CMAKE % version)
        text = folder.run(f"cmake -S . -B made{version} -DCMAKE_PREFIX_PATH={STAGE}", fails=not fits)
        equal("compatible" in text, not fits)


def test_the_installed_tree_may_be_moved(folder):
    moved = folder.path + "/some where/else"
    shutil.copytree(STAGE, moved, symlinks=True)
    other = Folder(moved)
    other.build("squares.c", *(w.replace("\\ ", " ") for w in other.run("pkg-config --cflags --libs lambdapool")
                               .replace("\\ ", "\0").split() for w in [w.replace("\0", " ")]))
    # Not a trace of where it was: the library finds the agent seen from itself.
    equal(other.run("./a.out", LD_LIBRARY_PATH=moved + "/lib"), SQUARES)
    equal(other.run(moved + "/bin/lambdapool", "--version").startswith("lambdapool " + VERSION), True)
    os.remove(moved + "/libexec/lambdapool/bootstrap")
    text = other.run("./a.out", LD_LIBRARY_PATH=moved + "/lib", fails=True)
    equal("cannot find the agent" in text and moved + "/libexec/lambdapool" in text, True)
    equal("or name it" in text and "lp_config.agent" in text, True)
    other.close()


def test_make_install_honours_DESTDIR_and_PREFIX(folder):
    tree = folder.path + "/package"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    subprocess.run(["make", "install-files", "BUILD=" + BUILD, "SETUP=no", "DESTDIR=" + tree, "PREFIX=/opt/pool"],
                   env=environment, check=True, capture_output=True)
    equal(os.listdir(tree), ["opt"])
    equal(sorted(os.listdir(tree + "/opt/pool")), ["bin", "include", "lib", "libexec", "share"])
    for name in ("bin/lambdapool", "include/lambdapool.h", "lib/liblambdapool.so", "lib/liblambdapool.so.0",
                 "lib/liblambdapool.a", "lib/pkgconfig/lambdapool.pc", "lib/cmake/lambdapool/lambdapool-config.cmake",
                 "libexec/lambdapool/bootstrap", "libexec/lambdapool/cloud.so", "libexec/lambdapool/terminal.so",
                 "share/doc/lambdapool/README.md", "share/doc/lambdapool/examples/embed/hello.c"):
        equal((name, os.path.isfile(tree + "/opt/pool/" + name)), (name, True))
    for top, _, files in os.walk(tree):
        for name in files:
            mode = os.lstat(top + "/" + name).st_mode & 0o777
            equal((name, mode in (0o644, 0o755, 0o777)), (name, True))
            if name.endswith((".pc", ".cmake")):
                with open(top + "/" + name) as text:
                    found = text.read()
                equal("@" in found or BUILD in found or tree in found, False)


run([function for name, function in list(globals().items()) if name.startswith("test_")])
