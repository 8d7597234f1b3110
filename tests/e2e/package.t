#!/usr/bin/python3
"""What `lambdapool package` makes, uploaded with the AWS CLI and run. Prints TAP."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(__file__))
from serve_server import BUILD, KEYS, REGION, ROLE, Server, equal, eventually, matches, run

FILES = {
    "algorithms/fib.lua": """
        local native = require "native"
        local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
        return { run = function(event) return { fib = fib(event.n), native = native } end }""",
    "algorithms/init.lua": "return {}",
    "where/app.lua": """
        return { run = function() return { require "shared.text", (require "native") } end }""",
    "shared/text.lua": "return 'from a layer'",
    "native-1.0/core.c": """
        #include <lauxlib.h>
        int luaopen_native_core(lua_State *L) { lua_pushliteral(L, "in C"); return 1; }""",
    "native-1.0/native.lua": "return require 'native.core'",
    "native-1.0-1.rockspec": """
        package = "native"
        version = "1.0-1"
        source = { url = "file://FOLDER/native-1.0.tar.gz" }
        build = { type = "builtin", modules = { native = "native.lua", ["native.core"] = "core.c" } }""",
    "rocks.txt": "native >= 1.0\n",
    "luarocks.lua": "rocks_servers = { 'file://FOLDER/rocks' }",
}

folder = tempfile.mkdtemp()
environment = {"PATH": os.environ["PATH"], "HOME": folder, "LUAROCKS_CONFIG": folder + "/luarocks.lua",
               "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"], "AWS_EC2_METADATA_DISABLED": "true",
               "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"], "AWS_DEFAULT_REGION": REGION,
               **{k: v for k, v in os.environ.items() if k == "LAMBDAPOOL_LUA"}}
tests = []


def test(function):
    tests.append(function)
    return function


def call(*words, code=0, cwd=folder):
    result = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    if result.returncode != code:
        raise AssertionError(f"{words} exits {result.returncode}: {result.stderr}")
    return result.stdout if code == 0 else result.stderr


def package(*words, **options):
    return call(BUILD + "/lambdapool", "package", *words, **options)


def prepare():
    for name, text in FILES.items():
        os.makedirs(os.path.dirname(folder + "/" + name), exist_ok=True)
        with open(folder + "/" + name, "w") as file:
            file.write(text.replace("FOLDER", folder))
    call("sh", "-ec", """mkdir rocks; tar czf native-1.0.tar.gz native-1.0
        luarocks --lua-version 5.4 pack native-1.0-1.rockspec; mv *.rock rocks
        luarocks-admin --lua-version 5.4 make_manifest rocks""")


prepare()
server = Server(folder)


def aws(*words):
    text = call("/usr/bin/aws", "--endpoint-url", server.url, "--output", "json", "lambda", *words)
    return json.loads(text) if text.strip() else None


def state(name):
    return aws("get-function-configuration", "--function-name", name)["State"]


def create(name, zip_file, handler, *words):
    answer = aws("create-function", "--function-name", name, "--runtime", "provided.al2023", "--role", ROLE,
                 "--handler", handler, "--zip-file", "fileb://" + zip_file, *words)
    eventually(lambda: state(name) == "Active")
    return answer


def invoke(name, event):
    aws("invoke", "--function-name", name, "--payload", base64.b64encode(json.dumps(event).encode()).decode(),
        "out.json")
    with open(folder + "/out.json") as file:
        return json.load(file)


def digest(name):
    with open(folder + "/" + name, "rb") as file:
        return base64.b64encode(hashlib.sha256(file.read()).digest()).decode()


@test
def runs_as_a_function():
    told = json.loads(package("algorithms/", "-o", "f.zip", "-r", "rocks.txt", "--json"))
    names = [entry["name"] for entry in told["entries"]]
    equal(names, ["algorithms/fib.lua", "algorithms/init.lua", "bootstrap", "lambdapool.json",
                  "lib/native/core.so", "lua/native.lua"])
    equal(told["code_sha256"], digest("f.zip"))
    equal(told["size"], os.path.getsize(folder + "/f.zip"))
    answer = create("f", "f.zip", "algorithms.fib.run")
    equal(answer["CodeSha256"], told["code_sha256"])
    equal(answer["CodeSize"], told["size"])
    equal(invoke("f", {"n": 10}), {"fib": 55, "native": "in C"})


@test
def is_a_zip_for_others():
    call("unzip", "-t", "f.zip")
    with zipfile.ZipFile(folder + "/f.zip") as file:
        equal(file.getinfo("bootstrap").external_attr >> 16, 0o100755)


@test
def runs_with_a_layer():
    if not server.isolates:
        return  # without a root of its own a function has no /opt
    package("shared", "-r", "rocks.txt", "--layer", "-o", "layer.zip")
    package("where/.", "-o", "g.zip")
    layer = aws("publish-layer-version", "--layer-name", "shared", "--zip-file", "fileb://layer.zip")
    create("g", "g.zip", "app.run", "--layers", layer["LayerVersionArn"])
    equal(invoke("g", {}), ["from a layer", "in C"])


@test
def tells_people_what_is_in_it():
    text = package("algorithms", "-o", "h.zip")
    matches(text, r"^file     h\.zip\nsize     \d+ kB, [\d.]+ MB unzipped\ncode     \S{44}\nagent    \d")
    matches(text, r"\nentries  algorithms/fib\.lua   \d+ B\n         algorithms/init\.lua  9 B\n")


@test
def does_not_package_itself():
    package(".", "-o", "../i.zip", cwd=folder + "/algorithms")
    package(".", "-o", "i.zip", cwd=folder + "/algorithms")
    package(".", "-o", "i.zip", cwd=folder + "/algorithms")
    equal(digest("i.zip"), digest("algorithms/i.zip"))
    os.remove(folder + "/algorithms/i.zip")


@test
def writes_all_or_nothing():
    with open(folder + "/old.zip", "w") as file:
        file.write("old")
    os.symlink("old.zip", folder + "/link.zip")
    matches(package("none", "-o", "old.zip", code=1), "^lambdapool package: cannot package none: No such file")
    equal(os.path.getsize(folder + "/old.zip"), 3)
    package("algorithms", "-o", "link.zip")
    equal(os.path.islink(folder + "/link.zip"), True)
    equal(digest("old.zip"), digest("h.zip"))
    mask = os.umask(0)
    os.umask(mask)
    equal(oct(os.stat(folder + "/old.zip").st_mode), oct(0o100666 & ~mask))
    before = set(os.listdir(folder))
    matches(package("-o", "none/f.zip", code=1), "cannot write none/f.zip: No such file or directory\n$")
    matches(package("-o", "algorithms", code=1), "cannot write algorithms: it is a folder\n$")
    matches(package("-o", "/dev/full", code=1), "cannot write /dev/full: No space left on device\n$")
    equal(os.path.exists("/dev/full"), True)
    equal(set(os.listdir(folder)), before)


@test
def writes_nothing_on_a_full_disk():
    # A limit of the shell's is the nearest thing to a disk that is full.
    before = set(os.listdir(folder))
    script = f"trap '' XFSZ; ulimit -f 8; exec '{BUILD}/lambdapool' package algorithms -o new.zip"
    matches(call("sh", "-c", script, code=1), "cannot write new.zip: File too large\n$")
    equal(set(os.listdir(folder)), before)


@test
def complains_of_the_command_line():
    for words, complaint in {
        ("algorithms",): "the name of the zip is missing: give it with `-o FILE`",
        ("algorithms", "-o"): "'--output' needs a value|'-o' needs a value",
        ("algorithms", "-o", "x.zip", "--arch", "mips"): "'--arch' must be 'x86_64' or 'arm64', got 'mips'",
        ("algorithms", "-o", "x.zip", "--jsno"): "unknown option '--jsno', did you mean '--json'\\?",
    }.items():
        matches(package(*words, code=2), f"^lambdapool package: ({complaint})\n")
    matches(package("algorithms", "-o", "x.zip", "-r", "none.txt", code=1),
            "^lambdapool package: cannot read the requirements in none.txt: No such file or directory\n$")
    equal(os.path.exists(folder + "/x.zip"), False)


failed = run(tests, "a package ")
server.stop()
shutil.rmtree(folder)
sys.exit(1 if failed else 0)
