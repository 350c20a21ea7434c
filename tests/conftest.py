"""Shared fixtures: a small synthetic task set that every clone has, and the real data of ../shared where it is."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from submission import __main__ as submission
from tests.forked import python
from tests.helpers import ROOT, SETTINGS, SHARED, make_tasks, write_kaggle
from trm_arc import adapt, evaluate, generate, publish, show, solve, sweep, train, upstream
from trm_arc.common.errors import InputError
from trm_arc.common.program import run
from trm_arc.data.puzzle_sources import CACHE_VARIABLE
from trm_arc.report import __main__ as report

torch.set_num_threads(1)  # the tensors of tests are too small to share
os.environ["OMP_NUM_THREADS"] = "1"  # nor should the programs that tests start wait for one another
settings.register_profile("kit", deadline=None)  # the first call of a kernel may compile it
settings.load_profile("kit")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Puzzles that are made for tests are not kept in the user's own cache."""
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
    of_puzzles = {"generate": generate, "solve": solve, "sweep": sweep}
    others = {"adapt": adapt, "evaluate": evaluate, "publish": publish, "upstream": upstream, "submission": submission}
    modules = {"train": train, "show": show, "report": report} | of_puzzles | others

    def call(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        call.refused = None

        def main(given: Sequence[str]) -> int:
            try:
                return modules[name].main(given)
            except InputError as error:
                call.refused = error
                raise

        with pytest.raises(SystemExit) as caught:
            run(main)
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return call
