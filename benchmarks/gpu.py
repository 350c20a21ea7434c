"""What a borrowed accelerator is asked, all in one call: is it right, how fast, in how much memory; a short table comes last.

    python -m benchmarks.gpu --out FOLDER           on the accelerator, within --seconds; full numbers in FOLDER/gpu.json
    python -m benchmarks.gpu --out FOLDER --small   the same in small, to rehearse it on a CPU

    python -m benchmarks.gpu --out FOLDER --no-check --time "sudoku-fast" --time "sudoku-fast --prefix 15 --compile block"

What is timed is a preset with flags of trm_arc.train, so any variants can stand side by side.  Each answer is written as soon as
it is there, so that a run which is cut off has not been for nothing.
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import common
from trm_arc.command import chosen_settings
from trm_arc.config import PRESETS, Config
from trm_arc.cost import count_training, measure_peak
from trm_arc.data import prepare_examples
from trm_arc.device import PRECISIONS, Device, find_device, synchronize
from trm_arc.errors import InputError
from trm_arc.files import to_json, write_atomic
from trm_arc.fusing import BLOCK, STEP, check_fusing, chosen, fuse
from trm_arc.halting import Batch, first_carry
from trm_arc.model import Reasoner, State
from trm_arc.puzzles.examples import fit_to_data, prepare_puzzles
from trm_arc.puzzles.puzzle_set import PuzzleSet
from trm_arc.puzzles.sources import made_family
from trm_arc.supervision import supervision_step
from trm_arc.task import Pair, Task, TaskSet
from trm_arc.train import make_parser
from trm_arc.trainer import Options, Trainer

_PLAIN = ("trm", "trm-mlp", "sudoku-mlp", "sudoku-fast", "maze-fast", "arc1-fast", "arc1-parallel", "hrm")
CHECKED = tuple((name, "") for name in _PLAIN)
# The most that answers and gradients may differ from those in float64, relatively.  In bfloat16 twenty calls of an untrained
# network amplify each rounding, here more and there less: its difference may be so many times that of a CPU in bfloat16.
BOUND, TIMES = 1e-3, 3.0
CHECKED_FUSED = (("sudoku-fast", BLOCK), ("sudoku-fast", STEP), ("trm", BLOCK), ("trm", STEP))
TIMED = (
    "sudoku-mlp",
    "sudoku-fast",
    "sudoku-fast --prefix 15",  # 97 tokens, which the MLP mixer multiplies by, fit no tile of a matrix unit; 96 do
    "maze-fast",
    "trm",
    "trm --window lanes",
    "arc1-fast",
    "sudoku-fast --compile block",
    "maze-fast --compile block",
    "trm --compile block",
    "arc1-fast --compile block",
    "sudoku-fast --prefix 15 --compile block",
    "sudoku-fast --compile step",  # a step is fused for a minute or two, in lanes for each window anew
    "maze-fast --compile step",
    "trm --compile step",
)


class Timing(NamedTuple):
    """How a training step goes.

    Attributes:
        case: the preset, with flags of training.
        rows: of a batch.
        piece: rows at a time, in the end; fewer than asked for where the memory was not enough.
        first: seconds of the first step, with all that is compiled.
        seconds: of a step, the median of each lane weighted by its share of the steps.
        loading: share of that which the loader takes.
        share: operations a second, of those that the fastest matrix product does.
        megabytes: of the device's memory, at the most; 0 where that is not known.
    """

    case: str
    rows: int
    piece: int
    first: float
    seconds: float
    loading: float
    share: float
    megabytes: float


def read_case(case: str) -> tuple[Config, Options]:
    """What a case of `--time` says.

    Args:
        case: the preset, with flags of training.

    Raises:
        InputError: there is no such preset or flag.
    """
    name, *flags = case.split()
    values = make_parser("trm").parse(["--preset", name, *flags])
    return PRESETS[name].override(chosen_settings(values) | {"depth_curriculum": ""}), Options(chosen(values.compile))


def shrink(config: Config, small: bool) -> Config:
    """A preset as it is, or a small one of the same kind for a rehearsal."""
    board = min(config.model.board_rows, 9) if small else config.model.board_rows
    changes = {"width": 64, "heads": 2, "board_rows": board, "board_columns": board, "batch_size": 8, "augmentations": 4}
    return config.override(changes if small else {"augmentations": min(config.training.augmentations, 20)})


# --- is it right


def answer(config: Config, device: torch.device, dtype: torch.dtype, fused: str = "") -> tuple[Tensor, ...]:
    """The answer y, the loss and all gradients of a supervision step on random puzzles, as float64 on the CPU.

    Weights, puzzles and initial states are drawn on the CPU in float64, so they are the same wherever the step is done.

    Args:
        config: of the model and the loss.
        device: where to compute.
        dtype: in which.
        fused: STEP or BLOCK, to be fused; or nothing.
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
    step = fuse(supervision_step) if fused == STEP else supervision_step
    if fused == BLOCK:
        reasoner.run_block = fuse(reasoner.run_block)
    loss, after, _ = step(reasoner, training, carry, vectors, start, torch.zeros(2, dtype=torch.int64, device=device))
    loss.backward()
    gradients = [p.grad for p in (*reasoner.parameters(), vectors) if p.grad is not None]
    parts = (after.state.y, loss, torch.cat([gradient.flatten().to(wide) for gradient in gradients]))
    return tuple(part.detach().double().cpu() for part in parts)


