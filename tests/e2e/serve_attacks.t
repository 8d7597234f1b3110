#!/usr/bin/python3
"""What happens to `lambdapool serve` at the hands of others: broken HTTP, stolen and altered requests, hostile
archives, kill -9 while it writes, crowds. Prints TAP."""

import concurrent.futures
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
import io

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from serve_server import BUILD, KEYS, REGION, ROLE, Server, archive, equal, eventually, matches, package, run

APP = b"""
local app = {}
function app.echo(event) return event end
function app.nap(event) os.execute("sleep " .. event.seconds) return "awake" end
function app.leave() os.execute("sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid") return "left" end
return app
"""
PACKAGE = package(APP)
CREDENTIALS = Credentials(KEYS["aws_access_key_id"], KEYS["aws_secret_access_key"])

folder = tempfile.mkdtemp()
server = Server(folder)
tests = []


def test(function):
    tests.append(function)
    return function


def create(client, name, handler="app.echo", code=PACKAGE, **options):
    client.create_function(FunctionName=name, Runtime="provided.al2023", Role=ROLE, Handler=handler,
                           Code={"ZipFile": code}, Timeout=20, **options)
    client.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})


def connect():
    port = int(server.url.rsplit(":", 1)[1])
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def talk(text):
    """What the server answers to these bytes, until it closes or nothing more can come."""
    with connect() as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer.decode("latin-1")


def signed(method="GET", path="/2015-03-31/functions/", body=b"", headers=None):
    request = AWSRequest(method, server.url + path, headers or {}, body)
    SigV4Auth(CREDENTIALS, "lambda", REGION).add_auth(request)
    return request


