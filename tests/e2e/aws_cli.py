#!/usr/bin/python3
"""The AWS CLI, kept running, because it takes a second to start: each line of standard input is a JSON object with the
arguments and the environment of a command, each line of standard output one with what came of it. It does not get on
with boto3 in one process."""

import contextlib
import io
import json
import os
import sys

from awscli.clidriver import create_clidriver

DATA = os.environ["AWS_DATA_PATH"]  # the import has set it


def run(arguments, environment):
    os.environ.clear()
    os.environ.update(environment, AWS_DATA_PATH=DATA)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = create_clidriver().main(arguments)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


for line in sys.stdin:
    print(json.dumps(run(**json.loads(line))), flush=True)
