#!/usr/bin/python3
"""Drives `lambdapool serve` with boto3 through every operation that it offers. Prints TAP."""

import base64
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request

from botocore.exceptions import ClientError

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from serve_server import REGION, ROLE, Server, archive, equal, eventually, matches, package, run

APP = b"""
local app, count = {}, 0
function app.echo(event) return event end
function app.greet(event) return { text = "hello " .. (event.name or "nobody") } end
function app.fail() error "no such luck" end
function app.exit() os.exit(3) end
function app.count() count = count + 1 print("call " .. count) return count end
function app.nap(event) os.execute("sleep " .. event.seconds) return "awake" end
function app.spin() while true do end end
function app.environment(event) return os.getenv(event.name) end
function app.context(event, context)
  return { id = context.request_id, arn = context.function_arn,
    client = context.client_context }
end
function app.files()
  local file <close> = assert(io.open "/opt/layer.txt")
  return file:read "a"
end
return app
"""


PACKAGE = package(APP)
folder = tempfile.mkdtemp()
server = Server(folder)
aws = server.client("lambda")
tests = []


def test(function):
    tests.append(function)
    return function


def create(name, handler="app.echo", **options):
    request = {"FunctionName": name, "Runtime": "provided.al2023", "Role": ROLE,
               "Handler": handler, "Code": {"ZipFile": PACKAGE}, "Timeout": 10, **options}
    answer = aws.create_function(**request)
    aws.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})
    return answer


def updated(name):
    aws.get_waiter("function_updated_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})


def invoke(name, event=None, **options):
    answer = aws.invoke(FunctionName=name, Payload=json.dumps(event or {}), **options)
    body = answer["Payload"].read()
    return json.loads(body) if body else None, answer


def refused(code, status, pattern, call, **arguments):
    """The call raises that error."""
    try:
        call(**arguments)
    except ClientError as error:
        equal(error.response["Error"]["Code"], code)
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], status)
        matches(error.response["Error"]["Message"], pattern)
        return error.response
    raise AssertionError("no error")


@test
def functions_are_created_shown_and_deleted():
    answer = create("basic", Description="d", MemorySize=256, Environment={"Variables": {"COLOR": "red"}},
                    Tags={"team": "x"})
    digest = base64.b64encode(hashlib.sha256(PACKAGE).digest()).decode()
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 201)
    equal((answer["State"], answer["StateReasonCode"]), ("Pending", "Creating"))
    equal((answer["CodeSha256"], answer["CodeSize"]), (digest, len(PACKAGE)))
    equal(answer["FunctionArn"], f"arn:aws:lambda:{REGION}:123456789012:function:basic")
    equal((answer["MemorySize"], answer["Timeout"], answer["Version"]), (256, 10, "$LATEST"))
    equal(answer["Environment"], {"Variables": {"COLOR": "red"}})
    got = aws.get_function(FunctionName="basic")
    equal((got["Configuration"]["State"], got["Configuration"]["LastUpdateStatus"]),
          ("Active", "Successful"))
    equal(got["Tags"], {"team": "x"})
    with urllib.request.urlopen(got["Code"]["Location"]) as file:
        equal(file.read(), PACKAGE)
    configuration = aws.get_function_configuration(FunctionName=answer["FunctionArn"])
    equal(configuration["RevisionId"], got["Configuration"]["RevisionId"])
    equal([f["FunctionName"] for f in aws.list_functions()["Functions"]], ["basic"])
    equal(aws.delete_function(FunctionName="basic")["ResponseMetadata"]["HTTPStatusCode"], 204)
    refused("ResourceNotFoundException", 404, "Function not found: arn:aws:lambda.*:basic",
            aws.get_function, FunctionName="basic")


