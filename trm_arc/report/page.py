"""The page: one HTML file that needs no other, made of the contents of an evaluation and of a run's curves."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trm_arc.common.errors import InputError
from trm_arc.data.pictures import COLOURS
from trm_arc.evaluation.outcomes import Outcome
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.traces import Trace
from trm_arc.report.contents import ROOM, Contents, format_facts, list_groups, list_headlines, list_misses, list_outcomes
from trm_arc.report.cost_chart import COST
from trm_arc.report.curves import Curves
from trm_arc.report.grids import read_template
from trm_arc.report.logs import AXES

if TYPE_CHECKING:
    from jinja2 import Template

_PROGRAM = ("grids.js", "tests.js", "players.js")  # in this order


@dataclass(frozen=True)
class Training:
    """The training of the runs on a page.

    Attributes:
        curves: of each axis, and the cost of scores.
        summary: columns and rows of a table of the runs.
    """

    curves: Sequence[Curves]
    summary: Mapping[str, Any]


def make_page(
    title: str,
    results: Results | None,
    *,
    traces: Sequence[Trace] = (),
    training: Training | None = None,
    others: Mapping[str, Results] | None = None,
    room: int = ROOM,
) -> str:
    """The page as HTML.

    Everything that comes from data goes through the template engine's escaping, or into a script element of JSON with every
    `<`, `>`, `&` and `'` written as an escape; the page's own program is the only one that its policy lets run.

    Args:
        room: characters that test inputs may take; those beyond are counted, but not listed.

    Raises:
        InputError: the template engine is missing.
    """
    template = _load_template()
    program, style = "".join(map(read_template, _PROGRAM)), read_template("page.css")
    values: dict[str, Any] = {"title": title, "evaluation": results is not None, "facts": (), "data": {"tests": []}}
    values |= dict.fromkeys(("scores", "misses", "groups", "outcomes", "comparisons", "traces", "rows", "curves"), ())
    if results is not None:
        values |= _evaluation_values(Contents(results, room), traces, others or {})
    if training is not None:
        titles = AXES | {COST: "cost to score"}
        drawn = [{"key": curve.axis, "title": titles[curve.axis], "svg": curve.svg} for curve in training.curves]
        values |= {"curves": drawn, "summary": training.summary}
    values["data"]["colours"] = COLOURS
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    return template.render(values, program=program, program_hash=digest, style=style)


def _evaluation_values(contents: Contents, traces: Sequence[Trace], others: Mapping[str, Results]) -> dict[str, Any]:
    results, tests, domain = contents.results, contents.outcomes, contents.results.tasks.domain
    players = contents.traces(traces)
    return {
        "unit": "puzzles" if domain.shape else "test outputs",
        "orientations": bool(domain.orientations),
        "attempts": domain.attempts,
        "facts": format_facts(results),
        "scores": list_headlines(results, tests),
        "outcomes": list_outcomes(tests),
        "misses": list_misses(tests),
        "groups": list_groups(results, contents.groupings, tests),
        "test_count": len(tests),
        "known": sum(test.outcome is not Outcome.UNKNOWN for test in tests),
        "rows": contents.rows(),
        "left_out": len(tests) - contents.shown,
        "comparisons": [contents.compared(other, name) for name, other in others.items()],
        "traces": players,
        "data": contents.data() | {"traces": players},
    }


def has_template_engine() -> bool:
    """Whether pages can be made."""
    return find_spec("jinja2") is not None


def require_template_engine() -> None:
    """Raise InputError unless pages can be made."""
    if not has_template_engine():
        raise InputError("a report needs jinja2, which is not installed: `pip install 'trm_arc[report]'`")


def _load_template() -> "Template":
    require_template_engine()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("trm_arc.report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template("page.html")
