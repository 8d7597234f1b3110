#!/usr/bin/python3
"""Functions with runtimes of other people under `lambdapool serve`: shell and curl, Python, threads, broken ones.
Prints TAP."""

import base64
import json
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from serve_server import ROLE, Server, archive, equal, matches, run

# The runtime of AWS's tutorial, more or less: each call is a process and a connection of its own.
SHELL = b"""#!/bin/sh
set -eu
while true; do
  headers=$(mktemp)
  event=$(curl -sS -LD "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  echo "event $event" >&2
  curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" \\
    -d "{\\"echo\\":$event,\\"handler\\":\\"$_HANDLER\\",\\"folder\\":\\"$PWD\\"}" >/dev/null
done
"""

PYTHON = b"""#!/usr/bin/python3
import json, os, signal, sys, urllib.error, urllib.request
base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"

def post(path, data, **headers):
    try:
        return urllib.request.urlopen(urllib.request.Request(base + path, data, headers)).status
    except urllib.error.HTTPError as error:
        return error.code

if os.environ.get("INIT") == "error":
    post("init/error", b'{"errorMessage":"cannot start","errorType":"Init.Failed"}')
    sys.exit(1)
if os.environ.get("INIT") == "exit":
    sys.exit(7)
memory = []
while True:
    with urllib.request.urlopen(base + "invocation/next") as answer:
        event, headers = json.load(answer), answer.headers
    name = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    what = event.get("do")
    if what == "error":
        post(name + "/error", b'{"errorMessage":"m","errorType":"T","stackTrace":[]}')
    elif what == "twice":
        statuses = [post(name + "/response", b'"first"'), post(name + "/response", b'"second"'),
                    post("invocation/unknown/response", b"1")]
        print("statuses", statuses, flush=True)
    elif what == "binary":
        post(name + "/response", bytes(range(256)))
    elif what == "large":
        print("status", post(name + "/response", b"x" * 6291557), flush=True)
    elif what == "abort":
        os.abort()
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit after":
        post(name + "/response", b'"bye"')
        sys.exit(0)
    elif what == "memory":
        while True:
            memory.append(b"x" * (8 << 20))
    elif what == "disk":
        try:
            with open("/tmp/file", "wb") as file:
                for _ in range(600):
                    file.write(bytes(1 << 20))
            post(name + "/response", b'"all of it"')
        except OSError as error:
            os.remove("/tmp/file")
            post(name + "/response", json.dumps(error.strerror).encode())
    else:
        post(name + "/response", json.dumps({
            "uid": os.getuid(), "cwd": os.getcwd(), "files": sorted(os.listdir(".")),
            "trace": headers["Lambda-Runtime-Trace-Id"], "stdin": sys.stdin.read(),
            "deadline": headers["Lambda-Runtime-Deadline-Ms"],
            "fds": len(os.listdir("/proc/self/fd"))}).encode())
"""

folder = tempfile.mkdtemp()
server = Server(folder)
aws = server.client("lambda")
tests = []


def test(function):
    tests.append(function)
    return function


def create(name, files, **options):
    aws.create_function(**{"FunctionName": name, "Runtime": "provided.al2023", "Role": ROLE,
                           "Handler": "some.handler", "Code": {"ZipFile": archive(files)}, "Timeout": 20,
                           "MemorySize": 256, **options})
    aws.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})


def invoke(name, event=None):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(event or {}), LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    return answer["Payload"].read(), answer.get("FunctionError"), log


@test
def shell_and_curl():
    create("shell", {"bootstrap": (SHELL, 0o755)})
    for i in range(3):
        body, error, log = invoke("shell", {"n": i})
        equal((json.loads(body)["echo"], json.loads(body)["handler"], error), ({"n": i}, "some.handler", None))
        matches(log, 'event {"n": %d}\n' % i)


@test
def a_runtime_in_python():
    create("python", {"bootstrap": (PYTHON, 0o755), "other.txt": (b"", 0o644)})
    body = json.loads(invoke("python")[0])
    equal((body["files"], body["stdin"]), (["bootstrap", "other.txt"], ""))
    matches(body["trace"], "^Root=1-[0-9a-f]{8}-[0-9a-f]{24}")
    equal(invoke("python", {"do": "binary"})[0], bytes(range(256)))
    body, error, _ = invoke("python", {"do": "error"})
    equal((json.loads(body), error), ({"errorMessage": "m", "errorType": "T", "stackTrace": []}, "Unhandled"))


@test
def what_it_may_not_do():
    body, error, log = invoke("python", {"do": "twice"})
    equal((body, error), (b'"first"', None))
    _, _, log = invoke("python")
    body, error, log = invoke("python", {"do": "large"})
    equal((json.loads(body)["errorType"], error), ("Function.ResponseSizeTooLarge", "Unhandled"))


@test
def how_it_may_end():
    for what, pattern in {"abort": "signal: aborted", "kill": "signal: killed"}.items():
        body, error, _ = invoke("python", {"do": what})
        equal(error, "Unhandled")
        equal(json.loads(body)["errorType"], "Runtime.ExitError")
        matches(json.loads(body)["errorMessage"], "Runtime exited with error: " + pattern)
    equal(invoke("python", {"do": "exit after"})[:2], (b'"bye"', None))
    equal(invoke("python")[1], None)


@test
def memory_has_a_limit():
    body, error, _ = invoke("python", {"do": "memory"})
    equal(error, "Unhandled")
    matches(json.loads(body)["errorType"], "Runtime.(OutOfMemory|ExitError)")
    equal(invoke("python")[1], None)


@test
def the_start_may_fail():
    for init, kind in {"error": "Init.Failed", "exit": "Runtime.ExitError"}.items():
        create("init-" + init, {"bootstrap": (PYTHON, 0o755)}, Environment={"Variables": {"INIT": init}})
        body, error, _ = invoke("init-" + init)
        equal((json.loads(body)["errorType"], error), (kind, "Unhandled"))


@test
def the_bootstrap_may_be_broken():
    for name, data, mode, pattern in (
            ("not-executable", SHELL, 0o644, "permission denied"),
            ("carriage-returns", b"#!/bin/sh\r\nexit\r\n", 0o755, "no such file or directory"),
            ("no-interpreter", b"#!/no/such/thing\n", 0o755, "no such file or directory"),
            ("no-program", b"\x7fELFnonsense", 0o755, "exec format error")):
        create(name, {"bootstrap": (data, mode)})
        body, error, _ = invoke(name)
        equal(error, "Unhandled")
        matches(json.loads(body)["errorMessage"], "fork/exec .*bootstrap: " + pattern)


@test
def tmp_is_small_and_private():
    create("disk", {"bootstrap": (PYTHON, 0o755)}, EphemeralStorage={"Size": 512})
    body, error, _ = invoke("disk", {"do": "disk"})
    equal(error, None)
    if server.isolates:
        equal(json.loads(body), "No space left on device")


failed = run(tests, "runtimes: ")
equal(server.stop(), 0)
if failed:
    print("\n".join("# " + line for line in server.text().splitlines()[-40:]))
shutil.rmtree(folder, ignore_errors=True)
sys.exit(failed > 0)
