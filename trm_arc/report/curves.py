"""Training curves of one or several runs, over optimizer steps, wall-clock and operations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trm_arc.clock import show_duration
from trm_arc.errors import InputError
from trm_arc.files import read_lines
from trm_arc.loop import METRICS_FILE
from trm_arc.report.plots import COLOURS, add_legend, inline_svg, make_figure, printable, save_figure, scale_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

POINTS = 400  # of a curve
MOST_SCORES = 12  # names of scores that a log can hold; a broken one might hold a new name in every line
MEASURES = {"loss": "loss", "exact": "exact in training, %", "halting_steps": "steps to halt", "learning_rate": "learning rate"}
AXES = {"steps": "optimizer steps", "time": "wall-clock", "operations": "operations"}
_BOUNDS = {  # what a line may hold; anything else counts as unknown
    "step": (0, 1e12),
    "seconds": (0, 1e9),
    "operations": (0, 1e30),
    "loss": (-1e30, 1e30),
    "halting_steps": (0, 1e6),
    "learning_rate": (0, 1e6),
}
_OTHERS = ("operations", "accuracy", "learning_rate_factor", "milliseconds_per_step", "examples_per_second", "share_of_peak")
_TRAINING = {*MEASURES, *_OTHERS, "skipped_steps"}  # what no line of an evaluation holds
_PERCENT, _SCORES = ("exact",), ""  # the panel of the scores is that of no measure
_FROM_ZERO = ("exact", "learning_rate", _SCORES)
_STEPS = (1, 2, 2.5, 5, 10)  # of ticks
_DASHES, _MARKERS = ("-", "--", ":", "-."), "osD^vP"
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
class RunLog:
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


class Curves(NamedTuple):
    """A drawn figure.

    Attributes:
        axis: of `AXES`.
        title: of the figure.
        description: in words.
        files: that were written.
        svg: for a page, see `inline_svg`.
    """

    axis: str
    title: str
    description: str
    files: list[Path]
    svg: str


def has_log(folder: Path) -> bool:
    """Whether a run's folder holds metrics."""
    return (folder / METRICS_FILE).is_file()


def read_logs(folders: Sequence[Path]) -> list[RunLog]:
    """The logs of runs, a folder that is named twice once, each under a name that no other has.

    Raises:
        InputError: one of them has no usable line.
    """
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    names = [folder.name for folder in folders]
    for depth in range(2, 1 + max((len(folder.parts) for folder in folders), default=0)):
        names = [
            name if names.count(name) == 1 else "/".join(folder.parts[-depth:])
            for name, folder in zip(names, folders, strict=True)
        ]
    return [read_log(folder, name) for folder, name in zip(folders, names, strict=True)]


def read_log(folder: Path, name: str = "") -> RunLog:
    """The log of a run.

    Args:
        folder: of the run.
        name: of the run (default: the folder's).

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
        raise InputError(f"{folder / METRICS_FILE}: {state}; name the folder of a run that has logged metrics")
    return RunLog(printable(name or folder.resolve().name), progress, measures, scores)


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


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A curve of at most so many points, the means of equal bins, from the first to the last x.

    Args:
        x: (n,), known.
        y: (n,), known.
        most: points, at least 2.
    """
    # Means: every k-th line would show that line's luck, and the extremes of a bin draw a band that hides the course.  A mean
    # over a bin is what one line would say, were it logged so much more seldom.  The outer bins are means too: a single line
    # among means would stand out as a jump that never was.  They stand at the first and last x, so that the curve is as long as
    # the run.
    if len(x) <= most:
        return x, y
    starts = np.arange(most) * len(x) // most
    counts = np.diff(starts, append=len(x))
    places, means = (np.add.reduceat(values, starts) / counts for values in (x, y))
    places[0], places[-1] = x[0], x[-1]
    return places, means


def summarise(log: RunLog) -> Summary:
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


def show_operations(operations: float) -> str:
    """"1.5 PFLOP"."""
    divisor, unit = _unit("operations", operations)
    return f"{operations / divisor:.4g} {unit}"


