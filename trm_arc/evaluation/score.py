"""Scores, named: the ARC Prize's mean over test outputs, and the original code's mean over tasks.  Never mix the two."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from trm_arc.data.task import Grid

CUTOFFS = (1, 2, 5, 10, 100, 1000)  # those of the original
CONFIDENCE = 0.95
_RESAMPLES, _SEED = 10_000, 0


@dataclass(frozen=True)
class Rate:
    """A share of successes, with a binomial (Wilson) interval at 95 percent, and one by bootstrap over tasks.

    Wilson's takes all trials as independent, which test outputs of one task are not.

    Attributes:
        value: from 0 to 1.
        solved: successes; fractional for a mean over tasks, some of which are solved in part.
        trials: of how many.
        low: lower end of the interval.
        high: upper end.
        over_tasks: the ends of the other interval, see `resample`; None: there are no tasks, or they are too much alike.
    """

    value: float
    solved: float
    trials: int
    low: float
    high: float
    over_tasks: tuple[float, float] | None = None

    def __str__(self) -> str:
        interval = format_ends(self.low, self.high)
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
    from scipy.special import ndtri  # takes a third of a second, and a page of answers needs no interval

    share, z = solved / trials, float(ndtri(0.5 + CONFIDENCE / 2))
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Rate(share, solved, trials, max(0.0, centre - half), min(1.0, centre + half))


def format_ends(low: float, high: float) -> str:
    """The ends of an interval in percent."""
    return f"{100 * low:.1f} to {100 * high:.1f}"


def format_over_tasks(one: Rate) -> str:
    """The interval over tasks of a rate in percent, or a word where there is none."""
    return format_ends(*one.over_tasks) if one.over_tasks else "not defined"


def resample(solved: Sequence[float], trials: Sequence[float]) -> tuple[float, float] | None:
    """The 95 percent interval of sum(solved) / sum(trials) by bootstrap over tasks: as many tasks are drawn with repetition.

    Deterministic, and whatever the order of the tasks.  Source: Efron, "Bootstrap methods", Annals of Statistics 1979; the
    interval is that of the percentiles.

    Args:
        solved: of each task, successes.
        trials: of each task.

    Returns:
        Its ends; None where all tasks have the same share, so that drawing them again shows nothing.
    """
    alike, counts = np.unique(np.stack([solved, trials], axis=1), axis=0, return_counts=True)  # tasks in which both are equal
    if len(np.unique(alike[:, 0] / alike[:, 1])) < 2:
        return None
    drawn = np.random.default_rng(_SEED).multinomial(len(solved), counts / len(solved), _RESAMPLES) @ alike
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return float(low), float(high)


def rate_tasks(solved: Sequence[float], trials: Sequence[int]) -> Rate:
    """The rate of several tasks together, by the successes and the trials of each."""
    return replace(rate(sum(solved), sum(trials)), over_tasks=resample(solved, trials))


def rate_tests(solved: np.ndarray, owners: Sequence[str | None]) -> Rate:
    """The rate of some test inputs.

    Args:
        solved: bool (n,).
        owners: the task of each; all None where each stands for itself.
    """
    if set(owners) == {None}:
        return rate(int(solved.sum()), len(solved))
    _, of_task = np.unique(owners, return_inverse=True)
    return rate_tasks(np.bincount(of_task, solved).astype(int).tolist(), np.bincount(of_task).tolist())


class Headline(NamedTuple):
    """A score that matters: its name, its rate, and what it says."""

    name: str
    rate: Rate
    meaning: str


class Scores(ABC):
    """The scores of an evaluation: as text a table, in short and in a notebook those that matter."""

    @abstractmethod
    def headline(self) -> list[Headline]:
        """The scores that matter most."""

    @abstractmethod
    def table(self) -> str:
        """The scores as text for a terminal, within 80 columns."""

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        named = (f"{name} {100 * one.value:.1f} % ({one.solved:.6g} of {one.trials})" for name, one, _ in self.headline())
        return f"<{type(self).__name__} {', '.join(named)}>"

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><th>{name}</th><td>{100 * one.value:.1f}&nbsp;%</td><td>{one.solved:.6g} of {one.trials}</td>"
            f"<td>{format_ends(one.low, one.high)}</td><td style='white-space:normal;text-align:left'>{meaning}</td></tr>"
            for name, one, meaning in self.headline()
        ]
        columns = "".join(f"<th>{column}</th>" for column in ("score", "", "solved", "95 % interval", "meaning"))
        return f'<table style="white-space:nowrap;margin:0"><tr>{columns}</tr>{"".join(rows)}</table>'


def ranks(truths: list[list[Grid]], ranked: list[list[Grid]]) -> list[list[int | None]]:
    """For every task and test output, the place (from 0) of the right answer among the candidates; None if it is not there."""
    tests = iter(ranked)
    return [[_place(next(tests), truth) for truth in task] for task in truths]


def _place(candidates: list[Grid], truth: Grid) -> int | None:
    return next((number for number, grid in enumerate(candidates) if np.array_equal(grid, truth)), None)


def pass_at(places: list[list[int | None]], cutoff: int) -> tuple[Rate, Rate]:
    """pass@`cutoff`: per test output (the ARC Prize score at 2), and as the mean over tasks of the solved fraction (the
    original's `ARC/pass@K`).
    """
    solved = [[place is not None and place < cutoff for place in task] for task in places]
    per_output = rate_tasks([sum(task) for task in solved], [len(task) for task in solved])
    return per_output, rate_tasks([sum(task) / len(task) for task in solved], [1] * len(solved))


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
    lines.append("95 % intervals by bootstrap over tasks (outputs of a task are not independent):")
    for k, rates in both.items():
        per_output, per_task = (format_over_tasks(one) for one in rates)
        lines.append(f"  pass@{k:<5}per test output {per_output}, mean over tasks {per_task}")
    return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class PassScores(Scores):
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
