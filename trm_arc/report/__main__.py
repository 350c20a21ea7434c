"""Make the report of an evaluation and of training: python -m trm_arc.report runs/demo"""

import os
from collections.abc import Sequence
from pathlib import Path

from trm_arc.cli import Parser, add_device_flags
from trm_arc.common.device import Device, find_device
from trm_arc.common.errors import InputError
from trm_arc.common.files import REPORT_FILE, check_writable
from trm_arc.common.folders import refuse_foreign_file
from trm_arc.common.program import run
from trm_arc.common.text import printable
from trm_arc.evaluation.compare import compare, comparison_table
from trm_arc.evaluation.outcomes import score_results
from trm_arc.evaluation.results import Results
from trm_arc.evaluation.traces import choose_tests
from trm_arc.model.export import load_newest
from trm_arc.model.locate import ModelName
from trm_arc.report.logs import summary_table
from trm_arc.report.making import PAGE, PICTURES, Subject, find_checkpoint, find_subject, list_logs, renew_traces, write_report


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.report",
        description="Write a page with an evaluation, refinement traces and training curves: one HTML file that "
        "needs no network. Further runs are compared with the first, and their curves drawn beside its curves.",
        usage="%(prog)s RUN_OR_PREDICTIONS [MORE ...] [options]",
    )
    named = "a run's folder, a folder that `evaluate` wrote to, or its predictions.json"
    parser.add_argument("subjects", metavar="RUN_OR_PREDICTIONS", nargs="+", type=Path, help=named)
    flag = parser.group("output")
    flag("--out", type=Path, metavar="FILE", help=f"the file to write (default: {REPORT_FILE} in the first one's folder)")
    flag("--no-pictures", action="store_true", help="write only the page, no SVG, PNG and GIF files")
    flag = parser.group("traces")
    trace = "show refinement traces: ids of tasks, or rows of puzzles (without any: the first test input of each outcome)"
    flag("--trace", nargs="*", metavar="ID", help=trace)
    of_trace = "the model of --trace (default: the one that gave the answers)"
    flag("--checkpoint", type=ModelName, metavar="MODEL", help=of_trace)
    add_device_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, read, write."""
    values = make_parser().parse(arguments)
    given = {"--checkpoint": values.checkpoint, "--device": values.device != "auto", "--precision": values.precision != "auto"}
    for flag, value in given.items():
        if value and values.trace is None:
            raise InputError("does nothing without --trace", flag=flag)
    first, *others = (find_subject(path) for path in {os.path.realpath(path): path for path in values.subjects}.values())
    out = values.out or first.folder / REPORT_FILE
    check_writable(out.parent, (out.name,))
    refuse_foreign_file(out, PAGE)
    if values.trace is not None:
        first = record_traces(first, values.trace, values.checkpoint, find_device(values.device, values.precision))
    files = write_report(out, first, others, None if values.no_pictures else out.parent / PICTURES)
    print_numbers(first, others)
    if files:
        kinds = ", ".join(sorted({file.suffix[1:] for file in files}))
        print(printable(f"wrote {len(files)} pictures to {files[0].parent}: {kinds}"))
    print(printable(f"wrote {out}"))
    return 0


def record_traces(subject: Subject, names: Sequence[str], checkpoint: Path | None, device: Device) -> Subject:
    """Trace how the answers to some test inputs are refined: to the first of each outcome if none is named.

    Raises:
        InputError: there are no predictions, no checkpoint, or no such test.
    """
    if subject.results is not None:
        choose_tests(subject.results, names)  # an unknown name is refused before a model is loaded
    model = load_newest(checkpoint or find_checkpoint(subject))
    print(printable(f"{model.where}, step {model.step}\ndevice: {device.reason}".replace("\n", "; ")))
    return renew_traces(subject, names, model, device)


def print_numbers(first: Subject, others: Sequence[Subject]) -> None:
    """Print the numbers that the page shows."""
    if first.results is not None and first.results.tasks.has_solutions:
        print(score_results(first.results)[1])
    for other in others:
        if first.results is not None and other.results is not None:
            print(_format_comparison(first, other, first.results, other.results))
    for subject in (first, *others):
        if subject.note:
            print(printable(subject.note))
    logs = list_logs((first, *others))
    if logs:
        print(summary_table(logs))


def _format_comparison(first: Subject, other: Subject, here: Results, there: Results) -> str:
    try:
        return comparison_table(compare(there, here), other.name, first.name)
    except InputError as error:
        return printable(f"no comparison: {error}")


if __name__ == "__main__":
    run(main)
