#!/usr/bin/python3
"""Pools on an AWS that throttles, resets, stalls and lies. Prints TAP."""

import os
import random
import re
import signal
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_jobs import all_right, aws, invokes, job, once, pool, quiet, ran, stats, world
from aws_simulator import changed, cut, never, refuse, reset_after, reset_before, say, send, slow, throttle
from aws_support import Tests, check_complaint
from serve_server import equal, eventually, matches

test = Tests()


@test
def a_thousand_at_once_share_their_connections():
    ends, _ = pool("workers = 200,", count=400)
    all_right(ends)
    once()
    assert aws.accepted <= 230 + 40, aws.accepted


@test
def throttling_is_waited_out():
    aws.on("Invoke", throttle(), times=12)
    ends, _ = pool()
    all_right(ends)
    once()
    equal(len(invokes()), 20)


@test
def retry_after_is_waited_for():
    aws.on("Invoke", throttle(retry_after=2), times=1)
    ends, _ = pool(count=1)
    all_right(ends)
    first, second = invokes()
    assert second.time - first.time > 1.9, second.time - first.time


@test
def what_retry_after_says_may_be_nonsense():
    for value in ("-5", "abc", "", "nan", "-1e999", "Wed, 21 Oct 2015 07:28:00 GMT"):
        quiet()
        aws.on("Invoke", throttle(retry_after=value), times=2)
        ends, _ = pool(count=2)
        all_right(ends)


@test
def reserved_concurrency_of_zero_is_hopeless():
    aws.account.concurrency["f"] = 0
    ends, _ = pool(count=3)
    for end in ends.values():
        equal(end["kind"], "throttled")
        matches(end["text"], "ReservedFunctionConcurrentInvocationLimitExceeded|reserved concurrency")
    equal(ran(), {})


@test
def a_request_that_was_reset_is_not_sent_again():
    aws.on("Invoke", reset_before(), times=3)
    ends, _ = pool()
    kinds = [end.get("kind") for end in ends.values()]
    equal((kinds.count("lost"), kinds.count(None)), (3, 5))
    equal(len(invokes()), 8)
    once()


@test
def nor_is_one_whose_answer_was_cut_off_anywhere():
    for count in (0, 1, 9, 40, 120, 400):
        quiet()
        aws.on("Invoke", reset_after(count), times=2)
        ends, _ = pool(count=5)
        kinds = [end.get("kind") for end in ends.values()]
        equal((count, kinds.count("lost"), kinds.count(None)), (count, 2, 3))
        equal(len(invokes()), 5)
        once()
        equal(len(ran()), 5)


@test
def nor_on_a_connection_that_was_used_before():
    used = set()

    def again(exchange):
        if exchange.writer in used:
            return True
        used.add(exchange.writer)
        return False
    aws.on("Invoke", reset_before(), times=4, when=again)
    ends, _ = pool("workers = 2,", count=12)
    kinds = [end.get("kind") for end in ends.values()]
    equal((kinds.count("lost"), kinds.count(None)), (4, 8))
    equal(len(invokes()), 12)
    once()


@test
def connections_that_aws_closed_in_between_are_noticed():
    async def close(exchange):
        exchange.writer.write(await exchange.proceed())
        await exchange.writer.drain()
    aws.on("Invoke", close)
    result = world.script("""local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "f", workers = 1, progress = false }
        for i = 1, 5 do
          io.write(pool:apply(function() return i end), " ")
          os.execute "sleep 0.05" -- the end of the connection is here by then
        end""")
    equal((result.code, result.out), (0, "1 2 3 4 5 "))
    equal(len(invokes()), 5)


@test
def retries_send_it_again():
    aws.on("Invoke", reset_before(), times=4)
    aws.on("Invoke", reset_after(5), times=2)
    ends, _ = pool("retries = 6,")
    all_right(ends)
    equal(len(invokes()), 14)


@test
def failures_of_the_service_are_not_sent_again():
    for status, code in ((500, "ServiceException"), (502, "EC2UnexpectedException"), (503, "ServiceUnavailable"),
                         (504, "GatewayTimeout")):
        quiet()
        aws.on("Invoke", refuse(status, code, "it broke"), times=2)
        ends, _ = pool(count=4)
        lost = [end for end in ends.values() if end.get("kind")]
        equal([end["kind"] for end in lost], ["lost"] * 2)
        for end in lost:
            matches(end["text"], f"it broke|{status}")
        equal(len(invokes()), 4)


