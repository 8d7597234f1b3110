"""The services behind aws_simulator: what is stored of functions, layers, roles, identities and logs, and what each
operation answers. Written from AWS's documentation, without a look at `lambdapool serve`.

An operation is a function of (account, parameters, exchange); it returns the output, or raises Refusal."""

import base64
import hashlib
import io
import json
import time
import urllib.parse
import uuid
import zipfile

from aws_wire import Refusal


def iso(moment):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def copy(value):
    return json.loads(json.dumps(value))


class Account:
    """All of one account. `settings` say how slow and how odd it is."""

    def __init__(self, number="444455556666", region="us-east-1"):
        self.number, self.region = number, region
        self.functions, self.layers, self.roles, self.groups = {}, {}, {}, {}
        self.concurrency = {}
        self.page, self.empty_pages = 50, False  # items a page, and whether every other page is empty
        self.role_refusals = 0  # how often Lambda cannot assume a new role yet
        self.limit = self.running = self.most = 0  # how many may run at a time (0: any), run now, and have run
        self.pending_looks = 0  # how many looks at a function find it Pending or InProgress

    def arn(self, what):
        return f"arn:aws:lambda:{self.region}:{self.number}:{what}"

    def name_of(self, given):
        """The name in a name, an ARN or a part of one."""
        parts = given.split(":")
        if len(parts) > 2:
            at = parts.index("function")
            return parts[at + 1]
        return parts[0]

    def function(self, given, suffix=""):
        name = self.name_of(given)
        if name not in self.functions:
            raise Refusal(404, "ResourceNotFoundException",
                          f"Function not found: {self.arn('function:' + name)}{suffix}", Type="User")
        return self.functions[name]

    def pages(self, items, marker, limit=None):
        """One page of the items and the marker of the next one."""
        start, empty = int(marker.split("-")[0]) if marker else 0, bool(marker) and marker.endswith("-e")
        if self.empty_pages and not empty:
            return [], f"{start}-e"
        end = start + min(self.page, limit or self.page)
        return items[start:end], f"{end}-f" if end < len(items) else None


OPERATIONS = {}


def operation(function):
    OPERATIONS["".join(part.capitalize() for part in function.__name__.split("_"))] = function
    return function


# Functions ------------------------------------------------------------------------------------

