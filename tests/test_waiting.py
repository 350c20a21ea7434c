"""OpenMP's threads do not spin for one another, in any program of the kit, unless the user wants it."""

import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from trm_arc import WAITING

# Prints the variables as they are when torch is first looked for, which is before its libraries read them; or at the end, for a
# program that imports torch later, or never.
PROGRAM = """
import importlib, os, sys
def tell():
    print(*(os.environ.get(one, "-") for one in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")))
    sys.stdout.flush()
    os._exit(0)
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            tell()
sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
tell()
"""
COMMANDS = ("train", "adapt", "evaluate", "generate", "show", "solve", "sweep", "upstream", "report.__main__")
PROGRAMS = [f"trm_arc.{name}" for name in COMMANDS] + ["submission.__main__", "submission.worker"]


def at_import(program: str, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in WAITING}
    command = [sys.executable, "-c", PROGRAM, program]
    return subprocess.run(command, cwd=ROOT, env=kept | variables, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("program", [*PROGRAMS, "benchmarks.train_step", "tests.helpers"])
def test_threads_sleep_while_they_wait(program: str) -> None:
    assert at_import(program) == "PASSIVE -"


def test_what_the_user_has_set_stays() -> None:
    assert at_import("trm_arc.train", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE -"
    assert at_import("submission.worker", GOMP_SPINCOUNT="7") == "- 7"
