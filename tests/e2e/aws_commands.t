#!/usr/bin/python3
"""The commands on an AWS that is slow and strict: aws_simulator checks every signature and every parameter, and counts
what is sent. Prints TAP."""

import io
import json
import os
import re
import signal
import sys
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
import aws_services
from aws_account import archive, aws, create, fresh, nothing_left, settings, world
from aws_support import Tests, children_of
from serve_server import equal, eventually, matches

test = Tests()


@test
def create_makes_a_function_and_its_role():
    result = create("f", "--memory", "256", "--timeout", "30", "--env", "COLOR=red", "--env", "EMPTY=",
                    "--tag", "team=x")
    matches(result.out + result.err, r"\bf\b")
    got = settings()
    equal((got["MemorySize"], got["Timeout"], got["Runtime"]), (256, 30, "provided.al2023"))
    equal(got["Environment"]["Variables"]["COLOR"], "red")
    tags = aws.account.functions["f"].tags
    equal((tags["creator"], tags["team"]), ("lambdapool", "x"))
    role = aws.account.roles["lambdapool-f"]
    equal((role["Path"], role["Arn"], role["tags"]["creator"]), ("/lambdapool/", got["Role"], "lambdapool"))
    names = {info.filename: (info.external_attr >> 16) & 0o777 for info in archive().infolist()}
    equal((names["bootstrap"], names["algorithms/tasks.lua"]), (0o755, 0o644))


@test
def the_role_may_write_its_own_log_and_nothing_else():
    create()
    role = aws.account.roles["lambdapool-f"]
    equal(role["attached"], {})
    trust, = json.loads(role["document"])["Statement"]
    equal(trust["Principal"], {"Service": "lambda.amazonaws.com"})
    equal(trust["Action"], "sts:AssumeRole")
    for document in role["inline"].values():
        for statement in json.loads(document)["Statement"]:
            for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
                assert action in ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"), action
            for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str)
                             else statement["Resource"]):
                matches(resource, "^arn:aws:logs:us-east-1:444455556666:log-group:/aws/lambda/f(:|$)")


@test
def a_created_function_runs():
    create()
    result = world.script("""local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "f" }
        local tasks = require "algorithms.tasks"
        for _, y in ipairs(pool:map(tasks.square, { 1, 2, 3 })) do print(y) end""",
                          env={"LUA_PATH": world.folder + "/?.lua;;"})
    equal((result.code, result.out), (0, "1\n4\n9\n"))
    matches(result.err, r"lambdapool: 3 tasks in \d+ invocations? of f \(us-east-1\): .* billed at 1769 MB, .*\$")


@test
def roles_that_are_not_known_everywhere_yet_are_waited_for():
    aws.account.role_refusals = 2
    create()
    equal(len(aws.calls("CreateFunction")), 3)
    equal(settings()["State"], "Pending") if aws.account.functions["f"].busy else None


@test
def states_are_waited_out():
    aws.account.pending_looks = 2
    create()
    equal(aws.account.functions["f"].busy, 0)
    world.good("update", "f", "--memory", "512")
    equal((settings()["MemorySize"], aws.account.functions["f"].busy), (512, 0))
    world.write("algorithms/more.lua", "return {}")
    try:
        world.good("update", "f", "algorithms", "--memory", "300", "--timeout", "9")
    finally:
        os.remove(world.folder + "/algorithms/more.lua")
    equal((settings()["MemorySize"], settings()["Timeout"]), (300, 9))
    assert "algorithms/more.lua" in archive().namelist()


@test
def update_sends_only_what_changed():
    create("f", "--memory", "256", "--env", "AB=1")
    aws.calm()
    result = world.good("update", "f", "algorithms", "--memory", "256", "--env", "AB=1")
    equal(aws.changes(), [])
    matches(result.out + result.err, "f is unchanged")
    world.good("update", "f", "--memory", "512")
    equal(aws.changes(), ["UpdateFunctionConfiguration"])
    equal({k for k in aws.calls("UpdateFunctionConfiguration")[0].input} - {"RevisionId"}, {"FunctionName", "MemorySize"})
    equal((settings()["Timeout"], settings()["Environment"]["Variables"]["AB"]), (900, "1"))
    aws.calm()
    world.write("algorithms/more.lua", "return {}")
    try:
        world.good("update", "f", "algorithms")
    finally:
        os.remove(world.folder + "/algorithms/more.lua")
    equal([c for c in aws.changes() if c != "TagResource"], ["UpdateFunctionCode"])
    aws.calm()
    world.good("update", "f", "--tag", "team=y")
    equal(aws.changes(), ["TagResource"])
    equal(aws.account.functions["f"].tags["creator"], "lambdapool")


