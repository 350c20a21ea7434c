"""Programs of a session end with it, whatever they are doing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.helpers import ROOT

SESSION = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "submission.child", "work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
HOLDS_INTERPRETER = "import ctypes\nctypes.PyDLL(None).sleep(600)"  # so that no other thread runs


@pytest.mark.parametrize("signal_before", [None, signal.SIGSTOP])
@pytest.mark.parametrize("work", ["import time\ntime.sleep(600)", HOLDS_INTERPRETER], ids=["sleeps", "computes"])
def test_a_program_ends_with_a_session_that_is_killed(work: str, signal_before: int | None, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(f"print(flush=True)\n{work}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    session = subprocess.Popen([sys.executable, "-c", SESSION], env=environment, stdout=subprocess.PIPE)
    child = psutil.Process(int(session.stdout.readline()))
    try:
        if signal_before is not None:
            child.send_signal(signal_before)
        session.kill()
        child.wait(120)  # its work would go on for longer
    finally:
        session.wait()
        session.stdout.close()
        if child.is_running():
            child.kill()
