#!/usr/bin/python3
"""The judge is judged: boto3, which knows nothing of this project, finds an AWS in aws_simulator, and what is signed or
asked for wrongly does not get past it. Prints TAP."""

import base64
import http.client
import io
import json
import os
import sys
import zipfile

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from aws_simulator import (KEYS, Simulator, changed, cut, deny, refuse, reset_after, reset_before, send,
                           throttle)
from serve_server import equal, eventually, matches, package, run

PACKAGE = package(b"""local calls = 0
return { echo = function(event) calls = calls + 1 print("call " .. calls) return event end,
  exit = function() os.exit(3) end, nap = function() os.execute "sleep 60" end }""")
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
aws = Simulator()


def client(service, **options):
    config = Config(retries={"max_attempts": 0}, parameter_validation=False)
    return boto3.client(service, **{"endpoint_url": aws.url, "region_name": "us-east-1", "config": config, **KEYS,
                                    **options})


functions, iam, logs = client("lambda"), client("iam"), client("logs")


def refused(code, pattern, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        equal(error.response["Error"]["Code"], code)
        matches(error.response["Error"]["Message"], pattern)
        return
    raise AssertionError("no error")


def create(name, handler="app.echo", **options):
    role = iam.get_role(RoleName="r")["Role"]["Arn"]
    functions.create_function(FunctionName=name, Runtime="provided.al2023", Role=role, Handler=handler,
                              Code={"ZipFile": PACKAGE}, **options)
    functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.01})


def roles():
    made = iam.create_role(RoleName="r", Path="/p/", AssumeRolePolicyDocument=TRUST)["Role"]
    equal((made["Arn"], made["AssumeRolePolicyDocument"]), ("arn:aws:iam::444455556666:role/p/r", json.loads(TRUST)))
    equal([r["RoleName"] for r in iam.list_roles(PathPrefix="/p/")["Roles"]], ["r"])
    refused("NoSuchEntity", "nobody", iam.get_role, RoleName="nobody")
    refused("MalformedPolicyDocument", "", iam.put_role_policy, RoleName="r", PolicyName="p", PolicyDocument="{}")


def functions_run():
    create("f")
    answer = functions.invoke(FunctionName="f", Payload=b'{"a":1}', LogType="Tail")
    equal(answer["Payload"].read(), b'{"a":1}')
    matches(base64.b64decode(answer["LogResult"]).decode(), "START.*\ncall 1\nEND .*\nREPORT .*Init Duration")
    equal([e["message"] for e in logs.filter_log_events(logGroupName="/aws/lambda/f", filterPattern="call")["events"]],
          ["call 1\n"])
    create("exit", "app.exit")
    answer = functions.invoke(FunctionName="exit", Payload=b"{}")
    equal((answer["FunctionError"], json.load(answer["Payload"])["errorType"]), ("Unhandled", "Runtime.ExitError"))
    create("nap", "app.nap", Timeout=1)
    equal(json.load(functions.invoke(FunctionName="nap")["Payload"])["errorType"], "Sandbox.Timedout")
    refused("InvalidRequestContentException", "parse", functions.invoke, FunctionName="f", Payload=b"{")
    refused("ResourceNotFoundException", r":g:\$LATEST", functions.invoke, FunctionName="g")


def pages_may_be_empty():
    aws.account.page, aws.account.empty_pages = 1, True
    pages = list(functions.get_paginator("list_functions").paginate())
    equal([[f["FunctionName"] for f in p["Functions"]] for p in pages], [[], ["exit"], [], ["f"], [], ["nap"]])
    aws.account.page, aws.account.empty_pages = 50, False


def strangers_are_refused():
    refused("InvalidSignatureException", "does not match", client("lambda", aws_secret_access_key="x").list_functions)
    refused("UnrecognizedClientException", "", client("lambda", aws_access_key_id="AKIAX").list_functions)
    refused("UnrecognizedClientException", "", client("lambda", aws_session_token="x").list_functions)
    aws.clock = 1000
    refused("InvalidSignatureException", "expired", functions.list_functions)
    aws.clock = 0
    temporary = client("sts").assume_role(RoleArn="arn:aws:iam::1:role/r", RoleSessionName="me")["Credentials"]
    keys = {"aws_access_key_id": temporary["AccessKeyId"], "aws_secret_access_key": temporary["SecretAccessKey"],
            "aws_session_token": temporary["SessionToken"]}
    matches(client("sts", **keys).get_caller_identity()["Arn"], "assumed-role/r/me")


