"""Scores of puzzles, named: the expected answer, a right answer, right cells; by difficulty."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.task import Grid
from trm_arc.evaluation.score import CONFIDENCE, Headline, Rate, Scores, rate

_KINDS = ("exact", "valid")
_MEANING = {
    "exact": "the expected answer, cell by cell",
    "valid": "any answer that is right by the rules",
    "cell": "cells that are right",
}


@dataclass(frozen=True, eq=False, repr=False)
class PuzzleScores(Scores):
    """How each first answer did.

    Attributes:
        puzzles: what was asked.
        exact: bool (n,), the expected answer.
        valid: bool (n,), right by the rules: of mazes any shortest path.
        cells: float64 (n,), share of right cells.
    """

    puzzles: PuzzleSet
    exact: np.ndarray
    valid: np.ndarray
    cells: np.ndarray

    pool_meaning = "by at least one view"

    @classmethod
    def of(cls, puzzles: PuzzleSet, answers: list[list[Grid]]) -> "PuzzleScores":
        """Score the first answer to each puzzle; a puzzle without any is wrong."""
        right = puzzles.first_boards(answers) == puzzles.answers
        return cls(puzzles, right.all(axis=(1, 2)), puzzles.are_valid(answers), right.mean(axis=(1, 2)))

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
        """Classes of difficulty, each with its puzzles (bool (n,))."""
        [grouping] = self.puzzles.domain.group_tests(self.puzzles)
        for number, label in enumerate(grouping.labels):
            yield label, grouping.members == number

    def headline(self) -> list[Headline]:
        """The scores that matter most."""
        return [
            Headline("exact", self.rate("exact"), "The expected answer, cell by cell."),
            Headline("valid", self.rate("valid"), "Any answer that is right by the rules."),
        ]

    def document(self) -> dict[str, Any]:
        """All scores as plain values, for JSON."""
        return {
            "puzzles": len(self.exact),
            "domain": self.puzzles.domain.name,
            "confidence": CONFIDENCE,
            **{kind: asdict(self.rate(kind)) for kind in _KINDS},
            "cell": float(self.cells.mean()),
            "by_difficulty": [
                {"class": name, **{kind: asdict(self.rate(kind, here)) for kind in _KINDS}} for name, here in self.classes()
            ],
        }

    def table(self) -> str:
        """The scores as text for a terminal, within 80 columns."""
        lines = []
        for kind in _KINDS:
            lines += [f"{kind}, {_MEANING[kind]}:", f"  {'all':22}{self.rate(kind)}"]
        lines.append("exact, by difficulty:")
        for name, here in self.classes():
            lines.append(f"  {name:22}{self.rate('exact', here)}")
        lines.append(f"{_MEANING['cell']}: {100 * self.cells.mean():.2f} %")
        return "\n".join(lines)
