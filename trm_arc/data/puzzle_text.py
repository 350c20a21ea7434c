"""One puzzle as people write it: a Sudoku in a line or a drawing, a maze in a text file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augment import BOARD
from trm_arc.common.errors import InputError
from trm_arc.common.file_kinds import describe_kind
from trm_arc.common.files import require_regular
from trm_arc.common.paths import user_path
from trm_arc.data.board_text import SIZES, is_row, is_written_board, join_board, split_lines, tidy_board
from trm_arc.data.domains import domain_of_board
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.puzzles.maze.rules import CHARACTERS


def read_question(text: str) -> tuple[BoardDomain, np.ndarray]:
    """A puzzle as people write it: Sudoku in one line, in rows, drawn or as a list; a maze, or a Sudoku, from a text file.

    Args:
        text: the puzzle itself, or the path of a file with it.

    Returns:
        What it is, and the board, uint8 (rows, columns).

    Raises:
        InputError: not a puzzle, with the reason.
    """
    where = "the puzzle"
    if len(text) < 1000 and "\n" not in text and _is_file(text):
        where, text = text, _read_text(user_path(text))
    elif "\n" not in text and ("/" in text or text.endswith(".txt")):
        raise InputError("is a folder; name a text file in it" if user_path(text).is_dir() else "no such file", file=text)
    lines = split_lines(text)
    if not "".join(lines).strip():
        raise InputError(_nothing(where))
    written = set().union(*lines)
    if ("#" in written and written.isdisjoint("123456789")) or written <= set(CHARACTERS):
        side = max(len(lines), *(len(line.rstrip(" ")) for line in lines))  # editors remove the blanks at the end of a line
        board = "".join(line.rstrip(" ").ljust(side) for line in lines)
    else:
        board = join_board(lines)
        alone = [line for line in lines if len(tidy_board(line.strip())) in SIZES]
        if len(board) not in SIZES and len(alone) > 1:
            raise InputError(f"holds {len(alone)} puzzles, one a line; give one of them", file=where)
        widths = {len(join_board([line])) for line in lines if is_row(line)}
        if len(widths) == 1 and (width := widths.pop()) ** 2 in SIZES and len(board) not in (width, width**2):
            problem = f"{len(board) // width} rows of {width} cells; a Sudoku has as many rows as columns"
            raise InputError(problem, file=where)
    if len(board) > BOARD**2:
        raise InputError(_nothing(where))
    domain = domain_of_board(board, where)
    question = domain.parse(board)[0]
    if fault := domain.question_fault(question):
        raise InputError(f"{fault}", file=where)
    return domain, question


def _nothing(where: str) -> str:
    return f"{where}: neither a puzzle nor a file of one; write a Sudoku in one line, or name a text file with one or a maze"


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read as text ({error})", file=path) from None
    except UnicodeDecodeError as error:
        kind = describe_kind(raw)
        raise InputError(f"is {kind}" if kind else f"cannot be read as text ({error})", file=path) from None


def mark_puzzles(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command line in which a puzzle that begins with a minus sign is not taken for a flag."""
    return [f" {text}" if text.startswith("-") and is_written_board(text) else text for text in arguments]


def _is_file(text: str) -> bool:
    try:
        return bool(text) and require_regular(user_path(text)).is_file()
    except OSError:
        return False


def read_puzzle(text: str) -> PuzzleSet:
    """The puzzle of `read_question` with its solution, by which an answer is judged.

    Raises:
        InputError: not a puzzle, or not one with one solution.
    """
    domain, question = read_question(text)
    answer, solutions, rating = (found[0] for found in domain.solve(question[None]))
    if solutions != 1:
        raise InputError(f"the puzzle has {'several solutions' if solutions else 'no solution'}; one is needed")
    return PuzzleSet("the puzzle", domain, question[None], answer[None], np.array([rating]), np.array([1]))
