"""The curves of a sweep: accuracy against compute."""

from collections.abc import Sequence
from pathlib import Path

from trm_arc.evaluation.sweeping import Point
from trm_arc.report.plots import add_legend, has_matplotlib, make_figure, render_figure, scale_log, write_pictures

PICTURES = ("sweep.svg", "sweep.png")
_LABELS = {
    "steps": "more steps",
    "patience": "more steps, until an answer no longer changes",
    "rollouts": "noisy rollouts, the halting head picks",
    "views": "views under symmetries, which vote",
}


def write_sweep(points: Sequence[Point], title: str, folder: Path) -> list[Path]:
    """Draw the curves into a folder.

    Returns:
        The files; none where matplotlib is not installed.
    """
    if not has_matplotlib():
        return []
    with make_figure(7, 4.2) as figure:
        axes, lines = figure.add_subplot(), {}
        for kind, label in _LABELS.items():
            here = [point for point in points if point.kind == kind]
            if here:
                x = [point.operations / 1e9 for point in here]
                y = [100 * point.exact.value for point in here]
                below = [100 * (point.exact.value - point.exact.low) for point in here]
                above = [100 * (point.exact.high - point.exact.value) for point in here]
                lines[label] = axes.errorbar(x, y, yerr=(below, above), marker="o", capsize=2)
        scale_log(axes.xaxis)
        axes.set(xlabel="GFLOP a puzzle", ylabel="exact, percent", title=title)
        add_legend(axes, list(lines.values()), list(lines))
        return write_pictures(render_figure(figure, "sweep"), folder)