def _unit(axis: str, most: float) -> tuple[float, str]:
    """What to divide an axis by, and the name of the unit, for a largest value."""
    if axis == "time":
        return next((size, unit) for size, unit in reversed(_TIMES) if most >= 2 * size or size == 1)
    power = min(max(0, math.floor(math.log10(most) / 3)), len(_PREFIXES) - 1) if axis == "operations" and most > 0 else 0
    return 1000.0**power, f"{_PREFIXES[power]}FLOP"


def summary_table(logs: Sequence[RunLog]) -> str:
    """Runs in short, as text for a terminal, within 80 columns."""
    lines = [f"{'run':26}{'steps':>10}{'wall-clock':>14}{'operations':>12}{'loss':>9}{'exact':>9}"]
    for summary in map(summarise, logs):
        steps, seconds = _show(summary.steps, _show_step), _show(summary.seconds, show_duration)
        numbers = f"{steps:>10}{seconds:>14}{_show(summary.operations, show_operations):>12}"
        ends = f"{_show(summary.loss, '{:.3g}'.format):>9}{_show(summary.exact, '{:.1%}'.format):>9}"
        lines.append(f"{printable(summary.name, 25):26}{numbers}{ends}")
        for name, best, best_step, last, last_step in summary.scores:
            told = f"best {best:6.1%} at {_show_step(best_step)}, last {last:6.1%} at {_show_step(last_step)}"
            lines.append(f"  {printable(name, 25):26}{told}")
    return "\n".join(lines)


def _show(value: float, form: Any) -> str:
    return "-" if math.isnan(value) else form(value)


def _show_step(step: float) -> str:
    return f"{step:,.0f}" if step < 1e8 else f"{step:.3g}"


def draw_curves(logs: Sequence[RunLog], folder: Path, axes: Sequence[str] = tuple(AXES)) -> list[Curves]:
    """Draw the curves of runs over each axis of which something is known, as `curves-AXIS.svg` and `.png`.

    Args:
        logs: of the runs.
        folder: where to write.
        axes: of `AXES`.

    Raises:
        InputError: matplotlib is not installed, or nothing can be written.
    """
    return [_draw(logs, axis, folder) for axis in axes if any(_furthest(log, axis) > 0 for log in logs)]


def _furthest(log: RunLog, axis: str) -> float:
    return getattr(summarise(log), "seconds" if axis == "time" else axis)


def _draw(logs: Sequence[RunLog], axis: str, folder: Path) -> Curves:
    known = [log for log in logs if _furthest(log, axis) > 0]  # the others keep their colours, which are equal in all figures
    furthest = max(_furthest(log, axis) for log in known)
    divisor, unit = _unit(axis, furthest)
    measures = [measure for measure in MEASURES if any(np.isfinite(log.measures[measure]).any() for log in known)]
    scores = list(dict.fromkeys(name for log in logs for name in log.scores))
    rows = math.ceil(len(measures) / 2) + bool(scores)
    with make_figure(6.4, 0.35 + 1.9 * rows) as figure:
        for panel, measure in zip(_panels(figure, len(measures), bool(scores)), [*measures, _SCORES], strict=False):
            _draw_panel(panel, logs, axis, divisor, measure)
            _finish(panel, measure, axis, furthest / divisor)
        figure.axes[-1].set_xlabel(f"{AXES[axis]}, {unit}" if axis != "steps" else AXES[axis])
        if legend := _legend_of(logs, known, scores):
            figure.set_figheight(figure.get_figheight() + 0.2 * math.ceil(len(legend) / 2))
            names, lines = zip(*legend, strict=True)
            add_legend(figure, lines, names, loc="outside lower center", ncols=2, handlelength=3)
        title, description = _describe(known, axis, [*(MEASURES[measure] for measure in measures), *scores])
        files = save_figure(figure, folder / f"curves-{axis}")
        return Curves(axis, title, description, files, inline_svg(figure, title, description))


def _describe(logs: Sequence[RunLog], axis: str, shown: Sequence[str]) -> tuple[str, str]:
    title = f"Training curves over {AXES[axis]}"
    runs = "; ".join(f"{log.name}, {_show(summarise(log).steps, _show_step)} steps" for log in logs)
    return title, f"{title}: {', '.join(shown)}. Runs: {runs}."


