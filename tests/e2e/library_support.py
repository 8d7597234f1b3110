"""What the tests of the installed library share: the stage tree, building programs outside of this tree, TAP."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ["LAMBDAPOOL_BUILD"]
STAGE = BUILD + "/stage"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]


class Folder:
    """A folder for programs that know no more than where lambdapool is installed."""

    def __init__(self, prefix=STAGE):
        self.path, self.prefix = tempfile.mkdtemp(), prefix
        self.environment = {"PATH": os.environ["PATH"], "HOME": self.path, "TMPDIR": self.path,
                            "PKG_CONFIG_PATH": prefix + "/lib/pkgconfig"}
        if "LAMBDAPOOL_LUA" in os.environ:
            self.environment["LAMBDAPOOL_LUA"] = os.environ["LAMBDAPOOL_LUA"]

    def write(self, name, text):
        with open(f"{self.path}/{name}", "w") as file:
            file.write(text)

    def run(self, *command, fails=False, **more):
        """The output of the command, which is words or one line of them. Its errors are output, too."""
        words = shlex.split(command[0]) if len(command) == 1 else command
        result = subprocess.run(words, cwd=self.path, env={**self.environment, **more}, timeout=120, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if (result.returncode != 0) != fails:
            raise AssertionError(f"{shlex.join(words)}: {result.returncode}: {result.stdout}")
        return result.stdout

    def pkg_config(self, words):
        return self.run("pkg-config " + words).split()

    def build(self, name, *words, compiler=("cc", "-std=c99")):
        """Builds a program, called a.out, from one of the files beside this one."""
        self.run(*compiler, *STRICT, f"{HERE}/library/{name}", *words)

    def close(self):
        shutil.rmtree(self.path)


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r} is not {expected!r}")


def run(tests):
    """Runs the functions, each with a folder of its own, and prints TAP."""
    failed = 0
    print(f"1..{len(tests)}")
    for i, function in enumerate(tests, 1):
        name = function.__name__.removeprefix("test_").replace("_", " ")
        folder = Folder()
        try:
            function(folder)
            print(f"ok {i} - {name}", flush=True)
        except Exception as error:  # whatever it is, the others run
            failed += 1
            print(f"not ok {i} - {name}", flush=True)
            print("\n".join("# " + line for line in f"{error!r}".replace("\\n", "\n").splitlines()), flush=True)
        finally:
            folder.close()
    sys.exit(failed > 0)
