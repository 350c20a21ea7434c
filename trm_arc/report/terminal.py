"""Grids in the terminal: colour blocks side by side, digits where there is no colour."""

import re
from itertools import zip_longest

import numpy as np

from trm_arc.common.text import terminal_width
from trm_arc.data.pictures import RGB
from trm_arc.data.task import Grid

_RESET, _FAINT = "\x1b[0m", "\x1b[38;2;85;85;85m"
_BLACK, _WHITE = "\x1b[1;38;2;0;0;0m", "\x1b[1;38;2;255;255;255m"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_GAP = "   "


def render_grid(grid: Grid, colour: bool, truth: Grid | None = None) -> list[str]:
    """One line a row, two columns a cell; cells that differ from the truth are crossed, or without colour followed by `!`.

    Args:
        truth: marks nothing if it is None or of another size.
    """
    wrong = grid != truth if truth is not None and truth.shape == grid.shape else np.zeros(grid.shape, bool)
    cells = _BLOCKS if colour else _DIGITS
    rows = zip(grid.tolist(), wrong.tolist(), strict=True)
    return ["".join(cells[is_wrong][cell] for cell, is_wrong in zip(*row, strict=True)) for row in rows]


def _block(rgb: tuple[int, int, int], is_wrong: bool) -> str:
    r, g, b = rgb
    # A faint dot marks black cells, so that a grid's edge shows on a black terminal too.
    inside = f"{_FAINT}{'  ' if r + g + b else '· '}"
    if is_wrong:
        inside = f"{_BLACK if 0.3 * r + 0.6 * g + 0.1 * b > 100 else _WHITE}><"
    return f"\x1b[48;2;{r};{g};{b}m{inside}{_RESET}"


# A cell of each colour, right and wrong.
_BLOCKS = tuple([_block(rgb, is_wrong) for rgb in RGB] for is_wrong in (False, True))
_DIGITS = tuple([f"{cell}{mark}" for cell in range(len(RGB))] for mark in " !")


def flow(titled: list[tuple[str, list[str]]], width: int | None = None) -> str:
    """Pictures side by side under their titles, as many in a row as fit.

    Args:
        titled: titles, of equally many lines, and the lines of each picture.
    """
    width = width or terminal_width()
    blocks = [[*title.split("\n"), *lines] for title, lines in titled]
    columns = [_columns(block) for block in blocks]
    text, begin = [], 0
    while begin < len(blocks):
        end, used = begin + 1, columns[begin]
        while end < len(blocks) and used + len(_GAP) + columns[end] <= width:
            used += len(_GAP) + columns[end]
            end += 1
        text += [""] * (begin > 0) + join_lines(blocks[begin:end], _GAP)
        begin = end
    return "\n".join(text)


def join_lines(blocks: list[list[str]], gap: str) -> list[str]:
    """Blocks of lines put side by side, aligned at the top.

    Args:
        blocks: the lines of each; styles take no columns.
    """
    columns = [_columns(block) for block in blocks]
    return [
        gap.join(line + " " * (width - _length(line)) for line, width in zip(row, columns, strict=True)).rstrip()
        for row in zip_longest(*blocks, fillvalue="")
    ]


def _columns(lines: list[str]) -> int:
    return max(map(_length, lines), default=0)


def _length(line: str) -> int:
    """Columns of a line in the terminal."""
    return len(_STYLE.sub("", line))
