"""What a borrowed accelerator is asked, all in one call: is it right, how fast, in how much memory; a short table comes last.

    python -m benchmarks.gpu --out FOLDER           on the accelerator, within --seconds; full numbers in FOLDER/gpu.json
    python -m benchmarks.gpu --out FOLDER --small   the same in small, to rehearse it on a CPU

Each answer is written as soon as it is there, so that a run which is cut off has not been for nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import common
from trm_arc.config import PRESETS, Config
from trm_arc.cost import count_training, measure_peak
from trm_arc.data import prepare_examples
from trm_arc.device import PRECISIONS, Device, find_device, synchronize
from trm_arc.files import to_json, write_atomic
from trm_arc.halting import Batch, first_carry
from trm_arc.model import Reasoner, State
from trm_arc.puzzles.examples import fit_to_data, prepare_puzzles
from trm_arc.puzzles.puzzle_set import PuzzleSet
from trm_arc.puzzles.sources import made_family
from trm_arc.supervision import supervision_step
from trm_arc.task import Pair, Task, TaskSet
from trm_arc.trainer import Options, Trainer, may_break

CHECKED = ("trm", "trm-mlp", "sudoku-mlp", "sudoku-fast", "maze-fast", "arc1-fast", "arc1-parallel", "hrm")
# The most that answers and gradients may differ from those in float64, relatively.  In bfloat16 twenty calls of an untrained
# network amplify each rounding, here more and there less: its difference may be so many times that of a CPU in bfloat16.
BOUND, TIMES = 1e-3, 3.0
CHECKED_FUSED = ("sudoku-fast", "trm")  # fusing takes a minute each
TIMED = (
    ("sudoku-mlp", "full"),
    ("sudoku-fast", "full"),
    ("maze-fast", "full"),
    ("trm", "full"),
    ("trm", "lanes"),
    ("arc1-fast", "lanes"),
)
TIMED_FUSED = (("sudoku-fast", "full"), ("maze-fast", "full"), ("trm", "full"))  # in lanes, each window is fused anew


class Timing(NamedTuple):
    """How a training step of a preset goes.

    Attributes:
        preset: its name.
        window: full boards or lanes.
        compiled: whether the step is fused.
        rows: of a batch.
        piece: rows at a time, in the end; fewer than asked for where the memory was not enough.
        first: seconds of the first step, with all that is compiled.
        seconds: of a step, the median of each lane weighted by its share of the steps.
        loading: share of that which the loader takes.
        share: operations a second, of those that the fastest matrix product does.
        megabytes: of the device's memory, at the most; 0 where that is not known.
    """

    preset: str
    window: str
    compiled: bool
    rows: int
    piece: int
    first: float
    seconds: float
    loading: float
    share: float
    megabytes: float


def shrink(config: Config, small: bool) -> Config:
    """A preset as it is, or a small one of the same kind for a rehearsal."""
    board = min(config.model.board_rows, 9) if small else config.model.board_rows
    changes = {"width": 64, "heads": 2, "board_rows": board, "board_columns": board, "batch_size": 8, "augmentations": 4}
    return config.override(changes if small else {"augmentations": min(config.training.augmentations, 20)})


# --- is it right


def answer(config: Config, device: torch.device, dtype: torch.dtype, step: Callable = supervision_step) -> tuple[Tensor, ...]:
    """The answer y, the loss and all gradients of a supervision step on random puzzles, as float64 on the CPU.

    Weights, puzzles and initial states are drawn on the CPU in float64, so they are the same wherever the step is done.

    Args:
        config: of the model and the loss.
        device: where to compute.
        dtype: in which.
        step: `supervision_step`, or compiled.
    """
    generator = torch.Generator().manual_seed(0)
    model, training = config.model, replace(config.training, batch_size=2)
    reasoner = Reasoner(model, generator).double()
    torch.nn.init.normal_(reasoner.halt_weight, generator=generator)
    shape = (2, model.board_rows, model.board_columns)
    tokens, labels = (torch.randint(1, model.vocabulary, shape, generator=generator, dtype=torch.uint8) for _ in range(2))
    palette = torch.randperm(10, generator=generator).to(torch.uint8)
    transforms = torch.cat((torch.tensor([3], dtype=torch.uint8), palette)).repeat(2, 1)
    state = reasoner.start(2, *shape[1:], torch.float64, generator)
    vectors = torch.randn(2, model.width, dtype=torch.float64, generator=generator)
    wide = torch.promote_types(dtype, torch.float32)
    reasoner = reasoner.to(device, wide)
    start = State(state.y.to(device, dtype), tuple(part.to(device, dtype) for part in state.z))
    vectors = vectors.to(device, wide).requires_grad_()
    batch = Batch(*(part.to(device) for part in (tokens, labels, torch.arange(2), transforms)))
    carry = first_carry(start, batch)._replace(batch=batch)
    loss, after, _ = step(reasoner, training, carry, vectors, start, torch.zeros(2, dtype=torch.int64, device=device))
    loss.backward()
    gradients = [p.grad for p in (*reasoner.parameters(), vectors) if p.grad is not None]
    parts = (after.state.y, loss, torch.cat([gradient.flatten().to(wide) for gradient in gradients]))
    return tuple(part.detach().double().cpu() for part in parts)


def check(device: torch.device, small: bool, fused: bool) -> Iterator[dict[str, Any]]:
    """Compare the step of several kinds of networks with float64 on the CPU.

    Args:
        device: where to compute.
        small: see `shrink`.
        fused: the fused step in bfloat16; else the plain one, in float32, too.
    """
    cpu = torch.device("cpu")
    for name in CHECKED_FUSED if fused else CHECKED:
        config = shrink(PRESETS[name], small)
        config = config.override({"noise": 0.0, "latents": 1})  # the best latent may be another where two are equally good
        if fused and may_break(config.model, device):
            continue
        step = torch.compile(supervision_step, fullgraph=True, dynamic=False) if fused else supervision_step
        right = answer(config, cpu, torch.float64)
        usual = differ(answer(config, cpu, torch.bfloat16), right)
        bounds = {"bfloat16": [TIMES * each for each in usual]} | ({} if fused else {"float32": [BOUND] * len(right)})
        for precision, most in bounds.items():
            found = differ(answer(config, device, PRECISIONS[precision], step), right)
            fine = all(each < bound for each, bound in zip(found, most, strict=True))  # a NaN is never below
            differences = dict(zip(("y", "loss", "gradients"), found, strict=True))
            yield {"preset": name, "precision": precision, "fused": fused, **differences, "a CPU's": usual, "right": fine}
        torch.compiler.reset()


def differ(found: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> list[float]:
    """How far answers, losses and gradients are from the right ones, relatively.

    Args:
        found: from `answer`.
        right: the same.
    """
    return [float((a - b).norm() / b.norm()) for a, b in zip(found, right, strict=True)]


# --- how fast


def make_examples(config: Config, small: bool) -> tuple[Config, Any]:
    """Puzzles of the preset's kind that need no files: real Sudoku and mazes, and made-up tasks of ARC's sizes.

    Args:
        config: of the run.
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
    family, easy = made_family(kind)
    made = family.generate(64, 0, easy, None, lambda _done: None)
    puzzles = PuzzleSet(kind, family, *made, np.arange(1, 65))
    config = fit_to_data(config, {}, None)
    return config, prepare_puzzles(puzzles, puzzles, config)


