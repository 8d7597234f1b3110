#!/usr/bin/python3
"""Commands on a terminal: what they ask, the answers that they take, and Ctrl-C while they wait. Prints TAP."""

import os
import pty
import re
import select
import shutil
import tempfile
import time

PROGRAM = os.environ["LAMBDAPOOL_BUILD"] + "/lambdapool"
HOME = tempfile.mkdtemp()
ENVIRONMENT = {**os.environ, "HOME": HOME, "XDG_STATE_HOME": HOME + "/state", "TERM": "xterm"}
PROMPT = rb"\[y/N\] $"

count = 0


def check(name, ok, seen):
    global count
    count += 1
    print(f"{'' if ok else 'not '}ok {count} - {name}", flush=True)
    if not ok:
        print(f"# {seen!r}", flush=True)


def run(*arguments, keys=b"", after=None):
    """Runs a command on a terminal of its own and types `keys`, once `after` was printed if that is given."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(PROGRAM, ["lambdapool", *arguments], ENVIRONMENT)
    text, typed, deadline = b"", after is None, time.monotonic() + 60
    if typed:
        os.write(terminal, keys)
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            more = os.read(terminal, 4096)
        except OSError:
            break
        if not more:
            break
        text += more
        if not typed and re.search(after, text):
            typed = True
            os.write(terminal, keys)
    else:
        os.kill(pid, 9)
    os.close(terminal)
    return text.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def asks():
    out, code = run("create", "f")
    check("a function is made without a question", code == 0 and "[y/N]" not in out, out)
    for name, keys in (("no", b"n\n"), ("nothing", b"\n"), ("the end of input", b"\x04"), ("nonsense", b"maybe\n")):
        out, code = run("delete", "f", keys=keys, after=PROMPT)
        check(f"{name} is no", code == 1 and "nothing was deleted" in out, (out, code))
    out, code = run("delete", "f", keys=b"\x03", after=PROMPT)
    check("ctrl-c ends the question", code == 130 and out.endswith("lambdapool: interrupted\n"), (out, code))
    out, code = run("show", "f")
    check("the function is still there", code == 0, out)
    out, code = run("delete", "f", keys=b"yes\n", after=PROMPT)
    check("yes is yes", code == 0 and "f is deleted" in out, (out, code))


def waits():
    run("create", "f")
    run("invoke", "f")
    out, code = run("logs", "f", "-f", keys=b"\x03", after=b"REPORT")
    check("ctrl-c ends logs -f", code == 130 and out.endswith("lambdapool: interrupted\n"), (out, code))
    out, code = run("invoke", "f", "-", keys=b"{x}\n\x04")
    check("standard input may be typed", code == 2 and "is not JSON" in out, (out, code))


def obeys_nobody():
    with open(HOME + "/rude.lua", "w") as file:
        file.write('return { say = function(event) print "\\27[2Jsaid" error(event.text) end }')
    run("create", "rude", HOME + "/rude.lua", "--handler", "rude.say")
    out, code = run("invoke", "rude", '{"text": "\\u001b]0;title\\u0007"}', "--tail")
    check("what functions write is no command to terminals",
          code == 1 and "\x1b" not in out and "\\x1b[2Jsaid\n" in out and "\\x1b]0;title\\x07" in out, out)
    out, code = run("logs", "rude")
    check("nor are logs", code == 0 and "\x1b" not in out and "\\x1b[2Jsaid\n" in out, out)
    run("delete", "rude", "--yes")


def colours():
    out, code = run("doctor")
    check("doctor has colours on a terminal", "\x1b[32mok" in out, out)
    ENVIRONMENT["NO_COLOR"] = "1"
    out, code = run("doctor")
    check("but not with NO_COLOR", "\x1b" not in out and "ok    program" in out, out)
    del ENVIRONMENT["NO_COLOR"]
    ENVIRONMENT["TERM"] = "dumb"
    out, code = run("doctor")
    check("and not on a dumb terminal", "\x1b" not in out, out)


try:
    asks()
    waits()
    obeys_nobody()
    colours()
    print(f"1..{count}")
finally:
    shutil.rmtree(HOME)