def age():
    """Makes the program in the function f another one, as an older lambdapool has put it there."""
    function, out = aws.account.functions["f"], io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        for info in archive().infolist():
            new.writestr(info, archive().read(info) + (b"old" if info.filename == "bootstrap" else b""))
    function.archive = out.getvalue()
    function.configuration.update(aws_services.code_fields(function.archive))
    function.tags["lambdapool:version"] = "0.0.1"


@test
def an_older_program_is_replaced_without_the_files_at_hand():
    create()
    today, before = archive().read("bootstrap"), aws.downloads
    age()
    matches(world.good("show", "f").out, "0.0.1.*lambdapool update f")
    world.good("update", "f")
    equal((aws.downloads, archive().read("bootstrap") == today), (before + 1, True))
    equal(archive().read("algorithms/tasks.lua").decode(), world.read("algorithms/tasks.lua"))
    assert aws.account.functions["f"].tags["lambdapool:version"] != "0.0.1"
    aws.calm()
    world.good("update", "f")
    equal(aws.changes(), [])


@test
def what_is_not_its_code_is_not_taken_for_it():
    create()
    age()
    aws.account.functions["f"].configuration["CodeSha256"] = "A" * 43 + "="
    result = world.run("update", "f", "--memory", "300")
    equal([c for c in aws.changes() if c == "UpdateFunctionCode"], [])
    matches(result.err, "not the code of the function")


@test
def deploy_creates_and_then_updates():
    world.good("deploy", "f", "algorithms", "--memory", "256")
    aws.calm()
    world.good("deploy", "f", "algorithms", "--memory", "256")
    equal(aws.changes(), [])
    world.good("deploy", "f", "algorithms", "--memory", "300")
    equal(aws.changes(), ["UpdateFunctionConfiguration"])


@test
def create_on_what_is_there_names_update_and_sends_nothing():
    create()
    before = json.dumps(settings())
    aws.calm()
    result = world.bad(1, "create", "f", "algorithms", "--memory", "512")
    matches(result.err, "lambdapool update f")
    equal((aws.changes(), json.dumps(settings())), ([], before))


@test
def what_is_not_ours_is_left_alone():
    create()
    aws.account.functions["f"].tags.clear()
    for arguments in (("update", "f", "--memory", "512"), ("delete", "f", "-y"), ("deploy", "f", "algorithms")):
        aws.calm()
        result = world.bad(1, *arguments)
        equal((arguments, aws.changes()), (arguments, []))
        matches(result.err, "lambdapool")
    equal(world.good("list", "--json").json(), [])
    world.good("update", "f", "--adopt", "--memory", "512")
    equal(aws.account.functions["f"].tags["creator"], "lambdapool")


@test
def delete_takes_the_role_along():
    create()
    result = world.bad(2, "delete", "f")
    matches(result.err, "-y|--yes")
    assert "f" in aws.account.functions
    world.good("delete", "f", "-y")
    nothing_left()
    matches(world.bad(3, "delete", "f", "-y").err, "f")


@test
def delete_leaves_roles_that_others_use_or_made():
    create()
    world.good("create", "g", "algorithms", "--role", settings()["Role"])
    world.good("delete", "f", "-y")
    assert "lambdapool-f" in aws.account.roles
    world.good("delete", "g", "-y")
    assert "g" not in aws.account.functions


@test
def delete_with_logs():
    create()
    aws_services.append_log(aws.account, "/aws/lambda/f", "s", ["hello\n"])
    world.good("delete", "f", "-y", "--logs")
    equal(aws.account.groups, {})


