"""Prints signed requests as a Lua table, made by botocore: tests/lua/sigv4_vectors.lua is

    /usr/bin/python3 tests/lua/sigv4_vectors.py > tests/lua/sigv4_vectors.lua

Debian 12's botocore and version 1.43 print the same. With a number behind it, so many random ones; with another
number behind that, always the same of these.
"""
import datetime
import io
import random
import sys
from urllib.parse import quote, urlsplit

import botocore.auth as auth
import botocore.awsrequest as awsrequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2015, 8, 30, 12, 36, 0)
KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return NOW

    @classmethod
    def now(cls, tz=None):
        return NOW.replace(tzinfo=tz)


def fix_clock():
    auth.datetime = type("datetime", (), {"datetime": Clock, "timezone": datetime.timezone})
    if hasattr(auth, "get_current_datetime"):
        auth.get_current_datetime = lambda remove_tzinfo=True: NOW


def signer(service, region, token, presigned):
    credentials = Credentials(KEY, SECRET, token)
    if presigned:
        kind = auth.S3SigV4QueryAuth if service == "s3" else auth.SigV4QueryAuth
        return kind(credentials, service, region, expires=900)
    kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    return kind(credentials, service, region)


def sign(method, target, headers=(), body=b"", service="lambda", region="us-east-1", token=None,
         presigned=False, host="127.0.0.1:9077"):
    url = "http://" + host + target
    request = awsrequest.AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    if service == "s3":
        request.context["client_config"] = None
    signer(service, region, token, presigned).add_auth(request)
    if presigned:
        target = request.url[len("http://" + host):]
    path, _, query = target.partition("?")
    wire = [("host", host)] + [(n.lower(), v) for n, v in request.headers.items()]
    return dict(method=method, path=path or "/", query=query, headers=wire, body=body,
                service=service, region=region, token=token)


def lua(value):
    if isinstance(value, dict):
        fields = ["%s = %s" % (k, lua(v)) for k, v in value.items() if v not in (None, b"", "")]
        return "{ " + ", ".join(fields) + " }"
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(lua(v) for v in value) + " }"
    data = value if isinstance(value, bytes) else value.encode("utf-8")
    plain = b"\\\"\n\r"
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in plain else "\\%03d" % c
                         for c in data) + '"'


PATHS = [
    "", "/", "//", "/./", "/..", "/a/..", "/a/../b", "/a/./b/", "/a//b///c", "/a/b/.", "/a/b/..",
    "/../../x", "/a%3Ab", "/a%3ab", "/a%20b", "/a%2Fb", "/%E1%88%B4", "/a+b", "/a~b-c_d.e",
    "/$LATEST", "/a:b", "/a@b,c;d=e&f!*'()", "/a%25b", "/.../...x/x..",
    "/2015-03-31/functions/f/invocations", "/2015-03-31/functions/",
    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/invocations",
    "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af",
]
QUERIES = [
    "Marker=b&MaxItems=5", "MaxItems=5&Marker=b", "List", "List&FunctionVersion=ALL", "a=",
    "select=1&select-type=2", "select-type=2&select=1", "a=b&a=a&a=", "a=%2B&b=%20&c=~",
    "a-b=1&a=2&a.b=3&aB=4&A=5", "tagKeys=x&tagKeys=a&tagKeys=x", "%E1%88%B4=%E1%88%B4",
    "a=b%3Dc&a%3Db=c", "q=%2F%3A%40%26", "a=1&a0=1&a_=1&a~=1&aa=1",
]
HEADERS = [
    [("Content-Type", "application/json")],
    [("X-Amz-Meta-A", "1"), ("X-Amz-Meta-A-B", "2"), ("X-Amz-Meta", "3")],
    [("X-Amz-Text", '  a   "b   c"  d  ')],
    [("X-Amz-Twice", "z"), ("X-Amz-Twice", "a"), ("X-Amz-Twice", " m  n ")],
    [("X-Amz-Empty", "")],
    [("X-Amz-Tab", "a\tb \t c")],
    [("X-Amz-Log-Type", "Tail"), ("X-Amz-Invocation-Type", "RequestResponse"),
     ("Content-Type", "text/plain; charset=utf-8"), ("User-Agent", "x"), ("Expect", "y")],
    [("X-Amz-Content-Type", "1"), ("X-Amz-Content", "2"), ("A", "b"), ("B-C", "d"), ("B", "e")],
]
BODIES = [b"{}", b'{"a": [1, 2]}\n', b"\x00\xff\r\n", b"x" * 1000]
SERVICES = ["lambda", "iam", "sts", "logs", "s3"]
REGIONS = ["us-east-1", "eu-central-1", "cn-north-1"]
TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMic=="


def traps():
    """Each trap by itself, for a header and a URL, for S3 and another."""
    for presigned in (False, True):
        for service in ("lambda", "s3"):
            common = dict(service=service, presigned=presigned)
            for path in PATHS:
                if path or not (presigned or service == "s3"):  # there they forget the "/"
                    yield sign("GET", path, **common)
            for query in QUERIES:
                yield sign("GET", "/a?" + query, **common)
            for headers in HEADERS:
                yield sign("GET", "/", headers, **common)
            yield sign("POST", "/2015-03-31/functions/f/invocations", token=TOKEN, **common)
            yield sign("DELETE", "/x", host="localhost", region="eu-west-3", **common)
            for body in () if presigned else BODIES:  # botocore's URLs have no body
                yield sign("PUT", "/x", body=body, **common)


def some(text, count):
    return "".join(random.choice(text) for _ in range(random.randrange(count)))


def random_path():
    names = [random.choice(["", ".", "..", quote(some("abc :/~%$+é", 6), safe="")])
             for _ in range(random.randrange(6))]
    return "/" + "/".join(names)


def random_query():
    def text():
        return quote(some("ab-A_.~ +=&/%é", 4), safe="-_.~")
    pairs = [text() + random.choice(["", "=" + text()]) for _ in range(random.randrange(6))]
    pairs = [pair for pair in pairs if pair]
    return "?" + "&".join(pairs) if pairs else ""


def random_headers():
    return [("X-" + some("Ab-", 5) + "a", some('a b\t",;=', 12).strip())
            for _ in range(random.randrange(5))]


def random_requests(count):
    for _ in range(count):
        presigned = random.random() < 0.3
        bodies = [b"", bytes(random.choices(range(256), k=random.randrange(300)))]
        yield sign(random.choice(["GET", "POST", "PUT", "DELETE", "PATCH"]),
                   random_path() + random_query(), random_headers(),
                   b"" if presigned else random.choice(bodies),
                   random.choice(SERVICES), random.choice(REGIONS), random.choice([None, TOKEN]),
                   presigned, random.choice(["127.0.0.1:9077", "example.com"]))


def main():
    fix_clock()
    random.seed(sys.argv[2] if len(sys.argv) > 2 else None)
    out = io.StringIO()
    out.write("-- Made by sigv4_vectors.py; see there.\n-- luacheck: ignore 631\nreturn {\n")
    for vector in random_requests(int(sys.argv[1])) if len(sys.argv) > 1 else traps():
        out.write("  " + lua(vector) + ",\n")
    out.write("}\n")
    sys.stdout.write(out.getvalue())


main()
