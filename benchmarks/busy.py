"""Training steps beside a busy process: how long OpenMP's threads spin for one another before they sleep, quiet and busy."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import common
from benchmarks.train_step import time_command
from trm_arc.cli import run
from trm_arc.common.errors import require_least

SPUN = "OpenMP's own way"
TRIED = {  # the variables of each; those that are not named here are as the kit sets them
    SPUN: {"GOMP_SPINCOUNT": "300000"},  # what GNU's OpenMP takes by itself
    "GOMP_SPINCOUNT=0": {"GOMP_SPINCOUNT": "0"},
    "OMP_WAIT_POLICY=PASSIVE (the kit's)": {},
}
SIDES = {"quiet": 0, "busy": 1}  # other busy processes
FLAGS = "--preset sudoku-small --device cpu --log-every 1 --save-every 100000".split()


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Programs that each keep a core busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("busy", __doc__ or "")
    parser.add_argument("--steps", type=int, default=12, help="training steps of a run, of which the median counts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind, in turn, of which the median counts")
    parser.add_argument("--batch", type=int, default=32, help="puzzles of a step")
    values = parser.parse(arguments)
    for name in ("steps", "repeats", "batch"):
        require_least(name, getattr(values, name))
    flags = [*FLAGS, "--steps", str(values.steps), "--batch-size", str(values.batch)]
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(values.repeats):  # in turn, so that whatever else the machine does meets all alike
            for side, processes in SIDES.items():
                for name, setting in TRIED.items():
                    out = Path(scratch) / f"{repeat}-{side}-{name}"
                    with busy(processes):
                        times.setdefault((side, name), []).append(time_command(flags, out, 1, setting)[1])
    medians = {key: statistics.median(found) for key, found in times.items()}
    results: dict[str, float | str] = {"threads of a step": str(os.cpu_count()), "load at the end": os.getloadavg()[0]}
    for (side, name), found in medians.items():
        results[f"{side}, {name}: ms a step"] = found
        results[f"{side}, {name}: share of OpenMP's"] = found / medians[side, SPUN]
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
