#!/usr/bin/python3
"""The programs in examples/embed: each is built in an empty folder with the command that its first comment gives, and
does what the comment says. Nothing but pkg-config tells where lambdapool is. Prints TAP."""

import ctypes
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

EXAMPLES = os.path.abspath("examples/embed")
FOLDER = tempfile.mkdtemp()
STAGE = os.environ["LAMBDAPOOL_BUILD"] + "/stage"
PKG_CONFIG = os.path.dirname(glob.glob(STAGE + "/**/lambdapool.pc", recursive=True)[0])
PR_SET_CHILD_SUBREAPER = 36

count = 0


def check(name, ok, seen=""):
    global count
    count += 1
    print(f"{'' if ok else 'not '}ok {count} - {name}", flush=True)
    if not ok:
        print(f"# {seen!r}", flush=True)


def environment():
    found = {key: os.environ[key] for key in ("PATH", "LAMBDAPOOL_LUA") if key in os.environ}
    found.update(PKG_CONFIG_PATH=PKG_CONFIG, HOME=FOLDER, TMPDIR=FOLDER)
    variable = ["pkg-config", "--variable=libdir", "lambdapool"]
    libraries = subprocess.run(variable, env=found, capture_output=True, text=True, check=True).stdout.strip()
    found.update(LD_LIBRARY_PATH=libraries, LUA_CPATH=libraries + "/lua/5.4/?.so;;")
    return found


ENVIRONMENT = environment()


def build(name, *others):
    """Copies the example and builds it as its first comment says."""
    for file in (name, *others):
        shutil.copy(f"{EXAMPLES}/{file}", FOLDER)
    for file in (name, *others):
        with open(f"{FOLDER}/{file}") as source:
            check(f"{file} says that it needs no account", "Needs no account" in re.sub(r"\n\W+", " ", source.read(800)))
    with open(f"{FOLDER}/{name}") as source:
        command = re.search(r"(?:c\+\+|cc) .*pkg-config.*", source.read()).group()
    result = subprocess.run(command + " -Wall -Wextra -Werror", shell=True, cwd=FOLDER, env=ENVIRONMENT,
                            capture_output=True, text=True)
    check(f"{command!r} builds {name}", result.returncode == 0 and result.stderr == "", result)


