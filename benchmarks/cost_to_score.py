"""Draw the dev scores of ladders against operations and hours, beside published systems, and write the tables of docs/results.md.

    python -m benchmarks.cost_to_score --ladder benchmarks/ladders/sudoku.toml runs/sudoku

Nothing is run: what is known of each ladder is read from its folder (`python -m benchmarks.ladder`), and what others have
published from benchmarks/published.toml.  The page's picture (its name with .png) and what is between its marks are made anew.
"""

import math
import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.ladder import Ladder, Rung, find_known, list_rungs, read_ladder
from benchmarks.ladder_table import INTERVALS, Outcome, format_table
from trm_arc.cli import Parser
from trm_arc.common.errors import InputError
from trm_arc.common.files import write_atomic
from trm_arc.common.program import run
from trm_arc.common.records import load_record
from trm_arc.common.streams import require_printed
from trm_arc.common.text import printable
from trm_arc.report.cost_chart import Cost, CostRow, write_costs
from trm_arc.report.logs import format_operations

PUBLISHED = Path(__file__).with_name("published.toml")
TITLE = """Stars, squares, dots: ladders, hours of a CPU core; dev scores (of the training sets), from the worst to the best seed.
Diamonds: published, hours of a named device; test scores, so not comparable in points. Arrows: upper bounds, hours x peak."""
ALT = "Scores against the operations and the hours of training, by data set: ladders on a CPU core, and published systems"
BEGIN, END = "<!-- begin: python -m benchmarks.cost_to_score -->", "<!-- end -->"


@dataclass(frozen=True)
class System:
    """What others have published.

    Attributes:
        score: in percent.
        hours: of one device, for the whole training.
        device: its name.
        source: where that stands.
        at_most: the hours are an upper bound.
        operations: FLOPs, where the source states them; 0: it does not.
        note: what else must be known.
    """

    name: str
    score: float
    hours: float
    device: str
    source: str
    at_most: bool = False
    operations: float = 0.0
    note: str = ""

    def cost(self, peaks: dict[str, float]) -> Cost:
        """As a point: operations that nobody has stated are at most what the device could have done.

        Args:
            peaks: operations a second, by device.
        """
        operations = self.operations or 3600 * self.hours * peaks.get(self.device, math.nan)
        bounds = ["operations"] * (not self.operations) + ["hours"] * self.at_most
        return Cost(self.name, (self.score,), operations, self.hours, tuple(bounds), f"{self.time}; {self.source}")

    @property
    def time(self) -> str:
        """The hours, in words."""
        return f"{'under ' * self.at_most}{self.hours:g} h, {self.device}"


@dataclass(frozen=True)
class ScoredSet:
    """A data set, and what was published on it.

    Attributes:
        title: its name.
        data: how the names of its parts begin.
    """

    title: str
    data: str
    systems: tuple[System, ...]


@dataclass(frozen=True)
class Published:
    """All that was published.

    Attributes:
        peaks: operations a second, by device.
    """

    peaks: dict[str, float]
    sets: tuple[ScoredSet, ...]


def read_published(file: Path = PUBLISHED) -> Published:
    """The published systems."""
    return load_record(Published, tomllib.loads(file.read_text(encoding="utf-8")), file)


class Done(NamedTuple):
    """What is known of a ladder."""

    ladder: Ladder
    rungs: Sequence[Rung]
    outcomes: Sequence[Outcome]


def read_done(file: Path, out: Path) -> Done:
    """A ladder and its results.

    Raises:
        InputError: one of them cannot be read, or there are no results.
    """
    ladder = read_ladder(file)
    rungs = list_rungs(ladder, file)
    outcomes = find_known(rungs, out)
    if not outcomes:
        raise InputError(f"holds no result of {file}; name the folder that `python -m benchmarks.ladder` wrote to", file=out)
    return Done(ladder, rungs, outcomes)


def list_rows(every: Sequence[Done], published: Published) -> list[CostRow]:
    """A row for each set on which a ladder has scores, with what was published on it."""
    rows: dict[ScoredSet, list[tuple[str, list[Cost]]]] = {}
    for ladder, rungs, outcomes in every:
        for name, group in ladder.groups.items():
            costs = [cost for variant in group.variants if (cost := _cost_of(name, variant, outcomes))]
            data = next(rung.config.training.evaluation_data for rung in rungs if rung.group == name)
            scored = next((one for one in published.sets if data.startswith(one.data)), ScoredSet(data, data, ()))
            if costs:
                rows.setdefault(scored, []).append((f"{name}, {ladder.budget}", costs))
    return [
        CostRow(scored.title, groups, [system.cost(published.peaks) for system in scored.systems])
        for scored, groups in rows.items()
    ]


def _cost_of(name: str, variant: str, outcomes: Sequence[Outcome]) -> Cost | None:
    """The runs of a variant as a point, if there are any."""
    runs = [one for one in outcomes if (one.group, one.variant) == (name, variant) and not one.failed]
    if not runs:
        return None
    operations, hours = statistics.fmean(one.operations for one in runs), statistics.fmean(one.seconds for one in runs) / 3600
    return Cost(variant, tuple(one.percent for one in runs), operations, hours)


def format_published(published: Published) -> str:
    """A table in Markdown."""
    lines = ["| set | system | score, % | time | operations | source | remark |", "|---" * 7 + "|"]
    for scored in published.sets:
        for system in scored.systems:
            operations = system.cost(published.peaks).operations
            bound = "" if system.operations else "at most "
            cells = [scored.title, system.name, f"{system.score:g}", system.time]
            cells += ["-" if math.isnan(operations) else bound + format_operations(operations), system.source, system.note]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page(page: Path, every: Sequence[Done], published: Published) -> Path:
    """Renew a page's picture, and what stands between its marks: the tables.

    Returns:
        The picture.

    Raises:
        InputError: the page has no marks, or something cannot be read or written.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=page) from None
    except UnicodeDecodeError:
        raise InputError("is not a text in UTF-8; name a page in Markdown", file=page) from None
    if page.suffix == ".png":
        raise InputError("has the name of its own picture; name a page in Markdown", file=page)
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise InputError(f"has no lines {BEGIN} and {END}, between which the tables are written", file=page)
    picture = page.with_suffix(".png")
    write_costs(list_rows(every, published), TITLE, picture)
    tables = []
    for ladder, _, outcomes in every:
        tables.append(f"{ladder.budget} of training each, one CPU core a run; {INTERVALS}")
        tables += [format_table(name, list(group.variants), outcomes) for name, group in ladder.groups.items()]
    made = [begin, f"![{ALT}]({picture.name})", "## Published systems", format_published(published), "## Ladders", *tables, end]
    write_atomic(page, (before + "\n\n".join(made) + after).encode())
    return picture


def main(arguments: Sequence[str]) -> int:
    """Read, draw, write."""
    parser = Parser(prog="python -m benchmarks.cost_to_score", description=(__doc__ or "").split("\n\n")[0])
    ladder = "a ladder's file and the folder of its results; repeat it for several"
    parser.add_argument("--ladder", nargs=2, type=Path, metavar=("FILE", "OUT"), action="append", required=True, help=ladder)
    page = "the page to renew, its picture beside it (default: %(default)s)"
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help=page)
    values = parser.parse(arguments)
    picture = write_page(values.page, [read_done(file, out) for file, out in values.ladder], read_published())
    print(printable(f"wrote {values.page} and {picture}"))
    require_printed()
    return 0


if __name__ == "__main__":
    run(main)
