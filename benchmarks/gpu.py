"""Measure an accelerator in one call: correctness, speed and memory; a short table comes last.

    python -m benchmarks.gpu --out FOLDER           on the accelerator, within --seconds; full numbers in FOLDER/gpu.json
    python -m benchmarks.gpu --out FOLDER --small   the same in small, to rehearse it on a CPU
    python -m benchmarks.gpu --out FOLDER --no-check --time "sudoku-fast" --time "sudoku-fast --prefix 7 --compile block"

A timed case is a preset with flags of trm_arc.train, so that any variants can be compared.  The most wanted is asked first, and
each answer is written as soon as it is known, so that nothing is lost if the run is stopped.  "model" is the time of a step by
that which trm_arc.training.cost models, "loader" the share of it that making a batch takes, and "wait" the share of consecutive
steps that wait for their batches; docs/first_gpu_hour.md says which values are good.
"""

import time
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks import common
from benchmarks.correctness import CHECKED, check, describe
from benchmarks.speed import PLAIN_ORDER, read_case, time_case, time_views
from trm_arc.cli import Parser
from trm_arc.common.device import Device, find_device
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import check_writable, to_json, write_atomic
from trm_arc.common.modes import BLOCK, STEP
from trm_arc.common.program import run
from trm_arc.model.attention import ORDERS
from trm_arc.model.flops import measure_peak
from trm_arc.training.cost import Rates

STEPS, VIEWS, CHECKS = "steps", "views", "checks"
# What is asked, the most wanted first: training steps and predicted views by preset and flags, checks by what is compiled.
ASKED = (
    (STEPS, "trm"),
    (STEPS, "trm --compile block"),
    (STEPS, f"trm --compile block {PLAIN_ORDER}"),
    (VIEWS, "trm"),
    (VIEWS, "trm --compile block"),
    (CHECKS, ""),
    (CHECKS, BLOCK),
    (STEPS, "sudoku-fast --compile block"),
    (STEPS, "maze-fast --compile block"),
    (STEPS, "arc1-fast --compile block"),
    (STEPS, "arc1-loop --compile block"),
    (STEPS, "trm --canvas buckets --compile block"),
    (STEPS, "sudoku-mlp --compile block"),
    (STEPS, "sudoku-mlp"),
    (STEPS, "sudoku-fast"),
    (STEPS, "maze-fast"),
    (STEPS, "arc1-fast"),
    (STEPS, "arc1-equilibrium --compile block"),
    (STEPS, "sudoku-parallel --compile block"),
    (CHECKS, STEP),
    (STEPS, "sudoku-fast --compile step"),
    (STEPS, "maze-fast --compile step"),
)
# Seconds that a question may take, by compile mode; it is not begun if less time is left.
NEEDS = {"": 20.0, BLOCK: 60.0, STEP: 150.0}


