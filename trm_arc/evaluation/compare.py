"""Two evaluations side by side: what one solves and the other does not, and whether that is more than noise.

Test inputs of one task are not independent, so the test for noise counts tasks.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from scipy.special import bdtr  # scipy.stats, which has the test by name, takes half a second to import

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.text import printable
from trm_arc.data.task import grid_key
from trm_arc.evaluation.outcomes import SOLVED, Outcome, score_tests
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.score import Rate, format_over_tasks, rate_tests

_NAME = 19  # characters of a name in a table
NOISE = 0.05  # a difference that chance alone makes as often as this, or more often, is within noise


@dataclass(frozen=True)
class Comparison:
    """The outcomes of the test inputs that two evaluations share and whose right answers are known.

    Attributes:
        shared: how many there are.
        first: the share that the first solves (pass@2 of ARC, the expected answer of puzzles).
        second: the share that the second solves.
        gained: what the second solves and the first does not, by name.
        lost: what the first solves and the second does not, by name.
        both: how many both solve.
        neither: how many neither solves.
        same_answers: how many have the same first answer in both.
        unit: what is asked several test inputs, "task"; or "puzzle", which is one.
        better: how many tasks have more of their shared test inputs solved by the second.
        worse: how many have more of them solved by the first.
        p_value: of McNemar's exact test on tasks, whose test inputs are not independent: of `better` and `worse`.
    """

    shared: int
    first: Rate
    second: Rate
    gained: list[str]
    lost: list[str]
    both: int
    neither: int
    same_answers: int
    unit: str
    better: int
    worse: int
    p_value: float

    @property
    def within_noise(self) -> bool:
        """Whether chance alone makes such a difference often enough."""
        return self.p_value >= NOISE

    @property
    def agreement(self) -> float:
        """The share of test inputs that both solve or both miss."""
        return (self.both + self.neither) / self.shared

    def conclude(self) -> str:
        """The conclusion, in a sentence."""
        if not self.gained and not self.lost:
            return "Both solve the same."
        points = 100 * (self.second.value - self.first.value)
        counts = f"{len(self.gained)} gained, {len(self.lost)} lost"
        if (self.better, self.worse) != (len(self.gained), len(self.lost)):
            counts += f"; {self.better} {self.unit}s better, {self.worse} worse"
        text = f"{points:+.1f} points: {counts}; McNemar's exact test on {self.unit}s gives p = {self.p_value:.2g}"
        if self.within_noise:
            return f"{text}. This is within noise: chance alone makes such a difference {self.p_value:.0%} of the time."
        return f"{text}. This is more than noise."


def mcnemar(gained: int, lost: int) -> float:
    """The p-value of McNemar's exact test: how often a fair coin splits `gained + lost` at least so unevenly.

    Where a task has several test inputs it is gained if more of them are solved than before, which is the sign test.

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 1947; the exact
    form is the two-sided binomial test.
    """
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def compare(first: Results, second: Results) -> Comparison:
    """Compare two evaluations on the test inputs that they share.

    Raises:
        InputError: they share none whose right answer is known.
    """
    here, there = _outcomes(first), _outcomes(second)
    shared = [key for key in here if key in there]
    if not shared:
        raise InputError(f"{first.tasks.name} and {second.tasks.name} share no test input whose right answer is known")
    before, after = (np.array([side[key][1] for key in shared], bool) for side in (here, there))
    names, owners = ([here[key][n] for key in shared] for n in (0, 3))
    same = sum(here[key][2] == there[key][2] for key in shared)
    return compare_solved(before, after, names, owners, same, first.tasks.domain.unit)


def compare_solved(
    before: np.ndarray,
    after: np.ndarray,
    names: Sequence[str],
    owners: Sequence[str | None],
    same_answers: int,
    unit: str,
) -> Comparison:
    """Compare two systems by what they solve.

    Args:
        before: bool (n,), whether the first solves each test input.
        names: of the test inputs.
        owners: the task of each; None where it stands for itself.
        unit: what is asked several test inputs.
    """
    gained = [name for name, was, now in zip(names, before, after, strict=True) if now and not was]
    lost = [name for name, was, now in zip(names, before, after, strict=True) if was and not now]
    _, of_task = np.unique([owner or str(n) for n, owner in enumerate(owners)], return_inverse=True)
    gains = np.bincount(of_task, after.astype(int) - before)  # of each task
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    return Comparison(
        len(before),
        rate_tests(before, owners),
        rate_tests(after, owners),
        gained,
        lost,
        int((before & after).sum()),
        int((~before & ~after).sum()),
        same_answers,
        unit,
        better,
        worse,
        mcnemar(better, worse),
    )


def _outcomes(results: Results) -> dict[tuple[str, bytes], tuple[str, bool, bytes, str | None]]:
    """By name and question: the name, whether it is solved, the first answer, and the task."""
    tasks = results.tasks
    rows = zip(tasks.test_keys, tasks.names, score_tests(results), results.attempts, tasks.owners, strict=True)
    return {
        key: (name, test.outcome in SOLVED, grid_key(attempts[0]) if attempts else b"", owner)
        for key, name, test, attempts, owner in rows
        if test.outcome is not Outcome.UNKNOWN
    }


def comparison_table(comparison: Comparison, first: str, second: str) -> str:
    """A comparison as text for a terminal, within 80 columns; `first` and `second` are what the two are called."""
    shown, (first, second) = comparison, _shorten_names(first, second)
    lines = [
        f"{shown.shared} test inputs in both:",
        f"  {first:{_NAME}}  {shown.first}",
        f"  {second:{_NAME}}  {shown.second}",
        *_intervals(shown),
        f"  solved by both {shown.both}, by neither {shown.neither}: they agree on {shown.agreement:.1%}",
        f"  the same first answer: {shown.same_answers}",
        *_list("gained", shown.gained),
        *_list("lost", shown.lost),
        *textwrap.wrap(shown.conclude(), 78, initial_indent="  ", subsequent_indent="  "),
    ]
    return "\n".join(lines)


def _intervals(shown: Comparison) -> list[str]:
    """A line on the intervals over tasks; none for puzzles."""
    if shown.first.over_tasks is None and shown.second.over_tasks is None:
        return []
    first, second = map(format_over_tasks, (shown.first, shown.second))
    return [f"  the two intervals by bootstrap over tasks: {first}; {second}"]


def _shorten_names(*names: str) -> list[str]:
    """Two names in as many characters as there is room for: their ends, or what is before them where they end alike."""
    names = tuple(map(printable, names))
    ends = [name[-_NAME:] for name in names]
    if len(set(ends)) == len(set(names)):
        return ends
    alike = sum(1 for _ in takewhile(lambda pair: len(set(pair)) == 1, zip(*(name[::-1] for name in names), strict=False)))
    return [f"{name[: len(name) - alike][-8:]}...{name[-8:]}" for name in names]


def _list(title: str, names: list[str]) -> list[str]:
    text = printable(f"{title}: {shorten(names, 40)}")
    return textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ") if names else []
