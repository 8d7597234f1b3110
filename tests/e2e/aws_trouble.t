#!/usr/bin/python3
"""The commands on an AWS that refuses, fails and lies, and commands that are interrupted, killed and started twice.
Prints TAP."""

import os
import signal
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_account import aws, create, fresh, nothing_left, world
from aws_simulator import deny, hold, refuse, reset_after, reset_before, say, throttle
from aws_support import Tests, Watcher, children_of
from serve_server import equal, eventually, matches

test = Tests()


@test
def refusals_name_the_action_and_what_to_do():
    aws.on("CreateRole", deny("iam:CreateRole", "arn:aws:iam::444455556666:role/lambdapool/lambdapool-f"))
    result = world.bad(4, "create", "f", "algorithms")
    matches(result.err, "iam:CreateRole")
    matches(result.err, "--role|lambdapool permissions policy --for deployer")
    nothing_left()
    fresh()
    aws.on("CreateFunction", deny("lambda:CreateFunction"))
    matches(world.bad(4, "create", "f", "algorithms").err, "lambda:CreateFunction")
    nothing_left()
    fresh()
    aws.on("ListFunctions", deny("lambda:ListFunctions"))
    matches(world.bad(4, "list").err, "lambda:ListFunctions")


@test
def a_create_that_fails_takes_back_what_it_made():
    for action in (refuse(400, "InvalidParameterValueException", "no such thing"), refuse(500, "ServiceException"),
                   refuse(400, "CodeStorageExceededException", "too much")):
        fresh()
        aws.on("CreateFunction", action)
        assert world.run("create", "f", "algorithms").code in (1, 5)
        nothing_left()


@test
def a_role_that_cannot_be_taken_back_is_named():
    aws.on("CreateFunction", refuse(400, "InvalidParameterValueException", "no such thing"))
    aws.on("DeleteRole", deny("iam:DeleteRole"))
    matches(world.bad(1, "create", "f", "algorithms").err, "lambdapool-f")


@test
def throttling_and_failures_in_between_are_survived():
    for name in ("CreateRole", "PutRolePolicy", "CreateFunction", "GetFunction"):
        for action in (throttle(), refuse(503, "ServiceUnavailable"), reset_before()):
            fresh()
            aws.on(name, action, times=1)
            create()
            assert "f" in aws.account.functions and "lambdapool-f" in aws.account.roles


@test
def an_answer_that_was_lost_is_not_a_conflict():
    for name in ("CreateRole", "CreateFunction"):
        fresh()
        aws.on(name, reset_after(0), times=1)
        result = world.run("create", "f", "algorithms")
        if result.code:  # it may say that the function is there now, not leave half of it
            matches(result.err, "lambdapool (update|deploy) f|lambdapool-f")
        else:
            assert "f" in aws.account.functions


@test
def endless_throttling_ends():
    aws.on("ListFunctions", throttle())
    matches(world.bad(5, "list").err, "Rate Exceeded|throttl")
    assert len(aws.calls("ListFunctions")) <= 6


@test
def lies_are_no_crash():
    for body in (b"", b"null", b"[]", b"7", b'"x"', b"{", b"<html>", b'{"Functions":7}', b'{"Functions":[7]}',
                 b'{"Functions":[{}]}', b'{"Functions":null}', b"\xff\xfe", b"[" * 100000):
        for status in (200, 400, 403, 404, 500):
            fresh()
            aws.on("ListFunctions", say(status, {"Content-Type": "application/json"}, body, run=False))
            result = world.run("list", "--json", env={"AWS_MAX_ATTEMPTS": "1"})
            assert "traceback" not in result.err and ".lua:" not in result.err, (status, body, result)
            assert result.code in (0, 1, 3, 4, 5), (status, body, result)
            if status != 200:
                assert result.code != 0, (status, body, result)


@test
def a_marker_that_never_ends_is_noticed():
    aws.on("ListFunctions", say(200, {}, b'{"Functions":[],"NextMarker":"same"}', run=False))
    result = world.run("list", seconds=30)
    assert "traceback" not in result.err, result
    assert len(aws.calls("ListFunctions")) < 1000


@test
def invoke_is_sent_once():
    create()
    for action in (reset_before(), refuse(500, "ServiceException"), refuse(503, "ServiceUnavailable")):
        aws.calm()
        aws.on("Invoke", action)
        assert world.run("invoke", "f", "{}").code == 1
        equal(len(aws.calls("Invoke")), 1)


