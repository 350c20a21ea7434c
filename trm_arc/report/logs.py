"""The logs of runs, checked when read: metrics of training, and scores of evaluations, over steps, time and operations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trm_arc.common.durations import format_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_lines
from trm_arc.common.text import printable
from trm_arc.training.options import METRICS_FILE

MOST_SCORES = 12  # names of scores that a log can hold; a broken one might hold a new name in every line
MEASURES = {
    "loss": "loss",
    "exact": "exact in training, %",
    "exact_at_first": "exact after one step, %",
    "halting_steps": "steps to halt",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm",
    "attention_logit": "largest attention logit",
    "attention_entropy": "entropy of attention (1: uniform)",
    "update_ratio": "update by weight",
    "task_embedding_rms": "rms of task embeddings",
}
AXES = {"steps": "optimizer steps", "time": "wall-clock", "operations": "operations"}
_BOUNDS = {  # what a line may hold; anything else counts as unknown
    "step": (0, 1e12),
    "seconds": (0, 1e9),
    "operations": (0, 1e30),
    "loss": (-1e30, 1e30),
    "halting_steps": (0, 1e6),
    "learning_rate": (0, 1e6),
    "gradient_norm": (0, 1e30),
    "attention_logit": (-1e30, 1e30),
    "update_ratio": (0, 1e30),
    "task_embedding_rms": (0, 1e30),
}
_OTHERS = ("operations", "accuracy", "learning_rate_factor", "milliseconds_per_step", "examples_per_second", "share_of_peak")
_TRAINING = {*MEASURES, *_OTHERS, "skipped_steps"}  # what no line of an evaluation holds
_TIMES = ((1, "s"), (60, "min"), (3600, "h"), (86_400, "d"))
_PREFIXES = "", "k", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q"


class Progress(NamedTuple):
    """How far a run was at some of its lines; all float64 (n,), NaN where it is not known.

    Attributes:
        steps: of the optimizer.
        time: seconds of training.
        operations: from the first line on.
    """

    steps: np.ndarray
    time: np.ndarray
    operations: np.ndarray


class Score(NamedTuple):
    """A score of a run's evaluations.

    Attributes:
        progress: when it was taken.
        values: float64 (n,), from 0 to 1.
    """

    progress: Progress
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class MetricsLog:
    """What a run logged.

    Attributes:
        name: of the run.
        progress: of its training lines.
        measures: by their names in the file, float64 (n,), NaN where one is not known.
        scores: by their names.
    """

    name: str
    progress: Progress
    measures: Mapping[str, np.ndarray]
    scores: Mapping[str, Score]


class ScoreSummary(NamedTuple):
    """A score in short.

    Attributes:
        name: of the score.
        best: the highest.
        best_step: where it was reached first.
        last: of the last evaluation.
        last_step: of that evaluation.
    """

    name: str
    best: float
    best_step: float
    last: float
    last_step: float


class Summary(NamedTuple):
    """A run in short; NaN where something is not known.

    Attributes:
        name: of the run.
        steps: of the optimizer.
        seconds: of training.
        operations: in all.
        loss: of the last line.
        exact: of the last line, from 0 to 1.
        scores: of its evaluations.
    """

    name: str
    steps: float
    seconds: float
    operations: float
    loss: float
    exact: float
    scores: tuple[ScoreSummary, ...]


def has_log(folder: Path) -> bool:
    """Whether a run's folder holds metrics."""
    return (folder / METRICS_FILE).is_file()


def read_log(folder: Path, name: str = "") -> MetricsLog:
    """The log of a run.

    Raises:
        InputError: it has no usable line.
    """
    lines = _current(read_lines(folder / METRICS_FILE))
    training = [line for line in lines if _is_training(line)]
    steps, operations = _column(training, "step"), _column(training, "operations")
    total = np.cumsum(np.nan_to_num(operations)) if np.isfinite(operations).any() else operations
    progress = Progress(steps, _column(training, "seconds"), total)
    measures = {measure: _column(training, measure) for measure in MEASURES}
    scores = _read_scores([line for line in lines if not _is_training(line)], progress)
    if not scores and not any(np.isfinite(values).any() for values in measures.values()):
        state = "holds no usable line" if has_log(folder) else "no such file"
        raise InputError(f"{state}; name the folder of a run that has logged metrics", file=folder / METRICS_FILE)
    return MetricsLog(printable(name or folder.resolve().name), progress, measures, scores)


def add_scores(log: MetricsLog, lines: Sequence[Mapping[str, object]]) -> MetricsLog:
    """A log with scores of evaluations that were made apart from training, as if they stood in it.

    Args:
        lines: with a step and a score; others are passed over, and those of a step beyond the log, whose cost nobody knows.
    """
    last = log.progress.steps.max(initial=0)
    stepped = sorted(
        (line for line in lines if _says_something(line) and _number(line, "step") <= last),
        key=lambda line: _number(line, "step"),
    )
    return replace(log, scores=log.scores | _read_scores(stepped, log.progress))


def _number(line: Mapping[str, object], key: str) -> float:
    value, (low, high) = line.get(key), _BOUNDS.get(key, (0, 1))
    known = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    return float(value) if known else math.nan


def _column(lines: Sequence[Mapping[str, object]], key: str) -> np.ndarray:
    return np.array([_number(line, key) for line in lines], np.float64)


def _is_training(line: Mapping[str, object]) -> bool:
    return not _TRAINING.isdisjoint(line)


