"""How an answer forms: what a model says of a test input after every cycle of every supervision step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from augment import BOARD
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.data.puzzle_families import PuzzleFamily
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.task import Grid
from trm_arc.evaluation.outcomes import Outcome, judge_results
from trm_arc.evaluation.results import Results, name_tests
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.config import DEFAULT, InferenceConfig
from trm_arc.inference.predictor import Predictor
from trm_arc.inference.refinement import Moment
from trm_arc.model.checkpoint import Checkpoint

FORMAT, VERSION = "trm_arc forming", 1
USUAL, MOST = 4, 50  # test inputs that are watched, if none are named, and at most


class Frame(NamedTuple):
    """The answer at a moment.

    Attributes:
        step: of supervision, from 1.
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
class Forming:
    """How one answer forms under the view that changes nothing: what the test input is called, and the frames in order."""

    name: str
    frames: list[Frame]


def choose_slots(results: Results, names: Sequence[str] = ()) -> list[int]:
    """The test inputs to watch: those that are named, or the first of each outcome, and more until there are `USUAL`.

    Args:
        results: an evaluation.
        names: ids of tasks, rows of puzzles, or names as `name_tests` gives them.

    Raises:
        InputError: a name that is none of these.
    """
    called = name_tests(results)
    if len(names) > MOST:
        raise InputError(f"at most {MOST} can be watched for one page, got {len(names)}", flag="--forming")
    if names:
        return list(dict.fromkeys(slot for name in names for slot in _find(name, called, results)))
    verdicts = judge_results(results)
    firsts = [next((n for n, verdict in enumerate(verdicts) if verdict.outcome is outcome), None) for outcome in Outcome]
    chosen = [number for number in firsts if number is not None][:USUAL]
    rest = [number for number in range(len(called)) if number not in chosen]
    return chosen + rest[: USUAL - len(chosen)]


def _find(name: str, called: Sequence[str], results: Results) -> list[int]:
    """The test inputs of a name: one, or all of a task."""
    row = name.removeprefix("row ")
    for candidate in (name, f"row {row}"):
        if candidate in called:
            return [called.index(candidate)]
    tasks = results.tasks
    owned = [] if isinstance(tasks, PuzzleSet) else [slot for slot, (task, _) in enumerate(tasks.tests) if task.id == name]
    if not owned:
        raise InputError(f"{name} is not in {tasks.name}; name a task or a row, as {called[0]}", flag="--forming")
    return owned


class _Watcher:
    """Keeps what a predictor says of one test input."""

    def __init__(self, predictor: Predictor, row: np.ndarray) -> None:
        self.family, self.row = predictor.family, row
        self.frames: list[Frame] = []

    def __call__(self, moment: Moment) -> None:
        if (moment.step, moment.cycle) == (1, 1):  # the first look, or another one on a larger canvas
            self.frames.clear()
        surest = int(moment.halting.argmax())  # of parallel latents
        canvas = moment.answers[surest].cpu().numpy()
        halting = float(moment.halting[surest].float().sigmoid())
        self.frames.append(Frame(moment.step, moment.cycle, moment.last, self.family.undo(canvas, self.row), halting))


def watch_forming(
    checkpoint: Checkpoint,
    tasks: AnySet,
    slots: Sequence[int],
    names: Sequence[str],
    device: Device,
    config: InferenceConfig = DEFAULT,
) -> list[Forming]:
    """Think about some test inputs again, and keep what comes of every cycle.

    Args:
        checkpoint: the model.
        tasks: an evaluation's.
        slots: numbers of the test inputs.
        names: of all test inputs.
        device: where to compute.

    Returns:
        Those that fit the model's board, and whose halting probabilities are finite, as votes need them to be.

    Raises:
        InputError: see `make_predictor`.
    """
    predictor, _ = make_predictor(checkpoint, tasks, device, config)
    formed = []
    for slot in slots:
        if not predictor.view_counts[slot]:
            continue
        watcher = _Watcher(predictor, predictor.plan.rows(predictor.first_rows[[slot]])[0])
        predictor.watch = watcher
        predictor.predict(np.array([slot]), np.array([0]))
        if np.isfinite([frame.halting for frame in watcher.frames]).all():
            formed.append(Forming(names[slot], watcher.frames))
    return formed


def write_forming(path: Path, formed: Sequence[Forming]) -> None:
    """Write what was watched, for `read_forming`.

    Args:
        path: the file.
        formed: what to write.

    Raises:
        InputError: it cannot be written.
    """
    entries = [{"name": one.name, "frames": [frame._asdict() for frame in one.frames]} for one in formed]
    write_atomic(path, to_json({"format": FORMAT, "version": VERSION, "formed": entries}))


def read_forming(path: Path, results: Results | None = None) -> list[Forming]:
    """Read what `write_forming` wrote.

    Args:
        path: the file.
        results: the evaluation that it belongs to; what is of no test input of it is left out.  None: any.

    Raises:
        InputError: it cannot be read, or something else wrote it.
    """
    document = read_json(path)
    if not isinstance(document, dict) or (document.get("format"), document.get("version")) != (FORMAT, VERSION):
        raise InputError("not written by this trm_arc; remove it, or make it anew with --forming", file=path)
    try:
        formed = [Forming(_parse(str, one["name"]), list(map(_parse_frame, one["frames"]))) for one in document["formed"]]
        for one in formed:
            _check(one, results)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"damaged ({error}); remove it, or make it anew with --forming", file=path) from None
    names = set(name_tests(results)) if results else {one.name for one in formed}
    return [one for one in formed if one.name in names]


def _check(one: Forming, results: Results | None) -> None:
    """Raise ValueError unless an answer forms to its end, on boards of the evaluation's puzzles."""
    if not one.frames or not one.frames[-1].last:
        raise ValueError("an answer's last frame is missing")
    family = results.tasks.family if results else None
    for grid in (frame.grid for frame in one.frames if isinstance(family, PuzzleFamily) and frame.grid.size):
        if grid.shape != family.shape:
            raise ValueError(f"a board of {family.shape} is needed, got {grid.shape}")


def _parse(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, got {type(value).__name__}")
    return value


def _parse_frame(frame: Mapping[str, Any]) -> Frame:
    step, cycle, halting = _parse(int, frame["step"]), _parse(int, frame["cycle"]), _parse(float, frame["halting"])
    grid = np.array(frame["grid"]) if frame["grid"] != [] else np.empty((0, 0), np.uint8)
    if grid.ndim != 2 or grid.dtype.kind not in "iu" or not ((grid >= 0) & (grid <= 255)).all():
        raise ValueError("a grid is rows of small numbers")
    if max(grid.shape) > BOARD:
        raise ValueError(f"a grid of at most {BOARD} rows and columns is needed, got {grid.shape}")
    if min(step, cycle) < 1 or not 0 <= halting <= 1:
        raise ValueError("steps and cycles begin at 1, probabilities end there")
    return Frame(step, cycle, _parse(bool, frame["last"]), grid.astype(np.uint8), halting)
