#!/usr/bin/python3
"""Pools on functions: what they cost, what they print, how they fail, and what AWS refuses. Prints TAP."""

import json
import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
import aws_services
from aws_jobs import all_right, aws, invokes, job, once, pool, quiet, ran, stats, world
from aws_simulator import deny, refuse
from aws_support import Tests
from serve_server import equal, matches

test = Tests()


@test
def what_is_well():
    ends, result = pool(count=30)
    all_right(ends)
    once()
    equal(len(invokes()), 30)
    for exchange in invokes():
        equal(exchange.input.get("LogType"), "Tail")
    assert aws.accepted < 30, "connections are not reused"
    found = stats(result)
    assert found["billed_seconds"] > 0 and found["gb_seconds"] > 0 and found["cost"] > 0, found
    matches(str(found["prices_of"]), r"^\d{4}-\d\d")


@test
def an_account_that_is_allowed_ten():
    aws.account.limit = 10
    ends, _ = pool("workers = 100,", body='os.execute "sleep 0.05" return x * x', count=120)
    all_right(ends)
    once()
    equal(aws.account.most, 10)
    assert len(invokes()) < 120 * 4, len(invokes())


@test
def a_refusal_ends_the_whole_map_and_says_what_to_ask_for():
    arn = aws.account.arn("function:f")
    aws.on("Invoke", deny("lambda:InvokeFunction", arn))
    ends, _ = pool(count=50)
    for end in ends.values():
        assert end["kind"] in ("lost", "cancelled"), end
    matches(ends[1]["text"], "lambda:InvokeFunction.*" + re.escape(arn))
    matches(ends[1]["text"], "lambdapool permissions policy --for user")
    assert len(invokes()) < 20, len(invokes())


@test
def a_function_that_is_not_there_is_named_with_the_command_that_makes_it():
    result = world.script("""local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "nowhere", progress = false }
        pool:map(function(x) return x end, { 1, 2, 3 })""")
    equal(result.code, 1)
    matches(result.err, "nowhere.*lambdapool create nowhere")


@test
def clocks_that_differ_are_reckoned_with():
    for seconds in (1000, -1000):
        quiet()
        aws.clock = seconds
        ends, _ = pool()
        all_right(ends)
        once()


@test
def keys_that_are_wrong_say_so():
    for env, text in (({"AWS_SECRET_ACCESS_KEY": "wrong"}, "signature"),
                      ({"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "security token|credentials"),
                      ({"AWS_SESSION_TOKEN": "odd"}, "security token|credentials"),
                      ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "credentials")):
        quiet()
        ends, _ = pool(env=env, count=3)
        for end in ends.values():
            assert end["kind"] in ("lost", "cancelled"), end
        matches(ends[1]["text"], text)
        equal(ran(), {})


@test
def temporary_keys_are_renewed_while_it_runs():
    short = [aws.issue("arn:aws:sts::1:assumed-role/r/s", seconds) for seconds in (3600, 3600)]
    script = world.write("keys.sh", """#!/bin/sh
n=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) >count
[ "$n" = 0 ] && cat first.json || cat second.json
""")
    os.chmod(script, 0o755)
    for name, key in zip(("first.json", "second.json"), short):
        world.write(name, json.dumps({
            "Version": 1, "AccessKeyId": key["id"], "SecretAccessKey": key["secret"], "SessionToken": key["token"],
            "Expiration": aws_services.iso(time.time() + 3600)}))
    world.write(".aws/config", f"[profile p]\ncredential_process = {script}\n")
    short[0]["expires"] = 0  # it says an hour, but AWS has ended it
    env = {"AWS_PROFILE": "p", "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    ends, _ = pool(env=env)
    all_right(ends)
    once()
    equal(world.read("count").strip(), "2")


@test
def functions_that_fail_end_their_tasks_as_they_do_here():
    ends, _ = pool("timeout = 1,", body="""
      if x == 1 then os.exit(3) end
      if x == 2 then error "no such luck" end
      if x == 3 then while true do end end
      if x == 4 then error { code = 4 } end
      if x == 5 then os.execute "kill -9 $PPID" end
      return x * x""", count=8)
    kinds = {i: end.get("kind") for i, end in ends.items()}
    equal(kinds, {1: "crashed", 2: "error", 3: "timeout", 4: "error", 5: "crashed", 6: None, 7: None, 8: None})
    matches(ends[1]["text"], "exit")
    once()


@test
def what_crashed_has_its_log_and_its_request():
    ends, _ = pool("timeout = 5,", body='print("before " .. x) io.stdout:flush() os.exit(3)', count=1)
    equal(ends[1]["kind"], "crashed")
    matches(ends[1]["request"] or "", r"^[0-9a-f-]{36}$")
    matches(ends[1]["log"] or ends[1]["text"], "before 1")


@test
def what_tasks_print_arrives():
    _, result = pool(body='print("here " .. x) return x * x', count=5)
    for i in range(1, 6):
        matches(result.err + result.out, f"here {i}\\b")


@test
def a_long_log_says_where_the_rest_is():
    _, result = pool(body='for i = 1, 2000 do print("line " .. i) end return x * x', count=1)
    matches(result.err + result.out, "line 2000")
    matches(result.err, r"lambdapool logs f --request [0-9a-f-]{36}")


@test
def results_and_arguments_of_megabytes_travel():
    ends, _ = pool(body='return x * x, ("y"):rep(4000000)', count=2)
    all_right(ends)
    ends, _ = pool(body='return x * x + #big - #big', count=2, prelude='local big = ("z"):rep(3000000)\n')
    all_right(ends)
    ends, _ = pool(body="""
      local noise = {}
      for i = 1, 900000 do noise[i] = string.pack("<I8", math.random(0)) end
      return x * x, table.concat(noise)""", count=2)
    equal({end.get("kind") for end in ends.values()}, {"too_large"})


@test
def the_budget_ends_it():
    result = world.script(job("max_cost = 0.000004, workers = 1,", count=60))
    equal(result.code, 6)
    ends = [json.loads(line) for line in result.out.splitlines()]
    cancelled = [end for end in ends if end.get("kind") == "cancelled"]
    assert 0 < len(cancelled) < 60, len(cancelled)
    matches(cancelled[0]["text"], r"budget of \$")
    equal(len(invokes()) + len(cancelled), 60)


@test
def it_comes_back_while_we_try():
    aws.on("Invoke", refuse(409, "ResourceConflictException", "The operation cannot be performed at this time. The "
                            "function is currently in the following state: Pending"), times=3)
    ends, _ = pool(count=4)
    all_right(ends)
    once()


@test
def nothing_was_sent_that_no_client_sends():
    equal(aws.violations, [])
    equal(world.leaks, [])


if __name__ == "__main__":
    test.main("pools: ", quiet, aws, world)
