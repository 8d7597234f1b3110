"""What the tests that drive the program against aws_simulator share: a home of its own, the program run with the
environment that a person would have, and a look at everything it printed for what must never be there."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
from aws_services import Function, code_fields
from aws_simulator import KEYS
from serve_server import BUILD, run

TASKS = """
local tasks = {}
function tasks.square(x) return x * x end
return tasks
"""


def add_function(aws, archive, name="f", **settings):
    """A function in the simulator as `lambdapool create` makes it, without lambdapool."""
    configuration = {
        "FunctionName": name, "FunctionArn": aws.account.arn("function:" + name), "Runtime": "provided.al2023",
        "Role": "arn:aws:iam::444455556666:role/lambdapool/r", "Handler": "lambdapool", "Timeout": 60,
        "MemorySize": 1769, "Version": "$LATEST", "RevisionId": name, "State": "Active", "Description": "",
        "LastUpdateStatus": "Successful", "Architectures": ["x86_64"], "PackageType": "Zip", **code_fields(archive),
        "LastModified": "2026-01-01T00:00:00.000+0000", **settings}
    aws.account.functions[name] = Function(configuration, archive, {"creator": "lambdapool"})


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"


class World:
    """A folder that is home and where the commands run. With a simulator it is the AWS of every command."""

    def __init__(self, aws=None):
        self.folder, self.aws, self.leaks = tempfile.mkdtemp(prefix="lp-world-"), aws, []
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": self.folder, "AWS_EC2_METADATA_DISABLED": "true", "LANG": "C.UTF-8",
            "XDG_STATE_HOME": self.folder + "/state", "XDG_CACHE_HOME": self.folder + "/cache",
            "XDG_CONFIG_HOME": self.folder + "/config"}
        for name in ("LAMBDAPOOL_LUA", "LAMBDAPOOL_AGENT"):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        if aws:
            aws.wants_digest = True
            self.environment.update(
                LAMBDAPOOL_BACKEND="aws", AWS_ENDPOINT_URL=aws.url, AWS_REGION="us-east-1",
                AWS_ACCESS_KEY_ID=KEYS["aws_access_key_id"], AWS_SECRET_ACCESS_KEY=KEYS["aws_secret_access_key"])
        self.secrets = {KEYS["aws_secret_access_key"]}
        self.write("algorithms/tasks.lua", TASKS)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def read(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return file.read()

    def start(self, *arguments, env=None, **options):
        """The program, running."""
        merged = {**self.environment, **(env or {})}
        return subprocess.Popen([BUILD + "/lambdapool", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                                env={k: v for k, v in merged.items() if v is not None}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def finish(self, process, seconds=60):
        """Waits for its end."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"it does not end: {out}\n{err}") from None
        self.check_output(out + err)
        return Result(process.returncode, out, err)

    def run(self, *arguments, env=None, seconds=60):
        return self.finish(self.start(*arguments, env=env), seconds)

    def good(self, *arguments, **options):
        """It must succeed."""
        result = self.run(*arguments, **options)
        if result.code != 0:
            raise AssertionError(f"{arguments}: {result}")
        return result

    def bad(self, code, *arguments, **options):
        """It must fail with that code, and as a person wants to read it."""
        result = self.run(*arguments, **options)
        if result.code != code:
            raise AssertionError(f"{arguments}: not exit {code} but {result}")
        check_complaint(arguments, result)
        return result

    def script(self, text, *arguments, name="job.lua", **options):
        """Runs a Lua script."""
        self.write(name, text)
        return self.run("run", name, *arguments, **options)

    def check_output(self, text):
        secrets = set(self.secrets)
        if self.aws:
            for key in list(self.aws.keys.values()):
                secrets.update({key["secret"], key.get("token") or key["secret"]})
        self.leaks += [text for secret in secrets if secret in text]

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Tests(list):
    """The tests of a script, in order; it decorates them. Words on the command line choose some."""

    def __call__(self, function):
        self.append(function)
        return function

    def main(self, prefix, before, *peers):
        """Runs them, each after before(), closes the peers, and ends the program."""
        def prepared(function):
            def wrapped():
                before()
                function()
            wrapped.__name__ = function.__name__
            return wrapped
        words = sys.argv[1:] or [""]
        failed = run([prepared(t) for t in self if any(word in t.__name__ for word in words)], prefix)
        for peer in peers:
            peer.close()
        sys.exit(failed > 0)


def check_complaint(arguments, result):
    """What every failure of a command has in common."""
    lines = result.err.splitlines()
    if not lines or not lines[0].startswith("lambdapool"):
        raise AssertionError(f"{arguments}: does not say who complains: {result}")
    theirs = any(name in result.err for name in ("app.lua", "job.lua", "conf.lua"))
    for word in ("stack traceback", "[C]:", "[string", "attempt to ", ".lua:"):
        if word in result.err and not theirs:
            raise AssertionError(f"{arguments}: {word}: {result}")
    if lines[0].endswith("."):
        raise AssertionError(f"{arguments}: a full stop: {result}")


class Watcher:
    """Looks at the command lines and environments of processes while the program runs, for secrets in `ps`."""

    def __init__(self, secrets):
        self.secrets, self.found, self.stop = [s.encode() for s in secrets], [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        while not self.stop.wait(0.005):
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                try:
                    with open(path, "rb") as file:
                        text = file.read()
                except OSError:
                    continue
                self.found += [text for secret in self.secrets if secret in text]


def children_of(word):
    """Processes whose command line has the word: what somebody left behind."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            continue
        if word.encode() in text:
            found.append((path, text))
    return found
