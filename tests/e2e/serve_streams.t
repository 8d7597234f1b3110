#!/usr/bin/python3
"""Streamed responses under `lambdapool serve`: event streams, function URLs, slow clients, and clients that leave.
Prints TAP."""

import json
import os
import shutil
import socket
import sys
import tempfile
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from serve_server import KEYS, REGION, ROLE, Server, archive, equal, eventually, matches, run

# Streams `n` chunks of `size` bytes over a connection of its own, and ends as `end` says.
STREAMER = rb"""#!/usr/bin/python3
import base64, http.client, json, os, socket
address = os.environ["AWS_LAMBDA_RUNTIME_API"]
while True:
    api = http.client.HTTPConnection(address)
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event, name = json.loads(answer.read()), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    wish = event.get("queryStringParameters", event)
    kind = "application/vnd.awslambda.http-integration-response" if "prelude" in wish else "text/plain"
    stream = socket.create_connection(address.split(":"))
    stream.sendall(("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\nContent-Type: %s\r\n"
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        % (name, kind)).encode())
    def chunk(data):
        stream.sendall(b"%x\r\n%s\r\n" % (len(data), data))
    if "prelude" in wish:
        chunk(wish["prelude"].encode() + bytes(8))
    print("streaming", flush=True)
    for i in range(int(wish.get("n", 3))):
        chunk(b"%c" % (97 + i % 26) * int(wish.get("size", 2)))
    end = wish.get("end")
    if end == "exit":
        os._exit(4)
    if end == "error":
        body = base64.b64encode(b'{"errorMessage":"oops"}')
        stream.sendall(b"0\r\nLambda-Runtime-Function-Error-Type: Function.Oops\r\n"
            b"Lambda-Runtime-Function-Error-Body: " + body + b"\r\n\r\n")
    elif end != "cut":
        stream.sendall(b"0\r\n\r\n")
        stream.recv(1000)
    stream.close()
"""

MB = 1 << 20

folder = tempfile.mkdtemp()
server = Server(folder)
aws = server.client("lambda")
tests = []


def test(function):
    tests.append(function)
    return function


def setup():
    aws.create_function(FunctionName="s", Runtime="provided.al2023", Role=ROLE, Handler="h", Timeout=60,
                        MemorySize=256, Code={"ZipFile": archive({"bootstrap": (STREAMER, 0o755)})})
    aws.get_waiter("function_active_v2").wait(
        FunctionName="s", WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})


def signed(method, path, body, headers=None):
    """Sends a signed request of what older versions of boto3 do not know; a socket to read the answer from."""
    request = AWSRequest(method, server.url + path, headers=headers or {}, data=json.dumps(body).encode())
    credentials = Credentials(KEYS["aws_access_key_id"], KEYS["aws_secret_access_key"])
    SigV4Auth(credentials, "lambda", REGION).add_auth(request)
    return send(method, server.url + path, dict(request.headers), request.data)


def start(wish):
    return signed("POST", "/2021-11-15/functions/s/response-streaming-invocations", wish, {"X-Amz-Log-Type": "Tail"})


def send(method, url, headers=(), body=b""):
    host, path = url.split("//")[1].split("/", 1)
    name, port = host.split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.connect((name, int(port)))
    lines = [f"{method} /{path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{key}: {value}" for key, value in dict(headers).items()]
    client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    client.settimeout(60)
    return client


def receive_all(client, pause=lambda: None):
    data = bytearray()
    while part := client.recv(65536):
        data += part
        pause()
    client.close()
    return bytes(data)


def receive(client, pause=lambda: None):
    """The head of the answer, its body, and whether that is complete."""
    head, _, rest = receive_all(client, pause).partition(b"\r\n\r\n")
    body, at = [], 0
    while at < len(rest):
        size, _, _ = rest[at:at + 20].partition(b"\r\n")
        start_at, length = at + len(size) + 2, int(size, 16)
        if length == 0:
            return head.decode(), b"".join(body), True
        body.append(rest[start_at:start_at + length])
        at = start_at + length + 2
    return head.decode(), b"".join(body), False


def stream(wish):
    """The bytes of all chunks, and what InvokeComplete says."""
    head, body, complete = receive(start(wish))
    matches(head, "^HTTP/1.1 200 .*[Aa]pplication/vnd.amazon.eventstream")
    equal(complete, True)
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    chunks, last = [], None
    for event in buffer:
        if event.headers[":event-type"] == "PayloadChunk":
            chunks.append(event.payload)
        else:
            last = json.loads(event.payload)
    return b"".join(chunks), last


