"""How fast a device trains and predicts: the times of steps by size bucket, and of views."""

import statistics
import time
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.correctness import shrink
from trm_arc.cli import chosen_settings, parse_train_flags, read_machine
from trm_arc.common.device import Device, synchronize
from trm_arc.common.errors import InputError
from trm_arc.common.modes import NONE
from trm_arc.config import Config, load_preset
from trm_arc.data.batch import Batch
from trm_arc.data.examples import prepare_examples
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import fit_to_data, generator_of_set
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.votes import list_views
from trm_arc.model.flops import count_forward, count_training
from trm_arc.training.cost import Rates, model_seconds
from trm_arc.training.machine import choose_options
from trm_arc.training.options import Options
from trm_arc.training.state import inference_state
from trm_arc.training.trainer import Trainer

PLAIN_ORDER = "--torch-order"  # ends a case: PyTorch's own order of attention kernels, not ours
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
        loading: share of the time that making a batch takes.
        waiting: share of the time that consecutive steps wait for their batches, as in `time_waiting`.
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
    waiting: float
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
    chosen, options = choose_options(read_machine(values), None, None)
    where = device if values.precision == "auto" else device._replace(dtype=chosen.dtype)
    return load_preset(values.preset).override(settings | {"depth_curriculum": ""}), where, options


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
        waiting=time_waiting(trainer, repeats),
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
        seconds: of a step, the median of each bucket weighted by its share of the steps; with that of its batch where none is
            made ahead.
        loading: that making a batch takes, likewise.
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
            made = trainer.loader.make(turn)
            batches.append(time.perf_counter() - began)
            batch = Batch(*(part.to(trainer.device.device) for part in made))
            trainer.step = turn
            synchronize(trainer.device.device)
            began = time.perf_counter()
            trainer.learn(batch, number)
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
    seconds += loading * (trainer.loader.thread is None)
    return BucketTimes(first, seconds, loading, operations, held)


def time_waiting(trainer: Trainer, steps: int) -> float:
    """The share of the time of consecutive steps that they wait for their batches, with a loader that works as in a run.

    An accelerator may be busy with the step before while the next one waits, so it is idle for this share at the most.

    Args:
        steps: that count, after one that does not.
    """
    take, waits = trainer.loader.take, []

    def timed(step: int) -> Batch:
        began = time.perf_counter()
        batch = take(step)
        waits.append(time.perf_counter() - began)
        return batch

    with patch.object(trainer.loader, "take", timed):
        trainer.step = 0
        trainer.train_step()
        synchronize(trainer.device.device)
        began = time.perf_counter()
        for _ in range(steps):
            trainer.train_step()
        synchronize(trainer.device.device)
    return sum(waits[1:]) / (time.perf_counter() - began)
