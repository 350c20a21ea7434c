"""Fixtures of the submission's tests: challenges, and a session that answers them."""

import json
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run a session; gives the document that it wrote, and its log."""

    def call(challenges: Path, limit: float | None = None, **settings: object) -> tuple[dict, dict]:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "work").mkdir(exist_ok=True)
        default = {"out": tmp_path / "submission.json", "device": "cpu", "precision": "float32", "work_folder": tmp_path / "work"}
        default |= {"worker": (*python(), *WORKER[1:]), "adapter": (*python(), *ADAPTER[1:])}
        deadline = Deadline(limit)
        session = Session(
            read_challenges(str(challenges)), Settings(**default | settings), deadline, RunLog(tmp_path / "run.json", deadline)
        )
        assert session.run()
        assert limit is None or deadline.spent < limit
        document = json.loads(session.out.read_text())
        assert not find_faults(document, session.challenges.counts, "the challenges")
        return document, json.loads((tmp_path / "run.json").read_text())

    return call
