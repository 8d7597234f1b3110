"""What is on the wire between a client and AWS, told by botocore: its signer recalculates signatures from the raw
request, its service models say which operation a request is, what may be in it and how an answer is written."""

import base64
import datetime
import hashlib
import hmac
import json
import re
import urllib.parse
from xml.sax.saxutils import escape

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

SESSION = botocore.session.get_session()
MODELS = {name: SESSION.get_service_model(name) for name in ("lambda", "iam", "sts", "logs")}

# What is newer than Debian's botocore.
NEWER = {"provided.al2023"}


class Refusal(Exception):
    """An answer of AWS that is an error."""

    def __init__(self, status, code, message, headers=(), **fields):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message
        self.headers, self.fields = dict(headers), fields


class Request:
    """A request as it came: bytes of the target and of the headers untouched."""

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")

    def header(self, name, default=None):
        found = [value for key, value in self.headers if key.lower() == name]
        return ",".join(found) if found else default


# Signatures -----------------------------------------------------------------------------------

class Signer(SigV4Auth):
    """botocore's signer, for the headers that the client says it has signed."""

    def __init__(self, keys, service, region, names):
        super().__init__(keys, service, region)
        self.names = names

    def headers_to_sign(self, request):
        chosen = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() in self.names:
                chosen[name.lower()] = value
        return chosen


def signature_of(request, secret, service, region, names, date, scheme="http"):
    """The signature that botocore makes for the request."""
    fields = HTTPHeaders()
    for name, value in request.headers:
        fields[name] = value
    made = AWSRequest(request.method, f"{scheme}://{request.header('host')}{request.target}", data=request.body)
    made.headers = fields
    made.context["timestamp"] = date
    signer = Signer(Credentials("ignored", secret), service, region, names)
    return signer.signature(signer.string_to_sign(made, signer.canonical_request(made)), made)


AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,"
                           r"\s*SignedHeaders=([a-z0-9;.-]+),\s*Signature=([0-9a-f]{64})$")


def scope_of(request):
    """Access key, region, service and signed headers; None when it is not signed."""
    found = AUTHORIZATION.match(request.header("authorization", ""))
    return found and found.groups()


def check_signature(request, keys, now, scheme, complain):
    """Who sent it, or a refusal. What AWS lets pass and no good client does is complained about."""
    scope = scope_of(request)
    if not scope:
        raise Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    access_key, day, region, service, names, given = scope
    key = keys.get(access_key)
    if not key or request.header("x-amz-security-token") != key.get("token"):
        raise Refusal(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    if key.get("expires", now + 1) <= now:
        raise Refusal(403, "ExpiredTokenException", "The security token included in the request is expired")
    date, names = request.header("x-amz-date", ""), names.split(";")
    if not re.match(r"\d{8}T\d{6}Z$", date) or date[:8] != day:
        raise Refusal(403, "InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date.")
    moment = datetime.datetime.strptime(date + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()
    if abs(moment - now) > 300:
        when = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        what = "expired" if moment < now else "not yet current"
        raise Refusal(403, "InvalidSignatureException", f"Signature {what}: {date} is now compared with {when}")
    if not hmac.compare_digest(given, signature_of(request, key["secret"], service, region, names, date, scheme)):
        raise Refusal(403, "InvalidSignatureException", "The request signature we calculated does not match the "
                      "signature you provided. Check your AWS Secret Access Key and signing method.")
    if names != sorted(set(names)) or "host" not in names:
        complain(f"SignedHeaders are {names}")
    present = {name.lower() for name, _ in request.headers}
    if left := [n for n in present if n.startswith("x-amz-") or n == "content-type" if n not in names]:
        complain(f"{left} are not signed")
    digest = request.header("x-amz-content-sha256")
    if digest and digest != hashlib.sha256(request.body).hexdigest():
        complain("x-amz-content-sha256 is not that of the body")
    return key


# Requests -------------------------------------------------------------------------------------

def rest_routes(model):
    """(method, regex of the path, query that must be there, operation)."""
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path.rstrip("/")))
        yield operation.http["method"], re.compile(pattern + "/?$"), urllib.parse.parse_qs(query), operation


ROUTES = list(rest_routes(MODELS["lambda"]))


def scalar(shape, text):
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "boolean":
        return {"true": True, "false": False}[text]
    return text