@test
def dry_runs_change_nothing():
    for arguments in (("create", "f", "algorithms"), ("deploy", "f", "algorithms")):
        result = world.good(*arguments, "--dry-run")
        matches(result.out, "lambdapool-f")
        equal((arguments, aws.changes()), (arguments, []))
    create()
    aws.calm()
    for arguments in (("update", "f", "--memory", "300"), ("delete", "f"), ("deploy", "f", "algorithms", "--timeout",
                                                                           "7")):
        world.good(*arguments, "--dry-run")
        equal((arguments, aws.changes()), (arguments, []))


@test
def list_and_show():
    equal(world.good("list", "--json").json(), [])
    for name in ("a", "b", "c"):
        create(name)
    aws.account.page, aws.account.empty_pages = 1, True
    aws.account.functions["b"].tags.clear()
    equal([f["name"] for f in world.good("list", "--json").json()], ["a", "c"])
    lines = world.good("list").out.splitlines()
    matches(lines[0], "^NAME +")
    equal([line.split()[0] for line in lines[1:]], ["a", "c"])
    shown = world.good("show", "a", "--json").json()
    equal(shown["name"], "a")
    matches(json.dumps(shown), re.escape(settings("a")["Role"]))
    text = world.good("show", "a").out
    matches(text, "arn:aws:lambda:us-east-1:444455556666:function:a")
    matches(world.bad(3, "show", "nix").err, "lambdapool create nix")


@test
def show_hides_values():
    create("f", "--env", "PASSWORD=hunter2-very-secret")
    result = world.good("show", "f")
    matches(result.out, "PASSWORD")
    assert "hunter2" not in result.out and "hunter2" not in world.good("show", "f", "--json").out


@test
def bad_values_are_refused_before_anything_is_sent():
    world.write("rocks.txt", "")
    layer = "arn:aws:lambda:us-east-1:444455556666:layer:l:"
    for options, allowed in (
            (("f", "algorithms", "--memory", "127"), "128.*10240"), (("f", "algorithms", "--memory", "10241"), "10240"),
            (("f", "algorithms", "--memory", "big"), "128"), (("f", "algorithms", "--timeout", "0"), "1.*900"),
            (("f", "algorithms", "--timeout", "901"), "900"), (("f", "algorithms", "--timeout", "1.5"), "900"),
            (("f f", "algorithms"), "letters"), (("x" * 65, "algorithms"), "64"), (("", "algorithms"), "letters|name"),
            (("f/../g", "algorithms"), "letters"), (("f", "nowhere"), "nowhere"),
            (("f", "algorithms", "--layers", "l"), "layer"),
            (("f", "algorithms", "--layers", ",".join(layer + str(i) for i in range(6))), "5"),
            (("f", "algorithms", "--env", "1X=y"), "1X"), (("f", "algorithms", "--env", "novalue"), "novalue|K=V"),
            (("f", "algorithms", "--env", "AWS_REGION=x"), "AWS_REGION"),
            (("f", "algorithms", "--env", "BIG=" + "x" * 5000), "4"),
            (("f", "algorithms", "--role", "myrole"), "arn:aws:iam"), (("f", "algorithms", "--arch", "mips"), "x86_64"),
            (("f", "algorithms", "--tag", "nothing"), "nothing|K=V"), (("f", "algorithms", "-r", "nix.txt"), "nix.txt"),
            (("f", "algorithms", "--tag", "aws:x=y"), "aws:"), (("f", "algorithms", "algorithms"), "algorithms"),
            (("f", "/etc/shadow-of-nothing"), "shadow-of-nothing"), (("f", "/dev/null"), "/dev/null")):
        aws.calm()
        result = world.run("create", *options)
        assert result.code in (1, 2), (options, result)
        equal((options, aws.changes()), (options, []))
        matches(result.err, allowed)
        assert "traceback" not in result.err, result


@test
def mistyped_commands_and_options_are_suggested():
    for arguments, text in ((("crate", "f"), "create"), (("create", "f", "--memroy", "1"), "--memory"),
                            (("list", "--jsn"), "--json"), (("layers", "pulish"), "publish"),
                            (("permissions", "grnt"), "grant"), (("logs", "f", "--folow"), "-f|follow"),
                            (("invoke",), "NAME|name"), (("show",), "NAME|name"), (("show", "a", "b"), "b"),
                            (("create", "f", "algorithms", "--memory"), "--memory")):
        matches(world.bad(2, *arguments).err, text)
    equal(aws.calls(), [])


