"""Deadlines count from the program's start."""

import subprocess
import sys
import time

from tests.helpers import ROOT
from trm_arc.common.deadline import Deadline


def test_deadline_counts_down_from_its_start() -> None:
    deadline = Deadline(100.0, 2.0, lambda: 42.0)
    assert (deadline.spent, deadline.left, deadline.has_passed) == (40, 60, False)
    assert deadline.earlier(70).has_passed
    assert Deadline().earlier(5).left == float("inf")
    assert Deadline(100.0, time.monotonic() - 200).has_passed  # the clock of the system, unless another is named


def test_imports_count() -> None:
    code = "import time; time.sleep(0.5); from trm_arc.common.deadline import program_start as s; print(time.monotonic() - s())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert float(done.stdout) >= 0.4  # the real time of a real process; a busy machine only makes it longer
