"""One puzzle as people write it: a Sudoku in a line or a drawing, a maze in a text file."""

import numpy as np

from augment import BOARD
from trm_arc.common.errors import InputError
from trm_arc.common.paths import user_path
from trm_arc.data.domains import domain_of_board
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.puzzles.maze.rules import CHARACTERS


def read_question(text: str) -> tuple[BoardDomain, np.ndarray]:
    """A puzzle as people write it: Sudoku in one line or several, with . or 0 for blanks; a maze, or a Sudoku, from a text file.

    Args:
        text: the puzzle itself, or the path of a file with it.

    Returns:
        What it is, and the board, uint8 (rows, columns).

    Raises:
        InputError: not a puzzle, with the reason.
    """
    where = "the puzzle"
    if len(text) < 1000 and "\n" not in text and _is_file(text):
        where = text
        try:
            text = user_path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read as text ({error})", file=where) from None
    elif "/" in text or text.endswith(".txt"):
        raise InputError("no such file", file=text)
    nothing = f"{where}: neither a puzzle nor a file of one; write a Sudoku in one line, or name a text file with one or a maze"
    if not text.strip():
        raise InputError(nothing)
    lines = text.rstrip("\n").split("\n")
    if "#" in text or set().union(*lines) <= set(CHARACTERS):
        side = max(len(lines), *(len(line.rstrip(" ")) for line in lines))  # editors remove the blanks at the end of a line
        board = "".join(line.rstrip(" ").ljust(side) for line in lines)
    else:
        board = "".join(character for line in lines for character in line if character not in " |-+─│┌┬┐├┼┤└┴┘")
    if len(board) > BOARD**2:
        raise InputError(nothing)
    domain = domain_of_board(board, where)
    question = domain.parse(board)[0]
    if fault := domain.question_fault(question):
        raise InputError(f"{fault}", file=where)
    return domain, question


def _is_file(text: str) -> bool:
    try:
        return user_path(text).is_file()
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