def resident():
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def url_of(method, mode):
    """Makes (POST) or changes (PUT) the URL of the function."""
    answer = receive_all(signed(method, "/2021-10-31/functions/s/url", {"AuthType": "NONE", "InvokeMode": mode}))
    return json.loads(answer.partition(b"\r\n\r\n")[2])["FunctionUrl"]


@test
def event_streams():
    payload, last = stream({"n": 3, "size": 2})
    equal((payload, "ErrorCode" in last), (b"aabbcc", False))
    payload, last = stream({"n": 30, "size": MB})
    equal((len(payload), payload[-1:], "ErrorCode" in last), (30 * MB, b"d", False))


@test
def streams_that_fail():
    payload, last = stream({"end": "error"})
    equal((payload, last["ErrorCode"], last["ErrorDetails"]), (b"aabbcc", "Unhandled", '{"errorMessage":"oops"}'))
    payload, last = stream({"end": "exit"})
    equal(last["ErrorCode"], "Unhandled")
    matches(last["ErrorDetails"], "Runtime.ExitError.*exit status 4")
    payload, last = stream({"end": "cut"})
    equal(payload, b"aabbcc")
    matches(last["ErrorDetails"], "Runtime.TruncatedResponse")


@test
def streams_put_together():
    answer = aws.invoke(FunctionName="s", Payload=b'{"n":2,"size":1000000}')
    equal(answer["Payload"].read(), b"a" * 1000000 + b"b" * 1000000)
    answer = aws.invoke(FunctionName="s", Payload=b'{"n":7,"size":1000000}')
    matches(answer["Payload"].read().decode(), "Function.ResponseSizeTooLarge")
    answer = aws.invoke(FunctionName="s", Payload=b'{"end":"error"}')
    equal((answer["FunctionError"], answer["Payload"].read()), ("Unhandled", b'{"errorMessage":"oops"}'))


@test
def slow_clients():
    before, most, waits = resident(), 0, 50

    def pause():
        nonlocal most, waits
        most = max(most, resident())
        if waits > 0:
            waits -= 1
            time.sleep(0.02)

    _, body, complete = receive(start({"n": 100, "size": MB}), pause)
    equal(complete, True)
    if len(body) < 100 * MB or most > before + 32 * MB:
        raise AssertionError(f"{len(body)} bytes, and the server grew from {before} to {most}")


@test
def clients_that_leave():
    for _ in range(5):
        client = start({"n": 100, "size": MB})
        client.recv(1000)
        client.close()
    payload, _ = stream({})
    equal(payload, b"aabbcc")


@test
def function_urls():
    url = url_of("POST", "RESPONSE_STREAM")
    aws.add_permission(FunctionName="s", StatementId="1", Action="lambda:InvokeFunctionUrl", Principal="*",
                       FunctionUrlAuthType="NONE")
    aws.add_permission(FunctionName="s", StatementId="2", Action="lambda:InvokeFunction", Principal="*")
    head, body, complete = receive(send("GET", url + "path?n=20&size=%d" % MB), lambda: time.sleep(0.0005))
    matches(head, "^HTTP/1.1 200 .*text/plain")
    equal((len(body), complete), (20 * MB, True))
    prelude = "?prelude=%7B%22statusCode%22:202,%22headers%22:%7B%22x-mine%22:%22y%22%7D%7D"
    head, body, complete = receive(send("GET", url + prelude))
    matches(head, "^HTTP/1.1 202 .*x-mine: y")
    equal((body, complete), (b"aabbcc", True))
    head, body, complete = receive(send("GET", url + "?end=error"))
    equal((body, complete), (b"aabbcc", False))
    data = receive_all(send("GET", url_of("PUT", "BUFFERED") + prelude))
    matches(data.decode(), "^HTTP/1.1 202 .*x-mine: y.*\r\n\r\naabbcc$")


def environments():
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/children") as file:
        return file.read().split()


@test
def old_code_ends():
    aws.update_function_configuration(FunctionName="s", Description="new")
    eventually(lambda: not environments())
    aws.get_waiter("function_updated_v2").wait(
        FunctionName="s", WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})
    stream({})
    equal(len(environments()), 1)
    aws.delete_function(FunctionName="s")
    eventually(lambda: not environments())


setup()
failed = run(tests, "streams: ")
server.stop()
shutil.rmtree(folder)
sys.exit(failed > 0)
