#!/usr/bin/python3
"""Whole sessions at the prompt, in real terminals that tmux draws: somebody who explores, two at once with one history,
and somebody who means no good. Each leaves the terminal as it was, and no process. Prints TAP."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ["LAMBDAPOOL_BUILD"] + "/lambdapool"
FOLDER = tempfile.mkdtemp()
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": FOLDER, "LC_ALL": "C.UTF-8",
               **{name: value for name, value in os.environ.items() if name.startswith("LAMBDAPOOL_")}}
PATIENCE = 30

count = 0


def check(name, ok, seen=""):
    global count
    count += 1
    print(f"{'' if ok else 'not '}ok {count} - {name}", flush=True)
    if not ok:
        print("# " + str(seen).replace("\n", "\n# "), flush=True)


def until(condition):
    """Waits until it holds; what it says last."""
    limit = time.monotonic() + PATIENCE
    while not (result := condition()) and time.monotonic() < limit:
        time.sleep(0.02)
    return result


class Session:
    """A prompt, in a terminal of its own."""

    def __init__(self, columns=72, rows=24, options="", **environment):
        self.files = tempfile.mkdtemp(dir=FOLDER)
        self.environment = {**ENVIRONMENT, **environment}
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows),
                  f"stty -a > {self.files}/before; {PROGRAM} repl {options}; echo status $?; "
                  f"stty -a > {self.files}/after; echo over; exec sleep 1000")
        self.shows(r"^>$")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server")

    def tmux(self, *words):
        return subprocess.run(["tmux", "-u", "-f", "/dev/null", "-S", self.files + "/socket", *words], check=True,
                              capture_output=True, text=True, env=self.environment).stdout

    def text(self):
        return re.sub(r" +$", "", self.tmux("capture-pane", "-p"), flags=re.M).strip("\n")

    def shows(self, pattern):
        """Whether the screen comes to end in what the pattern describes."""
        return until(lambda: re.search(f"(?m:{pattern})\\Z", self.text()))

    def key(self, *names):
        self.tmux("send-keys", *names)

    def type(self, text):
        self.tmux("send-keys", "-l", "--", text)

    def enter(self, text):
        self.type(text)
        self.key("Enter")

    def paste(self, data):
        with open(self.files + "/paste", "wb") as file:
            file.write(data)
        self.tmux("load-buffer", self.files + "/paste")
        self.tmux("paste-buffer", "-p", "-r")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def expect(self, name, pattern):
        """What the screen ends in, before a new prompt."""
        check(name, self.shows(pattern + r"\n>"), self.text())

    def says(self, name, line, pattern):
        """Enters a line and tells whether the answer to it, if there is one, is right."""
        self.enter(line)
        self.expect(name, re.escape(line[-20:]) + (r"\n" + pattern if pattern else ""))

    def starts(self, line):
        """Enters a line that takes long, and waits until it has left the line editor."""
        self.type(line)
        self.shows(re.escape(line[-20:]))
        self.key("Enter")
        until(lambda: self.tmux("display-message", "-p", "#{cursor_x}").strip() == "0")

    def workers(self):
        """The processes of the pool."""
        self.enter('pids = pool:map(function() return io.open("/proc/self/stat"):read("n") end, { 1, 2 })')
        self.shows(r"\n>")
        self.enter('print("workers " .. table.concat(pids, " "))')
        self.shows(r"workers \d+ \d+\n>")
        return re.findall(r"\d+", re.findall(r"^workers (.*)$", self.text(), re.M)[-1])

    def ends(self, name, status, workers=()):
        """Whether it ends with that exit code, and leaves nothing behind. Those that nobody has waited for yet have no
        program any more."""
        ended = self.shows(rf"status {status}\nover")
        modes = [open(f"{self.files}/{when}").readlines()[1:] for when in ("before", "after")] if ended else [1, 2]
        gone = until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in workers))
        check(f"{name}: the terminal is as it was, and the workers are gone",
              ended and modes[0] == modes[1] and gone, f"{self.text()}\n{modes}\n{workers}")


def explore():
    with Session() as session:
        session.says("a function", 'function vowels(s) return select(2, s:gsub("[aeiou]", "")) end', "")
        session.says("locals of earlier lines travel", "local scale = 2", "")
        session.enter("local function rate(word)")
        session.shows(r"^>>$")
        session.enter("  return scale * vowels(word) -- what it finds")
        session.enter("end")
        session.says("a map", 'pool:map(rate, { "lambda", "pool" })', r"{ 4, 4 } +2 tasks · .*")
        session.says("what is assigned later is seen", "scale = 10", "")
        session.says("by workers and here", 'pool:map(rate, { "burst" }), rate "queue"', r"{ 10 }\s+40 +1 task · .*")
        session.says("`_` is the last value", "_[1] + 1", "11")
        session.says("a redefinition", "function vowels() return 1 end", "")
        session.says("takes effect at once", 'pool:apply(rate, { "x" })', r"10 +1 task · .*")
        session.says("a variable of the same name", "local scale = 'other'", "")
        session.says("is another", 'pool:apply(rate, { "x" }), scale', r'10\s+"other" +1 task · .*')
        session.key(*["C-p"] * 9)
        session.shows(r"^> local function rate.word.\n  return .*\nend")
        session.key("Up", "Left", "Left", "Left")
        session.type("--[[ edited ]]")
        session.key("Enter")
        session.expect("an entry of several lines is edited", r"^> local .*\n--.. edited ..  return .*\nend")
        session.type("pool:sub")
        session.key("BSpace", "BSpace", "BSpace")
        session.type("imap_")
        session.key("Tab")
        check("a method is completed", session.shows(r"^> pool:imap_unordered"), session.text())
        session.key("C-u")
        workers = session.workers()
        session.type("f = pool:apply_async(function() return 'late' end) " + "-- and a comment that is long, " * 3)
        session.resize(30, 8)
        session.type("end")
        session.resize(72, 24)
        session.key("Enter")
        session.expect("a line that is typed while the screen changes runs", r'f: "late"')
        session.key("C-d")
        session.ends("Ctrl-D", 0, workers)


def interrupt():
    with Session(60, 16) as session:
        workers = session.workers()
        session.says("a list", "local numbers = {} for i = 1, 100 do numbers[i] = i end", "")
        session.enter("pool:map(function() os.execute 'sleep 0.2' end, numbers)")
        check("a long map shows how far it is", session.shows(r"^ +\d+%.*/100 .*"), session.text())
        session.resize(100, 20)
        session.key("C-c")
        session.expect("Ctrl-C ends it", r"^interrupted: \d+ tasks? done, 0 failed, \d+ not done")
        loops = {"in Lua": "while true do end",
                 "in a coroutine": "coroutine.wrap(function() print 'on' while true do end end)()",
                 "in a flow": "lambdapool.async(function() print 'on' while true do end end)",
                 "in an endless imap": "for i in pool:imap(math.abs, function(_, i) return (i or 0) + 1 end) do end"}
        for name, line in loops.items():
            session.starts(line)
            if "'on'" in line:
                session.shows("^on")
            session.key("C-c")
            session.expect(f"Ctrl-C ends a loop {name}", r"interrupted.*")
        session.starts("while true do pcall(pool.apply, pool, os.execute, { 'sleep 60' }) end")
        session.key("C-c")
        session.shows(r"^\^C")
        session.key("C-c")
        session.expect("and a second one a loop that catches it", r"interrupted: .*")
        session.type("os.exit(")
        session.shows(r"os.exit\(")
        session.key("C-c")
        session.expect("and gives up a line", r"^> os.exit\(\^C")
        session.says("the session lives on", "#pool:map(print, {}), #pids", r"0\s+2")
        session.says("with what goes on", "nap = pool:apply_async(os.execute, { 'sleep 60' })", "")
        session.key("C-d")
        told = session.shows(r"^1 task had not ended, .*\nstatus 0\nover")
        check("a word on what had not ended", told, session.text())
        session.ends("Ctrl-D with tasks", 0, workers)


def share():
    state = {"XDG_STATE_HOME": FOLDER + "/shared"}
    with Session(**state) as one, Session(**state) as other:
        one.says("two sessions", "'from one \\\\'", r'"from one \\\\"')
        other.enter("for i = 1, 2 do")
        other.enter("  print(i)")
        other.enter("end")
        other.expect("add to one history", "1\n2")
        one.key("C-d")
        one.ends("one", 0)
    with Session(**state) as third:
        third.key("Up")
        check("with entries of several lines", third.shows(r"^> for i = 1, 2 do\n  print.i.\nend"), third.text())
        third.key("C-a", "C-p")
        check("and all that others have typed", third.shows(r"^> 'from one .*"), third.text())
        third.key("C-c")
        third.enter(":quit")
        third.ends(":quit", 0)


def attack():
    with Session(80, 24, TERM="xterm-256color") as session:
        session.paste(b'x = "\xff\xfe\x00\x01\x1b[31m\x1b]0;t\x07\xe2\x80\xae"\n#x > 0')
        session.key("Enter")
        session.expect("bytes that are no text", r"(true|repl:.*)")
        session.paste(b"".join(b"x%d = %d\n" % (i, i) for i in range(10000)))
        session.shows(r"x9999 = 9999\n>")
        session.says("ten thousand lines", "x0 + x9999", "9999")
        session.says("text that controls terminals", r'"\27[2J\u{202e}\0", {["\27c"] = "\n"}',
                     r'"\\x1b\[2J\\u{202e}\\x00"\s+{ \["\\x1bc"\] = "\\n" }')
        session.says("values that raise", "setmetatable({}, { __tostring = error, __len = error, __eq = error })",
                     r"<error in __tostring: .*>")
        session.says("what is in itself", "loop = setmetatable({}, { __index = error }) loop.loop = loop", "")
        session.type("loop.lo")
        session.key("Tab")
        check("is completed", session.shows(r"^> loop.loop"), session.text())
        session.key("Enter")
        session.expect("and printed", r"^{ loop = <cycle> }")
        session.enter("table = nil string = {} print = 5")
        session.says("globals that are gone", "{ 1, 'x' }", r'^{ 1, "x" }')
        session.says("keep nobody from a map", "pool:map(function(x) return -x end, { 1 })", r"^{ -1 } +1 task · .*")
        session.enter("if true then")
        session.shows(r"^>>")
        session.key("C-d")
        session.expect("Ctrl-D in the middle", r"^repl:\d+:1: 'end' expected near <eof>")
        session.enter("os.exit(9)")
        session.ends("os.exit", 9)


signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # ends the terminals, too
try:
    for part in (explore, interrupt, share, attack):
        part()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
print(f"1..{count}")