@test
def help_starts_with_an_example():
    for command in ("create", "update", "delete", "deploy", "list", "show", "invoke", "logs", "layers", "permissions",
                    "package", "doctor", "whoami", "config"):
        for ask in ("--help", "-h"):
            result = world.good(command, ask)
            matches(result.out, r"^ *lambdapool " + command)
            assert all(len(line) <= 100 for line in result.out.splitlines()), (command, "a long line")
    equal(aws.calls(), [])


@test
def layers():
    world.write("shared/shared/util.lua", "return { answer = 42 }")
    equal(world.good("layers", "list", "--json").json(), [])
    published = world.good("layers", "publish", "util", "shared/.", "--json").json()
    arn = published["arn"]
    matches(arn, "layer:util:1$")
    names = zipfile.ZipFile(io.BytesIO(aws.account.layers["util"][1]["archive"])).namelist()
    assert "lua/shared/util.lua" in names and "bootstrap" not in names, names
    matches(world.good("layers", "list").out, "util")
    matches(world.good("layers", "list", "util").out, r"\b1\b")
    create("f", "--layers", arn)
    equal([layer["Arn"] for layer in settings()["Layers"]], [arn])
    matches(world.good("list").out, "util")
    world.good("layers", "detach", "f", arn)
    assert not settings().get("Layers")
    world.good("layers", "attach", "f", arn)
    equal([layer["Arn"] for layer in settings()["Layers"]], [arn])
    aws.calm()
    world.good("layers", "attach", "f", arn)
    equal(aws.changes(), [])
    assert world.run("layers", "detach", "f", arn[:-1] + "9").code in (0, 1, 3)
    world.good("layers", "delete", "util", "1", "-y")
    equal(aws.account.layers["util"], {})
    world.run("layers", "delete", "util", "7", "-y")
    assert world.run("layers", "delete", "util", "zero", "-y").code == 2
    assert world.run("layers", "publish", "no good name", "shared").code in (1, 2)
    assert world.run("layers", "publish", "util", "nowhere").code in (1, 2)


@test
def permissions():
    create()
    equal(world.good("permissions", "list", "f", "--json").json(), [])
    world.good("permissions", "grant", "f", "--principal", "s3.amazonaws.com", "--source-arn", "arn:aws:s3:::bucket",
               "--id", "s3")
    statement, = aws.account.functions["f"].statements
    equal((statement["Sid"], statement["Action"], statement["Principal"]),
          ("s3", "lambda:InvokeFunction", {"Service": "s3.amazonaws.com"}))
    matches(world.good("permissions", "list", "f").out, "s3")
    assert world.run("permissions", "grant", "f", "--principal", "s3.amazonaws.com", "--id", "s3").code == 1
    world.good("permissions", "revoke", "f", "s3")
    equal(aws.account.functions["f"].statements, [])
    assert world.run("permissions", "revoke", "f", "s3").code in (1, 3)
    assert world.run("permissions", "grant", "f").code == 2
    for who in ("user", "deployer", "worker"):
        policy = world.good("permissions", "policy", "--for", who, "f").json()
        equal(policy["Version"], "2012-10-17")
        for statement in policy["Statement"]:
            assert statement["Action"] not in ("*", ["*"]), policy
        matches(json.dumps(policy), "444455556666")
    matches(world.bad(2, "permissions", "policy", "--for", "nobody", "f").err, "deployer")


def allowed_to(who):
    """The actions in the policy that is printed for somebody."""
    policy = world.good("permissions", "policy", "--for", who, "f").json()
    lists = [s["Action"] for s in policy["Statement"]]
    return {action for actions in lists for action in ([actions] if isinstance(actions, str) else actions)}


def asked_for():
    """The actions that what came needs, but for the one that everybody may."""
    names = {"Invoke": "InvokeFunction"}
    return {f"{e.service}:{names.get(e.name, e.name)}" for e in aws.calls()} - {"sts:GetCallerIdentity"}


