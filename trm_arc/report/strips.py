"""Refinement traces, as pictures: a strip with a board for every step, and an animated picture of every cycle."""

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trm_arc.common.text import printable
from trm_arc.data.domains import Domain
from trm_arc.data.pictures import RGB
from trm_arc.data.task import Grid
from trm_arc.evaluation.traces import Frame, Trace
from trm_arc.report.plots import make_figure, render_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

_ACROSS = 8  # boards in a row of a strip at most
_PAUSE, _END = 450, 1800  # milliseconds that a frame of an animated picture is shown, and the last one
_MAZE = ((36, 41, 47), (255, 255, 255), (255, 255, 255), (255, 255, 255), (255, 255, 255))


class BoardDrawer:
    """Draws boards of one test input."""

    def __init__(self, domain: Domain, question: Grid, truth: Grid | None) -> None:
        self.domain, self.question, self.truth = domain, question, truth

    def draw(self, axes: "Axes", grid: Grid, title: str, *, marks: bool = True) -> None:
        """Draw a board.

        Args:
            grid: the board; an empty one is labelled as such.
        """
        axes.set_title(printable(title, 40), loc="center")
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        if not grid.size:
            axes.axis("off")
            axes.text(0.5, 0.5, "no grid", ha="center", va="center", transform=axes.transAxes)
            return
        if self.domain.drawing.style == "symbols":
            self._render_symbols(axes, grid)
        else:
            self._render_cells(axes, grid)
        rows, columns = grid.shape
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal")
        for spine in axes.spines.values():
            spine.set(visible=True, linewidth=0.8)
        if marks:
            self._mark(axes, grid)

    def _render_cells(self, axes: "Axes", grid: Grid) -> None:
        is_maze = self.domain.drawing.style == "maze"
        colours = np.array([*(_MAZE if is_maze else RGB), (255, 0, 255)], np.uint8)
        axes.imshow(colours[np.minimum(grid, len(colours) - 1)], interpolation="nearest")
        lines = {"color": "#6b7280", "linewidth": 0.4}
        axes.hlines(np.arange(grid.shape[0] + 1) - 0.5, -0.5, grid.shape[1] - 0.5, **lines)
        axes.vlines(np.arange(grid.shape[1] + 1) - 0.5, -0.5, grid.shape[0] - 0.5, **lines)
        if is_maze:
            size = 180 / max(grid.shape)
            row, column = np.nonzero(grid == 4)
            axes.plot(column, row, "o", color="#0b57d0", markersize=0.28 * size, linestyle="none")
            for value, letter in ((2, "S"), (3, "G")):
                for r, c in np.argwhere(grid == value).tolist():
                    axes.text(c, r, letter, ha="center", va="center_baseline", fontsize=0.5 * size, fontweight="bold")

    def _render_symbols(self, axes: "Axes", grid: Grid) -> None:
        side = len(grid)
        box_rows, box_columns = self.domain.drawing.box or grid.shape
        edges = np.arange(side + 1)
        for at in edges.tolist():
            axes.axhline(at - 0.5, color="black", linewidth=1.1 if at % box_rows == 0 else 0.25)
            axes.axvline(at - 0.5, color="black", linewidth=1.1 if at % box_columns == 0 else 0.25)
        for (row, column), value in np.ndenumerate(grid):
            if value:
                clue = self.question[row, column] > 0
                look = {"color": "black" if clue else "#0b57d0", "fontweight": "bold" if clue else "normal"}
                text = self.domain.format_text(np.array([value]))
                axes.text(column, row, text, ha="center", va="center_baseline", fontsize=54 / side, **look)

    def _mark(self, axes: "Axes", grid: Grid) -> None:
        from matplotlib.patches import Rectangle

        if self.truth is None or self.truth.shape != grid.shape:
            return
        width, inner = 26 / max(grid.shape), "black" if self.domain.drawing.style == "colours" else "#d1242f"
        for row, column in np.argwhere(grid != self.truth).tolist():
            for colour, line in (("white", 0.24 * width), (inner, 0.1 * width)):
                place = (column - 0.38, row - 0.38)
                axes.add_patch(Rectangle(place, 0.76, 0.76, fill=False, edgecolor=colour, linewidth=max(0.5, line)))


def render_strips(traces: Sequence[Trace], drawers: Sequence[BoardDrawer]) -> dict[str, bytes]:
    """A strip (SVG and PNG) and an animated picture (GIF) of each, by the names of their files.

    Raises:
        InputError: matplotlib is not installed.
    """
    pictures: dict[str, bytes] = {}
    for one, drawer in zip(traces, drawers, strict=True):
        name = f"trace-{_file_name(one.name)}"
        while f"{name}.gif" in pictures:
            name += "-"  # of ids that differ only in what no file name may hold
        pictures |= _render_strip(one, drawer, name) | {f"{name}.gif": _animate(one, drawer)}
    return pictures


def _file_name(name: str) -> str:
    """A name that any file system takes; a task id may hold anything."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "unnamed"


def _render_strip(one: Trace, drawer: BoardDrawer, name: str) -> dict[str, bytes]:
    steps = [frame for frame in one.frames if frame.last]
    boards = [(drawer.question, "input", False), *((f.grid, f"{f.step}: {f.halting:.0%} sure", True) for f in steps)]
    if drawer.truth is not None:
        boards.append((drawer.truth, "truth", False))
    rows = math.ceil(len(boards) / _ACROSS)
    across = math.ceil(len(boards) / rows)
    with make_figure(1.25 * across, 1.5 * rows) as figure:
        for number, (grid, title, marks) in enumerate(boards):
            drawer.draw(figure.add_subplot(rows, across, number + 1), grid, title, marks=marks)
        return render_figure(figure, name)


def _animate(one: Trace, drawer: BoardDrawer) -> bytes:
    from PIL.Image import Dither

    pictures: list[Image] = []
    several = any(not frame.last for frame in one.frames)
    for frame in one.frames:
        with make_figure(2.6, 3.0) as figure:
            pictures.append(_render_frame(figure, drawer, frame, several))
    # one palette for all frames, so that what does not change does not flicker
    palette = pictures[-1].quantize(64)
    frames = [picture.quantize(palette=palette, dither=Dither.NONE) for picture in pictures]
    durations = [_PAUSE] * (len(frames) - 1) + [_END]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    return data.getvalue()


def _render_frame(figure: "Figure", drawer: BoardDrawer, frame: Frame, several: bool):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL.Image import fromarray

    grid = figure.add_gridspec(2, 1, height_ratios=(12, 1))
    drawer.draw(figure.add_subplot(grid[0]), frame.grid, f"step {frame.step}" + f", cycle {frame.cycle}" * several)
    bar = figure.add_subplot(grid[1])
    bar.barh(0, frame.halting, color="#218f52")
    bar.set(xlim=(0, 1), yticks=[], xticks=[], xlabel=f"halting probability {frame.halting:.0%}")
    bar.grid(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