def send(request, method=None, path=None, body=None, **headers):
    """Sends a signed request, altered as asked; its status and text."""
    prepared = request.prepare()
    fields = {**prepared.headers, **headers}
    url = server.url + path if path else prepared.url
    data = body if body is not None else prepared.body
    try:
        with urllib.request.urlopen(urllib.request.Request(
                url, data or None, fields, method=method or prepared.method)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def works():
    status, text = send(signed())
    equal(status, 200)
    json.loads(text)["Functions"]


@test
def broken_http_is_refused_and_harms_nobody():
    line = b"GET / HTTP/1.1\r\nHost: x\r\n"
    for text, status in {
            b"\x00\x01\x02\x03\r\n\r\n": "400", b"GET\r\n\r\n": "400",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "400",
            line + b"Content-Length: x\r\n\r\n": "400", line + b"Content-Length: -1\r\n\r\n": "400",
            line + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab": "400",
            line + b"Content-Length: 99999999999999999999\r\n\r\n": "4",
            line + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n": "400",
            line + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n": "400",
            line + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n": "4",
            line + b"X: " + b"y" * 100000 + b"\r\n\r\n": "431",
            line + b"X: y\r\n" * 20000 + b"\r\n": "431",
            b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n": "4",
            line + b"X: a\x00b\r\n\r\n": "4", b"GET /\x00 HTTP/1.1\r\n\r\n": "4",
            b"GET / HTTP/9.9\r\nHost: x\r\n\r\n": "", b"": ""}.items():
        answer = talk(text)
        if status:
            matches(answer, "^HTTP/1\\.[01] " + status)
    works()


@test
def random_bytes_harm_nobody():
    chance = random.Random(4)
    whole = b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnull"
    for _ in range(300):
        text = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        talk(bytes(text[:chance.randrange(1, len(text) + 1)]))
    works()


@test
def half_requests_hold_nobody_up():
    open_ones = []
    for _ in range(200):
        connection = connect()
        connection.sendall(b"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: x\r\nContent-Le")
        open_ones.append(connection)
    works()
    for connection in open_ones:
        connection.close()
    works()


@test
def altered_requests_are_refused():
    client = server.client("lambda")
    create(client, "target")
    path = "/2015-03-31/functions/target/invocations"

    def request():
        return signed("POST", path, b'{"a":1}', {"X-Amz-Log-Type": "Tail"})
    equal(send(request())[0], 200)
    for change in ({"body": b'{"a":2}'}, {"method": "PUT"}, {"path": path + "?Qualifier=1"},
                   {"path": path + "/"}, {"X-Amz-Log-Type": "None"},
                   {"X-Amz-Date": "20200101T000000Z"}):
        status, text = send(request(), **change)
        equal((change, status), (change, 403))
        matches(text, "ignature")
    # Not signed, so anybody may have added it: AWS does not look at such headers either way.
    status, text = send(signed("GET"), Authorization="AWS4-HMAC-SHA256 Credential=x")
    equal(status, 403)
    matches(text, "requires|Missing|Authorization|Incomplete|signature")
    status, text = send(signed("GET"), Authorization="Basic eDp5")
    equal(status, 403)
    client.delete_function(FunctionName="target")


@test
def old_and_future_requests_are_refused():
    from unittest import mock
    import datetime
    for minutes, text in ((-6, "Signature expired"), (6, "Signature not yet current")):
        moment = datetime.datetime.utcnow() + datetime.timedelta(minutes=minutes)
        with mock.patch("botocore.auth.datetime") as clock:
            clock.datetime.utcnow.return_value = moment
            request = signed()
        status, answer = send(request)
        equal(status, 403)
        matches(answer, text)


@test
def presigned_addresses_work_until_they_expire():
    def address(seconds):
        request = AWSRequest("GET", server.url + "/2015-03-31/functions/")
        SigV4QueryAuth(CREDENTIALS, "lambda", REGION, expires=seconds).add_auth(request)
        return request.url
    with urllib.request.urlopen(address(60)) as answer:
        equal(answer.status, 200)
    short = address(1)

    def expired():
        try:
            urllib.request.urlopen(short).close()
            return None
        except urllib.error.HTTPError as error:
            return error.code
    equal(eventually(expired), 403)


@test
def hostile_archives_are_refused():
    client = server.client("lambda")

    def refused(code, pattern):
        try:
            create(client, "hostile", code=code)
        except ClientError as error:
            equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400)
            matches(error.response["Error"]["Message"], pattern)
            return
        raise AssertionError("it was accepted")

    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("zeros", "w") as zeros:
            for _ in range(260):
                zeros.write(bytes(1 << 20))
    refused(bomb.getvalue(), "Unzipped size must be smaller than 262144000 bytes")
    refused(PACKAGE[:-30], "Could not unzip")
    for name in ("../outside", "/absolute", "a/../../outside", "a\\..\\..\\outside"):
        refused(archive({name: (b"x", 0o644)}), "Could not unzip")
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(link, "/etc")
        file.writestr("link/passwd", "x")
    refused(out.getvalue(), "Could not unzip")
    equal([n for n in os.listdir(folder) if n not in ("data", "log")], [])


@test
def a_second_server_on_the_folder_is_refused():
    other = subprocess.run([BUILD + "/lambdapool", "serve", "--port", "0", "--dir", folder + "/data"],
                           stderr=subprocess.PIPE, timeout=60)
    equal(other.returncode, 1)
    matches(other.stderr.decode(), "in use by another server")
    works()


@test
def a_port_that_is_taken_is_named():
    port = server.url.rsplit(":", 1)[1]
    other = subprocess.run([BUILD + "/lambdapool", "serve", "--port", port, "--dir", folder + "/other"],
                           stderr=subprocess.PIPE, timeout=60)
    equal(other.returncode, 1)
    matches(other.stderr.decode(), port + ".*in use")
    shutil.rmtree(folder + "/other", ignore_errors=True)


@test
def a_crowd_is_served():
    client = server.client("lambda")
    create(client, "crowd", "app.nap", MemorySize=128)
    answers = []

    def call(i):
        request = signed("POST", "/2015-03-31/functions/crowd/invocations", b'{"seconds":0.2}')
        return send(request)
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(call, range(200)))
    equal(answers, [(200, '"awake"')] * 200)
    client.delete_function(FunctionName="crowd")