@test
def bad_requests_are_refused_as_lambda_does():
    def attempt(**changes):
        request = {"FunctionName": "bad", "Runtime": "provided.al2023", "Role": ROLE,
                   "Handler": "h", "Code": {"ZipFile": PACKAGE}, **changes}
        aws.create_function(**{k: v for k, v in request.items() if v is not None})
    refused("ValidationException", 400, "1 validation error detected: Value 'r1' at 'role'",
            attempt, Role="r1")
    refused("ValidationException", 400, "at 'functionName' failed to satisfy", attempt,
            FunctionName="a b")
    refused("ValidationException", 400, "at 'timeout'", attempt, Timeout=901)
    refused("InvalidParameterValueException", 400, "Could not unzip uploaded file", attempt,
            Code={"ZipFile": b"no zip"})
    refused("InvalidParameterValueException", 400, "Lambda was unable to configure your environment",
            attempt, Environment={"Variables": {"LONG": "x" * 5000}})
    refused("InvalidParameterValueException", 400, "AWS_REGION", attempt,
            Environment={"Variables": {"AWS_REGION": "x"}})
    create("bad")
    refused("ResourceConflictException", 409, "Function already exist: bad", attempt)
    aws.delete_function(FunctionName="bad")


@test
def functions_are_updated():
    create("changing", "app.greet")
    before = aws.get_function_configuration(FunctionName="changing")
    equal(invoke("changing", {"name": "you"})[0], {"text": "hello you"})
    other = package(APP.replace(b"hello", b"goodbye"))
    equal(aws.update_function_code(FunctionName="changing", ZipFile=other, DryRun=True)["CodeSha256"],
          base64.b64encode(hashlib.sha256(other).digest()).decode())
    answer = aws.update_function_code(FunctionName="changing", ZipFile=other)
    equal((answer["LastUpdateStatus"], answer["State"]), ("InProgress", "Active"))
    refused("ResourceConflictException", 409, "An update is in progress for resource",
            aws.update_function_configuration, FunctionName="changing", Timeout=9)
    updated("changing")
    equal(invoke("changing", {"name": "you"})[0], {"text": "goodbye you"})
    aws.update_function_configuration(
        FunctionName="changing", Handler="app.environment", MemorySize=300, Timeout=9,
        Environment={"Variables": {"COLOR": "blue"}})
    updated("changing")
    equal(invoke("changing", {"name": "COLOR"})[0], "blue")
    after = aws.get_function_configuration(FunctionName="changing")
    equal((after["MemorySize"], after["Timeout"], after["Handler"]), (300, 9, "app.environment"))
    refused("PreconditionFailedException", 412, "Revision", aws.update_function_code,
            FunctionName="changing", ZipFile=other, RevisionId=before["RevisionId"])
    aws.delete_function(FunctionName="changing")


@test
def lists_have_pages():
    names = [f"page-{i:02}" for i in range(7)]
    for name in names:
        aws.create_function(FunctionName=name, Runtime="provided.al2023", Role=ROLE, Handler="h",
                            Code={"ZipFile": PACKAGE})
    pages = list(aws.get_paginator("list_functions").paginate(
        PaginationConfig={"PageSize": 3}))
    equal([len(page["Functions"]) for page in pages], [3, 3, 1])
    equal([f["FunctionName"] for page in pages for f in page["Functions"]], names)
    for name in names:
        aws.delete_function(FunctionName=name)


@test
def versions_and_aliases():
    create("versioned", "app.greet")
    first = aws.publish_version(FunctionName="versioned", Description="one")
    equal((first["Version"], first["Description"]), ("1", "one"))
    equal(aws.publish_version(FunctionName="versioned")["Version"], "1")
    updated("versioned")
    other = package(APP.replace(b"hello", b"hi"))
    equal(aws.update_function_code(FunctionName="versioned", ZipFile=other, Publish=True)["Version"],
          "2")
    updated("versioned")
    listed = aws.list_versions_by_function(FunctionName="versioned")["Versions"]
    equal([v["Version"] for v in listed], ["$LATEST", "1", "2"])
    equal(invoke("versioned", Qualifier="1")[0], {"text": "hello nobody"})
    result, answer = invoke("versioned", Qualifier="2")
    equal((result, answer["ExecutedVersion"]), ({"text": "hi nobody"}, "2"))
    alias = aws.create_alias(FunctionName="versioned", Name="live", FunctionVersion="1",
                             Description="d")
    matches(alias["AliasArn"], ":function:versioned:live$")
    equal(invoke("versioned", Qualifier="live")[1]["ExecutedVersion"], "1")
    aws.update_alias(FunctionName="versioned", Name="live", FunctionVersion="2")
    equal(invoke("versioned:live")[1]["ExecutedVersion"], "2")
    aws.update_alias(FunctionName="versioned", Name="live", FunctionVersion="2",
                     RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}})
    equal({invoke("versioned", Qualifier="live")[1]["ExecutedVersion"] for _ in range(40)},
          {"1", "2"})
    equal([a["Name"] for a in aws.list_aliases(FunctionName="versioned")["Aliases"]], ["live"])
    equal(aws.get_alias(FunctionName="versioned", Name="live")["FunctionVersion"], "2")
    refused("ResourceConflictException", 409, "Alias already exists", aws.create_alias,
            FunctionName="versioned", Name="live", FunctionVersion="1")
    equal(aws.get_function(FunctionName="versioned", Qualifier="live")["Configuration"]["Version"],
          "2")
    aws.delete_alias(FunctionName="versioned", Name="live")
    refused("ResourceNotFoundException", 404, "", aws.get_alias, FunctionName="versioned",
            Name="live")
    aws.delete_function(FunctionName="versioned", Qualifier="1")
    refused("ResourceNotFoundException", 404, "", aws.get_function, FunctionName="versioned",
            Qualifier="1")
    aws.delete_function(FunctionName="versioned")