def from_json(shape, value):
    """JSON as parameters: blobs are decoded."""
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and isinstance(value, dict):
        return {k: from_json(shape.members[k], v) if k in shape.members else v for k, v in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [from_json(shape.member, v) for v in value]
    return value


def decode_rest(request):
    query = urllib.parse.parse_qs(request.query, keep_blank_values=True, strict_parsing=bool(request.query))
    for method, pattern, wanted, operation in ROUTES:
        found = pattern.match(request.path)
        if method == request.method and found and all(query.get(k) == v for k, v in wanted.items()):
            break
    else:
        raise Refusal(404, "UnknownOperationException", f"{request.method} {request.path}")
    shape, params = operation.input_shape, {}
    payload, rest = shape.serialization.get("payload"), {k: v for k, v in query.items() if k not in wanted}
    body = {}
    if request.body and not payload:
        body = json.loads(request.body)
    for name, member in shape.members.items():
        place, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "uri":
            params[name] = scalar(member, urllib.parse.unquote(found.group(wire)))
        elif place == "querystring" and wire in rest:
            values = rest.pop(wire)
            is_list = member.type_name == "list"
            params[name] = [scalar(member.member, v) for v in values] if is_list else scalar(member, values[0])
        elif place == "header" and request.header(wire.lower()) is not None:
            params[name] = scalar(member, request.header(wire.lower()))
        elif name == payload:
            params[name] = request.body
    params.update(from_json(shape, body))
    params.update({"?" + k: v for k, v in rest.items()})
    return operation, params


def from_form(shape, fields, prefix):
    """The flat names of the query protocol as parameters; what is read is taken out of `fields`."""
    if shape.type_name == "structure":
        found = {name: from_form(member, fields, f"{prefix}.{name}" if prefix else name)
                 for name, member in shape.members.items()}
        return {k: v for k, v in found.items() if v is not None} or None
    if shape.type_name == "list":
        items = []
        while (item := from_form(shape.member, fields, f"{prefix}.member.{len(items) + 1}")) is not None:
            items.append(item)
        return items or None
    return scalar(shape, fields.pop(prefix)) if prefix in fields else None


def decode_query(request, model):
    pairs = urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    fields = dict(pairs)
    if len(fields) != len(pairs) or fields.pop("Version", None) != model.api_version:
        raise Refusal(400, "InvalidAction", "a field is there twice, or the version is another")
    name = fields.pop("Action", None)
    if name not in model.operation_names:
        raise Refusal(400, "InvalidAction", f"Could not find operation {name}")
    operation = model.operation_model(name)
    params = from_form(operation.input_shape, fields, "") or {} if operation.input_shape else {}
    return operation, {**params, **fields}


def decode_target(request, model):
    name = request.header("x-amz-target", "").removeprefix("Logs_20140328.")
    if request.header("content-type") != "application/x-amz-json-1.1" or name not in model.operation_names:
        raise Refusal(400, "UnknownOperationException", "")
    return model.operation_model(name), json.loads(request.body)


def decode(service, request):
    """The model of the operation and its parameters."""
    if service == "lambda":
        return decode_rest(request)
    if service == "logs":
        return decode_target(request, MODELS["logs"])
    return decode_query(request, MODELS[service])


def problems(shape, value, name=""):
    """What of the models botocore itself does not check: patterns and enumerations."""
    if shape.type_name == "structure":
        for key, member in shape.members.items():
            if key in value:
                yield from problems(member, value[key], f"{name}.{key}")
    elif shape.type_name == "list":
        for item in value:
            yield from problems(shape.member, item, name + "[]")
    elif shape.type_name == "string":
        if getattr(shape, "enum", None) and value not in shape.enum and value not in NEWER:
            yield f"'{value}' at '{name}' is none of {shape.enum}"
        pattern = shape.metadata.get("pattern")
        if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value):
            yield f"Value '{value}' at '{name}' failed to satisfy constraint: {pattern}"


def check_input(operation, params, complain):
    """Refuses what the model does not allow. That it was sent at all is worth a complaint."""
    shape = operation.input_shape
    if shape is None:
        return
    report = ParamValidator().validate(params, shape)
    found = [report.generate_report()] if report.has_errors() else list(problems(shape, params))
    if found:
        complain(f"{operation.name}: {found[0]}")
        raise Refusal(400, "ValidationException", f"1 validation error detected: {found[0]}")


# Answers --------------------------------------------------------------------------------------

def to_xml(shape, value):
    if shape.type_name == "structure":
        return "".join(f"<{k}>{to_xml(shape.members[k], v)}</{k}>" for k, v in value.items() if v is not None)
    if shape.type_name == "list":
        return "".join(f"<member>{to_xml(shape.member, v)}</member>" for v in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


def encode(service, operation, output, request_id):
    """Content type and body of an answer."""
    if service == "lambda":
        return "application/json", json.dumps(output).encode() if output is not None else b""
    if service == "logs":
        return "application/x-amz-json-1.1", json.dumps(output).encode() if output is not None else b""
    result, shape = "", operation.output_shape
    if shape is not None:
        wrapper = shape.serialization["resultWrapper"]
        result = f"<{wrapper}>{to_xml(shape, output or {})}</{wrapper}>"
    metadata = operation.metadata.get("xmlNamespace", "https://iam.amazonaws.com/doc/2010-05-08/")
    return "text/xml", (f'<{operation.name}Response xmlns="{metadata}">{result}<ResponseMetadata>'
                        f"<RequestId>{request_id}</RequestId></ResponseMetadata></{operation.name}Response>").encode()


def message_key(model, code):
    """`Message` or `message`: every exception of Lambda has its own."""
    for shape in model.error_shapes:
        if shape.name == code:
            return next((name for name in shape.members if name.lower() == "message"), "message")
    return "message"


def encode_refusal(service, refusal, request_id):
    """Status, headers and body of a refusal."""
    headers = {"x-amzn-RequestId": request_id, **refusal.headers}
    if service in ("iam", "sts"):
        kind = "Sender" if refusal.status < 500 else "Receiver"
        body = (f"<ErrorResponse><Error><Type>{kind}</Type><Code>{refusal.code}</Code><Message>"
                f"{escape(refusal.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>")
        return refusal.status, {**headers, "Content-Type": "text/xml"}, body.encode()
    if service == "logs":
        body = {"__type": refusal.code, "message": refusal.message}
        return refusal.status, {**headers, "Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()
    body = {message_key(MODELS["lambda"], refusal.code): refusal.message, **refusal.fields}
    if refusal.status != 403:
        body["Type"] = "User" if refusal.status < 500 else "Service"
    suffix = ":http://internal.amazon.com/coral/com.amazonaws.awsgirapi/"
    return refusal.status, {**headers, "Content-Type": "application/json",
                            "x-amzn-ErrorType": refusal.code + suffix}, json.dumps(body).encode()