def check(device: torch.device, small: bool, cases: Iterable[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Compare the step of several kinds of networks with float64 on the CPU, in float32 and bfloat16; fused ones in the latter.

    Args:
        device: where to compute.
        small: see `shrink`.
        cases: presets, and what of their steps is fused.
    """
    cpu = torch.device("cpu")
    for name, fused in cases:
        config = shrink(PRESETS[name], small)
        config = config.override({"noise": 0.0, "latents": 1})  # the best latent may be another where two are equally good
        try:
            check_fusing(fused, config.model, device)
        except InputError:
            continue
        right = answer(config, cpu, torch.float64)
        usual = differ(answer(config, cpu, torch.bfloat16), right)
        bounds = {"bfloat16": [TIMES * each for each in usual]} | ({} if fused else {"float32": [BOUND] * len(right)})
        for precision, most in bounds.items():
            told = {"preset": name, "precision": precision, "fused": fused, "a CPU's": usual}
            try:
                found = differ(answer(config, device, PRECISIONS[precision], fused), right)
            except Exception as error:  # whatever it is, the other answers are worth as much without this one
                yield told | {"right": False, "error": str(error)}
                continue
            fine = all(each < bound for each, bound in zip(found, most, strict=True))  # a NaN is never below
            yield told | dict(zip(("y", "loss", "gradients"), found, strict=True)) | {"right": fine}
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


def time_case(case: str, device: Device, peak: float, *, small: bool, repeats: int) -> Timing:
    """Time training steps.

    Args:
        case: see `read_case`.
        device: where, and in which precision.
        peak: operations a second of the fastest matrix product.
        small: see `shrink`.
        repeats: steps of each lane that count, after one that does not.

    Raises:
        InputError: there is no such preset or flag, or it cannot be fused.
    """
    config, options = read_case(case)
    config = shrink(config, small)
    config, examples = make_examples(config, small)
    memory = torch.get_device_module(device.device)
    if hasattr(memory, "reset_peak_memory_stats"):
        memory.empty_cache()
        memory.reset_peak_memory_stats()
    trainer = Trainer(config, examples, device, 1000, options=options)
    began = time.perf_counter()
    trainer.train_step()
    synchronize(device.device)
    first = time.perf_counter() - began
    seconds, loading, operations = time_lanes(trainer, repeats)
    held = memory.max_memory_allocated() / 2**20 if hasattr(memory, "max_memory_allocated") else 0.0
    share = operations / seconds / peak
    return Timing(case, config.training.batch_size, trainer.piece, first, seconds, loading / seconds, share, held)


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
    """Ask everything: what is fused last, as a compiler that fails may take the program with it.

    Args:
        record: of the answers.
        device: where.
        values: the command line.

    Returns:
        Whether all answers were right.
    """
    right, told, cases = True, [], values.time or TIMED
    for fused in (False, True):
        checks = CHECKED_FUSED if fused else CHECKED
        for one in check(device.device, values.small, checks) if values.check and record.has_time("checks") else ():
            record.add("checks", one, many=True)
            right &= one["right"]
            print(describe(one), flush=True)
            if not record.has_time("the rest of the checks"):
                break
        if not fused:
            peak = measure_peak(device)
            record.add("fastest matrix product, TFLOP/s", peak / 1e12)
            record.add("copy, GB/s", measure_copy(device, 16 if values.small else 2048) / 1e9)
            told.append(make_titles(record.values))
        for case in cases:
            if bool(read_case(case)[1].fused) == fused and record.has_time(case):
                told.append(ask(case, record, device, peak, values))
                print(told[-1], flush=True)
    print("\n".join(told))  # in one piece, whatever was printed in between
    return right


def describe(one: dict[str, Any]) -> str:
    """A line for a comparison.

    Args:
        one: from `check`.
    """
    where = f"{one['preset']:14}{one['precision'] + ' ' + one['fused']:18}"
    if "error" in one:
        return f"{where}FAILED  {' '.join(one['error'].split())[:90]}"
    return f"{where}y {one['y']:.1e}  gradients {one['gradients']:.1e}  {'right' if one['right'] else 'WRONG'}"


def ask(case: str, record: Record, device: Device, peak: float, values: argparse.Namespace) -> str:
    """Time a case, and keep what came of it.

    Args:
        case: see `read_case`.
        record: of the answers.
        device: where.
        peak: see `time_case`.
        values: the command line.

    Returns:
        A line of the table.
    """
    try:
        timing = time_case(case, device, peak, small=values.small, repeats=values.repeats)
    except Exception as error:  # as in `check`
        record.add("failed", {"case": case, "error": str(error)}, many=True)
        return f"{case:41}{' '.join(str(error).split())[:80]}"
    finally:
        torch.compiler.reset()
    record.add("timings", timing._asdict(), many=True)
    speed = f"{1000 * timing.seconds:9.1f}{timing.rows / timing.seconds:11.1f}{timing.share:6.1%}{timing.loading:7.1%}"
    return f"{case:41}{timing.rows:5}{timing.piece:6}{speed}{timing.megabytes:7.0f}{timing.first:8.1f}"


def make_titles(values: dict[str, Any]) -> str:
    """What a person reads first, and the titles of what follows.

    Args:
        values: what is known.
    """
    ceilings = f"{values['fastest matrix product, TFLOP/s']:,.1f} TFLOP/s, copies {values['copy, GB/s']:,.0f} GB/s"
    titles = f"{'preset':41}{'rows':>5}{'piece':>6}{'ms/step':>9}{'examples/s':>11}{'peak':>6}{'loader':>7}"
    return f"{values['device']}: {ceilings}\n{titles}{'MB':>7}{'first s':>8}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--seconds", type=float, default=480, help="after which nothing new is begun")
    parser.add_argument("--small", action="store_true", help="small networks and boards, for a rehearsal")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each lane, of which the median counts")
    parser.add_argument("--check", action=argparse.BooleanOptionalAction, default=True, help="compare with float64 first")
    parser.add_argument("--time", action="append", metavar="'PRESET FLAGS'", help="a case to time; may be given again")
    values = parser.parse_args()
    values.out.mkdir(parents=True, exist_ok=True)
    device = find_device()
    record = Record(values.out / "gpu.json", values.seconds)
    try:
        for case in values.time or ():
            read_case(case)
    except InputError as error:
        parser.error(f"--time {case}: {error}")
    where = torch.get_device_module(device.device)
    name = where.get_device_name() if hasattr(where, "get_device_name") else common.machine()
    record.add("device", f"{name}, torch {torch.__version__}, {device.dtype}")
    right = measure(record, device, values)
    record.write()
    raise SystemExit(0 if right else 1)


if __name__ == "__main__":
    main()
