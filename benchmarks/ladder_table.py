"""What the runs of a ladder came to: tables in Markdown and a picture, with differences and their intervals over seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student

from trm_arc.common.files import write_atomic
from trm_arc.common.text import printable
from trm_arc.report.ladder_chart import Bar, write_ladder

TABLE = "ladder.md"
CONFIDENCE = 0.95
INTERVALS = "intervals: 95 percent over seeds, paired."
_HEAD = "dev solved|dev %|against {0}|loss|against {0}|exact at first step %|examples/s|gradient norm|steps"
Runs = Mapping[int, "Outcome"]  # by seed


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        digest: of the rung.
        solved: answers of the dev set that are right.
        asked: answers in all.
        loss: mean of the last lines of metrics.
        exact_at_first: the same, of the answers of new puzzles after one supervision step; None: not logged.
        gradient_norm: the same.
        steps: of training.
        examples_per_second: in training.
        operations: of training, FLOPs.
        seconds: of training.
        failed: the end of the output of a command that failed; all else is 0 then.
    """

    group: str
    variant: str
    seed: int
    digest: str
    solved: int = 0
    asked: int = 0
    loss: float = 0.0
    exact_at_first: float | None = None
    gradient_norm: float = 0.0
    steps: int = 0
    examples_per_second: float = 0.0
    operations: float = 0.0
    seconds: float = 0.0
    failed: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """What it is found by."""
        return self.digest, self.seed

    @property
    def percent(self) -> float:
        """The dev score."""
        return 100 * self.solved / self.asked

    def describe(self) -> str:
        """A line for the terminal."""
        what = f"{self.group}, {self.variant}, seed {self.seed}"
        if self.failed:
            return printable(f"{what}: {self.failed}", 300)
        return f"{what}: {self.solved} of {self.asked}, loss {self.loss:.3f}, {self.steps:,} steps"


def difference(values: Mapping[int, float], base: Mapping[int, float]) -> tuple[float, float]:
    """The mean difference between two variants, paired by seed, and half of its 95 percent interval (Student's t).

    Returns:
        Both; nan where there is no seed in common, and for the interval of a single one.
    """
    pairs = [values[seed] - base[seed] for seed in values.keys() & base.keys()]
    if len(pairs) < 2:
        return (pairs[0] if pairs else math.nan), math.nan
    error = statistics.stdev(pairs) / len(pairs) ** 0.5
    return statistics.fmean(pairs), float(student.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1)) * error


def format_table(name: str, variants: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """A table in Markdown: a row for each variant, the best first; the first of `variants` is what the others are compared with.

    Args:
        name: of the group, whose outcomes count.
    """
    of = {variant: {o.seed: o for o in outcomes if (o.group, o.variant) == (name, variant)} for variant in variants}
    good = {variant: {seed: o for seed, o in runs.items() if not o.failed} for variant, runs in of.items()}
    titles = [name, *_HEAD.format(variants[0]).split("|")]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    order = sorted((v for v in variants if good[v]), key=lambda v: -_mean(good[v], "percent"))
    lines += [_format_row(v, good[v], {} if v == variants[0] else good[variants[0]]) for v in order]
    for variant, runs in of.items():
        failed = [f"{variant}, seed {seed}, failed: {printable(o.failed, 200)}" for seed, o in runs.items() if o.failed]
        lines += [f"| {text} |{' |' * (len(titles) - 1)}" for text in failed]
    return "\n".join(lines)


def _format_row(variant: str, runs: Runs, base: Runs) -> str:
    """A row; `base` are the runs that it is compared with, none for themselves."""
    cells = [
        variant,
        f"{', '.join(str(runs[seed].solved) for seed in sorted(runs))} of {next(iter(runs.values())).asked}",
        f"{_mean(runs, 'percent'):.1f}",
        _format_difference(runs, base, "percent", 1),
        f"{_mean(runs, 'loss'):.3f}",
        _format_difference(runs, base, "loss", 3),
        "-" if any(o.exact_at_first is None for o in runs.values()) else f"{100 * _mean(runs, 'exact_at_first'):.1f}",
        f"{_mean(runs, 'examples_per_second'):,.1f}",
        f"{_mean(runs, 'gradient_norm'):.3f}",
        f"{_mean(runs, 'steps'):,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _mean(runs: Runs, what: str) -> float:
    return statistics.fmean(getattr(outcome, what) for outcome in runs.values())


def _format_difference(runs: Runs, base: Runs, what: str, digits: int) -> str:
    mean, half = difference(*({seed: getattr(o, what) for seed, o in some.items()} for some in (runs, base)))
    if math.isnan(mean):
        return "-"
    interval = "" if math.isnan(half) else f" ({mean - half:+.{digits}f} to {mean + half:+.{digits}f})"
    return f"{mean:+.{digits}f}{interval}"


def write_tables(groups: Mapping[str, Sequence[str]], outcomes: Sequence[Outcome], head: str, out: Path) -> str:
    """Write the tables and the picture of what is known so far.

    Args:
        groups: the variants of each.
        head: how the runs were made.
        out: folder for them.

    Returns:
        The tables, in Markdown.
    """
    text = "\n\n".join([head, *(format_table(name, variants, outcomes) for name, variants in groups.items())]) + "\n"
    write_atomic(out / TABLE, text.encode())
    bars = {}
    for name, variants in groups.items():
        good = [o for o in outcomes if o.group == name and not o.failed]
        bars[name] = [Bar(v, scores) for v in variants if (scores := tuple(o.percent for o in good if o.variant == v))]
    write_ladder(bars, out)
    return text
