"""Mazes: the shortest path from S to G."""

import numpy as np

from augment import BOARD, dihedral_table
from trm_arc.common.errors import InputError
from trm_arc.data.domains import Drawing, register_domain
from trm_arc.data.domains.board import BoardDomain, Generate, Made, Progress
from trm_arc.puzzles.maze import generate as maze_generate
from trm_arc.puzzles.maze import rules as maze
from trm_arc.puzzles.maze.kernels import SIDE


class MazeDomain(BoardDomain):
    """Mazes.  Values: 0 wall, 1 free, 2 S, 3 G, 4 path."""

    difficulty = "moves"

    def __init__(self, side: int) -> None:
        if not 3 <= side <= BOARD:
            raise InputError(f"maze-{side}x{side}: mazes have 3 to {BOARD} rows")
        super().__init__(f"maze-{side}x{side}", (side, side), maze.CHARACTERS, Drawing("maze", maze.CHARACTERS))
        self.symmetries = dihedral_table(self.shape, self.values)
        self.transforms = len(self.symmetries)

    def check_generated(self) -> None:
        """See `BoardDomain.check_generated`."""
        if not maze_generate.LEAST_SIDE <= self.shape[0] <= SIDE:
            raise InputError(f"{self.name}: generated mazes have a side of {maze_generate.LEAST_SIDE} to {SIDE}")

    def sample(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The symmetry of the square of each number; there are no more than eight, so keys are not used."""
        return self.symmetries[numbers]

    def are_questions(self, boards: np.ndarray) -> np.ndarray:
        """Which boards hold walls, free cells, one S and one G."""
        return (boards < 4).all(axis=(1, 2)) & ((boards == 2).sum(axis=(1, 2)) == 1) & ((boards == 3).sum(axis=(1, 2)) == 1)

    def question_fault(self, board: np.ndarray) -> str | None:
        """Why a board is not a question; None if it is one."""
        return self.character_fault(board) or maze.find_fault(board)

    def are_solutions(self, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """Which answers mark a shortest path, any of them."""
        return maze.is_solution(questions, answers)

    def answer_fault(self, question: np.ndarray, answer: np.ndarray) -> str:
        """Why an answer is wrong."""
        return self.character_fault(answer) or str(maze.find_answer_fault(question, answer))

    def solve(self, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The path of Maze-Hard's rule; a maze counts as having one solution, or none; the rating is the moves of the path."""
        answers, moves = maze.label(questions)
        return answers, (moves >= 0).astype(np.int64), moves

    def canonical(self, boards: np.ndarray) -> np.ndarray:
        """See `maze.canonical`."""
        return maze.canonical(boards)

    def generate(
        self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Progress
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """New mazes; in easy ones S and G are at least half as far apart as in hard ones."""
        least = maze_generate.default_moves(self.shape[0])
        least = -(-least // 2) if easy else least
        made = maze_generate.generate(count, self.shape[0], seed, least_moves=least, exclude=exclude, progress=progress)
        return made.questions, made.answers, made.moves

    def choose_generator(self, *, unique: bool) -> Generate:
        """See `BoardDomain.choose_generator`; unique mazes have one path from S to G."""
        if not unique:
            return super().choose_generator(unique=False)
        maze_generate.check_unique_side(self.shape[0])
        return self._generate_unique

    def _generate_unique(self, count: int, seed: int, easy: bool, exclude: np.ndarray | None, progress: Progress) -> Made:
        from trm_arc.puzzles.maze.unique import generate_unique  # imports scipy's graphs, which takes 0.4 s

        made = generate_unique(count, self.shape[0], seed, easy=easy, exclude=exclude, progress=progress)
        return made.questions, made.answers, made.moves


register_domain("maze", MazeDomain, lambda board: not {"#", " "}.isdisjoint(board) and set("123456789").isdisjoint(board))
