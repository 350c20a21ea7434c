"""The answer to one test input, as a notebook shows it: what was asked, the attempts, the candidates with their votes."""

from dataclasses import dataclass

import numpy as np

from trm_arc.data.domains import Domain
from trm_arc.data.pictures import render_section, render_titled
from trm_arc.data.task import Grid
from trm_arc.inference.votes import Candidate

SHOWN = 6  # candidates of a test input in a notebook


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to one test input.

    Attributes:
        name: of the test input: its task and, where there are several, its number; of a puzzle its row.
        domain: the kind of puzzle.
        question: uint8 (rows, columns), the test input.
        candidates: distinct answers, best first, each with its votes; the ten best at most.
        attempts: what counts as answered, best first: the candidates, of ARC filled up to two with guesses.
        views: how many views voted.
        distinct: how many distinct answers they gave.
        truth: uint8 (rows, columns), the right answer; None where it is not known.
    """

    name: str
    domain: Domain
    question: Grid
    candidates: list[Candidate]
    attempts: list[Grid]
    views: int
    distinct: int
    truth: Grid | None

    def __repr__(self) -> str:
        votes = f"{self.candidates[0].votes} of {self.views} views" if self.candidates else "no view"
        return f"<Answer to {self.name}: {votes} for the first of {self.distinct}{self.describe()}>"

    @property
    def solved_by(self) -> int | None:
        """The attempt that is right, from 1; None where none is, or where the right answer is not known."""
        tried = self.attempts[: self.domain.attempts] if self.truth is not None else []
        return next((place for place, grid in enumerate(tried, 1) if np.array_equal(grid, self.truth)), None)

    def describe(self) -> str:
        """Whether it is right, in words that follow a name; empty where that is not known."""
        if self.truth is None:
            return ""
        if self.solved_by is None:
            return ": not solved"
        return f": solved by attempt {self.solved_by}" if self.domain.attempts > 1 else ": solved"

    def _repr_html_(self) -> str:
        figures = [self._draw(f"{one.votes} of {self.views} votes", one.grid) for one in self.candidates[:SHOWN]]
        more = f"{self.distinct - SHOWN} more distinct answers" if self.distinct > SHOWN else ""
        return render_section(f"{self.name}{self.describe()}", self._around(figures), more)

    def render_attempts(self) -> str:
        """The test input, the attempts that count and the truth, as HTML."""
        figures = []
        for place, grid in enumerate(self.attempts[: self.domain.attempts]):
            votes = f"{self.candidates[place].votes} votes" if place < len(self.candidates) else "a guess"
            title = f"attempt {place + 1}" if self.domain.attempts > 1 else "answer"
            figures.append(self._draw(f"{title}, {votes}", grid))
        return render_section(f"{self.name}{self.describe()}", self._around(figures))

    def _around(self, figures: list[str]) -> list[str]:
        drawing = self.domain.drawing
        truth = [render_titled("truth", self.truth, drawing, question=self.question)] if self.truth is not None else []
        return [render_titled("input", self.question, drawing), *figures, *truth]

    def _draw(self, title: str, grid: Grid) -> str:
        return render_titled(title, grid, self.domain.drawing, question=self.question, truth=self.truth)