def _make_tasks(count: int, largest: int) -> TaskSet:
    """Tasks that mirror their input; sides are drawn as ARC's lie, many small and some of the largest."""
    generator = np.random.default_rng(0)

    def pair() -> Pair:
        grid = generator.integers(0, 10, np.minimum(largest, 3 + (largest * generator.random(2) ** 1.5).astype(int)))
        return Pair(grid.astype(np.uint8), np.ascontiguousarray(grid[:, ::-1]).astype(np.uint8))

    return TaskSet((Task(f"{n:08x}", tuple(pair() for _ in range(3)), (pair(),)) for n in range(count)), "made up")


def time_preset(name: str, window: str, device: Device, peak: float, *, compiled: bool, small: bool, repeats: int) -> Timing:
    """Time training steps.

    Args:
        name: of the preset.
        window: full or lanes.
        device: where, and in which precision.
        peak: operations a second of the fastest matrix product.
        compiled: fuse the step.
        small: see `shrink`.
        repeats: steps of each lane that count, after one that does not.
    """
    config = shrink(PRESETS[name], small).override({"depth_curriculum": ""})
    if config.training.window != window:
        config = config.override({"window": window})
    config, examples = make_examples(config, small)
    memory = torch.get_device_module(device.device)
    if hasattr(memory, "reset_peak_memory_stats"):
        memory.empty_cache()
        memory.reset_peak_memory_stats()
    trainer = Trainer(config, examples, device, 1000, options=Options(compiled=compiled))
    began = time.perf_counter()
    trainer.train_step()
    synchronize(device.device)
    first = time.perf_counter() - began
    seconds, loading, operations = time_lanes(trainer, repeats)
    held = memory.max_memory_allocated() / 2**20 if hasattr(memory, "max_memory_allocated") else 0.0
    share = operations / seconds / peak
    rows = config.training.batch_size
    return Timing(name, window, compiled, rows, trainer.piece, first, seconds, loading / seconds, share, held)


def time_lanes(trainer: Trainer, repeats: int) -> tuple[float, float, float]:
    """Seconds a step, each lane's median weighted by its share of the steps; of that the loader; and operations a step.

    Args:
        trainer: whose steps.
        repeats: steps of each lane that count, after one that does not.
    """
    lanes, turns, config = trainer.examples.lanes, trainer.examples.turns, trainer.config
    quotas = turns.before[-1] / turns.before[-1].sum()
    seconds = loading = operations = 0.0
    for number, lane in enumerate(lanes):
        steps, batches = [], []
        turn = next(step for step in range(len(turns.lanes)) if turns.at(step)[0] == number)
        for attempt in range(repeats + 1):
            began = time.perf_counter()
            trainer.examples.batch(turn, config.training, trainer.part)
            batches.append(time.perf_counter() - began)
            trainer.step = turn
            synchronize(trainer.device.device)
            began = time.perf_counter()
            trainer.train_step()
            synchronize(trainer.device.device)
            if attempt:  # the first one warms up
                steps.append(time.perf_counter() - began)
        seconds += quotas[number] * statistics.median(steps)
        loading += quotas[number] * statistics.median(batches)
        count = count_training(config.model, config.training, lane.window.cells)
        operations += quotas[number] * config.training.batch_size * count
    return seconds, loading, operations


