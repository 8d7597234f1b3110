#!/usr/bin/python3
"""Follows the README's section on AWS word for word, in one shell, from an empty folder: blocks of Lua become the files
that the sentence before them names, lines after `$` are typed in, and what is printed must be what stands there. First
on `lambdapool serve`, then on aws_simulator, both in the place of AWS. Prints TAP."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_simulator import KEYS as SIMULATOR_KEYS, Simulator
from serve_server import BUILD, KEYS, Server, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
README = os.environ.get("LAMBDAPOOL_README", ROOT + "/README.md")
TITLE = "## On AWS Lambda"
END = "-- end of it --"


def steps():
    """("file", name, text) and ("command", line, expected lines), in order."""
    with open(README) as file:
        text = file.read()
    section = re.split(r"^## ", text[text.index(TITLE) + 3:], maxsplit=1, flags=re.M)[0]
    before = ""
    for i, part in enumerate(re.split(r"^```", section, flags=re.M)):
        if i % 2 == 0:
            before = part
            continue
        language, _, body = part.partition("\n")
        names = re.findall(r"`([\w./-]+\.\w+)`", before)
        if language and names:
            yield "file", names[-1], body
        elif body.startswith("$ "):
            for command in re.split(r"^\$ ", body, flags=re.M)[1:]:
                while command.split("\n")[0].endswith("\\"):
                    command = command.replace("\\\n", "", 1)
                line, *expected = command.rstrip("\n").split("\n")
                yield "command", line.split("  # ")[0], expected


def plain(line):
    """A line without what differs from run to run: numbers, and what goes with them."""
    line = re.sub(r"\b(now|\d+ \w+ ago)\b", "AGO", line)
    line = re.sub(r"\d+(\.\d+)*", "N", line)
    line = re.sub(r"\bN (task|invocation|cold start)s?\b", r"N \1", line)
    return " ".join(line.split())


class Shell:
    def __init__(self, folder, environment):
        self.process = subprocess.Popen(["bash"], cwd=folder, env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def type(self, line):
        """What the command prints."""
        self.process.stdin.write(f"{line}\necho '{END}'\n")
        self.process.stdin.flush()
        printed = []
        while True:
            text = self.process.stdout.readline()
            if text == "":
                raise AssertionError(f"{line}: the shell has ended: {printed}")
            if text.rstrip("\n") == END:
                return printed
            if text.rstrip("\n").endswith(END):  # after output without a newline
                return printed + [text.rstrip("\n")[:-len(END)]]
            printed.append(text.rstrip("\n"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


def compare(line, printed, expected):
    """`…` alone on a line stands for any lines."""
    pattern = "".join("(?:.*\n)*" if e.strip() in ("…", "...") else re.escape(plain(e)) + "\n" for e in expected)
    text = "".join(plain(p) + "\n" for p in printed if p.strip())
    if not re.fullmatch(pattern, text):
        raise AssertionError(f"$ {line}\nprinted:\n" + "\n".join(printed) + "\nexpected:\n" + "\n".join(expected))


def follow(url, keys):
    """All of it, on the AWS at that address."""
    folder = tempfile.mkdtemp()
    environment = {
        "PATH": BUILD + ":" + os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8", "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": keys["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": keys["aws_secret_access_key"]}
    for name in ("LAMBDAPOOL_LUA", "LAMBDAPOOL_AGENT"):
        if name in os.environ:
            environment[name] = os.environ[name]
    os.mkdir(folder + "/work")
    shell = Shell(folder + "/work", environment)
    try:
        for kind, name, rest in steps():
            if kind == "file":
                shell.type(f"mkdir -p $(dirname {name}) && cat >{name} <<'{END}x'\n{rest}{END}x")
            else:
                compare(name, shell.type(name), [e for e in rest if e.strip()])
    finally:
        shell.close()
        shutil.rmtree(folder, ignore_errors=True)


def on_lambdapool_serve():
    folder = tempfile.mkdtemp()
    server = Server(folder)
    try:
        follow(server.url, KEYS)
    finally:
        server.stop()
        shutil.rmtree(folder)


def on_another_aws():
    with Simulator() as aws:
        follow(aws.url, SIMULATOR_KEYS)
        assert not aws.violations, aws.violations


def there_is_something_to_follow():
    assert sum(kind == "command" for kind, _, _ in steps()) >= 10


if __name__ == "__main__":
    sys.exit(run([there_is_something_to_follow, on_lambdapool_serve, on_another_aws], "readme: ") > 0)
