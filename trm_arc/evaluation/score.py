"""Scores, named: the ARC Prize's mean over test outputs, and the original code's mean over tasks.  Never mix the two."""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

from trm_arc.data.task import Grid

CUTOFFS = (1, 2, 5, 10, 100, 1000)  # those of the original
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share of successes, with a binomial (Wilson) interval at 95 percent.

    Attributes:
        value: from 0 to 1.
        solved: successes; fractional for a mean over tasks, some of which are solved in part.
        trials: of how many.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    solved: float
    trials: int
    low: float
    high: float

    def __str__(self) -> str:
        interval = f"{100 * self.low:.1f} to {100 * self.high:.1f}"
        return f"{100 * self.value:5.1f} %  ({self.solved:.6g} of {self.trials}; 95 % interval {interval})"


def rate(solved: float, trials: int) -> Rate:
    """The rate of `solved` of `trials` with its Wilson interval.

    Source: Wilson, "Probable inference", JASA 1927.  For a fractional count it is conservative, as a mean of fractions varies
    less than one of zeros and ones.

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError("at least one trial is needed")
    share, z = solved / trials, float(ndtri(0.5 + CONFIDENCE / 2))
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Rate(share, solved, trials, max(0.0, centre - half), min(1.0, centre + half))


class Headline(NamedTuple):
    """A score that matters: its name, its rate, and what it says."""

    name: str
    rate: Rate
    meaning: str


def ranks(truths: list[list[Grid]], ranked: list[list[Grid]]) -> list[list[int | None]]:
    """For every task and test output, the place (from 0) of the right answer among the candidates; None if it is not there.

    Args:
        truths: the right outputs of every task.
        ranked: for every test input of every task, in order, its candidates, best first.
    """
    tests = iter(ranked)
    return [[_place(next(tests), truth) for truth in task] for task in truths]


def _place(candidates: list[Grid], truth: Grid) -> int | None:
    return next((number for number, grid in enumerate(candidates) if np.array_equal(grid, truth)), None)


def pass_at(places: list[list[int | None]], cutoff: int) -> tuple[Rate, Rate]:
    """pass@`cutoff`: per test output (the ARC Prize score at 2), and as the mean over tasks of the solved fraction (the
    original's `ARC/pass@K`).
    """
    solved = [[place is not None and place < cutoff for place in task] for task in places]
    outputs = sum(map(len, solved))
    return rate(sum(map(sum, solved)), outputs), rate(sum(sum(task) / len(task) for task in solved), len(solved))


def score(places: list[list[int | None]], cutoffs: tuple[int, ...]) -> dict[str, Any]:
    """All scores as plain values, for JSON."""
    both = {cutoff: pass_at(places, cutoff) for cutoff in cutoffs}
    return {
        "tasks": len(places),
        "outputs": sum(map(len, places)),
        "confidence": CONFIDENCE,
        "per_output": {f"pass@{k}": asdict(per_output) for k, (per_output, _) in both.items()},
        "per_task_mean": {f"pass@{k}": asdict(per_task) for k, (_, per_task) in both.items()},
    }


def score_table(places: list[list[int | None]], cutoffs: tuple[int, ...]) -> str:
    """The scores as text for a terminal, within 80 columns."""
    both = {cutoff: pass_at(places, cutoff) for cutoff in cutoffs}
    lines = ["per test output (pass@2 is the ARC Prize score):"]
    lines += [f"  pass@{k:<5}{per_output}" for k, (per_output, _) in both.items()]
    lines += ["mean over tasks of the solved fraction (ARC/pass@K of the original):"]
    lines += [f"  pass@{k:<5}{per_task}" for k, (_, per_task) in both.items()]
    return "\n".join(lines)


@dataclass(frozen=True)
class PassScores:
    """Scores of tasks by two attempts a test input.

    Attributes:
        measure: what pass@2 of outputs is called among the metrics of training.
        places: from `ranks`.
        longest: candidates of a test input at most.
    """

    measure: str
    places: list[list[int | None]]
    longest: int

    pool_meaning = "by at least one view (or guess), at any rank: the score of a perfect selection"

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """The cutoffs that are meaningful for this number of candidates."""
        return tuple(k for k in CUTOFFS if k <= 2 or k <= self.longest)

    def means(self) -> dict[str, float]:
        """The scores, the domain's measure first."""
        per_output, per_task = pass_at(self.places, 2)
        return {self.measure: per_output.value, "pass@2 of tasks": per_task.value}

    def headline(self) -> list[Headline]:
        """The scores that matter most."""
        (first, _), (second, of_tasks) = pass_at(self.places, 1), pass_at(self.places, 2)
        share = "The solved share of a task's test outputs, averaged over tasks, as in the paper."
        return [
            Headline("pass@2", second, "Test outputs that one of the two attempts gets right: the ARC Prize score."),
            Headline("pass@1", first, "Test outputs that the first attempt gets right."),
            Headline("pass@2 of tasks", of_tasks, share),
        ]

    def document(self) -> dict[str, Any]:
        """All scores as plain values, for JSON."""
        return score(self.places, self.cutoffs)

    def table(self) -> str:
        """The scores as text for a terminal, within 80 columns."""
        return score_table(self.places, self.cutoffs)