@test
def tags():
    arn = create("tagged", Tags={"a": "1"})["FunctionArn"]
    aws.tag_resource(Resource=arn, Tags={"b": "2", "c": "3"})
    aws.untag_resource(Resource=arn, TagKeys=["a", "c"])
    equal(aws.list_tags(Resource=arn)["Tags"], {"b": "2"})
    aws.delete_function(FunctionName="tagged")


@test
def layers():
    content = archive({"layer.txt": (b"from the layer", 0o644)})
    first = aws.publish_layer_version(LayerName="texts", Description="d", LicenseInfo="MIT",
                                      Content={"ZipFile": content},
                                      CompatibleRuntimes=["provided.al2"])
    equal((first["Version"], first["Content"]["CodeSize"]), (1, len(content)))
    second = aws.publish_layer_version(LayerName="texts", Content={"ZipFile": content})
    equal(second["LayerVersionArn"], first["LayerArn"] + ":2")
    equal([v["Version"] for v in aws.list_layer_versions(LayerName="texts")["LayerVersions"]],
          [2, 1])
    equal([(x["LayerName"], x["LatestMatchingVersion"]["Version"])
           for x in aws.list_layers()["Layers"]], [("texts", 2)])
    got = aws.get_layer_version(LayerName="texts", VersionNumber=1)
    with urllib.request.urlopen(got["Content"]["Location"]) as file:
        equal(file.read(), content)
    equal(aws.get_layer_version_by_arn(Arn=second["LayerVersionArn"])["Version"], 2)
    answer = create("layered", "app.files", Layers=[first["LayerVersionArn"]])
    equal([layer["Arn"] for layer in answer["Layers"]], [first["LayerVersionArn"]])
    if server.isolates:
        equal(invoke("layered")[0], "from the layer")
    aws.delete_layer_version(LayerName="texts", VersionNumber=1)
    if server.isolates:
        equal(invoke("layered")[0], "from the layer")
    refused("ResourceNotFoundException", 404, "", aws.get_layer_version, LayerName="texts",
            VersionNumber=1)
    aws.delete_function(FunctionName="layered")


