"""Sudoku and mazes as families: board, tokens, symmetries, and how an answer is judged."""

import re
from abc import abstractmethod
from collections.abc import Callable
from functools import cache

import numpy as np

from augment import (
    BOARD,
    BoardTransform,
    PackedGrids,
    SampledPlan,
    Window,
    dihedral_table,
    hash_boards,
    hash_undone_boards,
    paint_boards,
    sample_sudoku_transforms,
    tokens_to_board,
)
from augment.board import FIRST_VALUE
from augment.kernels import EMPTY, mix_columns
from trm_arc.common.errors import InputError
from trm_arc.data.family import ARC, Family
from trm_arc.puzzles.maze import generate as maze_generate
from trm_arc.puzzles.maze import rules as maze
from trm_arc.puzzles.sudoku import canonical as sudoku_canonical
from trm_arc.puzzles.sudoku import generate as sudoku_generate
from trm_arc.puzzles.sudoku import rules as sudoku
from trm_arc.puzzles.sudoku import solve as sudoku_solve

NO_VALUE = 255  # a cell of no value: a character that means nothing, a token of padding
_NAME = re.compile(r"(sudoku|maze)-(\d+)x(\d+)")
USUAL_COUNT = 1000  # puzzles of a made set
_SMALLEST = 4  # side; different up to symmetry there are about 1,700 Sudoku of 6 to 8 clues, and fewer than 40 minimal ones
_DIGITS = "123456789ABCDEFG"


