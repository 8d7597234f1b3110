"""`lambdapool serve` under load: microseconds per signed Invoke, from start to first answer, growth in bytes.

argv: the build folder. Prints lines of "name number".
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

os.environ["LAMBDAPOOL_BUILD"] = os.path.abspath(sys.argv[1])
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))
from serve_server import BUILD, KEYS, ROLE, Server, package

APP = b"return { nothing = function() end }"


def create(server):
    client = server.client("lambda")
    client.create_function(FunctionName="f", Runtime="provided.al2023", Role=ROLE, Handler="app.nothing",
                           Code={"ZipFile": package(APP)}, MemorySize=128)
    client.get_waiter("function_active_v2").wait(
        FunctionName="f", WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})


def load(server, connections, requests):
    """Requests per second."""
    text = subprocess.run(
        [BUILD + "/tests/bench/invoke_load", server.url.rsplit(":", 1)[1], "f", KEYS["aws_access_key_id"],
         KEYS["aws_secret_access_key"], str(connections), str(requests)],
        stdout=subprocess.PIPE, check=True).stdout
    return float(text.split()[0])


def resident(server):
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def first_answer():
    """Seconds from the start of the program to its first answer over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp()
    start = time.monotonic()
    process = subprocess.Popen([BUILD + "/lambdapool", "serve", "--port", str(port), "--dir", folder],
                               stderr=subprocess.DEVNULL)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                connection.recv(100)
                break
        except ConnectionRefusedError:
            time.sleep(0.0005)
    took = time.monotonic() - start
    process.terminate()
    process.wait()
    shutil.rmtree(folder)
    return took


def with_server(measure, *options):
    folder = tempfile.mkdtemp()
    server = Server(folder, "--quiet", *options)
    create(server)
    measure(server)
    server.stop()
    shutil.rmtree(folder)


def plain(server):
    load(server, 64, 5000)
    before = resident(server)
    print("invoke", 1e6 / load(server, 64, 30000))
    load(server, 64, 70000)
    print("growth", max(0, resident(server) - before))


def distant(server):
    load(server, 1000, 5000)
    print("distant", 1e6 / load(server, 1000, 60000))


with_server(plain)
with_server(distant, "--latency", "50")
print("first", sorted(first_answer() for _ in range(9))[4] * 1e6)
