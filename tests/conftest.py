"""Shared fixtures: a small synthetic task set that every clone has, and the real data of ../shared where it is."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from hypothesis import settings

from submission import __main__ as submission
from trm_arc import adapt, evaluate, generate, show, solve, sweep, train, upstream
from trm_arc.cli import run
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import CACHE_VARIABLE, made_family
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.report import __main__ as report

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
SETTINGS = (
    "--width 16 --heads 2 --prefix 2 --cycles 1 --thoughts 1 --window fit --augmentations 4 --batch-size 8 --halt-steps 2 "
    "--warmup-steps 2 --steps 6 --log-every 2 --precision float32 --device cpu"
).split()

torch.set_num_threads(1)  # the tensors of tests are too small to share
os.environ["OMP_NUM_THREADS"] = "1"  # nor should the programs that tests start wait for one another
settings.register_profile("kit", deadline=None)  # the first call of a kernel may compile it
settings.load_profile("kit")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Puzzles that are made for tests are not kept in the user's own cache."""
    os.environ[CACHE_VARIABLE] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def no_time_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the tests before is not a command's."""
    monkeypatch.setattr("trm_arc.cli.note_start", lambda: None)


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


def random_grid(generator: np.random.Generator, largest: int = 5) -> np.ndarray:
    """A random grid of up to `largest` rows and columns."""
    return generator.integers(0, 10, generator.integers(1, largest + 1, 2)).astype(np.uint8)


def make_tasks(count: int, seed: int, name: str = "made", largest: int = 5) -> TaskSet:
    """Random tasks whose rule is to mirror the input left to right; some have two test inputs."""
    generator = np.random.default_rng(seed)

    def pair() -> Pair:
        grid = random_grid(generator, largest)
        return Pair(grid, np.ascontiguousarray(grid[:, ::-1]))

    return TaskSet(
        (
            Task(f"{name}{number:02d}", tuple(pair() for _ in range(3)), tuple(pair() for _ in range(1 + number % 2)))
            for number in range(count)
        ),
        name,
    )


def to_document(tasks: TaskSet, outputs: bool = False) -> dict:
    """A challenges document as Kaggle's; with the test outputs inside, a combined one."""

    def pair(p: Pair, output: bool) -> dict:
        return {"input": p.input.tolist()} | ({"output": p.output.tolist()} if output else {})

    return {
        task.id: {"train": [pair(p, True) for p in task.train], "test": [pair(p, outputs) for p in task.test]} for task in tasks
    }


def write_kaggle(folder: Path, tasks: TaskSet, stem: str) -> Path:
    """Write `stem_challenges.json` and `stem_solutions.json`; returns the challenges file."""
    folder.mkdir(parents=True, exist_ok=True)
    challenges = folder / f"{stem}_challenges.json"
    challenges.write_bytes(orjson.dumps(to_document(tasks)))
    solutions = {task.id: [pair.output.tolist() for pair in task.test] for task in tasks}
    (folder / f"{stem}_solutions.json").write_bytes(orjson.dumps(solutions))
    return challenges


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three checkpoints, trained on other tasks than those to answer."""
    folder = tmp_path_factory.mktemp("base")
    training = write_kaggle(folder, make_tasks(4, 1, "train"), "train")
    flags = [*SETTINGS, "--data", "", "--evaluation-data", str(training), "--save-every", "2", "--keep", "3"]
    subprocess.run([sys.executable, "-m", "trm_arc.train", *flags, "--out", str(folder / "run")], cwd=ROOT, check=True)
    return folder / "run"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command's main with arguments; gives exit code, standard output and standard error."""
    of_puzzles = {"generate": generate, "solve": solve, "sweep": sweep}
    others = {"adapt": adapt, "evaluate": evaluate, "upstream": upstream, "submission": submission}
    modules = {"train": train, "show": show, "report": report} | of_puzzles | others

    def call(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            run(modules[name].main)
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return call


def make_puzzles(name: str, count: int, seed: int) -> PuzzleSet:
    """New puzzles of a kind that is made here, as `sudoku-4x4-easy`."""
    family, easy = made_family(name)
    made = family.generate(count, seed, easy, None, lambda _done: None)
    return PuzzleSet(name, family, *made, np.arange(1, count + 1))
