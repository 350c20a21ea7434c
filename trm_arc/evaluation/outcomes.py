"""What became of every test input, sorted: solved at which attempt or how it was missed, and by what it can be told apart."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from augment import BOARD
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.task import Grid
from trm_arc.evaluation.puzzle_scores import puzzle_table, score_puzzles
from trm_arc.evaluation.results import Answered, Results, truths
from trm_arc.evaluation.score import CUTOFFS, Rate, rate, score, score_table
from trm_arc.inference.attempts import ATTEMPTS

# The concepts of ConceptARC, whose task ids are a concept and a number.
CONCEPTS = (
    "AboveBelow Center CleanUp CompleteShape Copy Count ExtendToBoundary ExtractObjects FilledNotFilled HorizontalVertical "
    "InsideOutside MoveToBoundary Order SameDifferent TopBottom2D TopBottom3D"
).split()
_SIDES = (5, 10, 15, 20, 25, BOARD)  # upper ends of the classes of size


class Outcome(StrEnum):
    """What became of a test input, the best first."""

    FIRST = "first"
    SECOND = "second"
    VALID = "valid"
    OUTVOTED = "outvoted"
    NEVER = "never"
    UNKNOWN = "unknown"


OUTCOME_TITLES = {
    Outcome.FIRST: "solved by the first attempt",
    Outcome.SECOND: "solved by the second attempt",
    Outcome.VALID: "another right answer than the expected one",
    Outcome.OUTVOTED: "right answer in the pool, but outvoted",
    Outcome.NEVER: "right answer never seen",
    Outcome.UNKNOWN: "right answer not known",
}
SOLVED = (Outcome.FIRST, Outcome.SECOND)


class Fault(StrEnum):
    """How a test input was missed, the nearest to right first."""

    RANK = "rank"
    VIEWS = "views"
    CELLS = "cells"
    SIZE = "size"
    SILENT = "silent"


FAULT_TITLES = {
    Fault.RANK: "right answer in the pool, given under every symmetry",
    Fault.VIEWS: "right answer in the pool, under some views only",
    Fault.CELLS: "right size, wrong cells",
    Fault.SIZE: "wrong size",
    Fault.SILENT: "no answer, only guesses",
}


class Verdict(NamedTuple):
    """How a test input did.

    Attributes:
        outcome: what became of it.
        fault: how it was missed; None where it was not, or where that is not known.
        cells: cells that differ from the truth in the nearest attempt of the right size (of puzzles the first answer is the one
            attempt); None if no attempt has that size.
        rank: place of the right answer among all, from 1; None if no view gave it.
        seen: views that gave the right answer.
        views: views that were looked at.
        ways: under how many of the orientations that were tried the right answer was given; 0 where they are not told apart.
        tried: how many orientations were tried.
    """

    outcome: Outcome
    fault: Fault | None
    cells: int | None
    rank: int | None
    seen: int
    views: int
    ways: int
    tried: int

    def describe(self) -> str:
        """How it was missed, in words; empty if it was not."""
        if self.fault in (Fault.RANK, Fault.VIEWS):
            under = f", under {self.ways} of {self.tried} symmetries" if self.tried > 1 else ""
            return f"right answer at rank {self.rank}, given by {self.seen} of {self.views} views{under}"
        if self.fault is Fault.CELLS:
            return f"right size, {self.cells} wrong cell{'s' if self.cells != 1 else ''}"
        return FAULT_TITLES[self.fault] if self.fault else ""


def judge_results(results: Results) -> list[Verdict]:
    """How every test input did, in order."""
    told = list(truths(results.tasks))
    if isinstance(results.tasks, PuzzleSet):
        judged = results.judged
        best = [
            Outcome.FIRST if exact else Outcome.VALID if valid else None
            for exact, valid in zip(judged.exact.tolist(), judged.valid.tolist(), strict=True)
        ]
        counted = [boards[:1] for boards in results.attempts]
    else:
        counted = [grids[: len(ATTEMPTS)] for grids in results.attempts]
        best = [_attempt(grids, truth) for grids, truth in zip(counted, told, strict=True)]
    rows = zip(best, results.answers, counted, told, strict=True)
    return [_judge(outcome, answered, attempts, truth) for outcome, answered, attempts, truth in rows]


def _attempt(attempts: list[Grid], truth: Grid | None) -> Outcome | None:
    """By which attempt it was solved."""
    if truth is None:
        return Outcome.UNKNOWN
    return next((SOLVED[n] for n, grid in enumerate(attempts) if np.array_equal(grid, truth)), None)


def _judge(outcome: Outcome | None, answered: Answered, attempts: list[Grid], truth: Grid | None) -> Verdict:
    right, told_apart = answered.right, len(answered.views) > 1
    tried = sum(count > 0 for count in answered.views) if told_apart else 0
    ways = sum(votes > 0 for votes in right.candidate.symmetry_votes) if told_apart and right else 0
    outcome = outcome or (Outcome.OUTVOTED if right else Outcome.NEVER)
    same = [] if truth is None else [grid for grid in attempts if grid.shape == truth.shape]
    cells = min((int((grid != truth).sum()) for grid in same), default=None)
    fault = None
    if outcome is Outcome.OUTVOTED:
        fault = Fault.RANK if 0 < tried == ways else Fault.VIEWS
    elif outcome is Outcome.NEVER:
        fault = Fault.SILENT if not answered.candidates else Fault.SIZE if cells is None else Fault.CELLS
    seen, rank = (right.candidate.votes, right.rank + 1) if right else (0, None)
    return Verdict(outcome, fault, cells, rank, seen, sum(answered.views), ways, tried)


def count_outcomes(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How often each outcome came about, the best first; those that did not are left out."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return {outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]}


def count_faults(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How often each kind of miss came about, the nearest to right first; those that did not are left out."""
    counts = Counter(verdict.fault for verdict in verdicts)
    return {fault.value: counts[fault] for fault in Fault if counts[fault]}