class Function:
    def __init__(self, configuration, archive, tags):
        self.configuration, self.archive, self.tags = configuration, archive, tags
        self.statements, self.busy = [], 0

    def look(self):
        """Somebody looks at its state: that is how time passes here."""
        if self.busy > 0:
            self.busy -= 1
        if self.busy == 0:
            self.configuration.update(State="Active", LastUpdateStatus="Successful")
            for key in list(self.configuration):
                if "Reason" in key:
                    del self.configuration[key]
        return copy(self.configuration)

    def changed(self, looks):
        self.busy = looks
        self.configuration.update(RevisionId=str(uuid.uuid4()), LastUpdateStatus="InProgress",
                                  LastModified=time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime()),
                                  LastUpdateStatusReason="The function is being created.",
                                  LastUpdateStatusReasonCode="Creating")

    def check_changeable(self, params):
        if params.get("RevisionId", self.configuration["RevisionId"]) != self.configuration["RevisionId"]:
            raise Refusal(412, "PreconditionFailedException", "The Revision Id provided does not match the latest "
                          "Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
        if self.busy:
            raise Refusal(409, "ResourceConflictException", "The operation cannot be performed at this time. An update "
                          f"is in progress for resource: {self.configuration['FunctionArn']}")


def check_archive(data):
    if len(data) > 52428800:
        raise Refusal(413, "RequestEntityTooLargeException", "Zipped size must be smaller than 52428800 bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            bad, size = file.testzip(), sum(info.file_size for info in file.infolist())
    except zipfile.BadZipFile:
        bad, size = True, 0
    if bad:
        raise Refusal(400, "InvalidParameterValueException",
                      "Could not unzip uploaded file. Please check your file, then try to upload again.")
    if size > 262144000:
        raise Refusal(400, "InvalidParameterValueException", "Unzipped size must be smaller than 262144000 bytes")


def check_role(account, arn):
    """The role must be there, trust Lambda, and be known everywhere, which takes a while."""
    role = account.roles.get(arn.split("/")[-1])
    trusts = role and any(s.get("Principal") == {"Service": "lambda.amazonaws.com"}
                          for s in json.loads(role["document"])["Statement"])
    if role and role["Arn"] == arn and trusts and role["unknown"] == 0:
        return
    if role and role["unknown"] > 0:
        role["unknown"] -= 1
    raise Refusal(400, "InvalidParameterValueException",
                  "The role defined for the function cannot be assumed by Lambda.")


def check_settings(params):
    variables = params.get("Environment", {}).get("Variables", {})
    if len(json.dumps(variables, separators=(",", ":"))) > 4096:
        raise Refusal(400, "InvalidParameterValueException", "Lambda was unable to configure your environment variables "
                      "because the environment variables you have provided exceeded the 4KB limit.")
    if len(params.get("Layers", [])) > 5:
        raise Refusal(400, "InvalidParameterValueException", "Cannot reference more than 5 layers.")


def layers_of(account, arns):
    for arn in arns:
        parts = arn.split(":")
        if len(parts) != 8 or int(parts[7]) not in account.layers.get(parts[6], {}):
            raise Refusal(400, "InvalidParameterValueException", f"Layer version {arn} does not exist.")
    return [{"Arn": arn, "CodeSize": 1} for arn in arns]


def code_fields(data):
    return {"CodeSha256": base64.b64encode(hashlib.sha256(data).digest()).decode(), "CodeSize": len(data)}


@operation
def create_function(account, params, _):
    name = account.name_of(params["FunctionName"])
    data = params["Code"].get("ZipFile")
    check_settings(params)
    check_archive(data or b"")
    check_role(account, params["Role"])
    if name in account.functions:
        raise Refusal(409, "ResourceConflictException", f"Function already exist: {name}")
    arn = account.arn("function:" + name)
    configuration = {
        "FunctionName": name, "FunctionArn": arn, "Runtime": params["Runtime"], "Role": params["Role"],
        "Handler": params["Handler"], **code_fields(data), "Description": params.get("Description", ""),
        "Timeout": params.get("Timeout", 3), "MemorySize": params.get("MemorySize", 128), "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"}, "PackageType": "Zip",
        "Architectures": params.get("Architectures", ["x86_64"]), "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/" + name}}
    if params.get("Layers"):
        configuration["Layers"] = layers_of(account, params["Layers"])
    if "Environment" in params:
        configuration["Environment"] = params["Environment"]
    function = account.functions[name] = Function(configuration, data, params.get("Tags", {}))
    function.changed(account.pending_looks + 1)
    del configuration["LastUpdateStatus"], configuration["LastUpdateStatusReason"]
    del configuration["LastUpdateStatusReasonCode"]
    configuration.update(State="Pending", StateReason="The function is being created.", StateReasonCode="Creating")
    return copy(configuration)


@operation
def get_function(account, params, exchange):
    function = account.function(params["FunctionName"])
    name = function.configuration["FunctionName"]
    place = f"{exchange.simulator.url}/archive/{name}?X-Amz-Signature=0"
    answer = {"Configuration": function.look(), "Code": {"RepositoryType": "S3", "Location": place}}
    if function.tags:
        answer["Tags"] = dict(function.tags)
    if name in account.concurrency:
        answer["Concurrency"] = {"ReservedConcurrentExecutions": account.concurrency[name]}
    return answer


@operation
def get_function_configuration(account, params, _):
    return account.function(params["FunctionName"]).look()


@operation
def update_function_code(account, params, _):
    function = account.function(params["FunctionName"])
    function.check_changeable(params)
    check_archive(params["ZipFile"])
    if params.get("DryRun"):
        return {**copy(function.configuration), **code_fields(params["ZipFile"])}
    function.archive = params["ZipFile"]
    function.configuration.update(code_fields(function.archive))
    if "Architectures" in params:
        function.configuration["Architectures"] = params["Architectures"]
    function.changed(account.pending_looks + 1)
    return copy(function.configuration)


@operation
def update_function_configuration(account, params, _):
    function = account.function(params["FunctionName"])
    function.check_changeable(params)
    check_settings(params)
    if "Role" in params:
        check_role(account, params["Role"])
    for key in ("Role", "Handler", "Description", "Timeout", "MemorySize", "Environment", "Runtime"):
        if key in params:
            function.configuration[key] = params[key]
    if "Layers" in params:
        function.configuration["Layers"] = layers_of(account, params["Layers"])
        if not params["Layers"]:
            del function.configuration["Layers"]
    function.changed(account.pending_looks + 1)
    return copy(function.configuration)


