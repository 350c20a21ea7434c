"""Sessions under faults on a loaded machine: no file is lost, none is late, no process is left.  Prints a table of them."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from submission.predict import ONLY_GUESSES
from submission.reading import read_challenges
from tests.helpers import ROOT, make_tasks, write_kaggle
from trm_arc.inference.attempts import find_faults

AT_ONCE = 1 + (os.cpu_count() or 1)  # sessions, which load the machine for one another
# The promise of a real time limit is what is tested, on a machine that is loaded on purpose: a second is for this program to
# see the end of another.
LATE = 1.0
MARK = "TRM_ARC_TEST_SESSION"  # a variable that all programs of a session inherit
# What a session prints when there is a file, when it begins to adapt, and when it begins to vote.
GUESSES, ADAPTS, VOTES = "guesses for all", "of adaptation", "for up to"


class Fault(NamedTuple):
    """What happens to a session, and when.

    Attributes:
        name: of the fault.
        phase: words in the line after which it happens.
        happen: does it to the session's program.
        code: the exit code of the session.
        flags: further flags of the session.
    """

    name: str
    phase: str
    happen: Callable[[subprocess.Popen], None]
    code: int = 0
    flags: tuple[str, ...] = ()


class Row(NamedTuple):
    """How a session under a fault ended.

    Attributes:
        fault: its name.
        limit: seconds.
        after: seconds after which the fault had happened; None: the session did not get as far.
        seconds: that the session took.
        code: its exit code.
        faults: of the submission.
        left: programs of the session that still run.
    """

    fault: str
    limit: int
    after: float | None
    seconds: float
    code: int
    faults: list[str]
    left: list[int]


def part_of(program: subprocess.Popen, word: str) -> psutil.Process:
    """The program of the session that runs a module of this name, as soon as there is one.

    A child has the command line of the session until it has become another program, and a session waits for that, so whole
    arguments are compared: a folder's name may hold the word, too.
    """
    while program.poll() is None:
        for child in psutil.Process(program.pid).children():
            with suppress(psutil.Error):
                if {f"submission.{word}", f"trm_arc.{word}"} & set(child.cmdline()):
                    return child
    raise AssertionError(f"no {word}")


def kill(word: str, program: subprocess.Popen) -> None:
    part_of(program, word).kill()


def stop(word: str, program: subprocess.Popen) -> None:
    part_of(program, word).suspend()


def pause(program: subprocess.Popen) -> None:
    psutil.Process(program.pid).suspend()
    time.sleep(5)
    psutil.Process(program.pid).resume()


def fill(disk: Path, _program: subprocess.Popen) -> None:
    with suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 4096)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here, which needs root: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def run_session(base: Path, challenges: Path, folder: Path, new: bool, limit: int, fault: Fault) -> Row:
    """Answer within the limit, with the fault; on a new machine, every session compiles for itself."""
    mark, place = uuid.uuid4().hex, folder / f"{fault.name} {limit}".replace(" ", "-")
    place.mkdir()
    out = place / "submission.json"
    flags = ["--challenges", challenges, "--checkpoint", base, "--out", out, "--device", "cpu", "--time-limit", f"{limit}s"]
    command = [sys.executable, "-m", "submission", "predict", *flags, *fault.flags]
    environment = os.environ | {MARK: mark, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if new:
        environment["NUMBA_CACHE_DIR"] = str(place / "kernels")
    began, after = time.monotonic(), None
    with (place / "log").open("w+") as log:
        program = subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            for line in program.stdout:
                if fault.phase in line:
                    fault.happen(program)
                    after = time.monotonic() - began
                    break
            program.communicate()
        finally:
            program.kill()
    seconds = time.monotonic() - began
    out = Path(fault.flags[1]) if "--out" in fault.flags else out
    expected = read_challenges(str(challenges)).counts
    faults = find_faults(json.loads(out.read_text()), expected, "these") if out.is_file() else ["no file"]
    programs = [process for process in psutil.process_iter() if is_part(process, mark)]
    _, left = psutil.wait_procs(programs, timeout=5)
    return Row(fault.name, limit, after, seconds, program.returncode, faults, [process.pid for process in left])


def is_part(process: psutil.Process, mark: str) -> bool:
    """Whether a process belongs to a session."""
    with suppress(psutil.Error):
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.slow
@pytest.mark.parametrize("new", [False, True], ids=["compiled", "new machine"])
def test_sessions_under_faults(base: Path, tmp_path: Path, disk: Path, new: bool, capsys: pytest.CaptureFixture[str]) -> None:
    challenges = write_kaggle(tmp_path / "data", make_tasks(40, 5, "eval", largest=12), "eval")
    votes = ("--recipe", "none", "--answer-steps", "300")
    faults = [
        Fault("none", GUESSES, lambda program: None),
        Fault("killed worker", GUESSES, partial(kill, "worker"), flags=votes),
        Fault("stopped worker", GUESSES, partial(stop, "worker"), flags=votes),
        Fault("killed worker while voting", VOTES, partial(kill, "worker"), flags=votes),
        Fault("stopped worker while voting", VOTES, partial(stop, "worker"), flags=votes),
        Fault("killed adaptation", ADAPTS, partial(kill, "adapt")),
        Fault("stopped adaptation", ADAPTS, partial(stop, "adapt")),
        Fault("stopped for 5 s", GUESSES, pause),
        Fault("killed", GUESSES, lambda program: program.kill(), -9),
        Fault("killed while voting", VOTES, lambda program: program.kill(), -9, votes),
    ]
    rows = []
    for limit in (30, 60):
        full = Fault("full disk", GUESSES, partial(fill, disk), flags=("--out", str(disk / f"submission-{limit}.json")))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            rows += pool.map(partial(run_session, base, challenges, tmp_path, new, limit), [*faults, full])
        (disk / "full").unlink()
    with capsys.disabled():
        print("\nfault                       limit     after  seconds  code  faults  processes left")
        for row in rows:
            after = "never" if row.after is None else f"{row.after:.1f}"  # a loaded machine may have no time for an adaptation
            counts = f"{row.code:6}{len(row.faults):8}{len(row.left):16}"
            print(f"{row.fault:28}{row.limit:5}{after:>10}{row.seconds:9.1f}{counts}")
    expected = {fault.name: fault.code for fault in (*faults, full)}
    assert all(row.after for row in rows if "adaptation" not in row.fault and "voting" not in row.fault)
    for row in rows:
        # guesses alone where the machine is so loaded that no view fits
        assert row.code in (expected[row.fault] if row.after else 0, ONLY_GUESSES), row
        assert not row.faults, row
        assert not row.left, row
        assert row.seconds < max(row.limit, row.after or 0) + LATE, row  # one that was stopped itself ends when it continues
