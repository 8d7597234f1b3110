#!/usr/bin/python3
"""Every way to credentials, to the end: what comes out of them signs a request that aws_simulator accepts, as whom it
should. Prints TAP."""

import http.server
import json
import os
import stat
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_account import aws, fresh, world
from aws_services import iso
from aws_simulator import KEYS, refuse
from aws_support import Tests
from serve_server import equal, matches

test = Tests()
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
ROLE = "arn:aws:iam::444455556666:role/reader"


class Metadata(http.server.BaseHTTPRequestHandler):
    """Of an instance and of a container, in one: answers by path, and remembers what was asked for how."""

    answers, seen = {}, []

    def answer(self):
        self.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        status, body = self.answers.get((self.command, self.path), (404, ""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_PUT = answer

    def log_message(self, *_):
        pass


metadata = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
threading.Thread(target=metadata.serve_forever, daemon=True).start()
URL = f"http://127.0.0.1:{metadata.server_port}"


def before():
    fresh()
    Metadata.answers.clear()
    Metadata.seen.clear()
    world.write(".aws/credentials", f"[base]\naws_access_key_id = {KEYS['aws_access_key_id']}\n"
                f"aws_secret_access_key = {KEYS['aws_secret_access_key']}\n")
    world.write(".aws/config", "")


def whoami(*options, **env):
    result = world.good("whoami", "--json", *options, env={**NO_KEYS, **env}).json()
    assert not aws.violations, aws.violations
    return result["arn"]


def document(arn, seconds=3600, **more):
    """Temporary credentials as services of machines hand them out."""
    keys = aws.issue(arn, 7200)
    return {"AccessKeyId": keys["id"], "SecretAccessKey": keys["secret"], "Token": keys["token"],
            "Expiration": iso(time.time() + seconds), **more}


@test
def of_a_file():
    matches(whoami(AWS_PROFILE="base"), "user/tester$")
    matches(whoami("--profile", "base"), "user/tester$")


@test
def a_role():
    world.write(".aws/config", f"""[profile reader]
role_arn = {ROLE}
source_profile = base
role_session_name = me
external_id = abc/+=
duration_seconds = 900
""")
    matches(whoami("--profile", "reader"), "assumed-role/reader/me$")
    given, = aws.calls("AssumeRole")
    equal(given.input, {"RoleArn": ROLE, "RoleSessionName": "me", "ExternalId": "abc/+=", "DurationSeconds": 900})


@test
def a_role_of_a_role():
    world.write(".aws/config", f"""[profile first]
role_arn = {ROLE}1
source_profile = base
role_session_name = one
[profile second]
role_arn = {ROLE}2
source_profile = first
role_session_name = two
[profile round]
role_arn = {ROLE}
source_profile = circle
[profile circle]
role_arn = {ROLE}
source_profile = round
""")
    matches(whoami("--profile", "second"), "assumed-role/reader2/two$")
    equal([e.who["arn"].split("/")[-1] for e in aws.calls("AssumeRole")], ["tester", "one"])
    matches(world.bad(4, "whoami", "--profile", "round", env=NO_KEYS).err, "circle|round")


@test
def a_role_that_may_not_be_assumed():
    world.write(".aws/config", f"[profile reader]\nrole_arn = {ROLE}\nsource_profile = base\n")
    aws.on("AssumeRole", refuse(403, "AccessDenied", "User: tester is not authorized to perform: sts:AssumeRole on "
                                "resource: " + ROLE))
    matches(world.bad(4, "list", "--profile", "reader", env=NO_KEYS).err, "sts:AssumeRole.*" + ROLE)


@test
def a_token_of_the_web():
    token = world.write("token", "web-token")
    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": "pod"}
    matches(whoami(**env), "assumed-role/reader/pod$")
    given, = aws.calls("AssumeRoleWithWebIdentity")
    equal(given.request.header("authorization"), None)
    world.write("token", "another")
    result = world.run("list", env={**NO_KEYS, **env})
    assert result.code in (1, 4), result
    matches(result.err, "identity provider")


@test
def a_program():
    keys = aws.issue("arn:aws:sts::1:assumed-role/process/p", 7200)
    path = world.write("keys", "#!/bin/sh\n[ \"$1 $2\" = 'two words' ] || exit 9\ncat <<X\n" + json.dumps({
        "Version": 1, "AccessKeyId": keys["id"], "SecretAccessKey": keys["secret"], "SessionToken": keys["token"],
        "Expiration": iso(time.time() + 3600)}) + "\nX\n")
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    world.write(".aws/config", f"[profile p]\ncredential_process = {path} 'two' \"words\"\n")
    matches(whoami("--profile", "p"), "assumed-role/process/p$")


@test
def programs_that_fail():
    for script, text in (("echo oops >&2; exit 3", "oops|3"), ("echo nonsense", "JSON|makes no sense|not"),
                         ("echo '{\"Version\": 2}'", "[Vv]ersion"), ("echo '{\"Version\": 1}'", "AccessKeyId")):
        path = world.write("keys", "#!/bin/sh\n" + script + "\n")
        os.chmod(path, 0o755)
        world.write(".aws/config", f"[profile p]\ncredential_process = {path}\n")
        matches(world.bad(4, "list", "--profile", "p", env=NO_KEYS).err, text)
    world.write(".aws/config", "[profile p]\ncredential_process = /no/such/program\n")
    matches(world.bad(4, "list", "--profile", "p", env=NO_KEYS).err, "/no/such/program")


@test
def a_container():
    Metadata.answers["GET", "/keys"] = 200, json.dumps(document("arn:aws:sts::1:assumed-role/task/c"))
    token = world.write("authorization", "Bearer abc")
    matches(whoami(AWS_CONTAINER_CREDENTIALS_FULL_URI=URL + "/keys",
                   AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=token), "assumed-role/task/c$")
    equal(Metadata.seen[0][2]["authorization"], "Bearer abc")
    for uri in ("http://example.com/keys", "http://10.1.2.3/keys", "ftp://127.0.0.1/keys"):
        count = len(Metadata.seen)
        assert world.run("list", env={**NO_KEYS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}).code == 4, uri
        equal(len(Metadata.seen), count)


@test
def an_instance():
    role = "/latest/meta-data/iam/security-credentials/"
    Metadata.answers.update({
        ("PUT", "/latest/api/token"): (200, "session-token"), ("GET", role): (200, "worker"),
        ("GET", role + "worker"): (200, json.dumps(document("arn:aws:sts::1:assumed-role/worker/i-1", Code="Success")))})
    env = {"AWS_EC2_METADATA_DISABLED": None, "AWS_EC2_METADATA_SERVICE_ENDPOINT": URL}
    matches(whoami(**env), "assumed-role/worker/i-1$")
    assert all(seen[2].get("x-aws-ec2-metadata-token") == "session-token" for seen in Metadata.seen[1:])
    Metadata.answers["GET", role + "worker"] = 200, '{"Code": "AssumeRoleUnauthorizedAccess"}'
    assert world.run("list", env={**NO_KEYS, **env}).code == 4


@test
def services_that_lie():
    role = "/latest/meta-data/iam/security-credentials/"
    for body in ("", "null", "[]", "<html>", '{"AccessKeyId": 7}', '{"AccessKeyId": "A"}', "{" * 5000,
                 json.dumps(document("arn:aws:sts::1:assumed-role/x/y", Expiration="soon")),
                 json.dumps(document("arn:aws:sts::1:assumed-role/x/y", AccessKeyId="a\r\nb"))):
        Metadata.answers.update({
            ("PUT", "/latest/api/token"): (200, "t"), ("GET", role): (200, "worker"),
            ("GET", role + "worker"): (200, body), ("GET", "/keys"): (200, body)})
        for env in ({"AWS_EC2_METADATA_DISABLED": None, "AWS_EC2_METADATA_SERVICE_ENDPOINT": URL},
                    {"AWS_CONTAINER_CREDENTIALS_FULL_URI": URL + "/keys"}):
            result = world.run("list", env={**NO_KEYS, **env})
            assert result.code == 4 and "traceback" not in result.err, (body, result)


@test
def secrets_stay_where_they_are():
    equal(world.leaks, [])
    equal(aws.violations, [])


if __name__ == "__main__":
    test.main("identities: ", before, aws, world)
