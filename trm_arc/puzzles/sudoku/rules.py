"""Sudoku's rules for any box shape: which boards keep them, conflicts, solutions."""

from dataclasses import dataclass

import numpy as np

from augment.compiling import jit
from trm_arc.common.errors import InputError

MOST_BITS = 64  # of the words that the solver packs a line of boxes into
_DEFAULTS = {4: (2, 2), 6: (2, 3), 8: (2, 4), 9: (3, 3), 10: (2, 5), 12: (3, 4), 16: (4, 4)}


@dataclass(frozen=True)
class Boxes:
    """The shape of a board's boxes; the board has `rows` * `columns` digits and as many rows and columns.

    Attributes:
        rows: of a box, at least 2.
        columns: of a box, at least 2.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        if self.rows < 2 or self.columns < 2 or max(self.rows, self.columns) * self.side > MOST_BITS:
            raise InputError(
                f"a box has at least 2 rows and 2 columns, and its longer side times its cells is at most {MOST_BITS}, "
                f"got {self.rows} x {self.columns}"
            )

    @property
    def side(self) -> int:
        """Rows, columns and digits of the board."""
        return self.rows * self.columns


def boxes_of(side: int) -> Boxes:
    """The default box shape of a board.

    Raises:
        InputError: no default shape has that side.
    """
    if side not in _DEFAULTS:
        raise InputError(f"a Sudoku has side {', '.join(map(str, _DEFAULTS))}; got {side}")
    return Boxes(*_DEFAULTS[side])


def require_boards(name: str, boards: np.ndarray, boxes: Boxes) -> np.ndarray:
    """The boards, contiguous.

    Args:
        boards: what should be uint8 (n, side, side).

    Raises:
        ValueError: they are something else.
    """
    side = boxes.side
    if boards.dtype != np.uint8 or boards.ndim != 3 or boards.shape[1:] != (side, side):
        raise ValueError(f"{name}: uint8 (n, {side}, {side}) is needed, got {boards.dtype} {boards.shape}")
    return np.ascontiguousarray(boards)


@jit
def _keep_rules(boards, rows, columns, kept):
    side = rows * columns
    in_column, in_box = np.empty(side, np.int64), np.empty(side, np.int64)
    for n in range(len(boards)):
        board = boards[n]
        in_column[:] = 0
        in_box[:] = 0
        fine = True
        for r in range(side):
            in_row = 0
            for c in range(side):
                digit = board[r, c]
                if digit == 0:
                    continue
                bit, box = np.int64(1) << digit, r // rows * rows + c // columns
                if digit > side or (in_row | in_column[c] | in_box[box]) & bit:
                    fine = False
                    break
                in_row |= bit
                in_column[c] |= bit
                in_box[box] |= bit
            if not fine:
                break
        kept[n] = fine


def keeps_rules(boards: np.ndarray, boxes: Boxes) -> np.ndarray:
    """Which boards have no digit twice in a row, column or box, and none above their side; blanks do not count.

    Args:
        boards: uint8 (n, side, side).

    Returns:
        bool (n,).

    Raises:
        ValueError: `boards` are something else.
    """
    boards = require_boards("boards", boards, boxes)
    kept = np.empty(len(boards), bool)
    _keep_rules(boards, boxes.rows, boxes.columns, kept)
    return kept


def is_solution(questions: np.ndarray, answers: np.ndarray, boxes: Boxes) -> np.ndarray:
    """Which answers are full, keep the rules, and keep every clue of their question.

    Args:
        questions: uint8 (n, side, side).
        answers: uint8 (n, side, side).

    Returns:
        bool (n,).

    Raises:
        ValueError: the arrays are something else, or not equally many.
    """
    questions, answers = require_boards("questions", questions, boxes), require_boards("answers", answers, boxes)
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} questions need as many answers, got {len(answers)}")
    kept = np.empty(len(answers), bool)
    _keep_rules(answers, boxes.rows, boxes.columns, kept)
    _keep_clues(questions, answers, kept)
    return kept


@jit
def _keep_clues(questions, answers, kept):
    """Clear `kept` where an answer has a blank or changes a clue."""
    for n in range(len(questions)):
        question, answer = questions[n].reshape(-1), answers[n].reshape(-1)
        for at in range(len(question)):
            if answer[at] == 0 or (question[at] != 0 and question[at] != answer[at]):
                kept[n] = False
                break


def describe_conflict(board: np.ndarray, boxes: Boxes) -> str | None:
    """The first digit that occurs twice in a row, column or box, in words; None if none does.

    Args:
        board: uint8 (side, side).
    """
    side, where = boxes.side, {}
    units = [("row {} (columns {} and {})", lambda r, c: r, lambda r, c: c + 1)]
    units += [("column {} (rows {} and {})", lambda r, c: c, lambda r, c: r + 1)]
    units += [("box {} (cells {} and {})", lambda r, c: r // boxes.rows * boxes.rows + c // boxes.columns, None)]
    for number, (where_in, unit, place) in enumerate(units):
        for r, c in np.ndindex(side, side):
            digit, key = int(board[r, c]), (number, unit(r, c), int(board[r, c]))
            here = place(r, c) if place else r % boxes.rows * boxes.columns + c % boxes.columns + 1
            if digit and key in where:
                return f"two {digit}s in " + where_in.format(unit(r, c) + 1, where[key], here)
            where[key] = here
    return None