@test
def what_deployers_are_allowed_is_enough():
    allowed = allowed_to("deployer")
    create()
    world.good("update", "f", "--memory", "300", "--tag", "a=b")
    world.good("show", "f")
    world.good("list")
    world.good("layers", "publish", "l", "algorithms")
    world.good("layers", "attach", "f", aws.account.arn("layer:l:1"))
    world.good("layers", "list")
    world.good("layers", "delete", "l", "1", "-y")
    world.good("permissions", "grant", "f", "--principal", "s3.amazonaws.com", "--id", "s3")
    world.good("permissions", "list", "f")
    world.good("permissions", "revoke", "f", "s3")
    aws_services.append_log(aws.account, "/aws/lambda/f", "s", ["hello\n"])
    world.good("logs", "f")
    world.good("delete", "f", "-y", "--logs")
    equal(asked_for() - allowed, set())


@test
def what_users_are_allowed_is_enough():
    create()
    allowed = allowed_to("user")
    aws.calm()
    equal(world.script("""local lambdapool = require "lambdapool"
        local pool <close> = lambdapool.pool { function_name = "f", timeout = 10, memory = 128 }
        pool:map(function(x) return x end, { 1, 2, 3 })""").code, 0)
    world.good("logs", "f")
    equal(asked_for() - allowed, set())


@test
def invoke_and_its_bad_inputs():
    create()
    world.write("app.lua", "return { echo = function(e) print('seen') return e end, fail = function() error 'no' end }")
    world.good("update", "f", "app.lua", "--handler", "app.echo")
    equal(world.good("invoke", "f", '{"n": 10}').json(), {"n": 10})
    equal(world.good("invoke", "f").json(), {})
    matches(world.good("invoke", "f", '{"n": 10}', "--tail").err, "seen")
    world.write("event.json", '{"from": "file"}')
    equal(world.good("invoke", "f", "@event.json").json(), {"from": "file"})
    aws.calm()
    for text in ("{n: 10}", "{", "nope", "@nowhere.json", "@"):
        result = world.run("invoke", "f", text)
        assert result.code in (1, 2), result
        equal((text, len(aws.calls("Invoke"))), (text, 0))
    world.good("update", "f", "--handler", "app.fail")
    failed = world.bad(1, "invoke", "f", "{}")
    matches(failed.err, "no")
    matches(world.bad(3, "invoke", "nix", "{}").err, "lambdapool create nix")


@test
def logs_page_and_filter():
    create()
    aws_services.append_log(aws.account, "/aws/lambda/f", "s", [f"line {i}\n" for i in range(30)])
    aws.account.page, aws.account.empty_pages = 7, True
    lines = re.findall(r"line \d+", world.good("logs", "f").out)
    equal(lines, [f"line {i}" for i in range(30)])
    equal(re.findall(r"line \d+", world.good("logs", "f", "--grep", "line 29").out), ["line 29"])
    for line in world.good("logs", "f", "--jsonl").out.splitlines():
        json.loads(line)
    for option in (("--since", "soon"), ("--since", "-5m"), ("--until", "x"), ("--since", "10q")):
        assert world.run("logs", "f", *option).code == 2, option
    equal(world.good("logs", "f", "--since", "1h", "--until", "30m").out, "")
    assert world.run("logs", "nix").code in (0, 3)


@test
def logs_follow_until_ctrl_c():
    create()
    aws_services.append_log(aws.account, "/aws/lambda/f", "s", ["line one\n"])
    process = world.start("logs", "f", "-f")
    first = process.stdout.readline()
    matches(first, "line one")
    aws_services.append_log(aws.account, "/aws/lambda/f", "s", ["line two\n"])
    second = process.stdout.readline()
    matches(second, "line two")
    eventually(lambda count=len(aws.calls("FilterLogEvents")): len(aws.calls("FilterLogEvents")) > count + 1)
    process.send_signal(signal.SIGINT)
    result = world.finish(process, 20)
    equal((result.code, result.out), (130, ""))


@test
def whoami_and_doctor():
    result = world.good("whoami", "--json").json()
    matches(json.dumps(result), "444455556666")
    matches(world.good("whoami").out, "user/tester")
    create()
    matches(world.good("doctor", "f").out, "ok")
    result = world.run("doctor", env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    equal(result.code, 1)
    matches(result.out, "FAIL")
    aws.clock = 400
    matches(world.run("doctor").out, "(?i)clock|skew")


@test
def nothing_was_sent_that_no_client_sends():
    equal(aws.violations, [])
    equal(children_of(world.folder), [])


if __name__ == "__main__":
    test.main("commands: ", fresh, aws, world)