@test
def answers_that_are_none_end_their_task_and_no_other():
    huge = b"HTTP/1.1 200 OK\r\n" + b"X-Fill: " + b"y" * 8000 + b"\r\n"
    lies = {
        "html": say(200, {"Content-Type": "text/html"}, b"<html><body>Please log in to the WiFi</body></html>"),
        "empty": say(200, {}, b""), "null": say(200, {}, b"null"), "text": say(200, {}, b"hello"),
        "json": say(200, {}, b'{"status":"ok"}'), "binary": say(200, {}, bytes(range(256)) * 40),
        "array": say(200, {}, b"[[[[" * 20000),
        "cut": cut(4), "cut at all": cut(0), "not http": send(b"SSH-2.0-OpenSSH_9.2\r\n"), "nothing": send(b""),
        "other http": send(b"HTTP/9.9 200 OK\r\n\r\n"), "old http": send(b"HTTP/1.0 200 OK\r\n\r\n{}"),
        "zeros": send(b"\0" * 4096), "short": send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
        "two lengths": send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc"),
        "negative": send(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc"),
        "endless": send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc"),
        "bad chunks": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
        "cut chunks": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        "huge headers": send(huge + b"X-More: 1\r\n" * 200000 + b"\r\n"),
        "redirect": say(301, {"Location": "http://127.0.0.1:1/"}, b""),
        "redirect to itself": say(307, {"Location": "/"}, b""), "204": say(204, {}, b""), "304": say(304, {}, b""),
        "418": say(418, {}, b"teapot"), "401": say(401, {"WWW-Authenticate": "Basic"}, b""),
        "continue for ever": send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + b"HTTP/1.1 200 OK\r\n\r\n"),
        "202": say(202, {}, b""), "a zip": say(200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08nonsense"),
    }
    for name, action in lies.items():
        quiet()
        aws.on("Invoke", action, times=1)
        ends, _ = pool("workers = 2,", count=3)
        bad = [end for end in ends.values() if end.get("kind")]
        # What looks like a refusal may end tasks that wait, too.
        if not 1 <= len(bad) <= (3 if name in ("418", "401") else 1) or bad[0]["kind"] != "lost":
            raise AssertionError(f"{name}: {list(ends.values())}")
        assert "traceback" not in bad[0]["text"] and ".lua:" not in bad[0]["message"], (name, bad)
        assert len(bad[0]["message"]) < 2000, (name, "a long message")
        assert len(invokes()) <= 3, name


@test
def lies_about_function_errors_are_survived():
    for headers, body in (({"X-Amz-Function-Error": "Unhandled"}, b""), ({"X-Amz-Function-Error": "Unhandled"}, b"null"),
                          ({"X-Amz-Function-Error": "Unhandled"}, b'"text"'),
                          ({"X-Amz-Function-Error": "Unhandled"}, b'{"errorType":7,"errorMessage":[]}'),
                          ({"X-Amz-Function-Error": "Handled"}, b"<html>"),
                          ({"X-Amz-Function-Error": "\x01\xff"}, b'{"errorMessage":"\\u0000\\ud800"}')):
        quiet()
        aws.on("Invoke", say(200, headers, body), times=1)
        ends, _ = pool("workers = 2,", count=3)
        equal(len([end for end in ends.values() if end.get("kind")]), 1)


@test
def log_tails_that_are_none_are_survived():
    for tail in ("!!!", "", "AAAA", "/" * 40000, "UkVQT1JUIFJlcXVlc3RJZDogCUR1cmF0aW9uOiB4IG1zCUJpbGxlZCBEdXJhdGlvbjogLTEgbXM="):
        quiet()

        def replace(answer, _, tail=tail):
            return re.sub(rb"X-Amz-Log-Result: [^\r]*", b"X-Amz-Log-Result: " + tail.encode(), answer)
        aws.on("Invoke", changed(replace), times=4)
        ends, result = pool("workers = 2,", count=4)
        all_right(ends)
        assert stats(result)["cost"] >= 0


CROWD = """
local lambdapool = require "lambdapool"
local pool <close> = lambdapool.pool { function_name = "f", workers = 600, progress = false }
local items, kinds = {}, {}
for i = 1, arg[1] do items[i] = i end
for _, value, err in pool:each(function() return 7 end, items, { chunksize = 1 }) do
  local kind = err and err.kind or value
  kinds[kind] = (kinds[kind] or 0) + 1
end
print(kinds[7] or 0, kinds.lost or 0, kinds.throttled or 0)
"""


def crowd(count):
    """How many tasks of a crowd went well, were lost, and were throttled."""
    result = world.script(CROWD, str(count))  # the same text: answers tell which code ran
    equal((result.code, result.err), (0, ""))
    return [int(word) for word in result.out.split()]


@test
def hundreds_in_flight_end_as_each_of_them_did():
    async def keep(exchange):
        answer = await exchange.proceed()
        aws.canned = answer.partition(b"\r\n\r\n")[2]
        return answer
    aws.on("Invoke", keep, times=1)
    equal(crowd(1), [1, 0, 0])
    quiet()
    chance, count = random.Random(11), {"lost": 0, "throttled": 0}
    actions = [(reset_before(), "lost"), (reset_after(0), "lost"), (reset_after(200), "lost"), (cut(2), "lost"),
               (send(b"junk"), "lost"), (refuse(500, "ServiceException"), "lost"), (throttle(), "throttled"),
               (slow(0.5), None)]

    async def anything(exchange):
        if chance.random() > 0.2:
            return await exchange.proceed()
        action, kind = chance.choice(actions)
        if kind:
            count[kind] += 1
        return await action(exchange)
    aws.on("Invoke", anything)
    well, lost, throttled = crowd(3000)
    aws.canned = None
    equal((well + lost, lost, throttled), (3000, count["lost"], 0))
    equal(len(invokes()), 3000 + count["throttled"])


@test
def cancelled_tasks_end_and_take_no_others_along():
    aws.on("Invoke", slow(0.2), when=lambda _: len(invokes()) % 3 == 0)
    aws.on("Invoke", reset_before(), when=lambda _: len(invokes()) % 7 == 0)
    result = world.script("""local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "f", workers = 40, retries = 20, progress = false }
        local results, ends = {}, {}
        for i = 1, 200 do results[i] = pool:apply_async(function() return i end) end
        pool:poll(0.05)
        for i = 1, 200, 2 do results[i]:cancel() end
        for i = 1, 200 do
          local ok, value = pcall(results[i].get, results[i])
          local how = ok and (value == i and "well" or "wrong") or value.kind
          ends[how] = (ends[how] or 0) + 1
        end
        local again = pool:apply(function() return "again" end)
        print(ends.well + ends.cancelled, ends.well >= 100, again)""")
    equal((result.code, result.out), (0, "200\ttrue\tagain\n"))


@test
def nobody_is_there():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        ends, _ = pool(env={"AWS_ENDPOINT_URL": url}, count=3)
    for end in ends.values():
        assert end["kind"] in ("lost", "cancelled"), end
    matches(ends[1]["text"], re.escape(url.removeprefix("http://")))


@test
def ctrl_c_ends_it_at_once():
    aws.on("Invoke", never())
    world.write("job.lua", job(count=100))
    process = world.start("run", "job.lua")
    eventually(lambda: len(invokes()) >= 4)
    process.send_signal(signal.SIGINT)
    result = world.finish(process, 20)
    equal(result.code, 130)
    matches(result.err, "interrupted")
    check_complaint("ctrl-c", result)


@test
def every_task_ends_whatever_happens():
    chance = random.Random(7)
    actions = [throttle(), throttle(1), reset_before(), reset_after(0), reset_after(50), cut(2), slow(0.2),
               refuse(500, "ServiceException"), refuse(503, "ServiceUnavailable"), say(200, {}, b"<html>"),
               say(200, {"X-Amz-Function-Error": "Unhandled"}, b"{}"), send(b"junk")]

    async def anything(exchange):
        if chance.random() < 0.3:
            return await chance.choice(actions)(exchange)
        return await exchange.proceed()
    aws.on("Invoke", anything)
    ends, _ = pool("workers = 16,", count=150)
    for i, end in ends.items():
        if not end.get("kind"):
            equal(end["value"], i * i)
    once()
    quiet()
    aws.on("Invoke", anything)
    ends, _ = pool("workers = 16, retries = 20,", count=150)
    all_right(ends)


@test
def nothing_was_sent_that_no_client_sends():
    equal(aws.violations, [])
    equal(world.leaks, [])


if __name__ == "__main__":
    test.main("hostile: ", quiet, aws, world)
