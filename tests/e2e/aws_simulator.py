"""An AWS of our own, which shares no line with the program: Lambda, IAM, STS and CloudWatch Logs on one port of the
loopback interface. Every request's signature is recalculated by botocore and every parameter checked against its
service models (aws_wire.py); functions really run (aws_runtime.py). And it misbehaves when told to:

    with Simulator() as aws:
        aws.on("Invoke", throttle(), times=3)   # the next three
        ...
        aws.violations                          # what no good client would have sent
"""

import asyncio
import json
import threading
import time
import uuid

from botocore.exceptions import ParamValidationError

import aws_services
from aws_http import read_request, reset, response
from aws_runtime import Runtimes, tail
from aws_wire import Refusal, check_input, check_signature, decode, encode, encode_refusal, scope_of

KEYS = {"aws_access_key_id": "AKIASIMULATOR", "aws_secret_access_key": "s1mul4tor/+secret/NEVER-SHOWN"}


class Exchange:
    """A request and what is known of it. Rules get it."""

    def __init__(self, simulator, request, writer):
        self.simulator, self.request, self.writer = simulator, request, writer
        self.id, self.time = str(uuid.uuid4()), time.monotonic()
        self.service = self.name = self.operation = self.input = self.who = None
        self.status = None

    async def proceed(self):
        """What AWS does when nothing is wrong: the bytes of the answer."""
        try:
            status, headers, body = await self.simulator.perform(self)
        except Refusal as refusal:
            status, headers, body = encode_refusal(self.service, refusal, self.id)
        self.status = status
        return response(status, {**self.dates(), **headers}, body)

    def dates(self):
        now = time.gmtime(self.simulator.now())
        return {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", now), "x-amzn-RequestId": self.id}


class Rule:
    def __init__(self, name, action, times, when):
        self.name, self.action, self.times, self.when = name, action, times, when

    def applies(self, exchange):
        if self.times == 0 or self.name not in (exchange.name, "*") or not (self.when is None or self.when(exchange)):
            return False
        self.times -= 1
        return True


class Simulator:
    """Starts at once, in a thread of its own."""

    def __init__(self, context=None, **settings):
        self.account = aws_services.Account(**settings)
        self.keys = {}
        self.add_key("AKIASIMULATOR", KEYS["aws_secret_access_key"], f"arn:aws:iam::{self.account.number}:user/tester")
        self.exchanges, self.violations, self.rules = [], [], []
        self.clock = 0  # seconds that its clock is ahead
        self.downloads = 0
        self.wants_digest = False  # whether every signed request should tell the digest of its body
        self.context, self.connections, self.accepted = context, set(), 0
        self.canned = None  # bytes that every Invoke answers instead of running anything
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Set-up

    def add_key(self, name, secret, arn, **more):
        self.keys[name] = {"id": name, "secret": secret, "arn": arn, **more}
        return self.keys[name]

    def issue(self, arn, seconds):
        name = "ASIA" + uuid.uuid4().hex[:16].upper()
        return self.add_key(name, "temporary/" + uuid.uuid4().hex, arn, token="token/+=" + uuid.uuid4().hex,
                            expires=self.now() + seconds)

    def on(self, name, action, times=-1, when=None):
        """From now on `action` answers operations of that name ("*": all): the first rule that applies does."""
        rule = Rule(name, action, times, when)
        self.rules.insert(0, rule)
        return rule

    def calm(self):
        """Forgets the rules, and what has come so far."""
        self.rules.clear()
        self.exchanges.clear()

    def now(self):
        return time.time() + self.clock

    # What came

    def calls(self, name=None):
        """The exchanges, or those of an operation."""
        return [e for e in list(self.exchanges) if name is None or e.name == name]

    def changes(self):
        """Names of the operations that change something."""
        return [e.name for e in self.calls() if not e.name.startswith(("Get", "List", "Describe", "Filter", "Invoke"))]

    def complain(self, text):
        self.violations.append(text)

    # Serving

    def run(self, ready):
        with asyncio.Runner() as runner:  # which ends whatever still goes on
            runner.run(self.main(ready))

    async def main(self, ready):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.runtimes = Runtimes(self.account.region)
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context, limit=1 << 20, backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        self.scheme = "https" if self.context else "http"
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"
        ready.set()
        await self.stop.wait()
        server.close()
        self.runtimes.close()
        for writer in self.connections:
            writer.transport.abort()

    def close(self):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(20)

    async def serve(self, reader, writer):
        self.connections.add(writer)
        self.accepted += 1
        try:
            while request := await read_request(reader, writer):
                answer = await self.answer(Exchange(self, request, writer))
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except ConnectionError:
            pass
        except asyncio.CancelledError:
            pass  # the end of the test, which is no news
        finally:
            self.connections.discard(writer)
            writer.transport.abort() if self.stop.is_set() else writer.close()

    async def answer(self, exchange):
        """The bytes to send; None: the connection is done with."""
        if exchange.request.path.startswith("/archive/"):
            return self.download(exchange.request)
        try:
            self.identify(exchange)
        except Refusal as refusal:
            exchange.status = refusal.status
            status, headers, body = encode_refusal(exchange.service or "lambda", refusal, exchange.id)
            return response(status, {**exchange.dates(), **headers}, body)
        except (ValueError, KeyError, ParamValidationError) as problem:
            self.complain(f"{exchange.request.method} {exchange.request.target}: {problem!r}")
            return response(400, {"x-amzn-ErrorType": "SerializationException"}, b'{"message":"no such request"}')
        for rule in self.rules:
            if rule.applies(exchange):
                return await rule.action(exchange)
        return await exchange.proceed()

    def download(self, request):
        """The code of a function, where GetFunction says that it is: an address which needs no signature."""
        function = self.account.functions.get(request.path.removeprefix("/archive/"))
        if request.query != "X-Amz-Signature=0" or request.header("authorization") or not function:
            self.complain(f"{request.target} is downloaded so")
            return response(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
        self.downloads += 1
        return response(200, {"Content-Type": "application/zip"}, function.archive)

    def identify(self, exchange):
        """Who asks for what. Nothing is believed before the signature is checked."""
        request, scope = exchange.request, scope_of(exchange.request)
        exchange.service = scope[3] if scope else "sts" if b"WebIdentity" in request.body else "lambda"
        exchange.name = "?"
        self.exchanges.append(exchange)
        if scope or exchange.service != "sts":
            exchange.who = check_signature(request, self.keys, self.now(), self.scheme, self.complain)
            self.check_scope(exchange.service, scope[2], request.header("host"))
            if self.wants_digest and not request.header("x-amz-content-sha256"):
                self.complain(f"{request.method} {request.target} has no x-amz-content-sha256")
        exchange.operation, exchange.input = decode(exchange.service, request)
        exchange.name = exchange.operation.name
        if exchange.service == "lambda" and any(key.startswith("?") for key in exchange.input):
            self.complain(f"{exchange.name}: unknown in the query: {exchange.input}")
        check_input(exchange.operation, exchange.input, self.complain)

    def check_scope(self, service, region, host):
        if service not in ("lambda", "iam", "sts", "logs"):
            raise Refusal(403, "SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'.")
        if service == "iam" and region != "us-east-1":
            raise Refusal(403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
        first = host.split(".")[0].split("-")[0]
        if host.endswith("amazonaws.com") and first != service:
            self.complain(f"{service} is asked for at {host}")

    async def perform(self, exchange):
        """Status, headers and body of what an operation answers."""
        if exchange.name == "Invoke":
            return await self.invoke(exchange)
        perform = aws_services.OPERATIONS.get(exchange.name)
        if not perform:
            self.complain(f"{exchange.name} is not part of this AWS")
            raise Refusal(501, "NotImplementedException", exchange.name)
        output = perform(self.account, exchange.input, exchange)
        kind, body = encode(exchange.service, exchange.operation, output, exchange.id)
        status = 204 if output is None and exchange.service == "lambda" else 200
        if exchange.name in ("CreateFunction", "AddPermission", "PublishLayerVersion"):
            status = 201
        return status, {"Content-Type": kind} if body else {}, body

    async def invoke(self, exchange):
        params, account = exchange.input, self.account
        function = account.function(params["FunctionName"], ":$LATEST")
        payload, kind = params.get("Payload", b""), params.get("InvocationType", "RequestResponse")
        if len(payload) > 6291456:
            raise Refusal(413, "RequestEntityTooLargeException",
                          "Request must be smaller than 6291456 bytes for the InvokeFunction operation")
        if function.configuration["State"] == "Pending":
            raise Refusal(409, "ResourceConflictException", "The operation cannot be performed at this time. "
                          "The function is currently in the following state: Pending")
        self.check_payload(payload)
        if account.concurrency.get(function.configuration["FunctionName"]) == 0:
            raise rate_exceeded("ReservedFunctionConcurrentInvocationLimitExceeded")
        if kind == "DryRun":
            return 204, {}, b""
        if kind == "Event":
            asyncio.ensure_future(self.run_function(exchange, function, payload))
            return 202, {}, b""
        good, body, log = await self.run_function(exchange, function, payload)
        headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST",
                   "X-Amzn-Trace-Id": "root=1-0-0;sampled=0", "X-Amzn-Remapped-Content-Length": "0"}
        if not good:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if params.get("LogType") == "Tail":
            headers["X-Amz-Log-Result"] = tail(log)
        return 200, headers, body

    def check_payload(self, payload):
        try:
            json.loads(payload or b"{}")
        except ValueError:
            raise Refusal(400, "InvalidRequestContentException", "Could not parse request body into json: Could not "
                          "parse payload into json: Unexpected character", Type="User") from None

    async def run_function(self, exchange, function, payload):
        account = self.account
        if 0 < account.limit <= account.running:
            raise rate_exceeded("ConcurrentInvocationLimitExceeded")
        account.running += 1
        account.most = max(account.most, account.running)
        try:
            return await self.answer_of_function(exchange, function, payload)
        finally:
            account.running -= 1

    async def answer_of_function(self, exchange, function, payload):
        if self.canned is not None:
            log = f"REPORT RequestId: {exchange.id}\tDuration: 1 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\t\n"
            return True, self.canned, log
        good, body, log = await self.runtimes.invoke(function, payload, exchange.id)
        name = function.configuration["FunctionName"]
        aws_services.append_log(self.account, "/aws/lambda/" + name, "2026/01/01/[$LATEST]" + "0" * 32,
                                [line + "\n" for line in log.splitlines()])
        return good, body, log


def rate_exceeded(reason, retry_after=None):
    headers = {"Retry-After": retry_after} if retry_after is not None else {}
    return Refusal(429, "TooManyRequestsException", "Rate Exceeded.", headers, Reason=reason)


# What can go wrong ----------------------------------------------------------------------------
# Each makes an action of a rule: it gets the exchange and returns the bytes to send, or None.

def refuse(status, code, message="it is so", headers=(), **fields):
    async def action(exchange):
        exchange.status = status
        refusal = Refusal(status, code, message, headers, **fields)
        status_, headers_, body = encode_refusal(exchange.service, refusal, exchange.id)
        return response(status_, {**exchange.dates(), **headers_}, body)
    return action


def throttle(retry_after=None, reason="ConcurrentInvocationLimitExceeded"):
    headers = {"Retry-After": retry_after} if retry_after is not None else {}
    return refuse(429, "TooManyRequestsException", "Rate Exceeded.", headers, Reason=reason)


def deny(action, resource="*"):
    return refuse(403, "AccessDeniedException", "User: arn:aws:iam::444455556666:user/tester is not authorized to "
                  f"perform: {action} on resource: {resource} because no identity-based policy allows the "
                  f"{action} action")


def reset_before():
    """The request was read; nothing is done with it, and the connection is reset."""
    async def action(exchange):
        reset(exchange.writer)
    return action


def reset_after(count=0):
    """It is done; the connection is reset after `count` bytes of the answer."""
    async def action(exchange):
        answer = await exchange.proceed()
        exchange.writer.write(answer[:count])
        await exchange.writer.drain()
        await asyncio.sleep(0.01)  # what was sent must leave before the reset
        reset(exchange.writer)
    return action


def cut(count):
    """It is done; the answer ends orderly after `count` bytes of its body."""
    async def action(exchange):
        head, _, body = (await exchange.proceed()).partition(b"\r\n\r\n")
        exchange.writer.write(head + b"\r\n\r\n" + body[:count])
        await exchange.writer.drain()
    return action


def say(status, headers, body, run=True):
    """Something else comes instead of the answer; with `run` the operation is done all the same."""
    async def action(exchange):
        if run:
            await exchange.proceed()
        exchange.status = status
        return response(status, {**exchange.dates(), **headers}, body)
    return action


def send(data):
    """Those bytes, then the end."""
    async def action(exchange):
        exchange.writer.write(data)
        await exchange.writer.drain()
    return action


def slow(seconds):
    async def action(exchange):
        await asyncio.sleep(seconds)
        return await exchange.proceed()
    return action


def never():
    """No answer ever comes."""
    async def action(exchange):
        await asyncio.sleep(3600)
    return action


def changed(change):
    """The answer, changed by a function of (bytes, exchange)."""
    async def action(exchange):
        return change(await exchange.proceed(), exchange)
    return action


def hold(event):
    """It is answered once the threading.Event is set."""
    async def action(exchange):
        while not event.is_set():
            await asyncio.sleep(0.01)
        return await exchange.proceed()
    return action
