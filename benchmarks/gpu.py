"""Measure an accelerator in one call: correctness, speed and memory; a short table comes last.

    python -m benchmarks.gpu --out FOLDER           on the accelerator, within --seconds; full numbers in FOLDER/gpu.json
    python -m benchmarks.gpu --out FOLDER --small   the same in small, to rehearse it on a CPU
    python -m benchmarks.gpu --out FOLDER --no-check --time "sudoku-fast" --time "sudoku-fast --prefix 7 --compile block"

A timed case is a preset with flags of trm_arc.train, so that any variants can be compared.  The most wanted is asked first, and
each answer is written as soon as it is known, so that nothing is lost if the run is stopped.  "model" is the time of a step by
that which trm_arc.training.cost models; docs/first_gpu_hour.md says which values are good.
"""

import statistics
import time
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import common
from benchmarks.correctness import CHECKED, check, describe, shrink
from trm_arc.cli import Parser, choose_options, chosen_settings, parse_train_flags
from trm_arc.common.device import Device, find_device, synchronize
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.files import check_writable, to_json, write_atomic
from trm_arc.common.modes import BLOCK, NONE, STEP
from trm_arc.common.program import run
from trm_arc.config import Config, load_preset
from trm_arc.data.examples import prepare_examples
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import fit_to_data, generator_of_set
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.votes import list_views
from trm_arc.model.attention import ORDERS
from trm_arc.model.flops import count_forward, count_training, measure_peak
from trm_arc.training.cost import Rates, model_seconds
from trm_arc.training.options import Options
from trm_arc.training.state import inference_state
from trm_arc.training.trainer import Trainer

PLAIN_ORDER = "--torch-order"  # ends a case: PyTorch's own order of attention kernels, not ours
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
MEANT = {"preset", "compile", "accumulation_steps", "embeddings", "half_embeddings", "precision"}  # flags that a case may have


class Timing(NamedTuple):
    """The times of a training step.

    Attributes:
        case: the preset, with flags of training.
        rows: of a batch.
        piece: rows at a time of the largest windows, in the end; fewer where the memory was not enough.
        first: seconds of the first step of every bucket together, with all that is compiled and tried.
        seconds: of a step, the median of each bucket weighted by its share of the steps.
        modelled: seconds of a step by `trm_arc.training.cost` from the device's measured rates.
        loading: share of the time that the loader takes.
        share: operations a second, of those that the fastest matrix product does.
        megabytes: of the device's memory, at the most, once the pieces fit; 0 where that is not known.
    """

    case: str
    rows: int
    piece: int
    first: float
    seconds: float
    modelled: float
    loading: float
    share: float
    megabytes: float


class ViewTiming(NamedTuple):
    """How fast views are predicted.

    Attributes:
        case: the preset, with flags.
        views: that were predicted.
        first: seconds of the first batch, with all that is compiled and tried.
        seconds: of all views after it.
        share: operations a second, of those that the fastest matrix product does.
    """

    case: str
    views: int
    first: float
    seconds: float
    share: float


def read_case(case: str, device: Device) -> tuple[Config, Device, Options]:
    """What a case of `--time` says.

    Args:
        case: the preset, with flags of training: settings, and those of `MEANT`.
        device: where, if the case names no precision.

    Raises:
        InputError: there is no such preset or flag, or it would do nothing here.
    """
    preset, *flags = case.removesuffix(PLAIN_ORDER).split()
    arguments = ["--preset", preset, "--compile", NONE, *flags]  # what a case does not name is not compiled
    values = parse_train_flags(arguments)
    settings = chosen_settings(values)
    given = (argument.partition("=")[0] for argument in arguments if argument.startswith("--"))
    named = {flag.removeprefix("--").removeprefix("no-").replace("-", "_") for flag in given}
    if idle := sorted(named - MEANT - settings.keys()):
        raise InputError("has no effect on timed steps", flag=f"--{idle[0].replace('_', '-')}")
    chosen, options = choose_options(values, None)
    where = device if values.precision == "auto" else device._replace(dtype=chosen.dtype)
    return load_preset(values.preset).override(settings | {"depth_curriculum": ""}), where, options


# --- how fast


def make_examples(config: Config, small: bool) -> tuple[Config, Any]:
    """Puzzles of the preset's kind that need no files: real Sudoku and mazes, and made-up tasks of ARC's sizes.

    Args:
        small: boards of 9 x 9 at most.
    """
    if config.training.data == "sudoku-extreme":
        config, kind = config.override({"data": "sudoku-9x9-easy", "evaluation_data": "sudoku-9x9-easy"}), "sudoku-9x9-easy"
    elif config.training.data == "maze-hard":
        kind = "maze-9x9-easy" if small else "maze-30x30-easy"
        config = config.override({"data": kind, "evaluation_data": kind})
    else:
        tasks = _make_tasks(40 if small else 400, 9 if small else 30)
        return config, prepare_examples(TaskSet([], "none"), tasks, config)[0]
    domain, make = generator_of_set(kind)
    made = make(64, 0, None, lambda _done: None)
    puzzles = PuzzleSet(kind, domain, *made, np.arange(1, 65))
    config = fit_to_data(config, {})
    return config, domain.prepare(puzzles, puzzles, config)[0]


