"""Training curves of one or several runs, over optimizer steps, wall-clock and operations."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trm_arc.report.logs import AXES, MEASURES, MetricsLog, format_number, format_step, summarise, unit_of
from trm_arc.report.plots import COLOURS, add_legend, inline_svg, make_figure, render_figure, scale_log
from trm_arc.training.stability import LIMITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

POINTS = 400  # of a curve
_PERCENT, _SCORES = ("exact", "exact_at_first"), ""  # the panel of the scores is that of no measure
_FROM_ZERO = ("exact", "exact_at_first", "learning_rate", "attention_entropy", _SCORES)
_LOGARITHMIC = ("loss", "gradient_norm", "attention_logit", "update_ratio", "task_embedding_rms")  # where they span a decade
_STEPS = (1, 2, 2.5, 5, 10)  # of ticks
_DASHES, _MARKERS = ("-", "--", ":", "-."), "osD^vP"


class Curves(NamedTuple):
    """A drawn figure.

    Attributes:
        axis: of `AXES`.
        title: of the figure.
        description: in words.
        pictures: for a paper, by the names of their files; none where they were not asked for.
        svg: for a page, see `inline_svg`.
    """

    axis: str
    title: str
    description: str
    pictures: Mapping[str, bytes]
    svg: str

    def _repr_html_(self) -> str:
        return f'<div style="max-width:760px">{self.svg}</div>'


def thin(x: np.ndarray, y: np.ndarray, most: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A curve of at most so many points, the means of equal bins, from the first to the last x.

    Args:
        y: (n,), known.
        most: points, at least 2.
    """
    # Means: every k-th line would show its random deviation, and the extremes of a bin a band that hides the curve.  A mean
    # over a bin is what one line would say, were it logged so much more seldom.  The outer bins are means too: a single line
    # among means would look like a jump.  They are placed at the first and last x, so that the curve is as long as
    # the run.
    if len(x) <= most:
        return x, y
    starts = np.arange(most) * len(x) // most
    counts = np.diff(starts, append=len(x))
    places, means = (np.add.reduceat(values, starts) / counts for values in (x, y))
    places[0], places[-1] = x[0], x[-1]
    return places, means


def render_curves(logs: Sequence[MetricsLog], axes: Sequence[str] = tuple(AXES), *, pictures: bool = True) -> list[Curves]:
    """Draw the curves of runs over each axis of which something is known.

    Args:
        pictures: render `curves-AXIS.svg` and `.png`, too, and not only the SVG for a page.

    Raises:
        InputError: matplotlib is not installed.
    """
    return [_render(logs, axis, pictures) for axis in axes if any(_furthest(log, axis) > 0 for log in logs)]


def _furthest(log: MetricsLog, axis: str) -> float:
    return getattr(summarise(log), "seconds" if axis == "time" else axis)


def _render(logs: Sequence[MetricsLog], axis: str, pictures: bool) -> Curves:
    known = [log for log in logs if _furthest(log, axis) > 0]  # the others keep their colours, which are equal in all figures
    furthest = max(_furthest(log, axis) for log in known)
    divisor, unit = unit_of(axis, furthest)
    measures = [measure for measure in MEASURES if any(np.isfinite(log.measures[measure]).any() for log in known)]
    scores = list_scores(logs)
    rows = math.ceil(len(measures) / 2) + bool(scores)
    with make_figure(6.4, 0.35 + 1.9 * rows) as figure:
        for panel, measure in zip(_panels(figure, len(measures), bool(scores)), [*measures, _SCORES], strict=False):
            _plot_panel(panel, logs, axis, divisor, measure)
            _finish(panel, measure, axis, furthest / divisor)
        figure.axes[-1].set_xlabel(f"{AXES[axis]}, {unit}" if axis != "steps" else AXES[axis])
        place_legend(figure, logs, known, scores)
        title, description = _describe(known, axis, [*(MEASURES[measure] for measure in measures), *scores])
        rendered = render_figure(figure, f"curves-{axis}") if pictures else {}
        return Curves(axis, title, description, rendered, inline_svg(figure, title, description))


def _describe(logs: Sequence[MetricsLog], axis: str, shown: Sequence[str]) -> tuple[str, str]:
    title = f"Training curves over {AXES[axis]}"
    runs = "; ".join(f"{log.name}, {format_number(summarise(log).steps, format_step)} steps" for log in logs)
    return title, f"{title}: {', '.join(shown)}. Runs: {runs}."


