"""Variables that torch reads are set before it is loaded, in any program of the kit, unless the user has set them.

OpenMP's threads do not spin for one another; an accelerator's memory is taken in segments that grow.
"""

import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from trm_arc import ALLOCATION, GROWING, WAITING

NAMES = (*WAITING, *ALLOCATION)
# Prints the variables as they are when torch is first looked for, which is before its libraries read them; or at the end, for a
# program that imports torch later, or never.
PROGRAM = """
import importlib, os, sys
def tell():
    print(*(os.environ.get(one, "-") for one in sys.argv[2:]))
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
GROW = "expandable_segments:True" if GROWING else "-"
PROGRAMS = [f"trm_arc.{name}" for name in COMMANDS] + ["submission.__main__", "submission.worker"]


def at_import(program: str, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", PROGRAM, program, *NAMES]
    return subprocess.run(command, cwd=ROOT, env=kept | variables, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("program", [*PROGRAMS, "benchmarks.train_step", "tests.helpers"])
def test_the_variables_are_set_before_torch_is_loaded(program: str) -> None:
    assert at_import(program) == f"PASSIVE - - - {GROW}"


def test_what_the_user_has_set_stays() -> None:
    assert at_import("trm_arc.train", OMP_WAIT_POLICY="ACTIVE") == f"ACTIVE - - - {GROW}"
    assert at_import("submission.worker", GOMP_SPINCOUNT="7") == f"- 7 - - {GROW}"


@pytest.mark.parametrize("number", range(len(ALLOCATION)))
def test_a_way_to_take_memory_that_the_user_has_set_stays(number: int) -> None:
    name, expected = ALLOCATION[number], ["PASSIVE", "-", "-", "-", "-"]
    expected[2 + number] = "backend:native"
    assert at_import("trm_arc.train", **{name: "backend:native"}).split() == expected


@pytest.mark.parametrize(
    ("system", "release", "grows"),
    [
        ("Linux", "6.1.0-13-amd64", True),
        ("Linux", "5.15.90.1-microsoft-standard-WSL2", False),
        ("Linux", "4.9.253-tegra", False),
        ("Windows", "11", False),
        ("Darwin", "25.0.0", False),
    ],
)
def test_where_segments_cannot_grow_they_are_not_asked_to(system: str, release: str, grows: bool) -> None:
    program = f"import platform\nplatform.system = lambda: {system!r}\nplatform.release = lambda: {release!r}\n"
    program += "import os, trm_arc\nprint(os.environ.get('PYTORCH_ALLOC_CONF'))"
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=kept, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ("expandable_segments:True" if grows else "None")
