"""What the page of a report shows, as plain values: scores, classes, misses, and every test input with its grids."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trm_arc.common.errors import InputError
from trm_arc.data.domains import Grouping
from trm_arc.data.task import Grid
from trm_arc.evaluation.compare import Comparison, compare
from trm_arc.evaluation.outcomes import (
    FAULT_TITLES,
    OUTCOME_TITLES,
    SOLVED,
    Fault,
    Outcome,
    TestOutcome,
    count_faults,
    count_outcomes,
    rate_groups,
    score_tests,
)
from trm_arc.evaluation.results import Results, TestResult
from trm_arc.evaluation.score import Headline, rate_tests
from trm_arc.evaluation.traces import Trace
from trm_arc.report.grids import encode

# Characters of a page, and test inputs in its table; those beyond are counted, but not listed.
ROOM, MOST = 9_000_000, 2000
_ROW = 1200  # characters of a test input besides its grids: its row of the table, names, votes
_FACTS = {
    "checkpoint": "checkpoint",
    "step": "training step",
    "data": "answered",
    "views": "views of a test input at most",
    "checkpoints": "checkpoints that vote",
    "supervision_steps": "supervision steps per view",
    "rollouts": "rollouts of a view",
}
_SEVERAL = ("checkpoints that vote", "rollouts of a view")  # shown if there are several
# Upper ends of the classes of wrong cells and of ranks.
_CELLS, _RANKS = (1, 5, 20), (2, 5, 10, 100)


def format_facts(results: Results) -> list[tuple[str, str]]:
    """How the answers were made: names and values."""
    known = results.metadata.document()
    facts = [(title, known[key]) for key, title in _FACTS.items() if key in known]
    if (alone := results.metadata.one_step_score) is not None:
        facts.append(("score of one supervision step alone", f"{100 * alone:.1f} %"))
    facts = [(title, value) for title, value in facts if value != 1 or title not in _SEVERAL]
    return [(title, f"{value:,.4g}" if isinstance(value, float) else str(value)) for title, value in facts]


def list_headlines(results: Results, tests: Sequence[TestOutcome]) -> list[Headline]:
    """The scores that matter most; none where no solutions are known."""
    if not results.tasks.has_solutions:
        return []
    solved = np.array([test.rank is not None or test.outcome in SOLVED for test in tests], bool)
    meaning = f"The right answer was given {results.scores.pool_meaning}."
    return [*results.scores.headline(), Headline("in the pool", rate_tests(solved, results.tasks.owners), meaning)]


def list_outcomes(tests: Sequence[TestOutcome]) -> list[dict[str, Any]]:
    """Every outcome that occurred: key, title, count."""
    return [{"key": key, "title": OUTCOME_TITLES[Outcome(key)], "count": n} for key, n in count_outcomes(tests).items()]


def list_misses(tests: Sequence[TestOutcome]) -> list[dict[str, Any]]:
    """Every kind of miss that occurred: key, title, count, and the counts of its classes of wrong cells or ranks."""
    shown = []
    for key, count in count_faults(tests).items():
        fault = Fault(key)
        here = [test for test in tests if test.fault is fault]
        parts: list[tuple[str, int]] = []
        if fault is Fault.CELLS:
            parts = _classes([test.cells for test in here], _CELLS, "wrong cell")
        elif fault in (Fault.RANK, Fault.ONLY_SOME_SYMMETRIES):
            parts = [(f"rank {name}", n) for name, n in _classes([test.rank for test in here], _RANKS, "")]
        shown.append({"key": key, "title": FAULT_TITLES[fault], "count": count, "parts": parts})
    return shown


def _classes(numbers: Sequence[int | None], ends: Sequence[int], unit: str) -> list[tuple[str, int]]:
    """Counts of the classes up to each end, and beyond the last; those without any are left out."""
    counts = Counter(np.searchsorted(ends, np.array(numbers, np.int64)).tolist())
    lows = (1, *(end + 1 for end in ends))
    names = [str(end) if low == end else f"{low} to {end}" for low, end in zip(lows, ends, strict=False)]
    names.append(f"{lows[-1]} or more")
    units = [unit and f" {unit}{'' if name == '1' else 's'}" for name in names]
    return [(names[at] + units[at], counts[at]) for at in range(len(names)) if counts[at]]


def list_groups(results: Results, groupings: Sequence[Grouping], tests: Sequence[TestOutcome]) -> list[dict[str, Any]]:
    """Every grouping of test inputs: its name, and number, name, size and rate of each class."""
    shown = []
    for grouping in groupings:
        rates = dict(rate_groups(grouping, tests, results.tasks.owners))
        sizes = Counter(grouping.members.tolist())
        classes = [
            {"number": number, "name": label, "count": sizes[number], "rate": rates.get(label)}
            for number, label in enumerate(grouping.labels)
        ]
        shown.append({"name": grouping.name, "classes": classes})
    return shown


class Contents:
    """An evaluation, ready to be shown.

    Args:
        room: characters that test inputs may take.
    """

    def __init__(self, results: Results, room: int = ROOM) -> None:
        self.results, self.outcomes = results, score_tests(results)
        self.names, self.groupings = results.tasks.names, results.tasks.domain.group_tests(results.tasks)
        self.truths = results.tasks.truths
        self.shown = self._count_shown(room)

    def _count_shown(self, room: int) -> int:
        """How many test inputs there is room for."""
        for number, size in enumerate(self._sizes()):
            room -= size + _ROW
            if room < 0 or number == MOST:
                return number
        return len(self.names)

    def _sizes(self) -> Iterator[int]:
        """Characters that each test input takes, all its grids together."""
        for beside, grids in zip(self.results.tasks.shown_cells, self.results.grids, strict=True):
            yield beside + sum(grid.size for grid in grids)

    def rows(self) -> list[dict[str, Any]]:
        """A row of the table for each test input that is shown."""
        rows = []
        for number in range(self.shown):
            test, answered = self.outcomes[number], self.results.answers[number]
            first = answered.candidates[0] if answered.candidates else None
            rows.append(
                {
                    "name": self.names[number],
                    "outcome": test.outcome.value,
                    "order": list(Outcome).index(test.outcome),
                    "title": OUTCOME_TITLES[test.outcome],
                    "fault": test.fault.value if test.fault else "",
                    "missed": test.describe(),
                    "nearness": _nearness(test),
                    "votes": first.votes if first else 0,
                    "views": test.views,
                    "halting": first.halting if first else None,
                    "groups": [int(grouping.members[number]) for grouping in self.groupings],
                    "labels": [_label(grouping, number) for grouping in self.groupings],
                }
            )
        return rows

    def data(self) -> dict[str, Any]:
        """What the page's program draws: boards of the tests that are shown, and the demonstrations of their tasks."""
        tasks, drawing = self.results.tasks, self.results.tasks.domain.drawing
        owners, shown = tasks.owners[: self.shown], set(tasks.owners[: self.shown])
        data: dict[str, Any] = {
            "orientations": list(tasks.domain.orientations),
            "style": drawing.style,
            "characters": drawing.characters,
            "box": drawing.box,
            "attempts": tasks.domain.attempts,
            "demonstrations": {
                name: [[encode(pair.input), encode(pair.output)] for pair in pairs]
                for name, pairs in tasks.demonstrations.items()
                if name in shown
            },
        }
        inputs = tasks.questions[: self.shown]
        data["tests"] = [self._test(n, grid, owner) for n, (grid, owner) in enumerate(zip(inputs, owners, strict=True))]
        return data

    def _test(self, number: int, question: Grid, owner: str | None) -> dict[str, Any]:
        answered, truth = self.results.answers[number], self.truths[number]
        listed = len(answered.candidates)
        # attempts that are candidates need not be repeated
        guesses = [encode(grid) for grid in self.results.attempts[number][listed:]]
        return {
            "name": self.names[number],
            "task": owner,
            "input": encode(question),
            "truth": None if truth is None else encode(truth),
            "candidates": [_candidate(answered, rank) for rank in range(listed)],
            "guesses": guesses,
            "views": answered.views,
            "pool": answered.pool,
            "beyond": _beyond(answered),
            "missed": self.outcomes[number].describe(),
            "outcome": OUTCOME_TITLES[self.outcomes[number].outcome],
        }

    def traces(self, traces: Sequence[Trace]) -> list[dict[str, Any]]:
        """The refinement traces: the test input's number, and its frames.

        Args:
            traces: of any test inputs; those that the page does not show are left out.
        """
        numbers = {name: number for number, name in enumerate(self.names[: self.shown])}
        return [
            {
                "test": numbers[one.name],
                "name": one.name,
                "outcome": OUTCOME_TITLES[self.outcomes[numbers[one.name]].outcome],
                "frames": [[f.step, f.cycle, int(f.last), round(f.halting, 4), encode(f.grid)] for f in one.frames],
            }
            for one in traces
            if one.name in numbers
        ]

    def compared(self, other: Results, name: str) -> dict[str, Any]:
        """A comparison with another evaluation, in which this one is the newer; or why there is none."""
        try:
            comparison: Comparison = compare(other, self.results)
        except InputError as error:
            return {"name": name, "it": None, "why": str(error)}
        numbers = {test: number for number, test in enumerate(self.names[: self.shown])}

        def link(tests: Sequence[str]) -> list[dict[str, Any]]:
            return [{"name": test, "number": numbers.get(test)} for test in tests]

        return {"name": name, "it": comparison, "gained": link(comparison.gained), "lost": link(comparison.lost)}


def _label(grouping: Grouping, number: int) -> str:
    member = int(grouping.members[number])
    return grouping.labels[member] if member >= 0 else ""


def _nearness(test: TestOutcome) -> int:
    """A number to sort misses by, the nearest to right first."""
    if test.fault is None:
        return 0
    kind = list(Fault).index(test.fault) + 1
    return kind * 10_000 + (test.rank or test.cells or 0)


def _candidate(answered: TestResult, rank: int) -> dict[str, Any]:
    candidate = answered.candidates[rank]
    right = answered.right is not None and answered.right.rank == rank
    shown = {"grid": encode(candidate.grid), "votes": candidate.votes, "halting": round(candidate.halting, 4), "right": right}
    return shown | {"orientations": candidate.symmetry_votes}


def _beyond(answered: TestResult) -> dict[str, Any] | None:
    """The right answer, if it is not among the candidates that are listed."""
    right = answered.right
    if right is None or right.rank < len(answered.candidates):
        return None
    candidate = right.candidate
    return {"rank": right.rank + 1, "votes": candidate.votes, "halting": round(candidate.halting, 4)}