def _panels(figure: "Figure", measures: int, scores: bool) -> list["Axes"]:
    """Two panels in a row, and one for the scores across the last row; a panel that would stand alone is as wide."""
    rows = math.ceil(measures / 2) + scores
    grid = figure.add_gridspec(rows, 2)
    places = [grid[number // 2, number % 2 if number + 1 < measures or number % 2 else slice(None)] for number in range(measures)]
    return [figure.add_subplot(place) for place in [*places, *[grid[rows - 1, :]] * scores]]


def _run_style(run: int) -> dict[str, Any]:
    """Of a run's lines; where the colours have all been used, they come again in dashes."""
    return {"color": COLOURS[run % len(COLOURS)], "linestyle": _DASHES[run // len(COLOURS) % len(_DASHES)]}


def _line_style(logs: Sequence[RunLog], run: int, scores: Sequence[str], score: str) -> dict[str, Any]:
    """Of a score's line: the colour is the run's where there are several, else the score's."""
    number = scores.index(score)
    look = {"linestyle": _DASHES[number % len(_DASHES)], "marker": _MARKERS[number % len(_MARKERS)]}
    return look | {"color": COLOURS[(run if len(logs) > 1 else number) % len(COLOURS)]}


def _legend_of(logs: Sequence[RunLog], known: Sequence[RunLog], scores: Sequence[str]) -> list[tuple[str, "Line2D"]]:
    """Names and lines, for two columns: runs where there are several, and scores."""
    from matplotlib.lines import Line2D

    looks = [_line_style(logs, 0, scores, score) | ({"color": "#000000"} if len(logs) > 1 else {}) for score in scores]
    lines = [(score, Line2D([], [], **look)) for score, look in zip(scores, looks, strict=True)]
    if len(logs) == 1:
        return lines
    runs = [(log.name, Line2D([], [], **_run_style(run))) for run, log in enumerate(logs) if log in known]
    blank = [("", Line2D([], [], linestyle="none"))]  # a column is filled before the next one begins
    rows = max(len(runs), len(lines))
    return runs + (blank * (rows - len(runs)) + lines + blank * (rows - len(lines)) if lines else [])


def _draw_panel(panel: "Axes", logs: Sequence[RunLog], axis: str, divisor: float, measure: str) -> None:
    """Draw a measure of all runs, or their scores."""
    scores = list(dict.fromkeys(name for log in logs for name in log.scores))
    for run, log in enumerate(logs):
        if measure != _SCORES:
            factor = 100 if measure in _PERCENT else 1
            _draw_line(panel, getattr(log.progress, axis) / divisor, factor * log.measures[measure], _run_style(run))
            continue
        for name, score in log.scores.items():
            look = _line_style(logs, run, scores, name)
            _draw_line(panel, getattr(score.progress, axis) / divisor, 100 * score.values, look)


def _draw_line(panel: "Axes", x: np.ndarray, y: np.ndarray, look: Mapping[str, Any]) -> None:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = thin(x[known], y[known])
    alone = {"marker": "o"} if len(x) == 1 else {}  # a line of one point is not seen
    panel.plot(x, y, **alone | dict(look), markevery=max(1, len(x) // 20))


def _finish(panel: "Axes", measure: str, axis: str, furthest: float) -> None:
    """Title, limits and ticks of a drawn panel."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

    panel.set_title(MEASURES.get(measure, "evaluation scores, %"))
    y = np.concatenate([line.get_ydata() for line in panel.get_lines()])
    if measure == "loss" and len(y) and y.min() > 0 and y.max() > 10 * y.min():
        scale_log(panel.yaxis)
    else:
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
        panel.yaxis.set_major_formatter(FuncFormatter(_show_tick))
    if measure in _FROM_ZERO:
        low, high = panel.get_ylim()
        panel.set_ylim(min(low, -0.04 * high))  # a little below 0, so that a line at 0 is seen whole
    panel.set_xlim(-0.02 * furthest, 1.02 * furthest)
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS, integer=axis == "steps"))
    panel.xaxis.set_major_formatter(EngFormatter(sep="") if axis == "steps" else FuncFormatter(_show_tick))


def _show_tick(value: float, _place: int) -> str:
    """"0.25", "2.5e-5": as short as can be."""
    if value == 0 or 0.001 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
