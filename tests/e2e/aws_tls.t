#!/usr/bin/python3
"""HTTPS as AWS speaks it: the real host names through a proxy, certificates of an authority of our own, and everything
that can be wrong with them. Prints TAP."""

import atexit
import os
import random
import re
import shutil
import socket
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_proxy import Proxy, authority, certificate
from aws_simulator import Simulator, cut, refuse, reset_after, reset_before, send, throttle
from aws_support import Tests, World, add_function
from serve_server import equal, matches, package

folder = tempfile.mkdtemp()
CA, OTHER = authority(folder), authority(folder, "other")
aws = Simulator(certificate(folder, CA))
proxy = Proxy(aws.port)
world = World(aws)
# No endpoint: whoever reaches the simulator does so by the real names.
world.environment.update(AWS_ENDPOINT_URL="", HTTPS_PROXY=proxy.url, AWS_CA_BUNDLE=CA)
del world.environment["AWS_ENDPOINT_URL"]
DIRECT = {"HTTPS_PROXY": None, "AWS_ENDPOINT_URL": aws.url}
test = Tests()

JOB = """local lambdapool = require "lambdapool"
local pool <close> = lambdapool.pool { function_name = "f", workers = 4, progress = false }
local sum = 0
for _, y in ipairs(pool:map(function(x) return x * x end, { 1, 2, 3, 4, 5, 6, 7, 8 }, { chunksize = 1 })) do
  sum = sum + y
end
print(sum)"""


def refused(pattern, env, command=("list",)):
    """It fails as failures of the network do, sends nothing, and says why."""
    count = len(aws.calls())
    result = world.bad(1, *command, env={"AWS_MAX_ATTEMPTS": "1", **env})
    equal(len(aws.calls()), count)
    matches(result.err, pattern)
    return result


@test
def the_real_names_through_a_proxy():
    equal(world.good("create", "g", "algorithms", "--json").json()["name"], "g")
    world.good("whoami")
    world.good("logs", "g") if "/aws/lambda/g" in aws.account.groups else None
    hosts = {line.split()[1] for line in proxy.hosts}
    assert {"lambda.us-east-1.amazonaws.com:443", "iam.amazonaws.com:443"} <= hosts, hosts
    assert any(re.match(r"sts(\.us-east-1)?\.amazonaws\.com:443", host) for host in hosts), hosts
    assert all(re.match(r"CONNECT \S+ HTTP/1\.1", line) for line in proxy.hosts), proxy.hosts


@test
def pools_through_a_proxy_share_their_tunnels():
    proxy.hosts.clear()
    result = world.script(JOB)
    equal((result.code, result.out), (0, "204\n"))
    assert len(proxy.hosts) <= 8, proxy.hosts


@test
def without_a_proxy():
    world.good("list", env=DIRECT)
    result = world.script(JOB, env=DIRECT)
    equal((result.code, result.out), (0, "204\n"))
    world.good("list", env={"NO_PROXY": "127.0.0.1", "AWS_ENDPOINT_URL": aws.url})


@test
def bundles_of_profiles_count_as_well():
    world.write(".aws/config", f"[default]\nca_bundle = {CA}\n")
    try:
        world.good("list", env={**DIRECT, "AWS_CA_BUNDLE": None})
    finally:
        os.remove(world.folder + "/.aws/config")


@test
def strangers_certificates_are_refused():
    refused("(?i)certificate.*AWS_CA_BUNDLE", {"AWS_CA_BUNDLE": None, **DIRECT})
    refused("(?i)certificate", {"AWS_CA_BUNDLE": OTHER, **DIRECT})
    refused("(?i)certificate", {"AWS_CA_BUNDLE": None})


