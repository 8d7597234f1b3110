#!/usr/bin/python3
"""AWS's own tools read what the commands made, and the commands what AWS's tools made, on `lambdapool serve`; and the
local account, whose service lives in whatever program needs it. Prints TAP."""

import atexit
import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_support import Tests, World, children_of
from serve_server import BUILD, KEYS, ROLE, Server, equal, eventually, matches

folder = tempfile.mkdtemp()
server = Server(folder)
world = World()
world.environment.update(
    LAMBDAPOOL_BACKEND="aws", AWS_ENDPOINT_URL=server.url, AWS_REGION="us-east-1",
    AWS_ACCESS_KEY_ID=KEYS["aws_access_key_id"], AWS_SECRET_ACCESS_KEY=KEYS["aws_secret_access_key"])
world.write("app.lua", "return { echo = function(e) print('seen') return e end }")
LOCAL = {"LAMBDAPOOL_BACKEND": None, "AWS_ENDPOINT_URL": None, "AWS_ACCESS_KEY_ID": None,
         "AWS_SECRET_ACCESS_KEY": None, "AWS_REGION": None}
test = Tests()
tool = subprocess.Popen([os.path.dirname(os.path.abspath(__file__)) + "/aws_cli.py"], cwd=world.folder, text=True,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
atexit.register(tool.communicate)


def cli(*arguments, url=None, env=None):
    """What the AWS CLI prints."""
    request = {"environment": {**world.environment, "AWS_PAGER": "", **(env or {})}, "arguments": [
        "--endpoint-url", url or server.url, "--output", "json", "--cli-binary-format", "raw-in-base64-out", *arguments]}
    tool.stdin.write(json.dumps(request) + "\n")
    tool.stdin.flush()
    answer = json.loads(tool.stdout.readline())
    if answer["code"] != 0:
        raise AssertionError(f"aws {arguments}: {answer['err']}")
    return json.loads(answer["out"]) if answer["out"].strip() else None


def create(name, *more):
    world.good("create", name, "app.lua", "--handler", "app.echo", *more)


@test
def the_cli_reads_what_create_made():
    create("f", "--memory", "256", "--timeout", "30", "--env", "COLOR=red", "--tag", "team=x")
    got = cli("lambda", "get-function", "--function-name", "f")
    configuration = got["Configuration"]
    equal((configuration["MemorySize"], configuration["Timeout"], configuration["State"]), (256, 30, "Active"))
    equal(configuration["Environment"], {"Variables": {"COLOR": "red"}})
    equal((got["Tags"]["creator"], got["Tags"]["team"]), ("lambdapool", "x"))
    role = cli("iam", "get-role", "--role-name", "lambdapool-f")["Role"]
    equal((role["Arn"], role["Path"]), (configuration["Role"], "/lambdapool/"))
    name, = cli("iam", "list-role-policies", "--role-name", "lambdapool-f")["PolicyNames"]
    policy = cli("iam", "get-role-policy", "--role-name", "lambdapool-f", "--policy-name", name)
    matches(json.dumps(policy["PolicyDocument"]), "log-group:/aws/lambda/f")
    equal([f["name"] for f in world.good("list", "--json").json()], ["f"])


@test
def the_cli_invokes_it_and_reads_its_log():
    cli("lambda", "invoke", "--function-name", "f", "--payload", '{"n":1}', "out.json")
    equal(json.loads(world.read("out.json")), {"n": 1})
    equal(world.good("invoke", "f", '{"n":1}').json(), {"n": 1})
    events = cli("logs", "filter-log-events", "--log-group-name", "/aws/lambda/f")["events"]
    ours = world.good("logs", "f", "--since", "1h").out
    assert events and all(event["message"].strip().split("\t")[0] in ours for event in events), ours


@test
def boto3_sees_updates():
    client = server.client("lambda")
    before = client.get_function_configuration(FunctionName="f")
    world.good("update", "f", "app.lua", "--memory", "256")
    equal(client.get_function_configuration(FunctionName="f")["RevisionId"], before["RevisionId"])
    world.good("update", "f", "--memory", "300")
    equal(client.get_function_configuration(FunctionName="f")["MemorySize"], 300)
    client.update_function_configuration(FunctionName="f", Timeout=77)
    shown = world.good("show", "f", "--json").json()
    equal(shown["timeout"], 77)


@test
def the_package_is_what_is_uploaded():
    result = world.good("package", "app.lua", "-o", "f.zip", "--json").json()
    with open(world.folder + "/f.zip", "rb") as file:
        data = file.read()
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    matches(json.dumps(result).replace("\\/", "/"), re.escape(digest))
    equal(cli("lambda", "get-function-configuration", "--function-name", "f")["CodeSha256"], digest)
    equal(subprocess.run(["unzip", "-tqq", world.folder + "/f.zip"], check=False).returncode, 0)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [info.filename for info in archive.infolist()]
        equal(names, sorted(names))
        modes = {i.filename: oct((i.external_attr >> 16) & 0o7777) for i in archive.infolist()}
    equal((modes["bootstrap"], modes["app.lua"]), ("0o755", "0o644"))


@test
def the_same_files_make_the_same_bytes_anywhere():
    other = tempfile.mkdtemp()
    shutil.copytree(world.folder + "/algorithms", other + "/algorithms")
    for name in ("z.lua", "a.lua", "Ä.lua", "m n.lua"):
        for place in (world.folder, other):
            with open(f"{place}/algorithms/{name}", "w") as file:
                file.write("return 1")
    os.chmod(other + "/algorithms/z.lua", 0o600)
    os.utime(other + "/algorithms/a.lua", (1, 1))
    first = world.good("package", "algorithms", "-o", "one.zip")
    assert first.code == 0
    subprocess.run([BUILD + "/lambdapool", "package", "algorithms", "-o", "two.zip"], cwd=other, check=True,
                   env={**world.environment, "TZ": "Asia/Tokyo", "LC_ALL": "C"}, umask=0o077, capture_output=True)
    with open(world.folder + "/one.zip", "rb") as one, open(other + "/two.zip", "rb") as two:
        assert one.read() == two.read(), "they differ"
    shutil.rmtree(other)
    for name in ("z.lua", "a.lua", "Ä.lua", "m n.lua"):
        os.remove(f"{world.folder}/algorithms/{name}")


@test
def a_package_works_with_create_function_of_the_cli():
    world.good("package", "algorithms", "app.lua", "-o", "p.zip")
    cli("lambda", "create-function", "--function-name", "byhand", "--runtime", "provided.al2023", "--role", ROLE,
        "--handler", "app.echo", "--zip-file", "fileb://p.zip")
    cli("lambda", "wait", "function-active-v2", "--function-name", "byhand")
    equal(world.good("invoke", "byhand", '{"a":[1,2]}').json(), {"a": [1, 2]})
    result = world.script("""local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "byhand", workers = 2, progress = false }
        print(table.concat(pool:map(function(x) return x * x end, { 1, 2, 3 }), " "))""")
    equal((result.code, result.out), (0, "1 4 9\n"))
    assert "byhand" not in world.good("list").out
    result = world.bad(1, "delete", "byhand", "-y")
    matches(result.err, "byhand")
    world.good("update", "byhand", "--adopt")
    assert "byhand" in world.good("list").out
    world.good("delete", "byhand", "-y")


@test
def layers_and_permissions_of_both():
    world.write("shared/shared/util.lua", "return { answer = 42 }")
    arn = world.good("layers", "publish", "util", "shared/.", "--json").json()["arn"]
    listed, = cli("lambda", "list-layers")["Layers"]
    equal(listed["LatestMatchingVersion"]["LayerVersionArn"], arn)
    cli("lambda", "update-function-configuration", "--function-name", "f", "--layers", arn)
    cli("lambda", "wait", "function-updated-v2", "--function-name", "f")
    matches(world.good("show", "f").out, re.escape(arn))
    matches(world.good("list").out, "util")
    world.good("layers", "detach", "f", arn)
    assert not cli("lambda", "get-function-configuration", "--function-name", "f").get("Layers")
    cli("lambda", "add-permission", "--function-name", "f", "--statement-id", "cli", "--action",
        "lambda:InvokeFunction", "--principal", "events.amazonaws.com")
    world.good("permissions", "grant", "f", "--principal", "s3.amazonaws.com", "--id", "ours",
               "--source-arn", "arn:aws:s3:::b")
    statements = json.loads(cli("lambda", "get-policy", "--function-name", "f")["Policy"])["Statement"]
    equal(sorted(s["Sid"] for s in statements), ["cli", "ours"])
    text = world.good("permissions", "list", "f").out
    matches(text, "cli")
    matches(text, "ours")
    world.good("permissions", "revoke", "f", "cli")


@test
def functions_in_a_layer_are_found():
    if not server.isolates:
        return
    world.write("uses.lua", "local util = require 'shared.util'\nreturn { answer = function() return util.answer end }")
    arn = cli("lambda", "list-layers")["Layers"][0]["LatestMatchingVersion"]["LayerVersionArn"]
    world.good("create", "layered", "uses.lua", "--handler", "uses.answer", "--layers", arn)
    equal(world.good("invoke", "layered").json(), 42)
    world.good("delete", "layered", "-y")


@test
def policies_are_accepted_by_aws():
    for who in ("user", "deployer", "worker"):
        policy = world.good("permissions", "policy", "--for", who, "f").out
        cli("iam", "create-policy", "--policy-name", "p" + who, "--policy-document", policy)


@test
def after_delete_nothing_is_there():
    world.good("delete", "f", "-y", "--logs")
    equal(cli("lambda", "list-functions")["Functions"], [])
    equal([r["RoleName"] for r in cli("iam", "list-roles")["Roles"] if "lambdapool" in r["RoleName"]], [])
    equal(cli("logs", "describe-log-groups", "--log-group-name-prefix", "/aws/lambda/f")["logGroups"], [])


# The local account ----------------------------------------------------------------------------

@test
def without_an_account():
    world.good("create", "here", "app.lua", "--handler", "app.echo", env=LOCAL)
    equal(world.good("invoke", "here", '{"n":1}', env=LOCAL).json(), {"n": 1})
    matches(world.good("list", env=LOCAL).out, "here")
    matches(world.good("logs", "here", env=LOCAL).out, "seen")
    result = world.script("""local lambdapool = require "lambdapool"
        local one <close> = lambdapool.pool { function_name = "here" }
        local two <close> = lambdapool.pool { function_name = "here" }
        print(one:apply(function() return 1 end) + two:apply(function() return 2 end))""", env=LOCAL)
    equal((result.code, result.out), (0, "3\n"))
    matches(result.err, "would have cost")
    equal(cli("lambda", "list-functions")["Functions"], [])


@test
def the_cli_on_the_folder_of_the_local_account():
    process = world.start("serve", "--port", "0", env=LOCAL)
    lines = []
    while not (found := re.search(r"on (http://\S+)", "".join(lines))):
        lines.append(process.stderr.readline())
    credentials = world.folder + "/state/lambdapool/serve/credentials"
    env = {"AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    seen = cli("lambda", "list-functions", url=found.group(1), env=env)["Functions"]
    equal([f["FunctionName"] for f in seen], ["here"])
    # Commands and pools talk to the service that runs.
    world.good("create", "beside", "app.lua", "--handler", "app.echo", env=LOCAL)
    seen = cli("lambda", "list-functions", url=found.group(1), env=env)["Functions"]
    equal(sorted(f["FunctionName"] for f in seen), ["beside", "here"])
    equal(world.good("invoke", "beside", '[1]', env=LOCAL).json(), [1])
    process.kill()
    process.wait()
    process.stderr.close()
    process.stdout.close()
    # The address it left behind is nobody's.
    equal(world.good("invoke", "beside", '[2]', env=LOCAL).json(), [2])
    world.good("delete", "beside", "-y", env=LOCAL)


@test
def many_commands_at_once_share_it():
    processes = [world.start("create", f"n{i}", "app.lua", "--handler", "app.echo", env=LOCAL) for i in range(4)]
    for process in processes:
        result = world.finish(process)
        equal((result.code, result.err if result.code else ""), (0, ""))
    equal(sorted(f["name"] for f in world.good("list", "--json", env=LOCAL).json()),
          ["here", "n0", "n1", "n2", "n3"])


@test
def a_pool_lends_its_service_to_commands():
    world.write("long.lua", """local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "here", workers = 2, progress = false }
        print "started" io.stdout:flush()
        print(#pool:map(function() os.execute "sleep 0.1" return 1 end, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }))""")
    process = world.start("run", "long.lua", env=LOCAL)
    process.stdout.readline()
    matches(world.good("list", env=LOCAL).out, "here")
    result = world.finish(process)
    equal((result.code, result.out), (0, "10\n"))


@test
def a_command_that_was_killed_harms_nobody():
    process = world.start("logs", "here", "-f", env=LOCAL)
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stderr.close()
    equal(world.good("invoke", "here", '3', env=LOCAL).json(), 3)


@test
def nothing_is_left_behind():
    for name in ("here", "n0", "n1", "n2", "n3"):
        world.good("delete", name, "-y", "--logs", env=LOCAL)
    equal(world.good("list", "--json", env=LOCAL).json(), [])
    eventually(lambda: not children_of(world.folder))
    equal(world.leaks, [])


if __name__ == "__main__":
    atexit.register(shutil.rmtree, folder)
    atexit.register(server.stop)
    test.main("tools: ", lambda: None, world)
