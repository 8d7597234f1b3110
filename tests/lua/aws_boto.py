"""What botocore makes of files and environments, for comparison.

aws_boto.py CASES: a JSON list of cases, each either { "ini": text } or { "home": folder,
"environment": {...}, "profile": name or null }. Prints a JSON list: the sections of the file or null;
or "KEY SECRET TOKEN REGION", "none", "error". In environments, @URL@ becomes the URL of a server
with the credentials of a container and an instance.
"""
import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import botocore.configloader
import botocore.session

GIVEN = json.dumps({"Code": "Success", "AccessKeyId": "net", "SecretAccessKey": "S", "Token": "T",
                    "Expiration": "2126-01-01T00:00:00Z"})
ANSWERS = {
    "/container": GIVEN,
    "/latest/api/token": "token",
    "/latest/meta-data/iam/security-credentials/": "role",
    "/latest/meta-data/iam/security-credentials/role": GIVEN,
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = ANSWERS.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, *_):
        pass


def parse(text):
    with tempfile.NamedTemporaryFile("w", newline="") as file:
        file.write(text)
        file.flush()
        try:
            return botocore.configloader.raw_config_parse(file.name)
        except botocore.exceptions.ConfigParseError:
            return None


def resolve(case, url):
    os.environ.clear()
    os.environ["HOME"] = case["home"]
    for name, value in case["environment"].items():
        os.environ[name] = value.replace("@URL@", url)
    try:
        session = botocore.session.Session(profile=case.get("profile"))
        found = session.get_credentials()
        if found is None:
            return "none"
        found = found.get_frozen_credentials()
        region = session.get_config_variable("region")
        return " ".join(x or "-" for x in (found.access_key, found.secret_key, found.token, region))
    except Exception:  # whatever it is, it is what its users get
        return "error"


def main():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d" % server.server_port
    with open(sys.argv[1], encoding="utf-8") as file:
        cases = json.load(file)
    path = os.environ["PATH"]
    results = []
    for case in cases:
        results.append(parse(case["ini"]) if "ini" in case else resolve(case, url))
    os.environ["PATH"] = path
    json.dump(results, sys.stdout)


main()
