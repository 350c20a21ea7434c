"""Fixtures of the submission's tests: challenges, a session that answers them, and a clock."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from submission.reading import read_challenges
from submission.run_log import RunLog
from submission.session import Session
from submission.settings import ADAPTER, WORKER, Settings
from tests.forked import python
from tests.helpers import make_tasks, write_kaggle
from trm_arc.common.deadline import Deadline
from trm_arc.inference.attempts import find_faults


@pytest.fixture
def challenges(tmp_path: Path) -> Path:
    return write_kaggle(tmp_path / "data", make_tasks(3, 5, "eval"), "eval")


SLEEP = """
import os, time
def fall_asleep(seconds):
    os.symlink(str(seconds), f"{folder}/{{os.getpid()}}")
def sleep(seconds):
    fall_asleep(seconds)
    while os.path.lexists(f"{folder}/{{os.getpid()}}"):
        time.sleep(0.01)
"""


class WorkerClock:
    """A clock that stands still, but for the seconds that a worker sleeps by it: nothing depends on the machine's load.

    Attributes:
        sleep: source of the functions for the worker's program.
    """

    STEP = 0.25  # seconds that pass with every look at the clock while a worker sleeps

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.now, self.folder, self.sleep = 0.0, folder, SLEEP.format(folder=folder)
        self._ends: dict[str, float] = {}  # when a worker, by its process id, wakes up

    def __call__(self) -> float:
        sleeping = [link for link in self.folder.iterdir() if psutil.pid_exists(int(link.name))]
        self.now += self.STEP * bool(sleeping)
        for link in sleeping:
            if self.now >= self._ends.setdefault(link.name, self.now + float(os.readlink(link))):
                del self._ends[link.name]
                link.unlink()
        return self.now


@pytest.fixture
def clock(tmp_path: Path) -> WorkerClock:
    return WorkerClock(tmp_path / "sleepers")


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run a session; gives the document that it wrote, and its log."""

    def call(
        challenges: Path, limit: float | None = None, clock: Callable[[], float] = time.monotonic, **settings: object
    ) -> tuple[dict, dict]:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "work").mkdir(exist_ok=True)
        default = {"out": tmp_path / "submission.json", "device": "cpu", "precision": "float32", "work_folder": tmp_path / "work"}
        default |= {"worker": (*python(), *WORKER[1:]), "adapter": (*python(), *ADAPTER[1:])}
        deadline = Deadline(limit, clock(), clock)
        session = Session(
            read_challenges(str(challenges)), Settings(**default | settings), deadline, RunLog(tmp_path / "run.json", deadline)
        )
        assert session.run()
        assert limit is None or deadline.spent < limit
        document = json.loads(session.out.read_text())
        assert not find_faults(document, session.challenges.counts, "the challenges")
        return document, json.loads((tmp_path / "run.json").read_text())

    return call
