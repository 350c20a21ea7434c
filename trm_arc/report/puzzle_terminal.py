"""Boards in the terminal: symbols with the lines of their boxes, mazes as blocks; clues, right and wrong cells look different."""

import numpy as np

from trm_arc.data.domains import Domain, Drawing

_RESET = "\x1b[0m"
_STYLES = {"clue": "\x1b[1m", "right": "\x1b[32m", "wrong": "\x1b[1;31m", "free": "\x1b[36m"}


def render_board(domain: Domain, question: np.ndarray, board: np.ndarray, truth: np.ndarray | None, colour: bool) -> list[str]:
    """A board, a line a row: clues bold, cells that differ from the truth red, other answers green; without colour a wrong symbol
    is followed by `!`, a wrong cell of a maze drawn as `!!`.

    Args:
        question: uint8 (rows, columns), which cells were given.
        board: uint8 (rows, columns), what to draw.
        truth: uint8 (rows, columns), the expected answer; None where it is not known.
    """
    kinds = np.full(board.shape, "free", object)
    if truth is not None:
        kinds[:] = np.where(board == truth, "right", "wrong")
    if domain.drawing.style == "symbols":
        kinds[(question > 0) & (kinds != "wrong")] = "clue"
        kinds[board == 0] = "clue"
        return _render_symbols(domain.drawing, board, kinds, colour)
    kinds[(board != 4) & (kinds != "wrong")] = "clue"
    return _render_maze(board, kinds, colour)


def _style(text: str, kind: str, colour: bool) -> str:
    return f"{_STYLES[kind]}{text}{_RESET}" if colour else text


def _render_symbols(drawing: Drawing, board: np.ndarray, kinds: np.ndarray, colour: bool) -> list[str]:
    side, characters = len(board), drawing.characters
    box_rows, box_columns = drawing.box or board.shape
    stacks = side // box_columns

    def line(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (2 * box_columns + 1) for _ in range(stacks)) + right

    lines = [line("┌", "┬", "┐")]
    for row in range(side):
        cells = []
        for column in range(side):
            value, kind = board[row, column], kinds[row, column]
            mark = "!" if kind == "wrong" and not colour else " "
            cells.append(_style(characters[value] if value < len(characters) else "?", kind, colour) + mark)
        parts = ("".join(cells[at : at + box_columns]) for at in range(0, side, box_columns))
        lines.append("│ " + "│ ".join(parts) + "│")
        if row % box_rows == box_rows - 1:
            lines.append(line("├", "┼", "┤") if row < side - 1 else line("└", "┴", "┘"))
    return lines


def _render_maze(board: np.ndarray, kinds: np.ndarray, colour: bool) -> list[str]:
    shapes = ("██", "  ", "S ", "G ", "··")
    lines = []
    for row, row_kinds in zip(board.tolist(), kinds.tolist(), strict=True):
        cells = []
        for value, kind in zip(row, row_kinds, strict=True):
            shape = shapes[value] if value < len(shapes) else "??"
            if kind == "wrong":
                shape = ("xx" if value != 4 else "··") if colour else "!!"
            cells.append(_style(shape, kind, colour) if value > 1 or kind == "wrong" else shape)
        lines.append("".join(cells).rstrip() if not colour else "".join(cells))
    return lines