def fault_table(verdicts: Sequence[Verdict]) -> str:
    """The kinds of misses as text for a terminal, within 80 columns; empty if nothing was missed."""
    counts = count_faults(verdicts)
    lines = [f"  {count:5}  {FAULT_TITLES[Fault(fault)]}" for fault, count in counts.items()]
    return "\n".join([f"{sum(counts.values())} missed, by how:", *lines]) if lines else ""


def score_results(results: Results) -> tuple[dict[str, Any], str]:
    """The scores of an evaluation whose solutions are known: as plain values for JSON, and as text for a terminal.

    Args:
        results: what was answered.
    """
    verdicts = judge_results(results)
    sorted_out = {"outcomes": count_outcomes(verdicts), "misses": count_faults(verdicts)}
    if isinstance(results.tasks, PuzzleSet):
        scores, table = score_puzzles(results.judged), puzzle_table(results.judged)
    else:
        longest = max(answered.pool for answered in results.answers)
        cutoffs = tuple(k for k in CUTOFFS if k <= 2 or k <= longest)
        scores, table = score(results.places, cutoffs), score_table(results.places, cutoffs)
    return scores | sorted_out, "\n".join(filter(None, (table, fault_table(verdicts))))


def find_concept(task_id: str) -> str | None:
    """The concept of a task of ConceptARC, by its id; None for other tasks."""
    name = task_id.rpartition(":")[2].rstrip("'").rstrip("0123456789")
    return name if name in CONCEPTS else None


class Grouping(NamedTuple):
    """A way to tell test inputs apart.

    Attributes:
        name: of the property.
        labels: its classes, in order.
        members: int64 (outputs,), the class of each test input; -1: of none.
    """

    name: str
    labels: list[str]
    members: np.ndarray


def group_results(results: Results) -> list[Grouping]:
    """By what test inputs can be told apart: size and concept of ARC tasks, difficulty of puzzles."""
    tasks = results.tasks
    if isinstance(tasks, PuzzleSet):
        classes = list(results.judged.classes())
        members = np.full(len(tasks), -1)
        for number, (_, here) in enumerate(classes):
            members[here] = number
        return [Grouping("difficulty", [name for name, _ in classes], members)]
    pairs = [task.test[number] for task, number in tasks.tests]
    sides = [max(*pair.input.shape, *(pair.output.shape if pair.output is not None else ())) for pair in pairs]
    of_side = np.searchsorted(_SIDES, sides)
    lows = (1, *(side + 1 for side in _SIDES))
    groupings = [_compact("size", [f"{low} to {high} cells a side" for low, high in zip(lows, _SIDES, strict=False)], of_side)]
    concepts = [find_concept(task.id) for task, _ in tasks.tests]
    if any(concepts):
        of_concept = np.array([CONCEPTS.index(concept) if concept else -1 for concept in concepts])
        groupings.append(_compact("concept", CONCEPTS, of_concept))
    return groupings


def _compact(name: str, labels: list[str], members: np.ndarray) -> Grouping:
    """A grouping without the classes that have no members."""
    used, compact = np.unique(members[members >= 0], return_inverse=True)
    kept = np.full(len(members), -1)
    kept[members >= 0] = compact
    return Grouping(name, [labels[number] for number in used.tolist()], kept)


def rate_groups(grouping: Grouping, verdicts: Sequence[Verdict]) -> list[tuple[str, Rate]]:
    """The share of solved test inputs of each class, in order; those whose right answer is not known do not count.

    Args:
        grouping: the classes.
        verdicts: of every test input.
    """
    known = np.array([verdict.outcome is not Outcome.UNKNOWN for verdict in verdicts], bool)
    solved = np.array([verdict.outcome in SOLVED for verdict in verdicts], bool)
    rated = []
    for number, label in enumerate(grouping.labels):
        here = (grouping.members == number) & known
        if here.any():
            rated.append((label, rate(int(solved[here].sum()), int(here.sum()))))
    return rated