def start(command, **more):
    return subprocess.Popen(shlex.split(command), cwd=FOLDER, env={**ENVIRONMENT, **more}, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """What it has printed, its errors and its exit code. What it leaves behind is a child of this process now, for
    nobody else adopts it; processes that are being killed have some time to end."""
    out, err = process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        err += "a process is left"
    except ChildProcessError:
        pass
    return out, err, process.returncode


def run(command, **more):
    return finish(start(command, **more))


def hello():
    build("hello.c")
    out, err, code = run("./hello")
    check("hello counts primes", code == 0 and err == "" and sorted(out.splitlines()) == [
        "7863 primes from 300001 on", "8013 primes from 200001 on", "8392 primes from 100001 on", "9592 primes from 1 on"], (out, err, code))
    out, err, code = run("./hello", LAMBDAPOOL_AGENT="/nowhere/bootstrap")
    check("hello says when there is no bootstrap", code == 1 and out == "" and "/nowhere/bootstrap" in err
          and err.startswith("hello: "), (out, err, code))


def write(name, text):
    with open(f"{FOLDER}/{name}", "w") as file:
        file.write(text)


def tool():
    build("tool.c", "lines.lua")
    os.makedirs(FOLDER + "/tree/below/deep")
    write("tree/a.txt", "one\n\nthree\n \n")
    write("tree/below/b.txt", "one\n")
    write("tree/below/deep/c.h", "\n\n")
    write("tree/below/deep/odd\nname", "no end")
    os.symlink("a.txt", FOLDER + "/tree/link.txt")
    out, err, code = run("./tool lines.lua tree")
    check("lines.lua counts the lines of all files", code == 0 and err == "" and [line.split() for line in
          out.splitlines()] == [["files", "lines", "blank"], [".txt", "2", "5", "2"], [".h", "1", "2", "2"],
          ["other", "1", "1", "0"]], (out, err, code))
    out, err, code = run("./tool lines.lua")
    check("the code that a script returns is that of the tool", code == 2 and out == "" and
          err == "usage: tool lines.lua FOLDER...\n", (out, err, code))
    out, err, code = run("./tool lines.lua nowhere")
    check("the error of the C function is one of the script", code == 1 and out == "" and
          "nowhere: No such file or directory" in err and "lines.lua" in err, (out, err, code))
    write("wrong.lua", "tree.files(12, {})")
    out, err, code = run("./tool wrong.lua")
    check("its argument is checked", code == 1 and "needs the name of a folder" in err, (out, err, code))
    out, err, code = run("./tool missing.lua")
    check("a script that is missing is named", code == 1 and "missing.lua" in err, (out, err, code))
    out, err, code = run("./tool")
    check("without a script it tells its usage", code == 2 and err.startswith("usage: tool"), (out, err, code))
    tool_prints()
    tool_is_interrupted()


def tool_prints():
    os.mkdir(FOLDER + "/scripts")
    write("scripts/squares.lua", "return function(n) print('at work') return n * n end")
    write("scripts/prints.lua", """
        local pool <close> = require "lambdapool".pool {}
        print(pool:apply(require "squares", { 12 }))
        return 7""")
    out, err, code = run("./tool scripts/prints.lua")
    check("scripts find modules beside them, and print to stdout", code == 7 and "144\n" in out, (out, err, code))


def tool_is_interrupted():
    write("sleeps.lua", """
        local pool <close> = require "lambdapool".pool { workers = 2 }
        local function sleep(path)
          assert(io.open(path, "w")):close()
          os.execute "sleep 600"
        end
        pool:map(sleep, { arg1 .. "1", arg1 .. "2" }, { chunksize = 1 })""".replace("arg1", repr(FOLDER + "/begun")))
    process = start("./tool sleeps.lua")
    eventually(lambda: os.path.exists(FOLDER + "/begun1") and os.path.exists(FOLDER + "/begun2"), "tasks")
    os.killpg(process.pid, signal.SIGINT)
    out, err, code = finish(process)
    check("Ctrl-C ends the tool and its workers", code in (130, -signal.SIGINT) and out == "" and
          "left" not in err, (out, err, code))
    os.remove(FOLDER + "/begun1")
    os.remove(FOLDER + "/begun2")


def eventually(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"Bail out! waited in vain for {what}")
        time.sleep(0.02)


def ask(client, question):
    """The server may not be there yet: what it does not get is sent again."""
    for _ in range(120):
        try:
            client.send(question)
            return client.recv(100)
        except (ConnectionRefusedError, socket.timeout):
            time.sleep(0.1)
    return b"no answer"


def eventloop():
    build("eventloop.c")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
        process = start(f"./eventloop {port}")
        client.connect(("127.0.0.1", port))
        client.settimeout(30)
        check("the server counts primes", ask(client, b"100000\n") == b"9592\n")
        for limit in (10, 100, 1000, 10000):
            client.send(b"%d\n" % limit)
        answers = {client.recv(100) for _ in range(4)}
        check("it answers each of many", answers == {b"4\n", b"25\n", b"168\n", b"1229\n"}, answers)
        line = process.stdout.readline()
        check("its timer goes on", re.fullmatch(r"\d+ running, \d+ waiting, \d+ done\n", line), line)
        second = start(f"./eventloop {port}")
        _, err = second.communicate(timeout=60)
        check("a port that is taken is an error", second.returncode == 1 and
              err == "eventloop: Address already in use\n", err)
        client.send(b"1000000000\n")
        eventually(lambda: process.stdout.readline().startswith("1 running"), "a task that runs")
        process.send_signal(signal.SIGINT)
        out, err, code = finish(process)
        check("Ctrl-C ends it in order, with a task that runs", code == 0 and err == "", (out, err, code))


def host_lua():
    build("host_lua.c", "host_lua.lua")
    out, err, code = run("./host_lua host_lua.lua")
    lines = out.splitlines()
    check("host_lua draws the picture in frames", code == 0 and err == "" and len(lines) == 25 and
          {len(line) for line in lines[:24]} == {72} and lines[:12] == lines[23:11:-1] and
          re.fullmatch(r"24 rows, drawn in \d+ frames", lines[24]), (out, err, code))
    write("fails.lua", """
        local pool = require "lambdapool".pool {}
        pool:apply_async(function() error "no luck" end, {}, nil, nil, error)
        return function() return true end""")
    out, err, code = run("./host_lua fails.lua")
    check("an error of a task reaches the program", code == 1 and out == "" and "no luck" in err, (out, err, code))


def cpp():
    build("cpp.cc")
    out, err, code = run("./cpp")
    check("cpp finds the longest chain", code == 0 and err == "" and out ==
          "up to 400000 the chain of 230631 is longest: 442 steps, and as high as 76778008\n", (out, err, code))
    out, err, code = run("./cpp", LAMBDAPOOL_AGENT="/nowhere/bootstrap")
    check("cpp says when there is no bootstrap", code == 1 and err.startswith("cpp: "), (out, err, code))


def leaves_nothing():
    made = {"hello", "tool", "eventloop", "host_lua", "cpp", "tree", "scripts"}
    left = [name for name in os.listdir(FOLDER) if name not in made and not name.endswith((".c", ".cc", ".lua"))]
    check("no files are left behind", left == [], left)


try:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hello()
    tool()
    eventloop()
    host_lua()
    cpp()
    leaves_nothing()
    print(f"1..{count}")
finally:
    shutil.rmtree(FOLDER)
