"""What the scripts that run pools on aws_simulator share. Functions really run there, and tasks note in a file that they
did, so what ran twice shows."""

import json
import os
import re

from aws_simulator import Simulator
from aws_support import World, add_function
from serve_server import equal, package

PACKAGE = package(b"return { echo = function(event) return event end }")

# Runs a task for each number up to COUNT and prints a line of JSON for each of them: how it ended.
JOB = """
local lambdapool = require "lambdapool"
local json = require "lambdapool.json"
local pool <close> = lambdapool.pool { function_name = "f", progress = false, OPTIONS }
local ran = RAN
local function task(x)
  local file <close> = assert(io.open(ran, "a"))
  file:write(x, "\\n")
  file:close()
  BODY
end
local items = {}
for i = 1, COUNT do items[i] = i end
for i, value, err in pool:each(task, items, { chunksize = 1 }) do
  print(json.encode { i = i, value = value, kind = err and err.kind, message = err and err.message,
    text = err and tostring(err), attempts = err and err.attempts, code = err and err.code, log = err and err.log,
    request = err and err.request_id })
  io.stdout:flush()
end
io.stderr:write("stats ", json.encode(pool:stats()), "\\n")
"""

aws = Simulator()
world = World(aws)
add_function(aws, PACKAGE)


def job(options="", body="return x * x", count=8, prelude=""):
    path = world.folder + "/ran"
    if os.path.exists(path):
        os.remove(path)
    options = ("workers = 4, " + options).rstrip(", ")
    text = JOB.replace("OPTIONS", options).replace("BODY", body).replace("COUNT", str(count))
    return prelude + text.replace("RAN", json.dumps(path))


def ran():
    """How often each task ran."""
    counts = {}
    if os.path.exists(world.folder + "/ran"):
        for line in world.read("ran").split():
            counts[int(line)] = counts.get(int(line), 0) + 1
    return counts


def pool(*arguments, env=None, **options):
    """Runs the job; what became of each task, and the result of the program."""
    result = world.script(job(*arguments, **options), env=env)
    if result.code != 0:
        raise AssertionError(result)
    ends = {}
    for line in result.out.splitlines():
        end = json.loads(line)
        assert end["i"] not in ends, f"task {end['i']} ended twice"
        ends[end["i"]] = end
    equal(sorted(ends), list(range(1, options.get("count", 8) + 1)))
    return ends, result


def quiet():
    """An AWS that is well, and has seen nothing yet."""
    aws.calm()
    aws.clock = 0
    aws.account.concurrency.clear()
    aws.accepted = 0
    aws.account.limit = aws.account.most = 0


def all_right(ends):
    for i, end in ends.items():
        equal((i, end.get("value")), (i, i * i))


def once():
    """No task has run twice."""
    equal({i: n for i, n in ran().items() if n != 1}, {})


def stats(result):
    return json.loads(re.search(r"^stats (.*)$", result.err, re.M).group(1))


def invokes():
    return aws.calls("Invoke")
