"""Scores of puzzles, named: the expected answer, a right answer, right cells; by difficulty."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trm_arc.data.domains.board import NO_VALUE
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.evaluation.score import CONFIDENCE, Rate, rate
from trm_arc.inference.votes import Candidate

# Upper ends of the classes of difficulty: guesses of Sudoku; mazes are sorted by quarters of their moves.
_GUESSES = (0, 5, 20, 50)
_KINDS = ("exact", "valid")
_MEANING = {
    "exact": "the expected answer, cell by cell",
    "valid": "a right answer by the rules, whichever",
    "cell": "cells that are right",
}


@dataclass(frozen=True, eq=False)
class Verdicts:
    """How each answer did.

    Attributes:
        puzzles: what was asked.
        boards: uint8 (n, rows, columns), the answers.
        exact: bool (n,), the expected answer.
        valid: bool (n,), right by the rules: of mazes any shortest path.
        cells: float64 (n,), share of right cells.
    """

    puzzles: PuzzleSet
    boards: np.ndarray
    exact: np.ndarray
    valid: np.ndarray
    cells: np.ndarray

    def means(self) -> dict[str, float]:
        """The three scores, by other names than those of training's own metrics."""
        means = (float(scores.mean()) for scores in (self.exact, self.valid, self.cells))
        return dict(zip((self.puzzles.domain.measure, "valid answers", "right cells"), means, strict=True))

    def rate(self, kind: str, here: np.ndarray | slice = slice(None)) -> Rate:
        """The share of right answers.

        Args:
            kind: "exact" or "valid".
            here: which puzzles count, bool (n,); all if left out.
        """
        right = getattr(self, kind)[here]
        return rate(int(right.sum()), len(right))

    def classes(self) -> Iterator[tuple[str, np.ndarray]]:
        """Classes of difficulty, each with its puzzles (bool (n,)); those without any are left out."""
        ratings, what = self.puzzles.ratings, self.puzzles.domain.difficulty
        of_sudoku = what == "guesses"
        ends = _GUESSES if of_sudoku else np.unique(np.quantile(ratings, (0.25, 0.5, 0.75)).astype(int)).tolist()
        lowest = int(ratings.min())
        highest = int(ratings.max())
        for low, high in zip((lowest - 1, *ends), (*ends, highest), strict=True):
            here = (ratings > low) & (ratings <= high)
            if here.any():
                first, high = max(low + 1, lowest), min(high, highest)
                yield f"{first} {what}" if first == high else f"{first} to {high} {what}", here


def judge(puzzles: PuzzleSet, answers: list[list[Candidate]]) -> Verdicts:
    """Judge the first candidate for each puzzle.

    Args:
        puzzles: with their answers.
        answers: candidates of each, best first; a puzzle without any is wrong.
    """
    nothing = np.full(puzzles.domain.shape, NO_VALUE, np.uint8)
    boards = np.stack([ranked[0].grid if ranked else nothing for ranked in answers])
    right = boards == puzzles.answers
    valid = puzzles.domain.are_solutions(puzzles.questions, boards)
    return Verdicts(puzzles, boards, right.all(axis=(1, 2)), valid, right.mean(axis=(1, 2)))


def score_puzzles(verdicts: Verdicts) -> dict[str, Any]:
    """All scores as plain values, for JSON.

    Args:
        verdicts: from `judge`.
    """
    return {
        "puzzles": len(verdicts.exact),
        "domain": verdicts.puzzles.domain.name,
        "confidence": CONFIDENCE,
        **{kind: asdict(verdicts.rate(kind)) for kind in _KINDS},
        "cell": float(verdicts.cells.mean()),
        "by_difficulty": [
            {"class": name, **{kind: asdict(verdicts.rate(kind, here)) for kind in _KINDS}} for name, here in verdicts.classes()
        ],
    }


def puzzle_table(verdicts: Verdicts) -> str:
    """The scores as text for a terminal, within 80 columns.

    Args:
        verdicts: from `judge`.
    """
    lines = []
    for kind in _KINDS:
        lines += [f"{kind}, {_MEANING[kind]}:", f"  {'all':22}{verdicts.rate(kind)}"]
    lines.append("exact, by difficulty:")
    for name, here in verdicts.classes():
        lines.append(f"  {name:22}{verdicts.rate('exact', here)}")
    lines.append(f"{_MEANING['cell']}: {100 * verdicts.cells.mean():.2f} %")
    return "\n".join(lines)