class PuzzleFamily(Family):
    """Puzzles whose boards all have one size.

    Attributes:
        shape: rows and columns of a board.
        values: how many values a cell may have.
        transforms: symmetries of a puzzle at most, the identity included.
        usual_count: puzzles of a set that is made to be scored on.
        difficulty: what a puzzle's rating counts.
        characters: the character of each value, in questions and answers.
    """

    measure, usual_views = "exact answers", 1
    transforms: int
    usual_count = USUAL_COUNT
    difficulty: str
    characters: str

    def __init__(self, name: str, shape: tuple[int, int], values: int) -> None:
        self.name = self.title = name
        self.shape, self.values = shape, values
        self.vocabulary, self.row_bytes = FIRST_VALUE + values, 1 + sum(shape) + values

    def paint(
        self,
        grids: PackedGrids,
        index: np.ndarray,
        table: np.ndarray,
        window: Window,
        corners: np.ndarray | None = None,
        empty: int = EMPTY,
    ) -> np.ndarray:
        """Transformed boards as tokens; they fill their canvas, so there are neither corners nor empty cells.

        Args:
            grids: of `pack_boards`.
            index: int64 (n,), which of them.
            table: uint8 (n, row_bytes).
            window: the board.
            corners: not used.
            empty: not used.
        """
        return paint_boards(grids, index, table, tuple(window))

    def hash_undone(self, canvases: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo the transforms of predicted canvases; every one of them holds an answer.

        Args:
            canvases: uint8 (n, rows, columns) of tokens.
            table: uint8 (n, row_bytes).
        """
        return np.ones(len(canvases), bool), hash_undone_boards(canvases, table)

    def undo(self, canvas: np.ndarray, row: np.ndarray) -> np.ndarray:
        """The answer on one canvas.

        Args:
            canvas: uint8 (rows, columns) of tokens.
            row: uint8 (row_bytes,), its transform.
        """
        return BoardTransform.from_row(row, self.shape).undo(tokens_to_board(canvas))

    def are_transforms(self, table: np.ndarray) -> bool:
        """Whether all rows are a transposition or none, two orders and values."""
        orders = np.split(table[:, 1:], np.cumsum(self.shape), axis=1)
        return bool((table[:, 0] <= 1).all()) and all((np.sort(o, axis=1) == np.arange(o.shape[1])).all() for o in orders)

    def identity(self) -> np.ndarray:
        """The transform that changes nothing, uint8 (row_bytes,)."""
        rows, columns = self.shape
        return np.array([0, *range(rows), *range(columns), *range(self.values)], np.uint8)

    def make_plan(self, boards: np.ndarray, count: int, seed: int) -> SampledPlan:
        """The transforms of some puzzles, drawn when they are asked for, from the puzzle and the seed alone.

        Args:
            boards: uint8 (n, rows, columns) of questions.
            count: of each puzzle, the identity included; at most `transforms`.
            seed: of what is drawn.
        """
        seeds = np.full(len(boards), seed, np.uint64)
        return SampledPlan(mix_columns(np.stack([seeds, hash_boards(boards)], axis=1)), min(count, self.transforms), self.sample)

    @abstractmethod
    def sample(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Transforms uint8 (n, row_bytes) of keys (uint64 (n,)) and numbers (int64 (n,)); number 0 is the identity."""

    def parse(self, text: str) -> np.ndarray:
        """The boards (uint8 (n, rows, columns)) in the characters of n boards, row by row; NO_VALUE where one means nothing."""
        values = _decoder(self.characters)[np.frombuffer(text.encode("latin-1", "replace"), np.uint8)]
        return values.reshape(-1, *self.shape)

    def show(self, board: np.ndarray) -> str:
        """A board in characters, row by row, as files have it; `?` for a cell of no value."""
        return "".join(self.characters[value] if value < self.values else "?" for value in board.reshape(-1).tolist())

    @abstractmethod
    def are_questions(self, boards: np.ndarray) -> np.ndarray:
        """Which boards are questions, as far as that shows without solving them; bool (n,)."""

    @abstractmethod
    def question_fault(self, board: np.ndarray) -> str | None:
        """Why a board is no question, if it is none; several solutions or none are not looked for."""

    @abstractmethod
    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers are right by the rules, whether or not they are the expected ones; bool (n,)."""

    @abstractmethod
    def answer_fault(self, question: np.ndarray, answer: np.ndarray) -> str:
        """Why an answer is wrong."""

    @abstractmethod
    def solve(self, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Answers (uint8 (n, rows, columns)), how many solutions each has (int64 (n,); 2 may stand for more), and ratings (int64
        (n,)), of questions."""

    @abstractmethod
    def canonical(self, boards: np.ndarray) -> np.ndarray:
        """Boards uint8 (n, rows, columns) that are equal when the given ones are equal up to symmetry."""

    @abstractmethod
    def generate(
        self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Callable[[int], object]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """New questions, answers and ratings, all different up to symmetry, none like one of `exclude`."""

    def _character_fault(self, board: np.ndarray) -> str | None:
        odd = np.argwhere(board >= self.values)
        return f"{_place(odd[0])} holds none of {' '.join(map(repr, self.characters))}" if len(odd) else None


class SudokuFamily(PuzzleFamily):
    """Sudoku: digits once in every row, column and box.  Values: 0 blank, then the digits."""

    transforms, difficulty = 2**40, "guesses"

    def __init__(self, side: int) -> None:
        self.boxes = sudoku.boxes_of(side)
        self.usual_count = 300 if side == _SMALLEST else USUAL_COUNT
        self.characters = "." + _DIGITS[:side]
        super().__init__(f"sudoku-{side}x{side}", (side, side), side + 1)

    def sample(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """A random symmetry for each key and number, but the identity for number 0.

        Args:
            keys: uint64 (n,).
            numbers: int64 (n,).
        """
        mixed = mix_columns(np.stack([keys, numbers.astype(np.uint64)], axis=1))
        table = sample_sudoku_transforms(mixed, (self.boxes.rows, self.boxes.columns))
        table[numbers == 0] = self.identity()
        return table

    def parse(self, text: str) -> np.ndarray:
        """The boards in the characters of n boards; 0 is a blank, too."""
        return super().parse(text.replace("0", "."))

    def are_questions(self, boards: np.ndarray) -> np.ndarray:
        """Which boards hold digits and blanks and keep the rules."""
        whole = (boards < self.values).all(axis=(1, 2))
        return whole & sudoku.keeps_rules(np.where(whole[:, None, None], boards, 0), self.boxes)

    def question_fault(self, board: np.ndarray) -> str | None:
        """Why a board is no question, if it is none."""
        return self._character_fault(board) or sudoku.describe_conflict(board, self.boxes)

    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers are full, keep the rules and every clue.

        Args:
            questions: uint8 (n, side, side).
            answers: the same.
        """
        return sudoku.is_solution(questions, answers, self.boxes)

    def answer_fault(self, question: np.ndarray, answer: np.ndarray) -> str:
        """Why an answer is wrong.

        Args:
            question: uint8 (side, side).
            answer: the same.
        """
        blank = np.argwhere((answer == 0) | (answer >= self.values))
        changed = np.argwhere((question > 0) & (answer != question))
        if len(blank):
            return f"the answer has no digit in {_place(blank[0])}"
        if len(changed):
            return f"the answer contradicts the question in {_place(changed[0])}"
        return f"the answer breaks the rules: {sudoku.describe_conflict(answer, self.boxes)}"

    def solve(self, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Solve questions; the rating is the number of guesses of `sudoku_solve.solve`."""
        solved = sudoku_solve.solve(questions, self.boxes)
        return solved.solutions, solved.counts, solved.guesses

    def canonical(self, boards: np.ndarray) -> np.ndarray:
        """See `sudoku_canonical.canonical`."""
        return sudoku_canonical.canonical(boards, self.boxes)

    def generate(
        self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Callable[[int], object]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """New puzzles with one solution each.

        Args:
            count: how many.
            seed: of what is drawn.
            easy: solvable without a guess; else minimal and hard; of 4 x 4 there are too few minimal ones, so all are easy.
            exclude: questions that none may be like.
            progress: called with the number made so far.
        """
        kind = "easy" if easy or self.shape[0] == _SMALLEST else "hard"
        made = sudoku_generate.generate(count, self.boxes, seed, kind=kind, exclude=exclude, progress=progress)
        return made.questions, made.answers, made.guesses


class MazeFamily(PuzzleFamily):
    """Mazes: the shortest path from S to G.  Values: 0 wall, 1 free, 2 S, 3 G, 4 path."""

    difficulty, characters = "moves", maze.CHARACTERS

    def __init__(self, side: int) -> None:
        if not 3 <= side <= BOARD:
            raise InputError(f"maze-{side}x{side}: mazes have 3 to {BOARD} rows")
        super().__init__(f"maze-{side}x{side}", (side, side), len(self.characters))
        self.symmetries = dihedral_table(self.shape, self.values)
        self.transforms = len(self.symmetries)

    def sample(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The symmetry of the square of each number.

        Args:
            keys: not used: there are no more than eight.
            numbers: int64 (n,).
        """
        return self.symmetries[numbers]

    def are_questions(self, boards: np.ndarray) -> np.ndarray:
        """Which boards hold walls, free cells, one S and one G."""
        return (boards < 4).all(axis=(1, 2)) & ((boards == 2).sum(axis=(1, 2)) == 1) & ((boards == 3).sum(axis=(1, 2)) == 1)

    def question_fault(self, board: np.ndarray) -> str | None:
        """Why a board is no question, if it is none."""
        return self._character_fault(board) or maze.find_fault(board)

    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers mark a shortest path, whichever.

        Args:
            questions: uint8 (n, side, side).
            answers: the same.
        """
        return maze.is_solution(questions, answers)

    def answer_fault(self, question: np.ndarray, answer: np.ndarray) -> str:
        """Why an answer is wrong.

        Args:
            question: uint8 (side, side).
            answer: the same.
        """
        return self._character_fault(answer) or str(maze.find_answer_fault(question, answer))

    def solve(self, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The path of Maze-Hard's rule; a maze counts as having one solution, or none; the rating is the moves of the path."""
        answers, moves = maze.label(questions)
        return answers, (moves >= 0).astype(np.int64), moves

    def canonical(self, boards: np.ndarray) -> np.ndarray:
        """See `maze.canonical`."""
        return maze.canonical(boards)

    def generate(
        self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Callable[[int], object]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """New mazes.

        Args:
            count: how many.
            seed: of what is drawn.
            easy: S and G at least half as far apart as in hard ones.
            exclude: mazes that none may be like.
            progress: called with the number made so far.
        """
        least = maze_generate.default_moves(self.shape[0])
        least = -(-least // 2) if easy else least
        made = maze_generate.generate(count, self.shape[0], seed, least_moves=least, exclude=exclude, progress=progress)
        return made.questions, made.answers, made.moves


@cache
def find_family(name: str) -> Family:
    """The family of a name, as `arc`, `sudoku-9x9` or `maze-30x30`.

    Raises:
        InputError: there is none.
    """
    match = _NAME.fullmatch(name)
    if name == ARC.name:
        return ARC
    if match is None or match[2] != match[3]:
        raise InputError(f"{name}: no such kind of puzzle; there are arc, sudoku-NxN and maze-NxN")
    return SudokuFamily(int(match[2])) if match[1] == "sudoku" else MazeFamily(int(match[2]))


def family_of(text: str, where: str) -> PuzzleFamily:
    """The family of a board in characters.

    Args:
        text: row by row.
        where: it stands, for the error.

    Raises:
        InputError: its length is no square, or no such board exists.
    """
    side = round(len(text) ** 0.5)
    of_maze = "#" in text or " " in text
    if side * side != len(text):
        raise InputError(f"{len(text)} characters are no square board (9 x 9 has 81, 30 x 30 has 900)", file=where)
    try:
        return find_family(f"{'maze' if of_maze else 'sudoku'}-{side}x{side}")
    except InputError as error:
        raise InputError(f"{error}", file=where) from None


@cache
def _decoder(characters: str) -> np.ndarray:
    """The value of every byte."""
    values = np.full(256, NO_VALUE, np.uint8)
    values[np.frombuffer(characters.encode(), np.uint8)] = np.arange(len(characters))
    return values


def _place(cell: np.ndarray) -> str:
    return f"row {cell[0] + 1}, column {cell[1] + 1}"