class Record:
    """The results so far, written after each one.

    Args:
        seconds: that all may take together.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.end = path, time.monotonic() + seconds
        self.values: dict[str, Any] = {"machine": common.machine()}
        self.skipped: list[str] = []

    def has_time(self, what: str, needs: float) -> bool:
        """Whether there is time for something; if not, record that it was skipped."""
        if time.monotonic() + needs < self.end:
            return True
        self.skipped.append(what)
        return False

    def add(self, name: str, value: Any, *, many: bool = False) -> None:
        """Keep an answer."""
        self.values[name] = [*self.values.get(name, []), value] if many else value
        self.write()

    def write(self) -> None:
        """Bring the file up to date."""
        write_atomic(self.path, to_json(self.values | {"not begun, for want of time": self.skipped}, pretty=True))


def measure(record: Record, device: Device, values: Namespace) -> bool:
    """Ask everything there is time for.

    Returns:
        Whether all answers were right.
    """
    right, table = True, []
    asked = [(STEPS, case) for case in values.time] if values.time else ASKED
    peak = measure_peak(device)
    rates = Rates.measured(device, peak)
    record.add("rates", {name: value / (1e9 if name == "memory" else 1e12) for name, value in rates._asdict().items()})
    print(make_titles(record.values), flush=True)
    for what, case in asked:
        mode = case if what == CHECKS else read_case(case, device)[2].compile_mode
        if what == CHECKS:
            for name in (name for name, checked in CHECKED if checked == mode and values.check):
                if record.has_time(f"the check of {name} {mode}", NEEDS[mode]):
                    for answered in check(device.device, values.small, name, mode):
                        record.add("checks", answered, many=True)
                        right &= answered["right"]
                        print(describe(answered), flush=True)
        elif record.has_time(f"{what} of {case}", NEEDS[mode]):
            table.append(ask(what, case, record, device, rates, values))
            print(table[-1], flush=True)
    print("\n".join([make_titles(record.values), *table]))  # in one piece, whatever was printed in between
    if record.skipped:
        print(f"not begun, for want of time: {', '.join(record.skipped)}")
    return right


def ask(what: str, case: str, record: Record, device: Device, rates: Rates, values: Namespace) -> str:
    """Time a case, and keep the result.

    Returns:
        A line of the table.
    """
    kernels = patch.dict(ORDERS, clear=True) if case.endswith(PLAIN_ORDER) else nullcontext()
    try:
        with kernels:
            if what == VIEWS:
                seen = time_views(case, device, rates, small=values.small)
                record.add("views", seen._asdict(), many=True)
                return f"{f'views of {case}':41}{seen.views:5}{seen.views / seen.seconds:26.1f}{seen.share:6.1%}"
            timing = time_case(case, device, rates, small=values.small, repeats=values.repeats)
    except Exception as error:  # as in `check`
        record.add("failed", {"case": case, "error": str(error)}, many=True)
        return f"{case:41}{' '.join(str(error).split())[:80]}"
    finally:
        torch.compiler.reset()
    record.add("timings", timing._asdict(), many=True)
    speed = f"{1000 * timing.seconds:9.1f}{timing.seconds / timing.modelled:6.2f}{timing.rows / timing.seconds:11.1f}"
    rest = f"{timing.share:6.1%}{timing.loading:7.1%}{timing.waiting:6.1%}{timing.megabytes:7.0f}{timing.first:8.1f}"
    return f"{case:41}{timing.rows:5}{timing.piece:6}{speed}{rest}"


def make_titles(values: dict[str, Any]) -> str:
    """The first lines of the table: the device, its limits, and the titles of the columns."""
    rates = values["rates"]
    products = f"products {rates['products']:,.1f} TFLOP/s, attention {rates['attention']:,.1f}"
    titles = (
        f"{'preset':41}{'rows':>5}{'piece':>6}{'ms/step':>9}{'model':>6}{'examples/s':>11}{'peak':>6}{'loader':>7}{'wait':>6}"
    )
    return f"{values['device']}: {products}, elementwise {rates['memory']:,.0f} GB/s\n{titles}{'MB':>7}{'first s':>8}"


def main(arguments: Sequence[str]) -> int:
    """Measure and print.

    Returns:
        0 if all that was checked is right, else 1.
    """
    parser = Parser(prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--seconds", type=float, default=480, help="time for everything; what may not fit is not started")
    parser.add_argument("--small", action="store_true", help="small networks and boards, for a rehearsal")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each bucket, of which the median counts")
    parser.add_argument("--check", action=BooleanOptionalAction, default=True, help="compare with float64 first")
    parser.add_argument("--time", action="append", metavar="'PRESET FLAGS'", help="a case to time; may be repeated")
    values = parser.parse(arguments)
    require_least("repeats", values.repeats)
    check_writable(values.out, ("gpu.json",))
    device = find_device()
    record = Record(values.out / "gpu.json", values.seconds)
    try:
        for case in values.time or ():
            read_case(case, device)
    except InputError as error:
        raise InputError(f"--time {case}: {error}") from None
    where = torch.get_device_module(device.device)
    name = where.get_device_name() if hasattr(where, "get_device_name") else common.machine()
    record.add("device", f"{name}, torch {torch.__version__}, {device.dtype}")
    right = measure(record, device, values)
    record.write()
    return 0 if right else 1


if __name__ == "__main__":
    run(main)
