"""The outcome of every test input: solved at which attempt, or how it was missed."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from trm_arc.data.domains import Grouping
from trm_arc.data.task import Grid
from trm_arc.evaluation.results import Results, TestResult
from trm_arc.evaluation.score import Rate, rate_tests


class Outcome(StrEnum):
    """The outcome of a test input, the best first."""

    FIRST = "first"
    SECOND = "second"
    VALID = "valid"
    OUTVOTED = "outvoted"
    NOT_GENERATED = "not_generated"
    UNKNOWN = "unknown"


OUTCOME_TITLES = {
    Outcome.FIRST: "solved by the first attempt",
    Outcome.SECOND: "solved by the second attempt",
    Outcome.VALID: "right, but not the expected answer",
    Outcome.OUTVOTED: "right answer in the pool, but outvoted",
    Outcome.NOT_GENERATED: "right answer not generated",
    Outcome.UNKNOWN: "right answer not known",
}
SOLVED = (Outcome.FIRST, Outcome.SECOND)


class Fault(StrEnum):
    """How a test input was missed, the nearest to right first."""

    RANK = "rank"
    ONLY_SOME_SYMMETRIES = "some_symmetries"
    CELLS = "cells"
    SIZE = "size"
    NO_PREDICTION = "no_prediction"


FAULT_TITLES = {
    Fault.RANK: "right answer in the pool, given under every symmetry",
    Fault.ONLY_SOME_SYMMETRIES: "right answer in the pool, under some symmetries only",
    Fault.CELLS: "right size, wrong cells",
    Fault.SIZE: "wrong size",
    Fault.NO_PREDICTION: "no answer, only guesses",
}


class TestOutcome(NamedTuple):
    """How a test input did.

    Attributes:
        outcome: solved at which attempt, or not.
        fault: how it was missed; None where it was not, or where that is not known.
        cells: cells that differ from the truth in the nearest attempt of the right size (of puzzles the first answer is the one
            attempt); None if no attempt has that size.
        rank: place of the right answer among all, from 1; None if no view gave it.
        seen: views that gave the right answer.
        views: views that were predicted.
        symmetries: number of tried orientations under which the right answer was given; 0 if views have no orientations.
        tried: how many orientations were tried.
    """

    __test__ = False  # else pytest would collect a class of this name

    outcome: Outcome
    fault: Fault | None
    cells: int | None
    rank: int | None
    seen: int
    views: int
    symmetries: int
    tried: int

    def describe(self) -> str:
        """How it was missed, in words; empty if it was not."""
        if self.fault in (Fault.RANK, Fault.ONLY_SOME_SYMMETRIES):
            under = f", under {self.symmetries} of {self.tried} symmetries" if self.tried > 1 else ""
            return f"right answer at rank {self.rank}, given by {self.seen} of {self.views} views{under}"
        if self.fault is Fault.CELLS:
            return f"right size, {self.cells} wrong cell{'s' if self.cells != 1 else ''}"
        return FAULT_TITLES[self.fault] if self.fault else ""


def score_tests(results: Results) -> list[TestOutcome]:
    """How every test input did, in order."""
    tasks = results.tasks
    valid = tasks.are_valid(results.attempts).tolist()
    rows = zip(results.answers, results.attempts, tasks.truths, valid, strict=True)
    return [_score(result, attempts[: tasks.domain.attempts], truth, right) for result, attempts, truth, right in rows]


def _score(result: TestResult, attempts: list[Grid], truth: Grid | None, valid: bool) -> TestOutcome:
    right, several = result.right, len(result.views) > 1
    tried = sum(count > 0 for count in result.views) if several else 0
    symmetries = sum(votes > 0 for votes in right.candidate.symmetry_votes) if several and right else 0
    outcome = _outcome(attempts, truth, valid, right is not None)
    same = [] if truth is None else [grid for grid in attempts if grid.shape == truth.shape]
    cells = min((int((grid != truth).sum()) for grid in same), default=None)
    fault = None
    if outcome is Outcome.OUTVOTED:
        fault = Fault.RANK if 0 < tried == symmetries else Fault.ONLY_SOME_SYMMETRIES
    elif outcome is Outcome.NOT_GENERATED:
        fault = Fault.NO_PREDICTION if not result.candidates else Fault.SIZE if cells is None else Fault.CELLS
    seen, rank = (right.candidate.votes, right.rank + 1) if right else (0, None)
    return TestOutcome(outcome, fault, cells, rank, seen, sum(result.views), symmetries, tried)


def _outcome(attempts: list[Grid], truth: Grid | None, valid: bool, in_pool: bool) -> Outcome:
    """The outcome of a test input: by which attempt it was solved, or whether some view gave the right answer."""
    if truth is None:
        return Outcome.UNKNOWN
    solved = next((SOLVED[n] for n, grid in enumerate(attempts) if np.array_equal(grid, truth)), None)
    return solved or (Outcome.VALID if valid else Outcome.OUTVOTED if in_pool else Outcome.NOT_GENERATED)


def count_outcomes(outcomes: Sequence[TestOutcome]) -> dict[str, int]:
    """The count of each outcome that occurred, the best first."""
    counts = Counter(outcome.outcome for outcome in outcomes)
    return {outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]}


def count_faults(outcomes: Sequence[TestOutcome]) -> dict[str, int]:
    """The count of each kind of miss that occurred, the nearest to right first."""
    counts = Counter(outcome.fault for outcome in outcomes)
    return {fault.value: counts[fault] for fault in Fault if counts[fault]}


def fault_table(outcomes: Sequence[TestOutcome]) -> str:
    """The kinds of misses as text for a terminal, within 80 columns; empty if nothing was missed."""
    counts = count_faults(outcomes)
    lines = [f"  {count:5}  {FAULT_TITLES[Fault(fault)]}" for fault, count in counts.items()]
    return "\n".join([f"{sum(counts.values())} missed, by kind:", *lines]) if lines else ""


def score_results(results: Results) -> tuple[dict[str, Any], str]:
    """The scores of an evaluation whose solutions are known: as plain values for JSON, and as text for a terminal."""
    outcomes = score_tests(results)
    counts = {"outcomes": count_outcomes(outcomes), "misses": count_faults(outcomes)}
    return results.scores.document() | counts, "\n".join(filter(None, (results.scores.table(), fault_table(outcomes))))


def rate_groups(grouping: Grouping, outcomes: Sequence[TestOutcome], owners: Sequence[str | None]) -> list[tuple[str, Rate]]:
    """The share of solved test inputs of each class, in order; those whose right answer is not known do not count.

    Args:
        owners: the task of each test input, or None.
    """
    known = np.array([outcome.outcome is not Outcome.UNKNOWN for outcome in outcomes], bool)
    solved = np.array([outcome.outcome in SOLVED for outcome in outcomes], bool)
    rated = []
    for number, label in enumerate(grouping.labels):
        here = (grouping.members == number) & known
        if here.any():
            rated.append((label, rate_tests(solved[here], [owners[number] for number in np.flatnonzero(here)])))
    return rated