@operation
def delete_function(account, params, _):
    function = account.function(params["FunctionName"])
    del account.functions[function.configuration["FunctionName"]]


@operation
def list_functions(account, params, _):
    names, marker = account.pages(sorted(account.functions), params.get("Marker"), params.get("MaxItems"))
    hidden = ("State", "LastUpdateStatus", "Reason")
    listed = [{k: v for k, v in account.functions[name].configuration.items()
               if not any(word in k for word in hidden)} for name in names]
    return {"Functions": copy(listed), **({"NextMarker": marker} if marker else {})}


@operation
def list_tags(account, params, _):
    return {"Tags": dict(account.function(params["Resource"]).tags)}


@operation
def tag_resource(account, params, _):
    account.function(params["Resource"]).tags.update(params["Tags"])


@operation
def untag_resource(account, params, _):
    for key in params["TagKeys"]:
        account.function(params["Resource"]).tags.pop(key, None)


@operation
def put_function_concurrency(account, params, _):
    account.concurrency[account.name_of(params["FunctionName"])] = params["ReservedConcurrentExecutions"]
    return {"ReservedConcurrentExecutions": params["ReservedConcurrentExecutions"]}


@operation
def get_account_settings(account, _, __):
    return {"AccountLimit": {"TotalCodeSize": 80530636800, "CodeSizeUnzipped": 262144000, "CodeSizeZipped": 52428800,
                             "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000},
            "AccountUsage": {"TotalCodeSize": 0, "FunctionCount": len(account.functions)}}


# Permissions ----------------------------------------------------------------------------------

@operation
def add_permission(account, params, _):
    function = account.function(params["FunctionName"])
    if any(s["Sid"] == params["StatementId"] for s in function.statements):
        raise Refusal(409, "ResourceConflictException", f"The statement id ({params['StatementId']}) provided already "
                      "exists. Please provide a new statement id, or remove the existing statement.")
    kind = "Service" if params["Principal"].endswith(".amazonaws.com") else "AWS"
    statement = {"Sid": params["StatementId"], "Effect": "Allow", "Principal": {kind: params["Principal"]},
                 "Action": params["Action"], "Resource": function.configuration["FunctionArn"]}
    if "SourceArn" in params:
        statement["Condition"] = {"ArnLike": {"AWS:SourceArn": params["SourceArn"]}}
    function.statements.append(statement)
    return {"Statement": json.dumps(statement)}


@operation
def get_policy(account, params, _):
    function = account.function(params["FunctionName"])
    if not function.statements:
        raise Refusal(404, "ResourceNotFoundException", "The resource you requested does not exist.")
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": function.statements}
    return {"Policy": json.dumps(policy), "RevisionId": function.configuration["RevisionId"]}


@operation
def remove_permission(account, params, _):
    function = account.function(params["FunctionName"])
    left = [s for s in function.statements if s["Sid"] != params["StatementId"]]
    if len(left) == len(function.statements):
        raise Refusal(404, "ResourceNotFoundException", f"Statement {params['StatementId']} is not found in resource "
                      "policy.")
    function.statements = left


# Layers ---------------------------------------------------------------------------------------

def layer_fields(account, name, number):
    version = account.layers[name][number]
    arn = account.arn("layer:" + name)
    return {"LayerVersionArn": f"{arn}:{number}", "Version": number, "Description": version["Description"],
            "CreatedDate": "2026-01-01T00:00:00.000+0000", **version["Compatible"]}


@operation
def publish_layer_version(account, params, _):
    data, name = params["Content"]["ZipFile"], params["LayerName"].split(":")[-1]
    check_archive(data)
    versions = account.layers.setdefault(name, {})
    number = account.concurrency.get("layer:" + name, 0) + 1
    account.concurrency["layer:" + name] = number
    versions[number] = {"Description": params.get("Description", ""), "archive": data, "Compatible": {
        k: params[k] for k in ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo") if k in params}}
    return {"Content": {"Location": "https://s3/", **code_fields(data)}, "LayerArn": account.arn("layer:" + name),
            **layer_fields(account, name, number)}


@operation
def list_layer_versions(account, params, _):
    name = params["LayerName"].split(":")[-1]
    numbers = sorted(account.layers.get(name, {}), reverse=True)
    page, marker = account.pages(numbers, params.get("Marker"), params.get("MaxItems"))
    return {"LayerVersions": [layer_fields(account, name, n) for n in page],
            **({"NextMarker": marker} if marker else {})}


@operation
def list_layers(account, params, _):
    names = [name for name in sorted(account.layers) if account.layers[name]]
    page, marker = account.pages(names, params.get("Marker"), params.get("MaxItems"))
    listed = [{"LayerName": n, "LayerArn": account.arn("layer:" + n),
               "LatestMatchingVersion": layer_fields(account, n, max(account.layers[n]))} for n in page]
    return {"Layers": listed, **({"NextMarker": marker} if marker else {})}


@operation
def get_layer_version(account, params, _):
    name, number = params["LayerName"].split(":")[-1], params["VersionNumber"]
    if number not in account.layers.get(name, {}):
        raise Refusal(404, "ResourceNotFoundException", "The resource you requested does not exist.")
    data = account.layers[name][number]["archive"]
    return {"Content": {"Location": "https://s3/", **code_fields(data)}, "LayerArn": account.arn("layer:" + name),
            **layer_fields(account, name, number)}


@operation
def delete_layer_version(account, params, _):
    account.layers.get(params["LayerName"].split(":")[-1], {}).pop(params["VersionNumber"], None)


# Roles and identities -------------------------------------------------------------------------

def role_named(account, name):
    if name not in account.roles:
        raise Refusal(404, "NoSuchEntity", f"The role with name {name} cannot be found.")
    return account.roles[name]


def role_fields(role):
    return {"Path": role["Path"], "RoleName": role["RoleName"], "RoleId": "AROAEXAMPLE", "Arn": role["Arn"],
            "CreateDate": role["CreateDate"], "AssumeRolePolicyDocument": urllib.parse.quote(role["document"]),
            "Description": role["Description"], "MaxSessionDuration": 3600,
            "Tags": [{"Key": k, "Value": v} for k, v in role["tags"].items()]}


def check_document(text):
    try:
        for statement in json.loads(text)["Statement"]:
            assert statement["Effect"] in ("Allow", "Deny") and statement["Action"]
    except (ValueError, KeyError, TypeError, AssertionError):
        raise Refusal(400, "MalformedPolicyDocument", "This policy contains invalid Json") from None


@operation
def create_role(account, params, _):
    name, path = params["RoleName"], params.get("Path", "/")
    check_document(params["AssumeRolePolicyDocument"])
    if name in account.roles:
        raise Refusal(409, "EntityAlreadyExists", f"Role with name {name} already exists.")
    account.roles[name] = {
        "RoleName": name, "Path": path, "Arn": f"arn:aws:iam::{account.number}:role{path}{name}",
        "document": params["AssumeRolePolicyDocument"], "Description": params.get("Description", ""),
        "tags": {t["Key"]: t["Value"] for t in params.get("Tags", [])}, "CreateDate": iso(time.time()),
        "inline": {}, "attached": {}, "unknown": account.role_refusals}
    return {"Role": role_fields(account.roles[name])}


@operation
def get_role(account, params, _):
    return {"Role": role_fields(role_named(account, params["RoleName"]))}


@operation
def list_roles(account, params, _):
    names = sorted(n for n, r in account.roles.items() if r["Path"].startswith(params.get("PathPrefix", "/")))
    page, marker = account.pages(names, params.get("Marker"))
    return {"Roles": [role_fields(account.roles[n]) for n in page], "IsTruncated": marker is not None,
            "Marker": marker}


@operation
def delete_role(account, params, _):
    role = role_named(account, params["RoleName"])
    if role["inline"] or role["attached"]:
        raise Refusal(409, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
    del account.roles[params["RoleName"]]


@operation
def tag_role(account, params, _):
    role_named(account, params["RoleName"])["tags"].update({t["Key"]: t["Value"] for t in params["Tags"]})


@operation
def list_role_tags(account, params, _):
    tags = role_named(account, params["RoleName"])["tags"]
    return {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()], "IsTruncated": False}


@operation
def put_role_policy(account, params, _):
    check_document(params["PolicyDocument"])
    role_named(account, params["RoleName"])["inline"][params["PolicyName"]] = params["PolicyDocument"]


@operation
def get_role_policy(account, params, _):
    inline = role_named(account, params["RoleName"])["inline"]
    if params["PolicyName"] not in inline:
        raise Refusal(404, "NoSuchEntity", f"The role policy with name {params['PolicyName']} cannot be found.")
    return {**params, "PolicyDocument": urllib.parse.quote(inline[params["PolicyName"]])}


@operation
def list_role_policies(account, params, _):
    return {"PolicyNames": sorted(role_named(account, params["RoleName"])["inline"]), "IsTruncated": False}


@operation
def delete_role_policy(account, params, _):
    if role_named(account, params["RoleName"])["inline"].pop(params["PolicyName"], None) is None:
        raise Refusal(404, "NoSuchEntity", f"The role policy with name {params['PolicyName']} cannot be found.")


@operation
def attach_role_policy(account, params, _):
    name = params["PolicyArn"].split("/")[-1]
    role_named(account, params["RoleName"])["attached"][params["PolicyArn"]] = name


@operation
def list_attached_role_policies(account, params, _):
    attached = role_named(account, params["RoleName"])["attached"]
    return {"AttachedPolicies": [{"PolicyName": n, "PolicyArn": a} for a, n in attached.items()],
            "IsTruncated": False}


@operation
def detach_role_policy(account, params, _):
    if role_named(account, params["RoleName"])["attached"].pop(params["PolicyArn"], None) is None:
        raise Refusal(404, "NoSuchEntity", f"Policy {params['PolicyArn']} was not found.")


@operation
def get_caller_identity(account, _, exchange):
    return {"UserId": "AIDAEXAMPLE", "Account": account.number, "Arn": exchange.who["arn"]}


@operation
def assume_role(account, params, exchange):
    name = params["RoleArn"].split("/")[-1]
    keys = exchange.simulator.issue(f"arn:aws:sts::{account.number}:assumed-role/{name}/{params['RoleSessionName']}",
                                    params.get("DurationSeconds", 3600))
    return {"Credentials": {"AccessKeyId": keys["id"], "SecretAccessKey": keys["secret"],
                            "SessionToken": keys["token"], "Expiration": iso(keys["expires"])},
            "AssumedRoleUser": {"AssumedRoleId": "AROAEXAMPLE:" + params["RoleSessionName"], "Arn": keys["arn"]}}


@operation
def assume_role_with_web_identity(account, params, exchange):
    if params["WebIdentityToken"] != "web-token":
        raise Refusal(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
    return assume_role(account, params, exchange)


# Logs -----------------------------------------------------------------------------------------

def group_named(account, name):
    if name not in account.groups:
        raise Refusal(400, "ResourceNotFoundException", "The specified log group does not exist.")
    return account.groups[name]


def append_log(account, group, stream, lines):
    """Events of a log group, as a function writes them."""
    events = account.groups.setdefault(group, [])
    for line in lines:
        now = int(time.time() * 1000)
        events.append({"logStreamName": stream, "timestamp": now, "ingestionTime": now, "message": line,
                       "eventId": f"{len(events):056d}"})


@operation
def filter_log_events(account, params, _):
    pattern = params.get("filterPattern", "").strip('"')
    chosen = [e for e in group_named(account, params["logGroupName"])
              if params.get("startTime", 0) <= e["timestamp"] < params.get("endTime", 1 << 62)
              and pattern in e["message"]]
    page, marker = account.pages(chosen, params.get("nextToken"), params.get("limit"))
    return {"events": page, "searchedLogStreams": [], **({"nextToken": marker} if marker else {})}


@operation
def describe_log_groups(account, params, _):
    names = sorted(n for n in account.groups if n.startswith(params.get("logGroupNamePrefix", "")))
    page, marker = account.pages(names, params.get("nextToken"), params.get("limit"))
    listed = [{"logGroupName": n, "creationTime": 0, "storedBytes": 0,
               "arn": f"arn:aws:logs:{account.region}:{account.number}:log-group:{n}:*"} for n in page]
    return {"logGroups": listed, **({"nextToken": marker} if marker else {})}


@operation
def describe_log_streams(account, params, _):
    names = sorted({e["logStreamName"] for e in group_named(account, params["logGroupName"])})
    return {"logStreams": [{"logStreamName": n} for n in names]}


@operation
def create_log_group(account, params, _):
    if params["logGroupName"] in account.groups:
        raise Refusal(400, "ResourceAlreadyExistsException", "The specified log group already exists")
    account.groups[params["logGroupName"]] = []


@operation
def put_retention_policy(account, params, _):
    group_named(account, params["logGroupName"])


@operation
def delete_log_group(account, params, _):
    group_named(account, params["logGroupName"])
    del account.groups[params["logGroupName"]]
