"""The picture of a ladder: the dev score of every variant, with a point for each seed."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trm_arc.report.plots import COLOURS, has_matplotlib, make_figure, render_figure, write_pictures

PICTURES = ("ladder.svg", "ladder.png")


class Bar(NamedTuple):
    """A variant and its dev scores in percent, one a seed."""

    name: str
    scores: tuple[float, ...]


def write_ladder(groups: Mapping[str, Sequence[Bar]], folder: Path) -> list[Path]:
    """Draw a row of bars for each group, the best first.

    Returns:
        The files; none where matplotlib is not installed, or nothing is known.
    """
    known = {name: sorted(bars, key=lambda bar: statistics.fmean(bar.scores)) for name, bars in groups.items() if bars}
    if not known or not has_matplotlib():
        return []
    heights = [len(bars) for bars in known.values()]
    with make_figure(7, sum(0.26 * height + 0.75 for height in heights)) as figure:
        every = figure.subplots(len(known), squeeze=False, height_ratios=[height + 2 for height in heights])[:, 0]
        for axes, colour, (name, bars) in zip(every, COLOURS * len(known), known.items(), strict=False):
            places = range(len(bars))
            axes.barh(places, [statistics.fmean(bar.scores) for bar in bars], color=colour, alpha=0.45, height=0.7)
            points = [(score, place) for place, bar in zip(places, bars, strict=True) for score in bar.scores]
            axes.plot(*zip(*points, strict=True), "o", color=colour)
            axes.set_yticks(places, [bar.name for bar in bars])
            axes.grid(axis="y", visible=False)
            axes.set(title=name, xlim=(0, None))
        axes.set_xlabel("dev score, percent; a point for each seed")
        return write_pictures(render_figure(figure, "ladder"), folder)
