"""A Sudoku in characters, out of what people write: in a line, in rows, drawn, as cells of a table or as a list."""

import re
import unicodedata
from collections.abc import Iterator

from trm_arc.puzzles.maze.rules import CHARACTERS as MAZE

SIZES = {side * side for side in (4, 6, 8, 9, 10, 12, 16)}  # cells of a Sudoku
BLANKS = "0*_xX-\u00b7"  # what a blank is written as, besides a full stop
_VALUES = "." + "123456789ABCDEFG"
_SEPARATORS = re.compile(r"[,;\t]")
_FRAME = "|\u00a6+" + "".join(map(chr, range(0x2500, 0x2580)))  # the last are box drawings
_SIDES = set(" |\u00a6\u2502\u2503\u2551")  # of the lines of a row
_BORDER = set(f"{_FRAME} -=*:~_")
_AROUND = " []()'\"`"
_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\r"))
_WRITTEN = set(f" .0123456789ABCDEFGabcdefg\n{BLANKS}{_FRAME}{_AROUND},;\t=:~\ufeff\r")
_SECTION = re.compile(r"^\[Puzzle\] *$(.*?)(?=^\[[a-z]|\Z)", re.DOTALL | re.IGNORECASE | re.MULTILINE)  # of a .sdk file
_ARRAY = re.compile(r"\[\s*\[.*\]", re.DOTALL)
_COMMENT = re.compile(r"\s*(//|#.*[^\W\d_]{2}|\[[^\W\d]+\]\s*$)")  # a line that begins with # has to have a word


def is_written_board(text: str) -> bool:
    """Whether a text has the characters, and at least the length, of a Sudoku."""
    return len(text) >= min(SIZES) and set(text) <= _WRITTEN


def is_row(line: str) -> bool:
    """Whether a line has cells, and is no border."""
    return not set(line) <= _BORDER


def split_lines(text: str) -> list[str]:
    """The lines of a text without comments and invisible characters."""
    text = unicodedata.normalize("NFKC", text).translate(_INVISIBLE)
    if section := _SECTION.search(text):
        text = section[1].strip("\n")
    if array := _ARRAY.search(text):
        text = array[0]
    lines = text.rstrip("\n").split("\n")
    return [line for line in lines if set(line) <= set(MAZE) or not _COMMENT.match(line)]


def tidy_board(text: str) -> str:
    """A cell of a table without what does not belong to its board: blanks and quotes around it, or what `join_board` removes."""
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if _is_square(len(text)):
        return text
    bare = text.strip()
    for board in (bare, bare.strip("'\""), text.removeprefix(" "), text.removesuffix(" ")):
        if _is_square(len(board)):
            return board
    return join_board(split_lines(text)) if is_written_board(text) else text


def _is_square(length: int) -> bool:
    return round(length**0.5) ** 2 == length


def join_board(lines: list[str]) -> str:
    """The cells of one Sudoku, row by row; if none can be recognised, all characters that may be cells."""
    lines = [line.split("#")[0] for line in lines]
    boards = list(_read_ways(lines))
    return next((board for board in boards if len(board) in SIZES), boards[-1])


def _read_ways(lines: list[str]) -> Iterator[str]:
    """A board in every way in which it may be written, the surest first."""
    rows = list(filter(is_row, lines))
    cells = [[_cell(field) for field in _SEPARATORS.split(line)] for line in rows]
    if any(len(row) > 1 for row in cells) and all(cell is not None for row in cells for cell in row):
        yield "".join(cell for row in cells for cell in row)
        yield "".join(cell for row, line in zip(cells, rows, strict=True) for cell in (row[:-1] if _ends(line) else row))
    cells = [[_cell(field) for field in re.split(f"[{re.escape(_FRAME)}]", line.strip().strip(_FRAME))] for line in rows]
    if all(len(row) > 3 and None not in row for row in cells):
        yield "".join(cell for row in cells for cell in row)
    if board := _read_fixed([line for line in lines if is_row(line) or (set(line) <= _SIDES and " " in line and line.strip())]):
        yield board
    tokens = re.split(r"[\s,;|]+", " ".join(rows).strip())
    if len(rows) == 1 and (boards := [token.strip(_AROUND) for token in tokens if len(token.strip(_AROUND)) in SIZES]):
        yield max(boards, key=len)
    if len(rows) == 1 and len(rows[0]) in SIZES:
        yield rows[0].replace(" ", ".")
    cells = [_cell(token) for line in rows for token in line.translate(dict.fromkeys(map(ord, _FRAME), " ")).split()]
    if None not in cells:
        yield "".join(cells)
    bare = [line.translate(dict.fromkeys(map(ord, _FRAME))) for line in lines]
    wide = [line.rstrip() for line in bare if line.strip() or not line]
    if len(wide) ** 2 in SIZES and any(" " in line.strip() for line in wide) and max(map(len, wide)) <= len(wide):
        yield "".join(line.ljust(len(wide)).replace(" ", ".") for line in wide)
    unwanted = dict.fromkeys(map(ord, f"{_FRAME}{_AROUND},;\t=:~"))
    yield "".join(lines).translate(unwanted)  # with rows of blanks that look like a border
    yield "".join(rows).translate(unwanted | {ord("-"): None})
    yield "".join(rows).translate(unwanted)


def _read_fixed(rows: list[str]) -> str | None:
    """A board whose rows are divided by lines and have spaces for blanks, with or without a space around each cell."""
    parts = [re.split(f"[{re.escape(_FRAME)}]", line) for line in rows]
    if all(line.lstrip()[:1] in _FRAME for line in rows):
        parts = [p[1:-1] for p in parts]
    side, count, width = len(rows), max(map(len, parts), default=0), max((len(part) for p in parts for part in p), default=0)
    if side**2 not in SIZES or count < 2 or any(len(p) != count for p in parts):
        return None
    wide = [part.ljust(width) for p in parts for part in p]
    if width * count == side:
        return "".join(wide).replace(" ", ".")
    if width // 2 * count == side and not "".join(part[::2] for part in wide).strip():
        return "".join(part[1::2] for part in wide).replace(" ", ".")
    return None


def _cell(text: str) -> str | None:
    """The character of one cell, which may be empty or a number above 9; None if it is no cell."""
    text = text.strip(_AROUND)
    if text.isdecimal() and len(text) < 3 and int(text) < len(_VALUES):
        return _VALUES[int(text)]
    return text or "." if len(text) < 2 else None


def _ends(line: str) -> bool:
    return bool(_SEPARATORS.match(line.rstrip()[-1:]))