def altered_requests_are_refused():
    def status(alter):
        request = AWSRequest("POST", aws.url + "/2015-03-31/functions/f/invocations?Qualifier=a",
                             {"X-Amz-Log-Type": "Tail", "Host": f"127.0.0.1:{aws.port}"}, b"{}")
        SigV4Auth(Credentials(*KEYS.values()), "lambda", "us-east-1").add_auth(request)
        parts = {"target": "/2015-03-31/functions/f/invocations?Qualifier=a", "body": b"{}",
                 "headers": dict(request.headers)}
        alter(parts)
        connection = http.client.HTTPConnection("127.0.0.1", aws.port)
        connection.request("POST", parts["target"], parts["body"], parts["headers"])
        found = connection.getresponse().status
        connection.close()
        return found
    equal(status(lambda parts: None), 200)
    for alter in (lambda p: p.update(body=b"[]"), lambda p: p.update(target=p["target"] + "b"),
                  lambda p: p.update(target=p["target"].replace("f/", "%66/")),
                  lambda p: p["headers"].update({"X-Amz-Log-Type": "None"}), lambda p: p["headers"].pop("Authorization")):
        equal(status(alter), 403)
    equal(aws.violations, [])
    equal(status(lambda p: p["headers"].update({"X-Amz-Extra": "1"})), 200)
    matches(aws.violations.pop(), "x-amz-extra.*not signed")


def what_the_models_do_not_know_is_refused():
    role = iam.get_role(RoleName="r")["Role"]["Arn"]
    for changes in ({"MemorySize": 64}, {"Role": "r"}, {"Runtime": "lua5.4"}, {"Layers": "x"}, {"Timeout": "3"}):
        refused("ValidationException", "", functions.create_function, **{
            "FunctionName": "g", "Runtime": "provided.al2023", "Role": role, "Handler": "h",
            "Code": {"ZipFile": PACKAGE}, **changes})
        matches(aws.violations.pop(), "CreateFunction")
    out = io.BytesIO()
    zipfile.ZipFile(out, "w").close()
    refused("InvalidParameterValueException", "unzip", functions.update_function_code, FunctionName="f", ZipFile=b"x")
    equal(aws.violations, [])


def slow_roles_and_states():
    aws.account.role_refusals = 1
    arn = iam.create_role(RoleName="late", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    refused("InvalidParameterValueException", "cannot be assumed", functions.update_function_configuration,
            FunctionName="f", Role=arn)
    aws.account.pending_looks = 2
    functions.update_function_configuration(FunctionName="f", Role=arn)
    refused("ResourceConflictException", "in progress", functions.update_function_configuration, FunctionName="f")
    looks = [functions.get_function(FunctionName="f")["Configuration"]["LastUpdateStatus"] for _ in range(3)]
    equal(looks, ["InProgress", "InProgress", "Successful"])
    aws.account.pending_looks = aws.account.role_refusals = 0


def it_misbehaves_as_told():
    for action, kind in ((throttle(), ClientError), (refuse(503, "ServiceException"), ClientError),
                         (deny("lambda:InvokeFunction"), ClientError), (reset_before(), HTTPClientError),
                         (reset_after(30), HTTPClientError), (cut(3), HTTPClientError),
                         (send(b"junk\r\n\r\n"), HTTPClientError)):
        aws.on("Invoke", action, times=1)
        try:
            functions.invoke(FunctionName="f", Payload=b'"text"')["Payload"].read()
            raise AssertionError("it went well")
        except kind:
            pass
    aws.on("Invoke", changed(lambda answer, _: answer.replace(b'"text"', b'"lies"')), times=1)
    equal(functions.invoke(FunctionName="f", Payload=b'"text"')["Payload"].read(), b'"lies"')
    before = len(aws.calls("Invoke"))
    functions.invoke(FunctionName="f", Payload=b"{}", InvocationType="Event")
    equal(len(aws.calls("Invoke")), before + 1)
    events = logs.filter_log_events
    eventually(lambda: len(events(logGroupName="/aws/lambda/f", filterPattern="call")["events"]) >= 6)
    equal(aws.violations, [])


if __name__ == "__main__":
    failed = run([roles, functions_run, pages_may_be_empty, strangers_are_refused, altered_requests_are_refused,
                  what_the_models_do_not_know_is_refused, slow_roles_and_states, it_misbehaves_as_told], "simulator: ")
    aws.close()
    sys.exit(failed > 0)