@test
def a_fan_out_can_be_rehearsed():
    place = tempfile.mkdtemp()
    other = Server(place, "--concurrency", "2", "--latency", "100")
    client = other.client("lambda")
    create(client, "sleeper", "app.nap")
    start = time.monotonic()
    equal(json.load(client.invoke(FunctionName="sleeper", Payload=b'{"seconds":0}')["Payload"]), "awake")
    if time.monotonic() - start < 0.1:
        raise AssertionError("it came before its time")
    asleep = [threading.Thread(target=send_quietly, args=[client]) for _ in range(2)]
    for thread in asleep:
        thread.start()

    def throttled():
        try:
            client.invoke(FunctionName="sleeper", Payload=b'{"seconds":0}')
            return None
        except ClientError as error:
            return error.response
    answer = eventually(throttled)
    equal((answer["Error"]["Code"], answer["Reason"]),
          ("TooManyRequestsException", "ConcurrentInvocationLimitExceeded"))
    equal(answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"], "1")
    other.kill()
    for thread in asleep:
        thread.join()
    shutil.rmtree(place)


@test
def what_functions_start_ends_with_the_server():
    place = tempfile.mkdtemp()
    other = Server(place)
    client = other.client("lambda")
    create(client, "leaver", "app.leave")
    create(client, "sleeper", "app.nap")
    equal(json.load(client.invoke(FunctionName="leaver", Payload=b"{}")["Payload"]), "left")

    def children(pid):
        found = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
        return found + [pid for child in found for pid in children(child)]

    asleep = threading.Thread(target=lambda: send_quietly(client))
    asleep.start()
    pids = eventually(lambda: (found := children(other.process.pid)) and len(found) >= 4 and found)
    other.kill()
    for pid in pids:
        eventually(lambda: not os.path.exists(f"/proc/{pid}")
                   or open(f"/proc/{pid}/stat").read().split()[2] == "Z")
    asleep.join()
    shutil.rmtree(place)


def send_quietly(client):
    try:
        client.invoke(FunctionName="sleeper", Payload=b'{"seconds":15}')
    except Exception:  # the server is killed meanwhile
        pass


def descriptions(client):
    """Of all functions, by name."""
    pages = client.get_paginator("list_functions").paginate()
    return {f["FunctionName"]: f["Description"] for page in pages for f in page["Functions"]}


@test
def nothing_acknowledged_is_lost_by_kill_9():
    chance = random.Random(9)
    place = tempfile.mkdtemp()
    known = {}
    for round_number in range(6):
        other = Server(place)
        client = other.client("lambda")
        found = descriptions(client)
        equal(found, {**found, **known})
        known = found
        killer = threading.Timer(chance.uniform(0.02, 0.3), other.process.send_signal,
                                 [signal.SIGKILL])
        killer.start()
        write_until_killed(client, known, round_number)
        other.process.wait()
    other = Server(place)
    client = other.client("lambda")
    found = descriptions(client)
    equal(set(known) - set(found), set())
    for name in sorted(found)[:3]:
        eventually(lambda: client.get_function(FunctionName=name)["Configuration"]["State"] == "Active")
        equal(json.load(client.invoke(FunctionName=name, Payload=b"[1]")["Payload"]), [1])
    other.stop()
    shutil.rmtree(place)


def write_until_killed(client, known, round_number):
    for i in range(10000):
        name = f"f{round_number}-{i}"
        try:
            client.create_function(FunctionName=name, Runtime="provided.al2023", Role=ROLE,
                                   Handler="app.echo", Code={"ZipFile": PACKAGE}, Description=name)
            known[name] = name
        except Exception:  # the server is killed in the middle of it
            return


@test
def memory_stays_flat():
    def resident():
        with open(f"/proc/{server.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def load(count):
        port = server.url.rsplit(":", 1)[1]
        text = subprocess.run([BUILD + "/tests/bench/invoke_load", port, "flat", KEYS["aws_access_key_id"],
                               KEYS["aws_secret_access_key"], "32", str(count)],
                              stdout=subprocess.PIPE, check=True, timeout=150).stdout
        equal(text.split()[-1], b"0")
    client = server.client("lambda")
    create(client, "flat")
    load(5000)
    before = resident()
    load(15000)
    after = resident()
    if after > before + 8192:
        raise AssertionError(f"from {before} to {after} KB")
    client.delete_function(FunctionName="flat")


failed = run(tests, "attacks: ")
equal(server.stop(), 0)
if failed:
    print("\n".join("# " + line for line in server.text().splitlines()[-40:]))
shutil.rmtree(folder, ignore_errors=True)
sys.exit(failed > 0)