@test
def nothing_is_known_of_keys_and_region():
    none = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    for command in (("list",), ("create", "f", "algorithms"), ("whoami",), ("logs", "f"), ("invoke", "f", "{}"),
                    ("layers", "list"), ("delete", "f", "-y")):
        matches(world.bad(4, *command, env=none).err, "credentials")
        result = world.run(*command, env={"AWS_REGION": None})
        if command != ("whoami",):
            assert result.code in (1, 2, 4), (command, result)
            matches(result.err, "region")
    assert "whatever" not in world.run("list", env={"AWS_SECRET_ACCESS_KEY": "whatever"}).err


@test
def expired_and_wrong_keys():
    old = aws.issue("arn:aws:sts::1:assumed-role/r/s", -10)
    env = {"AWS_ACCESS_KEY_ID": old["id"], "AWS_SECRET_ACCESS_KEY": old["secret"], "AWS_SESSION_TOKEN": old["token"]}
    matches(world.bad(4, "list", env=env).err, "expired")
    matches(world.bad(4, "list", env={"AWS_SECRET_ACCESS_KEY": "wrong"}).err, "signature|secret")
    matches(world.bad(4, "list", env={"AWS_ACCESS_KEY_ID": "AKIANOBODY"}).err, "security token")


@test
def ctrl_c_in_the_middle_of_create_leaves_nothing():
    for name in ("CreateRole", "PutRolePolicy", "CreateFunction", "GetFunctionConfiguration"):
        fresh()
        release = threading.Event()
        aws.account.pending_looks = 1000
        rule = aws.on(name, hold(release))
        process = world.start("create", "f", "algorithms")
        eventually(lambda rule=rule: rule.times < -1)
        process.send_signal(signal.SIGINT)
        release.set()
        result = world.finish(process)
        equal((name, result.code), (name, 130))
        for left in list(aws.account.functions) + list(aws.account.roles):
            assert left in result.err, (name, left, result)


@test
def kill_9_in_the_middle_of_create_can_be_repaired():
    for name in ("CreateRole", "PutRolePolicy", "CreateFunction"):
        fresh()
        release = threading.Event()
        rule = aws.on(name, hold(release), times=1)
        process = world.start("create", "f", "algorithms")
        eventually(lambda rule=rule: rule.times == 0)
        process.kill()
        process.communicate()
        release.set()
        result = world.run("deploy", "f", "algorithms")
        equal((name, result.code), (name, 0)) if result.code == 0 else matches(result.err, "lambdapool")
        world.good("deploy", "f", "algorithms")
        assert aws.account.roles["lambdapool-f"]["inline"], (name, "the role has its policy")
        world.good("delete", "f", "-y")
        nothing_left()


@test
def two_creates_at_once_make_one_function():
    processes = [world.start("create", "f", "algorithms") for _ in range(3)]
    results = [world.finish(p) for p in processes]
    equal(sorted(r.code for r in results)[0], 0)
    for result in results:
        assert result.code in (0, 1), result
        assert "traceback" not in result.err, result
    assert "f" in aws.account.functions and "lambdapool-f" in aws.account.roles
    equal(aws.account.functions["f"].configuration["Role"], aws.account.roles["lambdapool-f"]["Arn"])


@test
def two_updates_at_once_lose_nothing():
    create("f", "--env", "ZERO=0")
    processes = {name: world.start("update", "f", "--env", f"{name}=1") for name in ("ONE", "TWO", "THREE")}
    expected = {"ZERO": "0"}
    for name, process in processes.items():
        result = world.finish(process)
        if result.code == 0:
            expected[name] = "1"
        else:  # it was overtaken too often
            equal(result.code, 1)
            matches(result.err, "somebody else has changed f")
    assert len(expected) > 1, "one of them gets through"
    equal(aws.account.functions["f"].configuration["Environment"]["Variables"], expected)


@test
def secrets_are_nowhere():
    aws.calm()
    with Watcher(world.secrets) as watcher:
        create("f")
        world.good("show", "f")
        world.good("whoami")
        world.good("config", "show")
        world.run("list", env={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"})
    equal(watcher.found, [])
    equal(world.leaks, [])
    for exchange in aws.calls():
        body = exchange.request.body + exchange.request.target.encode()
        assert not any(secret.encode() in body for secret in world.secrets), exchange.name
    for name in aws.account.functions:
        assert not any(secret.encode() in aws.account.functions[name].archive for secret in world.secrets)


@test
def nothing_was_sent_that_no_client_sends():
    equal(aws.violations, [])
    equal(children_of(world.folder), [])


if __name__ == "__main__":
    test.main("trouble: ", fresh, aws, world)
