"""Cost to score: scores against the operations and the hours of the training that they took, both axes logarithmic."""

import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trm_arc.common.files import write_atomic
from trm_arc.report.curves import Curves, format_tick, line_style, list_scores, place_legend, plot_line
from trm_arc.report.logs import MetricsLog
from trm_arc.report.plots import COLOURS, add_legend, inline_svg, make_figure, render_figure, scale_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_AXES = {"operations": "operations of training, FLOP", "hours": "hours of training"}  # of `Cost`
COST = "cost"  # the key of the figure among the curves of a page
_BOUND = 0.6  # of a value: how far the arrow of an upper bound reaches


class Cost(NamedTuple):
    """Scores, and what each took.

    Attributes:
        name: of what was trained.
        scores: in percent, one a seed.
        operations: FLOPs, in the mean; NaN: not known.
        hours: of one device, in the mean.
        at_most: which of `operations` and `hours` are upper bounds.
        source: where that stands; may be empty.
    """

    name: str
    scores: tuple[float, ...]
    operations: float
    hours: float
    at_most: tuple[str, ...] = ()
    source: str = ""

    @property
    def score(self) -> float:
        """The mean."""
        return statistics.fmean(self.scores)


class CostRow(NamedTuple):
    """A row of the picture: what is scored on one set.

    Attributes:
        title: of the set.
        groups: names, and the variants of each; the first is what the others are compared with.
        marked: further points, which are numbered.
    """

    title: str
    groups: Sequence[tuple[str, Sequence[Cost]]]
    marked: Sequence[Cost]


Handles = list[tuple[str, "Line2D"]]  # of a legend


def write_costs(rows: Sequence[CostRow], title: str, file: Path) -> None:
    """Draw rows of two panels and a legend into a PNG.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    with make_figure(11, 0.5 + 2.7 * len(rows)) as figure:
        figure.suptitle(title, fontsize=9, x=0.01, ha="left")
        grid = figure.subplots(len(rows), 3, squeeze=False)
        for (*panels, aside), row in zip(grid, rows, strict=True):
            aside.axis("off")
            handles: Handles = []
            for panel, axis in zip(panels, _AXES, strict=True):
                groups = zip(row.groups, COLOURS * len(row.groups), strict=False)
                handles = [handle for (name, costs), colour in groups for handle in _plot_group(panel, axis, name, costs, colour)]
                handles += [
                    handle for number, cost in enumerate(row.marked, 1) for handle in _plot_marked(panel, axis, number, cost)
                ]
                _finish(panel, axis, row.title if panel is panels[0] else "")
            names, lines = zip(*handles, strict=True)  # those of both panels are alike
            add_legend(aside, lines, names, most=60, loc="center left", borderaxespad=0, labelspacing=0.25)
        write_atomic(file, _shrink(render_figure(figure, "costs")["costs.png"]))


def _shrink(picture: bytes) -> bytes:
    """A PNG with few colours, which takes a third of the bytes in a repository."""
    from PIL import Image  # is part of matplotlib

    written = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(64).save(written, "png", optimize=True)
    return written.getvalue()


def _plot_group(panel: "Axes", axis: str, name: str, costs: Sequence[Cost], colour: str) -> Handles:
    """Draw the variants of a group: the best and the first stand out."""
    best, handles = max(costs, key=lambda cost: cost.score), {}
    for cost in sorted(costs, key=lambda cost: 2 * (cost is best) + (cost is costs[0])):  # what stands out is drawn last
        role, marker, size = ("best", "*", 10) if cost is best else ("first", "s", 5) if cost is costs[0] else ("others", "o", 4)
        spread = [[cost.score - min(cost.scores)], [max(cost.scores) - cost.score]]
        look = {"color": colour, "marker": marker, "markersize": size, "linestyle": "none", "elinewidth": 0.8}
        look |= {"markerfacecolor": "white"} if role == "first" else {}  # seen on top of others
        drawn = panel.errorbar(getattr(cost, axis), cost.score, yerr=spread, **look)
        label = "others" if role == "others" else f"{role}: {cost.name}, {cost.score:.1f}"
        handles[f"{name}; {label}"] = drawn.lines[0]
    return list(handles.items())[::-1]


def _plot_marked(panel: "Axes", axis: str, number: int, cost: Cost) -> Handles:
    """Draw a numbered point, with an arrow to the left from an upper bound; the legend has its source in a second line."""
    x, bound = getattr(cost, axis), axis in cost.at_most
    look = {"color": COLOURS[-1], "marker": "D", "linestyle": "none", "elinewidth": 0.8}
    drawn = panel.errorbar(x, cost.score, xerr=_BOUND * x if bound else None, xuplims=bound, **look)
    if np.isfinite(x):
        panel.annotate(str(number), (x, cost.score), xytext=(5, -3), textcoords="offset points", fontsize=8)
    blank = panel.plot([], [], linestyle="none")[0]
    return [(f"{number}  {cost.name}: {cost.score:g}", drawn.lines[0]), (f"    {cost.source}", blank)]


def _finish(panel: "Axes", axis: str, title: str) -> None:
    """Scales, ticks and labels of a drawn panel."""
    panel.margins(x=0.1)
    low, high = panel.get_ylim()
    panel.set(title=title, xlabel=_AXES[axis], ylabel="score, percent", ylim=(min(low, -0.05 * high), 1.05 * high))
    scale_log(panel.xaxis)
    low, high = panel.get_xlim()
    if high < 10 * low:  # a decade at least, so that nearly equal costs look so, and there are round numbers to write
        panel.set_xlim((low * high / 10) ** 0.5, (low * high * 10) ** 0.5)
        scale_log(panel.xaxis)
    panel.xaxis.set_major_formatter(format_tick)


def render_costs(logs: Sequence[MetricsLog], *, pictures: bool = True) -> list[Curves]:
    """Draw the scores of runs against what each took.

    Args:
        pictures: render `curves-cost.svg` and `.png`, too, and not only the SVG for a page.

    Returns:
        A figure; none unless the cost of two scores is known, which are no curve otherwise.

    Raises:
        InputError: matplotlib is not installed.
    """
    scores, lines = list_scores(logs), {axis: _list_lines(logs, axis) for axis in _AXES}
    axes = [axis for axis in _AXES if sum(len(x) for *_, x, _ in lines[axis]) > 1]
    if not axes:
        return []
    with make_figure(6.4, 2.6) as figure:
        for panel, axis in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes, strict=True):
            for run, name, x, y in lines[axis]:
                plot_line(panel, x, y, line_style(logs, run, scores, name))
            _finish(panel, axis, "")
        known = [logs[run] for run in dict.fromkeys(run for axis in axes for run, *_ in lines[axis])]
        place_legend(figure, logs, known, scores)
        title = "Cost to score"
        described = f"{title}: {', '.join(scores)} against {' and '.join(_AXES[axis] for axis in axes)}."
        rendered = render_figure(figure, f"curves-{COST}") if pictures else {}
        return [Curves(COST, title, described, rendered, inline_svg(figure, title, described))]


def _list_lines(logs: Sequence[MetricsLog], axis: str) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """Number of the run, name of the score, costs and percentages; without what is unknown or cost nothing."""
    lines = []
    for run, log in enumerate(logs):
        for name, (progress, values) in log.scores.items():
            x = progress.time / 3600 if axis == "hours" else progress.operations
            known = x > 0
            if known.any():
                lines.append((run, name, x[known], 100 * values[known]))
    return lines
