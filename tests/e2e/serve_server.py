"""What the tests of `lambdapool serve` in Python share: a server of their own, packages of functions, and TAP."""

import io
import os
import re
import subprocess
import sys
import time
import traceback
import zipfile

import boto3
from botocore.config import Config

BUILD = os.environ["LAMBDAPOOL_BUILD"]
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/lp"


class Server:
    """A server on a folder of its own."""

    def __init__(self, folder, *options):
        self.folder, self.log = folder, os.path.join(folder, "log")
        self.process = subprocess.Popen(
            [BUILD + "/lambdapool", "serve", "--port", "0", "--dir", folder + "/data",
             "--access-key", KEYS["aws_access_key_id"],
             "--secret-key", KEYS["aws_secret_access_key"], *options],
            stderr=open(self.log, "wb"), env={k: v for k, v in os.environ.items() if k in ("PATH", "LAMBDAPOOL_LUA")})
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", self.text())):
            if self.process.poll() is not None:
                raise SystemExit("the server has ended: " + self.text())
            time.sleep(0.01)
        self.url = found.group()
        # Where the system does not permit it, functions have no /opt and no /tmp of their own.
        self.isolates = "functions are not isolated" not in self.text()

    def text(self):
        with open(self.log) as file:
            return file.read()

    def client(self, service, **options):
        config = Config(retries={"max_attempts": 1}, read_timeout=60,
                        parameter_validation=options.pop("validate", True))
        return boto3.client(service, endpoint_url=self.url,
                            **{"region_name": REGION, "config": config, **KEYS, **options})

    def stop(self):
        """Asks it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(20)

    def kill(self):
        self.process.kill()
        self.process.wait()


def archive(files):
    """A zip of { name: (bytes, mode) }."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, (data, mode) in files.items():
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (0o100000 | mode) << 16
            file.writestr(info, data)
    return out.getvalue()


def package(app):
    """Our runtime and app.lua."""
    with open(BUILD + "/bootstrap", "rb") as file:
        return archive({"bootstrap": (file.read(), 0o755), "app.lua": (app, 0o644)})


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} is not {expected!r}")


def matches(text, pattern):
    if not re.search(pattern, text, re.S):
        raise AssertionError(f"{text!r} does not match {pattern!r}")


def eventually(check, *arguments):
    """Waits until `check` returns something true, and returns that."""
    for _ in range(3000):
        result = check(*arguments)
        if result:
            return result
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def run(tests, prefix):
    """Runs the functions, prints TAP, and returns how many failed."""
    failed = 0
    print(f"1..{len(tests)}")
    for i, function in enumerate(tests, 1):
        name = prefix + function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {i} - {name}")
        except Exception:  # every kind of it fails this test only
            failed += 1
            print(f"not ok {i} - {name}")
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
        sys.stdout.flush()
    return failed