def _says_something(line: Mapping[str, object]) -> bool:
    known = (key for key in line if key not in ("step", "seconds") and not math.isnan(_number(line, key)))
    return not math.isnan(_number(line, "step")) and next(known, None) is not None


def _current(lines: Sequence[object]) -> list[Mapping[str, object]]:
    """Lines with a step, in ascending order: a run that went back to a checkpoint replaces what it had logged beyond."""
    stepped = [line for line in lines if isinstance(line, dict) and _says_something(line)]
    steps = _column(stepped, "step")
    lowest = np.minimum.accumulate(steps[::-1])[::-1]  # of a line and all that follow
    kept = [line for line, stays in zip(stepped, steps <= lowest, strict=True) if stays]
    return list({(line["step"], _is_training(line)): line for line in kept}.values())


def _read_scores(lines: Sequence[Mapping[str, object]], training: Progress) -> dict[str, Score]:
    names = list(dict.fromkeys(name for line in lines for name in line if name not in _BOUNDS))
    steps, seconds = _column(lines, "step"), _column(lines, "seconds")
    seconds = np.where(np.isnan(seconds), _interpolate(steps, training.steps, training.time), seconds)
    progress = Progress(steps, seconds, _interpolate(steps, training.steps, training.operations))
    scores = {}
    for name in names:
        values = _column(lines, name)
        known = np.isfinite(values)
        if known.any() and len(scores) < MOST_SCORES:
            scores[printable(name)] = Score(Progress(*(column[known] for column in progress)), values[known])
    return scores


def _interpolate(at: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at some steps, on straight lines from nothing at step 0 through those that are known."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(at), math.nan)
    return np.interp(at, np.append(0, steps[known]), np.append(0, values[known]))


def summarise(log: MetricsLog) -> Summary:
    """The last numbers of a run, and the best of its scores."""
    scores = []
    for name, (progress, values) in log.scores.items():
        best = int(values.argmax())
        highest, last = ((float(values[place]), float(progress.steps[place])) for place in (best, -1))
        scores.append(ScoreSummary(name, *highest, *last))
    everything = [log.progress, *(score.progress for score in log.scores.values())]
    furthest = (_last(np.array([_last(getattr(progress, axis)) for progress in everything]), np.nanmax) for axis in AXES)
    return Summary(log.name, *furthest, _last(log.measures["loss"]), _last(log.measures["exact"]), tuple(scores))


def _last(values: np.ndarray, pick: Any = lambda known: known[-1]) -> float:
    known = values[np.isfinite(values)]
    return float(pick(known)) if len(known) else math.nan


def format_operations(operations: float) -> str:
    """ "1.5 PFLOP"."""
    divisor, unit = unit_of("operations", operations)
    return f"{operations / divisor:.4g} {unit}"


def unit_of(axis: str, most: float) -> tuple[float, str]:
    """What to divide an axis by, and the name of the unit."""
    if axis == "time":
        return next((size, unit) for size, unit in reversed(_TIMES) if most >= 2 * size or size == 1)
    power = min(max(0, math.floor(math.log10(most) / 3)), len(_PREFIXES) - 1) if axis == "operations" and most > 0 else 0
    return 1000.0**power, f"{_PREFIXES[power]}FLOP"


def summary_table(logs: Sequence[MetricsLog]) -> str:
    """Runs in short, as text for a terminal, within 80 columns."""
    lines = [f"{'run':26}{'steps':>10}{'wall-clock':>14}{'operations':>12}{'loss':>9}{'exact':>9}"]
    for summary in map(summarise, logs):
        steps, seconds = format_number(summary.steps, format_step), format_number(summary.seconds, format_duration)
        numbers = f"{steps:>10}{seconds:>14}{format_number(summary.operations, format_operations):>12}"
        ends = f"{format_number(summary.loss, '{:.3g}'.format):>9}{format_number(summary.exact, '{:.1%}'.format):>9}"
        lines.append(f"{printable(summary.name, 25):26}{numbers}{ends}")
        for name, best, best_step, last, last_step in summary.scores:
            scores = f"best {best:6.1%} at {format_step(best_step)}, last {last:6.1%} at {format_step(last_step)}"
            lines.append(f"  {printable(name, 25):26}{scores}")
    return "\n".join(lines)


def format_summary(logs: Sequence[MetricsLog]) -> dict[str, Any]:
    """Runs in short, as the columns and rows of a table."""
    summaries = [summarise(log) for log in logs]
    names = list(dict.fromkeys(score.name for summary in summaries for score in summary.scores))
    rows = []
    for summary in summaries:
        numbers = (summary.steps, format_step), (summary.seconds, format_duration), (summary.operations, format_operations)
        last = (summary.loss, "{:.3g}".format), (summary.exact, "{:.1%}".format)
        scores = {score.name: f"{score.best:.1%} at step {format_step(score.best_step)}" for score in summary.scores}
        shown = [format_number(value, form) for value, form in (*numbers, *last)]
        rows.append([summary.name, *shown, *(scores.get(name, "-") for name in names)])
    columns = ["run", "steps", "wall-clock", "operations", "last loss", "last exact in training", *(f"best {n}" for n in names)]
    return {"columns": columns, "rows": rows}


def format_number(value: float, form: Any) -> str:
    """A number, or "-" where it is not known, which is NaN."""
    return "-" if math.isnan(value) else form(value)


def format_step(step: float) -> str:
    """A number of steps."""
    return f"{step:,.0f}" if step < 1e8 else f"{step:.3g}"
