"""A trained network in Python, for a notebook or a program of your own.

    import trm_arc
    trm_arc.load("sudoku-extreme").solve("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79")

What it answers is what `python -m trm_arc.solve` prints.
"""

import sys
from dataclasses import dataclass

import numpy as np

from trm_arc.common.device import Device, find_device
from trm_arc.common.errors import InputError, require_least
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_text import read_question
from trm_arc.inference.answer import answer_first, make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.export import load_newest
from trm_arc.model.locate import locate


@dataclass(frozen=True, eq=False)
class Solution:
    """A network's answer to a puzzle.  As text, it is the board in characters, row by row.

    Attributes:
        domain: the kind of puzzle.
        question: uint8 (rows, columns); of Sudoku the digits, 0 for a blank.
        answer: uint8 (rows, columns).
        is_right: whether it obeys the rules.
        sure: the network's own probability that it is exact, from 0 to 1.
        votes: how many views gave it.
        views: of how many.
    """

    domain: BoardDomain
    question: np.ndarray
    answer: np.ndarray
    is_right: bool
    sure: float
    votes: int
    views: int

    def __str__(self) -> str:
        return self.domain.format_text(self.answer)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network that answers puzzles.  Made by `load`.

    Attributes:
        checkpoint: its weights and settings.
        device: where it computes.
    """

    checkpoint: Checkpoint
    device: Device

    def __repr__(self) -> str:
        return f"<Network for {self.checkpoint.domain.title}, step {self.checkpoint.step}, {self.checkpoint.where}>"

    def solve(self, puzzle: str | np.ndarray, *, views: int = 1, steps: int | None = None) -> Solution:
        """Answer a Sudoku or a maze.

        Args:
            puzzle: as `python -m trm_arc.solve` takes it: a text, or the path of a file; or its values, uint8 (rows, columns).
            views: symmetries under which it is answered at most; they vote.
            steps: supervision steps; None: as many as the network's settings say.

        Raises:
            InputError: not a puzzle, or not one that the network answers.
        """
        require_least("views", views)
        domain = self.checkpoint.domain
        if domain.shape is None:
            raise InputError(f"answers {domain.title}, which are no boards", file=self.checkpoint.where)
        if isinstance(puzzle, str):
            found, question = read_question(puzzle)
            self.checkpoint.require_domain(found, "the puzzle")
        else:
            question = np.asarray(puzzle)
            whole = question.shape == domain.shape and np.issubdtype(question.dtype, np.integer)
            if not whole or question.min() < 0 or question.max() >= domain.values:
                rows, columns = domain.shape
                raise InputError(f"{domain.title} have {rows} x {columns} whole numbers from 0 to {domain.values - 1}")
            question = question.astype(np.uint8)
            if fault := domain.question_fault(question):
                raise InputError(f"the puzzle: {fault}")
        one = np.zeros(1, np.int64)
        puzzles = PuzzleSet("the puzzle", domain, question[None], question[None], one, one + 1)  # its answer is not read
        predictor, _ = make_predictor(self.checkpoint, puzzles, self.device, InferenceConfig(steps=steps))
        best, asked = answer_first(predictor, views)
        right = bool(domain.are_solutions(question[None], best.grid[None])[0])
        return Solution(domain, question, best.grid, right, best.halting, best.votes, asked)


def load(name: str, *, device: str = "auto", precision: str = "auto") -> Network:
    """Load a trained network.

    Args:
        name: a checkpoint, a run's folder, `hf://OWNER/NAME`, or the name of a network that comes with the kit.
        device: "auto", "cpu", or the name of an accelerator.
        precision: "auto", or one of those of the commands.

    Raises:
        InputError: there is no such model, or no such device.
    """
    checkpoint = load_newest(locate(str(name), lambda line: print(line, file=sys.stderr)))
    return Network(checkpoint, find_device(device, precision))