@test
def permissions():
    create("shared")
    aws.add_permission(FunctionName="shared", StatementId="s1", Action="lambda:InvokeFunction",
                       Principal="s3.amazonaws.com", SourceAccount="123456789012")
    policy = aws.get_policy(FunctionName="shared")
    statement, = json.loads(policy["Policy"])["Statement"]
    equal((statement["Sid"], statement["Principal"]), ("s1", {"Service": "s3.amazonaws.com"}))
    refused("ResourceConflictException", 409, "s1", aws.add_permission, FunctionName="shared",
            StatementId="s1", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    aws.remove_permission(FunctionName="shared", StatementId="s1")
    refused("ResourceNotFoundException", 404, "", aws.get_policy, FunctionName="shared")
    aws.delete_function(FunctionName="shared")


@test
def function_urls():
    create("web")
    url = aws.create_function_url_config(FunctionName="web", AuthType="NONE",
                                         Cors={"AllowOrigins": ["*"]})["FunctionUrl"]
    equal(aws.get_function_url_config(FunctionName="web")["AuthType"], "NONE")
    equal(len(aws.list_function_url_configs(FunctionName="web")["FunctionUrlConfigs"]), 1)
    try:
        urllib.request.urlopen(url)
        raise AssertionError("nobody may call it yet")
    except urllib.error.HTTPError as error:
        equal(error.code, 403)
    aws.add_permission(FunctionName="web", StatementId="public", Principal="*",
                       Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    aws.add_permission(FunctionName="web", StatementId="public2", Principal="*",
                       Action="lambda:InvokeFunction")
    request = urllib.request.Request(url + "some/path?x=1&x=2", b"body", {"X-Thing": "yes"})
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)
        equal(answer.headers["Content-Type"], "application/json")
    equal((event["version"], event["rawPath"], event["rawQueryString"]),
          ("2.0", "/some/path", "x=1&x=2"))
    equal((event["queryStringParameters"], event["headers"]["x-thing"]), ({"x": "1,2"}, "yes"))
    equal((event["requestContext"]["http"]["method"], event["body"]),
          ("POST", base64.b64encode(b"body").decode() if event["isBase64Encoded"] else "body"))
    aws.update_function_url_config(FunctionName="web", AuthType="AWS_IAM")
    equal(aws.get_function_url_config(FunctionName="web")["AuthType"], "AWS_IAM")
    try:
        urllib.request.urlopen(url)
        raise AssertionError("it is not signed")
    except urllib.error.HTTPError as error:
        equal(error.code, 403)
    aws.delete_function_url_config(FunctionName="web")
    refused("ResourceNotFoundException", 404, "", aws.get_function_url_config, FunctionName="web")
    aws.delete_function(FunctionName="web")


@test
def concurrency():
    create("narrow", "app.nap")
    equal(aws.put_function_concurrency(FunctionName="narrow", ReservedConcurrentExecutions=0)
          ["ReservedConcurrentExecutions"], 0)
    answer = refused("TooManyRequestsException", 429, "Rate Exceeded", aws.invoke,
                     FunctionName="narrow", Payload=b'{"seconds":0}')
    equal(answer["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded")
    equal(answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"], "1")
    equal(aws.get_function_concurrency(FunctionName="narrow")["ReservedConcurrentExecutions"], 0)
    aws.delete_function_concurrency(FunctionName="narrow")
    equal(invoke("narrow", {"seconds": 0})[0], "awake")
    refused("InvalidParameterValueException", 400, "UnreservedConcurrentExecution",
            aws.put_function_concurrency, FunctionName="narrow", ReservedConcurrentExecutions=901)
    aws.publish_version(FunctionName="narrow")
    aws.put_provisioned_concurrency_config(FunctionName="narrow", Qualifier="1",
                                           ProvisionedConcurrentExecutions=1)
    eventually(lambda: aws.get_provisioned_concurrency_config(
        FunctionName="narrow", Qualifier="1")["Status"] == "READY")
    equal(len(aws.list_provisioned_concurrency_configs(FunctionName="narrow")
              ["ProvisionedConcurrencyConfigs"]), 1)
    aws.delete_provisioned_concurrency_config(FunctionName="narrow", Qualifier="1")
    aws.delete_function(FunctionName="narrow")


@test
def event_invoke_config():
    arn = create("eventful")["FunctionArn"]
    aws.put_function_event_invoke_config(FunctionName="eventful", MaximumRetryAttempts=1)
    aws.update_function_event_invoke_config(FunctionName="eventful", MaximumEventAgeInSeconds=90)
    got = aws.get_function_event_invoke_config(FunctionName="eventful")
    equal((got["MaximumRetryAttempts"], got["MaximumEventAgeInSeconds"]), (1, 90))
    equal(got["FunctionArn"], arn + ":$LATEST")
    equal(len(aws.list_function_event_invoke_configs(FunctionName="eventful")
              ["FunctionEventInvokeConfigs"]), 1)
    aws.delete_function_event_invoke_config(FunctionName="eventful")
    refused("ResourceNotFoundException", 404, "", aws.get_function_event_invoke_config,
            FunctionName="eventful")
    aws.delete_function(FunctionName="eventful")


@test
def account_settings():
    settings = aws.get_account_settings()
    equal(settings["AccountLimit"]["ConcurrentExecutions"], 1000)
    equal(settings["AccountUsage"]["FunctionCount"], 0)


@test
def invocations():
    create("called")
    for event in ({}, [1, [2]], 1, "text", None, {"deep": [1.5, {"a": None}], "u": "\u00e9\u20ac"}):
        answer = aws.invoke(FunctionName="called", Payload=json.dumps(event))
        equal((answer["StatusCode"], json.load(answer["Payload"])), (200, event))
        equal("FunctionError" in answer, False)
        equal(answer["ExecutedVersion"], "$LATEST")
    equal(aws.invoke(FunctionName="called")["Payload"].read(), b"{}")
    answer = aws.invoke(FunctionName="called", InvocationType="DryRun")
    equal((answer["StatusCode"], answer["Payload"].read()), (204, b""))
    refused("InvalidRequestContentException", 400, "Could not parse request body into json",
            aws.invoke, FunctionName="called", Payload=b"\x99")
    refused("RequestEntityTooLargeException", 413, "6291456 bytes for the InvokeFunction operation",
            aws.invoke, FunctionName="called", Payload=b'"' + b"x" * 6291456 + b'"')
    refused("ResourceNotFoundException", 404, r"Function not found: .*:missing", aws.invoke,
            FunctionName="missing")
    large = "x" * 6000000
    equal(json.load(aws.invoke(FunctionName="called", Payload=json.dumps(large))["Payload"]), large)
    aws.delete_function(FunctionName="called")


@test
def the_tail_of_the_log():
    create("talking", "app.count")
    result, answer = invoke("talking", LogType="Tail")
    log = base64.b64decode(answer["LogResult"]).decode()
    request = answer["ResponseMetadata"]["RequestId"]
    equal(result, 1)
    matches(log, f"^START RequestId: {request} Version: \\$LATEST\ncall 1\n"
            f"END RequestId: {request}\nREPORT RequestId: {request}\tDuration: [\\d.]+ ms\t"
            "Billed Duration: \\d+ ms\tMemory Size: 128 MB\tMax Memory Used: \\d+ MB\t"
            "Init Duration: [\\d.]+ ms\t\n$")
    result, answer = invoke("talking", LogType="Tail")
    equal(result, 2)  # the same environment
    log = base64.b64decode(answer["LogResult"]).decode()
    matches(log, "call 2\n")
    equal("Init Duration" in log, False)
    aws.delete_function(FunctionName="talking")


@test
def failures():
    create("failing", "app.fail")
    result, answer = invoke("failing")
    equal((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
    matches(result["errorMessage"], "app.lua:5: no such luck")
    aws.update_function_configuration(FunctionName="failing", Handler="app.exit")
    updated("failing")
    result, answer = invoke("failing")
    equal(result, {"errorType": "Runtime.ExitError", "errorMessage": "RequestId: "
                   + answer["ResponseMetadata"]["RequestId"]
                   + " Error: Runtime exited with error: exit status 3"})
    aws.update_function_configuration(FunctionName="failing", Handler="app.nap", Timeout=1)
    updated("failing")
    result, answer = invoke("failing", {"seconds": 30})
    equal(answer["FunctionError"], "Unhandled")
    matches(result["errorMessage"], r"Task timed out after 1.00 seconds")
    equal(result["errorType"], "Sandbox.Timedout")
    equal(invoke("failing", {"seconds": 0})[0], "awake")
    aws.update_function_configuration(FunctionName="failing", Handler="missing.handler")
    updated("failing")
    equal(invoke("failing")[1]["FunctionError"], "Unhandled")
    aws.update_function_code(FunctionName="failing", ZipFile=archive({"a": (b"", 0o644)}))
    updated("failing")
    result, answer = invoke("failing")
    equal(result["errorType"], "Runtime.InvalidEntrypoint")
    matches(result["errorMessage"],
            r"Couldn't find valid bootstrap\(s\): \[/var/task/bootstrap /opt/bootstrap\]")
    aws.delete_function(FunctionName="failing")


@test
def contexts():
    create("contextual", "app.context")
    client = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
    result, answer = invoke("contextual", ClientContext=client)
    matches(result["arn"], ":function:contextual$")
    equal(result["id"], answer["ResponseMetadata"]["RequestId"])
    matches(json.dumps(result["client"]), "custom")
    aws.delete_function(FunctionName="contextual")


@test
def events_without_waiting():
    create("later", "app.count")
    answer = aws.invoke(FunctionName="later", InvocationType="Event", Payload=b"{}")
    equal((answer["StatusCode"], answer["Payload"].read()), (202, b""))
    equal(aws.invoke_async(FunctionName="later", InvokeArgs=b"{}")["Status"], 202)
    logs = server.client("logs")

    def messages():
        try:
            found = logs.filter_log_events(logGroupName="/aws/lambda/later", filterPattern="call")
        except ClientError:
            return None
        lines = sorted(event["message"].strip() for event in found["events"])
        return lines if len(lines) == 2 else None

    eventually(messages)
    aws.delete_function(FunctionName="later")


@test
def the_environment_of_functions():
    create("surroundings", "app.environment", Environment={"Variables": {"MINE": "1"}})
    for name, pattern in {
            "AWS_LAMBDA_FUNCTION_NAME": "^surroundings$", "AWS_REGION": "^us-east-1$",
            "AWS_LAMBDA_FUNCTION_VERSION": r"^\$LATEST$", "_HANDLER": "^app.environment$",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "^128$", "MINE": "^1$", "TZ": "^:UTC$",
            "AWS_LAMBDA_LOG_GROUP_NAME": "^/aws/lambda/surroundings$",
            "AWS_LAMBDA_LOG_STREAM_NAME": r"^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "^on-demand$", "AWS_ACCESS_KEY_ID": ".",
            "AWS_SESSION_TOKEN": ".", "LAMBDA_TASK_ROOT": "."}.items():
        matches(invoke("surroundings", {"name": name})[0] or "", pattern)
    for name in ("HOME", "LAMBDAPOOL_LIFELINE", "LAMBDAPOOL_BUILD", "AWS_EXECUTION_ENV"):
        equal(invoke("surroundings", {"name": name})[0], None)
    aws.delete_function(FunctionName="surroundings")


@test
def roles():
    iam = server.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
         "Action": "sts:AssumeRole"}]})
    made = iam.create_role(RoleName="runner", Path="/lambdapool/", AssumeRolePolicyDocument=trust,
                           Tags=[{"Key": "creator", "Value": "lambdapool"}])["Role"]
    equal(made["Arn"], "arn:aws:iam::123456789012:role/lambdapool/runner")
    role = iam.get_role(RoleName="runner")["Role"]
    equal(role["AssumeRolePolicyDocument"], json.loads(trust))
    refused("EntityAlreadyExists", 409, "runner", iam.create_role, RoleName="runner",
            AssumeRolePolicyDocument=trust)
    refused("MalformedPolicyDocument", 400, "", iam.create_role, RoleName="other",
            AssumeRolePolicyDocument="no json")
    basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="runner", PolicyArn=basic)
    equal([p["PolicyArn"] for p in
           iam.list_attached_role_policies(RoleName="runner")["AttachedPolicies"]], [basic])
    iam.put_role_policy(RoleName="runner", PolicyName="inline", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}))
    equal(iam.list_role_policies(RoleName="runner")["PolicyNames"], ["inline"])
    equal(iam.get_role_policy(RoleName="runner", PolicyName="inline")["PolicyDocument"]
          ["Statement"][0]["Action"], "s3:GetObject")
    refused("DeleteConflict", 409, "", iam.delete_role, RoleName="runner")
    iam.detach_role_policy(RoleName="runner", PolicyArn=basic)
    iam.delete_role_policy(RoleName="runner", PolicyName="inline")
    equal([r["RoleName"] for r in iam.list_roles()["Roles"]], ["runner"])
    iam.delete_role(RoleName="runner")
    refused("NoSuchEntity", 404, "runner", iam.get_role, RoleName="runner")


