"""Runs the real `bootstrap` of a zip behind a Lambda Runtime API, for Invoke of aws_simulator."""

import asyncio
import base64
import io
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile

from aws_http import read_request, response

API = "/2018-06-01/runtime/"
LARGEST = 6291556


class Environment:
    """One process and the API that it finds. It runs one invocation at a time."""

    def __init__(self, function, region):
        self.configuration, self.region = function.configuration, region
        self.revision, self.cold = function.configuration["RevisionId"], True
        self.folder = tempfile.mkdtemp(prefix="lp-sim-")
        with zipfile.ZipFile(io.BytesIO(function.archive)) as archive:
            for info in archive.infolist():
                path = archive.extract(info, self.folder)
                os.chmod(path, (info.external_attr >> 16) & 0o777 or 0o644)
        self.events, self.result, self.log = asyncio.Queue(), None, bytearray()
        self.process = self.server = None
        self.connections = set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20)
        port = self.server.sockets[0].getsockname()[1]
        self.started = time.monotonic()
        self.pipe, write = os.pipe()
        os.set_blocking(self.pipe, False)
        variables = self.configuration.get("Environment", {}).get("Variables", {})
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": ":UTC", "LANG": "en_US.UTF-8", "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "LAMBDA_TASK_ROOT": self.folder, "_HANDLER": self.configuration["Handler"],
            "AWS_LAMBDA_FUNCTION_NAME": self.configuration["FunctionName"], "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.configuration["MemorySize"]), **variables}
        self.process = subprocess.Popen([self.folder + "/bootstrap"], cwd=self.folder, env=environment, stdout=write,
                                        stderr=write, stdin=subprocess.DEVNULL, start_new_session=True)
        os.close(write)
        asyncio.get_running_loop().add_reader(self.pipe, self.read_log)
        self.watch = asyncio.ensure_future(self.wait_for_end())

    def read_log(self):
        try:
            while part := os.read(self.pipe, 65536):
                self.log += part
            asyncio.get_running_loop().remove_reader(self.pipe)
        except BlockingIOError:
            pass

    async def wait_for_end(self):
        while self.process.poll() is None:
            await asyncio.sleep(0.01)
        code = self.process.returncode
        how = f"exit status {code}" if code >= 0 else "signal: " + signal.Signals(-code).name[3:].lower()
        self.settle(False, json.dumps({"errorType": "Runtime.ExitError", "errorMessage":
                                       f"RequestId: {{}} Error: Runtime exited with error: {how}"}).encode())

    def settle(self, good, body):
        if self.result and not self.result.done():
            self.result.set_result((good, body))

    async def serve(self, reader, writer):
        self.connections.add(writer)
        try:
            await self.answer(reader, writer)
        except (asyncio.CancelledError, ConnectionError):
            pass  # the end of the test, or of the process

    async def answer(self, reader, writer):
        while request := await read_request(reader):
            where = request.path.removeprefix(API)
            if where == "invocation/next":
                headers, body = await self.events.get()
                writer.write(response(200, headers, body))
            elif len(request.body) > LARGEST:
                text = f"Response payload size exceeded maximum allowed payload size ({LARGEST} bytes)."
                self.settle(False, json.dumps({"errorType": "Function.ResponseSizeTooLarge",
                                               "errorMessage": text}).encode())
                writer.write(response(413, {}, b'{"errorType":"RequestEntityTooLarge"}'))
            else:
                self.settle(where.endswith("/response"), request.body)
                writer.write(response(202, {}, b'{"status":"OK"}'))
            await writer.drain()

    async def run(self, payload, request_id):
        """Whether it went well, and the bytes that the function answered."""
        self.result, timeout = asyncio.get_running_loop().create_future(), self.configuration["Timeout"]
        deadline = int((time.time() + timeout) * 1000)
        headers = {"Lambda-Runtime-Aws-Request-Id": request_id, "Lambda-Runtime-Deadline-Ms": deadline,
                   "Lambda-Runtime-Invoked-Function-Arn": self.configuration["FunctionArn"],
                   "Lambda-Runtime-Trace-Id": "Root=1-0-0", "Content-Type": "application/json"}
        begun = time.monotonic()
        self.events.put_nowait((headers, payload or b"{}"))
        try:
            good, body = await asyncio.wait_for(asyncio.shield(self.result), timeout)
        except asyncio.TimeoutError:
            good, body = False, json.dumps({
                "errorType": "Sandbox.Timedout",
                "errorMessage": f"RequestId: {{}} Error: Task timed out after {timeout:.2f} seconds"}).encode()
            self.end()
        milliseconds = (time.monotonic() - begun) * 1000
        return good, body.replace(b"RequestId: {}", b"RequestId: " + request_id.encode()), milliseconds

    def take_log(self, request_id, milliseconds):
        """What was printed, between the lines that Lambda adds."""
        if self.process.poll() is None:
            self.read_log()
        printed, self.log = self.log.decode("utf-8", "replace"), bytearray()
        init = ""
        if self.cold:
            init, self.cold = "Init Duration: 12.34 ms\t", False
        if printed and not printed.endswith("\n"):
            printed += "\n"
        return (f"START RequestId: {request_id} Version: $LATEST\n{printed}END RequestId: {request_id}\n"
                f"REPORT RequestId: {request_id}\tDuration: {milliseconds:.2f} ms\tBilled Duration: "
                f"{int(milliseconds) + 1} ms\tMemory Size: {self.configuration['MemorySize']} MB\t"
                f"Max Memory Used: 35 MB\t{init}\n")

    def alive(self):
        return self.process.poll() is None

    def end(self):
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.end()
        self.watch.cancel()
        asyncio.get_running_loop().remove_reader(self.pipe)
        os.close(self.pipe)
        self.server.close()
        for writer in self.connections:
            writer.transport.abort()
        shutil.rmtree(self.folder, ignore_errors=True)


class Runtimes:
    """The environments of all functions; those that idle are used again."""

    def __init__(self, region):
        self.region, self.idle, self.all = region, {}, []

    async def environment(self, function):
        waiting = self.idle.setdefault(function.configuration["FunctionName"], [])
        while waiting:
            found = waiting.pop()
            if found.alive() and found.revision == function.configuration["RevisionId"]:
                return found
        made = Environment(function, self.region)
        self.all.append(made)
        await made.start()
        return made

    async def invoke(self, function, payload, request_id):
        """Whether it went well, the answer, and the log of the invocation."""
        environment = await self.environment(function)
        good, body, milliseconds = await environment.run(payload, request_id)
        log = environment.take_log(request_id, milliseconds)
        if environment.alive():
            self.idle[function.configuration["FunctionName"]].append(environment)
        return good, body, log

    def close(self):
        for environment in self.all:
            environment.close()


def tail(log):
    """X-Amz-Log-Result: the last 4 KB."""
    return base64.b64encode(log.encode()[-4096:]).decode()
