"""What this machine has of what the kit needs, and how to get what is missing: python -m trm_arc.doctor"""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from trm_arc.cli import JSON_HELP, RUNS, Parser, add_data_flag
from trm_arc.common.output import print_json, print_styled, words_aside
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed
from trm_arc.common.text import printable, terminal_width, wants_colour
from trm_arc.report.machine import GOOD, MISSING, NOTE, Finding, examine

_STYLES = {GOOD: "32", NOTE: "33", MISSING: "1;31", "topic": "1"}  # green, yellow, bold red, bold
_INDENT, _COLUMN = " " * 10, 20  # of what follows a state; the width of names


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.doctor",
        description="Look at versions, devices, compilers, kernels, data, networks, folders and the environment; say what is "
        "missing and how to get it. The exit code is 1 if something is missing that is needed.",
    )
    add_data_flag(parser)
    parser.group("output")("--json", action="store_true", help=JSON_HELP)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Look at everything, and say what is missing; exit code 1 if it is needed."""
    values, findings, colour = make_parser().parse(arguments), [], wants_colour()
    with words_aside(values.json):
        for topic, found in groupby(examine(values.data_folder, RUNS), lambda finding: finding.topic):
            findings += (listed := list(found))
            if not values.json:  # topic by topic, as importing torch takes seconds
                print_styled("\n".join([_style(topic, "topic", colour), *render_findings(listed, colour), ""]), flush=True)
    missing = [finding.name for finding in findings if finding.state == MISSING]
    code = int(bool(missing))
    if values.json:
        return print_json(
            {"ready": not missing, "missing": missing, "findings": [finding._asdict() for finding in findings]}, code
        )
    print_styled(render_conclusion(findings, colour))
    return require_printed(code)


def render_findings(findings: Sequence[Finding], colour: bool) -> Iterator[str]:
    """The lines of a topic: what was found, and an advice once below all that it is for."""
    for advice, found in groupby(findings, lambda finding: finding.advice):
        for finding in found:
            state = _style(f"{finding.state:8}", finding.state, colour)
            lines = _fill(finding.value, f"{_INDENT}{'':{_COLUMN}}")
            yield f"  {state}{finding.name:{_COLUMN}}{lines.lstrip()}"
        if advice:
            yield _fill(advice, f"{_INDENT}-> ", f"{_INDENT}   ")


def render_conclusion(findings: Sequence[Finding], colour: bool) -> str:
    """The last line: whether all is there that is needed, and how much else could be."""
    missing = [finding.name for finding in findings if finding.state == MISSING]
    notes = [finding.name for finding in findings if finding.state == NOTE]
    if missing:
        return _style(_fill(f"Missing, and needed: {', '.join(missing)}; see above how to get it."), MISSING, colour)
    rest = f" Not here, and of use to some commands: {', '.join(notes)}." if notes else ""
    return _style(_fill(f"All that is needed is here.{rest}"), GOOD, colour)


def _fill(text: str, first: str = "", rest: str | None = None) -> str:
    return textwrap.fill(
        printable(text),
        max(terminal_width(), 60),
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _style(text: str, kind: str, colour: bool) -> str:
    return f"\x1b[{_STYLES[kind]}m{text}\x1b[0m" if colour else text


if __name__ == "__main__":
    run(main)
