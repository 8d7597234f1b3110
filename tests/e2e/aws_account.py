"""What the scripts that drive the commands share: one simulated account, and a folder to work in."""

import io
import zipfile

import aws_services
from aws_simulator import Simulator
from aws_support import World
from serve_server import equal

aws = Simulator()
world = World(aws)


def fresh():
    """An empty account that is well."""
    number, region = aws.account.number, aws.account.region
    aws.account = aws_services.Account(number, region)
    aws.calm()
    aws.clock = 0


def create(name="f", *options):
    return world.good("create", name, "algorithms", *options)


def settings(name="f"):
    return aws.account.functions[name].configuration


def archive(name="f"):
    return zipfile.ZipFile(io.BytesIO(aws.account.functions[name].archive))


def nothing_left():
    equal((list(aws.account.functions), list(aws.account.roles)), ([], []))