def measure_copy(device: Device, megabytes: int) -> float:
    """Bytes a second, read and written, of a copy within the device's memory.

    Args:
        device: where.
        megabytes: to copy.
    """
    source = torch.rand(megabytes << 18, device=device.device)  # four bytes each
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)
        synchronize(device.device)

    return 2 * source.nbytes / common.median_seconds(copy, 5)


# --- all of it


class Record:
    """What is known so far, written after each answer.

    Args:
        path: of the file.
        seconds: after which nothing new is begun.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.end = path, time.monotonic() + seconds
        self.values: dict[str, Any] = {"machine": common.machine()}
        self.skipped: list[str] = []

    def has_time(self, what: str) -> bool:
        """Whether to begin something; else it is noted that it was not."""
        if time.monotonic() < self.end:
            return True
        self.skipped.append(what)
        return False

    def add(self, name: str, value: Any, many: bool = False) -> None:
        """Keep an answer.

        Args:
            name: of the answer.
            value: itself.
            many: there are several of this name.
        """
        self.values[name] = [*self.values.get(name, []), value] if many else value
        self.write()

    def write(self) -> None:
        """Bring the file up to date."""
        write_atomic(self.path, to_json(self.values | {"not begun, for want of time": self.skipped}, pretty=True))


def measure(record: Record, device: Device, values: argparse.Namespace) -> bool:
    """Ask everything: plain steps first, as a compiler that fails may take the program with it.

    Args:
        record: of the answers.
        device: where.
        values: the command line.

    Returns:
        Whether all answers were right.
    """
    right, timings, peak = True, [], 0.0
    for fused in (False, True) if values.compile else (False,):
        for one in check(device.device, values.small, fused):
            record.add("checks", one, many=True)
            right &= one["right"]
            way, told = one["precision"] + " fused" * fused, "right" if one["right"] else "WRONG"
            print(f"{one['preset']:14}{way:18}y {one['y']:.1e}  gradients {one['gradients']:.1e}  {told}", flush=True)
            if not record.has_time("the rest of the checks"):
                break
        if not peak:
            peak = measure_peak(device)
            record.add("fastest matrix product, TFLOP/s", peak / 1e12)
            record.add("copy, GB/s", measure_copy(device, 16 if values.small else 2048) / 1e9)
        for name, window in TIMED_FUSED if fused else TIMED:
            if fused and may_break(PRESETS[name].model, device.device):
                continue
            if record.has_time(f"{name} {window}{' fused' * fused}"):
                how = {"compiled": fused, "small": values.small, "repeats": values.repeats}
                timings.append(time_preset(name, window, device, peak, **how))
                record.add("timings", timings[-1]._asdict(), many=True)
                torch.compiler.reset()
        print(make_table(record.values, timings), flush=True)
    return right


def make_table(values: dict[str, Any], timings: list[Timing]) -> str:
    """What a person reads first.

    Args:
        values: what is known.
        timings: of the presets.
    """
    ceilings = f"{values['fastest matrix product, TFLOP/s']:,.1f} TFLOP/s, copies {values['copy, GB/s']:,.0f} GB/s"
    titles = f"{'preset':14}{'window':7}{'fused':6}{'rows':>5}{'piece':>6}{'ms/step':>10}{'examples/s':>12}"
    lines = [f"{values['device']}: {ceilings}", titles + f"{'peak':>7}{'loader':>8}{'MB':>8}{'first s':>9}"]
    for t in timings:
        how = f"{t.preset:14}{t.window:7}{'yes' if t.compiled else 'no':6}{t.rows:5}{t.piece:6}"
        speed = f"{1000 * t.seconds:10.1f}{t.rows / t.seconds:12.1f}{t.share:7.1%}{t.loading:8.1%}"
        lines.append(f"{how}{speed}{t.megabytes:8.0f}{t.first:9.1f}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--seconds", type=float, default=480, help="after which nothing new is begun")
    parser.add_argument("--small", action="store_true", help="small networks and boards, for a rehearsal")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each lane, of which the median counts")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="try fused steps, too")
    values = parser.parse_args()
    values.out.mkdir(parents=True, exist_ok=True)
    device = find_device()
    record = Record(values.out / "gpu.json", values.seconds)
    where = torch.get_device_module(device.device)
    name = where.get_device_name() if hasattr(where, "get_device_name") else common.machine()
    record.add("device", f"{name}, torch {torch.__version__}, {device.dtype}")
    right = measure(record, device, values)
    record.write()
    raise SystemExit(0 if right else 1)


if __name__ == "__main__":
    main()
