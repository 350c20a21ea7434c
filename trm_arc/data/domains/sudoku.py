"""Sudoku: digits once in every row, column and box."""

import numpy as np

from augment import sample_sudoku_transforms
from augment.kernels import mix_columns
from trm_arc.data.board_text import BLANKS
from trm_arc.data.domains import Drawing, place_of, register_domain
from trm_arc.data.domains.board import BoardDomain, Progress
from trm_arc.puzzles.sudoku import canonical as sudoku_canonical
from trm_arc.puzzles.sudoku import generate as sudoku_generate
from trm_arc.puzzles.sudoku import rules as sudoku
from trm_arc.puzzles.sudoku import solve as sudoku_solve

_SMALLEST = 4  # side; different up to symmetry there are about 1,700 Sudoku of 6 to 8 clues, and fewer than 40 minimal ones
_DIGITS = "123456789ABCDEFG"
_WRITTEN = str.maketrans(f"{BLANKS} abcdefg", "." * len(BLANKS) + ".ABCDEFG")
_OTHER_BLANKS = f". {BLANKS}".replace("0", "")


class SudokuDomain(BoardDomain):
    """Sudoku.  Values: 0 blank, then the digits."""

    transforms, difficulty, rating_ends = 2**40, "guesses", (0, 5, 20, 50)

    def __init__(self, side: int) -> None:
        self.boxes = sudoku.boxes_of(side)
        self.default_count = 300 if side == _SMALLEST else BoardDomain.default_count
        characters = "." + _DIGITS[:side]
        drawing = Drawing("symbols", characters, (self.boxes.rows, self.boxes.columns))
        super().__init__(f"sudoku-{side}x{side}", (side, side), characters, drawing)

    def sample(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """A random symmetry for each key (uint64 (n,)) and number (int64 (n,)), but the identity for number 0."""
        mixed = mix_columns(np.stack([keys, numbers.astype(np.uint64)], axis=1))
        table = sample_sudoku_transforms(mixed, (self.boxes.rows, self.boxes.columns))
        table[numbers == 0] = self.identity()
        return table

    def parse(self, text: str) -> np.ndarray:
        """The boards in the characters of n boards; blanks and letters may be written in several ways.

        Where a side above 9 has another blank than 0, 0 is no cell: digits may have been counted from 0, as in hexadecimal.
        """
        size = self.shape[0] * self.shape[1]
        if self.shape[0] > 9 and "0" in text:
            boards = (text[at : at + size] for at in range(0, len(text), size))
            text = "".join(board if set(_OTHER_BLANKS).isdisjoint(board) else board.replace("0", "?") for board in boards)
        return super().parse(text.translate(_WRITTEN))

    def are_questions(self, boards: np.ndarray) -> np.ndarray:
        """Which boards hold digits and blanks and keep the rules."""
        whole = (boards < self.values).all(axis=(1, 2))
        return whole & sudoku.keeps_rules(np.where(whole[:, None, None], boards, 0), self.boxes)

    def question_fault(self, board: np.ndarray) -> str | None:
        """Why a board is not a question; None if it is one."""
        return self.character_fault(board) or sudoku.describe_conflict(board, self.boxes)

    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers are full, and keep the rules and every clue."""
        return sudoku.is_solution(questions, answers, self.boxes)

    def answer_fault(self, question: np.ndarray, answer: np.ndarray) -> str:
        """Why an answer is wrong."""
        blank = np.argwhere((answer == 0) | (answer >= self.values))
        changed = np.argwhere((question > 0) & (answer != question))
        if len(blank):
            return f"the answer has no digit in {place_of(blank[0])}"
        if len(changed):
            return f"the answer contradicts the question in {place_of(changed[0])}"
        return f"the answer breaks the rules: {sudoku.describe_conflict(answer, self.boxes)}"

    def solve(self, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve questions; the rating is the number of guesses of `sudoku_solve.solve`."""
        solved = sudoku_solve.solve(questions, self.boxes)
        return solved.solutions, solved.counts, solved.guesses

    def canonical(self, boards: np.ndarray) -> np.ndarray:
        """See `sudoku_canonical.canonical`."""
        return sudoku_canonical.canonical(boards, self.boxes)

    def generate(
        self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Puzzles with one solution each; easy ones need no guess, others are minimal and hard.

        There are too few minimal ones of 4 x 4, so those are all easy.
        """
        kind = "easy" if easy or self.shape[0] == _SMALLEST else "hard"
        made = sudoku_generate.generate(count, self.boxes, seed, kind=kind, exclude=exclude, progress=progress)
        return made.questions, made.answers, made.guesses


register_domain("sudoku", SudokuDomain, lambda board: True)  # its errors describe boards that no other domain recognises