def _make_tasks(count: int, largest: int) -> TaskSet:
    """Tasks that mirror their input; sides are drawn as ARC's lie, many small and some of the largest."""
    generator = np.random.default_rng(0)

    def pair() -> Pair:
        grid = generator.integers(0, 10, np.minimum(largest, 3 + (largest * generator.random(2) ** 1.5).astype(int)))
        return Pair(grid.astype(np.uint8), np.ascontiguousarray(grid[:, ::-1]).astype(np.uint8))

    return TaskSet((Task(f"{n:08x}", tuple(pair() for _ in range(3)), (pair(),)) for n in range(count)), "made up")


def time_case(case: str, device: Device, rates: Rates, *, small: bool, repeats: int) -> Timing:
    """Time training steps.

    Args:
        device: where, and in which precision.
        rates: of the device.
        repeats: steps of each bucket that count, after one that does not.

    Raises:
        InputError: there is no such preset or flag, or it cannot be compiled.
    """
    config, device, options = read_case(case, device)
    config, examples = make_examples(shrink(config, small), small)
    trainer = Trainer(config, examples, device, 1000, options=options)
    buckets = time_buckets(trainer, repeats)
    eager, fused = model_seconds(config, examples, rates, device.dtype)
    return Timing(
        case=case,
        rows=config.training.batch_size,
        piece=trainer.pieces[-1],
        first=buckets.first,
        seconds=buckets.seconds,
        modelled=fused if options.compile_mode else eager,
        loading=buckets.loading / buckets.seconds,
        share=buckets.operations / buckets.seconds / rates.peak,
        megabytes=buckets.megabytes,
    )


def time_views(case: str, device: Device, rates: Rates, *, small: bool) -> ViewTiming:
    """Time the prediction of views on full boards, by a network of the preset that has learned nothing.

    Args:
        device: where, and in which precision.
        rates: of the device.
    """
    config, device, options = read_case(case, device)
    config = shrink(config, small)
    side = min(config.model.board_rows, config.model.board_columns)
    tasks = _make_tasks(16, side)
    trainer = Trainer(config, prepare_examples(TaskSet([], "none"), tasks, config)[0], device, 1)
    batch = 8 if small else 256
    inference = InferenceConfig(batch_size=batch, canvas="full", compile=options.compile_mode or NONE)
    predictor, _ = make_predictor(inference_state(trainer), tasks, device, inference)
    counts = np.minimum(predictor.view_counts, (16 if small else 768) // len(tasks))
    tests, views = list_views(np.arange(len(counts)), np.zeros_like(counts), counts)
    times = []
    for here in (slice(0, batch), slice(batch, None)):
        synchronize(device.device)
        began = time.perf_counter()
        predictor.predict(tests[here], views[here])
        synchronize(device.device)
        times.append(time.perf_counter() - began)
    operations = config.training.steps_of_answer * count_forward(config.model, side**2) * (len(tests) - batch)
    return ViewTiming(case, len(tests) - batch, *times, share=operations / times[1] / rates.peak)


class BucketTimes(NamedTuple):
    """The times of a run's steps.

    Attributes:
        first: seconds of the first step of every bucket together.
        seconds: of a step, the median of each bucket weighted by its share of the steps.
        loading: of that, the loader's.
        operations: of a step.
        megabytes: of the device's memory, at the most, after the first steps.
    """

    first: float
    seconds: float
    loading: float
    operations: float
    megabytes: float


def time_buckets(trainer: Trainer, repeats: int) -> BucketTimes:
    """Time the steps of every bucket, the largest windows first, as they need the most memory.

    Args:
        repeats: steps of each bucket that count, after one that does not.
    """
    buckets, schedule, config = trainer.examples.buckets, trainer.examples.schedule, trainer.config
    quotas = schedule.before[-1] / schedule.before[-1].sum()
    memory = torch.get_device_module(trainer.device.device)
    known = hasattr(memory, "reset_peak_memory_stats")
    first = seconds = loading = operations = held = 0.0
    for number in reversed(range(len(buckets))):
        steps, batches = [], []
        turn = next(step for step in range(len(schedule.buckets)) if schedule.at(step)[0] == number)
        for _ in range(repeats + 1):
            began = time.perf_counter()
            trainer.examples.batch(turn, config.training, trainer.shard)
            batches.append(time.perf_counter() - began)
            trainer.step = turn
            synchronize(trainer.device.device)
            began = time.perf_counter()
            trainer.train_step()
            synchronize(trainer.device.device)
            steps.append(time.perf_counter() - began)
            if known and len(steps) == 1:  # failed attempts do not count
                memory.reset_peak_memory_stats()
        first += steps[0]
        seconds += quotas[number] * statistics.median(steps[1:])
        loading += quotas[number] * statistics.median(batches[1:])
        count = count_training(config.model, config.training, buckets[number].window.cells)
        operations += quotas[number] * config.training.batch_size * count
        held = max(held, memory.max_memory_allocated() / 2**20) if known else 0.0
    return BucketTimes(first, seconds, loading, operations, held)


# --- all of it


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
    rest = f"{timing.share:6.1%}{timing.loading:7.1%}{timing.megabytes:7.0f}{timing.first:8.1f}"
    return f"{case:41}{timing.rows:5}{timing.piece:6}{speed}{rest}"


def make_titles(values: dict[str, Any]) -> str:
    """The first lines of the table: the device, its limits, and the titles of the columns."""
    rates = values["rates"]
    products = f"products {rates['products']:,.1f} TFLOP/s, attention {rates['attention']:,.1f}"
    titles = f"{'preset':41}{'rows':>5}{'piece':>6}{'ms/step':>9}{'model':>6}{'examples/s':>11}{'peak':>6}{'loader':>7}"
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
