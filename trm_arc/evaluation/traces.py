"""Refinement traces: the answer to a test input after every cycle of every supervision step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from augment import BOARD
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.common.records import load_record
from trm_arc.common.text import format_value
from trm_arc.data.puzzle_set import AnySet
from trm_arc.data.task import Grid
from trm_arc.evaluation.outcomes import Outcome, score_tests
from trm_arc.evaluation.results import Results
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.config import DEFAULT, InferenceConfig
from trm_arc.inference.predictor import Predictor
from trm_arc.inference.refinement import RefinementStep
from trm_arc.model.checkpoint import Checkpoint

FORMAT, VERSION = "trm_arc traces", 1
ADVICE = "remove it, or write it again with --trace"
DEFAULT_COUNT, MOST = 4, 50  # test inputs that are traced, if none are named, and at most


class Frame(NamedTuple):
    """The answer after a cycle.

    Attributes:
        step: supervision step, from 1.
        cycle: of the step, from 1.
        last: whether it is the step's last cycle, whose answer is the step's.
        grid: uint8 (rows, columns), the answer; empty where there is none.
        halting: halting probability.
    """

    step: int
    cycle: int
    last: bool
    grid: Grid
    halting: float


@dataclass(frozen=True)
class Trace:
    """How one answer is refined under the identity view: the name of the test input, and the frames in order.

    Raises:
        ValueError: the frames are not those of whole steps.
    """

    name: str
    frames: list[Frame]

    def __post_init__(self) -> None:
        if not self.frames or not self.frames[-1].last:
            raise ValueError("an answer's last frame is missing")
        if min(min(frame.step, frame.cycle) for frame in self.frames) < 1:
            raise ValueError("steps and cycles begin at 1")


@dataclass(frozen=True)
class _TraceFile:
    """Traces as they are kept."""

    formed: list[Trace]
    format: Literal["trm_arc traces"] = FORMAT
    version: Literal[1] = VERSION


def choose_tests(results: Results, names: Sequence[str] = ()) -> list[int]:
    """The test inputs to trace: those that are named, or the first of each outcome, and more until there are `DEFAULT_COUNT`.

    Args:
        names: ids of tasks, rows of puzzles, or names as `tasks.names` has them.

    Raises:
        InputError: an unknown name.
    """
    test_names = results.tasks.names
    if len(names) > MOST:
        raise InputError(f"at most {MOST} can be traced for one page, got {len(names)}", flag="--trace")
    if names:
        return list(dict.fromkeys(test for name in names for test in _find(name, test_names, results)))
    outcomes = score_tests(results)
    firsts = [next((n for n, test in enumerate(outcomes) if test.outcome is outcome), None) for outcome in Outcome]
    chosen = [number for number in firsts if number is not None][:DEFAULT_COUNT]
    rest = [number for number in range(len(test_names)) if number not in chosen]
    return chosen + rest[: DEFAULT_COUNT - len(chosen)]


def _find(name: str, test_names: Sequence[str], results: Results) -> list[int]:
    """The test inputs of a name: one, or all of a task."""
    for candidate in (name, f"row {name.removeprefix('row ')}"):
        if candidate in test_names:
            return [test_names.index(candidate)]
    tasks = results.tasks
    owned = tasks.find_tests(name)
    if not owned:
        raise InputError(f"{name} is not in {tasks.name}; name a task or a row, such as {test_names[0]}", flag="--trace")
    return owned


class _Recorder:
    """Keeps the answers of a predictor to one test input."""

    def __init__(self, predictor: Predictor, row: np.ndarray) -> None:
        self.domain, self.row = predictor.domain, row
        self.frames: list[Frame] = []

    def __call__(self, now: RefinementStep) -> None:
        if (now.step, now.cycle) == (1, 1):  # the first run, or another one on a larger canvas
            self.frames.clear()
        surest = int(now.halting.argmax())  # of parallel latents
        canvas = now.answers[surest].cpu().numpy()
        halting = float(now.halting[surest].float().sigmoid())
        self.frames.append(Frame(now.step, now.cycle, now.last, self.domain.undo(canvas, self.row), halting))


def trace_refinement(
    checkpoint: Checkpoint,
    tasks: AnySet,
    tests: Sequence[int],
    names: Sequence[str],
    device: Device,
    config: InferenceConfig = DEFAULT,
) -> list[Trace]:
    """Answer some test inputs again, and keep the answer after every cycle.

    Returns:
        Those that fit the model's board, and whose halting probabilities are finite, as votes need them to be.

    Raises:
        InputError: see `make_predictor`.
    """
    predictor, _ = make_predictor(checkpoint, tasks, device, config)
    traces = []
    for test in tests:
        if not predictor.view_counts[test]:
            continue
        predictor.callback = recorder = _Recorder(predictor, predictor.plan.rows(predictor.first_rows[[test]])[0])
        predictor.predict(np.array([test]), np.array([0]))
        if np.isfinite([frame.halting for frame in recorder.frames]).all():
            traces.append(Trace(names[test], recorder.frames))
    return traces


def write_traces(path: Path, traces: Sequence[Trace]) -> None:
    """Write traces for `read_traces`.

    Raises:
        InputError: the file cannot be written.
    """
    entries = [{"name": trace.name, "frames": [frame._asdict() for frame in trace.frames]} for trace in traces]
    write_atomic(path, to_json({"format": FORMAT, "version": VERSION, "formed": entries}))


def read_traces(path: Path, results: Results | None = None) -> list[Trace]:
    """Read what `write_traces` wrote.

    Args:
        results: the evaluation that it belongs to; traces of other test inputs are left out.  None: any.

    Raises:
        InputError: it cannot be read, or something else wrote it.
    """
    document = read_json(path)
    if not isinstance(document, dict) or (document.get("format"), document.get("version")) != (FORMAT, VERSION):
        raise InputError(f"not written by this trm_arc; {ADVICE}", file=path)
    traces = load_record(_TraceFile, document, path, {np.ndarray: _parse_grid, float: _parse_probability}, ADVICE).formed
    if results is None:
        return traces
    shape, names = results.tasks.domain.shape, set(results.tasks.names)
    for grid in (frame.grid for trace in traces for frame in trace.frames if shape is not None):
        if grid.size and grid.shape != shape:
            raise InputError(f"a board of {shape} is needed, got {grid.shape}; {ADVICE}", file=path)
    return [trace for trace in traces if trace.name in names]


def _parse_probability(value: object) -> float:
    if type(value) is not float or not 0 <= value <= 1:
        raise ValueError(f"a probability must be a number from 0.0 to 1.0, got {format_value(value)}")
    return value


def _parse_grid(value: object) -> Grid:
    grid = np.array(value) if value != [] else np.empty((0, 0), np.uint8)
    if grid.ndim != 2 or grid.dtype.kind not in "iu" or not ((grid >= 0) & (grid <= 255)).all():
        raise ValueError("a grid must be rows of numbers from 0 to 255")
    if max(grid.shape) > BOARD:
        raise ValueError(f"a grid must have at most {BOARD} rows and columns, got {grid.shape}")
    return grid.astype(np.uint8)