@test
def bundles_that_are_none():
    for text in ("", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        path = world.write("broken.pem", text)
        refused("broken.pem", {"AWS_CA_BUNDLE": path, **DIRECT})
    refused("nowhere.pem", {"AWS_CA_BUNDLE": world.folder + "/nowhere.pem", **DIRECT})


@test
def certificates_of_other_names_and_times_are_refused():
    wrong = Simulator(certificate(folder, CA, "wrong", "DNS:example.com"))
    url = {"HTTPS_PROXY": None, "AWS_ENDPOINT_URL": wrong.url}
    refused("(?i)certificate|name", url)
    equal(wrong.calls(), [])
    wrong.close()
    late = Simulator(certificate(folder, CA, "late", days=-1))
    refused("(?i)certificate|expired", {"HTTPS_PROXY": None, "AWS_ENDPOINT_URL": late.url})
    equal(late.calls(), [])
    late.close()


@test
def pools_say_so_too():
    result = world.script(JOB, env={"AWS_CA_BUNDLE": OTHER})
    equal(result.code, 1)
    matches(result.err, "(?i)certificate")
    assert "stack traceback:\n\t[C]" not in result.err


@test
def proxies_with_passwords():
    closed = Proxy(aws.port, "me:s3cret-pw")
    world.secrets.add("s3cret-pw")
    address = closed.url.removeprefix("http://")
    world.good("list", env={"HTTPS_PROXY": f"http://me:s3cret-pw@{address}"})
    result = refused("407|password|HTTPS_PROXY", {"HTTPS_PROXY": f"http://me:no@{address}"})
    assert "me:no" not in result.err, result
    refused("407|password|HTTPS_PROXY", {"HTTPS_PROXY": f"http://{address}"})
    closed.login = None
    for answer in (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 502 Bad\r\n\r\n", b"junk\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"):
        closed.answer = answer
        refused("proxy|tls|TLS|SSL|connect", {"HTTPS_PROXY": f"http://me:s3cret-pw@{address}"})
    closed.close()


@test
def proxies_that_are_not_there():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused("(?i)proxy|connect", {"HTTPS_PROXY": f"http://127.0.0.1:{nobody.getsockname()[1]}"})
    refused("(?i)proxy", {"HTTPS_PROXY": "http://proxy.invalid:3128"})


@test
def the_other_end_is_no_tls_server():
    for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""):
        listener = socket.create_server(("127.0.0.1", 0))

        def hang_up(listener=listener, answer=answer):
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(answer)
                connection.close()
        threading.Thread(target=hang_up, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        refused("(?i)tls|ssl|secure|connect|reset", {"HTTPS_PROXY": None, "AWS_ENDPOINT_URL": url})
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@test
def resets_and_lies_within_tls_lose_and_repeat_nothing():
    chance = random.Random(3)
    actions = [throttle(), reset_before(), reset_after(0), reset_after(60), cut(2), send(b"junk"),
               refuse(500, "ServiceException")]

    async def anything(exchange):
        return await (chance.choice(actions)(exchange) if chance.random() < 0.3 else exchange.proceed())
    aws.on("Invoke", anything)
    for env in (DIRECT, {}):
        result = world.script(JOB.replace("workers = 4", "workers = 16, retries = 20"), env=env)
        equal((result.code, result.out), (0, "204\n"))
    aws.calm()


@test
def the_local_service_needs_no_proxy():
    result = world.good("list", "--json", env={"LAMBDAPOOL_BACKEND": "local", "HTTP_PROXY": "http://127.0.0.1:1",
                                              "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})
    equal(result.json(), [])


@test
def other_partitions():
    proxy.hosts.clear()
    world.run("list", env={"AWS_REGION": "cn-north-1"})
    equal({line.split()[1] for line in proxy.hosts}, {"lambda.cn-north-1.amazonaws.com.cn:443"})


@test
def nothing_was_sent_that_no_client_sends():
    equal(aws.violations, [])
    equal(world.leaks, [])


if __name__ == "__main__":
    add_function(aws, package(b"return {}"))
    atexit.register(shutil.rmtree, folder)
    test.main("tls: ", lambda: None, proxy, aws, world)
