"""Grids in the terminal: colour blocks side by side, digits where there is no colour."""

import os
import shutil
import sys
from typing import TextIO

from trm_arc.task import Grid

# The colours of the ARC website.
RGB = (
    (0, 0, 0),
    (0, 116, 217),
    (255, 65, 54),
    (46, 204, 64),
    (255, 220, 0),
    (170, 170, 170),
    (240, 18, 190),
    (255, 133, 27),
    (127, 219, 255),
    (135, 12, 37),
)
_RESET = "\x1b[0m"


def wants_colour(stream: TextIO = sys.stdout) -> bool:
    """Whether to colour: FORCE_COLOR and NO_COLOR decide, else whether `stream` is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def draw_grid(grid: Grid, colour: bool) -> list[str]:
    """One line a row, two columns a cell."""
    if not colour:
        return ["".join(f"{cell} " for cell in row) for row in grid]
    # A faint dot marks black cells, so that a grid's edge shows on a black terminal too.
    blocks = [f"\x1b[48;2;{r};{g};{b}m\x1b[38;2;85;85;85m{'  ' if r + g + b else '· '}" for r, g, b in RGB]
    return ["".join(blocks[cell] for cell in row) + _RESET for row in grid]


def draw_beside(titled: list[tuple[str, Grid]], colour: bool, width: int | None = None) -> str:
    """Grids side by side under their titles, as many in a row as fit.

    Args:
        titled: titles and grids.
        colour: blocks, or digits.
        width: columns of the terminal; found out if None.
    """
    width = width or shutil.get_terminal_size((80, 24)).columns
    columns = [max(2 * grid.shape[1], len(title)) for title, grid in titled]
    text, begin = [], 0
    while begin < len(titled):
        end, used = begin + 1, columns[begin]
        while end < len(titled) and used + 3 + columns[end] <= width:
            used += 3 + columns[end]
            end += 1
        drawn = [draw_grid(grid, colour) for _, grid in titled[begin:end]]
        text.append("   ".join(title.ljust(c) for (title, _), c in zip(titled[begin:end], columns[begin:end], strict=True)))
        for line in range(max(map(len, drawn))):
            cells = []
            for rows, (_, grid), column in zip(drawn, titled[begin:end], columns[begin:end], strict=True):
                here = rows[line] if line < len(rows) else ""
                cells.append(here + " " * (column - (2 * grid.shape[1] if here else 0)))
            text.append("   ".join(cells).rstrip() if not colour else "   ".join(cells))
        begin = end
    return "\n".join(text)