def _panels(figure: "Figure", measures: int, scores: bool) -> list["Axes"]:
    """Two panels in a row, and one for the scores across the last row; a panel that would stand alone is as wide."""
    rows = math.ceil(measures / 2) + scores
    grid = figure.add_gridspec(rows, 2)
    places = [grid[number // 2, number % 2 if number + 1 < measures or number % 2 else slice(None)] for number in range(measures)]
    return [figure.add_subplot(place) for place in [*places, *[grid[rows - 1, :]] * scores]]


def list_scores(logs: Sequence[MetricsLog]) -> list[str]:
    """The names of the scores of runs, each once."""
    return list(dict.fromkeys(name for log in logs for name in log.scores))


def _run_style(run: int) -> dict[str, Any]:
    """Of a run's lines; where the colours have all been used, they are repeated with dashes."""
    return {"color": COLOURS[run % len(COLOURS)], "linestyle": _DASHES[run // len(COLOURS) % len(_DASHES)]}


def line_style(logs: Sequence[MetricsLog], run: int, scores: Sequence[str], score: str) -> dict[str, Any]:
    """The look of a score's line: the colour is the run's where there are several, else the score's."""
    number = scores.index(score)
    look = {"linestyle": _DASHES[number % len(_DASHES)], "marker": _MARKERS[number % len(_MARKERS)]}
    return look | {"color": COLOURS[(run if len(logs) > 1 else number) % len(COLOURS)]}


def place_legend(figure: "Figure", logs: Sequence[MetricsLog], known: Sequence[MetricsLog], scores: Sequence[str]) -> None:
    """Put the legend, if one is needed, below the panels of a figure, which grows by it.

    Args:
        logs: all runs, by which colours are given.
        known: those that are drawn.
        scores: all, by which dashes are given.
    """
    if legend := _legend_of(logs, known, scores):
        figure.set_figheight(figure.get_figheight() + 0.2 * math.ceil(len(legend) / 2))
        names, lines = zip(*legend, strict=True)
        add_legend(figure, lines, names, loc="outside lower center", ncols=2, handlelength=3)


def _legend_of(logs: Sequence[MetricsLog], known: Sequence[MetricsLog], scores: Sequence[str]) -> list[tuple[str, "Line2D"]]:
    """Names and lines, for two columns: runs where there are several, and scores."""
    from matplotlib.lines import Line2D

    looks = [line_style(logs, 0, scores, score) | ({"color": "#000000"} if len(logs) > 1 else {}) for score in scores]
    lines = [(score, Line2D([], [], **look)) for score, look in zip(scores, looks, strict=True)]
    if len(logs) == 1:
        return lines
    runs = [(log.name, Line2D([], [], **_run_style(run))) for run, log in enumerate(logs) if log in known]
    blank = [("", Line2D([], [], linestyle="none"))]  # a column is filled before the next one begins
    rows = max(len(runs), len(lines))
    return runs + (blank * (rows - len(runs)) + lines + blank * (rows - len(lines)) if lines else [])


def _plot_panel(panel: "Axes", logs: Sequence[MetricsLog], axis: str, divisor: float, measure: str) -> None:
    """Draw a measure of all runs, or their scores."""
    scores = list_scores(logs)
    for run, log in enumerate(logs):
        if measure != _SCORES:
            factor = 100 if measure in _PERCENT else 1
            plot_line(panel, getattr(log.progress, axis) / divisor, factor * log.measures[measure], _run_style(run))
            continue
        for name, score in log.scores.items():
            look = line_style(logs, run, scores, name)
            plot_line(panel, getattr(score.progress, axis) / divisor, 100 * score.values, look)


def plot_line(panel: "Axes", x: np.ndarray, y: np.ndarray, look: Mapping[str, Any]) -> None:
    """Draw what is known of a line.

    Args:
        x: (n,).
        y: (n,).
        look: as of matplotlib's lines.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = thin(x[known], y[known])
    alone = {"marker": "o"} if len(x) == 1 else {}  # a line of one point is invisible
    panel.plot(x, y, **alone | dict(look), markevery=max(1, len(x) // 20))


def _finish(panel: "Axes", measure: str, axis: str, furthest: float) -> None:
    """Title, limits and ticks of a drawn panel."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

    panel.set_title(MEASURES.get(measure, "evaluation scores, %"))
    y = np.concatenate([line.get_ydata() for line in panel.get_lines()])
    limit = LIMITS.get(measure)
    if limit and any(map(limit.is_passed, y)):
        panel.axhline(limit.bound, color="#000000", linestyle=":", linewidth=1)
    if measure in _LOGARITHMIC and len(y) and y.min() > 0 and y.max() > 10 * y.min():
        scale_log(panel.yaxis)
    else:
        panel.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
        panel.yaxis.set_major_formatter(FuncFormatter(format_tick))
    if measure in _FROM_ZERO:
        low, high = panel.get_ylim()
        panel.set_ylim(min(low, -0.04 * high))  # a little below 0, so that a line at 0 is seen whole
    panel.set_xlim(-0.02 * furthest, 1.02 * furthest)
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS, integer=axis == "steps"))
    panel.xaxis.set_major_formatter(EngFormatter(sep="") if axis == "steps" else FuncFormatter(format_tick))


def format_tick(value: float, _place: int) -> str:
    """ "0.25", "2.5e-5": as short as can be."""
    if value == 0 or 0.001 <= abs(value) < 1e5:
        return f"{value:.4g}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
