"""ARC grids as HTML that needs no other file, for notebooks; the report's page draws the same in the browser (`grids.js`).

That page holds thousands of grids and shows them as colours, digits or text: as ready-made SVG they would be ten times as large.
"""

import html
from itertools import groupby

import numpy as np

from trm_arc.data.task import Grid
from trm_arc.report.terminal import RGB

_LEAST, _MOST = 5, 22  # pixels of a cell


def render_html(title: str, grid: Grid, truth: Grid | None = None, room: int = 180) -> str:
    """A grid as an HTML figure: an SVG picture below its title and size; cells that differ from the truth are framed.

    Args:
        title: plain text.
        grid: uint8 (rows, columns), may be empty.
        truth: marks nothing if it is None or of another size.
        room: pixels of the longer side at most, but for large grids, whose cells have 5.
    """
    size = " x ".join(map(str, grid.shape)) if grid.size else "no grid"
    wrong = grid != truth if truth is not None and truth.shape == grid.shape else np.zeros(grid.shape, bool)
    count = int(wrong.sum())
    if truth is not None and grid.size:
        right = "right" if truth.shape == grid.shape else "wrong size"
        size += f", {count} wrong cell{'s' * (count != 1)}" if count else f", {right}"
    name = html.escape(title)
    picture = _render_svg(grid, wrong, f"{name}, {size}", room) if grid.size else ""
    return f"<figure><figcaption><strong>{name}</strong> {size}</figcaption>{picture}</figure>"


def _render_svg(grid: Grid, wrong: np.ndarray, label: str, room: int) -> str:
    rows, columns = grid.shape
    cell = max(_LEAST, min(_MOST, room // max(rows, columns)))
    shapes = [f'<path d="{path}" fill="rgb{RGB[colour]}"/>' for colour, path in _cell_paths(grid).items()]
    lines = "".join(f"M0 {row}h{columns}" for row in range(rows + 1)) + "".join(f"M{c} 0v{rows}" for c in range(columns + 1))
    outlines = [(lines, "#6b7280", min(1, cell / 14) / cell)]
    frames = "".join(f"M{column + 0.12:g} {row + 0.12:g}h.76v.76h-.76z" for row, column in np.argwhere(wrong).tolist())
    if frames:  # light and dark, to be seen on any colour; the cell's own colour stays visible inside
        outlines += [(frames, "#fff", 0.24), (frames, "#000", 0.1)]
    shapes += [f'<path d="{path}" stroke="{colour}" stroke-width="{width:.3g}" fill="none"/>' for path, colour, width in outlines]
    place = f'viewBox="-.05 -.05 {columns + 0.1:g} {rows + 0.1:g}" width="{columns * cell + 2}" height="{rows * cell + 2}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {place} role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def _cell_paths(grid: Grid) -> dict[int, str]:
    """A path around the cells of each colour, equal neighbours in a row together."""
    paths: dict[int, str] = {}
    for number, row in enumerate(grid.tolist()):
        start = 0
        for colour, run in groupby(row):
            length = len(list(run))
            paths[colour] = paths.get(colour, "") + f"M{start} {number}h{length}v1h-{length}z"
            start += length
    return paths
