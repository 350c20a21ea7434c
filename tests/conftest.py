"""Shared fixtures: a small synthetic task set that every clone has, and the real data of ../shared where it is.

What takes seconds to import is imported by the fixtures: the process that only hands tests to others reads this file, too.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

from tests import ROOT, SHARED
from tests.forked import python

MODULES = {
    name: f"trm_arc.{name}"
    for name in (
        "adapt",
        "completion",
        "doctor",
        "evaluate",
        "generate",
        "publish",
        "show",
        "solve",
        "sweep",
        "train",
        "upstream",
    )
}
MODULES |= {"submission": "submission.__main__", "report": "trm_arc.report.__main__"}

os.environ["OMP_NUM_THREADS"] = "1"  # the programs that tests start should not wait for one another
settings.register_profile("kit", deadline=None)  # the first call of a kernel may compile it
settings.register_profile("quick", settings.get_profile("kit"), max_examples=15)  # in place of 100; see `examples` in helpers
settings.load_profile("kit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs programs of its own, for whose start PyTorch is imported again, or PyTorch's compiler, which takes seconds,
    so that `make quick` can leave it out."""
    for item in items:
        if {"base", "graphs"} & {*item.fixturenames} or getattr(item.module, "python", None) is python:
            item.add_marker("programs")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Puzzles that are made for tests are not kept in the user's own cache; tensors of tests are too small to share.

    Kernels are loaded before a test takes the home away, as it is then that numba decides where their code is kept; without
    what is kept, compiling takes half a minute.
    """
    import torch

    from trm_arc.data.puzzle_sources import CACHE_VARIABLE
    from trm_arc.report.machine import KERNELS

    for module in KERNELS:
        import_module(module)

    torch.set_num_threads(1)
    os.environ[CACHE_VARIABLE] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and reference arrays beside the project."""
    if not SHARED.is_dir():
        pytest.skip("../shared (real data, reference arrays) is not beside this clone")
    return SHARED


@pytest.fixture(scope="session")
def arc(shared: Path) -> Path:
    """The folder of real ARC files."""
    return shared / "data" / "arc"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three checkpoints, trained on other tasks than those to answer."""
    from tests.helpers import SETTINGS, make_tasks, write_kaggle

    folder = tmp_path_factory.mktemp("base")
    training = write_kaggle(folder, make_tasks(4, 1, "train"), "train")
    flags = [*SETTINGS, "--data", "", "--evaluation-data", str(training), "--save-every", "2", "--keep", "3"]
    subprocess.run([*python(), "-m", "trm_arc.train", *flags, "--out", str(folder / "run")], cwd=ROOT, check=True)
    return folder / "run"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command's main with arguments; gives exit code, standard output and standard error.

    Its `refused` is the error that ended the last call, None where there was none.
    """
    from trm_arc.common.errors import InputError
    from trm_arc.common.program import run

    def call(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        call.refused = None

        def main(given: Sequence[str]) -> int:
            try:
                return import_module(MODULES[name]).main(given)
            except InputError as error:
                call.refused = error
                raise

        with pytest.raises(SystemExit) as caught:
            run(main)
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return call