@test
def identities():
    sts = server.client("sts")
    equal(sts.get_caller_identity()["Account"], "123456789012")
    iam = server.client("iam")
    trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'
    arn = iam.create_role(RoleName="assumed", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    answer = sts.assume_role(RoleArn=arn, RoleSessionName="me")
    matches(answer["AssumedRoleUser"]["Arn"], ":assumed-role/assumed/me$")
    keys = answer["Credentials"]
    temporary = {"aws_access_key_id": keys["AccessKeyId"],
                 "aws_secret_access_key": keys["SecretAccessKey"],
                 "aws_session_token": keys["SessionToken"]}
    matches(server.client("sts", **temporary).get_caller_identity()["Arn"],
            ":assumed-role/assumed/me$")
    server.client("lambda", **temporary).list_functions()
    refused("UnrecognizedClientException", 403, "security token",
            server.client("lambda", **{**temporary, "aws_session_token": "no"}).list_functions)
    iam.delete_role(RoleName="assumed")


@test
def nobody_else_gets_in():
    refused("UnrecognizedClientException", 403, "The security token included in the request is invalid",
            server.client("lambda", aws_access_key_id="AKIDWRONG").list_functions)
    refused("InvalidSignatureException", 403, "The request signature we calculated does not match",
            server.client("lambda", aws_secret_access_key="wrong").list_functions)
    refused("SignatureDoesNotMatch", 403, "The request signature we calculated does not match",
            server.client("iam", aws_secret_access_key="wrong").list_roles)
    refused("InvalidClientTokenId", 403, "The security token included in the request is invalid",
            server.client("sts", aws_access_key_id="AKIDWRONG").get_caller_identity)
    try:
        urllib.request.urlopen(server.url + "/2015-03-31/functions/")
        raise AssertionError("it is not signed")
    except urllib.error.HTTPError as error:
        equal((error.code, json.load(error)["message"]), (403, "Missing Authentication Token"))
        equal(error.headers["x-amzn-ErrorType"], "MissingAuthenticationTokenException")


@test
def logs():
    create("logging", "app.count")
    for _ in range(3):
        invoke("logging")
    client = server.client("logs")
    group = "/aws/lambda/logging"
    stream, = eventually(lambda: client.describe_log_streams(logGroupName=group)["logStreams"])
    events = client.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"],
                                   startFromHead=True)["events"]
    equal([e["message"].split()[0] for e in events], ["START", "call", "END", "REPORT"] * 3)
    found = client.filter_log_events(logGroupName=group, filterPattern='"call 2"')["events"]
    equal([e["message"].strip() for e in found], ["call 2"])
    client.put_retention_policy(logGroupName=group, retentionInDays=7)
    groups = client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    equal((groups[0]["logGroupName"], groups[0]["retentionInDays"]), (group, 7))
    client.create_log_group(logGroupName="mine")
    client.create_log_stream(logGroupName="mine", logStreamName="s")
    now = int(time.time() * 1000)
    client.put_log_events(logGroupName="mine", logStreamName="s",
                          logEvents=[{"timestamp": now, "message": "by hand"}])
    equal([e["message"] for e in client.get_log_events(logGroupName="mine", logStreamName="s")
           ["events"]], ["by hand"])
    refused("ResourceAlreadyExistsException", 400, "", client.create_log_group, logGroupName="mine")
    for name in (group, "mine"):
        client.delete_log_group(logGroupName=name)
    refused("ResourceNotFoundException", 400, "", client.describe_log_streams, logGroupName="mine")
    aws.delete_function(FunctionName="logging")


@test
def regions_are_apart():
    create("local-only")
    equal(server.client("lambda", region_name="eu-west-1").list_functions()["Functions"], [])
    aws.delete_function(FunctionName="local-only")


@test
def everything_survives_a_restart():
    global server, aws
    create("lasting", "app.greet", Tags={"k": "v"})
    aws.publish_version(FunctionName="lasting")
    aws.create_alias(FunctionName="lasting", Name="live", FunctionVersion="1")
    server.kill()
    server = Server(folder)
    aws = server.client("lambda")
    got = aws.get_function(FunctionName="lasting")
    equal((got["Configuration"]["State"], got["Tags"]), ("Active", {"k": "v"}))
    equal(invoke("lasting", {"name": "again"}, Qualifier="live")[0], {"text": "hello again"})
    equal(server.stop(), 0)


failed = run(tests, "boto3: ")
if server.process.poll() is None:
    server.stop()
if failed:
    print("\n".join("# " + line for line in server.text().splitlines()[-40:]))
shutil.rmtree(folder, ignore_errors=True)
sys.exit(failed > 0)
